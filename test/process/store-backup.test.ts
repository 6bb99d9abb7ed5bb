/**
 * Backup of a running manager, restore, and an older copy put back behind its back, with real processes: the registries
 * before and after, the devices that go on without a full login, and what the operator is told.
 */
import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { restoreBackup } from '../../cli/manager-restore.ts';
import { buildHouse, type House } from '../real-house.ts';
import { type Ended, runCommand } from '../real-process.ts';

const PROPOSALS = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
const DEVICES = ['lamp', 'switch'];
const SETTLED_MS = 20_000;

let house: House;
const ends: (() => Promise<void>)[] = [];

before(async () => {
  house = await buildHouse(
    { occupants: DEVICES.map((id) => ({ id, yaml: PROPOSALS })), managerYaml: 'witnessFile: witness\n' },
    (end) => ends.push(end),
  );
  for (const id of DEVICES) await house.admit(id);
});
after(async () => {
  for (const end of ends) await end();
});

const data = (): string => house.at('manager');
const kagimori = (...args: readonly string[]): Promise<Ended> => runCommand(args);
const json = async (...args: readonly string[]): Promise<unknown> => {
  const { code, stdout, stderr } = await kagimori(...args, '--json');
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  return JSON.parse(stdout);
};

interface Listed {
  readonly id: string;
  readonly linked: unknown;
  readonly channel: object | null;
}

/** What is registered, without what is open at the moment. */
async function registry(): Promise<unknown> {
  const devices = (await json('device', 'list', '--data', data())) as Listed[];
  const sessions = (await house.ask('manager', 'session.list')) as unknown as Session[];
  return {
    devices: devices.map(({ linked: _linked, channel: _channel, ...rest }) => rest),
    sessions: sessions.map(({ up: _up, epoch: _epoch, ...rest }) => rest),
  };
}

interface Session {
  readonly sid: string;
  readonly up: unknown;
  readonly epoch: unknown;
}

interface Status {
  readonly channel: object | null;
  readonly publicKeyOperations: { readonly all: number };
  readonly openings: readonly { readonly opened: string }[];
}
const statusOf = async (id: string): Promise<Status> => (await house.ask(id, 'status')) as unknown as Status;

interface ManagerStatus {
  readonly store: { readonly state: string; readonly commits: number };
  readonly rollback: { readonly [key: string]: unknown } | null;
  readonly channels: number;
}
const managerStatus = async (): Promise<ManagerStatus> =>
  (await house.ask('manager', 'status')) as unknown as ManagerStatus;

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const began = performance.now();
  while (!(await holds())) {
    assert.ok(performance.now() - began < SETTLED_MS, `not in ${SETTLED_MS} ms: ${what}`);
    await pause(100);
  }
}

const channelsOpen = (count: number): Promise<void> =>
  until(`${count} channels open`, async () => (await managerStatus()).channels === count);

/** Each device leaves and comes back by resumption, which moves its chain on. */
async function restartManager(): Promise<void> {
  await house.stop('manager', 'SIGTERM');
  await house.start('manager');
  await channelsOpen(DEVICES.length);
}

test('[B7] backup of a running manager, then restore of it: the registries are equal and the devices resume', {
  timeout: 240_000,
}, async () => {
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  const backup = house.at('backup-1');
  const made = (await json('manager', 'backup', '--to', backup, '--data', data())) as { devices: number };
  assert.equal(made.devices, DEVICES.length);
  const before = await registry();
  assert.deepEqual(readdirSync(backup).sort(), ['backup.json', 'sealing.key', 'store.key', 'store.mdb']);
  assert.equal(statSync(backup).mode & 0o777, 0o700);
  for (const name of readdirSync(backup)) assert.equal(statSync(join(backup, name)).mode & 0o777, 0o600, name);

  const again = await kagimori('manager', 'backup', '--to', backup, '--data', data());
  assert.equal(again.code, 1);
  assert.match(again.stderr, /exists: a backup overwrites nothing/);
  const running = await kagimori('manager', 'restore', '--from', backup, '--data', data(), '--force');
  assert.equal(running.code, 1);
  assert.match(running.stderr, new RegExp(`in use by process ${house.running('manager').child.pid}`));

  await house.stop('manager', 'SIGTERM');
  rmSync(data(), { recursive: true });
  const restored = (await json('manager', 'restore', '--from', backup, '--data', data())) as { sessions: number };
  assert.equal(restored.sessions, 1);
  const operations = await Promise.all(DEVICES.map(statusOf));
  const manager = await house.start('manager');
  await channelsOpen(DEVICES.length);
  assert.deepEqual(await registry(), before);
  for (const [at, id] of DEVICES.entries()) {
    assert.equal((await statusOf(id)).publicKeyOperations.all, operations[at]!.publicKeyOperations.all, id);
  }
  assert.ok(!manager.log.some(({ event }) => event === 'store.rolled-back'), 'a restore is no roll-back');
  const { rollback } = await managerStatus();
  assert.equal(rollback?.what, 'restored');
  await json('manager', 'acknowledge', '--data', data());
  assert.equal((await managerStatus()).rollback, null);
  await house.ask('manager', 'session.end', { sid });
});

test('a restore is checked before it replaces anything, and what it replaces is kept', {
  timeout: 240_000,
}, async () => {
  const backup = house.at('backup-2');
  await json('manager', 'backup', '--to', backup, '--data', data());
  const elsewhere = house.at('elsewhere');
  const restore = (keysFrom: string | null = null, force = false) =>
    restoreBackup(backup, elsewhere, { force, keysFrom });

  const whole = readFileSync(join(backup, 'store.mdb'));
  const bent = Buffer.from(whole);
  bent[bent.indexOf('lamp')]! ^= 1;
  for (const [what, spoil, message] of [
    ['a flipped bit', () => writeFileSync(join(backup, 'store.mdb'), bent), /is not the file that was saved/],
    ['cut off', () => truncateSync(join(backup, 'store.mdb'), whole.length - 1), /is not the file that was saved/],
    [
      'another key',
      () => writeFileSync(join(backup, 'sealing.key'), new Uint8Array(32)),
      /is not the file that was saved/,
    ],
    ['no note', () => renameSync(join(backup, 'backup.json'), join(backup, 'note')), /is no backup/],
  ] as const) {
    const saved = house.at('saved');
    cpSync(backup, saved, { recursive: true });
    spoil();
    await assert.rejects(restore(), { message }, what);
    assert.ok(!existsSync(join(elsewhere, 'store.mdb')), what);
    rmSync(backup, { recursive: true });
    renameSync(saved, backup);
  }
  // sums made to fit: the MACs and the seals are looked at all the same
  const note = JSON.parse(readFileSync(join(backup, 'backup.json'), 'utf8')) as { sha256: Record<string, string> };
  const { 'sealing.key': _sum, ...sums } = note.sha256;
  writeFileSync(join(backup, 'backup.json'), JSON.stringify({ ...note, sha256: sums }));
  await assert.rejects(restore(), { code: 'no-keys', message: /sealing\.key is missing: .*--keys/ });
  const keys = house.at('kept-keys');
  mkdirSync(keys, { mode: 0o700 });
  for (const name of ['store.key', 'sealing.key'])
    writeFileSync(join(keys, name), new Uint8Array(32).fill(3), { mode: 0o600 });
  await assert.rejects(restore(keys), { fault: 'wrong-key', message: /was not made with this store key/ });
  cpSync(join(backup, 'store.key'), join(keys, 'store.key'));
  await assert.rejects(restore(keys), { code: 'damaged', message: /sealing\.key does not open the secret of/ });
  cpSync(join(data(), 'sealing.key'), join(keys, 'sealing.key'));
  assert.equal((await restore(keys)).kept, null);

  await assert.rejects(restore(keys), { code: 'not-empty', message: /holds a store already: --force/ });
  const former = readFileSync(join(elsewhere, 'store.mdb'));
  const { kept } = await restore(keys, true);
  assert.ok(kept !== null);
  assert.ok(former.equals(readFileSync(join(kept, 'store.mdb'))));
  assert.deepEqual(
    readdirSync(elsewhere).filter((name) => name.startsWith('restore.')),
    [],
  );
});

test('a backup without keys holds none, and is restored with those that were kept apart', async () => {
  const backup = house.at('backup-3');
  await json('manager', 'backup', '--to', backup, '--data', data(), '--no-keys');
  assert.deepEqual(readdirSync(backup).sort(), ['backup.json', 'store.mdb']);
  const elsewhere = house.at('elsewhere-3');
  const without = restoreBackup(backup, elsewhere, { force: false, keysFrom: null });
  await assert.rejects(without, { code: 'no-keys', message: /made without keys: say with --keys/ });
  await restoreBackup(backup, elsewhere, { force: false, keysFrom: data() });
  assert.ok(readFileSync(join(elsewhere, 'store.key')).equals(readFileSync(join(data(), 'store.key'))));
});

test('a backup that cannot be written names the place and leaves nothing', async () => {
  const { code, stderr } = await kagimori('manager', 'backup', '--to', '/proc/nowhere/backup', '--data', data());
  assert.equal(code, 2, stderr);
  assert.match(stderr, /\/proc\/nowhere\/backup.*the manager writes it/);
  assert.equal((await managerStatus()).store.state, 'good');
});

test('[B7] an older copy of the data directory, put back while the manager is stopped: the witness refuses it by name', {
  timeout: 240_000,
}, async () => {
  await house.stop('manager', 'SIGTERM');
  cpSync(data(), house.at('old'), { recursive: true, preserveTimestamps: true });
  await house.start('manager');
  await channelsOpen(DEVICES.length);
  await restartManager();
  await json('device', 'remove', 'switch', '--data', data());
  await house.stop('manager', 'SIGTERM');
  rmSync(data(), { recursive: true });
  cpSync(house.at('old'), data(), { recursive: true, preserveTimestamps: true });
  const { code, stderr } = await kagimori('manager', 'run', '--config', house.at('manager.yaml'));
  assert.equal(code, 6, stderr);
  assert.match(
    stderr,
    /is an older copy: its last commit is number \d+, .*witness knows of number \d+ .*--accept-rollback/,
  );
});

test('[B7] the same without a witness: named in log, status and doctor within one resumption, until it is acknowledged', {
  timeout: 240_000,
}, async () => {
  rmSync(house.at('witness'));
  const before = await Promise.all(DEVICES.map(statusOf));
  const manager = await house.start('manager');
  const warning = await manager.logged('the roll-back', ({ event }) => event === 'store.rolled-back');
  assert.ok(Number(warning.shown) - Number(warning.held) >= 2, JSON.stringify(warning));
  assert.match(String(warning.remedy), /device list/);
  await until('the lamp has resumed', async () => (await statusOf('lamp')).channel !== null);
  assert.equal((await statusOf('lamp')).publicKeyOperations.all, before[0]!.publicKeyOperations.all);
  assert.equal(manager.log.filter(({ event }) => event === 'store.rolled-back').length, 1);
  const { rollback } = await managerStatus();
  assert.equal(rollback?.what, 'rolled-back');
  assert.match(String(rollback?.storedUntil), /^20\d\d-/);
  const shown = await kagimori('status', '--data', data());
  assert.match(shown.stdout, /rolled-back[\s\S]*older copy[\s\S]*device list/);
  const doctor = await kagimori('doctor', house.at('manager.yaml'));
  assert.equal(doctor.code, 1);
  assert.match(doctor.stdout, /✗ the store was rolled back: .* came under secret \d+, the store held \d+/);

  const known = (await json('manager', 'acknowledge', '--data', data())) as { what: string };
  assert.equal(known.what, 'rolled-back');
  assert.equal((await managerStatus()).rollback, null);
});
