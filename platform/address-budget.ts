/**
 * How many requests each address may make: one token bucket per IPv4 address or IPv6 /64, which one host has to itself.
 */
import type { Millis } from '../protocol/units.ts';

export interface AddressBudget {
  /** Takes one token of that address. @returns false when there is none left */
  take(address: string, now: Millis): boolean;
}

/** Whoever has not asked for longest is forgotten, which gives a full bucket. */
const MAX_ADDRESSES = 10_000;
/** A bucket holds what comes in so many seconds. */
const BURST_SECONDS = 4;

export function addressBudget(perSecond: number): AddressBudget {
  const full = perSecond * BURST_SECONDS;
  const buckets = new Map<string, { tokens: number; at: Millis }>();
  return {
    take(address, now) {
      const place = placeOf(address);
      const bucket = buckets.get(place) ?? { tokens: full, at: now };
      bucket.tokens = Math.min(full, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
      buckets.delete(place); // to the end of the order of use
      buckets.set(place, bucket);
      if (buckets.size > MAX_ADDRESSES) buckets.delete(buckets.keys().next().value!);
      if (bucket.tokens < 1) return false;
      bucket.tokens--;
      return true;
    },
  };
}

/** `::ffff:192.0.2.1` is an IPv4 address; of others the first four groups count. */
export function placeOf(address: string): string {
  if (!address.includes(':') || address.includes('.')) return address;
  const [head = '', tail] = address.split('%', 1)[0]!.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeroes = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array.from({ length: zeroes }, () => '0'), ...right].slice(0, 4).join(':');
}
