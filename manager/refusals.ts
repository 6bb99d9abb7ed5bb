/**
 * How many Connects of a device were refused in the second under way. Beyond the limit they are not looked into: nothing
 * else holds back a device that asks for what it never gets, and each costs a policy, a rule and a match.
 */
import { type DeviceId, type Millis, seconds } from '../protocol/units.ts';

export interface Refusals {
  /** When the second began. */
  since: Millis;
  /** Of the devices that were refused in it. */
  readonly counts: Map<DeviceId, number>;
}

export const noRefusals = (now: Millis): Refusals => ({ since: now, counts: new Map() });

/** A person, or a program that looks for somebody, tries fewer; the broker lets a hundred messages a second pass. */
export const REFUSALS_PER_SECOND = 20;
const SECOND = seconds(1);

export function isRefusedTooOften(refusals: Refusals, device: DeviceId, now: Millis): boolean {
  if (now - refusals.since >= SECOND) {
    refusals.since = now;
    refusals.counts.clear();
  }
  return (refusals.counts.get(device) ?? 0) >= REFUSALS_PER_SECOND;
}

/** @returns how many it were in this second, with this one */
export function noteRefusal({ counts }: Refusals, device: DeviceId): number {
  const count = (counts.get(device) ?? 0) + 1;
  counts.set(device, count);
  return count;
}
