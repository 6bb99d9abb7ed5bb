/**
 * The agent as one machine: an event in, effects out. It routes; what happens stands in the files beside it.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { openMessages } from '../protocol/channel.ts';
import { SigningFault } from '../protocol/crypto.ts';
import { noDeadlines, takeDue } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { decodeFrame, type ExchangeKind, HINT_FRAME } from '../protocol/frame.ts';
import { INSTANCE_BYTES } from '../protocol/message-values.ts';
import type { ChannelMessage, MessageOf } from '../protocol/messages.ts';
import { recordContextState, wipeContext } from '../protocol/record.ts';
import type { Registration } from '../protocol/registration.ts';
import type { DeviceId, LinkId, Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { receiveAsk, refuseAsk, withdrawAsk } from './answering.ts';
import { type ApprovalMemory, approvalState, NO_APPROVALS } from './approval-memory.ts';
import { forgetAsk, holdEarly } from './asks.ts';
import { callTimedOut, managerOutOfReach, receiveDenied, receiveGrant, refuseCalls, sendCalls } from './calling.ts';
import {
  certificateNotStored,
  certificateReplaced,
  certificateStored,
  lookAtCertificate,
  lookSoon,
  newLife,
  ownCertificate,
} from './certificate-life.ts';
import { closeTimedOut, dropChannel, idleOver, receiveCloseMessage, touchIdle } from './channel.ts';
import { CONSENT_KEY_BYTES } from './consent.ts';
import { deviceWorld, lookAtClock, newDeviceTime } from './device-time.ts';
import { isAway } from './dismissal.ts';
import type { Effect } from './effects.ts';
import { followUser } from './following.ts';
import { dropOldKeys } from './handover.ts';
import * as invited from './invited.ts';
import * as joining from './joining.ts';
import type { AgentMemory } from './memory.ts';
import { log, managerTopic, publish, rideOverdue } from './outbox.ts';
import { receiveProbe } from './presence.ts';
import { receiveDeleted, receiveRegistered, registerOverdue, registrationDenied } from './registration.ts';
import {
  forgetEarly,
  forgetRenewal,
  grantOverdue,
  holdBeforeRenewal,
  receiveRenew,
  receiveRenewedGrant,
} from './renewal.ts';
import { endOverdue, helloDue, receiveEnd, receiveEndOk, receiveRecordFrom, timeIsUp } from './sessions.ts';
import { standingAtStart } from './standing.ts';
import type { AgentSettings, AgentState } from './state.ts';
import { type InsertedUser, noUsers } from './user-states.ts';
import { userDenied, userDone, userInserted, userOverdue, userPutOut, userRemoved, userSigned } from './users.ts';

export type AgentEvent =
  | { readonly type: 'linked'; readonly link: LinkId }
  | { readonly type: 'unlinked' }
  | { readonly type: 'received'; readonly topic: Topic; readonly payload: Uint8Array }
  | { readonly type: 'saved'; readonly number: number }
  | { readonly type: 'saveFailed'; readonly number: number; readonly reason: string }
  | { readonly type: 'certificateStored'; readonly number: number }
  | { readonly type: 'certificateNotStored'; readonly number: number; readonly reason: string }
  /** Somebody else has put another chain in the place of ours, leaf first. */
  | { readonly type: 'certificateReplaced'; readonly chain: readonly Uint8Array[] }
  /** A user's medium is in, and its key can sign. */
  | ({ readonly type: 'userInserted' } & InsertedUser)
  | { readonly type: 'userRemoved'; readonly leaf: Uint8Array }
  | { readonly type: 'userSigned'; readonly number: number; readonly signature: Uint8Array | null }
  | { readonly type: 'time' };

type Own = Pick<AgentState, 'identity' | 'id' | 'leafHash'>;

export function createAgent(
  settings: AgentSettings,
  own: Own,
  wanted: Registration,
  memory: AgentMemory,
  world: World,
  approvals: ApprovalMemory = NO_APPROVALS,
): AgentState {
  const { secret, managerChain, consentKey } = memory;
  const { chain } = own.identity;
  const certificate = ownCertificate(chain, own.leafHash, settings.reader.readCertificate(chain[0]!));
  // whatever was agreed under another certificate of ours was agreed with another transcript in mind
  const isSame = memory.leaf !== null && equal(memory.leaf, own.leafHash);
  return {
    ...own,
    settings,
    instance: world.crypto.random(INSTANCE_BYTES),
    consentKey: consentKey ?? world.crypto.random(CONSENT_KEY_BYTES),
    link: null,
    linkedAt: world.now,
    promoted: false,
    joining: null,
    invitation: null,
    channel: null,
    denied: null,
    deniedSaid: null,
    failures: 0,
    restUntil: null,
    secret: isSame && secret !== null && secret.device === own.id ? secret : null,
    managerLeaf:
      managerChain === null ? null : { chain: managerChain, hash: world.crypto.hash('sha-256', managerChain[0]!) },
    chainHeld: isSame && memory.chainHeld,
    time: newDeviceTime(Math.max(memory.time, certificate.notBefore)),
    life: newLife(certificate, world),
    registration: { wanted, acknowledged: null, pending: null, active: true },
    calls: new Map(),
    asked: new Map(),
    questions: { since: world.now, counts: new Map() },
    sessions: new Map(),
    unconfirmedEnds: new Map(),
    over: new Set(),
    renewals: new Map(),
    approvals: approvalState(approvals),
    standing: standingAtStart(settings, approvals),
    users: noUsers(),
    openings: [],
    waiting: [],
    riding: [],
    hintedAt: null,
    deadlines: noDeadlines(),
    nextSave: 1,
    awaitedSave: null,
    charged: null,
    out: [],
  };
}

/** One step. A peer's fault never throws out of it. @param world  of the system; wishes beside it get the device's own */
export function stepAgent(state: AgentState, event: AgentEvent, world: World): readonly Effect[] {
  state.out = [];
  state.charged = null;
  try {
    lookAtClock(state, world);
    take(state, event, deviceWorld(state, world));
  } catch (error) {
    const from = event.type === 'received' ? event.topic : event.type;
    if (error instanceof ProtocolError) {
      log(state, 'warn', 'message.refused', { from, code: error.code, detail: error.message });
    } else if (error instanceof SigningFault) {
      log(state, 'error', 'key-store.failed', { from, why: error.what, remedy: error.remedy });
    } else if (event.type === 'received' && error instanceof Error) {
      // a fault of ours that a peer's bytes brought out: it must not end every session of this device
      log(state, 'error', 'bug', { from, detail: error.message, remedy: 'please report it' });
    } else throw error;
  }
  return state.out;
}

function take(state: AgentState, event: AgentEvent, world: World): void {
  switch (event.type) {
    case 'linked':
      leaveLink(state);
      state.link = event.link;
      state.linkedAt = world.now;
      state.promoted = state.settings.broker === 'outside'; // there the link itself is the device's
      lookSoon(state, world);
      return joining.join(state, world);
    case 'unlinked':
      return leaveLink(state);
    case 'received':
      return receive(state, event.topic, event.payload, world);
    case 'saved':
      if (event.number !== state.awaitedSave) return; // of a secret that moved on beside the exchanges
      state.awaitedSave = null;
      invited.savedInvitation(state, world);
      return continueAfterSave(state, joining.savedJoining(state, world), world);
    case 'saveFailed':
      log(state, 'error', 'state.not-saved', { reason: event.reason, remedy: 'look at the state directory' });
      if (event.number !== state.awaitedSave) return;
      state.awaitedSave = null;
      state.invitation = null;
      return joining.abandon(state, 'what has to survive this process could not be stored', world);
    case 'certificateStored':
      return showCertificate(state, certificateStored(state, event.number, world), world);
    case 'certificateNotStored':
      return certificateNotStored(state, event.number, event.reason, world);
    case 'certificateReplaced':
      return showCertificate(state, certificateReplaced(state, event.chain, world), world);
    case 'userInserted':
      return userInserted(state, event, world);
    case 'userRemoved':
      return userRemoved(state, event.leaf, world);
    case 'userSigned':
      return userSigned(state, event.number, event.signature, world);
    case 'time':
      for (const key of takeDue(state.deadlines, world.now)) guarded(state, key, () => deadline(state, key, world));
      return;
    default:
      event satisfies never;
  }
}

/** What one deadline finds wrong does not keep the others from their turn. */
function guarded(state: AgentState, key: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log(state, 'warn', 'message.refused', { from: key, code: error.code, detail: error.message });
  }
}

function continueAfterSave(state: AgentState, early: readonly Uint8Array[], world: World): void {
  sendCalls(state, world);
  for (const record of early) receiveRecord(state, record, world);
}

/** Sessions outlive a link; the channel's context does not. */
function leaveLink(state: AgentState): void {
  state.link = null;
  state.promoted = false;
  state.joining = null;
  state.invitation = null;
  state.awaitedSave = null;
  dropChannel(state);
}

function receive(state: AgentState, topic: Topic, payload: Uint8Array, world: World): void {
  const place = state.settings.topics.parse(topic);
  switch (place?.kind) {
    case 'to-device': {
      const mine = place.to.kind === 'device' ? place.to.id === state.id : place.to.link === state.link;
      return mine ? receiveFrame(state, place.to.kind, payload, world) : undefined;
    }
    case 'peer':
      return place.to === state.id ? receivePeer(state, place.from, payload, world) : undefined;
    default:
      throw new ProtocolError('unexpected', 'a topic that is not for this device');
  }
}

function receivePeer(state: AgentState, from: DeviceId, payload: Uint8Array, world: World): void {
  const frame = decodeFrame(payload);
  if (frame.kind !== 'record') throw new ProtocolError('unexpected', `${frame.kind} from a peer`);
  if (receiveRecordFrom(state, from, frame.record, world)) return;
  const held = holdEarly(state, from, frame.record, world) || holdBeforeRenewal(state, from, frame.record, world);
  if (!held) log(state, 'debug', 'record.unexpected', { from });
}

// ── Frames of the manager ───────────────────────────────────────────────────────────────────────────────────────────

function receiveFrame(state: AgentState, addressed: 'device' | 'link', payload: Uint8Array, world: World): void {
  const frame = decodeFrame(payload);
  // the broker gives the device's topic only after the manager has promoted this link
  if (addressed === 'device') state.promoted = true;
  switch (frame.kind) {
    case 'record':
      return joining.holdRecord(state, frame.record) ? undefined : receiveRecord(state, frame.record, world);
    case 'hint':
      return joining.receiveHint(state, world);
    default:
      return receiveExchange(state, frame.kind, frame.exchange, frame.body, payload, world);
  }
}

function receiveExchange(
  state: AgentState,
  kind: ExchangeKind,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  const own = state.joining !== null && equal(state.joining.exchange, exchange) ? state.joining : null;
  if (own !== null) {
    own.cost.received++;
    own.cost.bytes += frame.length;
    state.charged = own.cost;
    try {
      if (kind === 'message2') joining.receiveMessage2(state, body, world);
      else if (kind === 'message4') receiveMessage4(state, body, world);
      else if (kind === 'resumed') joining.receiveResumed(state, body, world);
      else if (kind === 'error') joining.receiveError(state, body, world);
      else if (kind === 'busy') joining.receiveBusy(state, body, world);
    } catch (error) {
      joining.exchangeFault(state, error, world);
    }
    return;
  }
  if (isAway(state, world)) return;
  if (state.joining !== null || invited.repeatedInvitation(state, frame)) return; // our own exchange wins
  if (kind === 'message1') return invited.receiveMessage1(state, exchange, body, frame, world);
  if (kind === 'resume') {
    const topic = managerTopic(state);
    if (!invited.receiveResume(state, exchange, body, frame, world) && topic !== null)
      publish(state, topic, HINT_FRAME, null);
    return;
  }
  const invitation = state.invitation;
  if (kind === 'message3' && invitation !== null && equal(invitation.exchange, exchange)) {
    invited.receiveMessage3(state, body, frame, world);
  }
}

function receiveMessage4(state: AgentState, body: Uint8Array, world: World): void {
  joining.receiveMessage4(state, body, world);
  if (state.joining === null) refuseCalls(state);
}

function receiveRecord(state: AgentState, record: Uint8Array, world: World): void {
  const messages = openRecordOfManager(state, record, world);
  touchIdle(state, world);
  let bytes = record.length; // charged to the first message that counts
  for (const message of messages) {
    receiveMessage(state, message, messages, bytes, world);
    bytes = 0;
  }
  sendCalls(state, world);
  if (state.channel !== null && recordContextState(state.channel.channel.records) !== 'usable')
    renewChannel(state, world);
}

/** 2^20 records or 24 h: the channel goes on under new keys, without public-key work. */
function renewChannel(state: AgentState, world: World): void {
  if (state.channel === null) return;
  log(state, 'info', 'channel.renewed');
  dropChannel(state);
  joining.join(state, world);
}

function openRecordOfManager(state: AgentState, record: Uint8Array, world: World): readonly ChannelMessage[] {
  try {
    const first = invited.receiveFirstRecord(state, record, world);
    if (first !== null) return first;
  } catch (error) {
    if (!(error instanceof ProtocolError) || error.code !== 'badMac') throw error;
  }
  if (state.channel === null) throw new ProtocolError('unexpected', 'a record without a channel');
  const messages = openMessages(world.crypto, state.channel.channel, record);
  state.promoted = true; // the manager speaks to us as our device
  return messages;
}

function receiveMessage(
  state: AgentState,
  message: ChannelMessage,
  all: readonly ChannelMessage[],
  bytes: number,
  world: World,
): void {
  log(state, 'debug', 'message.received', { kind: message.kind });
  switch (message.kind) {
    case 'Permit':
      return;
    case 'Registered':
      return receiveRegistered(state, message);
    case 'Done':
      if (!receiveDeleted(state, message.requestId)) userDone(state, message.requestId);
      return;
    case 'Denied':
      if (registrationDenied(state, message, world) || userDenied(state, message, world)) return;
      return receiveDenied(state, message, bytes);
    case 'Ask':
      return receiveAsk(state, message, grantFor(message, all), bytes, world);
    case 'Grant':
      if (receiveRenewedGrant(state, message, bytes, world)) return;
      return receiveGrant(
        state,
        message,
        bytes,
        all.some((other) => other.kind === 'Ask'),
        world,
      );
    case 'Probe':
      return receiveProbe(state, message, world);
    case 'RemoveUser':
      return userPutOut(state, message, world);
    case 'Renew':
      return receiveRenew(state, message, bytes, world);
    case 'End': {
      const sid = toHex(message.sid);
      const session = state.sessions.get(sid);
      withdrawAsk(state, sid, message.reason);
      forgetRenewal(state, sid);
      receiveEnd(state, message, world);
      return followUser(state, session, message.reason, world);
    }
    case 'EndOk':
      return receiveEndOk(state, message);
    case 'Close':
    case 'CloseOk':
      return receiveCloseMessage(state, message, world);
    case 'Register':
    case 'Delete':
    case 'Connect':
    case 'Answer':
    case 'Approve':
    case 'Withdraw':
    case 'Up':
    case 'Renewal':
    case 'Holding':
    case 'Present':
    case 'Cancel':
    case 'RegisterUser':
      throw new ProtocolError('unexpected', `${message.kind} is for the manager to receive`);
    default:
      message satisfies never;
  }
}

const grantFor = (ask: MessageOf<'Ask'>, all: readonly ChannelMessage[]): MessageOf<'Grant'> | null =>
  all.find((other): other is MessageOf<'Grant'> => other.kind === 'Grant' && equal(other.sid, ask.sid)) ?? null;

// ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function deadline(state: AgentState, key: string, world: World): void {
  const colon = key.indexOf(':');
  const kind = colon < 0 ? key : key.slice(0, colon);
  const rest = key.slice(colon + 1);
  switch (kind) {
    case 'join':
      return joining.join(state, world);
    case 'exchange':
      return joining.exchangeTimedOut(state, world);
    case 'hint':
      return joining.receiveHint(state, world);
    case 'repeat':
      return joining.repeatDue(state, world);
    case 'worn':
      return renewChannel(state, world);
    case 'idle':
      return idleOver(state, world);
    case 'close':
      return closeTimedOut(state);
    case 'reach':
      return managerOutOfReach(state, rest);
    case 'call':
      return callTimedOut(state, rest, world);
    case 'ask':
      return refuseAsk(state, rest, 'timeout', world);
    case 'grant':
      return forgetAsk(state, rest);
    case 'early': {
      const asked = state.asked.get(rest);
      if (asked !== undefined) asked.early.length = 0;
      return;
    }
    case 'certificate':
      return showCertificate(state, lookAtCertificate(state, world), world);
    case 'ride':
      return rideOverdue(state, world);
    case 'register':
      return registerOverdue(state, world);
    case 'user':
      return userOverdue(state, rest, world);
    case 'renewal':
      return grantOverdue(state, rest, world);
    case 'earlyRenewal':
      return forgetEarly(state, rest);
    case 'hello':
      return helloDue(state, rest, world);
    case 'end':
    case 'life':
      return timeIsUp(state, rest, kind, world);
    case 'unconfirmed':
      return endOverdue(state, rest, world);
    case 'old':
      return dropOldKeys(state, rest, state.sessions.get(rest));
    default:
      throw new RangeError(`no such deadline: ${key}`);
  }
}

/** The channel that is open stays so until the login is through. */
function showCertificate(state: AgentState, isDue: boolean, world: World): void {
  if (isDue) joining.startFullLogin(state, [], world);
}

/** Erases every key that this process holds. */
export function wipeAgent(state: AgentState): void {
  dropChannel(state);
  for (const [sid, session] of state.sessions) {
    wipeContext(session.records);
    dropOldKeys(state, sid, session);
  }
  state.secret?.secret.fill(0);
  state.consentKey.fill(0);
}
