/**
 * The exchanges that are not channels yet: begun, limited in number and time, ended.
 */
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, later } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { deviceOf, type Handshake, type HandshakeStep, partyKey } from './handshake.ts';
import { log } from './outbox.ts';
import type { ManagerState } from './state.ts';

/** @returns null when too many are open; the peer tries again later */
export function beginHandshake(
  state: ManagerState,
  party: Party,
  exchange: Uint8Array,
  step: HandshakeStep,
  world: World,
): Handshake | null {
  const key = partyKey(party);
  if (!state.handshakes.has(key) && state.handshakes.size >= state.settings.limits.halfOpen) {
    log(state, 'warn', 'login.too-many-half-open', { halfOpen: state.handshakes.size });
    return null;
  }
  endHandshake(state, party); // one per party: the one before is over, and so is what was asked for it
  const handshake: Handshake = { id: state.nextHandshake++, party, exchange: exchange.slice(), step, last: null };
  state.handshakes.set(key, handshake);
  schedule(state.deadlines, `exchange:${key}`, later(world.now, state.settings.limits.exchangeTimeout));
  return handshake;
}

export function endHandshake(state: ManagerState, party: Party): void {
  const key = partyKey(party);
  const handshake = state.handshakes.get(key);
  if (handshake === undefined) return;
  state.handshakes.delete(key);
  cancel(state.deadlines, `exchange:${key}`);
  forgetQuestionOf(state, handshake.id);
}

/** Every exchange that was to become this device's channel: an eviction must not be undone by one under way. */
export function endHandshakesOf(state: ManagerState, device: DeviceId): void {
  for (const handshake of [...state.handshakes.values()]) {
    if (deviceOf(handshake) === device) endHandshake(state, handshake.party);
  }
}

/** @returns the exchange on a link, if it is still that one */
export function sameHandshake(state: ManagerState, party: string, id: number): Handshake | null {
  const handshake = state.handshakes.get(party);
  return handshake?.id === id ? handshake : null;
}

function forgetQuestionOf(state: ManagerState, id: number): void {
  const key = state.questionOf.get(id);
  if (key === undefined) return;
  state.questionOf.delete(id);
  state.questions.delete(key);
  cancel(state.deadlines, `question:${key}`);
}
