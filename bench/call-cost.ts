/**
 * What one call costs: the time around batches of about a millisecond. Batches that took three times the median were
 * interrupted by other work on the machine and are left out; the collector of young objects stays below that and counts.
 * (The thread's own CPU clock ticks too coarsely for calls of microseconds.)
 */
import { spreadOf } from './figures.ts';

export interface Call {
  readonly name: string;
  /** Makes what the next `calls` runs will use up, outside of the measurement. */
  prepare?(calls: number): void;
  /** @param i  0 up to the `calls` of the last `prepare` */
  run(i: number): void;
}

const BATCH_MS = 1;
const INTERRUPTED = 3;
const WARM_UP_MS = 60;

/** @returns ms */
function batch(call: Call, calls: number): number {
  call.prepare?.(calls);
  const began = performance.now();
  for (let i = 0; i < calls; i++) call.run(i);
  return performance.now() - began;
}

/** Lets the compiler see everything, and finds how many calls fill a batch. */
function callsInBatch(call: Call): number {
  let calls = 1;
  for (let spent = 0; spent < WARM_UP_MS; ) {
    const took = batch(call, calls);
    spent += took;
    if (took < BATCH_MS / 2) calls *= 2;
  }
  const times = Array.from({ length: 9 }, () => batch(call, calls));
  return Math.max(1, Math.round((calls * BATCH_MS) / spreadOf(times).median));
}

/** @returns µs of one call */
function microsPerCall(call: Call, calls: number, batches: number): number {
  const times = Array.from({ length: batches }, () => batch(call, calls));
  const most = INTERRUPTED * spreadOf(times).median;
  const kept = times.filter((time) => time <= most);
  return (1000 * kept.reduce((sum, time) => sum + time, 0)) / kept.length / calls;
}

/**
 * Calls side by side: each round goes through all of them, so that what the machine does meanwhile falls on all alike.
 * @param at  told before each call, 0 to 1
 * @returns µs of each call, round by round
 */
export function sideBySide<C extends Call>(
  calls: readonly C[],
  scale: { readonly rounds: number; readonly batches: number },
  at: (part: number, call: C) => void,
): ReadonlyMap<C, readonly number[]> {
  const counts = calls.map((call, i) => {
    at((0.3 * i) / calls.length, call);
    return callsInBatch(call);
  });
  const costs = new Map(calls.map((call) => [call, [] as number[]]));
  for (let round = 0; round < scale.rounds; round++) {
    for (const [i, call] of calls.entries()) {
      at(0.3 + (0.7 * (round + i / calls.length)) / scale.rounds, call);
      costs.get(call)!.push(microsPerCall(call, counts[i]!, scale.batches));
    }
  }
  return costs;
}
