/**
 * What makes a stored record trustworthy: a MAC over its place and value, and per table a sum over all MACs, so that a
 * record that was altered, moved, dropped or put back in an older version is noticed. LMDB itself has no checksums.
 */
import { concat, decodeUtf8, encodeUtf8, equalInConstantTime } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';

export const TAG_BYTES = 16;

/** Number of records of one table and the exclusive-or of their tags. */
export interface TableSum {
  readonly count: number;
  readonly tags: Uint8Array;
}

export type TableSums = ReadonlyMap<string, TableSum>;

/** The state of the whole store after one transaction. */
export interface StoreHead {
  readonly transaction: bigint;
  /** Seconds since 1970 by the clock of the machine. */
  readonly savedAt: number;
  readonly sums: TableSums;
}

export interface Sealer {
  /** @returns value ‖ tag */
  seal(table: string, key: string, value: Uint8Array): Uint8Array;
  /** @returns the value, or null when value, tag, table or key are not those that were sealed together */
  open(table: string, key: string, record: Uint8Array): Uint8Array | null;
}

/** @param key  32 bytes, kept by reference: wiping it ends the sealer */
export function recordSealer(key: Uint8Array, crypto: Pick<Crypto, 'hmac'>): Sealer {
  // HMAC-SHA-256(key, length(table) ‖ table ‖ length(key) ‖ key ‖ value), the first 16 bytes; lengths in 2 bytes
  const tag = (table: string, name: string, value: Uint8Array): Uint8Array =>
    crypto.hmac('sha-256', key, concat(prefixed(table), prefixed(name), value)).subarray(0, TAG_BYTES);
  return {
    seal: (table, name, value) => concat(value, tag(table, name, value)),
    open: (table, name, record) => {
      if (record.length < TAG_BYTES) return null;
      // A copy, which `slice` of a Buffer is not.
      const value = new Uint8Array(record.subarray(0, -TAG_BYTES));
      return equalInConstantTime(tag(table, name, value), tagOf(record)) ? value : null;
    },
  };
}

export function tagOf(record: Uint8Array): Uint8Array {
  return record.subarray(record.length - TAG_BYTES);
}

/** The sum after a record was added, replaced or removed; null stands for no record. */
export function withRecord(sum: TableSum | undefined, before: Uint8Array | null, after: Uint8Array | null): TableSum {
  const tags = sum === undefined ? new Uint8Array(TAG_BYTES) : sum.tags.slice();
  let count = sum?.count ?? 0;
  for (const [record, step] of [[before, -1] as const, [after, 1] as const]) {
    if (record === null) continue;
    count += step;
    // A record shorter than a tag is damaged; it counts, and its tag cannot.
    if (record.length >= TAG_BYTES)
      tagOf(record).forEach((byte, i) => {
        tags[i]! ^= byte;
      });
  }
  return { count, tags };
}

/** @returns the names of the tables that differ; empty tables are as good as none */
export function differingTables(a: TableSums, b: TableSums): string[] {
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => {
    const [x, y] = [a.get(name), b.get(name)];
    if ((x?.count ?? 0) !== (y?.count ?? 0)) return true;
    return x !== undefined && y !== undefined && !equalInConstantTime(x.tags, y.tags);
  });
}

/** transaction (8 bytes) ‖ time (8 bytes) ‖ for each table: length(name) ‖ name ‖ count (8 bytes) ‖ tags (16 bytes) */
export function encodeHead(head: StoreHead): Uint8Array {
  const rows = [...head.sums].filter(([, sum]) => sum.count > 0);
  return concat(
    uint64(head.transaction),
    uint64(BigInt(head.savedAt)),
    ...rows.flatMap(([name, sum]) => [prefixed(name), uint64(BigInt(sum.count)), sum.tags]),
  );
}

/** @param bytes  written by `encodeHead`, already found authentic */
export function decodeHead(bytes: Uint8Array): StoreHead {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sums = new Map<string, TableSum>();
  for (let at = 16; at < bytes.length; ) {
    const counted = at + 2 + view.getUint16(at);
    const name = decodeUtf8(bytes.subarray(at + 2, counted));
    at = counted + 8 + TAG_BYTES;
    sums.set(name, { count: Number(view.getBigUint64(counted)), tags: bytes.slice(counted + 8, at) });
  }
  return { transaction: view.getBigUint64(0), savedAt: Number(view.getBigUint64(8)), sums };
}

function prefixed(text: string): Uint8Array {
  const bytes = encodeUtf8(text);
  return concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);
}

function uint64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}
