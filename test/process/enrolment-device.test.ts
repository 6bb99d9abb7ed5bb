/**
 * Devices that enrol at real services: what they end with, what another user of the machine can see, and what is left of
 * one that was killed in the middle.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readConfigFile } from '../../cli/config-file.ts';
import { agentConfig } from '../../device-agent/config.ts';
import type { JsonValue } from '../../platform/control-socket.ts';
import { buildHouse, type House, MANAGER } from '../real-house.ts';
import { type Ended, type RealProcess, startCommand } from '../real-process.ts';
import { makeSoftToken, softTokenAbsent } from '../soft-token.ts';

const LONG = process.env.KAGIMORI_LONG === '1';

function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

interface Place extends House {
  readonly port: number;
}

async function place(t: TestContext, approval: 'automatic' | 'operator' = 'automatic'): Promise<Place> {
  const port = await freePort();
  const house = await buildHouse(
    {
      occupants: [],
      listen: `  - { kind: tcp, host: 127.0.0.1, port: ${port} }`,
      managerYaml: `enrolment:
  caDirectory: ca
  brokerUrl: mqtt://127.0.0.1:${port}
  trustAnchorFiles: [ca/root.pem]
  approval: ${approval}
`,
    },
    (end) => t.after(end),
  );
  return { ...house, port };
}

type Row = { readonly [key: string]: JsonValue };

async function invite(house: House, name: string, uses = 1): Promise<string> {
  const wish = { name, class: null, groups: [], uses, ttlSeconds: 600 };
  const made = (await house.ask('manager', 'invitation.make', wish)) as Row;
  return String(made.invitation);
}

async function leftOf(house: House, name: string): Promise<number> {
  const all = (await house.ask('manager', 'invitation.list')) as readonly Row[];
  return Number(all.find((one) => one.name === name)?.left ?? 0);
}

/** A folder of its own for a device. */
function folder(house: House, name: string): string {
  const at = house.at(`at-${name}`);
  spawnSync('mkdir', ['-p', at]);
  return at;
}

/** The invitation as a file in the folder. */
function noted(at: string, invitation: string): string {
  writeFileSync(join(at, 'invitation.txt'), `${invitation}\n`, { mode: 0o600 });
  return 'invitation.txt';
}

const enrol = (at: string, ...args: readonly string[]): RealProcess => startCommand(['agent', 'enrol', ...args], at);

/** Files that are there belong together: the chain comes after all that it needs, the configuration after the chain. */
function checkFiles(at: string): 'nothing' | 'chain' | 'all' {
  const inside = (name: string): string => join(at, 'kagimori-agent', name);
  const config = join(at, 'kagimori-agent.yaml');
  if (!existsSync(inside('device.chain.pem'))) {
    assert.equal(existsSync(config), false, 'a configuration without a certificate');
    return 'nothing';
  }
  for (const name of ['device.key.pem', 'anchors.pem', 'verifier.pem']) assert.ok(existsSync(inside(name)), name);
  assert.equal(statSync(inside('device.key.pem')).mode & 0o777, 0o600);
  const { status, stdout } = spawnSync('openssl', ['x509', '-in', inside('device.chain.pem'), '-noout', '-pubkey']);
  const own = spawnSync('openssl', ['pkey', '-in', inside('device.key.pem'), '-pubout']);
  if (status !== null) assert.deepEqual(stdout, own.stdout, 'the certificate is not over the key');
  if (!existsSync(config)) return 'chain';
  const { certificateFile, manager } = readConfigFile(config, agentConfig);
  assert.deepEqual([certificateFile, manager], [inside('device.chain.pem'), MANAGER]);
  return 'all';
}

function withoutToken(invitation: string, ended: readonly Ended[], house: House): void {
  const secret = invitation.slice(-40);
  for (const { stdout, stderr } of ended) assert.ok(!`${stdout}${stderr}`.includes(secret));
  for (const one of house.ran) assert.ok(!one.written().includes(secret));
}

test('[P2] [P4] a device enrols with one string, runs, and is registered; the same string again says that it is enrolled', async (t) => {
  const house = await place(t);
  const at = folder(house, 'boiler');
  const invitation = await invite(house, 'boiler');
  const first = await enrol(at, '--file', noted(at, invitation)).ended;
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /enrolled\s+boiler/);
  assert.equal(checkFiles(at), 'all');
  assert.equal(await leftOf(house, 'boiler'), 0);
  const again = await enrol(at, '--file', 'invitation.txt', '--json').ended;
  assert.equal(again.code, 0, again.stderr);
  assert.equal(JSON.parse(again.stdout).already, true);
  const agent = startCommand(['agent', 'run', '--log', 'json'], at);
  await agent.logged('registered', ({ event }) => event === 'registered');
  agent.child.kill('SIGTERM');
  withoutToken(invitation, [first, again, await agent.ended], house);
  // spent is spent: another machine with the same string
  const thief = folder(house, 'thief');
  const refused = await enrol(thief, '--file', noted(thief, invitation)).ended;
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /bad-token.*device invite/);
  assert.equal(checkFiles(thief), 'nothing');
  // given away: nothing of it is left, and the key is another one next time
  const keyBefore = readFileSync(join(at, 'kagimori-agent/device.key.pem'));
  const reset = await startCommand(['agent', 'reset', '--json'], at).ended;
  assert.equal(reset.code, 0, reset.stderr);
  assert.equal(JSON.parse(reset.stdout).device, 'boiler');
  assert.deepEqual(readdirSync(join(at, 'kagimori-agent')), ['state']);
  assert.deepEqual(readdirSync(join(at, 'kagimori-agent/state')), []);
  const next = await enrol(at, '--file', noted(at, await invite(house, 'boiler-2'))).ended;
  assert.equal(next.code, 0, next.stderr);
  assert.notDeepEqual(readFileSync(join(at, 'kagimori-agent/device.key.pem')), keyBefore);
});

test('what cannot work says why, in one line: a broker that is away, a string that is cut or none, a manager that is away', async (t) => {
  const house = await place(t);
  const at = folder(house, 'lamp');
  const invitation = await invite(house, 'lamp');
  const cut = await enrol(at, '--file', noted(at, invitation.slice(0, -9))).ended;
  assert.deepEqual([cut.code, cut.stderr.match(/not whole: copy all of it/)?.length], [2, 1]);
  const none = await enrol(at, '--file', noted(at, 'hello')).ended;
  assert.deepEqual([none.code, none.stderr.match(/begins with kagimori-/)?.length], [2, 1]);
  noted(at, invitation);
  await house.stop('manager');
  const silent = await enrol(at, '--file', 'invitation.txt', '--timeout', '1').ended;
  assert.equal(silent.code, 5);
  assert.match(silent.stderr, /does not answer: start it/);
  await house.stop('broker');
  const away = await enrol(at, '--file', 'invitation.txt', '--timeout', '1').ended;
  assert.equal(away.code, 3);
  assert.match(away.stderr, /cannot be reached: connection refused/);
  assert.equal(checkFiles(at), 'nothing');
  withoutToken(invitation, [cut, none, silent, away], house);
});

test('[P14] a device waits for the yes of the operator; Ctrl-C loses nothing', async (t) => {
  const house = await place(t, 'operator');
  const at = folder(house, 'lock');
  noted(at, await invite(house, 'lock'));
  const said = async (running: RealProcess): Promise<void> => {
    while (!running.written().includes('the operator has to say yes')) {
      const over = await Promise.race([running.ended, new Promise((resolve) => setTimeout(resolve, 20))]);
      assert.equal(over, undefined, running.written());
    }
  };
  const first = enrol(at, '--file', 'invitation.txt');
  await said(first);
  first.child.kill('SIGINT');
  const stopped = await first.ended;
  assert.equal(stopped.code, 1);
  assert.match(stopped.stderr, /the same command goes on with the same key/);
  const second = LONG ? enrol(at, '--file', 'invitation.txt') : null;
  if (second !== null) await said(second);
  const held = (await house.ask('manager', 'enrolment.list')) as readonly Row[];
  assert.equal(held.length, 1, 'the same key: the same applicant');
  await house.ask('manager', 'enrolment.allow', { id: held[0]?.id ?? '' });
  // else the yes comes while nobody asks
  const done = await (second ?? enrol(at, '--file', 'invitation.txt')).ended;
  assert.equal(done.code, 0, done.stderr);
  assert.equal(checkFiles(at), 'all');
});

if (LONG) {
  test('[P10] an agent with an invitation enrols by itself, however long nobody answers, and erases the invitation', async (t) => {
    const house = await place(t);
    const at = folder(house, 'oven');
    const invitation = await invite(house, 'oven');
    noted(at, invitation);
    await house.stop('broker');
    writeFileSync(
      join(at, 'agent.yaml'),
      `broker: { url: 'mqtt://127.0.0.1:${house.port}' }
manager: ${MANAGER}
stateDirectory: state
certificateFile: own.pem
keyFile: own.key
trustAnchorFiles: [anchors.pem]
invitationFile: invitation.txt
`,
    );
    const run = (): RealProcess => startCommand(['agent', 'run', '--config', 'agent.yaml', '--log', 'json'], at);
    const first = run();
    await first.logged('no broker', ({ event }) => event === 'enrolment.trying');
    const status = await startCommand(['agent', 'status', '--config', 'agent.yaml', '--json'], at).ended;
    assert.equal(status.code, 0, status.stderr);
    assert.equal(JSON.parse(status.stdout).device, null);
    first.child.kill('SIGTERM');
    assert.equal((await first.ended).code, 0);
    const agent = run();
    await house.start('broker');
    await agent.logged('registered', ({ event }) => event === 'registered');
    assert.equal(existsSync(join(at, 'invitation.txt')), false);
    const config = await startCommand(['agent', 'prepare-image', '--config', 'agent.yaml'], at).ended;
    assert.deepEqual([config.code, /stop it first/.test(config.stderr)], [1, true]);
    agent.child.kill('SIGTERM');
    withoutToken(invitation, [await agent.ended, status], house);
    noted(at, await invite(house, 'copy-*', 2));
    const image = await startCommand(
      ['agent', 'prepare-image', '--config', 'agent.yaml', '--invitation', 'invitation.txt'],
      at,
    ).ended;
    assert.equal(image.code, 0, image.stderr);
    assert.deepEqual(readdirSync(at).sort(), ['agent.yaml', 'anchors.pem', 'invitation.txt', 'state']);
    assert.deepEqual(readdirSync(join(at, 'state')), []);
    for (const name of ['copy-one', 'two']) {
      const copy = folder(house, `copy-${name}`);
      spawnSync('cp', ['-a', `${at}/.`, copy]);
      const copied = await enrol(copy, '--file', 'invitation.txt', '--config', 'agent.yaml', '--name', name, '--json')
        .ended;
      assert.equal(copied.code, 0, copied.stderr);
      assert.equal(JSON.parse(copied.stdout).device, name === 'two' ? 'copy-two' : name);
    }
  });
}

test('[P2] the key of a token is made in the token, and enrols there', { skip: softTokenAbsent }, async (t) => {
  const house = await place(t);
  const at = folder(house, 'safe');
  const token = makeSoftToken(join(at, 'token'), 'device', (end) => t.after(end));
  writeFileSync(
    join(at, 'agent.yaml'),
    `broker: { url: 'mqtt://127.0.0.1:1' } # another one
manager: another
stateDirectory: state
certificateFile: own.pem
keyFile: ${JSON.stringify(token.uri('safe'))}
trustAnchorFiles: [anchors.pem]
`,
  );
  noted(at, await invite(house, 'safe'));
  const args = ['agent', 'enrol', '--file', 'invitation.txt', '--config', 'agent.yaml'];
  const done = await startCommand(args, at, token.environment).ended;
  assert.equal(done.code, 0, done.stderr);
  const { manager, broker } = readConfigFile(join(at, 'agent.yaml'), agentConfig);
  assert.deepEqual([manager, broker.url], [MANAGER, `mqtt://127.0.0.1:${house.port}`], 'corrected by the invitation');
  assert.match(readFileSync(join(at, 'agent.yaml'), 'utf8'), /# another one/);
  const agent = startCommand(['agent', 'run', '--config', 'agent.yaml', '--log', 'json'], at, token.environment);
  await agent.logged('registered', ({ event }) => event === 'registered');
  agent.child.kill('SIGTERM');
  await agent.ended;
});

// ── What others on this machine see ─────────────────────────────────────────────────────────────────────────────────

interface Sighting {
  readonly pid: number;
  readonly afterMs: number;
  /** The command had said something before. */
  readonly said: boolean;
}

/** Looks at the command line of every process until the one that it started ends. */
async function watchWhile(secret: string, start: () => RealProcess) {
  const seen: Sighting[] = [];
  const pids = new Set<number>();
  const begun = performance.now();
  const running = start();
  const state = { over: false };
  const ended = running.ended.then((end) => {
    state.over = true;
    return end;
  });
  while (!state.over) {
    for (const name of readdirSync('/proc')) {
      const pid = Number(name);
      if (!Number.isInteger(pid) || pid < (running.child.pid ?? 0)) continue;
      try {
        const said = running.written() !== '';
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        if (line.includes('enrol')) pids.add(pid);
        const written = `${line}${readFileSync(`/proc/${pid}/environ`, 'latin1')}`;
        if (written.includes(secret)) seen.push({ pid, afterMs: performance.now() - begun, said });
      } catch {
        // it is gone
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { seen, pids, running, ended: await ended };
}

/** Of the process that the user started alone, and gone before it says its first word: it has not linked to anybody yet. */
function checkMoment(t: TestContext, { seen, running }: Awaited<ReturnType<typeof watchWhile>>): void {
  t.diagnostic(`in the list of processes for ${Math.ceil(seen.at(-1)?.afterMs ?? 0)} ms from the start of the command`);
  for (const { pid, said } of seen) assert.deepEqual([pid, said], [running.child.pid, false]);
}

test('a string on the command line is taken out of the list of processes at once; from a file or standard input it never is in it', async (t) => {
  const house = await place(t);
  const given = await invite(house, 'seen');
  const at = folder(house, 'seen');
  const shown = await watchWhile(given.slice(-40), () => enrol(at, given));
  assert.equal(shown.ended.code, 0, shown.ended.stderr);
  assert.ok(shown.seen.length > 0, 'whoever watches sees what there is to see');
  assert.ok(shown.pids.size > 0);
  checkMoment(t, shown);
  const filed = await invite(house, 'unseen');
  const beside = folder(house, 'unseen');
  noted(beside, filed);
  const hidden = await watchWhile(filed.slice(-40), () => enrol(beside, '--file', 'invitation.txt'));
  assert.equal(hidden.ended.code, 0, hidden.ended.stderr);
  assert.deepEqual(hidden.seen, []);
});

const older = ['/usr/local/bin/node', '/usr/bin/node'].find((path) => {
  const { status, stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
  return status === 0 && Number.parseInt(stdout.slice(1), 10) < 24;
});
const noOlder = older === undefined ? 'older Node absent: none beside the pinned one' : false;

test('an older Node hands the string on to the pinned one through a pipe', { skip: noOlder }, async (t) => {
  const house = await place(t);
  const given = await invite(house, 'passed');
  const at = folder(house, 'passed');
  const start = () => startCommand(['agent', 'enrol', given], at, {}, [older ?? '']);
  const shown = await watchWhile(given.slice(-40), start);
  assert.equal(shown.ended.code, 0, shown.ended.stderr);
  assert.ok(shown.pids.size >= 2, 'the older one and the pinned one');
  checkMoment(t, shown);
});

// ── Killed in the middle ────────────────────────────────────────────────────────────────────────────────────────────

const noStrace =
  spawnSync('strace', ['--version']).status === 0 ? false : 'strace absent: the command is not installed';

/** How a device touches its disk, and (`write`, `writev`) the link. */
const CALLS = ['mkdir', 'fsync', 'link', 'rename', 'unlink', 'write', 'writev'] as const;
type Call = (typeof CALLS)[number];

const through = (...options: readonly string[]): [string, ...string[]] => [
  'strace',
  '-qq',
  '-f',
  ...options,
  process.execPath,
];

/** What a whole enrolment does, in order, each with its number among its kind. */
async function stepsOf(house: House): Promise<readonly { readonly call: Call; readonly when: number }[]> {
  const at = folder(house, 'traced');
  noted(at, await invite(house, 'traced'));
  const tracing = through('-o', 'trace.txt', '-e', `trace=${CALLS.join()}`);
  const { code, stderr } = await startCommand(['agent', 'enrol', '--file', 'invitation.txt'], at, {}, tracing).ended;
  assert.equal(code, 0, stderr);
  const lines = readFileSync(join(at, 'trace.txt'), 'latin1').split('\n');
  const main = lines.find((line) => line.includes('kagimori-agent'))?.split(' ')[0];
  const counts = new Map<string, number>();
  const steps: { call: Call; when: number }[] = [];
  let begun = false;
  for (const line of lines) {
    const [pid, call] = /^(\d+)\s+(\w+)\(/.exec(line)?.slice(1) ?? [];
    if (pid !== main || !CALLS.some((one) => one === call)) continue;
    const when = (counts.get(call ?? '') ?? 0) + 1;
    counts.set(call ?? '', when);
    // before it, the runtime loads; the first that is ours makes the folder
    begun ||= line.includes('kagimori-agent');
    if (begun) steps.push({ call: call as Call, when });
  }
  return steps;
}

test('[B7] kill -9 before any step of it leaves an unspent token or an enrolled device, and the same command goes on', {
  skip: noStrace,
}, async (t) => {
  const house = await place(t);
  const steps = await stepsOf(house);
  const renames = steps.filter(({ call }) => call === 'rename').length;
  assert.ok(renames >= 5, `key, anchors, verifier, chain, configuration: ${renames}`);
  // else before the key, the chain and the configuration are there
  const chosen = LONG ? steps : steps.filter(({ call }) => call === 'rename').filter((_, i) => [0, 3, 4].includes(i));
  const ends = { nothing: 0, chain: 0, all: 0, unspent: 0 };
  for (const [number, { call, when }] of chosen.entries()) {
    const name = `dev-${number}`;
    const at = folder(house, name);
    noted(at, await invite(house, name));
    const options = ['-o', '/dev/null', '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${when}`];
    const { signal, code } = await startCommand(
      ['agent', 'enrol', '--file', 'invitation.txt'],
      at,
      {},
      through(...options),
    ).ended;
    const what = `${call} ${when}`;
    // the number of writes differs from run to run by what comes in one packet
    if (!call.startsWith('write')) assert.equal(signal, 'SIGKILL', `${what}: ended with ${code}`);
    ends[checkFiles(at)]++;
    ends.unspent += await leftOf(house, name);
    const again = await enrol(at, '--file', 'invitation.txt', '--json').ended;
    assert.equal(again.code, 0, `${what}: ${again.stderr}`);
    assert.equal(JSON.parse(again.stdout).device, name, what);
    assert.equal(checkFiles(at), 'all', what);
    assert.equal(await leftOf(house, name), 0, what);
  }
  t.diagnostic(JSON.stringify({ ...ends, cuts: chosen.length }));
  assert.ok(ends.unspent > 0 && ends.nothing > ends.unspent && ends.chain > 0, JSON.stringify(ends));
});
