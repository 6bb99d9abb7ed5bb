/**
 * What a failed call of LMDB or of the file system means for the store, and what the operator can do.
 * @spec lmdb.h, errno(3) of Linux
 */
import { errnoOf } from './files.ts';
import { LockHeld } from './process-lock.ts';
import { RESTORE, StoreError, type StoreFault } from './store.ts';

type Row = readonly [StoreFault, string];

const NOT_LOST = 'nothing that was acknowledged is lost';
const LOOK = `look at the disk and the kernel's log (dmesg); ${NOT_LOST}`;

const BY_NAME: Readonly<Record<string, Row>> = {
  EACCES: ['unwritable', 'this user may not write here: change owner or mode'],
  EPERM: ['unwritable', 'this user may not write here: change owner or mode'],
  EROFS: ['unwritable', 'the file system is read-only: mount it writable, or name another dataDirectory'],
  ENOENT: ['unwritable', 'it cannot be made here'],
  ENOTDIR: ['unwritable', 'a file stands where a directory belongs'],
  EEXIST: ['unwritable', 'a file stands where the directory belongs'],
  EISDIR: ['unwritable', 'a directory stands where a file belongs'],
  ENOSPC: ['full', `the disk is full: free some space; ${NOT_LOST}`],
  EDQUOT: ['full', `the disk quota is used up: free some space; ${NOT_LOST}`],
  EFBIG: ['full', `the file may not grow (ulimit -f, LimitFSIZE): raise the limit; ${NOT_LOST}`],
  EIO: ['io', `the disk reports an error (EIO): ${LOOK}`],
};

/** Numbers of LMDB and of errno, as lmdb gives them. */
const BY_NUMBER: Readonly<Record<number, Row>> = {
  1: BY_NAME.EPERM!,
  5: BY_NAME.EIO!,
  13: BY_NAME.EACCES!,
  27: BY_NAME.EFBIG!,
  28: BY_NAME.ENOSPC!,
  30: BY_NAME.EROFS!,
  122: BY_NAME.EDQUOT!,
  [-30797]: ['altered', `a page is missing: ${RESTORE}`],
  [-30796]: ['altered', `a page is damaged: ${RESTORE}`],
  [-30795]: ['io', `LMDB has given up after an error: ${LOOK}`],
  [-30793]: ['altered', `it is no store: ${RESTORE}`],
  [-30792]: ['full', 'the map of the store is full'],
};

/** @returns a StoreError that names the path; a StoreError or a RangeError (our bug) as it is */
export function storeError(path: string, error: unknown): Error {
  if (error instanceof StoreError || error instanceof RangeError) return error;
  if (error instanceof LockHeld) {
    return new StoreError('in-use', `${path} is in use by process ${error.pid}: stop it first`);
  }
  const code = error instanceof Error && 'code' in error ? error.code : null;
  const row = typeof code === 'number' ? BY_NUMBER[code] : BY_NAME[errnoOf(error) ?? ''];
  if (row !== undefined) return new StoreError(row[0], `${path}: ${row[1]}`);
  const detail = error instanceof Error ? error.message : String(error);
  return new StoreError('io', `${path}: ${detail}: ${LOOK}`);
}
