/**
 * The memory of a living process as a core dump would hold it, and more: every page there is of every readable mapping,
 * also of those that cores leave out. Linux gives it to whoever may trace the process: its parent, or root. (gcore of gdb
 * writes the 10 GB that Node merely reserves; what the kernel does with a core is the machine's affair.)
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK_BYTES = 16 * 1024 * 1024;
/** What may begin at the end of one chunk goes before the next. */
const OVERLAP_BYTES = 256;

/** Stops the process, hands over its memory piece by piece, neighbours overlapping, and lets it go on. @returns bytes read */
export function readMemory(pid: number, take: (bytes: Uint8Array) => void): number {
  process.kill(pid, 'SIGSTOP');
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const pages = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let total = 0;
    for (const mapping of mappingsOf(pid)) {
      for (const { from, to } of presentIn(mapping, pages)) {
        for (let at = from; at < to; at += BigInt(CHUNK_BYTES - OVERLAP_BYTES)) {
          const read = readSync(memory, chunk, 0, Math.min(CHUNK_BYTES, Number(to - at)), at);
          total += read;
          take(chunk.subarray(0, read));
        }
      }
    }
    return total;
  } finally {
    closeSync(pages);
    closeSync(memory);
    process.kill(pid, 'SIGCONT');
  }
}

interface Range {
  readonly from: bigint;
  readonly to: bigint;
}

/** @spec proc_pid_maps(5) */
function mappingsOf(pid: number): Range[] {
  return readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .filter((line) => / r..[ps] /.test(line) && !/\[(?:vvar.*|vsyscall)\]$/.test(line))
    .map((line) => {
      const [from = '', to = ''] = line.split(' ', 1)[0]!.split('-');
      return { from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) };
    });
}

const PAGE_BYTES = 4096n;
const ENTRY_BYTES = 8;
/** Bits 63 (present) and 62 (swapped) of an entry, as they stand in its last byte. */
const THERE = 0xc0;

/** Runs of pages that exist: most of what Node maps was never touched. @spec proc_pid_pagemap(5) */
function presentIn({ from, to }: Range, pages: number): Range[] {
  const entries = Buffer.alloc(Number((to - from) / PAGE_BYTES) * ENTRY_BYTES);
  readSync(pages, entries, 0, entries.length, (from / PAGE_BYTES) * BigInt(ENTRY_BYTES));
  const runs: Range[] = [];
  let begin: bigint | null = null;
  for (let at = 0; at <= entries.length; at += ENTRY_BYTES) {
    const there = at < entries.length && (entries[at + ENTRY_BYTES - 1]! & THERE) !== 0;
    const address = from + BigInt(at / ENTRY_BYTES) * PAGE_BYTES;
    if (there && begin === null) begin = address;
    if (there || begin === null) continue;
    runs.push({ from: begin, to: address });
    begin = null;
  }
  return runs;
}
