/**
 * The LMDB file of a store: made whole, and opened only after every page, record and sum in it has been checked.
 *
 * Records stand in the main database under `table NUL key`. Two more stand under names that no table can have: `!check`,
 * which only the right store key opens, and `!head`, the signed state of the store, replaced in each transaction.
 */
import { chmodSync, closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { concat, decodeUtf8, EMPTY, encodeUtf8 } from '../protocol/bytes.ts';
import { syncDirectory, writeDurably } from './files.ts';
import { emptyLmdbFile, inspectLmdbFile, reserve } from './lmdb-file.ts';
import { checkLmdbPages } from './lmdb-pages.ts';
import {
  decodeHead,
  differingTables,
  encodeHead,
  type Sealer,
  type StoreHead,
  type TableSum,
  type TableSums,
  withRecord,
} from './record-seal.ts';
import { RESTORE, StoreError } from './store.ts';

export type Database = RootDatabase<Uint8Array, Uint8Array>;

/** A database that was found whole, and its file for growing it. */
export interface OpenDatabase {
  readonly path: string;
  readonly file: number;
  readonly pageBytes: number;
  readonly database: Database;
  /** As it stood when the file was opened. */
  readonly head: StoreHead;
}

const CHECK = '!check';
const HEAD = '!head';
/** The head of 0.1 carried no time, and stood under an empty key. */
const HEAD_KEY = '2';
const MAP_BYTES = 2 ** 30;
/** LMDB's table of readers, and some. */
const LOCK_BYTES = 16 * 1024;

/** Makes the file under another name, so that a `store.mdb` of any length is either whole or damaged. */
export async function createDatabase(path: string, sealer: Sealer): Promise<void> {
  const fresh = `${path}.new`;
  for (const leftOver of [fresh, `${fresh}-lock`]) rmSync(leftOver, { force: true });
  try {
    const empty = emptyLmdbFile(MAP_BYTES);
    writeDurably(fresh, empty, 0o600);
    const file = openSync(fresh, 'r+');
    try {
      reserve(file, empty.length + 1);
      const database = openEnvironment(fresh);
      try {
        database.transactionSync(() => {
          database.put(encodeUtf8(CHECK), sealer.seal(CHECK, '', EMPTY));
          putHead(database, sealer, new Map());
        });
      } finally {
        await database.close();
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(fresh, path);
    syncDirectory(dirname(path));
  } finally {
    for (const leftOver of [fresh, `${fresh}-lock`]) rmSync(leftOver, { force: true });
  }
}

/**
 * Checks the file page by page, lets LMDB map it, and checks every record under its MAC and the sums of all tables.
 * @throws StoreError 'truncated', 'altered', 'wrong-key'; what the file system throws; nothing is open then
 */
export async function openDatabase(path: string, sealer: Sealer): Promise<OpenDatabase> {
  const file = openSync(path, 'r+');
  let database: Database | null = null;
  try {
    const header = inspectLmdbFile(file, path);
    checkLmdbPages(file, header, path);
    database = openEnvironment(path);
    const head = verify(database, sealer, header.transaction, path);
    return { path, file, pageBytes: header.pageBytes, database, head };
  } catch (error) {
    await database?.close();
    closeSync(file);
    throw error;
  }
}

export async function closeDatabase({ database, file }: OpenDatabase): Promise<void> {
  try {
    await database.close();
  } finally {
    closeSync(file);
  }
}

/** Inside a transaction: signs the state that it makes. */
export function putHead(database: Database, sealer: Sealer, sums: TableSums): StoreHead {
  const transaction = BigInt(database.getWriteTxnId());
  const head = { transaction, savedAt: Math.floor(Date.now() / 1000), sums };
  database.put(encodeUtf8(HEAD), sealer.seal(HEAD, HEAD_KEY, encodeHead(head)));
  return head;
}

function openEnvironment(path: string): Database {
  // Blocks that exist: LMDB maps its lock file, and where a full disk has no block for it the process would die.
  writeDurably(`${path}-lock`, new Uint8Array(LOCK_BYTES), 0o600);
  const database = open<Uint8Array, Uint8Array>({
    path,
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    maxDbs: 1,
    mapSize: MAP_BYTES,
    // Plain LMDB commits: data, fdatasync, header, synced. lmdb's own default syncs after it has acknowledged.
    overlappingSync: false,
  });
  chmodSync(path, 0o600);
  return database;
}

/** @returns the state as it is on disk, equal to the signed one */
function verify(database: Database, sealer: Sealer, transaction: bigint, path: string): StoreHead {
  const check = database.get(encodeUtf8(CHECK));
  if (check === undefined) throw new StoreError('altered', `${path} lost its check record: ${RESTORE}`);
  if (sealer.open(CHECK, '', check) === null) {
    throw new StoreError('wrong-key', `${path} was not made with this store key: give it the key it was made with`);
  }
  const head = openHead(sealer, database.get(encodeUtf8(HEAD)) ?? EMPTY);
  if (head === null || head.transaction !== transaction) {
    throw new StoreError('altered', `${path} is not in the state that was signed last: ${RESTORE}`);
  }
  const sums = new Map<string, TableSum>();
  for (const { key, value } of database.getRange({})) {
    const [table, name] = splitKey(key);
    if (table === CHECK || table === HEAD) continue;
    openRecord(sealer, table, name, value, path);
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
  return head;
}

function openHead(sealer: Sealer, record: Uint8Array): StoreHead | null {
  const signed = sealer.open(HEAD, HEAD_KEY, record);
  if (signed !== null) return decodeHead(signed);
  const old = sealer.open(HEAD, '', record);
  return old === null ? null : decodeHead(concat(old.subarray(0, 8), new Uint8Array(8), old.subarray(8)));
}

/** @throws StoreError 'altered' */
export function openRecord(sealer: Sealer, table: string, key: string, record: Uint8Array, path: string): Uint8Array {
  const value = sealer.open(table, key, record);
  if (value !== null) return value;
  throw new StoreError('altered', `${path}: record ${JSON.stringify(key)} of table ${table} was altered: ${RESTORE}`);
}

/** All records of a table. @throws StoreError 'altered' at the first altered one */
export function* recordsOf(
  { database, path }: OpenDatabase,
  sealer: Sealer,
  table: string,
): Iterable<[string, Uint8Array]> {
  const range = { start: encodeUtf8(`${table}\u0000`), end: encodeUtf8(`${table}\u0001`) };
  for (const { key, value } of database.getRange(range)) {
    const [, name] = splitKey(key);
    yield [name, openRecord(sealer, table, name, value, path)];
  }
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
