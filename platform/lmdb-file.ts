/**
 * The LMDB data file seen from outside: its header is checked before LMDB maps it, because a map of a shorter file
 * kills the process (SIGBUS), and it is grown by us, so that a full disk is met here and not in the middle of a commit.
 * @spec liblmdb/mdb.c of lmdb 3.5.6: struct MDB_page_header, struct MDB_meta (64-bit, little-endian)
 */
import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { RESTORE, StoreError } from './store.ts';

export interface Tree {
  /** Page number, or null for an empty tree. */
  readonly root: number | null;
  readonly depth: number;
}

export interface LmdbHeader {
  readonly pageBytes: number;
  readonly lastPage: number;
  /** Number of the last committed transaction. */
  readonly transaction: bigint;
  readonly free: Tree;
  readonly main: Tree;
}

const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
// offsets inside a meta page: 24 bytes of page header, then MDB_meta
const META = 24;
const META_BYTES = 160;
const VERSION = META + 4;
const PAGE_BYTES = META + 24;
const FREE_TREE = META + 24;
const MAIN_TREE = META + 72;
const LAST_PAGE = META + 120;
const TRANSACTION = META + 128;

const NO_PAGE = 2n ** 64n - 1n;
const NEW_PAGE_BYTES = 4096;
const META_FLAG = 8;
/** MDB_NOSUBDIR, and MDB_INTEGERKEY for the tree of free pages. */
const NEW_FLAGS = 0x4008;

const CHUNK_BYTES = 1024 * 1024;

/**
 * Reads both meta pages. They carry no checksum, but a bit flip in one breaks a relation: transaction n stands in page
 * n mod 2, the two are neighbours, and each wrote the root of its tree. A flip would otherwise bring back an older state.
 * @param path  for the message
 * @throws      StoreError 'truncated' when pages that are in use lie behind the end of the file, 'altered'
 */
export function inspectLmdbFile(file: number, path: string): LmdbHeader {
  const sizeBytes = fstatSync(file).size;
  const first = readMeta(file, 0, path);
  const second = readMeta(file, first.pageBytes, path);
  const newer = second.transaction > first.transaction ? second : first;
  const older = newer === second ? first : second;
  const neededBytes = (newer.lastPage + 1) * newer.pageBytes;
  if (sizeBytes < neededBytes) throw truncated(path, `${sizeBytes} bytes of at least ${neededBytes}`);
  const consistent =
    first.transaction % 2n === 0n &&
    second.transaction % 2n === 1n &&
    newer.transaction - older.transaction === 1n &&
    first.constants === second.constants &&
    [first, second].every((meta) => meta.transaction === 0n || writtenBy(file, meta) === meta.transaction);
  if (!consistent) throw damaged(path);
  return newer;
}

/** @returns the number of the transaction that wrote the root of the main tree; every commit of ours writes it */
function writtenBy(file: number, { main, pageBytes, lastPage }: LmdbHeader): bigint | null {
  const bytes = new Uint8Array(16);
  if (main.root === null || main.root > lastPage || readSync(file, bytes, 0, 16, main.root * pageBytes) !== 16)
    return null;
  return new DataView(bytes.buffer).getBigUint64(8, true);
}

/**
 * The two header pages of an empty file. LMDB could write them itself, but when it cannot, lmdb 3.5.6 ends the process
 * with a segmentation fault, as it does whenever it fails to open a file.
 */
export function emptyLmdbFile(mapBytes: number): Uint8Array {
  const bytes = new Uint8Array(2 * NEW_PAGE_BYTES);
  const view = new DataView(bytes.buffer);
  for (const page of [0, 1]) {
    const at = page * NEW_PAGE_BYTES;
    view.setUint32(at, page, true);
    view.setUint16(at + 18, META_FLAG, true);
    view.setUint32(at + META, MAGIC, true);
    view.setUint32(at + VERSION, DATA_VERSION, true);
    view.setBigUint64(at + META + 16, BigInt(mapBytes), true);
    view.setUint32(at + PAGE_BYTES, NEW_PAGE_BYTES, true);
    view.setUint16(at + FREE_TREE + 4, NEW_FLAGS, true);
    for (const tree of [FREE_TREE, MAIN_TREE]) view.setBigUint64(at + tree + 40, NO_PAGE, true);
    view.setBigUint64(at + LAST_PAGE, 1n, true);
  }
  return bytes;
}

/**
 * Grows the file with zeroes, in whole chunks, to at least `neededBytes`: real blocks, no hole.
 * LMDB itself lets the file end before its last page when that one is free, which could not be told from truncation.
 * @throws Node's own error, ENOSPC above all; the file has its old size then
 */
export function reserve(file: number, neededBytes: number): void {
  const sizeBytes = fstatSync(file).size;
  if (sizeBytes >= neededBytes) return;
  const wantedBytes = Math.ceil(neededBytes / CHUNK_BYTES) * CHUNK_BYTES;
  const zeroes = new Uint8Array(64 * 1024);
  try {
    for (let at = sizeBytes; at < wantedBytes; )
      at += writeSync(file, zeroes, 0, Math.min(zeroes.length, wantedBytes - at), at);
  } catch (error) {
    ftruncateSync(file, sizeBytes);
    throw error;
  }
}

/** One of the two header pages as it stands in the file, to be put back when a commit fails while it writes it. */
export interface HeaderSlot {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** The slot that transaction number `transaction` will write. */
export function readSlot(file: number, pageBytes: number, transaction: bigint): HeaderSlot {
  const slot = { offset: Number(transaction & 1n) * pageBytes, bytes: new Uint8Array(META_BYTES) };
  if (readSync(file, slot.bytes, 0, META_BYTES, slot.offset) !== META_BYTES) throw new RangeError('no header page');
  return slot;
}

/**
 * When LMDB cannot write a header it puts the old transaction number back and leaves the new roots beside it: a header
 * that no commit ever wrote. It becomes again what it was, at least for those who read through the page cache.
 */
export function putBackSlot(file: number, { offset, bytes }: HeaderSlot): void {
  writeSync(file, bytes, 0, bytes.length, offset);
}

interface Meta extends LmdbHeader {
  /** Fields that never change, as text. */
  readonly constants: string;
}

function readMeta(file: number, offset: number, path: string): Meta {
  const bytes = new Uint8Array(META_BYTES);
  if (readSync(file, bytes, 0, META_BYTES, offset) !== META_BYTES)
    throw truncated(path, 'not even its two header pages');
  const view = new DataView(bytes.buffer);
  const pageBytes = view.getUint32(PAGE_BYTES, true);
  // LMDB refuses a page without its flag, and lmdb 3.5.6 does not survive a file that LMDB refuses.
  const flagged = view.getUint16(18, true) === META_FLAG;
  const known = flagged && view.getUint32(META, true) === MAGIC && view.getUint32(VERSION, true) === DATA_VERSION;
  const sane = pageBytes >= 512 && pageBytes <= 65536 && (pageBytes & (pageBytes - 1)) === 0;
  if (!known || !sane) throw damaged(path);
  const tree = (at: number): Tree => {
    const root = view.getBigUint64(at + 40, true);
    return { root: root === NO_PAGE ? null : Number(root), depth: view.getUint16(at + 6, true) };
  };
  return {
    pageBytes,
    lastPage: Number(view.getBigUint64(LAST_PAGE, true)),
    transaction: view.getBigUint64(TRANSACTION, true),
    free: tree(FREE_TREE),
    main: tree(MAIN_TREE),
    constants: [
      pageBytes,
      view.getBigUint64(META + 8, true),
      view.getUint16(FREE_TREE + 4, true),
      view.getUint32(MAIN_TREE, true),
      view.getUint16(MAIN_TREE + 4, true),
    ].join(),
  };
}

function truncated(path: string, detail: string): StoreError {
  return new StoreError('truncated', `${path} is cut off (${detail}): ${RESTORE}`);
}

/** The file is not as LMDB wrote it. */
export function damaged(path: string): StoreError {
  return new StoreError('altered', `${path} is damaged, or is no store: ${RESTORE}`);
}
