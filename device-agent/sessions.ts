/**
 * Sessions with peers: opened by the first record of the other side, data both ways, every way of ending
 * (patent 2142–2166, 0133–0136).
 */
import { toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { Reason } from '../protocol/message-values.ts';
import { type MessageOf, type SessionMessage, sessionMessages } from '../protocol/messages.ts';
import {
  maxPlaintextBytes,
  openRecord,
  type RecordContext,
  recordContextState,
  sealRecord,
  wipeContext,
} from '../protocol/record.ts';
import { readRecordHead } from '../protocol/record-head.ts';
import type { Agreement } from '../protocol/session-key.ts';
import { type DeviceId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { Cost } from './cost.ts';
import type { ClosedBy } from './effects.ts';
import { dropOldKeys, keysToKeep, overlapEnds, sendingRecords } from './handover.ts';
import { log, publish, ride, sendOnChannel, sendWhenOpen, tell } from './outbox.ts';
import type { AgentState, Call, Session } from './state.ts';

/** The caller's first record is repeated with a new partial IV after these times; then the session is given up. */
const HELLO_AFTER_MS = [500, 1000, 2000, 4000];
const END_TIMEOUT = seconds(6);
/** The End after a Bye rides on another record for so long at most. */
const BYE_HEARD_WITHIN = seconds(40);
/** How long the first record of the caller is waited for. */
const PEER_TIMEOUT = seconds(15);
/** A peer of a renewed session may be restarting once more: it is waited for so long. */
const RENEWED_PEER_TIMEOUT = seconds(60);

export interface Installation {
  readonly grant: MessageOf<'Grant'>;
  readonly agreement: Agreement;
  readonly records: RecordContext;
  readonly cost: Cost;
  /** The caller's key of its call. */
  readonly call: string | null;
  /** What the caller wished, at the caller. */
  readonly wishes?: Call;
  /** Both hold the keys of the epoch before: these go on serving until the new ones are seen at work. */
  readonly handover: boolean;
}

/** [patent 2142] The manager gives out a route again only when its session is over: one that still stands here is stale. */
export function installSession(state: AgentState, installation: Installation, world: World): void {
  const { grant, agreement } = installation;
  const sid = toHex(agreement.sid);
  for (const [older, { peer, route }] of [...state.sessions]) {
    if (peer === grant.peer && route === (grant.route ?? null)) closed(state, older, 'peer-gone', 'manager');
  }
  begin(state, sid, sessionOf(installation, world), world);
}

/** The same session under new keys; the old ones are erased, and its life ends no later. */
export function renewSession(state: AgentState, installation: Installation, world: World): void {
  const sid = toHex(installation.agreement.sid);
  const before = state.sessions.get(sid);
  if (before === undefined) return installSession(state, installation, world);
  const { data, call, wishes, until } = before;
  const renewed = sessionOf({ ...installation, call: call ?? installation.call }, world);
  const kept = keysToKeep(before, renewed.epoch, installation.handover);
  cancel(state.deadlines, `old:${sid}`);
  begin(state, sid, { ...renewed, wishes, before: kept, data, until: Millis(Math.min(until, renewed.until)) }, world);
}

function sessionOf({ grant, agreement, records, cost, call, wishes }: Installation, world: World): Session {
  return {
    sid: agreement.sid,
    role: grant.role,
    peer: grant.peer,
    name: agreement.name,
    call,
    wishes: wishes ?? null,
    user: agreement.user === null ? null : toHex(agreement.user),
    suite: agreement.suite,
    keyMode: agreement.keyMode,
    epoch: agreement.epoch,
    route: grant.route ?? null,
    records,
    before: null,
    until: later(world.now, seconds(grant.lifetime)),
    addresses: grant.addresses,
    cost,
    data: { sent: 0, received: 0, sentBytes: 0, receivedBytes: 0 },
    state: { name: 'granted', hellosSent: 0 },
    opened: false,
  };
}

function begin(state: AgentState, sid: string, session: Session, world: World): void {
  state.sessions.set(sid, session);
  schedule(state.deadlines, `life:${sid}`, session.until);
  const { peer, role, epoch } = session;
  log(state, 'info', 'session.granted', { sid, peer, role, epoch });
  if (role === 'caller') sayHello(state, sid, session, world);
  else schedule(state.deadlines, `hello:${sid}`, later(world.now, epoch === 0 ? PEER_TIMEOUT : RENEWED_PEER_TIMEOUT));
}

function sayHello(state: AgentState, sid: string, session: Session, world: World): void {
  if (session.state.name !== 'granted') return;
  const { hellosSent } = session.state;
  sendControl(state, session, { kind: 'Hello' }, world);
  session.state = { name: 'granted', hellosSent: hellosSent + 1 };
  const next = HELLO_AFTER_MS[hellosSent] ?? HELLO_AFTER_MS.at(-1)!;
  schedule(state.deadlines, `hello:${sid}`, later(world.now, Millis(next)));
}

const hellosOf = ({ epoch }: Session): number =>
  epoch === 0 ? HELLO_AFTER_MS.length : RENEWED_PEER_TIMEOUT / HELLO_AFTER_MS.at(-1)!;

/** The peer has not spoken in time. */
export function helloDue(state: AgentState, sid: string, world: World): void {
  const session = state.sessions.get(sid);
  if (session?.state.name !== 'granted') return;
  const more = session.role === 'caller' && session.state.hellosSent < hellosOf(session);
  if (more) return sayHello(state, sid, session, world);
  endSession(state, sid, 'timeout', world);
}

function sendControl(
  state: AgentState,
  session: Session,
  message: SessionMessage,
  world: World,
  records: RecordContext = session.records,
): void {
  const record = sealRecord(world.crypto, records, 'control', sessionMessages.encode(message));
  publish(state, state.settings.topics.peer(session.peer, state.id), record, whileOpening(session));
  log(state, 'debug', 'record.sent', { to: session.peer, kind: message.kind, bytes: record.length });
}

/** Only what opens the session is its cost. */
const whileOpening = (session: Session): Cost | null => (session.opened ? null : session.cost);

// ── Data ────────────────────────────────────────────────────────────────────────────────────────────────────────────

export function findSession(state: AgentState, sidOrPeer: string): readonly [string, Session] | null {
  const bySid = state.sessions.get(sidOrPeer);
  if (bySid !== undefined) return [sidOrPeer, bySid];
  let newest: readonly [string, Session] | null = null;
  for (const [sid, session] of state.sessions)
    if (session.peer === sidOrPeer || session.name === sidOrPeer) newest = [sid, session];
  return newest;
}

export type SendFault = 'no-session' | 'not-open' | 'too-large' | 'no-link';

/** [patent 2144] @returns why it was not sent, or null */
export function sendData(state: AgentState, sid: string, payload: Uint8Array, world: World): SendFault | null {
  const session = state.sessions.get(sid);
  if (session === undefined) return 'no-session';
  const records = sendingRecords(session);
  if (records === null) return 'not-open';
  if (payload.length > maxPlaintextBytes(records.algorithm)) return 'too-large';
  // on a link that is new the broker takes nothing for peers before the device is known there
  if (state.link === null || (!state.promoted && state.channel === null)) return 'no-link';
  const record = sealRecord(world.crypto, records, 'data', payload);
  publish(state, state.settings.topics.peer(session.peer, state.id), record, null);
  log(state, 'debug', 'record.sent', { to: session.peer, kind: 'data', bytes: record.length });
  session.data.sent++;
  session.data.sentBytes += payload.length;
  endIfWorn(state, sid, records, world);
  return null;
}

/** 2^20 records under one key are enough (design §5.3): the caller asks for a new session. */
function endIfWorn(state: AgentState, sid: string, records: RecordContext, world: World): void {
  if (recordContextState(records) !== 'usable') endSession(state, sid, 'expired', world);
}

/** @returns false when no session is for it */
export function receiveRecordFrom(state: AgentState, from: DeviceId, record: Uint8Array, world: World): boolean {
  const head = readRecordHead(record);
  for (const [sid, session] of state.sessions) {
    if (session.peer !== from || session.route !== head.route) continue;
    if ((session.epoch & 1) === head.epochBit) receiveRecord(state, sid, session, record, world);
    else if (session.before?.epochBit === head.epochBit)
      receiveOldRecord(state, sid, session, session.before.records, record, world);
    else continue;
    return true;
  }
  return false;
}

function receiveRecord(state: AgentState, sid: string, session: Session, record: Uint8Array, world: World): void {
  const { type, plaintext } = openRecord(world.crypto, session.records, record);
  const opening = whileOpening(session);
  if (opening !== null) {
    state.charged = opening;
    opening.received++;
    opening.bytes += record.length;
  }
  const message = type === 'control' ? sessionMessages.decode(plaintext) : null;
  if (message?.kind === 'Bye')
    return closed(state, sid, message.reason, session.role === 'caller' ? 'callee' : 'caller');
  if (session.state.name === 'granted') cameOpen(state, sid, session, world);
  // the callee answers every Hello of the caller; the caller never answers one, so it ends
  if (message?.kind === 'Hello' && session.role === 'callee') sendControl(state, session, { kind: 'Hello' }, world);
  session.opened = true;
  if (message === null) heard(state, sid, session, plaintext);
  endIfWorn(state, sid, session.records, world);
}

/** It was on its way when the session moved to other keys; a Hello under the old ones says nothing any more. */
function receiveOldRecord(
  state: AgentState,
  sid: string,
  session: Session,
  records: RecordContext,
  record: Uint8Array,
  world: World,
): void {
  const { type, plaintext } = openRecord(world.crypto, records, record);
  if (type !== 'control') return heard(state, sid, session, plaintext);
  const message = sessionMessages.decode(plaintext);
  if (message.kind === 'Bye') closed(state, sid, message.reason, session.role === 'caller' ? 'callee' : 'caller');
}

function heard(state: AgentState, sid: string, session: Session, plaintext: Uint8Array): void {
  session.data.received++;
  session.data.receivedBytes += plaintext.length;
  tell(state, { news: 'received', sid, from: session.peer, payload: plaintext.slice() });
}

function cameOpen(state: AgentState, sid: string, session: Session, world: World): void {
  session.state = { name: 'open' };
  overlapEnds(state, sid, session, world);
  cancel(state.deadlines, `hello:${sid}`);
  state.riding.push({ kind: 'Up', sids: [session.sid] });
  const { peer, role, epoch, call } = session;
  log(state, 'info', 'session.open', { sid, peer, role, epoch });
  tell(state, { news: 'sessionOpened', sid, call, peer, role, epoch });
  const follows = session.wishes?.follows;
  if (follows !== undefined && epoch === 0) tell(state, { news: 'sessionMoved', from: follows.sid, to: sid });
}

/** What has not been said yet of a session that is over need not be said. */
function leaveOutOfUp(state: AgentState, sid: Uint8Array): void {
  for (const [at, message] of state.riding.entries()) {
    if (message.kind !== 'Up' || !message.sids.includes(sid)) continue;
    const sids = message.sids.filter((other) => other !== sid);
    state.riding.splice(at, 1, ...(sids.length > 0 ? [{ ...message, sids }] : []));
    return;
  }
}

// ── Ends ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** [patent 2146] Through the manager; a channel that was closed meanwhile is opened for it by the caller of this. */
export function endSession(state: AgentState, sid: string, reason: Reason, world: World): void {
  const session = state.sessions.get(sid);
  if (session === undefined || session.state.name === 'ending') return;
  session.state = { name: 'ending', reason };
  dropRenewal(state, sid); // a grant that is on its way does not bring it back
  sendWhenOpen(state, { kind: 'End', sid: session.sid, reason }, null, world);
  schedule(state.deadlines, `end:${sid}`, later(world.now, END_TIMEOUT));
}

/** Ends without an answer, which may have been lost with the channel that they were said on. */
export function endsSaidBefore(state: AgentState): MessageOf<'End'>[] {
  const waiting = new Set(state.waiting.flatMap((one) => (one.kind === 'End' ? [toHex(one.sid)] : [])));
  const ending = [...state.sessions.values()].flatMap(({ sid, state: { name, ...rest } }) =>
    name === 'ending' && 'reason' in rest ? [{ sid, reason: rest.reason }] : [],
  );
  return [...ending, ...state.unconfirmedEnds.values()]
    .filter(({ sid }) => !waiting.has(toHex(sid)))
    .map(({ sid, reason }) => ({ kind: 'End', sid, reason }));
}

/** Over here, and the manager may not have heard it: the peer and the broker wait for its word. */
function awaitEndOk(
  state: AgentState,
  sid: string,
  session: Session,
  reason: Reason,
  first: Millis,
  world: World,
): void {
  if (state.unconfirmedEnds.size >= MAX_UNCONFIRMED) return;
  state.unconfirmedEnds.set(sid, { sid: session.sid, reason, until: session.until, repeats: 0 });
  schedule(state.deadlines, `unconfirmed:${sid}`, later(world.now, first));
}

export function endOverdue(state: AgentState, sid: string, world: World): void {
  const end = state.unconfirmedEnds.get(sid);
  if (end === undefined) return;
  if (world.now >= end.until) return confirmed(state, sid);
  sendOnChannel(state, [{ kind: 'End', sid: end.sid, reason: end.reason }], null, world);
  const wait = Math.min(LONGEST_END_WAIT, END_TIMEOUT * 2 ** ++end.repeats);
  schedule(state.deadlines, `unconfirmed:${sid}`, Millis(Math.min(end.until, world.now + wait)));
}

function confirmed(state: AgentState, sid: string): void {
  state.unconfirmedEnds.delete(sid);
  cancel(state.deadlines, `unconfirmed:${sid}`);
}

const MAX_UNCONFIRMED = 256;
const LONGEST_END_WAIT = seconds(120);

/** [patent 0133] Without the manager, who hears of it with the next record. */
export function sayBye(state: AgentState, sid: string, reason: Reason, world: World): void {
  const session = state.sessions.get(sid);
  if (session === undefined) return;
  sendControl(state, session, { kind: 'Bye', reason }, world, sendingRecords(session) ?? session.records);
  ride(state, [{ kind: 'End', sid: session.sid, reason }], world);
  closed(state, sid, reason, session.role);
  awaitEndOk(state, sid, session, reason, BYE_HEARD_WITHIN, world);
}

/** This process is about to end: the peers hear of it through the manager, who is told at once and not waited for. */
export function endAllSessions(state: AgentState, reason: Reason, world: World): void {
  for (const sid of [...state.sessions.keys()]) {
    endSession(state, sid, reason, world);
    closed(state, sid, reason, state.sessions.get(sid)?.role ?? 'caller');
  }
}

/** Over here at once, whatever the link does; the manager hears of it now or when it can. */
export function endAtOnce(state: AgentState, sid: string, reason: Reason, world: World): void {
  const session = state.sessions.get(sid);
  if (session === undefined) return;
  endSession(state, sid, reason, world);
  closed(state, sid, reason, session.role);
  awaitEndOk(state, sid, session, reason, END_TIMEOUT, world);
}

/** This device is out: its peers were told, or will be, and what it holds opens nothing any more. */
export function dropAllSessions(state: AgentState, reason: Reason): void {
  for (const sid of [...state.sessions.keys()]) closed(state, sid, reason, 'manager');
}

/** Reasons that only a device gives: with them the End is the peer's. */
const REASONS_OF_PEERS: ReadonlySet<Reason> = new Set<Reason>(['done', 'timeout', 'shutdown']);

/** [patent 2152–2154] The manager says that it is over; confirmed whether it was known here or not. */
export function receiveEnd(state: AgentState, message: MessageOf<'End'>, world: World): void {
  const sid = toHex(message.sid);
  confirmed(state, sid);
  const session = state.sessions.get(sid);
  if (session !== undefined) {
    const other = session.role === 'caller' ? 'callee' : 'caller';
    closed(state, sid, message.reason, REASONS_OF_PEERS.has(message.reason) ? other : 'manager');
  }
  sendOnChannel(state, [{ kind: 'EndOk', sid: message.sid.slice() }], null, world);
}

/** [patent 2160] */
export function receiveEndOk(state: AgentState, message: MessageOf<'EndOk'>): void {
  const sid = toHex(message.sid);
  confirmed(state, sid);
  const session = state.sessions.get(sid);
  if (session?.state.name === 'ending') closed(state, sid, session.state.reason, session.role);
}

/** No answer to the End, or the lifetime is over. */
export function timeIsUp(state: AgentState, sid: string, what: 'end' | 'life', world: World): void {
  const session = state.sessions.get(sid);
  if (session === undefined) return;
  if (what === 'end' && session.state.name === 'ending') {
    const { reason } = session.state;
    closed(state, sid, reason, session.role);
    return awaitEndOk(state, sid, session, reason, END_TIMEOUT, world);
  }
  closed(state, sid, 'expired', 'timeout');
}

const MAX_OVER = 1024;

/** A consent is for one session: whoever asks to renew what is over here gets none. */
export function noteOver({ over }: AgentState, key: string): void {
  over.add(key);
  for (const oldest of over) {
    if (over.size <= MAX_OVER) return;
    over.delete(oldest);
  }
}

export function dropRenewal(state: AgentState, sid: string): void {
  state.renewals.delete(sid);
  for (const kind of ['renewal', 'earlyRenewal']) cancel(state.deadlines, `${kind}:${sid}`);
}

function closed(state: AgentState, sid: string, reason: Reason, closedBy: ClosedBy): void {
  const session = state.sessions.get(sid);
  if (session === undefined) return;
  wipeContext(session.records);
  dropOldKeys(state, sid, session);
  state.sessions.delete(sid);
  noteOver(state, sid);
  if (session.call !== null) noteOver(state, session.call);
  leaveOutOfUp(state, session.sid);
  dropRenewal(state, sid);
  for (const kind of ['life', 'hello', 'end']) cancel(state.deadlines, `${kind}:${sid}`);
  log(state, 'info', 'session.closed', { sid, peer: session.peer, reason, closedBy });
  tell(state, { news: 'sessionClosed', sid, call: session.call, peer: session.peer, reason, closedBy });
}
