/**
 * A caller's Connect up to the start of its session: name, policy, addresses, match (patent 2102–2111), and what the two
 * devices say of a session later.
 */
import { encodeUtf8, fromHex, toHex } from '../protocol/bytes.ts';
import { type Reason, SID_BYTES } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { namesMeant } from '../protocol/names.ts';
import { suiteName } from '../protocol/suites.ts';
import { type DeviceId, later, type Millis, seconds } from '../protocol/units.ts';
import { userAsked } from '../protocol/user-name.ts';
import type { World } from '../protocol/world.ts';
import { bearerOf } from './bearer.ts';
import { log, remember, sendTo } from './outbox.ts';
import { mayConnect, type Subject } from './policy.ts';
import { isRefusedTooOften, noteRefusal, REFUSALS_PER_SECOND } from './refusals.ts';
import { answeredBefore } from './registrations.ts';
import { hearsVerifier } from './revocation-watch.ts';
import { callerOf, chooseSuite, subjectOf } from './selection.ts';
import { partiesOf, repeatGrant, sessionsBetween, sidsOfCall, startSession, stepSession } from './sessions.ts';
import { type ManagerState, mayBeLinked, type Standing } from './state.ts';
import type { Party, Terms, UserTerms } from './terms.ts';
import { isAt, placesOfUser } from './user-desk.ts';
import { whyEnded } from './user-leaving.ts';
import { isJudged, mayBeGranted } from './verdict-age.ts';
import { isParked, NOWHERE, park, takeWaiting } from './waiting.ts';

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
  const until = message.wait === undefined ? null : later(world.now, seconds(message.wait));
  carryOut(state, caller, message, decision, until, world);
}

/** A user came to a device: whoever waited for that is connected. */
export function goOnConnecting(state: ManagerState, user: string, world: World): void {
  for (const { caller, connect, until } of takeWaiting(state, user))
    carryOut(state, caller, connect, decide(state, caller, connect, world), until, world);
}

/** @param until  how long the caller waits for a user who is nowhere; null: not at all */
function carryOut(
  state: ManagerState,
  caller: DeviceId,
  message: MessageOf<'Connect'>,
  decision: Decision,
  until: Millis | null,
  world: World,
): void {
  if ('calls' in decision) return startCalls(state, caller, message.callee, decision.calls, world);
  const user = userAsked(message.callee);
  if (decision.refused !== 'user-nowhere' || user === null || until === null || until <= world.now)
    return refuse(state, caller, message, decision, world);
  if (!park(state, caller, user, message, until)) return refuse(state, caller, message, TOO_MANY_WAIT, world);
}

function refuse(
  state: ManagerState,
  caller: DeviceId,
  message: MessageOf<'Connect'>,
  { refused: reason, detail, why }: Refusal,
  world: World,
): void {
  // beyond the limit one line a second says it for all
  if (noteRefusal(state.refusals, caller) <= REFUSALS_PER_SECOND + 1)
    log(state, 'info', 'connect.refused', { caller, callee: message.callee, reason, detail, ...why });
  const denied = { kind: 'Denied', requestId: message.nonceA.slice(), reason, detail } as const;
  remember(state, caller, message.nonceA, denied, world.now);
  sendTo(state, caller, [denied], world);
}

/** Several, where every device of a user is asked: the first that says yes has the call. */
function startCalls(state: ManagerState, caller: DeviceId, name: string, calls: readonly Call[], world: World): void {
  const approved = calls.find(({ terms }) => standingOf(state, terms) !== null);
  for (const { terms, retiring } of approved === undefined ? calls : [approved]) {
    if (retiring) {
      const remedy = 'kagimori rules retire tells who depends on it';
      const { rule, suite } = terms;
      log(state, 'warn', 'connect.retiring-suite', { caller, callee: name, suite: suiteName(suite), rule, remedy });
    }
    startSession(state, terms, takeStandingNonce(state, terms), world);
  }
}

interface Refusal {
  readonly refused: Reason;
  readonly detail?: string | undefined;
  /** For the log alone. */
  readonly why?: { readonly rule: string; readonly requirement: string };
}
interface Call {
  readonly terms: Terms;
  readonly retiring: boolean;
}
type Decision = { readonly calls: readonly Call[] } | Refusal;

const TOO_OFTEN: Refusal = {
  refused: 'too-many',
  detail: `${REFUSALS_PER_SECOND} connects were refused within a second: wait, and look at why`,
};
const TOO_MANY_WAIT: Refusal = { refused: 'too-many', detail: 'too many connects wait for users already' };
const NOT_FOR_YOU = 'no such device, or this device may not connect to it';

/** [patent 0105] The device that a name means; null: nobody is known by it. */
export const deviceNamed = (state: ManagerState, name: string): DeviceId | null =>
  namesMeant(name)
    .map((one) => state.names.get(one))
    .find((id) => id !== undefined) ?? null;

/** A device that may be asked, for itself or for the user who is there. */
export interface Reached {
  readonly callee: DeviceId;
  readonly user: UserTerms | null;
}

/**
 * Policy before existence, so that an unknown and a forbidden callee look the same; then reach. Suites come later.
 * @param chosen  of a user with several devices: this one
 */
export function reachFor(
  state: ManagerState,
  caller: DeviceId,
  name: string,
  world: World,
  chosen: DeviceId | null = null,
): Refusal | { readonly reached: readonly Reached[] } {
  const user = userAsked(name);
  if (user !== null) return reachUser(state, caller, user, chosen, world);
  const callee = deviceNamed(state, name);
  if (callee === caller) return { refused: 'self' };
  const { connectPolicy } = state.settings;
  const allowed = mayConnect(connectPolicy, subjectOf(state, caller), calleeSubject(state, callee, name, null));
  if (!allowed || callee === null) return { refused: 'forbidden', detail: NOT_FOR_YOU };
  return unreachable(state, caller, callee, world) ?? { reached: [{ callee, user: null }] };
}

/** For the policy a callee is who was asked for: a user only where it was a user. */
export const calleeSubject = (
  state: ManagerState,
  callee: DeviceId | null,
  name: string,
  user: string | null,
): Subject => ({
  ...(callee === null ? { id: name as DeviceId, class: null, groups: [] } : subjectOf(state, callee)),
  user,
});

/** Of all devices of a user, where all are asked. */
const MAX_ASKED = 8;

/**
 * Who may not ask for the user hears the same whether there is such a user or not; who may hears of no difference between
 * an unknown one, one who is nowhere, and one who is where this caller may not connect to.
 */
function reachUser(
  state: ManagerState,
  caller: DeviceId,
  user: string,
  chosen: DeviceId | null,
  world: World,
): ReturnType<typeof reachFor> {
  const { connectPolicy, users } = state.settings;
  const several = users?.several ?? 'most-recent';
  const name = `user:${user}`;
  const mayReach = (callee: DeviceId | null): boolean =>
    mayConnect(connectPolicy, subjectOf(state, caller), calleeSubject(state, callee, name, user));
  if (!mayReach(null)) return { refused: 'forbidden', detail: NOT_FOR_YOU };
  if (!state.registrations.has(caller)) return NOT_REGISTERED;
  const all = placesOfUser(state.users, user).filter(({ record }) => chosen === null || record.device === chosen);
  const places = all.filter(({ record }) => record.device !== caller && mayReach(record.device));
  if (places.length === 0) {
    const isHere = all.length > 0 && all.every(({ record }) => record.device === caller);
    return isHere ? { refused: 'self' } : { refused: 'user-nowhere', detail: NOWHERE };
  }
  if (several === 'ask' && places.length > 1) {
    return { refused: 'several-devices', detail: listed(places.map(({ record }) => record.device)) };
  }
  const refusals: Refusal[] = [];
  const reached: Reached[] = [];
  for (const { leaf, record } of places) {
    const { device } = record;
    const judged = isJudged(state, bearerOf(leaf), world);
    const refusal = judged ? unreachable(state, caller, device, world) : { refused: 'verifier-away' as const };
    if (refusal === null) reached.push({ callee: device, user: { id: user, leaf: fromHex(leaf) } });
    else refusals.push(refusal);
  }
  if (reached.length === 0) return refusals[0]!;
  return { reached: reached.slice(0, several === 'all' ? MAX_ASKED : 1) };
}

/** As many as fit into a Denied. */
function listed(devices: readonly DeviceId[]): string {
  const first = devices.slice(0, MAX_ASKED);
  while (encodeUtf8(first.join(', ')).length > MAX_LISTED_BYTES) first.pop();
  return [...first, ...(first.length < devices.length ? ['…'] : [])].join(', ');
}
const MAX_LISTED_BYTES = 240;

const NOT_REGISTERED: Refusal = { refused: 'not-registered', detail: 'register addresses and proposals first' };

/** @returns why a device that may be asked for cannot be asked now, or null */
function unreachable(state: ManagerState, caller: DeviceId, callee: DeviceId, world: World): Refusal | null {
  if (state.devices.get(callee)?.revokedAt !== undefined) return { refused: 'revoked' };
  if (!state.registrations.has(caller)) return NOT_REGISTERED;
  if (!state.registrations.has(callee) || !mayBeLinked(state, callee)) return { refused: 'unreachable' };
  if (state.channels.get(callee)?.channel.authenticateOnly === true) return { refused: 'authenticate-only' };
  if (tooMany(state, caller, callee)) return { refused: 'too-many', detail: 'end some sessions first' };
  return mayBeAsked(state, caller, callee, world) ? null : { refused: 'verifier-away' };
}

/** A callee without a channel is judged when it is opened. */
function mayBeAsked(state: ManagerState, caller: DeviceId, callee: DeviceId, world: World): boolean {
  if (!hearsVerifier(state.revocation, world.now) || !isJudged(state, caller, world)) return false;
  return !state.channels.has(callee) || isJudged(state, callee, world);
}

function decide(state: ManagerState, caller: DeviceId, message: MessageOf<'Connect'>, world: World): Decision {
  const found = reachFor(state, caller, message.callee, world, message.device ?? null);
  if ('refused' in found) return found;
  const calls: Call[] = [];
  let refusal: Refusal | null = null;
  for (const reached of found.reached) {
    const decided = decideFor(state, caller, reached, message, world);
    if ('terms' in decided) calls.push(decided);
    else refusal ??= decided;
  }
  return calls.length > 0 || refusal === null ? { calls } : refusal;
}

function decideFor(
  state: ManagerState,
  caller: DeviceId,
  { callee, user }: Reached,
  message: MessageOf<'Connect'>,
  world: World,
): Call | Refusal {
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
      user,
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
export function mayGoOn(state: ManagerState, { caller, callee, name, user }: Terms): boolean {
  if (user !== null && !isAt(state.users, toHex(user.leaf), user.id, callee.id)) return false;
  const asked = calleeSubject(state, callee.id, name, user?.id ?? null);
  return mayConnect(state.settings.connectPolicy, subjectOf(state, caller.id), asked);
}

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

const takeStandingNonce = (state: ManagerState, terms: Terms): Uint8Array | null =>
  standingOf(state, terms)?.nonces.shift() ?? null;

/** What the callee approved beforehand, when it is long enough and not used up. */
function standingOf(state: ManagerState, { caller, callee, lifetimeSeconds }: Terms): Standing | null {
  const standing = state.channels.get(callee.id)?.standing.get(caller.id);
  if (standing === undefined || standing.lifetimeSeconds < lifetimeSeconds) return null;
  return standing.nonces.length === 0 ? null : standing;
}

/**
 * The same Connect again while its session is being made or stands: the sealed grant goes out once more. When that was
 * sealed for a channel that is gone it never arrived, and both get another.
 */
function underWay(state: ManagerState, caller: DeviceId, nonceA: Uint8Array, world: World): boolean {
  if (isParked(state, caller, nonceA)) return true;
  let isUnderWay = false;
  for (const sid of sidsOfCall(state, caller, nonceA)) {
    const session = state.sessions.get(sid);
    if (session === undefined || session.flow.terms.caller.id !== caller || session.flow.state === 'ending') continue;
    isUnderWay = true;
    // a renewed one has its grant on its way
    if (session.flow.state === 'granted' && !repeatGrant(state, session, caller)) grantLost(state, sid, caller, world);
  }
  return isUnderWay;
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
    // the device is faster to end than to say that its user has left
    const reason = flow.terms.user === null ? message.reason : whyEnded(state, message.reason);
    stepSession(state, sid, { type: 'endAsked', by: device, reason }, world);
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
