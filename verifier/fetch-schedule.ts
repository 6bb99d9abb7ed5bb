/**
 * When a list is fetched next: by its schedule, sooner when it is about to run out, soon and then ever later after failures;
 * never all at the same moment.
 */
import type { EpochSeconds } from '../protocol/units.ts';

export interface FetchMoment {
  readonly everySeconds: number;
  /** In a row, up to now. */
  readonly failures: number;
  /** When what was fetched runs out; null: unknown. */
  readonly nextUpdate: EpochSeconds | null;
  readonly now: EpochSeconds;
  /** Even from 0 to below 1. */
  readonly dice: number;
}

const FIRST_RETRY_SECONDS = 5;
/** A place that is away is asked at least so often, also when its schedule is denser than that. */
const MAX_RETRY_SECONDS = 60;
/** However soon a list runs out. */
const MIN_SECONDS = 30;

/** @returns seconds to wait */
export function nextFetchIn({ everySeconds, failures, nextUpdate, now, dice }: FetchMoment): number {
  if (failures > 0) {
    const longest = Math.max(everySeconds, MAX_RETRY_SECONDS);
    const backOff = Math.min(longest, FIRST_RETRY_SECONDS * 2 ** Math.min(failures - 1, 20));
    return backOff * (0.5 + dice / 2);
  }
  // half of what is left, and again half of that: several tries before it is out of date
  const left = nextUpdate === null || nextUpdate <= now ? everySeconds : Math.max(MIN_SECONDS, (nextUpdate - now) / 2);
  return Math.min(everySeconds, left) * (0.9 + dice / 10);
}
