/**
 * How long a verdict still holds. A lifetime counts from its receipt on the clock that never jumps (design §5.2); the wall
 * clock is asked only for what an earlier process heard.
 */
import { type DeviceId, type EpochSeconds, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { hearsVerifier } from './revocation-watch.ts';
import type { ManagerState } from './state.ts';
import type { Terms } from './terms.ts';

type Now = Pick<World, 'now' | 'wall'>;
type Known = Pick<ManagerState, 'devices' | 'verdictEnds' | 'revocation'>;

/** No verdict is made for longer (protocol/messages.ts): who seems to have one has a wall clock that went back. */
const LONGEST_AGE_S = 604_800;

/** @returns seconds until a device has to be judged anew; 0 or less: now */
export function verdictSecondsLeft(state: Known, device: DeviceId, world: Now): number {
  const end = state.verdictEnds.get(device);
  if (end !== undefined) return (end - world.now) / 1000;
  const left = (state.devices.get(device)?.verdictUntil ?? 0) - world.wall;
  return left > LONGEST_AGE_S ? 0 : left;
}

/** Whether the last verdict is good, young enough, and of a time from which on every revocation was heard. */
export function isJudged(state: Known, device: DeviceId, world: Now): boolean {
  const { doubtful, condemned } = state.revocation;
  return verdictSecondsLeft(state, device, world) > 0 && !doubtful.has(device) && !condemned.has(device);
}

/**
 * Whether the two may be granted a session, or get new keys for one: every grant is preceded by this, wherever it is made.
 * In silence and in doubt what stands goes on, and nothing begins. [design §5.1]
 */
export const mayBeGranted = (state: Known, { caller, callee }: Pick<Terms, 'caller' | 'callee'>, world: Now): boolean =>
  hearsVerifier(state.revocation, world.now) && isJudged(state, caller.id, world) && isJudged(state, callee.id, world);

/** Notes a verdict that was just checked against the wall clock; who was in doubt, or awaited his eviction, is so no more. */
export function hearVerdict(state: Known, device: DeviceId, until: EpochSeconds, world: Now): void {
  state.revocation.doubtful.delete(device);
  state.revocation.condemned.delete(device);
  carryVerdict(state, device, until, world);
}

/** Notes a verdict of a moment ago: a doubt that came up since stays. */
export function carryVerdict(state: Known, device: DeviceId, until: EpochSeconds, world: Now): void {
  const left = Math.max(0, Math.min(until - world.wall, LONGEST_AGE_S));
  state.verdictEnds.set(device, later(world.now, seconds(left)));
}
