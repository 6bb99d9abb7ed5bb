/**
 * The manager as one machine: an event in, effects out. It routes; what happens stands in the files beside it.
 */
import { EMPTY, toHex } from '../protocol/bytes.ts';
import { openMessages } from '../protocol/channel.ts';
import { noDeadlines, schedule, takeDue } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { decodeFrame, type ExchangeKind } from '../protocol/frame.ts';
import { brokerReports, type ChannelMessage, INSTANCE_BYTES } from '../protocol/messages.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, later, Millis, seconds, type Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import {
  awaitLink,
  bindLink,
  closeTimedOut,
  linkGone,
  linkGraceOver,
  receiveCloseMessage,
  verdictDue,
  verdictRefreshed,
} from './channels.ts';
import { receiveAnswer, receiveConnect, receiveEnd, receiveEndOk, receiveUp } from './connects.ts';
import type { Effect } from './effects.ts';
import { endHandshake } from './half-open.ts';
import { type Handshake, partyKey } from './handshake.ts';
import {
  claimNames,
  finishLogin,
  ownVerdictForExchange,
  receiveMessage1,
  receiveMessage3,
  verdictForLogin,
} from './logins.ts';
import * as openings from './openings.ts';
import { log, publish, remember, sendHint, sendTo, tellBroker } from './outbox.ts';
import { askVerifier, questionTimedOut, type Ruling, receiveJudgement } from './questions.ts';
import { answeredBefore, receiveApprove, receiveDelete, receiveRegister, receiveWithdraw } from './registrations.ts';
import type { Loaded, SessionRecord } from './registry.ts';
import { addSession, stepSession } from './sessions.ts';
import type { ManagerState, Subject } from './state.ts';

export type ManagerEvent =
  /** The transport is up (again): the broker knows nothing of us. */
  | { readonly type: 'linked' }
  | { readonly type: 'received'; readonly topic: Topic; readonly payload: Uint8Array }
  | { readonly type: 'committed'; readonly number: number }
  | { readonly type: 'commitFailed'; readonly number: number; readonly reason: string }
  | { readonly type: 'time' };

type Identity = Pick<ManagerState, 'settings' | 'identity' | 'leafHash' | 'verifierKey' | 'reader' | 'sealingKey'>;

/** @param loaded what the store held */
export function createManager(identity: Identity, loaded: Loaded, world: World): ManagerState {
  const state: ManagerState = {
    ...identity,
    instance: world.crypto.random(INSTANCE_BYTES),
    devices: loaded.devices,
    registrations: loaded.registrations,
    resumption: loaded.resumption,
    names: new Map(),
    leaves: new Map(),
    links: new Map(),
    reported: new Set(),
    linkDevices: new Map(),
    channels: new Map(),
    handshakes: new Map(),
    questions: new Map(),
    sessions: new Map(),
    sessionsOf: new Map(),
    replies: new Map(),
    hinted: new Map(),
    commits: new Map(),
    deadlines: noDeadlines(),
    ownVerdict: null,
    nextCommit: 1,
    toOpen: [],
    out: [],
  };
  for (const [id, record] of loaded.devices) {
    state.leaves.set(toHex(record.leaf), id);
    claimNames(state, id, record.names);
  }
  for (const [sid, record] of loaded.sessions) restoreSession(state, sid, record, world);
  return state;
}

/** A granted session goes on after a restart: the devices hold its keys, the manager its terms. */
function restoreSession(state: ManagerState, sid: string, record: SessionRecord, world: World): void {
  const left = record.approvedUntil - world.wall;
  if (left <= 0) return;
  const party = (id: DeviceId) => {
    const registration = state.registrations.get(id);
    const leaf = state.devices.get(id)?.leaf ?? EMPTY;
    return {
      id,
      leaf,
      registration: registration?.hash ?? EMPTY,
      version: registration?.version ?? 1,
      addresses: registration?.addresses ?? [],
    };
  };
  const terms = {
    sid: Uint8Array.from({ length: sid.length / 2 }, (_, i) => Number.parseInt(sid.slice(2 * i, 2 * i + 2), 16)),
    caller: party(record.caller),
    callee: party(record.callee),
    name: record.name,
    nonceA: EMPTY,
    suite: record.suite,
    keyMode: record.keyMode,
    rule: record.rule,
    lifetimeSeconds: left,
    route: record.route,
  };
  const until = record.approvedUntil as typeof world.wall;
  addSession(state, sid, {
    flow: { state: 'granted', terms, epoch: record.epoch, up: [] },
    sealedForCaller: null,
    until,
  });
  schedule(state.deadlines, `session:${sid}`, later(world.now, seconds(left)));
}

/** One step. A peer's fault never throws out of it. */
export function stepManager(state: ManagerState, event: ManagerEvent, world: World): readonly Effect[] {
  state.out = [];
  try {
    take(state, event, world);
    openRequested(state, world);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    const from = event.type === 'received' ? event.topic : event.type;
    log(state, 'warn', 'message.refused', { from, code: error.code, detail: error.message });
  }
  return state.out;
}

/** Opens what sessions of this step wait for. */
function openRequested(state: ManagerState, world: World): void {
  for (let request = state.toOpen.shift(); request !== undefined; request = state.toOpen.shift()) {
    const { sid, device } = request;
    if (openings.openChannelTo(state, device, world)) continue;
    stepSession(state, sid, { type: 'channelFailed', device, reason: 'unreachable' }, world);
  }
}

function take(state: ManagerState, event: ManagerEvent, world: World): void {
  switch (event.type) {
    case 'linked':
      state.reported.clear();
      tellBroker(state, { kind: 'Attach' });
      return askAboutSelf(state, world);
    case 'received':
      return receive(state, event.topic, event.payload, world);
    case 'committed':
      return continueAfter(state, event.number, null, world);
    case 'commitFailed':
      return continueAfter(state, event.number, event.reason, world);
    case 'time':
      for (const key of takeDue(state.deadlines, world.now)) deadline(state, key, world);
      return;
    default:
      event satisfies never;
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
    case 'control-report':
      return receiveReport(state, payload, world);
    default:
      throw new ProtocolError('unexpected', 'a topic that is not for the manager');
  }
}

// ── Frames of devices ───────────────────────────────────────────────────────────────────────────────────────────────

function receiveFrame(state: ManagerState, from: Party, payload: Uint8Array, world: World): void {
  const frame = decodeFrame(payload);
  const party = settle(state, from);
  // a link that was bound without the device's hearing of it goes on logging in as a link
  const handshake = state.handshakes.get(partyKey(from)) ?? state.handshakes.get(partyKey(party)) ?? null;
  switch (frame.kind) {
    case 'record':
      return receiveRecord(state, party, handshake, frame.record, world);
    case 'hint':
      if (handshake?.step.name === 'awaitingResumed') openings.resumptionUnknown(state, handshake, world);
      return;
    default: {
      const repeat = handshake === null ? null : openings.repeated(handshake, payload);
      if (repeat !== null) {
        if (repeat.length > 0) publish(state, state.settings.topics.toDevice(from), repeat);
        return;
      }
      receiveExchange(state, from, handshake, frame.kind, frame.exchange, frame.body, payload, world);
    }
  }
}

/** A link that is bound to a device speaks as that device, on whichever of its topics. */
function settle(state: ManagerState, from: Party): Party {
  const device = from.kind === 'link' ? state.linkDevices.get(from.link) : undefined;
  return device === undefined ? from : { kind: 'device', id: device };
}

function receiveExchange(
  state: ManagerState,
  party: Party,
  handshake: Handshake | null,
  kind: ExchangeKind,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  log(state, 'debug', 'exchange.received', { from: partyKey(party), kind, bytes: frame.length });
  if (kind === 'message1') return receiveMessage1(state, party, exchange, body, frame, world); // the device's own wins
  if (kind === 'resume') return openings.receiveResume(state, party, exchange, body, frame, world);
  if (handshake === null || toHex(handshake.exchange) !== toHex(exchange)) return; // of an exchange that is over
  switch (kind) {
    case 'message3':
      return receiveMessage3(state, handshake, body, frame, world);
    case 'resumed':
      return openings.receiveResumedByDevice(state, handshake, body, world);
    case 'message2':
      return openings.receiveMessage2(state, handshake, body, world);
    case 'message4':
      return openings.receiveMessage4(state, handshake, body, world);
    case 'error':
      return openings.receiveExchangeError(state, handshake, body, world);
    default:
      kind satisfies never;
  }
}

function receiveRecord(
  state: ManagerState,
  party: Party,
  handshake: Handshake | null,
  record: Uint8Array,
  world: World,
): void {
  if (handshake?.step.name === 'awaitingFirstRecord') {
    const first = tryFirstRecord(state, handshake, record, world);
    if (first !== null) {
      receiveMessages(state, first.device, first.messages, record.length, world);
      return;
    }
  }
  const open = party.kind === 'device' ? state.channels.get(party.id) : undefined;
  if (party.kind !== 'device' || open === undefined) return sendHint(state, party, world);
  let messages: readonly ChannelMessage[];
  try {
    messages = openMessages(world.crypto, open.channel, record);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'badMac') sendHint(state, party, world);
    throw error;
  }
  receiveMessages(state, party.id, messages, record.length, world);
}

function receiveMessages(
  state: ManagerState,
  from: DeviceId,
  messages: readonly ChannelMessage[],
  bytes: number,
  world: World,
): void {
  const link = state.links.get(from);
  // a record under the new keys: the answer of the exchange has arrived and need not be repeated
  if (link !== undefined) endHandshake(state, { kind: 'link', link });
  log(state, 'debug', 'message.received', { from, kinds: messages.map(({ kind }) => kind).join('+'), bytes });
  for (const message of messages) receiveMessage(state, from, message, world);
}

function tryFirstRecord(state: ManagerState, handshake: Handshake, record: Uint8Array, world: World) {
  try {
    return openings.receiveFirstRecord(state, handshake, record, world);
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'badMac') return null; // of the channel before
    throw error;
  }
}

function receiveMessage(state: ManagerState, device: DeviceId, message: ChannelMessage, world: World): void {
  switch (message.kind) {
    case 'Permit':
      return;
    case 'Register':
      return receiveRegister(state, device, message, world);
    case 'Delete':
      if (!answeredBefore(state, device, message.requestId, world)) receiveDelete(state, device, message);
      return;
    case 'Approve':
      if (!answeredBefore(state, device, message.requestId, world)) receiveApprove(state, device, message, world);
      return;
    case 'Withdraw':
      if (!answeredBefore(state, device, message.requestId, world)) receiveWithdraw(state, device, message, world);
      return;
    case 'Connect':
      return receiveConnect(state, device, message, world);
    case 'Answer':
      return receiveAnswer(state, device, message, world);
    case 'End':
      return receiveEnd(state, device, message, world);
    case 'EndOk':
      return receiveEndOk(state, device, message, world);
    case 'Up':
      return receiveUp(state, device, message, world);
    case 'Close':
    case 'CloseOk':
      return receiveCloseMessage(state, device, message, world);
    case 'Registered':
    case 'Done':
    case 'Denied':
    case 'Ask':
    case 'Grant':
      throw new ProtocolError('unexpected', `${message.kind} is for devices to receive`);
    default:
      message satisfies never;
  }
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
        if (device !== undefined) bindLink(state, link, device, false);
      }
      if (report.last) brokerKnown(state, world);
      return;
    default:
      report satisfies never;
  }
}

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
    .filter(({ flow }) => flow.state === 'granted')
    .map(({ flow }) => ({ a: flow.terms.caller.id, b: flow.terms.callee.id }));
  for (let at = 0; at < pairs.length; at += PAIRS_PER_MESSAGE) {
    tellBroker(state, { kind: 'Allow', pairs: pairs.slice(at, at + PAIRS_PER_MESSAGE) });
  }
  for (const [device] of state.links) {
    if (!state.channels.has(device)) sendHint(state, { kind: 'device', id: device }, world);
  }
}

function rule(state: ManagerState, subject: Subject, ruling: Ruling, world: World): void {
  // the verifier has come: our own certificate need not wait for its next turn
  if (subject.for !== 'self' && ruling.outcome !== 'away' && state.ownVerdict === null) askAboutSelf(state, world);
  switch (subject.for) {
    case 'self':
      return ownRuling(state, ruling, world);
    case 'refresh':
      return verdictRefreshed(state, subject.device, ruling, world);
    case 'selfForExchange': {
      const handshake = state.handshakes.get(subject.party);
      if (handshake !== undefined) ownVerdictForExchange(state, handshake, ruling, world);
      return;
    }
    case 'exchange': {
      const handshake = state.handshakes.get(subject.party);
      if (handshake === undefined) return;
      verdictForLogin(state, handshake, ruling, world);
      openings.verdictForResumption(state, handshake, ruling, world);
      openings.verdictForOpening(state, handshake, ruling, world);
      return;
    }
    default:
      subject satisfies never;
  }
}

const ASK_SELF_AGAIN = seconds(5);

/** One question about our own certificate at a time. */
function askAboutSelf(state: ManagerState, world: World): void {
  for (const { subject } of state.questions.values()) if (subject.for === 'self') return;
  askVerifier(state, { for: 'self' }, 'manager', state.identity.chain, world);
}

function ownRuling(state: ManagerState, ruling: Ruling, world: World): void {
  let again: Millis = ASK_SELF_AGAIN;
  if (ruling.outcome === 'good') {
    state.ownVerdict = { bytes: ruling.bytes, until: ruling.until };
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
    case 'granted':
      return stepSession(state, continuation.sid, { type: failure === null ? 'stored' : 'storeFailed' }, world);
    case 'reply': {
      const { device, requestId } = continuation;
      const message: ChannelMessage =
        failure === null ? continuation.message : { kind: 'Denied', requestId, reason: 'internal-error' };
      if (failure === null) remember(state, device, requestId, message, world.now);
      sendTo(state, device, [message], world);
      return;
    }
    case 'finishExchange': {
      const handshake = state.handshakes.get(continuation.party);
      if (handshake === undefined) return;
      if (failure !== null) return endHandshake(state, handshake.party);
      finishLogin(state, handshake, world);
      openings.finishResumed(state, handshake, world);
      openings.finishOpened(state, handshake, world);
      return;
    }
    default:
      continuation satisfies never;
  }
}

function deadline(state: ManagerState, key: string, world: World): void {
  const colon = key.indexOf(':');
  const kind = colon < 0 ? key : key.slice(0, colon);
  const rest = key.slice(colon + 1);
  switch (kind) {
    case 'exchange':
      return exchangeTimedOut(state, rest, world);
    case 'question': {
      const subject = questionTimedOut(state, rest);
      if (subject !== null) rule(state, subject, { outcome: 'away' }, world);
      return;
    }
    case 'session':
      return stepSession(state, rest, { type: 'deadline' }, world);
    case 'close':
      return closeTimedOut(state, rest as DeviceId);
    case 'verdict':
      return verdictDue(state, rest as DeviceId, world);
    case 'gone':
      return linkGraceOver(state, rest as DeviceId, world);
    case 'self':
      return askAboutSelf(state, world);
    default:
      throw new RangeError(`no such deadline: ${key}`);
  }
}

function exchangeTimedOut(state: ManagerState, key: string, world: World): void {
  const handshake = state.handshakes.get(key);
  if (handshake === undefined) return;
  const { step, party } = handshake;
  endHandshake(state, party);
  if (step.name === 'awaitingResumed' || step.name === 'awaitingMessage2' || step.name === 'awaitingMessage4') {
    openings.openingFailed(state, step.device, 'unreachable', world);
  }
}
