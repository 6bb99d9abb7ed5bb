/**
 * Questions to the verifier and what hangs on their answers. No answer in time is an answer: no (fail closed).
 */
import { toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { LoginIdentity } from '../protocol/login.ts';
import { NONCE_BYTES, type Purpose } from '../protocol/message-values.ts';
import { MANAGER } from '../protocol/topics.ts';
import { EpochSeconds, later, seconds } from '../protocol/units.ts';
import { checkVerdict } from '../protocol/verdict.ts';
import { Judgement, Question, type Verdict } from '../protocol/verifier-messages.ts';
import type { World } from '../protocol/world.ts';
import type { LogFields } from './effects.ts';
import { log, publish } from './outbox.ts';
import { bearsFreshMark } from './revocation-watch.ts';
import type { ManagerState, PendingQuestion, Subject } from './state.ts';

/** The outcome of a question: a verdict that was checked, or none. */
export type Ruling =
  | { readonly outcome: 'good'; readonly until: EpochSeconds; readonly bytes: Uint8Array }
  | { readonly outcome: 'bad'; readonly reason: Verdict['reason'] }
  | { readonly outcome: 'away' };

/** Seconds by which the clocks of manager and verifier may differ. */
const MAX_CLOCK_SKEW = 60;

/** @param nonce drawn here unless the peer's freshness is to be signed */
export function askVerifier(
  state: ManagerState,
  subject: Subject,
  purpose: Purpose,
  chain: readonly Uint8Array[],
  world: World,
  nonce: Uint8Array = world.crypto.random(NONCE_BYTES),
): void {
  const requestId = world.crypto.random(NONCE_BYTES);
  const key = toHex(requestId);
  // exchanges are limited in number and have one question each, devices have one; so these are limited too
  if ('handshake' in subject) state.questionOf.set(subject.handshake, key);
  const leaf = world.crypto.hash('sha-256', chain[0]!);
  const payload = Question.encode({ requestId, purpose, chain, nonce });
  state.questions.set(key, { at: world.now, subject, purpose, leaf, chain, nonce, payload, refused: null });
  schedule(state.deadlines, `question:${key}`, later(world.now, state.settings.limits.questionTimeout));
  if (subject.for === 'self') schedule(state.deadlines, `repeat:${key}`, later(world.now, REPEAT_AFTER));
  publish(state, state.settings.topics.verifierQuestion(MANAGER), payload);
}

/**
 * After a restart of the broker the manager may be there before the verifier, and its first question then reaches nobody:
 * that is no reason to call the verifier away. It is the only one that is repeated, for a verifier with much to do shall
 * not get everything twice.
 */
const REPEAT_AFTER = seconds(1);

export function repeatQuestion(state: ManagerState, key: string, world: World): void {
  const question = state.questions.get(key);
  if (question === undefined) return;
  schedule(state.deadlines, `repeat:${key}`, later(world.now, REPEAT_AFTER));
  publish(state, state.settings.topics.verifierQuestion(MANAGER), question.payload);
}

/** News that were missed may be older than an answer that is on its way: what is under way is asked once more. */
export function askAnew(state: ManagerState, world: World): void {
  for (const [key, { subject, purpose, chain, nonce }] of [...state.questions]) {
    closeQuestion(state, key, subject);
    askVerifier(state, subject, purpose, chain, world, subject.for === 'selfForExchange' ? nonce : undefined);
  }
}

/**
 * Takes an answer of the verifier. An answer that proves nothing changes nothing: the right one may still come.
 * @returns null when it answers no open question
 */
export function receiveJudgement(
  state: ManagerState,
  payload: Uint8Array,
  world: World,
): { readonly subject: Subject; readonly ruling: Ruling } | null {
  let question: PendingQuestion | undefined;
  try {
    const { requestId, verdict } = Judgement.decode(payload);
    const key = toHex(requestId);
    question = state.questions.get(key);
    if (question === undefined) return null;
    const { subject, purpose, leaf, chain, nonce } = question;
    const checked = checkVerdict(world.crypto, verdict, {
      verifierKeys: state.verifierKeys,
      purpose,
      leafSha256: leaf,
      nonce,
      now: world.wall,
      maxClockSkew: MAX_CLOCK_SKEW,
    });
    closeQuestion(state, key, subject);
    verifierBack(state, world);
    if (checked.reason !== 'good') return { subject, ruling: { outcome: 'bad', reason: checked.reason } };
    if (bearsFreshMark(state.revocation, state.reader, chain, world))
      return { subject, ruling: { outcome: 'bad', reason: 'revoked' } };
    const until = EpochSeconds(checked.time + checked.maxAge);
    return { subject, ruling: { outcome: 'good', until, bytes: verdict.slice() } };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    if (question !== undefined) question.refused = error.message;
    log(state, 'warn', 'verifier.answer-refused', { code: error.code, detail: error.message });
    return null;
  }
}

const SAY_AGAIN = seconds(60);

function verifierBack(state: ManagerState, world: World): void {
  state.verifierHeardAt = world.now;
  if (state.verifierAway === null) return;
  log(state, 'info', 'verifier.back', { afterSeconds: Math.round((world.now - state.verifierAway.since) / 1000) });
  state.verifierAway = null;
}

function closeQuestion(state: ManagerState, key: string, subject: Subject): void {
  state.questions.delete(key);
  if ('handshake' in subject) state.questionOf.delete(subject.handshake);
  cancel(state.deadlines, `question:${key}`);
  cancel(state.deadlines, `repeat:${key}`);
}

/** @returns what the question was for, whose time is up */
export function questionTimedOut(state: ManagerState, key: string, world: World): Subject | null {
  const question = state.questions.get(key);
  if (question === undefined) return null;
  closeQuestion(state, key, question.subject);
  // one question was lost, and a later one answered: it is there
  if (state.verifierHeardAt !== null && state.verifierHeardAt > question.at) return question.subject;
  const away = state.verifierAway;
  if (away === null || world.now - away.saidAt >= SAY_AGAIN) {
    const since = away?.since ?? world.now;
    state.verifierAway = { since, saidAt: world.now };
    const seconds = Math.round((world.now - since) / 1000);
    log(state, 'error', 'verifier.away', { seconds, ...whyAway(question) });
  }
  return question.subject;
}

/** An answer that is not believed is none; what has to be mended is something else then. */
function whyAway({ refused }: PendingQuestion): LogFields {
  if (refused === null) return { remedy: 'start the verifier: kagimori verifier run' };
  const remedy = 'compare the clocks of manager and verifier, and the verifier certificate that is pinned here';
  return { refused, remedy };
}

/** What our own verdicts are kept under. */
export const leafOf = (identity: LoginIdentity, world: World): string =>
  toHex(world.crypto.hash('sha-256', identity.chain[0]!));

/** Seconds of life that a stapled verdict must still have. */
const STAPLE_MARGIN = 10;

/** @returns the verdict on our own certificate for stapling, or null; asks for the next one when half its age is over */
export function currentOwnVerdict(state: ManagerState, identity: LoginIdentity, world: World): Uint8Array | null {
  const held = state.ownVerdicts.get(leafOf(identity, world));
  if (held !== undefined && held.until - STAPLE_MARGIN > world.wall) return held.bytes;
  return null;
}
