/**
 * Revocation between two verdicts: the verifier's events decide at once who is out; an event that was missed puts
 * everybody in doubt until he is judged anew; and while no verifier is heard there are no new grants. [design §5.1]
 */
import { fromHex, toHex } from '../protocol/bytes.ts';
import { schedule } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { Reason } from '../protocol/message-values.ts';
import { checkEvent, SILENCE } from '../protocol/revocation-event.ts';
import { type DeviceId, EpochSeconds, later, Millis, seconds } from '../protocol/units.ts';
import type { RevocationEvent } from '../protocol/verifier-messages.ts';
import type { World } from '../protocol/world.ts';
import { type Bearer, bearerOf, userLeafOf } from './bearer.ts';
import { evict } from './channels.ts';
import { measureDelay } from './event-delay.ts';
import { commit, log } from './outbox.ts';
import { askAnew, askVerifier } from './questions.ts';
import { revocationStateChange } from './registry.ts';
import { bearsFreshMark, type EventSource, hearsVerifier, markKey } from './revocation-watch.ts';
import { identitiesOf, type ManagerState } from './state.ts';
import { userEvicted } from './user-leaving.ts';
import { judgedAs } from './verdict-age.ts';

/** Seconds by which the clocks of manager and verifier may differ. */
const MAX_CLOCK_SKEW = 60;
const MAX_SOURCES = 16;
const MAX_FRESH = 200_000;
/** A verifier that tells of a revocation is ahead of one that has not heard of it by less, */
const FRESH = seconds(60);
/** and, where they are seen to disagree, by no more than this. */
const LONGEST_FRESH = seconds(3600);
const SAY_AGAIN = seconds(60);
/** In one turn: the manager has other work. */
const EVICTIONS_AT_ONCE = 500;
const EVICT_AGAIN = seconds(5);
const QUESTIONS_AT_ONCE = 64;
/** With those at once fewer in a second than a verifier lets a manager ask. */
const LOOK_AGAIN = Millis(25);

/** @returns whether a certificate of our own is among what was revoked, or may be */
export function receiveRevocationEvent(state: ManagerState, payload: Uint8Array, world: World): boolean {
  let event: RevocationEvent;
  try {
    const { verifierKeys } = state;
    event = checkEvent(world.crypto, payload, { verifierKeys, now: world.wall, maxClockSkew: MAX_CLOCK_SKEW });
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    refuse(state, error, world);
    return false;
  }
  const { revocation } = state;
  const instance = toHex(event.instance);
  const source = revocation.sources.get(instance);
  if (source !== undefined && event.beat <= source.beat) return false; // a repetition
  const after = event.more === true ? null : toHex(event.state);
  const known = source === undefined ? isKnown(state, after) : isNext(source, event);
  // what was asked in this process was asked by one who listened
  const isFirst = revocation.heardAt === null;
  const wasHeard = hearsVerifier(revocation, world.now);
  noteSource(state, instance, event, after, world);
  const own = condemn(state, event.marks ?? [], world);
  if (!known) doubtAll(state, instance, world);
  settle(state, world);
  if (!wasHeard && hearsVerifier(revocation, world.now)) goOnRenewing(state, world);
  return own || !(known || isFirst);
}

/** News that did not come leave a number that is not counted, or counted by a sign of life that does not follow the last. */
function isNext(source: EventSource, { number, beat, marks, state }: RevocationEvent): boolean {
  if (number === source.number) return source.state === null || source.state === toHex(state);
  return number === source.number + 1 && (marks !== undefined || beat === source.beat + 1);
}

/** A state that we have come to by hearing every event of somebody needs no new judgement. */
function isKnown({ revocation }: ManagerState, state: string | null): boolean {
  if (state === null) return false;
  if (state === revocation.settled && revocation.doubtful.size === 0) return true;
  return revocation.doubtful.size === 0 && [...revocation.sources.values()].some((source) => source.state === state);
}

function noteSource(
  state: ManagerState,
  instance: string,
  { number, beat, time }: RevocationEvent,
  after: string | null,
  world: World,
): void {
  const { revocation } = state;
  const before = revocation.sources.get(instance) ?? null;
  const { delay, late } = measureDelay(before?.delay ?? null, EpochSeconds(time), world);
  revocation.sources.delete(instance); // to the end of the order of use
  revocation.sources.set(instance, { number, beat, state: after, heardAt: world.now, delay });
  if (revocation.sources.size > MAX_SOURCES) revocation.sources.delete(revocation.sources.keys().next().value!);
  revocation.heardAt = Millis(Math.max(revocation.heardAt ?? Number.NEGATIVE_INFINITY, world.now - late));
  schedule(state.deadlines, 'silence', later(revocation.heardAt, SILENCE));
  if (before === null) log(state, 'info', 'verifier.heard', { instance });
  if (!revocation.silent || !hearsVerifier(revocation, world.now)) return;
  revocation.silent = false;
  log(state, 'info', 'verifier.speaks', { instance });
}

function refuse(state: ManagerState, error: ProtocolError, world: World): void {
  const { refusedSaidAt } = state.revocation;
  if (refusedSaidAt !== null && world.now - refusedSaidAt < SAY_AGAIN) return;
  state.revocation.refusedSaidAt = world.now;
  const remedy = 'compare the clocks of manager and verifier, and the verifier certificate that is pinned here';
  log(state, 'warn', 'verifier.event-refused', { code: error.code, detail: error.message, remedy });
}

/** No verifier was heard for 3 s: what stands goes on until its verdicts are too old, and nothing new begins. */
export function verifierSilent(state: ManagerState, world: World): void {
  const { revocation } = state;
  if (revocation.silent || hearsVerifier(revocation, world.now)) return;
  revocation.silent = true;
  const remedy = 'start the verifier: kagimori verifier run; until then connects and logins are refused';
  log(state, 'error', 'verifier.silent', { seconds: SILENCE / 1000, remedy });
}

// ── Who is out ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** @returns whether one of our own certificates is among them */
function condemn(state: ManagerState, marks: readonly Uint8Array[], world: World): boolean {
  const { revocation } = state;
  for (const mark of marks) {
    const key = markKey(mark);
    revocation.fresh.set(key, world.now);
    for (const bearer of revocation.bearers.get(key) ?? []) revocation.condemned.set(bearer, 'revoked');
  }
  forgetOldMarks(state, world);
  if (marks.length > 0) evictCondemned(state, world);
  return (
    marks.length > 0 && identitiesOf(state).some(({ chain }) => bearsFreshMark(revocation, state.reader, chain, world))
  );
}

function forgetOldMarks({ revocation: { fresh, sources } }: ManagerState, world: World): void {
  if (fresh.size === 0) return;
  const heard = [...sources.values()].filter(({ heardAt }) => world.now < later(heardAt, LONGEST_FRESH));
  const keep = new Set(heard.map(({ state }) => state)).size > 1 ? LONGEST_FRESH : FRESH;
  for (const [key, at] of fresh) {
    if (fresh.size <= MAX_FRESH && world.now < later(at, keep)) return;
    fresh.delete(key);
  }
}

/** In turns; whoever waits for his may not do anything meanwhile. */
export function evictCondemned(state: ManagerState, world: World): void {
  const { condemned } = state.revocation;
  let count = 0;
  for (const [bearer, reason] of condemned) {
    if (count++ >= EVICTIONS_AT_ONCE) return schedule(state.deadlines, 'evictions', later(world.now, Millis(1)));
    condemned.delete(bearer);
    const ofUser = userLeafOf(bearer);
    if (ofUser === null) evict(state, bearer as DeviceId, reason, world);
    else userEvicted(state, ofUser, reason, world);
  }
}

/** What became of an eviction on disk: with one that is not there a restart would bring device or user back. */
export function evictionStored(
  state: ManagerState,
  bearer: Bearer,
  reason: Reason,
  failure: string | null,
  world: World,
): void {
  state.revocation.evicting--;
  if (failure === null) return;
  const isUser = userLeafOf(bearer) !== null;
  // a device that was removed, or a user who is there anew, is not the one that was put out
  if (isUser === (judgedAs(state, bearer) !== null)) return;
  state.revocation.condemned.set(bearer, reason);
  schedule(state.deadlines, 'evictions', later(world.now, EVICT_AGAIN));
}

// ── Who is in doubt ─────────────────────────────────────────────────────────────────────────────────────────────────

/** Who has a channel or a session comes first. */
function doubtAll(state: ManagerState, instance: string, world: World): void {
  const { revocation, devices, users } = state;
  askAnew(state, world);
  if (devices.size === 0) return;
  for (const device of state.channels.keys()) revocation.doubtful.add(device);
  for (const device of state.sessionsOf.keys()) revocation.doubtful.add(device);
  for (const leaf of users.at.keys()) revocation.doubtful.add(bearerOf(leaf));
  for (const device of devices.keys()) revocation.doubtful.add(device);
  log(state, 'info', 'revocation.judging-anew', { devices: devices.size, users: users.at.size, instance });
  schedule(state.deadlines, 'doubts', world.now);
}

/** Asks about some of those in doubt. */
export function judgeDoubtful(state: ManagerState, world: World): void {
  const { doubtful } = state.revocation;
  if (doubtful.size === 0) {
    settle(state, world);
    return goOnRenewing(state, world);
  }
  schedule(state.deadlines, 'doubts', later(world.now, LOOK_AGAIN));
  if (!hearsVerifier(state.revocation, world.now)) return;
  const asked = new Set<Bearer>();
  for (const { subject } of state.questions.values()) if (subject.for === 'refresh') asked.add(subject.bearer);
  for (const bearer of doubtful) {
    if (asked.size >= QUESTIONS_AT_ONCE) return;
    const judged = judgedAs(state, bearer);
    if (judged === null) doubtful.delete(bearer);
    if (judged === null || asked.has(bearer)) continue;
    asked.add(bearer);
    const { leaf, purpose, chain } = judged;
    askVerifier(state, { for: 'refresh', bearer, leaf }, purpose, chain, world);
  }
}

/** Renewals that were withheld need not wait for their turn. */
function goOnRenewing(state: ManagerState, world: World): void {
  for (const [sid, { flow }] of state.sessions)
    if (flow.state === 'renewing') schedule(state.deadlines, `session:${sid}`, world.now);
}

/** Everybody was judged in a state that all verifiers share: after a restart nobody need be asked for it again. */
function settle(state: ManagerState, world: World): void {
  const { revocation } = state;
  if (revocation.doubtful.size > 0 || revocation.condemned.size > 0 || revocation.evicting > 0) return;
  const living = [...revocation.sources.values()].filter(({ heardAt }) => world.now < later(heardAt, SILENCE));
  const states = new Set(living.map((source) => source.state));
  const [shared] = states;
  if (states.size !== 1 || shared === undefined || shared === null || shared === revocation.settled) return;
  revocation.settled = shared;
  commit(state, [revocationStateChange(fromHex(shared))], { next: 'nothing' });
}
