/**
 * How many questions each asker may ask: one token bucket per asker, so that a device that floods starves itself alone.
 */
import type { Millis } from '../protocol/units.ts';

export interface QuestionBudget {
  /** Takes one token of that asker. @returns false when there is none left */
  take(asker: string, perSecond: number, now: Millis): boolean;
}

/** Implementation limit; whoever has not asked for longest is forgotten, which gives a full bucket. */
const MAX_ASKERS = 10_000;
/** A bucket holds what comes in so many seconds. */
const BURST_SECONDS = 4;

export function questionBudget(): QuestionBudget {
  const buckets = new Map<string, { tokens: number; at: Millis }>();
  return {
    take(asker, perSecond, now) {
      const full = perSecond * BURST_SECONDS;
      const { tokens, at } = buckets.get(asker) ?? { tokens: full, at: now };
      const refilled = Math.min(full, tokens + ((now - at) / 1000) * perSecond);
      const granted = refilled >= 1;
      buckets.delete(asker); // to the end of the order of use
      buckets.set(asker, { tokens: granted ? refilled - 1 : refilled, at: now });
      if (buckets.size > MAX_ASKERS) buckets.delete(buckets.keys().next().value!);
      return granted;
    },
  };
}
