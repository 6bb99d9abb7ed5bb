/**
 * What this device registers and when: at boot, when its addresses change, on wish (P9, P10, patent 2002–2012, 0100–0102).
 */
import { equal } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { NONCE_BYTES } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { type Registration, registrationHash } from '../protocol/registration.ts';
import { later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { log, sendOnChannel, sendWhenOpen, tell } from './outbox.ts';
import type { AgentState, PendingRegistration } from './state.ts';

/** @returns what is due on a new channel, or null; the same request id until the manager has answered */
export function registrationDue(state: AgentState, world: World): MessageOf<'Register' | 'Delete'> | null {
  const { active, acknowledged, pending } = state.registration;
  if (pending?.purpose === 'delete') return { kind: 'Delete', requestId: pending.requestId };
  return active && (pending !== null || acknowledged === null) ? registerAgain(state, world) : null;
}

/** @returns the Register for a full login: a manager that asks for one may have lost what it held */
export function registerAgain(state: AgentState, world: World): MessageOf<'Register'> | null {
  const { registration } = state;
  if (!registration.active) return null;
  registration.pending ??= newPending(registration.wanted, 'register', world);
  const { requestId, content } = registration.pending;
  return { kind: 'Register', requestId, ...content };
}

/** Registers `wanted` (again); a registration under way is replaced. */
export function register(state: AgentState, wanted: Registration, world: World): void {
  const { registration } = state;
  registration.wanted = wanted;
  registration.active = true;
  registration.pending = newPending(wanted, 'register', world);
  const { requestId } = registration.pending;
  // without a channel it goes out with the next one, as what is due then
  if (state.channel === null) return;
  sendWhenOpen(state, { kind: 'Register', requestId, ...wanted }, null, world);
  awaitRegistered(state, world);
}

function newPending(content: Registration, purpose: 'register' | 'delete', world: World): PendingRegistration {
  const hash = registrationHash(world.crypto, content);
  return { requestId: world.crypto.random(NONCE_BYTES), content, hash, purpose };
}

/** [patent 0102] Addresses that are the same as registered cost nothing. @returns whether they are registered again */
export function addressesChanged(state: AgentState, addresses: readonly string[], world: World): boolean {
  const { wanted, active, acknowledged, pending } = state.registration;
  const same = wanted.addresses.length === addresses.length && wanted.addresses.every((a, i) => a === addresses[i]);
  state.registration.wanted = { ...wanted, addresses };
  if (!active || (same && (acknowledged !== null || pending !== null))) return false;
  log(state, 'info', 'addresses.changed', { addresses: addresses.length });
  register(state, state.registration.wanted, world);
  return true;
}

/** [patent 0100] */
export function unregister(state: AgentState, world: World): void {
  const { registration } = state;
  registration.active = false;
  registration.pending = newPending(registration.wanted, 'delete', world);
  const { requestId } = registration.pending;
  if (state.channel === null) return;
  sendWhenOpen(state, { kind: 'Delete', requestId }, null, world);
  awaitRegistered(state, world);
}

/** [patent 2012] */
export function receiveRegistered(state: AgentState, message: MessageOf<'Registered'>): void {
  const { registration } = state;
  const { pending } = registration;
  if (pending === null || pending.purpose !== 'register' || !equal(pending.requestId, message.requestId)) return;
  registration.pending = null;
  cancel(state.deadlines, 'register');
  registration.acknowledged = { version: message.version, hash: pending.hash, content: pending.content };
  log(state, 'info', 'registered', { version: message.version });
  tell(state, { news: 'registered', version: message.version });
}

/** The manager could not store it: the same is asked again after a while. @returns whether the denial was for it */
export function registrationDenied(state: AgentState, message: MessageOf<'Denied'>, world: World): boolean {
  const { pending } = state.registration;
  if (pending === null || !equal(pending.requestId, message.requestId)) return false;
  log(state, 'warn', 'registration.denied', { reason: message.reason, againInMs: DENIED_AGAIN });
  schedule(state.deadlines, 'register', later(world.now, DENIED_AGAIN));
  return true;
}

/** No answer: what is still on its way is said again; without a channel it goes out with the next one. */
export function registerOverdue(state: AgentState, world: World): void {
  const due = registrationDue(state, world);
  if (due !== null && sendOnChannel(state, [due], null, world)) awaitRegistered(state, world);
}

export function awaitRegistered(state: AgentState, world: World): void {
  schedule(state.deadlines, 'register', later(world.now, ANSWER_TIMEOUT));
}

const DENIED_AGAIN = seconds(10);
const ANSWER_TIMEOUT = seconds(20);

/** @returns whether the answer was for the deletion */
export function receiveDeleted(state: AgentState, requestId: Uint8Array): boolean {
  const { registration } = state;
  const { pending } = registration;
  if (pending === null || pending.purpose !== 'delete' || !equal(pending.requestId, requestId)) return false;
  registration.pending = null;
  cancel(state.deadlines, 'register');
  registration.acknowledged = null;
  tell(state, { news: 'deleted' });
  return true;
}

/**
 * The hash of the registration that a grant was made from: the one that the manager acknowledged, or the one that is on
 * its way. The manager tells which by its count; the hash this device computes itself.
 * @returns null when the version is neither
 */
export function ownHash(state: AgentState, version: number): Uint8Array | null {
  const { acknowledged, pending } = state.registration;
  if (acknowledged !== null && version === acknowledged.version) return acknowledged.hash;
  const isNext = acknowledged === null || version === acknowledged.version + 1;
  return isNext && pending?.purpose === 'register' ? pending.hash : null;
}
