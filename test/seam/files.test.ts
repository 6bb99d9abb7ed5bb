/**
 * Files on a real disk: bounds, permissions, atomic replacement.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  FileFault,
  type FileFaultKind,
  makePrivateDirectory,
  readBounded,
  readGuarded,
  readPrivate,
  writeAtomically,
} from '../../platform/files.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'kagimori-files-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const faultAt =
  (fault: FileFaultKind, path: string, text: RegExp = /./) =>
  (error: unknown): true => {
    assert.ok(error instanceof FileFault, String(error));
    assert.equal(error.fault, fault, error.message);
    assert.ok(error.message.startsWith(`${path}: `), error.message);
    assert.match(error.message, text);
    return true;
  };

test('a file may have exactly the bytes that are allowed, not one more', (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, '12345');
  assert.deepEqual(readBounded(path, 5), encodeUtf8('12345'));
  assert.throws(() => readBounded(path, 4), faultAt('too-large', path, /4 bytes/));
  writeFileSync(path, '');
  assert.equal(readBounded(path, 0).length, 0);
});

test('what is missing, a directory or a device is named and not read', (t) => {
  const path = join(folder(t), 'none');
  assert.throws(() => readBounded(path, 5), faultAt('missing', path));
  assert.throws(() => readBounded(join(path, '..'), 5), faultAt('unreadable', join(path, '..')));
  assert.throws(() => readBounded('/dev/zero', 5), faultAt('unreadable', '/dev/zero', /regular/));
});

test('a FIFO that nobody writes to is named, and not waited for', (t) => {
  const path = join(folder(t), 'fifo');
  execFileSync('mkfifo', ['-m', '600', path]);
  assert.throws(() => readBounded(path, 5), faultAt('unreadable', path, /regular/));
  assert.throws(() => readPrivate(path, 5), faultAt('unreadable', path, /regular/));
});

test('a file that every user may change is read, and that is told', (t) => {
  const path = join(folder(t), 'file');
  writeFileSync(path, 'x');
  for (const [mode, anyone] of [[0o666, true] as const, [0o602, true] as const, [0o664, false] as const]) {
    chmodSync(path, mode);
    assert.deepEqual(readGuarded(path, 5), { bytes: encodeUtf8('x'), anyone });
  }
});

test('a private file that others can read is refused with the command that mends it', (t) => {
  const path = join(folder(t), 'key');
  writeFileSync(path, 'k');
  for (const mode of [0o640, 0o604, 0o620, 0o601]) {
    chmodSync(path, mode);
    assert.throws(() => readPrivate(path, 5), faultAt('too-open', path, /chmod 600/));
  }
  chmodSync(path, 0o400);
  assert.deepEqual(readPrivate(path, 5), encodeUtf8('k'));
  if (process.geteuid?.() !== 0) return t.skip('only root can give a file away');
  chownSync(path, 12345, 12345);
  assert.throws(() => readPrivate(path, 5), faultAt('too-open', path, /owned by uid 12345/));
});

test('a file is replaced whole, with the mode that was asked for, and nothing is left beside it', (t) => {
  const directory = folder(t);
  const path = join(directory, 'file');
  writeAtomically(path, encodeUtf8('one'), 0o644);
  writeAtomically(path, encodeUtf8('two'), 0o600);
  assert.equal(readFileSync(path, 'utf8'), 'two');
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory), ['file']);
});

test('where nothing can be written, the old file stays', (t) => {
  const directory = folder(t);
  const gone = join(directory, 'none', 'file');
  assert.throws(() => writeAtomically(gone, encodeUtf8('x'), 0o600), faultAt('unwritable', gone, /does not exist/));
  assert.throws(() => writeAtomically(directory, encodeUtf8('x'), 0o600), faultAt('unwritable', directory));
  assert.deepEqual(readdirSync(directory), []);
});

test('a directory is made with its parents, for its owner alone; where none can be made, that is said at once', (t) => {
  const deep = join(folder(t), 'a', 'b');
  makePrivateDirectory(deep);
  makePrivateDirectory(deep);
  assert.equal(statSync(join(deep, '..')).mode & 0o777, 0o700);
  writeFileSync(join(deep, 'file'), '');
  assert.throws(() => makePrivateDirectory(join(deep, 'file')), faultAt('unwritable', join(deep, 'file')));
  assert.throws(() => makePrivateDirectory('/proc/none/deep'), FileFault);
});
