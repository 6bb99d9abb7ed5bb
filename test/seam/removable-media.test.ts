/**
 * Media with anything on them: what comes and goes is told, and nothing on a medium does harm.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { deviceIsThere, matchesPattern, readMountPoints } from '../../hardware/mount-points.ts';
import { watchMedia } from '../../hardware/removable-media.ts';
import { MediumFault, markOf, readMedium } from '../../hardware/removable-medium.ts';
import { inDirectory } from '../test-authority.ts';

function medium(dir: string, name = 'stick', user = 'anna\n'): string {
  const folder = join(dir, name, 'kagimori-user');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'user-id'), user);
  writeFileSync(join(folder, 'user.p12'), Buffer.alloc(1000, 7));
  return join(dir, name);
}

test('[P21] a medium is a folder with two files; the user id is one line', () =>
  inDirectory(async (dir) => {
    const root = medium(dir);
    const { user, pkcs12 } = await readMedium(root);
    assert.equal(user, 'anna');
    assert.equal(pkcs12.length, 1000);
    for (const wrong of ['', '\n', 'anna\nberta\n', 'an\0na', Buffer.from([0xff, 0xfe]), 'x'.repeat(300)]) {
      writeFileSync(join(root, 'kagimori-user', 'user-id'), wrong);
      await assert.rejects(readMedium(root), MediumFault, JSON.stringify(wrong));
    }
  }));

test('[P21] links out of the medium, FIFOs, devices, directories and endless files are not read', () =>
  inDirectory(async (dir) => {
    const root = medium(dir);
    const key = join(root, 'kagimori-user', 'user.p12');
    const secret = join(dir, 'secret');
    writeFileSync(secret, 'not on the medium');
    const plants: readonly (readonly [string, () => void])[] = [
      ['link', () => symlinkSync(secret, key)],
      ['fifo', () => spawnSync('mkfifo', [key])],
      ['device', () => spawnSync('mknod', [key, 'c', '1', '5'])],
      ['directory', () => mkdirSync(key)],
      ['socket or nothing', () => {}],
      ['huge', () => writeFileSync(key, Buffer.alloc(70_000))],
    ];
    for (const [what, plant] of plants) {
      rmSync(key, { recursive: true, force: true });
      plant();
      await assert.rejects(readMedium(root), MediumFault, what);
    }
    rmSync(join(root, 'kagimori-user'), { recursive: true });
    medium(dir, 'other');
    symlinkSync(join(dir, 'other', 'kagimori-user'), join(root, 'kagimori-user'));
    await assert.rejects(readMedium(root), MediumFault);
    assert.equal(await markOf(root), null, 'a folder that is a link is no medium');
  }));

test('[P21] the mark changes with the files, and is gone with them', () =>
  inDirectory(async (dir) => {
    const root = medium(dir);
    const first = await markOf(root);
    assert.equal(await markOf(root), first);
    writeFileSync(join(root, 'kagimori-user', 'user.p12'), 'another');
    assert.notEqual(await markOf(root), first);
    rmSync(join(root, 'kagimori-user', 'user-id'));
    assert.equal(await markOf(root), null);
    assert.equal(await markOf(join(dir, 'nowhere')), null);
  }));

test('[P21] media that vanish while they are looked at, a thousand times: told in turn, without a fault', () =>
  inDirectory(async (dir) => {
    const root = medium(dir);
    const away = join(dir, 'away');
    const told: string[] = [];
    const watch = watchMedia(
      { directories: [root], mounts: [], everyMs: 1 },
      { inserted: () => told.push('in'), removed: () => told.push('out') },
    );
    for (let round = 0; round < 500; round++) {
      renameSync(root, away);
      if (round % 50 === 0) await pause(5);
      else await pause(0);
      renameSync(away, root);
      if (round % 50 === 25) await pause(5);
    }
    while (told.at(-1) !== 'in') await pause(2);
    watch.stop();
    for (const [at, one] of told.entries()) assert.equal(one, at % 2 === 0 ? 'in' : 'out');
  }));

test('mount points are read as the kernel writes them, and matched name by name', () => {
  const text = [
    '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
    '90 22 8:17 / /media/anna/MY\\040STICK rw - vfat /dev/sdb1 rw',
    '91 22 0:50 / /run/media/anna/x rw - tmpfs tmpfs rw',
    '92 22 0:51 / /run/media/anna/x rw - tmpfs tmpfs rw',
    'nonsense',
  ].join('\n');
  const points = readMountPoints(text);
  assert.deepEqual(
    points.map(({ id, root }) => [id, root]),
    [
      ['22', '/'],
      ['90', '/media/anna/MY STICK'],
      ['92', '/run/media/anna/x'],
    ],
  );
  assert.ok(matchesPattern('/media/*/*', '/media/anna/MY STICK'));
  assert.ok(!matchesPattern('/media/*', '/media/anna/MY STICK'));
  assert.ok(!matchesPattern('/media/*', '/media/'));
  assert.ok(!matchesPattern('/media/*', '/'));
  assert.ok(!deviceIsThere({ id: '1', root: '/x', device: '259:987654' }) || !existsSync('/sys/dev/block'));
  assert.ok(deviceIsThere({ id: '1', root: '/x', device: '0:50' }));
  assert.ok(readMountPoints(readFileSync('/proc/self/mountinfo', 'utf8')).some(({ root }) => root === '/'));
});
