/**
 * The memory of a living process as a core dump would hold it, and more: every readable mapping, also those that cores
 * leave out. Linux gives it to whoever may trace the process: its parent, or root.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

const CHUNK_BYTES = 16 * 1024 * 1024;
/** What may begin at the end of one chunk goes before the next. */
const OVERLAP_BYTES = 256;

/** Stops the process, hands over its memory piece by piece, neighbours overlapping, and lets it go on. @returns bytes read */
export function readMemory(pid: number, take: (bytes: Uint8Array) => void): number {
  process.kill(pid, 'SIGSTOP');
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let total = 0;
    for (const { from, to } of mappingsOf(pid)) {
      for (let at = from; at < to; at += BigInt(CHUNK_BYTES - OVERLAP_BYTES)) {
        const wanted = Number(to - at < BigInt(CHUNK_BYTES) ? to - at : BigInt(CHUNK_BYTES));
        const read = readSync(memory, chunk, 0, wanted, at);
        total += read;
        take(chunk.subarray(0, read));
        if (read < wanted) break; // behind the end of a mapped file
      }
    }
    return total;
  } finally {
    closeSync(memory);
    process.kill(pid, 'SIGCONT');
  }
}

/** @spec proc_pid_maps(5) */
function mappingsOf(pid: number): { readonly from: bigint; readonly to: bigint }[] {
  return readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .filter((line) => / r..[ps] /.test(line) && !/\[(?:vvar.*|vsyscall)\]$/.test(line))
    .map((line) => {
      const [from = '', to = ''] = line.split(' ', 1)[0]!.split('-');
      return { from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) };
    });
}
