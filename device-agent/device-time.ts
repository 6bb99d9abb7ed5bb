/**
 * The time of this device: the system's clock, or, where that cannot be right, the time in a verdict of a pinned verifier
 * that is bound to a login of this device. Everything here that depends on the wall clock goes by it. (design §5.2, time)
 */
import { EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { DeviceTime } from './life-states.ts';
import { log } from './outbox.ts';
import type { AgentState } from './state.ts';

/** Clocks that are apart by no more than this agree. Seconds. */
export const CLOCKS_AGREE = 60;

export const newDeviceTime = (bound: number): DeviceTime => ({ bound: EpochSeconds(bound), heard: null, doubt: null });

/** The world as this device sees it. What is given may be that already. */
export function deviceWorld({ time: { heard } }: Pick<AgentState, 'time'>, world: World): World {
  if (heard === null) return world;
  const wall = EpochSeconds(heard.time + Math.floor((world.now - heard.at) / 1000));
  return agree(world.wall, wall) ? world : { ...world, wall };
}

const agree = (one: number, other: number): boolean => Math.abs(one - other) <= CLOCKS_AGREE;

/** Whether the system's clock cannot be right, and nothing better is known. @param world  of the device */
export const isTimeUnknown = ({ time }: Pick<AgentState, 'time'>, { wall }: Pick<World, 'wall'>): boolean =>
  time.doubt !== null || wall < time.bound - CLOCKS_AGREE;

/** Whether a login can tell the time. */
const canHear = (state: AgentState): boolean => state.settings.verifierKeys.length > 0;

/** What the next login demands of the verifier. @param world  of the device */
export function demandedVerdict(state: AgentState, world: World): 'none' | 'cached' | 'fresh' {
  const isNeeded = state.time.heard !== null || isTimeUnknown(state, world);
  return isNeeded && canHear(state) ? 'fresh' : state.settings.managerVerdict;
}

/** Whether the secret may be used: under a clock that is known to be wrong it is not, where a login can tell the time. */
export const isSecretOfUse = (state: AgentState, until: EpochSeconds, world: World): boolean =>
  until > world.wall && !(isTimeUnknown(state, world) && canHear(state));

/**
 * Something that should hold now is of another time. @param world  of the device
 * @returns whether a login with a fresh verdict will find out
 */
export function doubtClock(state: AgentState, why: string, world: World): boolean {
  if (!canHear(state)) return false;
  if (state.time.doubt === null) log(state, 'info', 'clock.doubted', { why, clock: dateOf(world.wall) });
  state.time.doubt = { why, ahead: aheadOf(world) };
  return true;
}

/** A verifier whose key is pinned has signed this time together with what this device drew for its login. */
export function hearTime(state: AgentState, said: number, world: World): void {
  const { time } = state;
  const moment = EpochSeconds(said);
  const offset = world.wall - moment;
  time.bound = moment;
  time.doubt = null;
  if (time.heard === null && agree(world.wall, moment)) return;
  const isNew = time.heard === null || !agree(world.wall, moment);
  time.heard = { time: moment, at: world.now };
  if (isNew) {
    const remedy = 'none needed here: the verifier tells the time until the clock is set; programs beside it go wrong';
    log(state, 'warn', 'clock.wrong', { clock: dateOf(world.wall), verifier: dateOf(moment), offset, remedy });
  }
}

/** Any verdict of a pinned verifier: the present is not before it. */
export function raiseBound({ time }: AgentState, said: number): void {
  time.bound = EpochSeconds(Math.max(time.bound, said));
}

/** At the entry of each step. @param world  of the system */
export function lookAtClock(state: AgentState, world: World): void {
  const { time } = state;
  // somebody has set it meanwhile: it may be right now
  if (time.doubt !== null && !agree(aheadOf(world), time.doubt.ahead)) time.doubt = null;
  if (time.heard === null || deviceWorld(state, world) !== world) return;
  time.heard = null;
  log(state, 'info', 'clock.right', { clock: dateOf(world.wall) });
}

export type ClockReport =
  | { readonly source: 'system' | 'unknown' }
  | { readonly source: 'verifier'; readonly offsetSeconds: number };

/** @param world  of the system */
export function clockReport(state: AgentState, world: World): ClockReport {
  const own = deviceWorld(state, world);
  if (own !== world) return { source: 'verifier', offsetSeconds: world.wall - own.wall };
  return { source: isTimeUnknown(state, own) ? 'unknown' : 'system' };
}

const aheadOf = ({ wall, now }: World): number => wall - now / 1000;

/** For people. The machine may stand at any time whatsoever. */
export function dateOf(time: number): string {
  const date = new Date(time * 1000);
  return Number.isNaN(date.getTime()) ? `${time} s after 1970` : date.toISOString().slice(0, 16).replace('T', ' ');
}
