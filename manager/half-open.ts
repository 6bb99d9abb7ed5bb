/**
 * The exchanges that are not channels yet: begun, limited in number and time, ended.
 */
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { Party } from '../protocol/topics.ts';
import { later } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { type Handshake, type HandshakeStep, partyKey } from './handshake.ts';
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
  const handshake: Handshake = { party, exchange: exchange.slice(), step, last: null };
  state.handshakes.set(key, handshake);
  schedule(state.deadlines, `exchange:${key}`, later(world.now, state.settings.limits.exchangeTimeout));
  return handshake;
}

export function endHandshake(state: ManagerState, party: Party): void {
  const key = partyKey(party);
  state.handshakes.delete(key);
  cancel(state.deadlines, `exchange:${key}`);
}
