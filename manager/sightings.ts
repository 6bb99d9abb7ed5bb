/**
 * Devices that were seen as two machines with one certificate: what is remembered of it, for the log and the operator.
 */
import { equal } from '../protocol/bytes.ts';
import type { Channel } from '../protocol/channel.ts';
import { type DeviceId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';

/** What becomes of the two. */
export type DuplicatePolicy = 'refuse' | 'replace' | 'quarantine';

/** Of one device. */
export interface Sighting {
  /** The channel of the machine that answered, and when it did. */
  readonly channel: Channel;
  readonly at: Millis;
  /** When the operator was told. */
  saidAt: Millis;
  /** The process that had to make room for another machine, and until when it is not to come back. */
  out: { readonly instance: Uint8Array; readonly until: Millis } | null;
  readonly times: number;
}

/** Since the start of the process; the first is the one seen longest ago. */
export type Sightings = Map<DeviceId, Sighting>;

const MAX_SIGHTINGS = 1000;
/** Who has answered need not answer again for so long, however often the other one comes. */
const ANSWER_HOLDS = seconds(10);
const SAY_AGAIN = seconds(60);

export function noteSighting(sightings: Sightings, device: DeviceId, channel: Channel, { now }: World): void {
  const before = sightings.get(device);
  sightings.delete(device); // to the end of the order of time
  const saidAt = before?.saidAt ?? Millis(Number.NEGATIVE_INFINITY);
  sightings.set(device, { channel, at: now, saidAt, out: before?.out ?? null, times: (before?.times ?? 0) + 1 });
  if (sightings.size > MAX_SIGHTINGS) sightings.delete(sightings.keys().next().value!);
}

/** Whether the machine with this channel has answered a moment ago, beside another one. */
export function wasSeen(sightings: Sightings, device: DeviceId, channel: Channel, { now }: World): boolean {
  const sighting = sightings.get(device);
  return sighting?.channel === channel && now < later(sighting.at, ANSWER_HOLDS);
}

/** @returns whether the operator is to hear of it: once a minute for each device */
export function isToBeSaid(sightings: Sightings, device: DeviceId, { now }: World): boolean {
  const sighting = sightings.get(device);
  if (sighting === undefined || now < later(sighting.saidAt, SAY_AGAIN)) return false;
  sighting.saidAt = now;
  return true;
}

/** As long as an agent stays away that hears it; one whose link was closed before it could hear it comes again at once. */
const STAYS_OUT = seconds(600);

export function notePutOut(sightings: Sightings, device: DeviceId, instance: Uint8Array | null, { now }: World): void {
  const sighting = sightings.get(device);
  if (sighting !== undefined && instance !== null)
    sighting.out = { instance: instance.slice(), until: later(now, STAYS_OUT) };
}

/** Whether this process has made room for the one that is there. */
export function wasPutOut(
  sightings: Sightings,
  device: DeviceId,
  instance: Uint8Array | null,
  { now }: World,
): boolean {
  const out = sightings.get(device)?.out ?? null;
  return out !== null && instance !== null && now < out.until && equal(out.instance, instance);
}
