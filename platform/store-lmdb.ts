/**
 * The store seam, real half: one LMDB file, every record under a MAC, every commit on disk before it is acknowledged.
 * What happens after a failed commit: docs/decisions/0013-after-a-failed-sync.md.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { encodeUtf8 } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { makeWithParents } from './files.ts';
import {
  closeDatabase,
  createDatabase,
  type OpenDatabase,
  openDatabase,
  openRecord,
  putHead,
  recordsOf,
} from './lmdb-database.ts';
import { putBackSlot, readSlot, reserve } from './lmdb-file.ts';
import { lockProcess, type ProcessLock } from './process-lock.ts';
import { differingTables, recordSealer, type Sealer, type StoreHead, withRecord } from './record-seal.ts';
import { type Change, RESTORE, type Store, StoreError, type StoreFault } from './store.ts';
import { storeError } from './store-fault.ts';

export interface LmdbStoreOptions {
  /** Made with mode 0700 when it does not exist. */
  readonly directory: string;
  /** 32 bytes, copied; the same for the whole life of the store */
  readonly key: Uint8Array;
  readonly crypto: Pick<Crypto, 'hmac'>;
  /** How long commits are refused after the disk has failed: at first, and at most, doubled each time. */
  readonly restMs?: readonly [first: number, atMost: number];
}

export interface LmdbStore extends Store {
  status(): StoreStatus;
  /** Writes a consistent copy while commits go on; no file of that name may exist. @throws StoreError */
  copyTo(path: string): Promise<void>;
}

/** For operators: what the store is in. */
export interface StoreStatus {
  /** What keeps it from storing anything, as of the last attempt. */
  readonly fault: StoreFault | null;
  readonly detail: string | null;
  /** Milliseconds since 1970; null when nothing is amiss. */
  readonly since: number | null;
  /** Commits refused since then. */
  readonly refused: number;
  /** Number of the last commit. */
  readonly transaction: number;
  /** Seconds since 1970; null when the store was last written by a version that did not say. */
  readonly savedAt: number | null;
}

interface Waiting {
  readonly changes: readonly Change[];
  resolve(): void;
  reject(error: unknown): void;
}

/** After a failed commit the store rests: it can be read, or not even that, and is opened anew before it is written. */
type Phase =
  | { readonly name: 'open'; readonly opened: OpenDatabase }
  | { readonly name: 'resting'; readonly opened: OpenDatabase | null; readonly until: number }
  | { readonly name: 'reopening'; readonly done: Promise<void> }
  /** The file is no longer what this process wrote: only a new start may look at it again. */
  | { readonly name: 'lost' };

const TABLE = /^[a-z][a-z0-9-]{0,63}$/;
const MAX_KEY_BYTES = 1024;
const MAX_VALUE_BYTES = 1024 * 1024;
const REST_MS = [1_000, 60_000] as const;

/**
 * Opens a store, or makes it.
 * @throws StoreError with every fault of its table; nothing was changed then
 */
export async function openLmdbStore({
  directory,
  key,
  crypto,
  restMs = REST_MS,
}: LmdbStoreOptions): Promise<LmdbStore> {
  const ownKey = new Uint8Array(key);
  const path = join(directory, 'store.mdb');
  let lock: ProcessLock | null = null;
  try {
    prepareDirectory(directory);
    lock = lockProcess(join(directory, 'store.lock'));
    const sealer = recordSealer(ownKey, crypto);
    if (!existsSync(path)) await createDatabase(path, sealer);
    return lmdbStore({ opened: await openDatabase(path, sealer), sealer, lock, key: ownKey, restMs });
  } catch (error) {
    lock?.release();
    ownKey.fill(0);
    throw storeError(path, error);
  }
}

function prepareDirectory(directory: string): void {
  makeWithParents(resolve(directory));
  accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  if ((statSync(directory).mode & 0o022) !== 0) {
    throw new StoreError('unwritable', `${directory} can be written by others; run \`chmod 700 ${directory}\``);
  }
}

interface Parts {
  readonly opened: OpenDatabase;
  readonly sealer: Sealer;
  readonly lock: ProcessLock;
  readonly key: Uint8Array;
  readonly restMs: readonly [first: number, atMost: number];
}

function lmdbStore({ opened: initial, sealer, lock, key: ownKey, restMs }: Parts): LmdbStore {
  const { path } = initial;
  let phase: Phase = { name: 'open', opened: initial };
  /** The last acknowledged state. */
  let head: StoreHead = initial.head;
  let waiting: Waiting[] = [];
  let closed: Promise<void> | null = null;
  let failure: { readonly error: StoreError; readonly since: number; refused: number } | null = null;
  let nextRestMs = restMs[0];
  /** A copy reads the database in a thread of its own: nobody closes it meanwhile. */
  const copying = new Set<Promise<void>>();

  /**
   * Everything queued until now in one transaction. It blocks for two syncs of the file, and this is wanted: a failed
   * asynchronous commit of lmdb 3.5.6 ends the process with an unhandled rejection.
   */
  const flush = (): void => {
    if (waiting.length === 0 || phase.name === 'reopening') return;
    if (phase.name === 'lost' || (phase.name === 'resting' && performance.now() < phase.until)) return refuse();
    if (phase.name === 'resting') return reopen(phase.opened);
    const group = waiting;
    waiting = [];
    try {
      head = write(
        phase.opened,
        group.flatMap(({ changes }) => changes),
      );
      failure = null;
      nextRestMs = restMs[0];
    } catch (error) {
      return fail(phase.opened, group, error);
    }
    for (const { resolve } of group) resolve();
  };

  const write = ({ database, file, pageBytes }: OpenDatabase, changes: readonly Change[]): StoreHead => {
    const { lastPageNumber } = database.getStats() as { lastPageNumber: number };
    reserve(file, (lastPageNumber + 1 + pagesFor(changes, pageBytes)) * pageBytes);
    const slot = readSlot(file, pageBytes, head.transaction + 1n);
    try {
      const sums = new Map(head.sums);
      return database.transactionSync(() => {
        for (const { table, key, value } of changes) {
          const at = joinKey(table, key);
          const before = database.get(at) ?? null;
          const after = value === null ? null : sealer.seal(table, key, value);
          if (after !== null) database.put(at, after);
          else if (before !== null) database.remove(at);
          sums.set(table, withRecord(sums.get(table), before, after));
        }
        return putHead(database, sealer, sums);
      });
    } catch (error) {
      throw new Interrupted(error, () => putBackSlot(file, slot));
    }
  };

  /** A disk that was full before anything was begun leaves the database as it was. All else is looked at anew. */
  const fail = (opened: OpenDatabase, group: readonly Waiting[], error: unknown): void => {
    const cause = storeError(path, error instanceof Interrupted ? error.reason : error);
    if (cause instanceof StoreError) note(cause);
    const tell = (): void => {
      for (const { reject } of group) reject(cause);
    };
    if (!(error instanceof Interrupted)) return tell();
    try {
      error.putBack();
    } catch {
      // what stands there is checked when the file is opened again
    }
    rest(opened, tell);
  };

  const note = (error: StoreError): void => {
    failure = { error, since: failure?.since ?? Date.now(), refused: (failure?.refused ?? 0) + 1 };
  };

  /** No commit for a while: a failing disk is not beaten, and a restart would only do the same. */
  const rest = (opened: OpenDatabase | null, then: () => void): void => {
    const until = performance.now() + nextRestMs;
    nextRestMs = Math.min(2 * nextRestMs, restMs[1]);
    become(lookAgain(opened), (found) => {
      phase = found === 'lost' ? { name: 'lost' } : { name: 'resting', opened: found, until };
      then();
    });
  };

  /** The rest is over: the file is checked from its first page to its last record, then written. */
  const reopen = (opened: OpenDatabase | null): void => {
    become(lookAgain(opened), (found) => {
      if (found === 'lost') phase = { name: 'lost' };
      else if (found !== null) phase = { name: 'open', opened: found };
      else {
        refuse();
        const until = performance.now() + nextRestMs;
        nextRestMs = Math.min(2 * nextRestMs, restMs[1]);
        phase = { name: 'resting', opened: null, until };
      }
    });
  };

  const become = (
    looking: Promise<OpenDatabase | 'lost' | null>,
    settle: (found: OpenDatabase | 'lost' | null) => void,
  ) => {
    const done = looking.then((found) => {
      settle(found);
      flush();
    });
    phase = { name: 'reopening', done };
  };

  /** @returns null when it cannot be opened now, 'lost' when it holds another state than the one acknowledged last */
  const lookAgain = async (opened: OpenDatabase | null): Promise<OpenDatabase | 'lost' | null> => {
    try {
      await Promise.allSettled(copying);
      if (opened !== null) await closeDatabase(opened);
      const again = await openDatabase(path, sealer);
      if (again.head.transaction === head.transaction && differingTables(again.head.sums, head.sums).length === 0) {
        return again;
      }
      await closeDatabase(again);
      note(new StoreError('altered', `${path} changed behind the back of the process that writes it: ${RESTORE}`));
      return 'lost';
    } catch (error) {
      const cause = storeError(path, error);
      if (cause instanceof StoreError) note(cause);
      return null;
    }
  };

  const refuse = (): void => {
    const group = waiting;
    waiting = [];
    const { error } = failure ?? { error: new StoreError('io', `${path} cannot be written`) };
    if (failure !== null) failure.refused += group.length;
    for (const { reject } of group) reject(error);
  };

  /** @throws StoreError when there is nothing that could be read */
  const readable = (): OpenDatabase => {
    if (closed !== null) throw new StoreError('io', `${path} is closed`);
    const opened = phase.name === 'open' || phase.name === 'resting' ? phase.opened : null;
    if (opened === null) throw failure?.error ?? new StoreError('io', `${path} cannot be read now`);
    return opened;
  };

  const settled = async (): Promise<OpenDatabase | null> => {
    for (;;) {
      const now = phase;
      if (now.name === 'lost') return null;
      if (now.name !== 'reopening') return now.opened;
      await now.done;
    }
  };

  return {
    get: (table, key) => {
      const record = readable().database.get(joinKey(table, key));
      return record === undefined ? null : openRecord(sealer, table, key, record, path);
    },
    entries: (table) => {
      requireTable(table);
      return recordsOf(readable(), sealer, table);
    },
    commit: async (changes) => {
      if (closed !== null) throw new StoreError('io', `${path} is closed`);
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
    status: () => ({
      fault: failure?.error.fault ?? null,
      detail: failure?.error.message ?? null,
      since: failure?.since ?? null,
      refused: failure?.refused ?? 0,
      transaction: Number(head.transaction),
      savedAt: head.savedAt === 0 ? null : head.savedAt,
    }),
    copyTo: async (target) => {
      let copy: Promise<void> | null = null;
      try {
        // not compact: that begins to count its transactions anew, and the head names the true one
        copy = readable().database.backup(target, false);
        copying.add(copy);
        await copy;
      } catch (error) {
        throw storeError(target, error);
      } finally {
        if (copy !== null) copying.delete(copy);
      }
    },
    close: () => {
      closed ??= (async () => {
        await settled();
        flush();
        await Promise.allSettled(copying);
        const opened = await settled();
        if (opened !== null) await closeDatabase(opened);
        ownKey.fill(0);
        lock.release();
      })();
      return closed;
    },
  };
}

/** A transaction that was begun and not finished. */
class Interrupted extends Error {
  readonly reason: unknown;
  readonly putBack: () => void;
  constructor(reason: unknown, putBack: () => void) {
    super('interrupted');
    this.reason = reason;
    this.putBack = putBack;
  }
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
