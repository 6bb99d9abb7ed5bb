/**
 * Token buckets: so many in a second, and a second's worth at once. A bucket may be overdrawn; who overdraws it waits
 * longer.
 */
import type { Millis } from '../protocol/units.ts';

export interface Bucket {
  tokens: number;
  /** When `tokens` was true. */
  at: Millis;
}

export const fullBucket = (perSecond: number, now: Millis): Bucket => ({ tokens: perSecond, at: now });

/** @returns the tokens that are there now; below 1 when whoever wants one has to wait */
export function look(bucket: Bucket, perSecond: number, now: Millis): number {
  bucket.tokens = Math.min(perSecond, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
  bucket.at = now;
  return bucket.tokens;
}

/** Takes one if it is there. */
export function takeOne(bucket: Bucket, perSecond: number, now: Millis): boolean {
  if (look(bucket, perSecond, now) < 1) return false;
  bucket.tokens--;
  return true;
}

/** @returns milliseconds until one is there; 0 when it is */
export function waitForOne({ tokens }: Bucket, perSecond: number): number {
  return tokens >= 1 ? 0 : ((1 - tokens) / perSecond) * 1000;
}

/** One bucket for each name; those that are full again are forgotten. */
export interface NamedBuckets {
  readonly buckets: Map<string, Bucket>;
  sweepAt: number;
}

const SWEEP_AT = 1024;

export const namedBuckets = (): NamedBuckets => ({ buckets: new Map(), sweepAt: SWEEP_AT });

export function takeOneOf(named: NamedBuckets, name: string, perSecond: number, now: Millis): boolean {
  const { buckets } = named;
  let bucket = buckets.get(name);
  if (bucket === undefined) {
    if (buckets.size >= named.sweepAt) sweep(named, perSecond, now);
    bucket = fullBucket(perSecond, now);
    buckets.set(name, bucket);
  }
  return takeOne(bucket, perSecond, now);
}

function sweep(named: NamedBuckets, perSecond: number, now: Millis): void {
  for (const [name, bucket] of named.buckets) {
    if (look(bucket, perSecond, now) >= perSecond) named.buckets.delete(name);
  }
  named.sweepAt = Math.max(SWEEP_AT, 2 * named.buckets.size);
}
