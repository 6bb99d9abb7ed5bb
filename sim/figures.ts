/**
 * Times of one kind, and what is said of them.
 */

export interface Percentiles {
  readonly count: number;
  /** Milliseconds; null where nothing was measured. */
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

/** @param times  milliseconds, in any order */
export function percentiles(times: readonly number[]): Percentiles {
  const sorted = [...times].sort((a, b) => a - b);
  /** Nearest rank. */
  const at = (part: number): number | null => sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? null;
  return { count: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
