/**
 * Wishes and places that are no good, between real processes: the clear message, the documented exit code, the services
 * still up, nothing lost.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { EXIT_CODES } from '../../cli/exit-codes.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { loadOrCreateKeyFile } from '../../platform/store-key.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { buildHouse, type House } from '../real-house.ts';
import { type Ended, type LogLine, runCommand } from '../real-process.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
const OCCUPANTS = [
  { id: 'lamp', yaml: PROPOSALS },
  { id: 'switch', yaml: PROPOSALS },
  { id: 'vault', yaml: PROPOSALS },
  { id: 'butler', yaml: `${PROPOSALS}approval: { otherwise: ask, askTimeoutSeconds: 1 }\n` },
] as const;
const MANAGER_YAML = `connect: { rules: [{ from: '*', to: vault, allow: false }] }
sessions: { askTimeoutSeconds: 2 }
`;

let house: House;
const ends: (() => Promise<void> | void)[] = [];

before(async () => {
  house = await buildHouse({ occupants: OCCUPANTS, managerYaml: MANAGER_YAML }, (end) => ends.push(end));
  await Promise.all(OCCUPANTS.map(({ id }) => house.admit(id)));
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

const connect = (callee: string): Promise<Ended> =>
  runCommand(['agent', 'connect', callee, '--state', house.at('switch'), '--json']);

async function othersGoOn(): Promise<void> {
  for (const party of ['broker', 'verifier', 'manager', 'lamp', 'switch'])
    assert.equal(house.running(party).child.exitCode, null);
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  await house.ask('switch', 'close', { sid });
  assert.deepEqual(await house.ask('manager', 'session.list'), []);
}

/** One line on stderr, one object on stdout, no stack. @returns the object's error */
function failureOf({ code, stdout, stderr }: Ended, exit: keyof typeof EXIT_CODES): { code: string; message: string } {
  assert.equal(code, EXIT_CODES[exit].code, stderr);
  assert.doesNotMatch(stderr, /^ +at |this is a bug/m);
  assert.match(stderr, /^kagimori: [^\n]+\n$/);
  return (JSON.parse(stdout) as { error: { code: string; message: string } }).error;
}

// ── Callees ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P12] [5.4 no oracle] a callee that is unknown and one that is forbidden: refused in the same words', async () => {
  const [unknown, forbidden] = await Promise.all([connect('nobody'), connect('vault')]);
  const [one, other] = [failureOf(unknown, 'refused'), failureOf(forbidden, 'refused')];
  assert.equal(one.code, 'forbidden');
  assert.deepEqual({ ...one, message: one.message.replace('nobody', 'vault') }, other);
});

test('a device that asks for itself is refused', async () => {
  assert.equal(failureOf(await connect('switch'), 'refused').code, 'self');
});

test('[P14] a callee whose person does not answer refuses in time, one whose process stands still is given up in time', async () => {
  const silent = await house.hear('butler');
  assert.equal(failureOf(await connect('butler'), 'timeout').code, 'timeout');
  const refused = await silent.until('its own refusal', ({ event }) => event === 'ask.refused');
  assert.equal(refused.reason, 'timeout');
  const lamp = house.running('lamp').child;
  lamp.kill('SIGSTOP');
  const stopped = await connect('lamp');
  lamp.kill('SIGCONT');
  assert.equal(failureOf(stopped, 'timeout').code, 'timeout');
  await house
    .running('manager')
    .logged('given up', ({ event, reason }) => event === 'session.over' && reason === 'timeout');
  await othersGoOn();
});

test('[P12] a callee that is registered and offline: unreachable', async () => {
  await house.stop('lamp', 'SIGTERM');
  await house
    .running('manager')
    .logged('it is gone', ({ event, device }) => event === 'link.gone' && device === 'lamp');
  assert.equal(failureOf(await connect('lamp'), 'refused').code, 'unreachable');
  await house.admit('lamp');
  await othersGoOn();
});

test('an agent asked for what is not there: exit codes of the reference', async () => {
  const ofAgent = (...args: readonly string[]) =>
    runCommand(['agent', ...args, '--state', house.at('switch'), '--json']);
  const [send, close, approve, show] = await Promise.all([
    ofAgent('send', 'lamp', 'hello'),
    ofAgent('close', 'feedfeedfeedfeed'),
    runCommand(['approval', 'allow', 'feedfeedfeedfeed', '--state', house.at('switch'), '--json']),
    runCommand(['device', 'show', 'nobody', '--data', house.at('manager'), '--json']),
  ]);
  assert.equal(failureOf(send, 'notFound').code, 'no-session');
  assert.equal(failureOf(close, 'notFound').code, 'no-session');
  assert.equal(failureOf(approve, 'notFound').code, 'not-found');
  assert.equal(failureOf(show, 'notFound').code, 'not-found');
});

// ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const managerRun = (config: string): Promise<Ended> =>
  runCommand(['manager', 'run', '--config', house.at(config), '--json']);

/** The manager's configuration with one setting changed. */
function managerWith(setting: string, value: string): string {
  const file = `manager-with-${setting}.yaml`;
  house.write(file, house.read('manager.yaml').replace(new RegExp(`^${setting}: .*$`, 'm'), `${setting}: ${value}`));
  return file;
}

test('a second manager on the same data directory is told by which process it is in use; the first goes on', async () => {
  const { message } = failureOf(await managerRun('manager.yaml'), 'refused');
  assert.match(message, new RegExp(`manager.* ${house.running('manager').child.pid}\\b`));
  await othersGoOn();
});

test('a second agent on the same state directory likewise', async () => {
  const { code, message } = failureOf(
    await runCommand(['agent', 'run', '--config', house.at('lamp.yaml'), '--json']),
    'refused',
  );
  assert.equal(code, 'already-running');
  assert.match(message, new RegExp(`/lamp is in use by process ${house.running('lamp').child.pid}\\b`));
  await othersGoOn();
});

test('a data directory that cannot be made: named, with the reason', async () => {
  writeFileSync(house.at('a-file'), '');
  const { message } = failureOf(await managerRun(managerWith('dataDirectory', 'a-file/data')), 'usage');
  assert.match(message, /a-file\/data: /);
});

test('a configuration that is broken: its file, line, column and key', async () => {
  const file = managerWith('name', '[not, a, name]');
  const line =
    house
      .read(file)
      .split('\n')
      .findIndex((one) => one.startsWith('name:')) + 1;
  const { message } = failureOf(await managerRun(file), 'usage');
  assert.match(message, new RegExp(`${file}:${line}:\\d+: name: `));
  house.write('torn.yaml', 'broker: { url: mqtt://127.0.0.1:1883\nmanager: [\n');
  const torn = await runCommand(['agent', 'run', '--config', house.at('torn.yaml'), '--json']);
  assert.equal(torn.code, EXIT_CODES.usage.code);
  assert.match(torn.stderr, /^(kagimori: .*torn\.yaml:\d+:\d+: no valid YAML: [^\n]+\n)+$/);
});

test('[P9] [B7] a truncated database: named, not opened, no stack; with the whole file back nothing is lost', async () => {
  const devices = await house.ask('manager', 'device.list');
  await house.stop('manager', 'SIGTERM');
  const database = house.at('manager', 'store.mdb');
  copyFileSync(database, house.at('whole.mdb'));
  truncateSync(database, 3 * 4096); // the pages behind its headers; at its end lies room that nobody uses yet
  const { message, code } = failureOf(await managerRun('manager.yaml'), 'damaged');
  assert.equal(code, 'truncated');
  assert.match(message, /store\.mdb/);
  copyFileSync(house.at('whole.mdb'), database);
  const manager = await house.start('manager');
  await manager.logged('broker.up', ({ event }) => event === 'broker.up');
  const again = await house.ask('manager', 'device.list');
  assert.deepEqual(registrations(again), registrations(devices));
  await othersGoOn();
});

const registrations = (devices: unknown): unknown =>
  (devices as { id: string; registration: unknown }[]).map(({ id, registration }) => ({ id, registration }));

/** A small file system of its own. @returns why there can be none, or false */
function mountSmall(path: string, options: string): string | false {
  mkdirSync(path, { recursive: true });
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { encoding: 'utf8' });
  if (status !== 0) return `tmpfs absent: it cannot be mounted here: ${(stderr ?? 'no mount command').trim()}`;
  ends.push(() => void spawnSync('umount', ['-l', path]));
  return false;
}

test('a data directory that may not be written: named, with the reason', async (t) => {
  const absent = mountSmall(house.at('sealed'), 'ro,size=1m');
  if (absent !== false) return t.skip(absent);
  const { message } = failureOf(await managerRun(managerWith('dataDirectory', 'sealed/data')), 'usage');
  assert.match(message, /sealed\/data: this user may not write here/);
});

test('[P9] a full data directory: said, survived, nobody is in whose login is not on the disk; with room again it goes on', async (t) => {
  const absent = mountSmall(house.at('small'), 'size=2m,mode=0700');
  if (absent !== false) return t.skip(absent);
  await house.stop('manager', 'SIGTERM');
  house.write('manager.yaml', house.read(managerWith('dataDirectory', 'small')));
  const ballast = house.at('small', 'ballast');
  writeFileSync(ballast, Buffer.alloc(2 * 1024 * 1024 - 4096));
  assert.match(
    failureOf(await managerRun('manager.yaml'), 'refused').message,
    /small.*: the disk is full|free some space/,
  );
  rmSync(ballast);

  await fillStore(house.at('small'));
  const manager = await house.start('manager');
  const failed = await manager.logged('the full disk', ({ event }) => event === 'store.failed');
  assert.match(String(failed.reason), /free some space/);
  const before = new Set(manager.log.filter(isIn).map(({ device }) => device));
  assert.ok(before.size < OCCUPANTS.length);
  assert.equal(spawnSync('mount', ['-o', 'remount,size=8m', house.at('small')]).status, 0);
  await manager.logged('one more is in', (line) => isIn(line) && !before.has(line.device));
  for (const party of ['broker', 'verifier', 'manager', 'lamp', 'switch'])
    assert.equal(house.running(party).child.exitCode, null);
});

/** Comes after everything about the login is on the disk. */
const isIn = ({ event }: LogLine): boolean => event === 'channel.opened';

/** Writes records of nobody until the disk takes no more, so that the manager finds no room. */
async function fillStore(directory: string): Promise<void> {
  const crypto = nodeCrypto();
  const store = await openLmdbStore({ directory, key: loadOrCreateKeyFile(`${directory}/store.key`, crypto), crypto });
  loadOrCreateKeyFile(`${directory}/sealing.key`, crypto);
  const fill = async (): Promise<never> => {
    for (let n = 0; ; n++) await store.commit([{ table: 'ballast', key: String(n), value: new Uint8Array(3000) }]);
  };
  await assert.rejects(fill(), { fault: 'full' });
  await store.close();
}
