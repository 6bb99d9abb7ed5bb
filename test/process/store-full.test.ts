/**
 * The real manager on a disk that is full and then is not: nobody is let in by halves, everybody is told, nothing is
 * restarted.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { buildHouse } from '../real-house.ts';
import { runCommand } from '../real-process.ts';

const unprivileged = process.getuid?.() === 0 ? false : 'needs root, to mount a small file system';
const PAGE = 4096;

/** The reserve behind the last page in use goes: the next commit has to ask the disk for room. */
function dropReserve(path: string): void {
  const file = readFileSync(path);
  const metas = [0, PAGE].map(
    (at) => [file.readBigUInt64LE(at + 152), Number(file.readBigUInt64LE(at + 144))] as const,
  );
  const [, lastPage] = metas[0]![0] > metas[1]![0] ? metas[0]! : metas[1]!;
  truncateSync(path, (lastPage + 1) * PAGE);
}

test('[P9] [B7] a manager whose disk is full refuses logins and sessions by name, says so, and goes on without a restart', {
  skip: unprivileged,
  timeout: 180_000,
}, async (t) => {
  const ends: (() => Promise<void>)[] = [];
  const proposals = 'proposals: [{ cipher: aes-gcm, keyBits: 128, keyMode: seed }]\n';
  const house = await buildHouse(
    { occupants: ['lamp', 'switch', 'late'].map((id) => ({ id, yaml: proposals })) },
    (end) => ends.push(end),
  );
  const data = house.at('manager');
  t.after(async () => {
    await house.stop('manager');
    spawnSync('umount', ['-l', data]);
    for (const end of ends) await end();
  });
  await house.admit('lamp');
  await house.admit('switch');
  await house.stop('manager', 'SIGTERM');
  const files = house.at('files');
  cpSync(data, files, { recursive: true, filter: (path) => !path.endsWith('.sock') });
  dropReserve(join(files, 'store.mdb'));
  assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0700', 'tmpfs', data]).status, 0);
  for (const name of readdirSync(files)) cpSync(join(files, name), join(data, name));
  // nobody comes and has the store take a new reserve before the disk is full
  const present = ['lamp', 'switch'].map((id) => house.running(id).child);
  for (const child of present) child.kill('SIGSTOP');
  const manager = await house.start('manager');
  await manager.logged('its start', ({ event }) => event === 'broker.up');

  const filler = join(data, 'filler');
  try {
    for (;;) writeFileSync(filler, new Uint8Array(PAGE), { flag: 'a' });
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
  }
  for (const child of present) child.kill('SIGCONT');
  const late = await house.start('late');
  const denied = await late.logged('the refusal', ({ event }) => event === 'login.failed');
  assert.match(String(denied.why), /cannot store a login now/);
  const failed = await manager.logged('the cause', ({ event }) => event === 'store.failed');
  assert.match(
    String(failed.reason),
    /store\.mdb: the disk is full: free some space; nothing that was acknowledged is lost/,
  );
  const devices = (await house.ask('manager', 'device.list')) as unknown as { id: string }[];
  assert.deepEqual(devices.map(({ id }) => id).sort(), ['lamp', 'switch'], 'memory holds what the disk holds');
  await assert.rejects(house.ask('switch', 'connect', { callee: 'lamp' }), (error: { code: string }) => {
    assert.match(error.code, /internal-error/);
    return true;
  });
  const { store } = (await house.ask('manager', 'status')) as unknown as {
    store: { state: string; refusedCommits: number };
  };
  assert.equal(store.state, 'full');
  assert.ok(store.refusedCommits >= 2);
  const doctor = await runCommand(['doctor', house.at('manager.yaml')]);
  assert.match(doctor.stdout, /✗ the store has refused \d+ commits since [^:]+:.*the disk is full/);
  const status = await runCommand(['status', '--data', data]);
  assert.match(status.stdout, /state +full[\s\S]*the disk is full/);

  rmSync(filler);
  await late.logged('the late device', ({ event }) => event === 'registered');
  const { sid } = (await house.ask('switch', 'connect', { callee: 'lamp' })) as { sid: string };
  assert.match(sid, /^[0-9a-f]+$/);
  const after = (await house.ask('manager', 'status')) as unknown as { store: { state: string } };
  assert.equal(after.store.state, 'good');
  assert.equal(house.running('manager'), manager, 'the same process');
  assert.ok(!manager.log.some(({ event }) => event === 'bug'));
});
