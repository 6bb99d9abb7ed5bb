/**
 * How long a verdict still holds. A lifetime counts from its receipt on the clock that never jumps (design §5.2); the wall
 * clock is asked only for what an earlier process heard.
 */
import { toHex } from '../protocol/bytes.ts';
import { type DeviceId, type EpochSeconds, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { type Bearer, bearerOf, userLeafOf } from './bearer.ts';
import { hearsVerifier } from './revocation-watch.ts';
import type { ManagerState } from './state.ts';
import type { Terms } from './terms.ts';
import { isAt, type UserDesk } from './user-desk.ts';

type Now = Pick<World, 'now' | 'wall'>;
type Known = Pick<ManagerState, 'devices' | 'verdictEnds' | 'revocation'> & {
  readonly users: Pick<UserDesk, 'at'>;
};

/** No verdict is made for longer (protocol/messages.ts): who seems to have one has a wall clock that went back. */
const LONGEST_AGE_S = 604_800;

/** What the verifier is asked about: a device that has logged in, a user who is at one. */
export interface Judged {
  readonly purpose: 'device' | 'user';
  readonly chain: readonly Uint8Array[];
  /** SHA-256 of the leaf, in hex. */
  readonly leaf: string;
  /** End of the last good verdict. */
  readonly verdictUntil: number;
}

/** @returns null for one who is not there any more */
export function judgedAs({ devices, users }: Pick<Known, 'devices' | 'users'>, bearer: Bearer): Judged | null {
  const ofUser = userLeafOf(bearer);
  if (ofUser !== null) {
    const record = users.at.get(ofUser);
    return record === undefined ? null : { purpose: 'user', leaf: ofUser, ...record };
  }
  const record = devices.get(bearer as DeviceId);
  if (record === undefined) return null;
  const { chain, verdictUntil } = record;
  return { purpose: 'device', chain, verdictUntil, leaf: toHex(record.leaf) };
}

/** @returns seconds until a device or a user has to be judged anew; 0 or less: now */
export function verdictSecondsLeft(state: Known, bearer: Bearer, world: Now): number {
  const end = state.verdictEnds.get(bearer);
  if (end !== undefined) return (end - world.now) / 1000;
  const ofUser = userLeafOf(bearer);
  const held = ofUser === null ? state.devices.get(bearer as DeviceId) : state.users.at.get(ofUser);
  const left = (held?.verdictUntil ?? 0) - world.wall;
  return left > LONGEST_AGE_S ? 0 : left;
}

/** Whether the last verdict is good, young enough, and of a time from which on every revocation was heard. */
export function isJudged(state: Known, bearer: Bearer, world: Now): boolean {
  const { doubtful, condemned } = state.revocation;
  return verdictSecondsLeft(state, bearer, world) > 0 && !doubtful.has(bearer) && !condemned.has(bearer);
}

/**
 * Whether the two may be granted a session, or get new keys for one: every grant is preceded by this, wherever it is made.
 * Where a user was asked for, that user has to be there still. In silence and in doubt what stands goes on, and nothing
 * begins. [design §5.1]
 */
export function mayBeGranted(
  state: Known,
  { caller, callee, user }: Pick<Terms, 'caller' | 'callee' | 'user'>,
  world: Now,
): boolean {
  if (!hearsVerifier(state.revocation, world.now)) return false;
  if (!isJudged(state, caller.id, world) || !isJudged(state, callee.id, world)) return false;
  if (user === null) return true;
  const leaf = toHex(user.leaf);
  return isAt(state.users, leaf, user.id, callee.id) && isJudged(state, bearerOf(leaf), world);
}

/** Notes a verdict that was just checked against the wall clock; who was in doubt, or awaited his eviction, is so no more. */
export function hearVerdict(state: Known, bearer: Bearer, until: EpochSeconds, world: Now): void {
  state.revocation.doubtful.delete(bearer);
  state.revocation.condemned.delete(bearer);
  carryVerdict(state, bearer, until, world);
}

/** Notes a verdict of a moment ago: a doubt that came up since stays. */
export function carryVerdict(state: Known, bearer: Bearer, until: EpochSeconds, world: Now): void {
  const left = Math.max(0, Math.min(until - world.wall, LONGEST_AGE_S));
  state.verdictEnds.set(bearer, later(world.now, seconds(left)));
}
