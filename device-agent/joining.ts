/**
 * How this device gets its channel: resumption when it holds a secret, a full login otherwise (patent 1000–1310).
 */

import { EMPTY } from '../protocol/bytes.ts';
import { openChannel } from '../protocol/channel.ts';
import { SigningFault } from '../protocol/crypto.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { decodeError } from '../protocol/edhoc/error-message.ts';
import { nextSuite } from '../protocol/edhoc/initiator.ts';
import { type ErrorCode, ProtocolError } from '../protocol/errors.ts';
import { EXCHANGE_ID_BYTES } from '../protocol/frame.ts';
import {
  ownFreshness,
  readChoice,
  readLoginAnswer,
  requestLogin,
  startLogin,
  verifyChoice,
} from '../protocol/login.ts';
import { Busy, channelMessages } from '../protocol/messages.ts';
import { MAX_AGE_SECONDS, nextSecret, readResumed, requestResumption } from '../protocol/resumption.ts';
import { EpochSeconds, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { renewalEnded, requestOfRenewal, takeIssued } from './certificate-life.ts';
import { channelKeysOf, channelOpened, dropChannel } from './channel.ts';
import { noCost } from './cost.ts';
import { demandedVerdict, isSecretOfUse } from './device-time.ts';
import { dismissed, isDismissal } from './dismissal.ts';
import type { JoiningStep } from './joining-states.ts';
import { judgeManager, managerChainOf } from './manager-judgement.ts';
import { saveMemory } from './memory-keeping.ts';
import { log, logDenial, managerTopic, publish, rest, sendExchange, tell } from './outbox.ts';
import { addressesChanged, registerAgain } from './registration.ts';
import { dropAllSessions } from './sessions.ts';
import type { AgentState } from './state.ts';

const EXCHANGE_TIMEOUT = seconds(10);
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;

/** Starts an exchange unless one is under way or the channel is open. */
export function join(state: AgentState, world: World): void {
  if (state.link === null || state.joining !== null || state.channel !== null) return;
  if (state.restUntil !== null && world.now < state.restUntil)
    return schedule(state.deadlines, 'join', state.restUntil);
  state.restUntil = null;
  cancel(state.deadlines, 'join');
  const { secret } = state;
  if (secret === null || !isSecretOfUse(state, secret.until, world) || secret.manager !== state.settings.manager) {
    return startFullLogin(state, [], world);
  }
  const awaiting = requestResumption(world.crypto, secret, 'device', state.instance);
  begin(state, { name: 'awaitingResumed', awaiting }, world);
  sendJoining(state, 'resume', awaiting.request, world);
}

/** Starts a full login, whatever secret is held. @param suitesR what the responder said it supports */
export function startFullLogin(
  state: AgentState,
  offered: readonly number[],
  world: World,
  suitesR?: readonly number[],
): void {
  const { cipherSuites, channelSuites } = state.identity;
  const selected = suitesR === undefined ? cipherSuites[0] : nextSuite(cipherSuites, suitesR, offered);
  if (selected === undefined || selected === null) {
    const why = 'no EDHOC suite in common with the manager';
    denied(state, why);
    return abandon(state, why, world);
  }
  const { authenticateOnly } = state.settings;
  const verdict = demandedVerdict(state, world);
  const offer = {
    suites: channelSuites,
    sendChain: state.managerLeaf === null ? true : undefined,
    verdict: verdict === 'none' ? undefined : verdict,
    authenticateOnly: authenticateOnly ? true : undefined,
  };
  const { message1, state: login } = startLogin(world.crypto, state.identity, offer, selected);
  begin(state, { name: 'awaitingMessage2', login, offered: [...offered, selected] }, world);
  sendJoining(state, 'message1', message1, world);
}

/** [patent 0102] A channel that is closed is opened for it. */
export function announceAddresses(state: AgentState, addresses: readonly string[], world: World): void {
  if (addressesChanged(state, addresses, world)) join(state, world);
}

function begin(state: AgentState, step: JoiningStep, world: World): void {
  const cost = state.joining?.cost ?? noCost();
  state.joining = { exchange: world.crypto.random(EXCHANGE_ID_BYTES), cost, step, sent: EMPTY, repeats: 0 };
  state.charged = cost;
  schedule(state.deadlines, 'exchange', later(world.now, EXCHANGE_TIMEOUT));
}

function sendJoining(
  state: AgentState,
  kind: 'message1' | 'message3' | 'resume',
  body: Uint8Array,
  world: World,
): void {
  const { joining } = state;
  if (joining === null) return;
  joining.sent = sendExchange(state, kind, joining.exchange, body, joining.cost);
  joining.repeats = 0;
  schedule(state.deadlines, 'repeat', later(world.now, FIRST_REPEAT));
}

const FIRST_REPEAT = seconds(1);

/**
 * No answer yet: the byte-identical frame again, after 1 s and 4 s more. The manager may not have been there; or it has too
 * much to do, and whoever repeats himself more often makes it worse.
 */
export function repeatDue(state: AgentState, world: World): void {
  const { joining } = state;
  const topic = managerTopic(state);
  if (joining === null || topic === null || joining.step.name.startsWith('saving')) return;
  publish(state, topic, joining.sent, joining.cost);
  joining.repeats++;
  schedule(state.deadlines, 'repeat', later(world.now, Millis(FIRST_REPEAT * 4 ** joining.repeats)));
}

/** [patent 1006, 1016, 1028–1030] */
export function receiveMessage2(state: AgentState, body: Uint8Array, world: World): void {
  const { joining } = state;
  if (joining?.step.name !== 'awaitingMessage2') return;
  const { login } = joining.step;
  const read = readChoice(world.crypto, login, body);
  const chain = managerChainOf(state, read.peer);
  if (chain === null) {
    state.managerLeaf = null; // a leaf that we do not hold: the chain is asked for next time
    return abandon(state, 'the manager shows a certificate that is not held', world);
  }
  const nonce = login.offer.verdict === 'fresh' ? ownFreshness(world.crypto, login) : null;
  const judged = judgeManager(state, chain, read.choice.verdict ?? null, nonce, world);
  if (judged === null) return startFullLogin(state, [], world);
  const verified = verifyChoice(world.crypto, read, judged.peer);
  const registration = registerAgain(state, world);
  const request = {
    instance: state.instance,
    messages: registration === null ? undefined : channelMessages.encodeAll([registration]),
    certificateRequest: requestOfRenewal(state, world),
  };
  const { message3, state: requested } = requestLogin(
    world.crypto,
    state.identity,
    verified,
    request,
    !state.chainHeld,
  );
  joining.step = { name: 'awaitingMessage4', login: requested, manager: judged.manager };
  sendJoining(state, 'message3', message3, world);
}

/** [patent 1306] */
export function receiveMessage4(state: AgentState, body: Uint8Array, world: World): void {
  const { joining } = state;
  if (joining?.step.name !== 'awaitingMessage4') return;
  const { login, manager } = joining.step;
  const { answer, keys } = readLoginAnswer(world.crypto, login, body);
  const isRenewed = takeIssued(state, answer, world);
  if (keys === null && isRenewed) return awaitCertificate(state);
  if (keys === null) {
    const reason = answer.reason ?? answer.refusal ?? 'forbidden';
    if (isDismissal(reason)) return dismissed(state, reason, 'login', world);
    denied(state, reason);
    if (reason === 'revoked') dropAllSessions(state, 'revoked');
    logDenial(state, 'login.denied', reason, { reason, remedy: remedyFor(reason) }, world);
    state.joining = null;
    return retryLater(state, world, reason === 'verifier-away' ? UNJUDGED_RETRY_MS : LAST_RETRY_MS);
  }
  const answers = answer.messages === undefined ? [] : channelMessages.decodeAll(answer.messages);
  keepSecret(state, keys.resumptionSecret, keys.channel, manager, world);
  state.chainHeld = answer.chainHeld ?? state.chainHeld;
  joining.step = { name: 'savingLogin', keys, answers, early: [] };
  state.awaitedSave = saveMemory(state);
}

/** The next login shows what was issued, once it is stored. */
function awaitCertificate(state: AgentState): void {
  state.joining = null;
  cancel(state.deadlines, 'exchange');
  cancel(state.deadlines, 'repeat');
}

function denied(state: AgentState, reason: string): void {
  state.denied = reason;
  tell(state, { news: 'loginDenied', reason });
}

/** Remedies that a person in front of the device can use. */
function remedyFor(reason: string): string {
  switch (reason) {
    case 'revoked':
      return 'this certificate was revoked: ask the operator for a new one';
    case 'expired':
      return 'this certificate ran out: enrol anew (kagimori agent enrol), or the operator allows enrolment.renewExpiredDays';
    case 'not-yet-valid':
      return "check the verifier's clock, then the validity of the certificate";
    case 'unknown-issuer':
      return 'the CA of this certificate is not one that the verifier trusts';
    case 'name-taken':
      return 'another certificate with this name is registered: the operator removes it with `kagimori device remove`';
    case 'verifier-away':
      return "the verifier is away, or its clock and the manager's are apart: it is tried again";
    case 'not-a-leaf':
    case 'wrong-purpose':
      return "this is no device's certificate: issue one with `kagimori ca issue NAME`";
    case 'revocation-unknown':
      return 'the verifier has no revocation list of the CA that holds now: renew it with `kagimori ca crl`, check its clock';
    case 'forbidden':
      return 'the manager admits only devices that it lists: add this one under `devices`';
    default:
      return 'see docs/troubleshooting.md';
  }
}

/** Generation 0 of a new chain. */
export function keepSecret(
  state: AgentState,
  secret: Uint8Array,
  mode: { readonly suite: number; readonly authenticateOnly: boolean },
  manager: { readonly chain: readonly Uint8Array[]; readonly hash: Uint8Array; readonly notAfter: number },
  world: World,
): void {
  state.managerLeaf = { chain: manager.chain, hash: manager.hash };
  state.leafHash = state.life.current.hash;
  state.secret = {
    generation: 0,
    secret,
    device: state.id,
    manager: state.settings.manager,
    suite: mode.suite,
    authenticateOnly: mode.authenticateOnly,
    until: EpochSeconds(Math.min(world.wall + MAX_AGE_SECONDS, manager.notAfter)),
  };
}

/** D2: the next secret is stored before anything is said under it. */
export function receiveResumed(state: AgentState, body: Uint8Array, world: World): void {
  const { joining } = state;
  if (joining?.step.name !== 'awaitingResumed') return;
  const resumed = readResumed(world.crypto, joining.step.awaiting, body);
  const channel = openChannel(world.crypto, channelKeysOf(resumed, 'initiator'));
  state.secret = nextSecret(world.crypto, resumed.used);
  joining.step = { name: 'savingResumed', channel };
  state.awaitedSave = saveMemory(state);
}

const MAX_EARLY = 8;

/** The manager may speak as soon as it has answered; what it says waits until the login is stored. */
export function holdRecord(state: AgentState, record: Uint8Array): boolean {
  const step = state.joining?.step;
  if (step?.name !== 'savingLogin') return false;
  if (step.early.length < MAX_EARLY) step.early.push(record.slice());
  return true;
}

/**
 * What had to be stored is stored: the channel is open, and its first record permits [patent 1308].
 * @returns the records that waited for it
 */
export function savedJoining(state: AgentState, world: World): readonly Uint8Array[] {
  const { joining } = state;
  if (joining === null) return [];
  const { step, cost } = joining;
  state.charged = cost;
  if (step.name === 'savingLogin') {
    state.joining = null;
    state.promoted = true;
    const channel = openChannel(world.crypto, step.keys.channel);
    channelOpened(state, channel, { opened: 'edhoc', by: 'device', cost }, step.answers, world);
    return step.early;
  }
  if (step.name === 'savingResumed') {
    state.joining = null;
    channelOpened(state, step.channel, { opened: 'resume', by: 'device', cost }, [], world);
  }
  return [];
}

/** E0 is not authenticated: it explains, and leads to another try at most. */
export function receiveError(state: AgentState, body: Uint8Array, world: World): void {
  const { joining } = state;
  if (joining === null) return;
  // why a resumption is refused a full login hears, and from the manager itself
  if (joining.step.name === 'awaitingResumed') return startFullLogin(state, [], world);
  const error = decodeError(body);
  if (error.kind === 'wrongSuite' && joining.step.name === 'awaitingMessage2') {
    return startFullLogin(state, joining.step.offered, world, error.suites);
  }
  if (error.kind === 'unknownCredential' && joining.step.name === 'awaitingMessage4' && state.chainHeld) {
    state.chainHeld = false;
    return startFullLogin(state, [], world);
  }
  const said = error.kind === 'unspecified' ? error.text : error.kind;
  denied(state, said);
  abandon(state, `the manager ended the exchange: ${said}`, world);
}

/** A link that has not logged in is closed by the broker after 10 s: for what would take longer it is given back. */
const LIFE_OF_NEW_LINK = seconds(8);
/** The manager says when; this keeps apart those whom it told the same. */
const BUSY_SPREAD_MS = 250;

/**
 * D3: the manager has too much to do, and says when to come again. Anybody at the broker could say so: it must name the
 * exchange under way, and costs at most MAX_BUSY_MS each time. It never leads to a full login.
 */
export function receiveBusy(state: AgentState, body: Uint8Array, world: World): void {
  const { joining } = state;
  if (joining?.step.name !== 'awaitingResumed' && joining?.step.name !== 'awaitingMessage2') return;
  const { after } = Busy.decode(body);
  log(state, 'info', 'manager.busy', { seconds: Math.round(after / 100) / 10 });
  state.joining = null;
  cancel(state.deadlines, 'exchange');
  cancel(state.deadlines, 'repeat');
  state.restUntil = later(world.now, Millis(after + randomShare(world) * BUSY_SPREAD_MS));
  schedule(state.deadlines, 'join', state.restUntil);
  if (!state.promoted && state.restUntil > later(state.linkedAt, LIFE_OF_NEW_LINK)) rest(state, after);
}

/** D0: the manager does not know our channel, or our secret. */
export function receiveHint(state: AgentState, world: World): void {
  if (state.joining?.step.name === 'awaitingResumed') {
    log(state, 'info', 'resumption.unknown');
    return startFullLogin(state, [], world);
  }
  // a channel that was closed stays closed: whoever wants this device opens it
  if (state.joining !== null || state.channel === null) return;
  const next = state.hintedAt === null ? null : later(state.hintedAt, HINT_EVERY);
  if (next !== null && world.now < next) {
    schedule(state.deadlines, 'hint', next); // a manager that was restarted twice
    return;
  }
  state.hintedAt = world.now;
  dropChannel(state);
  join(state, world);
}

const HINT_EVERY = seconds(10);

export function exchangeTimedOut(state: AgentState, world: World): void {
  const { joining, invitation } = state;
  state.invitation = null;
  if (joining === null) {
    if (invitation === null) return;
    return;
  }
  // a resumption that is not answered twice may be one that nobody can answer
  if (joining.step.name === 'awaitingResumed' && state.failures >= 2) return startFullLogin(state, [], world);
  abandon(state, 'no answer from the manager', world);
}

export function abandon(state: AgentState, why: string, world: World): void {
  log(state, 'warn', 'login.failed', { why, attempt: state.failures + 1 });
  renewalEnded(state, why, world);
  state.joining = null;
  retryLater(state, world);
}

/** Nothing is wrong with this device: it is to be back soon after the verifier. */
const UNJUDGED_RETRY_MS = 2500;

/** Full jitter: 0 to min(longest, 0.5 s · 2^n). */
function retryLater(state: AgentState, world: World, longest = LAST_RETRY_MS): void {
  cancel(state.deadlines, 'exchange');
  const most = Math.min(longest, FIRST_RETRY_MS * 2 ** Math.min(20, state.failures++));
  schedule(state.deadlines, 'join', later(world.now, Millis(FIRST_RETRY_MS / 2 + randomShare(world) * most)));
}

/** @returns 0 up to 1 */
function randomShare({ crypto }: World): number {
  const random = crypto.random(4);
  return new DataView(random.buffer, random.byteOffset).getUint32(0) / 2 ** 32;
}

/** `unexpected` is found only behind the signature: a manager that chose what was not on offer. */
const ENDS_EXCHANGE: ReadonlySet<ErrorCode> = new Set(['badCertificate', 'badVerdict', 'badSignature', 'unexpected']);

/** A fault in an exchange of ours: garbage is ignored, a manager that is not what it should be ends the exchange. */
export function exchangeFault(state: AgentState, error: unknown, world: World): void {
  if (error instanceof SigningFault) {
    log(state, 'error', 'key-store.failed', { why: error.what, remedy: error.remedy });
    denied(state, error.message);
    return abandon(state, error.what, world);
  }
  if (!(error instanceof ProtocolError)) throw error;
  log(state, 'warn', 'login.fault', { code: error.code, detail: error.message });
  if (ENDS_EXCHANGE.has(error.code)) {
    denied(state, error.message);
    abandon(state, error.message, world);
  }
}
