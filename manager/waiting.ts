/**
 * Connects that wait for a user who is nowhere: parked for as long as the caller said, within bounds, until the user comes,
 * the time is over, the caller takes it back or is gone.
 */
import { toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId, Millis } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { log, remember, sendTo } from './outbox.ts';
import { callKey } from './sessions.ts';
import type { ManagerState } from './state.ts';
import type { ParkedCall } from './user-desk.ts';

const MAX_PER_CALLER = 8;
const MAX_PER_USER = 256;
const MAX_IN_ALL = 4096;

export const NOWHERE = 'the user is at no device that may be asked';

/** @returns false when too many wait already */
export function park(
  state: ManagerState,
  caller: DeviceId,
  user: string,
  connect: MessageOf<'Connect'>,
  until: Millis,
): boolean {
  const { parked } = state.users;
  const all = [...parked.values()];
  if (all.length >= MAX_IN_ALL) return false;
  if (all.filter((one) => one.user === user).length >= MAX_PER_USER) return false;
  if (all.filter((one) => one.caller === caller).length >= MAX_PER_CALLER) return false;
  const key = callKey(caller, connect.nonceA);
  const kept = { ...connect, nonceA: connect.nonceA.slice(), consent: connect.consent?.slice() };
  parked.set(key, { caller, user, connect: kept, until });
  schedule(state.deadlines, `wait:${key}`, until);
  log(state, 'info', 'connect.waits', { caller, user, call: toHex(connect.nonceA) });
  return true;
}

export const isParked = (state: ManagerState, caller: DeviceId, nonceA: Uint8Array): boolean =>
  state.users.parked.has(callKey(caller, nonceA));

/** The caller takes its Connect back. @returns whether it waited */
export const cancelWaiting = (state: ManagerState, caller: DeviceId, nonceA: Uint8Array): boolean =>
  unpark(state, callKey(caller, nonceA));

function unpark(state: ManagerState, key: string): boolean {
  cancel(state.deadlines, `wait:${key}`);
  return state.users.parked.delete(key);
}

/** Nobody is there to be answered: what the agent still wants it asks for again on its next channel. */
export function forgetWaiting(state: ManagerState, caller: DeviceId): void {
  for (const [key, one] of state.users.parked) if (one.caller === caller) unpark(state, key);
}

/** @returns those who waited for this user, in the order in which they came; they wait no more */
export function takeWaiting(state: ManagerState, user: string): ParkedCall[] {
  const taken: ParkedCall[] = [];
  for (const [key, one] of state.users.parked) if (one.user === user && unpark(state, key)) taken.push(one);
  return taken;
}

export function waitOver(state: ManagerState, key: string, world: World): void {
  const one = state.users.parked.get(key);
  if (one === undefined) return;
  unpark(state, key);
  const { caller, connect } = one;
  const denied = { kind: 'Denied', requestId: connect.nonceA, reason: 'user-nowhere', detail: NOWHERE } as const;
  log(state, 'info', 'connect.refused', { caller, callee: connect.callee, reason: denied.reason, waited: true });
  remember(state, caller, connect.nonceA, denied, world.now);
  sendTo(state, caller, [denied], world);
}
