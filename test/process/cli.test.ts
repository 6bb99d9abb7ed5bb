/**
 * The `kagimori` command as a process: what it prints where, and how it ends.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';

const ROOT = join(import.meta.dirname, '../..');
const COMMAND = join(ROOT, 'cli/kagimori.js');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Process {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with the first whole line on stdout. */
  readonly firstLine: Promise<string>;
}

function start(
  cwd: string,
  args: readonly string[],
  program = process.execPath,
  before: readonly string[] = [COMMAND],
): Process {
  const child = spawn(program, [...before, ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: machineEnvironment(),
  });
  const output = { stdout: '', stderr: '' };
  const first = Promise.withResolvers<string>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
    if (output.stdout.includes('\n')) first.resolve(output.stdout.slice(0, output.stdout.indexOf('\n')));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      first.reject(new Error(`ended with ${code} before its first line: ${output.stderr}`));
      resolve({ code, ...output });
    });
  });
  first.promise.catch(() => {});
  return { child, ended, firstLine: first.promise };
}

const run = (cwd: string, ...args: readonly string[]): Promise<Ended> => start(cwd, args).ended;

/** As a shell has it, without what npm puts in front. */
function machineEnvironment(): NodeJS.ProcessEnv {
  const path = (process.env.PATH ?? '').split(':').filter((one) => !one.includes('node_modules'));
  const own = Object.entries(process.env).filter(([key]) => !/^npm_|^NODE_/.test(key));
  return { ...Object.fromEntries(own), PATH: path.join(':') };
}

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'kagimori-cli-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const ANY_PORT = 'listen: [{kind: tcp, host: 127.0.0.1, port: 0}]\n';

test('from a checkout npx kagimori runs, on the Node that comes along, whatever the machine has', async (t) => {
  const cache = folderFor(t);
  const { ended } = start(ROOT, ['--version'], 'npx', ['--offline', '--cache', cache, 'kagimori']);
  const { code, stdout } = await ended;
  assert.equal(code, 0);
  assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
});

test('--help says what there is; a noun alone shows its help on stderr and is a usage error', async (t) => {
  const folder = folderFor(t);
  const [whole, noun] = await Promise.all([run(folder, '--help'), run(folder, 'device')]);
  assert.equal(whole.code, 0);
  for (const name of ['ca', 'broker', 'verifier', 'manager', 'device', 'session', 'agent', 'status', 'doctor']) {
    assert.match(whole.stdout, new RegExp(`^  ${name} `, 'm'));
  }
  assert.equal(whole.stderr, '');
  assert.equal(noun.code, 2);
  assert.equal(noun.stdout, '');
  assert.match(noun.stderr, /Usage: kagimori device/);
});

for (const [rule, args, code, line] of [
  ['an unknown command', ['brokr', 'run'], 2, /^kagimori: unknown command 'brokr' \(Did you mean broker\?\): /],
  [
    'an unknown option',
    ['ca', 'list', '--dirr', 'x'],
    2,
    /^kagimori: unknown option '--dirr' \(Did you mean --dir\?\): /,
  ],
  ['a missing argument', ['device', 'show'], 2, /^kagimori: missing required argument 'id': /],
  ['a value out of range', ['ca', 'init', '--years', '0'], 2, /years.*a whole number from 1 to 100: add --help/],
  ['an empty message', ['agent', 'send', 'x', '', '--state', '.'], 2, /^kagimori: the message is empty: /],
  [
    'a message that is too long',
    ['agent', 'send', 'x', 'ü'.repeat(16_385)],
    2,
    /at most 32768 bytes: send it in parts/,
  ],
  ['no configuration', ['broker', 'run'], 2, /^kagimori: no configuration in kagimori-broker\.yaml or /],
  ['a configuration that is missing', ['agent', 'run', '--config', 'x.yaml'], 2, /^kagimori: x\.yaml: no such file$/m],
  ['no CA', ['ca', 'list', '--dir', 'nowhere'], 1, /^kagimori: nowhere\/index\.json is missing: make a CA there first/],
  [
    'a manager that does not run',
    ['session', 'list', '--data', '.'],
    3,
    /^kagimori: manager\.sock: nobody answers, .*: start it /,
  ],
  [
    'an agent that does not run',
    ['agent', 'send', 'x', 'y', '--state', '.'],
    3,
    /^kagimori: agent\.sock: nobody answers, .*: start it /,
  ],
] as const) {
  test(`${rule}: one line with its remedy, exit code ${code}, one JSON value with --json`, async (t) => {
    const ended = await run(folderFor(t), ...args, '--json');
    assert.match(ended.stderr, line);
    assert.equal(ended.stderr.split('\n').length, 2, ended.stderr);
    assert.equal(ended.code, code);
    const { error } = JSON.parse(ended.stdout) as { error: { code: string; message: string } };
    assert.ok(error.code.length > 0 && error.message.length > 0);
  });
}

test('a broken configuration: file, line, column and key, a line for each problem', async (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, 'kagimori-broker.yaml'), `${ANY_PORT}rot: x\nlimits:\n  newPerAddress: none\n`);
  const { code, stderr } = await run(folder, 'broker', 'run');
  assert.equal(code, 2);
  assert.match(stderr, /^kagimori: kagimori-broker\.yaml:2:1: rot: unknown key \(did you mean root\?\), allowed: /);
  assert.match(
    stderr,
    /^kagimori: kagimori-broker\.yaml:4:18: limits\.newPerAddress: is text, allowed: a whole number/m,
  );
});

test('ca: a CA, a certificate, no second one of that name, revoked, listed', async (t) => {
  const folder = folderFor(t);
  const made = await run(folder, 'ca', 'init', '--name', 'Test CA', '--intermediate');
  assert.equal(made.code, 0, made.stderr);
  const issued = await run(folder, 'ca', 'issue', 'lamp', '--mac', '02:00:5e:10:00:01', '--out', 'keys', '--json');
  const { serial, keyFile, chainFile } = JSON.parse(issued.stdout) as Record<string, string>;
  assert.deepEqual([keyFile, chainFile], ['keys/lamp.key.pem', 'keys/lamp.chain.pem']);
  const again = await run(folder, 'ca', 'issue', 'lamp', '--out', 'keys');
  assert.equal(again.code, 1);
  assert.match(again.stderr, /^kagimori: device lamp has a living certificate/);
  const revoked = await run(folder, 'ca', 'revoke', 'lamp', '--json');
  assert.deepEqual(JSON.parse(revoked.stdout), { revoked: [serial], crlFile: 'ca/crl.pem' });
  assert.equal((await run(folder, 'ca', 'revoke', 'sun')).code, 4);
  const list = await run(folder, 'ca', 'list');
  assert.match(list.stdout, new RegExp(`^lamp +device +revoked +.* ${serial}$`, 'm'));
});

test('broker run: ready with its port, a second one on that port refused, ended in order by SIGTERM', async (t) => {
  const folder = folderFor(t);
  writeFileSync(join(folder, 'kagimori-broker.yaml'), ANY_PORT);
  const broker = start(folder, ['broker', 'run', '--json']);
  t.after(() => broker.child.kill('SIGKILL'));
  const { ready } = JSON.parse(await broker.firstLine) as { ready: { listen: string[] } };
  const port = /^mqtt:\/\/127\.0\.0\.1:(\d+)$/.exec(ready.listen[0] ?? '')?.[1];
  assert.ok(port !== undefined, JSON.stringify(ready));

  writeFileSync(join(folder, 'second.yaml'), `listen: [{kind: tcp, host: 127.0.0.1, port: ${port}}]\n`);
  const second = await run(folder, 'broker', 'run', '--config', 'second.yaml');
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^kagimori: port \d+ on 127\.0\.0\.1 is taken: [^\n]+\n$/);

  const began = performance.now();
  broker.child.kill('SIGTERM');
  const { code, stdout, stderr } = await broker.ended;
  assert.equal(code, 0);
  assert.ok(performance.now() - began < 2_000);
  assert.equal(stdout.split('\n').length, 2);
  assert.match(
    stderr,
    /^.* warn {2}broker\.no-services remedy="tokens\.managerFile, tokens\.verifierFile"\n\d\d:\d\d:\d\d info {2}broker\.ready listen=.*\n.* broker\.stopping signal=SIGTERM\n.* broker\.stopped\n$/,
  );
});

test('doctor: a good file, a key that others may read, a broker that is away, each with its remedy', async (t) => {
  const folder = folderFor(t);
  await run(folder, 'ca', 'init');
  await run(folder, 'ca', 'issue', 'v', '--kind', 'verifier');
  chmodSync(join(folder, 'v.key.pem'), 0o644);
  const config = [
    'broker: {url: "mqtt://127.0.0.1:1"}',
    'certificateFile: v.chain.pem',
    'keyFile: v.key.pem',
    'trustAnchorFiles: [ca/root.pem]',
  ];
  writeFileSync(join(folder, 'kagimori-verifier.yaml'), config.join('\n'));
  const { code, stdout } = await run(folder, 'doctor');
  assert.equal(code, 1);
  assert.match(stdout, /^✓ .*v\.chain\.pem is under the trust anchors, for verifier$/m);
  assert.match(stdout, /^✗ .*v\.key\.pem: mode 0644 lets others at a secret; run `chmod 600 /m);
  assert.match(stdout, /^✗ the broker at mqtt:\/\/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\): start it/m);
});

test("doctor: a broker's TLS certificate counts as it does for the agent; a password lies open to nobody else", async (t) => {
  const folder = folderFor(t);
  await run(folder, 'ca', 'init');
  await run(folder, 'ca', 'init', '--dir', 'other');
  await run(folder, 'ca', 'issue', 'localhost', '--kind', 'server');
  const pem = (name: string): string => readFileSync(join(folder, name), 'utf8');
  const server = createTlsServer({ cert: pem('localhost.chain.pem'), key: pem('localhost.key.pem') });
  server.on('tlsClientError', () => {}); // whoever does not trust us goes away
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  writeFileSync(join(folder, 'password'), 'sixteen characters', { mode: 0o644 });
  const findings = async (anchors: string, host = 'localhost'): Promise<string> => {
    const broker = `broker: {url: "mqtts://${host}:${port}", kind: outside, anchorsFile: ${anchors}, passwordFile: password}`;
    const rest = 'manager: m\nstateDirectory: s\ncertificateFile: c\nkeyFile: k\ntrustAnchorFiles: [ca/root.pem]';
    writeFileSync(join(folder, 'agent.yaml'), `${broker}\n${rest}\n`);
    return (await run(folder, 'doctor', 'agent.yaml')).stdout;
  };
  const good = await findings('ca/root.pem');
  assert.match(good, /^✓ the broker at mqtts:\/\/localhost:\d+ can be reached$/m);
  assert.match(good, /^✗ .*password: mode 0644 lets others at a secret; run `chmod 600 /m);
  const remedy = /: compare `anchorsFile` and the name in `url` with the certificate of the broker$/m;
  const unknown = await findings('other/root.pem');
  assert.match(unknown, /^✗ the broker at mqtts:\/\/localhost:\d+ is not used: TLS: .* is under no known anchor/m);
  assert.match(unknown, remedy);
  assert.match(await findings('ca/root.pem', '127.0.0.1'), /is not used: TLS: the certificate is not made out to 127/);
});

test('doctor: without a configuration it says what it looked for, and fails', async (t) => {
  const { code, stdout } = await run(folderFor(t), 'doctor');
  assert.equal(code, 1);
  assert.match(stdout, /^✗ no configuration here and none in \/etc\/kagimori: name one, or go to its folder /m);
  assert.match(stdout, /kagimori-agent\.yaml, \/etc\/kagimori\/agent\.yaml; not in folders below/);
});

test('doctor: certificate and key swapped, a certificate of another kind, a token that is too short', async (t) => {
  const folder = folderFor(t);
  await run(folder, 'ca', 'init');
  await run(folder, 'ca', 'issue', 'v', '--kind', 'verifier');
  writeFileSync(join(folder, 'token'), 'short\n', { mode: 0o600 });
  const rest = 'broker: {url: "mqtt://127.0.0.1:1", tokenFile: token}\ntrustAnchorFiles: [ca/root.pem]\n';
  const swapped = 'certificateFile: v.key.pem\nkeyFile: v.chain.pem\n';
  writeFileSync(join(folder, 'kagimori-verifier.yaml'), rest + swapped);
  const first = await run(folder, 'doctor');
  assert.match(first.stdout, /^✗ .*v\.chain\.pem holds a certificate, not a private key: are .* swapped\?$/m);
  assert.match(first.stdout, /^✗ .*v\.key\.pem holds a private key, not a certificate: are .* swapped\?$/m);
  assert.match(first.stdout, /^✗ tokenFile .*token must hold one line of at least 16 characters: make one /m);
  const other = 'manager: m\nstateDirectory: s\ncertificateFile: v.chain.pem\nkeyFile: v.key.pem\n';
  writeFileSync(join(folder, 'agent.yaml'), rest.replace(', tokenFile: token', '') + other);
  const second = await run(folder, 'doctor', 'agent.yaml');
  assert.match(
    second.stdout,
    /^✗ .* does not stand under the trust anchors as a certificate for device \(wrong-purpose, /m,
  );
});

test('verifier run: a token that no broker takes is refused at the start', async (t) => {
  const folder = folderFor(t);
  await run(folder, 'ca', 'init');
  await run(folder, 'ca', 'issue', 'v', '--kind', 'verifier');
  writeFileSync(join(folder, 'token'), 'short\n', { mode: 0o600 });
  const config = [
    'broker: {url: "mqtt://127.0.0.1:1", tokenFile: token}',
    'certificateFile: v.chain.pem',
    'keyFile: v.key.pem',
    'trustAnchorFiles: [ca/root.pem]',
  ];
  writeFileSync(join(folder, 'kagimori-verifier.yaml'), config.join('\n'));
  const { code, stderr } = await run(folder, 'verifier', 'run');
  assert.equal(code, 2);
  assert.match(stderr, /^kagimori: the token file .*token must hold one line of at least 16 characters: [^\n]+\n$/);
});

test('status: a daemon that is there and does not answer is told from one that does not run', async (t) => {
  const folder = folderFor(t);
  const silent = createServer(() => {}).listen(join(folder, 'manager.sock'));
  t.after(() => silent.close());
  const [there, away] = await Promise.all([
    run(folder, 'status', '--data', '.'),
    run(folder, 'status', '--state', '.', '--json'),
  ]);
  assert.equal(there.code, 5);
  assert.match(there.stdout, /^manager: does not answer\n {2}reason .*no answer to status within 3000 ms$/m);
  assert.equal(away.code, 3);
  const { agent } = JSON.parse(away.stdout) as { agent: { running: boolean; answers: boolean } };
  assert.deepEqual([agent.running, agent.answers], [false, false]);
});

test("an address that is none, and an agent's configuration under any name, are told in words", async (t) => {
  const folder = folderFor(t);
  const config = [
    'broker: {url: "mqtt://127.0.0.1:none"}',
    'manger: m',
    'stateDirectory: s',
    'certificateFile: c',
    'keyFile: k',
    'trustAnchorFiles: [a]',
  ];
  writeFileSync(join(folder, 'home.yaml'), config.join('\n'));
  const broken = await run(folder, 'doctor', 'home.yaml');
  assert.match(broken.stdout, /^✗ home\.yaml:2:1: manger: unknown key \(did you mean manager\?\), /m);
  assert.match(broken.stdout, /^✗ home\.yaml:1:15: broker\.url: .*allowed: mqtt:\/\/host:port or mqtts:\/\/host:port/m);
  const mended = config.join('\n').replace('manger', 'manager').replace(':none', ':99999');
  writeFileSync(join(folder, 'home.yaml'), mended);
  const { code, stdout } = await run(folder, 'doctor', 'home.yaml');
  assert.equal(code, 1);
  assert.match(stdout, /^✓ home\.yaml is a configuration of the agent$/m);
  assert.match(stdout, /^✗ mqtt:\/\/127\.0\.0\.1:99999 is no address: write mqtt:\/\/host:port /m);
});

test('a reader who goes away early is no error', async (t) => {
  const { child, ended } = start(folderFor(t), ['manager', 'config']);
  child.stdout?.destroy();
  const { code, stderr } = await ended;
  assert.deepEqual([code, stderr], [0, '']);
});
