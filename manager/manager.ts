import { SigningFault } from '../protocol/crypto.ts';
import { schedule, takeDue } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { brokerReports, type ChannelMessage } from '../protocol/messages.ts';
import { type DeviceId, later, Millis, seconds, type Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { nextTurnAt } from './admission.ts';
import { type Bearer, userLeafOf } from './bearer.ts';
import { receiveCertified } from './certifying.ts';
import {
  awaitLink,
  bindLink,
  closeTimedOut,
  linkGone,
  linkGraceOver,
  verdictDue,
  verdictRefreshed,
} from './channels.ts';
import type { Certified, Effect } from './effects.ts';
import { enrolmentStored } from './enrolment.ts';
import { receiveFrame } from './frames.ts';
import { endHandshake, nextInLine, sameHandshake } from './half-open.ts';
import { partyKey } from './handshake.ts';
import { invitationsDue } from './invitations.ts';
import { finishLogin, loginInTurn, loginNotStored, ownVerdictForExchange, verdictForLogin } from './logins.ts';
import * as openings from './openings.ts';
import { log, remember, sendTo, tellBroker } from './outbox.ts';
import { probeUnanswered } from './probes.ts';
import {
  askVerifier,
  currentOwnVerdict,
  leafOf,
  questionTimedOut,
  type Ruling,
  receiveJudgement,
  repeatQuestion,
} from './questions.ts';
import { deviceSilent, lookForDevices, wordMissing } from './reach.ts';
import { type RefusedChange, TABLES, takeBack } from './registry.ts';
import { retirementStored, retirementsDue } from './retiring.ts';
import { noteBearer } from './revocation-watch.ts';
import {
  evictCondemned,
  evictionStored,
  judgeDoubtful,
  receiveRevocationEvent,
  verifierSilent,
} from './revocations.ts';
import { isLive, stepSession } from './sessions.ts';
import { identitiesOf, type ManagerState, type Subject } from './state.ts';
import { usersOverdue } from './user-leaving.ts';
import { userJudged, userRefreshed, userStored, userVerdictDue } from './users.ts';
import { mayBeGranted } from './verdict-age.ts';
import { voidStored, voidsDue, voidWritten } from './voiding.ts';
import { waitOver } from './waiting.ts';
import { hintInTurn, hintsDue } from './wake-up.ts';

export type ManagerEvent =
  /** The transport is up (again): the broker knows nothing of us. */
  | { readonly type: 'linked' }
  | { readonly type: 'received'; readonly topic: Topic; readonly payload: Uint8Array }
  | { readonly type: 'committed'; readonly number: number }
  | {
      readonly type: 'commitFailed';
      readonly number: number;
      readonly reason: string;
      readonly refused: readonly RefusedChange[];
    }
  | { readonly type: 'certified'; readonly number: number; readonly certified: Certified }
  | { readonly type: 'time' };

/** One step. A peer's fault never throws out of it. */
export function stepManager(state: ManagerState, event: ManagerEvent, world: World): readonly Effect[] {
  state.out = [];
  const isReceived = event.type === 'received';
  guard(state, isReceived ? event.topic : event.type, isReceived, () => {
    take(state, event, world);
    renewUndelivered(state, world);
    openRequested(state, world);
  });
  goOnInTurn(state, world);
  return state.out;
}

/** @param ofPeer  whether it is done with bytes of a peer */
function guard(state: ManagerState, from: string, ofPeer: boolean, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (error instanceof ProtocolError) {
      log(state, 'warn', 'message.refused', { from, code: error.code, detail: error.message });
    } else if (error instanceof SigningFault) {
      log(state, 'error', 'key-store.failed', { from, why: error.what, remedy: error.remedy });
    } else if (ofPeer && error instanceof Error) {
      // a fault of ours that a peer's bytes brought out: it may cost that peer its exchange, never everybody the manager
      log(state, 'error', 'bug', { from, detail: error.message, remedy: 'please report it' });
    } else throw error;
  }
}

/** A channel was closed between the approval and the grant: it is opened again, and both get another grant. */
function renewUndelivered(state: ManagerState, world: World): void {
  for (const { sid, device } of state.undelivered.splice(0)) {
    stepSession(state, sid, { type: 'keysLost', device }, world);
    state.toOpen.push({ sid, device });
  }
}

/** Opens what sessions of this step wait for. */
function openRequested(state: ManagerState, world: World): void {
  for (let request = state.toOpen.shift(); request !== undefined; request = state.toOpen.shift()) {
    const { sid, device } = request;
    if (openings.openChannelTo(state, device, world)) continue;
    stepSession(state, sid, { type: 'channelFailed', device, reason: 'unreachable' }, world);
  }
}

/** Exchanges that had to wait and need not any more; then the next of them is waited for. */
function goOnInTurn(state: ManagerState, world: World): void {
  for (const handshake of nextInLine(state, world)) {
    guard(state, partyKey(handshake.party), true, () => {
      loginInTurn(state, handshake, world);
      openings.resumeInTurn(state, handshake, world);
    });
  }
  const at = nextTurnAt(state.admission);
  if (at !== null && at !== state.deadlines.current.get('turn')) schedule(state.deadlines, 'turn', at);
}

function take(state: ManagerState, event: ManagerEvent, world: World): void {
  switch (event.type) {
    case 'linked':
      state.reported.clear();
      tellBroker(state, { kind: 'Attach' });
      lookForDevices(state, world);
      return askAboutSelf(state, world);
    case 'received':
      return receive(state, event.topic, event.payload, world);
    case 'committed':
      return continueAfter(state, event.number, null, world);
    case 'commitFailed':
      takeBack(state, event.refused);
      noteTakenBack(state, event.refused);
      return continueAfter(state, event.number, event.reason, world);
    case 'certified':
      return receiveCertified(state, event.number, event.certified, world);
    case 'time':
      for (const key of takeDue(state.deadlines, world.now)) guarded(state, key, () => deadline(state, key, world));
      return;
    default:
      event satisfies never;
  }
}

/** A record that is back has its own marks, and what was heard of the one that it follows says nothing of it. */
function noteTakenBack(state: ManagerState, refused: readonly RefusedChange[]): void {
  for (const { change } of refused) {
    if (change.table !== TABLES.devices) continue;
    const device = change.key as DeviceId;
    const record = state.devices.get(device);
    state.verdictEnds.delete(device);
    if (record !== undefined) noteBearer(state.revocation, device, record);
  }
}

/** What one deadline finds wrong does not keep the others from their turn. */
function guarded(state: ManagerState, key: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log(state, 'warn', 'message.refused', { from: key, code: error.code, detail: error.message });
  }
}

function receive(state: ManagerState, topic: Topic, payload: Uint8Array, world: World): void {
  const place = state.settings.topics.parse(topic);
  switch (place?.kind) {
    case 'to-manager':
      return receiveFrame(state, place.from, payload, world);
    case 'verifier-answer': {
      const judged = receiveJudgement(state, payload, world);
      if (judged !== null) rule(state, judged.subject, judged.ruling, world);
      return;
    }
    case 'verifier-event':
      if (receiveRevocationEvent(state, payload, world)) doubtSelf(state, world);
      return;
    case 'control-report':
      if (state.settings.broker === 'outside') break; // nobody there may speak for it
      return receiveReport(state, payload, world);
    default:
  }
  throw new ProtocolError('unexpected', 'a topic that is not for the manager');
}

// ── Broker, verifier, store, time ───────────────────────────────────────────────────────────────────────────────────

function receiveReport(state: ManagerState, payload: Uint8Array, world: World): void {
  const report = brokerReports.decode(payload);
  switch (report.kind) {
    case 'Gone':
      endHandshake(state, { kind: 'link', link: report.link });
      return linkGone(state, report.link, world);
    case 'Links':
      for (const { link, device } of report.bindings) {
        state.reported.add(link);
        // that it is to be dropped may have been lost with our own link
        if (device !== undefined && isRevoked(state, device)) tellBroker(state, { kind: 'Drop', link });
        else if (device !== undefined) bindLink(state, link, device, false);
      }
      if (report.last) brokerKnown(state, world);
      return;
    default:
      report satisfies never;
  }
}

const isRevoked = (state: ManagerState, device: DeviceId): boolean =>
  state.devices.get(device)?.revokedAt !== undefined;

const PAIRS_PER_MESSAGE = 100;

/** The broker's links are known: it learns the pairs again, and devices without a channel hear that they should resume. */
function brokerKnown(state: ManagerState, world: World): void {
  for (const link of [...state.linkDevices.keys()]) {
    if (!state.reported.has(link)) linkGone(state, link, world); // it ended with the broker, or while we were away
  }
  state.reported.clear();
  for (const device of state.sessionsOf.keys()) {
    if (!state.links.has(device)) awaitLink(state, device, world);
  }
  const pairs = [...state.sessions.values()]
    .filter(({ flow }) => isLive(flow))
    .map(({ flow }) => ({ a: flow.terms.caller.id, b: flow.terms.callee.id }));
  for (let at = 0; at < pairs.length; at += PAIRS_PER_MESSAGE) {
    tellBroker(state, { kind: 'Allow', pairs: pairs.slice(at, at + PAIRS_PER_MESSAGE) });
  }
  hintInTurn(state, state.links.keys(), world);
}

function rule(state: ManagerState, subject: Subject, ruling: Ruling, world: World): void {
  if (subject.for !== 'self' && ruling.outcome === 'away')
    schedule(state.deadlines, 'self', later(world.now, ASK_AWAY_AGAIN));
  // the verifier has come: our own certificate need not wait for its next turn
  if (subject.for !== 'self' && ruling.outcome !== 'away' && !judgedGood(state, world)) askAboutSelf(state, world);
  switch (subject.for) {
    case 'self':
      return ownRuling(state, subject.leaf, ruling, world);
    case 'refresh':
      return refreshed(state, subject, ruling, world);
    case 'user':
      return userJudged(state, subject.request, ruling, world);
    case 'selfForExchange': {
      const handshake = sameHandshake(state, subject.party, subject.handshake);
      if (handshake !== null) ownVerdictForExchange(state, handshake, ruling, world);
      return;
    }
    case 'exchange': {
      const handshake = sameHandshake(state, subject.party, subject.handshake);
      if (handshake === null) return;
      verdictForLogin(state, handshake, ruling, world);
      openings.verdictForResumption(state, handshake, ruling, world);
      openings.verdictForOpening(state, handshake, ruling, world);
      openings.verdictBeforeOpening(state, handshake, ruling, world);
      return;
    }
    default:
      subject satisfies never;
  }
}

function refreshed(
  state: ManagerState,
  { bearer, leaf }: Extract<Subject, { for: 'refresh' }>,
  ruling: Ruling,
  world: World,
): void {
  const ofUser = userLeafOf(bearer);
  if (ofUser === null) verdictRefreshed(state, bearer as DeviceId, leaf, ruling, world);
  else userRefreshed(state, ofUser, ruling, world);
}

const ASK_SELF_AGAIN = seconds(5);
/** Each of these also finds out whether the verifier is back. */
const ASK_AWAY_AGAIN = seconds(1);

/** One question about each of our own certificates at a time. */
function askAboutSelf(state: ManagerState, world: World): void {
  for (const { subject } of state.questions.values()) if (subject.for === 'self') return;
  for (const identity of identitiesOf(state)) {
    askVerifier(state, { for: 'self', leaf: leafOf(identity, world) }, 'manager', identity.chain, world);
  }
}

/** What was said of our own certificates may be out of date. */
function doubtSelf(state: ManagerState, world: World): void {
  state.ownVerdicts.clear();
  askAboutSelf(state, world);
}

const judgedGood = (state: ManagerState, world: World): boolean =>
  identitiesOf(state).every((identity) => currentOwnVerdict(state, identity, world) !== null);

function ownRuling(state: ManagerState, leaf: string, ruling: Ruling, world: World): void {
  let again: Millis = ruling.outcome === 'away' ? ASK_AWAY_AGAIN : ASK_SELF_AGAIN;
  if (ruling.outcome === 'good') {
    state.ownVerdicts.set(leaf, { bytes: ruling.bytes, until: ruling.until });
    again = Millis(Math.max(1, (ruling.until - world.wall) / 2) * 1000);
  } else if (ruling.outcome === 'bad') {
    log(state, 'error', 'manager.certificate-refused', {
      reason: ruling.reason,
      remedy: 'give the manager a good certificate',
    });
  }
  schedule(state.deadlines, 'self', later(world.now, again));
}

function continueAfter(state: ManagerState, number: number, failure: string | null, world: World): void {
  const continuation = state.commits.get(number);
  state.commits.delete(number);
  if (continuation === undefined) return;
  if (failure !== null) log(state, 'error', 'store.failed', { reason: failure, remedy: 'look at the data directory' });
  switch (continuation.next) {
    case 'nothing':
      return;
    case 'retirement':
      if (failure === null) retirementStored(state, continuation.retirement, world);
      return continuation.done(failure);
    case 'granted': {
      const { sid, epoch } = continuation;
      const stored = mayGrantStored(state, sid, world) ? ({ type: 'stored', epoch } as const) : WITHHELD;
      return stepSession(state, sid, failure === null ? stored : { type: 'storeFailed' }, world);
    }
    case 'told':
      return continuation.done(failure);
    case 'voided':
      return voidStored(state, continuation, failure, world);
    case 'voidWritten':
      return voidWritten(state, continuation.key, failure, world);
    case 'enrolment':
      return enrolmentStored(state, continuation.key, failure, world);
    case 'evicted':
      return evictionStored(state, continuation.bearer, continuation.reason, failure, world);
    case 'userStored':
      return userStored(state, continuation, failure, world);
    case 'reply': {
      const { device, requestId } = continuation;
      const message: ChannelMessage =
        failure === null ? continuation.message : { kind: 'Denied', requestId, reason: 'internal-error' };
      if (failure === null) remember(state, device, requestId, message, world.now);
      sendTo(state, device, [message], world);
      return;
    }
    case 'finishExchange': {
      const handshake = sameHandshake(state, continuation.party, continuation.handshake);
      if (handshake === null) return;
      if (failure !== null) return loginNotStored(state, handshake);
      finishLogin(state, handshake, world);
      openings.finishResumed(state, handshake, world);
      openings.finishOpened(state, handshake, world);
      return;
    }
    default:
      continuation satisfies never;
  }
}

const WITHHELD = { type: 'withheld' } as const;

/** The disk takes its time, and the verifier may have fallen silent meanwhile. */
function mayGrantStored(state: ManagerState, sid: string, world: World): boolean {
  const flow = state.sessions.get(sid)?.flow;
  return flow !== undefined && mayBeGranted(state, flow.terms, world);
}

function deadline(state: ManagerState, key: string, world: World): void {
  const colon = key.indexOf(':');
  const kind = colon < 0 ? key : key.slice(0, colon);
  const rest = key.slice(colon + 1);
  switch (kind) {
    case 'exchange':
      return exchangeTimedOut(state, rest, world);
    case 'question': {
      const subject = questionTimedOut(state, rest, world);
      if (subject !== null) rule(state, subject, { outcome: 'away' }, world);
      return;
    }
    case 'repeat':
      return repeatQuestion(state, rest, world);
    case 'session':
      return stepSession(state, rest, { type: 'deadline' }, world);
    case 'close':
      return closeTimedOut(state, rest as DeviceId, world);
    case 'verdict':
      return userLeafOf(rest as Bearer) === null
        ? verdictDue(state, rest as DeviceId, world)
        : userVerdictDue(state, userLeafOf(rest as Bearer)!, world);
    case 'users':
      return usersOverdue(state, rest as DeviceId, world);
    case 'wait':
      return waitOver(state, rest, world);
    case 'gone':
      return linkGraceOver(state, rest as DeviceId, world);
    case 'retirements':
      return retirementsDue(state, world);
    case 'turn':
      return; // every step looks who is next
    case 'hints':
      return hintsDue(state, world);
    case 'probe':
      return probeUnanswered(state, rest as DeviceId, world);
    case 'word':
      return wordMissing(state, rest as DeviceId, world);
    case 'self':
      return askAboutSelf(state, world);
    case 'silence':
      return verifierSilent(state, world);
    case 'doubts':
      return judgeDoubtful(state, world);
    case 'invitations':
      return invitationsDue(state, world);
    case 'voids':
      return voidsDue(state);
    case 'evictions':
      return evictCondemned(state, world);
    default:
      throw new RangeError(`no such deadline: ${key}`);
  }
}

function exchangeTimedOut(state: ManagerState, key: string, world: World): void {
  const handshake = state.handshakes.get(key);
  if (handshake === undefined) return;
  const { step, party } = handshake;
  endHandshake(state, party);
  if (step.name === 'openingNeedsVerdict') return openings.openingFailed(state, step.device, 'verifier-away', world);
  if (step.name === 'awaitingResumed' || step.name === 'awaitingMessage2' || step.name === 'awaitingMessage4') {
    openings.openingFailed(state, step.device, 'unreachable', world);
    deviceSilent(state, step.device, world);
  }
}
