/**
 * Walks every page of an LMDB file before LMDB maps it: on damaged pages the library reads wild addresses or runs in
 * circles, and the process dies without a word. What the records say is proven elsewhere, by their MACs.
 * @spec liblmdb/mdb.c of lmdb 3.5.6: MDB_page_header, MDB_node, MDB_ovpage; midl.c: lists of free pages
 */
import { readSync } from 'node:fs';
import { damaged, type LmdbHeader, type Tree } from './lmdb-file.ts';

const HEADER_BYTES = 24;
const NODE_BYTES = 8;
const OVERFLOW_REFERENCE_BYTES = 24;
const BRANCH = 1;
const LEAF = 2;
const OVERFLOW = 4;
const BIG_DATA = 1;
const MAX_DEPTH = 32;

interface Walk {
  readonly file: number;
  readonly header: LmdbHeader;
  /** 1 for each page that was met; a page that is met twice is a loop or a cross link. */
  readonly met: Uint8Array;
}

type Visit = (walk: Walk, node: Leaf) => boolean;

interface Leaf {
  readonly page: DataView;
  /** Where the value, or the reference to its overflow pages, begins. */
  readonly at: number;
  readonly sizeBytes: number;
  readonly overflow: boolean;
}

/** @throws StoreError 'altered' */
export function checkLmdbPages(file: number, header: LmdbHeader, path: string): void {
  const walk: Walk = { file, header, met: new Uint8Array(header.lastPage + 1).fill(1, 0, 2) };
  const lists: DataView[] = [];
  const whole =
    checkTree(walk, header.main, (_, node) => !node.overflow || readValue(walk, node) !== null) &&
    checkTree(walk, header.free, (_, node) => {
      const list = readValue(walk, node);
      if (list !== null) lists.push(list);
      return list !== null;
    }) &&
    lists.every((list) => checkFreeList(walk, list));
  if (!whole) throw damaged(path);
}

function checkTree(walk: Walk, { root, depth }: Tree, visit: Visit): boolean {
  if (root === null) return depth === 0;
  return depth >= 1 && depth <= MAX_DEPTH && checkPage(walk, root, depth, visit);
}

/** @param depth  levels from here to the leaves, this page counted */
function checkPage(walk: Walk, number: number, depth: number, visit: Visit): boolean {
  const page = readPage(walk, number, 1);
  if (page === null || page.getUint16(18, true) !== (depth === 1 ? LEAF : BRANCH)) return false;
  // lower, upper and the node offsets count from the end of the header
  const space = walk.header.pageBytes - HEADER_BYTES;
  const [lower, upper] = [page.getUint16(20, true), page.getUint16(22, true)];
  if (lower % 2 !== 0 || lower > upper || upper > space || lower < (depth === 1 ? 2 : 4)) return false;
  for (let slot = 0; slot < lower; slot += 2) {
    const offset = page.getUint16(HEADER_BYTES + slot, true);
    if (offset < upper || offset + NODE_BYTES > space || !checkNode(walk, page, offset, depth, visit)) return false;
  }
  return true;
}

function checkNode(walk: Walk, page: DataView, offset: number, depth: number, visit: Visit): boolean {
  const at = HEADER_BYTES + offset;
  const [low, flags, keyBytes] = [page.getUint32(at, true), page.getUint16(at + 4, true), page.getUint16(at + 6, true)];
  const value = at + NODE_BYTES + keyBytes;
  if (depth > 1) return value <= page.byteLength && checkPage(walk, low + flags * 2 ** 32, depth - 1, visit);
  if (flags !== 0 && flags !== BIG_DATA) return false;
  const overflow = flags === BIG_DATA;
  if (value + (overflow ? OVERFLOW_REFERENCE_BYTES : low) > page.byteLength) return false;
  return visit(walk, { page, at: value, sizeBytes: low, overflow });
}

/** @returns the bytes of a value, wherever they stand; null when its overflow pages are not its own */
function readValue(walk: Walk, { page, at, sizeBytes, overflow }: Leaf): DataView | null {
  if (!overflow) return new DataView(page.buffer, at, sizeBytes);
  // A value that became shorter keeps the pages it had.
  const needed = Math.floor((HEADER_BYTES - 1 + sizeBytes) / walk.header.pageBytes) + 1;
  const count = Number(page.getBigUint64(at + 16, true));
  if (count < needed || count > walk.header.lastPage) return null;
  const pages = readPage(walk, Number(page.getBigUint64(at, true)), count);
  if (pages === null || pages.getUint16(18, true) !== OVERFLOW || pages.getUint32(20, true) !== count) return null;
  return new DataView(pages.buffer, HEADER_BYTES, sizeBytes);
}

/** A list is its length and so many entries: a page, 0 for a gap, or −n and the first page of a block of n. */
function checkFreeList(walk: Walk, list: DataView): boolean {
  if (list.byteLength < 8 || list.byteLength % 8 !== 0) return false;
  const length = list.getBigUint64(0, true);
  if (length > BigInt(list.byteLength / 8 - 1)) return false;
  for (let i = 1; i <= Number(length); i++) {
    const entry = Number(list.getBigInt64(8 * i, true));
    if (entry === 0) continue;
    if (entry < 0) i += 1;
    if (i > Number(length)) return false;
    if (!mark(walk, Number(list.getBigInt64(8 * i, true)), entry < 0 ? -entry : 1)) return false;
  }
  return true;
}

function readPage(walk: Walk, number: number, count: number): DataView | null {
  if (!mark(walk, number, count)) return null;
  const bytes = new Uint8Array(count * walk.header.pageBytes);
  if (readSync(walk.file, bytes, 0, bytes.length, number * walk.header.pageBytes) !== bytes.length) return null;
  const page = new DataView(bytes.buffer);
  // A page of a transaction that is still to come counts as one that may be written, and LMDB writes into its map.
  const writtenBy = page.getBigUint64(8, true);
  if (writtenBy < 1n || writtenBy > walk.header.transaction) return null;
  return Number(page.getBigUint64(0, true)) === number ? page : null;
}

/** @returns false when one of the pages does not exist or was met before */
function mark({ met }: Walk, first: number, count: number): boolean {
  if (first < 2 || first + count > met.length) return false;
  for (let page = first; page < first + count; page++) {
    if (met[page] !== 0) return false;
    met[page] = 1;
  }
  return true;
}
