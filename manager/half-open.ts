/**
 * The exchanges that are not channels yet: begun, limited in number and time, ended.
 */
import { cancel, schedule } from '../protocol/deadlines.ts';
import { Busy } from '../protocol/messages.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { ask, type LineName, leave, takeNext } from './admission.ts';
import { deviceOf, type Handshake, type HandshakeStep, partyKey } from './handshake.ts';
import { log, sendExchange } from './outbox.ts';
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
  const handshake: Handshake = {
    id: state.nextHandshake++,
    party,
    exchange: exchange.slice(),
    step,
    beside: null,
    last: null,
  };
  state.handshakes.set(key, handshake);
  schedule(state.deadlines, `exchange:${key}`, later(world.now, state.settings.limits.exchangeTimeout));
  return handshake;
}

/**
 * Asks for the place of an exchange that a device has begun. One that has to come again is told so, and its exchange is over.
 * @param key  whose turn it is then
 * @returns true when it may go on at once
 */
export function mayGoOn(state: ManagerState, handshake: Handshake, line: LineName, key: string, world: World): boolean {
  const { id, party, exchange } = handshake;
  const who = { exchange: id, party: partyKey(party), key };
  const found = ask(state.admission, line, who, world.now, randomShare(world));
  if (found.place !== 'later') return found.place === 'in';
  endHandshake(state, party);
  turnAway(state, party, exchange, found.after);
  return false;
}

/** D3: come again. Cheaper for both than an exchange that runs out of time. */
export function turnAway(state: ManagerState, party: Party, exchange: Uint8Array, after: number): void {
  sendExchange(state, party, 'busy', exchange, Busy.encode({ after: Math.max(1, Math.round(after)) }));
}

/** Too many exchanges are under way to begin one. */
export function turnAwayFull(state: ManagerState, party: Party, exchange: Uint8Array, world: World): void {
  turnAway(state, party, exchange, FULL_WAIT * (0.5 + randomShare(world) / 2));
}

const FULL_WAIT = seconds(5);

/** The verifier is away, and this device needs its verdict: it comes soon again, and soon after the verifier is back. */
export function turnAwayUnjudged(state: ManagerState, { party, exchange }: Handshake, world: World): void {
  endHandshake(state, party);
  turnAway(state, party, exchange, UNJUDGED_WAIT * (0.5 + randomShare(world) / 2));
}

const UNJUDGED_WAIT = Millis(1500);

/** @returns the exchanges whose turn has come */
export function nextInLine(state: ManagerState, world: World): Handshake[] {
  const next = takeNext(state.admission, world.now).flatMap(({ exchange, party }) => {
    const handshake = sameHandshake(state, party, exchange);
    return handshake === null ? [] : [handshake];
  });
  return next;
}

/** @returns 0 up to 1 */
function randomShare({ crypto }: World): number {
  const random = crypto.random(4);
  return new DataView(random.buffer, random.byteOffset).getUint32(0) / 2 ** 32;
}

export function endHandshake(state: ManagerState, party: Party): void {
  const key = partyKey(party);
  const handshake = state.handshakes.get(key);
  if (handshake === undefined) return;
  state.handshakes.delete(key);
  leave(state.admission, handshake.id);
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

/** Sends and keeps the answer to the last frame. */
export function reply(
  state: ManagerState,
  handshake: Handshake,
  kind: 'message2' | 'message4',
  body: Uint8Array,
): void {
  const sent = sendExchange(state, handshake.party, kind, handshake.exchange, body);
  if (handshake.last !== null) handshake.last = { received: handshake.last.received, sent };
}
