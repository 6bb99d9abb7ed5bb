/**
 * How late the events of one source come, against its promptest one: whoever holds them back may make the manager believe
 * that it would hear of a revocation. Two clocks are asked, since either of ours may be set while its own is not.
 */
import { type EpochSeconds, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';

export interface EventDelay {
  /** Least difference so far between each clock of ours and the time in the events, in ms. */
  readonly least: readonly [now: number, wall: number];
  readonly at: Millis;
  /** Since when every event came too late; null: the last one did not. */
  readonly lateSince: Millis | null;
}

/** Times in events are whole seconds. */
const ROUNDING = seconds(1);
const TOO_LATE = seconds(2);
/** After so long it is the source's clock that was set back, and nobody who holds events: those are refused by then. */
const BELIEVED_AFTER = seconds(60);
/** By which the clocks of two machines may drift apart, in ms a second. */
const DRIFT = 1;

/** @returns what is known now, and how late this event is for certain */
export function measureDelay(
  before: EventDelay | null,
  time: EpochSeconds,
  { now, wall }: Pick<World, 'now' | 'wall'>,
): { readonly delay: EventDelay; readonly late: Millis } {
  const offsets = [now - time * 1000, (wall - time) * 1000] as const;
  if (before === null) return { delay: { least: offsets, at: now, lateSince: null }, late: Millis(0) };
  const drift = ((now - before.at) / 1000) * DRIFT;
  const least = [Math.min(before.least[0] + drift, offsets[0]), Math.min(before.least[1] + drift, offsets[1])] as const;
  const late = Millis(Math.max(0, Math.min(offsets[0] - least[0], offsets[1] - least[1]) - ROUNDING));
  const lateSince = late <= TOO_LATE ? null : (before.lateSince ?? now);
  if (lateSince !== null && now - lateSince > BELIEVED_AFTER)
    return { delay: { least: offsets, at: now, lateSince: null }, late: Millis(0) };
  return { delay: { least, at: now, lateSince }, late };
}
