/**
 * Backups and restores as files: consistent while commits go on, carried out to the end wherever they were interrupted;
 * and the witness of the store's commits.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { StoreError } from '../../platform/store.ts';
import {
  BackupError,
  commitRestore,
  completeBackup,
  copyStore,
  finishRestore,
  partOf,
  readBackup,
  readRestoredMark,
  stageRestore,
} from '../../platform/store-backup.ts';
import { type LmdbStore, openLmdbStore } from '../../platform/store-lmdb.ts';
import { checkWitness, readWitness, writeWitness } from '../../platform/store-witness.ts';
import { decodeUtf8, encodeUtf8 } from '../../protocol/bytes.ts';

const crypto = nodeCrypto();
const ABOUT = { madeAt: 1_800_000_000, manager: 'home-manager' };
const MARK = { backupAt: ABOUT.madeAt, restoredAt: 1_800_000_100 };

function folder(t: TestContext, place = tmpdir()): string {
  const path = mkdtempSync(join(place, 'kagimori-backup-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const open = (directory: string, fill = 7): Promise<LmdbStore> =>
  openLmdbStore({ directory, key: new Uint8Array(32).fill(fill), crypto });

/** A data directory with one record that says which one it is. */
async function dataDirectory(path: string, what: string, fill = 7): Promise<string> {
  mkdirSync(path, { mode: 0o700 });
  for (const name of ['store.key', 'sealing.key'])
    writeFileSync(join(path, name), new Uint8Array(32).fill(fill), { mode: 0o600 });
  const store = await open(path, fill);
  await store.commit([{ table: 'devices', key: 'what', value: encodeUtf8(what) }]);
  await store.close();
  return path;
}

async function whatIn(directory: string): Promise<string> {
  const store = await open(directory, readFileSync(join(directory, 'store.key'))[0]!);
  const what = decodeUtf8(store.get('devices', 'what') ?? new Uint8Array(0));
  await store.close();
  assert.equal(readFileSync(join(directory, 'sealing.key'))[0], readFileSync(join(directory, 'store.key'))[0]);
  return what;
}

async function backupOf(directory: string, to: string, fill = 7): Promise<void> {
  const store = await open(directory, fill);
  await copyStore(to, store.copyTo);
  const { transaction } = store.status();
  await store.close();
  completeBackup(to, directory, true, { ...ABOUT, transaction }, crypto);
}

test('[B7] copies made while commits go on are each one whole state of the store, and commits are not held up', async (t) => {
  const base = folder(t, existsSync('/dev/shm') ? '/dev/shm' : tmpdir());
  const store = await open(join(base, 'data'));
  // large enough that a copy takes many times as long as a commit
  for (let i = 0; i < 24; i++) await store.commit([{ table: 'bulk', key: `b${i}`, value: new Uint8Array(1_000_000) }]);
  let [number, stop] = [0, false];
  const writer = (async () => {
    while (!stop) {
      number++;
      const value = encodeUtf8(String(number).repeat(1 + ((number * 7) % 900)));
      await store.commit([
        { table: 'devices', key: `d${number}`, value },
        { table: 'devices', key: `d${number - 40}`, value: null },
        { table: 'latest', key: 'n', value: encodeUtf8(String(number)) },
      ]);
      await new Promise(setImmediate);
    }
  })();
  const between: number[] = [];
  for (let i = 0; i < 4; i++) {
    const from = number;
    await copyStore(join(base, `b${i}`), store.copyTo);
    between.push(number - from);
    const copy = await open(partOf(join(base, `b${i}`)));
    const latest = Number(decodeUtf8(copy.get('latest', 'n') ?? encodeUtf8('0')));
    assert.ok(latest >= from - 1 && latest <= number, `copy ${i}: ${latest} of ${from} to ${number}`);
    assert.equal([...copy.entries('devices')].length, Math.min(latest, 40), `copy ${i}`);
    await copy.close();
  }
  stop = true;
  await writer;
  await store.close();
  assert.ok(Math.max(...between) > 1, `commits during the copies: ${between.join()}`);
});

test('a restore that was interrupted before it was decided changes nothing; afterwards the next one finishes it', async (t) => {
  const base = folder(t);
  await backupOf(await dataDirectory(join(base, 'source'), 'from the backup', 9), join(base, 'backup'), 9);
  const note = readBackup(join(base, 'backup'), crypto);
  const target = await dataDirectory(join(base, 'target'), 'from before');
  const staged = stageRestore(join(base, 'backup'), note, target, true, null);
  finishRestore(target);
  assert.equal(await whatIn(target), 'from before');
  // decided, and killed after so many of its files were in place
  const moves = ['store.key', 'sealing.key', 'store.mdb'];
  for (let moved = 0; moved <= moves.length; moved++) {
    const at = join(base, `killed-${moved}`);
    cpSync(target, at, { recursive: true });
    cpSync(staged, join(at, 'restore.ready'), { recursive: true });
    rmSync(join(at, 'restore.part'), { recursive: true });
    for (const name of moves.slice(0, moved)) cpSync(join(at, 'restore.ready', name), join(at, name));
    for (const name of moves.slice(0, moved)) rmSync(join(at, 'restore.ready', name));
    finishRestore(at);
    finishRestore(at);
    assert.equal(await whatIn(at), 'from the backup', `after ${moved} files`);
    assert.ok(!existsSync(join(at, 'restore.ready')));
  }
});

test('a restore keeps what was there, marks itself, and leaves nothing half', async (t) => {
  const base = folder(t);
  await backupOf(await dataDirectory(join(base, 'source'), 'from the backup', 9), join(base, 'backup'), 9);
  const note = readBackup(join(base, 'backup'), crypto);
  const target = await dataDirectory(join(base, 'target'), 'from before');
  assert.throws(() => stageRestore(join(base, 'backup'), note, target, false, null), { code: 'not-empty' });
  stageRestore(join(base, 'backup'), note, target, true, null);
  const kept = commitRestore(target, MARK);
  assert.deepEqual(readRestoredMark(target), MARK);
  assert.equal(await whatIn(target), 'from the backup');
  assert.equal(await whatIn(kept!), 'from before');
  assert.deepEqual(
    readdirSync(target).filter((name) => name.startsWith('restore.')),
    [],
  );
  const empty = join(base, 'empty');
  mkdirSync(empty, { mode: 0o700 });
  stageRestore(join(base, 'backup'), note, empty, false, null);
  assert.equal(commitRestore(empty, MARK), null);
  assert.equal(await whatIn(empty), 'from the backup');
});

test('a note with a name that leads elsewhere, or that is no note, is refused', async (t) => {
  const base = folder(t);
  const backup = join(base, 'backup');
  await backupOf(await dataDirectory(join(base, 'source'), 'x'), backup);
  const note = JSON.parse(readFileSync(join(backup, 'backup.json'), 'utf8'));
  for (const bad of [
    { ...note, sha256: { ...note.sha256, '../../etc/passwd': '00' } },
    { ...note, sha256: {} },
    { ...note, sha256: { 'store.mdb': 5 } },
    { ...note, madeAt: 'yesterday' },
    { ...note, transaction: 1.5 },
    [],
    'text',
    null,
  ]) {
    writeFileSync(join(backup, 'backup.json'), JSON.stringify(bad));
    assert.throws(() => readBackup(backup, crypto), BackupError, JSON.stringify(bad));
  }
  writeFileSync(join(backup, 'backup.json'), '{"madeAt":');
  assert.throws(() => readBackup(backup, crypto), { code: 'damaged' });
  await assert.rejects(
    copyStore(backup, async () => {}),
    { code: 'exists' },
  );
});

test('a witness refuses what has fewer commits than it knows of, by name, and lets everything else pass', (t) => {
  const path = join(folder(t), 'witness');
  assert.equal(readWitness(path), null);
  checkWitness(path, null, 1, 'store.mdb');
  assert.equal(writeWitness(path, { transaction: 41, at: 1_800_000_000 }), null);
  const known = readWitness(path);
  assert.deepEqual(known, { transaction: 41, at: 1_800_000_000 });
  for (const transaction of [41, 42, 10_000]) checkWitness(path, known, transaction, 'store.mdb');
  for (const transaction of [0, 1, 40]) {
    assert.throws(() => checkWitness(path, known, transaction, 'store.mdb'), {
      fault: 'rolled-back',
      message: /number 41 \(2027/,
    });
  }
  for (const text of ['', '41', '41 x\n', '-1 5\n', '41 1800000000\nmore', '\u0000'.repeat(20)]) {
    writeFileSync(path, text);
    assert.throws(() => readWitness(path), StoreError, JSON.stringify(text));
  }
  assert.match(writeWitness('/proc/nowhere/witness', known!)!, /\/proc\/nowhere\/witness/);
});
