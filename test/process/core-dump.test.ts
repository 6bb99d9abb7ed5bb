/**
 * Keys that must be gone, looked for where somebody with the machine would look: the manager's memory, its store, the
 * logs; and the way by which memory reaches the disk, a core dump.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { decodeMemory } from '../../device-agent/memory.ts';
import { coreReceiver } from '../../platform/core-dumps.ts';
import { readMemory } from '../process-memory.ts';
import { buildHouse, type House, type Party } from '../real-house.ts';
import { ROOT } from '../real-process.ts';
import { type Finding, type Secrets, searchFor, summaryOf } from '../secret-search.ts';
import { type SpyingAgent, startSpyingAgent } from '../spying-agent.ts';

const SEED = '{ cipher: aes-gcm, keyBits: 128, keyMode: seed }';
const KEY = '{ cipher: chacha20-poly1305, keyBits: 256, keyMode: key }';
const SESSIONS = 50;
const CALLEES = ['lamp', 'horn'] as const;
const PARTIES: readonly Party[] = ['broker', 'verifier', 'manager', ...CALLEES];

/** In the registry of the manager, by way of an address: what the search has to find in hex and base64url. */
const PLANTED = { hex: randomBytes(24), base64url: randomBytes(24) };
const ADDRESSES = `addresses: ['mqtt:km1', 'x:${PLANTED.hex.toString('hex')}', 'x:${PLANTED.base64url.toString('base64url')}']\n`;

let house: House;
let caller: SpyingAgent;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  house = await buildHouse(
    {
      occupants: [
        { id: 'lamp', yaml: `proposals: [${SEED}]\n` },
        { id: 'horn', yaml: `proposals: [${KEY}]\n` },
        { id: 'switch', yaml: `proposals: [${SEED}, ${KEY}]\n` },
      ],
    },
    (end) => ends.push(end),
  );
  house.write('switch.yaml', house.read('switch.yaml').replace(/^addresses: .*\n/m, ADDRESSES));
  await Promise.all(CALLEES.map((id) => house.admit(id)));
  caller = await startSpyingAgent(house.at('switch.yaml'));
  for (let round = 0; round < SESSIONS; round++) {
    for (const callee of CALLEES) await caller.ask('connect', { callee });
  }
});
after(async () => {
  await caller?.close();
  for (const end of ends) await end();
});

/** Of sessions that are open at this moment, so that nothing was wiped because it ended. */
function sessionSecrets(): Secrets {
  const grants = caller.grants.map(({ keyMode, secret }, at) => [`${keyMode} of session ${at}`, secret] as const);
  const keys = caller.otherKeys().map((key, at) => [`key ${at} of a session`, key] as const);
  return Object.fromEntries([...grants, ...keys]);
}

/** What the manager works with and has to hold. */
function liveSecrets(): Secrets {
  const [up, down] = caller.channelKeys();
  return {
    "channel key of the caller's records": up!,
    "channel key of the manager's records": down!,
    'key of the sealed secrets': readFileSync(house.at('manager', 'sealing.key')),
  };
}

const formsOf = (findings: readonly Finding[], wanted: string): string[] =>
  [...new Set(findings.filter(({ name }) => name === wanted).map(({ form }) => form))].sort();

test(`the manager's memory: what it works with is found, none of ${2 * SESSIONS} open sessions' seeds and keys`, async () => {
  const { grants } = caller;
  assert.equal(grants.filter(({ keyMode }) => keyMode === 'seed').length, SESSIONS);
  assert.equal(grants.filter(({ keyMode }) => keyMode === 'key').length, SESSIONS);
  const sessions = (await house.ask('manager', 'session.list')) as { state: string }[];
  assert.equal(sessions.filter(({ state }) => state === 'granted').length, 2 * SESSIONS);
  assert.ok(caller.otherKeys().length >= 2 * SESSIONS, 'the derived keys are looked for too');

  const secrets = sessionSecrets();
  const live = liveSecrets();
  const find = searchFor({ ...live, ...secrets, ...PLANTED });
  const findings: Finding[] = [];
  readMemory(house.running('manager').child.pid!, (bytes) => findings.push(...find(bytes)));
  for (const name of Object.keys(live))
    assert.deepEqual(formsOf(findings, name), ['raw'], `the search finds the ${name}`);
  for (const name of Object.keys(PLANTED)) assert.ok(formsOf(findings, name).includes(name), `and ${name}`);
  const bad = findings.filter(({ name }) => name in secrets);
  assert.equal(summaryOf(bad), '');
  assert.equal(((await house.ask('manager', 'session.list')) as unknown[]).length, 2 * SESSIONS, 'it goes on');
});

test("the manager's store, every log and every status: no session's secret and no key, at level debug", async () => {
  const [store, ...others] = readdirSync(house.at('manager'))
    .filter((file) => !/\.(?:sock|key)$/.test(file))
    .sort((a, b) => Number(b.endsWith('.mdb')) - Number(a.endsWith('.mdb')))
    .map((file) => readFileSync(house.at('manager', file)));
  const inStore = searchFor({ ...sessionSecrets(), ...liveSecrets(), ...PLANTED });
  const findings = [store!, ...others].flatMap(inStore);
  for (const name of Object.keys(PLANTED))
    assert.ok(formsOf(findings, name).includes(name), `the search finds ${name}`);
  assert.equal(summaryOf(findings.filter(({ name }) => !(name in PLANTED))), '');

  const kept = Object.fromEntries(
    CALLEES.map((id) => {
      const { secret } = decodeMemory(readFileSync(house.at(id, 'channel.cbor')));
      return [`resumption secret of ${id}`, secret!.secret];
    }),
  );
  const names = { 'an event': Buffer.from('session.granted'), 'a name': Buffer.from('"cipher":"aes-gcm"') };
  const inLogs = searchFor({
    ...sessionSecrets(),
    ...liveSecrets(),
    ...kept,
    'key of the registry': readFileSync(house.at('manager', 'store.key')),
    ...names,
  });
  const statuses = await Promise.all([...CALLEES, 'manager'].map((party) => house.ask(party, 'status')));
  const own = JSON.stringify(await caller.ask('status'));
  const texts = [
    ...house.ran.map((one) => one.written()),
    ...statuses.map((one) => JSON.stringify(one)),
    own,
    caller.said(),
  ];
  const told = texts.flatMap((text) => inLogs(Buffer.from(text)));
  for (const name of Object.keys(names)) assert.ok(formsOf(told, name).includes('raw'), `the search finds ${name}`);
  assert.equal(summaryOf(told.filter(({ name }) => !(name in names))), '');
});

/** Seals as the manager does, with collections in between; then waits to be looked at. */
async function sealAmidCollections(keep: 'sealed' | 'kept', keyMode: 'seed' | 'key'): Promise<Finding[]> {
  const file = join(import.meta.dirname, 'grant-sealer.ts');
  const child = spawn(process.execPath, ['--expose-gc', file, keep, keyMode], { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    let line = '';
    for await (const text of child.stdout.setEncoding('utf8')) {
      line += text;
      if (line.endsWith('\n')) break;
    }
    const masked = JSON.parse(line) as string[];
    const secrets = masked.map((hex, at) => [
      `secret ${at}`,
      Uint8Array.from(Buffer.from(hex, 'hex'), (byte) => ~byte),
    ]);
    const find = searchFor(Object.fromEntries(secrets) as Secrets);
    const findings: Finding[] = [];
    readMemory(child.pid!, (bytes) => findings.push(...find(bytes)));
    return findings;
  } finally {
    child.kill('SIGKILL');
  }
}

test('a garbage collection between the making and the sealing of a grant leaves no copy of its secret', async () => {
  assert.notEqual((await sealAmidCollections('kept', 'seed')).length, 0, 'a secret in the heap of V8 leaves copies');
  assert.equal(summaryOf(await sealAmidCollections('sealed', 'seed')), '');
  assert.equal(
    summaryOf(await sealAmidCollections('sealed', 'key')),
    '',
    'keys of AES-256 with HMAC-SHA-512: 204 bytes',
  );
});

test('no daemon may write a core dump, whatever its surroundings allow, and every one can still be ended by a signal', async (t) => {
  const wanted = coreReceiver() === 'file' ? '0' : '[01]';
  for (const party of PARTIES) {
    const limits = readFileSync(`/proc/${house.running(party).child.pid}/limits`, 'utf8');
    assert.match(limits, new RegExp(`^Max core file size +${wanted} +${wanted} +bytes`, 'm'), party);
  }
  const folder = mkdtempSync(join(tmpdir(), 'km-core-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const fall = (command: readonly string[]) =>
    spawnSync('sh', ['-c', 'ulimit -c unlimited && exec "$@"', 'sh', ...command], {
      cwd: folder,
      encoding: 'utf8',
      timeout: 30_000,
    });
  // the same death without the daemon's care: the kernel would have written one here, where it writes files
  const careless = fall([process.execPath, '-e', "process.kill(process.pid, 'SIGSEGV')"]);
  assert.equal(careless.signal, 'SIGSEGV');
  const relative = /^[^|@/]/.test(readFileSync('/proc/sys/kernel/core_pattern', 'utf8'));
  assert.equal(readdirSync(folder).length > 0, relative, 'a core dump of a process that does not forbid it');
  for (const file of readdirSync(folder)) rmSync(join(folder, file));
  house.write('spare.yaml', 'listen: [{ kind: tcp, host: 127.0.0.1, port: 0 }]\n');
  // once it is ready it has read its keys
  const script = '"$0" "$@" --json >ready & until [ -s ready ]; do sleep 0.1; done; rm ready; kill -SEGV $!; wait $!';
  const broker = [process.execPath, join(ROOT, 'cli/kagimori.js'), 'broker', 'run', '--config', house.at('spare.yaml')];
  const careful = fall(['sh', '-c', script, ...broker]);
  assert.equal(careful.status, 128 + 11, careful.stderr);
  assert.deepEqual(readdirSync(folder), []);
});
