/**
 * The store seam: one suite over both halves, then what only a disk can do wrong.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { open, type RootDatabase } from 'lmdb';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { FileFault } from '../../platform/files.ts';
import { LockHeld, lockProcess } from '../../platform/process-lock.ts';
import { memoryStore, type Store, StoreError, type StoreFault } from '../../platform/store.ts';
import { loadOrCreateKeyFile } from '../../platform/store-key.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { decodeUtf8, encodeUtf8 } from '../../protocol/bytes.ts';

const crypto = nodeCrypto();
const key = new Uint8Array(32).fill(7);
const bytes = encodeUtf8;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'kagimori-store-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const openIn = (directory: string): Promise<Store> => openLmdbStore({ directory, key, crypto });
const put = (table: string, name: string, value: string) => ({ table, key: name, value: bytes(value) });
const listed = (store: Store, table: string): string[] =>
  [...store.entries(table)].map(([name, value]) => `${name}=${decodeUtf8(value)}`);

function fault(expected: StoreFault, text: RegExp = /./) {
  return (error: unknown): true => {
    assert.ok(error instanceof StoreError, `no StoreError: ${String(error)}`);
    assert.equal(error.fault, expected, error.message);
    assert.match(error.message, text);
    return true;
  };
}

function storeSeam(half: string, create: (t: TestContext) => Promise<Store>): void {
  test(`${half}: what was committed is read back, what was not is null`, async (t) => {
    const store = await create(t);
    await store.commit([put('devices', 'router-1', 'a'), put('devices', 'phone-1', '')]);
    assert.deepEqual(store.get('devices', 'router-1'), bytes('a'));
    assert.equal(store.get('devices', 'phone-1')?.length, 0);
    assert.equal(store.get('devices', 'phone-2'), null);
    assert.equal(store.get('sessions', 'router-1'), null);
    await store.close();
  });

  test(`${half}: [P9] a later value replaces, null deletes, the last change of a key in a commit counts`, async (t) => {
    const store = await create(t);
    await store.commit([put('devices', 'a', '1'), put('devices', 'b', '1'), put('devices', 'a', '2')]);
    await store.commit([
      { table: 'devices', key: 'b', value: null },
      { table: 'devices', key: 'never', value: null },
    ]);
    assert.deepEqual(listed(store, 'devices'), ['a=2']);
    await store.close();
  });

  test(`${half}: entries come in key order and only of their table`, async (t) => {
    const store = await create(t);
    await store.commit([put('a', 'z', '1'), put('a', 'k', '2'), put('ab', 'k', '3'), put('b', 'k', '4')]);
    await store.commit([put('a', 'é', '5'), put('a', '', '6')]);
    assert.deepEqual(listed(store, 'a'), ['=6', 'k=2', 'z=1', 'é=5']);
    assert.deepEqual(listed(store, 'none'), []);
    await store.close();
  });

  test(`${half}: a value may be overwritten by its owner after commit was called`, async (t) => {
    const store = await create(t);
    const value = bytes('secret');
    const done = store.commit([{ table: 'a', key: 'k', value }]);
    value.fill(0);
    await done;
    assert.deepEqual(store.get('a', 'k'), bytes('secret'));
    await store.close();
  });
}

storeSeam('memory', async () => memoryStore());
storeSeam('lmdb', (t) => openIn(folder(t)));

test('lmdb: [P9] [B7] everything is there after closing and opening again, in files that only the owner can read', async (t) => {
  const directory = join(folder(t), 'new', 'store');
  const store = await openIn(directory);
  await Promise.all(Array.from({ length: 200 }, (_, i) => store.commit([put('devices', `d${i}`, 'x'.repeat(i * 40))])));
  await store.commit([{ table: 'devices', key: 'd0', value: null }]);
  await store.close();
  assert.equal(statSync(directory).mode & 0o777, 0o700);
  for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name);
  const again = await openIn(directory);
  assert.equal([...again.entries('devices')].length, 199);
  assert.equal(again.get('devices', 'd199')?.length, 199 * 40);
  await again.close();
});

test('lmdb: commits of one tick share a transaction, and a commit that waits at close is carried out', async (t) => {
  const directory = folder(t);
  const store = await openIn(directory);
  const before = transactionOf(directory);
  await Promise.all([store.commit([put('a', '1', '1')]), store.commit([put('a', '2', '2')])]);
  assert.equal(transactionOf(directory) - before, 1n);
  const waiting = store.commit([put('a', '3', '3')]);
  await Promise.all([waiting, store.close()]);
  await assert.rejects(store.commit([put('a', '4', '4')]), fault('io'));
  const again = await openIn(directory);
  assert.deepEqual(listed(again, 'a'), ['1=1', '2=2', '3=3']);
  await again.close();
});

function transactionOf(directory: string): bigint {
  const file = readFileSync(join(directory, 'store.mdb'));
  return [152, 4096 + 152].map((at) => file.readBigUInt64LE(at)).sort((a, b) => Number(b - a))[0]!;
}

test('lmdb: a name that no table can have is our bug, told at once', async (t) => {
  const store = await openIn(folder(t));
  await assert.rejects(store.commit([put('!head', 'k', 'v')]), RangeError);
  await assert.rejects(store.commit([put('a', '\ud800', 'v')]), RangeError);
  await assert.rejects(store.commit([put('a', 'k'.repeat(2000), 'v')]), RangeError);
  await store.close();
});

test('lmdb: a second opener is refused, also of the same process; after closing the next may', async (t) => {
  const directory = folder(t);
  const store = await openIn(directory);
  await assert.rejects(openIn(directory), fault('in-use', new RegExp(`process ${process.pid}`)));
  await store.close();
  await (await openIn(directory)).close();
});

test('lmdb: a lock of a process that is gone, or whose pid another one has now, keeps nobody out', async (t) => {
  const directory = folder(t);
  const gone = spawnSync(process.execPath, ['-e', '0']).pid;
  writeFileSync(join(directory, 'store.lock.1'), `${gone} 1 1`);
  await (await openIn(directory)).close();
  writeFileSync(join(directory, 'store.lock.9'), `${process.pid} 1 another-boot`);
  await (await openIn(directory)).close();
  writeFileSync(join(directory, 'store.lock.12'), '');
  await (await openIn(directory)).close();
});

test('a lock that is released leaves its number used, so that a slow starter cannot take an old one', (t) => {
  const path = join(folder(t), 'lock');
  const first = lockProcess(path);
  assert.throws(() => lockProcess(path), LockHeld);
  first.release();
  lockProcess(path).release();
  assert.deepEqual(readdirSync(join(path, '..')), ['lock.2']);
});

test('lmdb: the wrong store key is named', async (t) => {
  const directory = folder(t);
  const store = await openIn(directory);
  await store.commit([put('a', 'k', 'v')]);
  await store.close();
  const other = openLmdbStore({ directory, key: new Uint8Array(32).fill(8), crypto });
  await assert.rejects(other, fault('wrong-key', /store key/));
  await (await openIn(directory)).close();
});

test('lmdb: a file cut at any place is named or whole, and never kills the process', async (t) => {
  const directory = folder(t);
  const path = join(directory, 'store.mdb');
  const store = await openIn(directory);
  for (let i = 0; i < 60; i++) await store.commit([put('devices', `d${i}`, 'x'.repeat(900 * (i % 9)))]);
  await store.close();
  const whole = readFileSync(path);
  for (const length of [0, 1, 100, 4096, 8191, 8192, 8300, 12288, 40960, 100000, 200000]) {
    truncateSync(path, length);
    await assert.rejects(openIn(directory), fault('truncated', /store\.mdb/), `cut to ${length}`);
    writeFileSync(path, whole);
  }
  // What the file holds beyond the last page in use is reserve: without it nothing is lost.
  const lastPage = Number(whole.readBigUInt64LE((transactionOf(directory) % 2n === 0n ? 0 : 4096) + 144));
  truncateSync(path, (lastPage + 1) * 4096);
  const again = await openIn(directory);
  assert.equal(listed(again, 'devices').length, 60);
  await again.commit([put('devices', 'more', '1')]);
  await again.close();
});

test('lmdb: another file in its place is named', async (t) => {
  const directory = folder(t);
  writeFileSync(join(directory, 'store.mdb'), new Uint8Array(65536).fill(0x41));
  await assert.rejects(openIn(directory), fault('altered', /no store/));
});

/** Places of the file that hold a needle, one bit of it turned. */
function flipBit(path: string, at: number, mask: number): void {
  const byte = readFileSync(path)[at]! ^ mask;
  const file = openSync(path, 'r+');
  writeSync(file, Uint8Array.of(byte), 0, 1, at);
  closeSync(file);
}

test('lmdb: a flipped bit in a value, a key or a tag is never served', async (t) => {
  const directory = folder(t);
  const path = join(directory, 'store.mdb');
  const store = await openIn(directory);
  await store.commit([put('devices', 'needle-key', 'needle-value'), put('devices', 'other', 'x')]);
  await store.close();
  const whole = readFileSync(path);
  for (const [needle, offset] of [
    ['needle-value', 3],
    ['needle-value', 14],
    ['needle-key', 8],
    ['devices', 2],
  ] as const) {
    const places = [...whole.toString('latin1').matchAll(new RegExp(needle, 'g'))].map(({ index }) => index);
    assert.ok(places.length > 0);
    for (const place of places) flipBit(path, place + offset, 0x10);
    const attempt = async (): Promise<void> => {
      const opened = await openIn(directory);
      try {
        opened.get('devices', 'needle-key');
        assert.deepEqual(listed(opened, 'devices'), ['needle-key=needle-value', 'other=x']);
      } finally {
        await opened.close();
      }
    };
    await assert.rejects(attempt, fault('altered', /devices|signed/));
    writeFileSync(path, whole);
  }
});

test('lmdb: a flipped bit in a header page is named or harmless: no older state comes back', async (t) => {
  const directory = folder(t);
  const path = join(directory, 'store.mdb');
  const store = await openIn(directory);
  await store.commit([put('devices', 'a', '1'), put('devices', 'b', '1')]);
  await store.commit([{ table: 'devices', key: 'b', value: null }, put('devices', 'a', '2')]);
  await store.close();
  const outcomes = { refused: 0, harmless: 0 };
  for (const page of [0, 4096]) {
    // From the magic to the transaction number; bits of the map size and of page counts decide nothing.
    for (let at = page + 24 + 24; at < page + 24 + 136; at += 1) {
      const mask = 1 << (at % 8);
      flipBit(path, at, mask);
      try {
        const opened = await openIn(directory);
        assert.deepEqual(listed(opened, 'devices'), ['a=2']);
        await opened.close();
        outcomes.harmless += 1;
      } catch (error) {
        assert.ok(error instanceof StoreError, `byte ${at}: ${String(error)}`);
        outcomes.refused += 1;
      }
      flipBit(path, at, mask);
    }
  }
  assert.ok(outcomes.refused > 30, JSON.stringify(outcomes));
});

test('lmdb: damage in the structure of any page is named or harmless, and never kills the process', async (t) => {
  const directory = folder(t);
  const path = join(directory, 'store.mdb');
  const store = await openIn(directory);
  for (let i = 0; i < 30; i++) await store.commit([put('devices', `d${i}`, 'x'.repeat(700 * (i % 8)))]);
  await store.commit(Array.from({ length: 10 }, (_, i) => ({ table: 'devices', key: `d${i}`, value: null })));
  const whole = listed(store, 'devices');
  await store.close();
  const lastPage = Number(readFileSync(path).readBigUInt64LE((transactionOf(directory) % 2n === 0n ? 0 : 4096) + 144));
  let refused = 0;
  for (let page = 2; page <= lastPage; page++) {
    // page number, flags, bounds of the free space, offsets of the first nodes
    for (const [offset, mask] of [
      [0, 2],
      [18, 1],
      [20, 8],
      [22, 16],
      [24, 4],
      [27, 2],
    ] as const) {
      flipBit(path, page * 4096 + offset, mask);
      try {
        const opened = await openIn(directory);
        assert.deepEqual(listed(opened, 'devices'), whole);
        await opened.close();
      } catch (error) {
        fault('altered', /store\.mdb/)(error);
        refused += 1;
      }
      flipBit(path, page * 4096 + offset, mask);
    }
  }
  assert.ok(refused > 20, String(refused));
});

/** Reads and writes the file without the store, as somebody with the disk in hand would. */
async function behindItsBack(directory: string, act: (database: RootDatabase<Uint8Array, Uint8Array>) => void) {
  const database = open<Uint8Array, Uint8Array>({
    path: join(directory, 'store.mdb'),
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 1,
    overlappingSync: false,
  });
  database.transactionSync(() => act(database));
  await database.close();
}

test('lmdb: a record dropped, or put back in an older version, is noticed at open', async (t) => {
  const directory = folder(t);
  const path = join(directory, 'store.mdb');
  const store = await openIn(directory);
  await store.commit([put('devices', 'a', 'allowed'), put('devices', 'b', 'x')]);
  await store.close();
  let older: Uint8Array = new Uint8Array(0);
  await behindItsBack(directory, (database) => {
    older = new Uint8Array(database.get(bytes('devices\u0000a'))!);
  });
  const next = await openIn(directory);
  await next.commit([put('devices', 'a', 'revoked')]);
  await next.close();
  const whole = readFileSync(path);
  await behindItsBack(directory, (database) => void database.put(bytes('devices\u0000a'), older));
  await assert.rejects(openIn(directory), fault('altered', /signed last/));
  writeFileSync(path, whole);
  await behindItsBack(directory, (database) => void database.remove(bytes('devices\u0000b')));
  await assert.rejects(openIn(directory), fault('altered', /signed last/));
});

test('lmdb: a directory that cannot be written is named', async (t) => {
  const base = folder(t);
  writeFileSync(join(base, 'file'), '');
  await assert.rejects(openIn(join(base, 'file')), fault('unwritable'));
  await assert.rejects(openIn(join(base, 'file', 'below')), fault('unwritable'));
  if (process.geteuid?.() === 0) return;
  mkdirSync(join(base, 'closed'), { mode: 0o500 });
  await assert.rejects(openIn(join(base, 'closed')), fault('unwritable', /change owner or mode/));
});

function mounted(t: TestContext, options: string): string | null {
  const path = mkdtempSync(join(tmpdir(), 'kagimori-disk-'));
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  t.after(() => {
    if (status === 0) spawnSync('umount', [path]);
    rmSync(path, { recursive: true, force: true });
  });
  return status === 0 ? path : null;
}

test('lmdb: a full disk is named, loses nothing that was acknowledged, and the store goes on when there is room', async (t) => {
  const directory = mounted(t, 'size=4m,mode=700');
  if (directory === null) return t.skip('mount not permitted');
  const store = await openIn(directory);
  let acknowledged = 0;
  const fill = async (): Promise<void> => {
    for (; acknowledged < 4000; acknowledged++) {
      await store.commit([put('devices', `d${acknowledged}`, 'x'.repeat(3000))]);
    }
  };
  await assert.rejects(fill, fault('full', /free some space/));
  assert.ok(acknowledged > 100);
  await assert.rejects(store.commit([put('devices', 'more', 'x')]), fault('full'));
  assert.equal(listed(store, 'devices').length, acknowledged);
  spawnSync('mount', ['-o', 'remount,size=8m', directory]);
  await store.commit([put('devices', 'more', 'x')]);
  await store.close();
  const again = await openIn(directory);
  assert.equal(listed(again, 'devices').length, acknowledged + 1);
  await again.close();
});

test('lmdb: a read-only file system is named', async (t) => {
  const directory = mounted(t, 'size=4m,mode=700');
  if (directory === null) return t.skip('mount not permitted');
  spawnSync('mount', ['-o', 'remount,ro', directory]);
  await assert.rejects(openIn(directory), fault('unwritable', /read-only/));
});

test('store key: made once with mode 0600, the same ever after; refused when others can read it or it has another length', (t) => {
  const path = join(folder(t), 'store.key');
  const made = loadOrCreateKeyFile(path, crypto);
  assert.equal(made.length, 32);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(loadOrCreateKeyFile(path, crypto), made);
  assert.deepEqual(readdirSync(join(path, '..')), ['store.key']);
  chmodSync(path, 0o640);
  const tooOpen = (error: unknown): boolean => error instanceof FileFault && error.fault === 'too-open';
  assert.throws(() => loadOrCreateKeyFile(path, crypto), tooOpen);
  writeFileSync(path, 'short');
  chmodSync(path, 0o600);
  assert.throws(() => loadOrCreateKeyFile(path, crypto), /5 bytes, a store key has 32/);
});
