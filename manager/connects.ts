/**
 * A caller's Connect up to the start of its session: name, policy, addresses, match (patent 2102–2111), and what the two
 * devices say of a session later.
 */
import { toHex } from '../protocol/bytes.ts';
import { type Reason, SID_BYTES } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { namesMeant } from '../protocol/names.ts';
import { suiteName } from '../protocol/suites.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { log, remember, sendTo } from './outbox.ts';
import { mayConnect, type Subject } from './policy.ts';
import { isRefusedTooOften, noteRefusal, REFUSALS_PER_SECOND } from './refusals.ts';
import { answeredBefore } from './registrations.ts';
import { hearsVerifier } from './revocation-watch.ts';
import { callerOf, chooseSuite, subjectOf } from './selection.ts';
import { callKey, partiesOf, repeatGrant, sessionsBetween, startSession, stepSession } from './sessions.ts';
import { type ManagerState, mayBeLinked } from './state.ts';
import type { Party, Terms } from './terms.ts';
import { isJudged, mayBeGranted } from './verdict-age.ts';

const MAX_ROUTES = 256;
const ENDS_PER_RECORD = 8;

export function receiveConnect(
  state: ManagerState,
  caller: DeviceId,
  message: MessageOf<'Connect'>,
  world: World,
): void {
  if (answeredBefore(state, caller, message.nonceA, world) || underWay(state, caller, message.nonceA, world)) return;
  const decision = isRefusedTooOften(state.refusals, caller, world.now)
    ? TOO_OFTEN
    : decide(state, caller, message, world);
  if ('refused' in decision) {
    const { refused: reason, detail, why } = decision;
    // beyond the limit one line a second says it for all
    if (noteRefusal(state.refusals, caller) <= REFUSALS_PER_SECOND + 1)
      log(state, 'info', 'connect.refused', { caller, callee: message.callee, reason, detail, ...why });
    const denied = { kind: 'Denied', requestId: message.nonceA.slice(), reason, detail } as const;
    remember(state, caller, message.nonceA, denied, world.now);
    sendTo(state, caller, [denied], world);
    return;
  }
  if (decision.retiring) {
    const { rule, suite } = decision.terms;
    const remedy = 'kagimori rules retire tells who depends on it';
    log(state, 'warn', 'connect.retiring-suite', {
      caller,
      callee: message.callee,
      suite: suiteName(suite),
      rule,
      remedy,
    });
  }
  startSession(state, decision.terms, takeStandingNonce(state, decision.terms), world);
}

interface Refusal {
  readonly refused: Reason;
  readonly detail?: string | undefined;
  /** For the log alone. */
  readonly why?: { readonly rule: string; readonly requirement: string };
}
type Decision = { readonly terms: Terms; readonly retiring: boolean } | Refusal;

const TOO_OFTEN: Refusal = {
  refused: 'too-many',
  detail: `${REFUSALS_PER_SECOND} connects were refused within a second: wait, and look at why`,
};
const NOT_FOR_YOU = 'no such device, or this device may not connect to it';

/** [patent 0105] The device that a name means; null: nobody is known by it. */
export const deviceNamed = (state: ManagerState, name: string): DeviceId | null =>
  namesMeant(name)
    .map((one) => state.names.get(one))
    .find((id) => id !== undefined) ?? null;

/** Policy before existence, so that an unknown and a forbidden callee look the same; then reach. Suites come later. */
export function reachFor(
  state: ManagerState,
  caller: DeviceId,
  name: string,
  world: World,
): Refusal | { readonly callee: DeviceId } {
  const callee = deviceNamed(state, name);
  if (callee === caller) return { refused: 'self' };
  const subject: Subject =
    callee === null ? { id: name as DeviceId, class: null, groups: [], user: null } : subjectOf(state, callee);
  const allowed = mayConnect(state.settings.connectPolicy, subjectOf(state, caller), subject);
  if (!allowed || callee === null) return { refused: 'forbidden', detail: NOT_FOR_YOU };

  if (state.devices.get(callee)?.revokedAt !== undefined) return { refused: 'revoked' };
  if (!state.registrations.has(caller))
    return { refused: 'not-registered', detail: 'register addresses and proposals first' };
  if (!state.registrations.has(callee) || !mayBeLinked(state, callee)) return { refused: 'unreachable' };
  if (state.channels.get(callee)?.channel.authenticateOnly === true) return { refused: 'authenticate-only' };
  if (tooMany(state, caller, callee)) return { refused: 'too-many', detail: 'end some sessions first' };

  if (!mayBeAsked(state, caller, callee, world)) return { refused: 'verifier-away' };
  return { callee };
}

/** A callee without a channel is judged when it is opened. */
function mayBeAsked(state: ManagerState, caller: DeviceId, callee: DeviceId, world: World): boolean {
  if (!hearsVerifier(state.revocation, world.now) || !isJudged(state, caller, world)) return false;
  return !state.channels.has(callee) || isJudged(state, callee, world);
}

function decide(state: ManagerState, caller: DeviceId, message: MessageOf<'Connect'>, world: World): Decision {
  const reached = reachFor(state, caller, message.callee, world);
  if ('refused' in reached) return reached;
  const { callee } = reached;
  const asked = { allowUnencrypted: message.allowUnencrypted === true, messageBytes: message.messageBytes ?? null };
  const { match: matched, refused, decision } = chooseSuite(state, caller, callee, asked, world);
  if (!matched.matched) {
    const requirement = refused?.requirement ?? null;
    const why = requirement === null ? {} : { why: { rule: matched.rule, requirement } };
    return { refused: 'no-common-suite', detail: refused?.detail, ...why };
  }

  const route = freeRoute(state, caller, callee);
  if (route === null) return { refused: 'too-many', detail: 'end some sessions first' };
  const { byDefault, atMost } = state.settings.lifetimeSeconds;
  return {
    retiring: matched.retiring,
    terms: {
      sid: world.crypto.random(SID_BYTES),
      caller: partyOf(state, caller, message.consent?.slice() ?? null),
      callee: partyOf(state, callee, null),
      name: message.callee,
      about: callerOf(state, caller, message.purpose ?? null),
      call: message.nonceA.slice(),
      nonceA: message.nonceA.slice(),
      suite: matched.suite,
      keyMode: matched.keyMode,
      rule: matched.rule,
      decision,
      lifetimeSeconds: Math.min(message.lifetime ?? byDefault, atMost),
      route,
    },
  };
}

/** Whether the policy of today lets a session go on that was begun under another. */
export const mayGoOn = (state: ManagerState, { caller, callee }: Terms): boolean =>
  mayConnect(state.settings.connectPolicy, subjectOf(state, caller.id), subjectOf(state, callee.id));

/** A registered device as it stands now. */
export function partyOf(state: ManagerState, id: DeviceId, consent: Uint8Array | null): Party {
  const { leaf, instance } = state.devices.get(id)!;
  const { hash, version, addresses } = state.registrations.get(id)!;
  return { id, leaf, registration: hash, version, addresses, instance: instance ?? null, consent };
}

function tooMany(state: ManagerState, caller: DeviceId, callee: DeviceId): boolean {
  const { sessionsPerDevice, pendingPerDevice } = state.settings.limits;
  // what others want of a device does not count against it
  const isOwn = (sid: string): boolean => state.sessions.get(sid)?.flow.terms.caller.id === caller;
  const isPending = (sid: string): boolean => isOwn(sid) && state.sessions.get(sid)?.flow.state !== 'granted';
  const count = (sids: Iterable<string>, counts: (sid: string) => boolean): number => {
    let found = 0;
    for (const sid of sids) if (counts(sid)) found++;
    return found;
  };
  if (count(sessionsBetween(state, caller, callee), isPending) >= MAX_PENDING_PER_PAIR) return true;
  const all = state.sessionsOf.get(caller);
  if (all === undefined || all.size < Math.min(pendingPerDevice, sessionsPerDevice)) return false;
  return count(all, isOwn) >= sessionsPerDevice || count(all, isPending) >= pendingPerDevice;
}

/** Questions of one caller that may wait at one callee: a person, maybe, has to answer each. */
const MAX_PENDING_PER_PAIR = 8;

/** The smallest number that tells this session apart from others of the pair; 0 travels as no byte at all. */
function freeRoute(state: ManagerState, a: DeviceId, b: DeviceId): number | null {
  const used = new Set<number>();
  for (const sid of sessionsBetween(state, a, b)) {
    const flow = state.sessions.get(sid)?.flow;
    if (flow !== undefined) used.add(flow.terms.route);
  }
  for (let route = 0; route < MAX_ROUTES; route++) if (!used.has(route)) return route;
  return null;
}

function takeStandingNonce(state: ManagerState, terms: Terms): Uint8Array | null {
  const standing = state.channels.get(terms.callee.id)?.standing.get(terms.caller.id);
  if (standing === undefined || standing.lifetimeSeconds < terms.lifetimeSeconds) return null;
  return standing.nonces.shift() ?? null;
}

/**
 * The same Connect again while its session is being made or stands: the sealed grant goes out once more. When that was
 * sealed for a channel that is gone it never arrived, and both get another.
 */
function underWay(state: ManagerState, caller: DeviceId, nonceA: Uint8Array, world: World): boolean {
  const sid = state.sessionOfCall.get(callKey(caller, nonceA));
  const session = sid === undefined ? undefined : state.sessions.get(sid);
  if (sid === undefined || session === undefined) return false;
  const { flow } = session;
  if (flow.terms.caller.id !== caller || flow.state === 'ending') return false;
  if (flow.state !== 'granted') return true; // a renewed one too: its grant is on its way
  if (!repeatGrant(state, session, caller)) grantLost(state, sid, caller, world);
  return true;
}

/** A grant that a device can never get any more: both are asked for a nonce again. */
export function grantLost(state: ManagerState, sid: string, device: DeviceId, world: World): void {
  stepSession(state, sid, { type: 'keysLost', device }, world);
  stepSession(state, sid, { type: 'channelOpened', device }, world);
}

/** [patent 2122] Only the device that was asked may answer. */
export function receiveAnswer(state: ManagerState, device: DeviceId, message: MessageOf<'Answer'>, world: World): void {
  const sid = toHex(message.sid);
  const flow = state.sessions.get(sid)?.flow;
  if (flow === undefined || flow.terms.callee.id !== device) return;
  if (message.nonceB !== undefined && message.reason === undefined) {
    // a grant is made now, not when it was asked for
    if (flow.state === 'asking' && !mayBeGranted(state, flow.terms, world))
      return stepSession(state, sid, { type: 'withheld' }, world);
    const consent = message.consent?.slice() ?? null;
    const instance = state.devices.get(device)?.instance ?? null;
    stepSession(state, sid, { type: 'approved', nonceB: message.nonceB.slice(), consent, instance }, world);
  } else stepSession(state, sid, { type: 'refused', reason: message.reason ?? 'refused-by-policy' }, world);
}

/** [patent 2148] An end for a session that is not known any more is confirmed all the same. */
export function receiveEnd(state: ManagerState, device: DeviceId, message: MessageOf<'End'>, world: World): void {
  const sid = toHex(message.sid);
  const flow = state.sessions.get(sid)?.flow;
  if (flow !== undefined && partiesOf(flow).includes(device)) {
    stepSession(state, sid, { type: 'endAsked', by: device, reason: message.reason }, world);
  } else if (flow === undefined) sendTo(state, device, [{ kind: 'EndOk', sid: message.sid.slice() }], world);
}

export function receiveEndOk(state: ManagerState, device: DeviceId, message: MessageOf<'EndOk'>, world: World): void {
  const sid = toHex(message.sid);
  const flow = state.sessions.get(sid)?.flow;
  if (flow !== undefined && partiesOf(flow).includes(device))
    stepSession(state, sid, { type: 'endConfirmed', by: device }, world);
}

export function receiveUp(state: ManagerState, device: DeviceId, message: MessageOf<'Up'>, world: World): void {
  cameUp(state, device, message.sids, world);
}

/** A session that stands at the device and is over here ended while the device was away. */
export function cameUp(state: ManagerState, device: DeviceId, sids: readonly Uint8Array[], world: World): void {
  const over: Uint8Array[] = [];
  for (const raw of sids) {
    const sid = toHex(raw);
    const flow = state.sessions.get(sid)?.flow;
    if (flow === undefined) over.push(raw);
    else if (partiesOf(flow).includes(device)) stepSession(state, sid, { type: 'cameUp', device }, world);
  }
  sendOver(state, device, over, world);
}

/** Tells the device that these sessions are over. */
export function sendOver(state: ManagerState, device: DeviceId, sids: readonly Uint8Array[], world: World): void {
  const { endedAsRevoked } = state.revocation;
  const why = (sid: Uint8Array): Reason => (endedAsRevoked.has(toHex(sid)) ? 'revoked' : 'peer-gone');
  const ends = sids.map((sid) => ({ kind: 'End', sid: sid.slice(), reason: why(sid) }) as const);
  for (let at = 0; at < ends.length; at += ENDS_PER_RECORD)
    sendTo(state, device, ends.slice(at, at + ENDS_PER_RECORD), world);
}
