/**
 * Ways in which keys leave the memory of a process without being asked: core dumps and swap.
 */
import type { Swap } from '../../platform/swap.ts';
import { advice, type Finding, well } from './finding.ts';

/** @param reason  why a process of ours cannot forbid its core dumps; null when it can */
export function checkCoreDumps(reason: string | null): Finding {
  if (reason === null) return well('the daemons write no core dumps, which would hold keys');
  return advice(
    `core dumps, which hold keys, cannot be forbidden (${reason})`,
    'start the daemons under `ulimit -c 0`',
  );
}

/** @param swaps  null where the system does not tell */
export function checkSwap(swaps: readonly Swap[] | null): Finding {
  if (swaps === null) return advice('whether this machine swaps cannot be told', 'see that its swap is encrypted');
  const open = swaps.filter(({ kind }) => kind === 'open').map(({ path }) => path);
  if (swaps.length === 0) return well('no swap: keys stay in memory');
  if (open.length === 0) return well(`swap in memory or encrypted: ${swaps.map(({ path }) => path).join(', ')}`);
  const remedy = 'encrypt it, swap to zram, or run the daemons with MemorySwapMax=0 (docs/deployment.md)';
  return advice(`keys may be swapped out, readable, to ${open.join(', ')}`, remedy);
}
