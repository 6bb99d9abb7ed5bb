/**
 * The store seam, real half: one LMDB file, every record under a MAC, every commit on disk before it is acknowledged.
 *
 * Records stand in the main database under `table NUL key`. Two more stand under names that no table can have: `!check`,
 * which only the right store key opens, and `!head`, the signed state of the store, replaced in each transaction.
 */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { decodeUtf8, EMPTY, encodeUtf8 } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { errnoOf, syncDirectory } from './files.ts';
import { inspectLmdbFile, reserve } from './lmdb-file.ts';
import { checkLmdbPages } from './lmdb-pages.ts';
import { LockHeld, lockProcess, type ProcessLock } from './process-lock.ts';
import {
  decodeHead,
  differingTables,
  encodeHead,
  recordSealer,
  type Sealer,
  type TableSum,
  type TableSums,
  withRecord,
} from './record-seal.ts';
import { type Change, type Store, StoreError, type StoreFault } from './store.ts';

export interface LmdbStoreOptions {
  /** Made with mode 0700 when it does not exist. */
  readonly directory: string;
  /** 32 bytes, copied; the same for the whole life of the store */
  readonly key: Uint8Array;
  readonly crypto: Pick<Crypto, 'hmac'>;
}

type Database = RootDatabase<Uint8Array, Uint8Array>;

interface Waiting {
  readonly changes: readonly Change[];
  resolve(): void;
  reject(error: unknown): void;
}

const CHECK = '!check';
const HEAD = '!head';
const TABLE = /^[a-z][a-z0-9-]{0,63}$/;
const MAX_KEY_BYTES = 1024;
const MAX_VALUE_BYTES = 1024 * 1024;
const RESTORE = 'put back a backup, or move the directory away and let the devices register again';

/**
 * Opens a store, or makes it.
 * @throws StoreError with every fault of its table; nothing was changed then
 */
export async function openLmdbStore({ directory, key, crypto }: LmdbStoreOptions): Promise<Store> {
  const ownKey = new Uint8Array(key);
  const path = join(directory, 'store.mdb');
  let lock: ProcessLock | null = null;
  let file: number | null = null;
  let database: Database | null = null;
  try {
    prepareDirectory(directory);
    lock = lockProcess(join(directory, 'store.lock'));
    const sealer = recordSealer(ownKey, crypto);
    if (!existsSync(path)) await create(path, directory, sealer);
    file = openSync(path, 'r+');
    const header = inspectLmdbFile(file, path);
    checkLmdbPages(file, header, path);
    database = openDatabase(path);
    const sums = verify(database, sealer, header.transaction, path);
    return lmdbStore({ path, file, database, sealer, sums, lock, key: ownKey });
  } catch (error) {
    await database?.close();
    if (file !== null) closeSync(file);
    lock?.release();
    ownKey.fill(0);
    throw storeError(directory, error);
  }
}

function prepareDirectory(directory: string): void {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  if ((statSync(directory).mode & 0o022) !== 0) {
    throw new StoreError('unwritable', `${directory} can be written by others; run \`chmod 700 ${directory}\``);
  }
}

/** Makes the file under another name, so that a `store.mdb` of any length is either whole or damaged. */
async function create(path: string, directory: string, sealer: Sealer): Promise<void> {
  const fresh = `${path}.new`;
  for (const leftOver of [fresh, `${fresh}-lock`]) rmSync(leftOver, { force: true });
  const database = openDatabase(fresh);
  const file = openSync(fresh, 'r+');
  try {
    database.transactionSync(() => {
      database.put(encodeUtf8(CHECK), sealer.seal(CHECK, '', EMPTY));
      const transaction = BigInt(database.getWriteTxnId());
      database.put(encodeUtf8(HEAD), sealer.seal(HEAD, '', encodeHead({ transaction, sums: new Map() })));
    });
    reserve(file, 1);
    fsyncSync(file);
  } finally {
    closeSync(file);
    await database.close();
  }
  renameSync(fresh, path);
  rmSync(`${fresh}-lock`, { force: true });
  syncDirectory(directory);
}

function openDatabase(path: string): Database {
  const database = open<Uint8Array, Uint8Array>({
    path,
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 1,
    mapSize: 2 ** 30,
    // Plain LMDB commits: data, fdatasync, header, synced. lmdb's own default syncs after it has acknowledged.
    overlappingSync: false,
  });
  for (const file of [path, `${path}-lock`]) chmodSync(file, 0o600);
  return database;
}

/** @returns the sums of all tables as they are on disk, equal to the signed ones */
function verify(database: Database, sealer: Sealer, transaction: bigint, path: string): TableSums {
  const check = database.get(encodeUtf8(CHECK));
  if (check === undefined) throw new StoreError('altered', `${path} lost its check record: ${RESTORE}`);
  if (sealer.open(CHECK, '', check) === null) {
    throw new StoreError('wrong-key', `${path} was not made with this store key: give it the key it was made with`);
  }
  const signed = sealer.open(HEAD, '', database.get(encodeUtf8(HEAD)) ?? EMPTY);
  const head = signed === null ? null : decodeHead(signed);
  if (head === null || head.transaction !== transaction) {
    throw new StoreError('altered', `${path} is not in the state that was signed last: ${RESTORE}`);
  }
  const sums = new Map<string, TableSum>();
  for (const { key, value } of database.getRange({})) {
    const [table, name] = splitKey(key);
    if (table === CHECK || table === HEAD) continue;
    opened(sealer, table, name, value, path);
    // Damage in an inner page can hide a record from a look-up that a walk over all records meets.
    if (!database.doesExist(key)) throw new StoreError('altered', `${path} has a damaged index: ${RESTORE}`);
    sums.set(table, withRecord(sums.get(table), null, value));
  }
  const [table] = differingTables(sums, head.sums);
  if (table !== undefined) {
    const found = sums.get(table)?.count ?? 0;
    const expected = head.sums.get(table)?.count ?? 0;
    const what = found === expected ? 'holds an old version of a record' : `holds ${found} of ${expected} records`;
    throw new StoreError('altered', `${path}: table ${table} ${what}: ${RESTORE}`);
  }
  return sums;
}

function* records(database: Database, sealer: Sealer, table: string, path: string): Iterable<[string, Uint8Array]> {
  const range = { start: encodeUtf8(`${table}\u0000`), end: encodeUtf8(`${table}\u0001`) };
  for (const { key, value } of database.getRange(range)) {
    const [, name] = splitKey(key);
    yield [name, opened(sealer, table, name, value, path)];
  }
}

function opened(sealer: Sealer, table: string, key: string, record: Uint8Array, path: string): Uint8Array {
  const value = sealer.open(table, key, record);
  if (value !== null) return value;
  throw new StoreError('altered', `${path}: record ${JSON.stringify(key)} of table ${table} was altered: ${RESTORE}`);
}

interface Parts {
  readonly path: string;
  readonly file: number;
  readonly database: Database;
  readonly sealer: Sealer;
  readonly sums: TableSums;
  readonly lock: ProcessLock;
  readonly key: Uint8Array;
}

function lmdbStore({ path, file, database, sealer, sums: initialSums, lock, key: ownKey }: Parts): Store {
  let sums = initialSums;
  let waiting: Waiting[] = [];
  let closed: Promise<void> | null = null;

  /**
   * Everything queued until now in one transaction. It blocks for two syncs of the file, and this is wanted: a failed
   * asynchronous commit of lmdb 3.5.6 ends the process with an unhandled rejection.
   */
  const flush = (): void => {
    const group = waiting;
    waiting = [];
    if (group.length === 0) return;
    try {
      sums = write(group.flatMap(({ changes }) => changes));
    } catch (error) {
      for (const { reject } of group) reject(storeError(path, error));
      return;
    }
    for (const { resolve } of group) resolve();
  };

  const write = (changes: readonly Change[]): TableSums => {
    const { lastPageNumber, pageSize } = database.getStats() as { lastPageNumber: number; pageSize: number };
    reserve(file, (lastPageNumber + 1 + pagesFor(changes, pageSize)) * pageSize);
    const next = new Map(sums);
    database.transactionSync(() => {
      for (const { table, key, value } of changes) {
        const at = joinKey(table, key);
        const before = database.get(at) ?? null;
        const after = value === null ? null : sealer.seal(table, key, value);
        if (after !== null) database.put(at, after);
        else if (before !== null) database.remove(at);
        next.set(table, withRecord(next.get(table), before, after));
      }
      const transaction = BigInt(database.getWriteTxnId());
      database.put(encodeUtf8(HEAD), sealer.seal(HEAD, '', encodeHead({ transaction, sums: next })));
    });
    return next;
  };

  const requireOpen = (): void => {
    if (closed !== null) throw new StoreError('io', `${path} is closed`);
  };

  return {
    get: (table, key) => {
      requireOpen();
      const record = database.get(joinKey(table, key));
      return record === undefined ? null : opened(sealer, table, key, record, path);
    },
    entries: (table) => {
      requireOpen();
      requireTable(table);
      return records(database, sealer, table, path);
    },
    commit: async (changes) => {
      requireOpen();
      for (const { table, key, value } of changes) {
        joinKey(table, key);
        if (value !== null && value.length > MAX_VALUE_BYTES) throw new RangeError('record too long for the store');
      }
      // Copies: the caller may wipe what he gave as soon as the call returns.
      const own = changes.map((change) => ({
        ...change,
        value: change.value === null ? null : new Uint8Array(change.value),
      }));
      if (own.length === 0) return;
      await new Promise<void>((resolve, reject) => {
        if (waiting.length === 0) setImmediate(flush);
        waiting.push({ changes: own, resolve, reject });
      });
    },
    close: () => {
      closed ??= (async () => {
        flush();
        await database.close();
        closeSync(file);
        ownKey.fill(0);
        lock.release();
      })();
      return closed;
    },
  };
}

/** An upper bound: the path of each record from leaf to root, split everywhere, its overflow pages, and the free list. */
function pagesFor(changes: readonly Change[], pageBytes: number): number {
  const overflow = changes.reduce((pages, { value }) => pages + Math.ceil(((value?.length ?? 0) + 64) / pageBytes), 0);
  return 64 + 16 * changes.length + 2 * overflow;
}

function requireTable(table: string): void {
  if (!TABLE.test(table)) throw new RangeError(`no name for a table: ${JSON.stringify(table)}`);
}

/** @throws RangeError for names that the store cannot hold: our bug */
function joinKey(table: string, key: string): Uint8Array {
  requireTable(table);
  const joined = encodeUtf8(`${table}\u0000${key}`);
  if (!key.isWellFormed() || joined.length > MAX_KEY_BYTES) throw new RangeError('no key for a record');
  return joined;
}

/** Keys as found on disk: a damaged one need not be text, and then never equals one that was asked for. */
function splitKey(joined: Uint8Array): [table: string, key: string] {
  const end = joined.indexOf(0);
  const [table, key] = end < 0 ? [joined, EMPTY] : [joined.subarray(0, end), joined.subarray(end + 1)];
  return [lenient(table), lenient(key)];
}

function lenient(bytes: Uint8Array): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    return Buffer.from(bytes).toString('latin1');
  }
}

const FAULTS: Readonly<Record<string, readonly [StoreFault, string]>> = {
  EACCES: ['unwritable', 'this user may not write here: change owner or mode'],
  EPERM: ['unwritable', 'this user may not write here: change owner or mode'],
  EROFS: ['unwritable', 'the file system is read-only'],
  ENOENT: ['unwritable', 'it cannot be made here'],
  ENOTDIR: ['unwritable', 'a file stands where a directory belongs'],
  EEXIST: ['unwritable', 'a file stands where the directory belongs'],
  ENOSPC: ['full', 'the disk is full: free some space; nothing that was acknowledged is lost'],
  EDQUOT: ['full', 'the disk quota is used up: free some space; nothing that was acknowledged is lost'],
};

/** Error numbers of LMDB and of errno, as lmdb gives them. @spec lmdb.h, errno(3) of Linux */
const NUMBERS: Readonly<Record<number, readonly [StoreFault, string]>> = {
  1: FAULTS.EPERM!,
  13: FAULTS.EACCES!,
  28: FAULTS.ENOSPC!,
  30: FAULTS.EROFS!,
  122: FAULTS.EDQUOT!,
  [-30797]: ['altered', `a page is missing: ${RESTORE}`],
  [-30796]: ['altered', `a page is damaged: ${RESTORE}`],
  [-30793]: ['altered', `it is no store: ${RESTORE}`],
  [-30792]: ['full', 'the map of the store is full'],
};

function storeError(path: string, error: unknown): Error {
  if (error instanceof StoreError || error instanceof RangeError) return error;
  if (error instanceof LockHeld) {
    return new StoreError('in-use', `${path} is in use by process ${error.pid}: stop it first`);
  }
  const code = error instanceof Error && 'code' in error ? error.code : null;
  const known = typeof code === 'number' ? NUMBERS[code] : FAULTS[errnoOf(error) ?? ''];
  if (known !== undefined) return new StoreError(known[0], `${path}: ${known[1]}`);
  const detail = error instanceof Error ? error.message : String(error);
  return new StoreError('io', `${path}: ${detail}: look at the disk and its log`);
}
