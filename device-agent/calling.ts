/**
 * The caller's side of a connect up to the installed grant, and the callee's from its answer on (patent 2102, 2136–2142).
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { NONCE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { sessionContext } from '../protocol/session-key.ts';
import { CIPHERS, sameSuite } from '../protocol/suites.ts';
import { type DeviceId, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { forgetAsk, holdEarly } from './asks.ts';
import { writeConsent } from './consent.ts';
import { noCost } from './cost.ts';
import { agreementOf, ownIdentity, peerIdentity, refused } from './grant-check.ts';
import { join } from './joining.ts';
import { chargeReceived, log, sendOnChannel, sendWhenOpen, tell } from './outbox.ts';
import { endSession, installSession, noteOver, receiveRecordFrom } from './sessions.ts';
import type { AgentState, Call } from './state.ts';
import { userFault } from './users.ts';

export interface CallWish {
  readonly callee: string;
  readonly lifetimeSeconds: number | null;
  readonly allowUnencrypted: boolean;
  /** Size of the messages to come: costs of suites are compared for it. */
  readonly messageBytes?: number | undefined;
  /** What for: the callee's policy may go by it. */
  readonly purpose?: string | undefined;
  /** So long the manager may wait for a user who is nowhere. */
  readonly waitSeconds?: number | undefined;
  /** Of a user with several devices: this one. */
  readonly device?: DeviceId | undefined;
  readonly timeoutSeconds: number;
}

/** [patent 2102] @returns the call's key: hex of its nonce */
export function startCall(state: AgentState, wish: CallWish, world: World, follows?: Call['follows']): string {
  const nonceA = world.crypto.random(NONCE_BYTES);
  const key = toHex(nonceA);
  const { callee, lifetimeSeconds, allowUnencrypted, messageBytes, purpose, waitSeconds, device } = wish;
  const call: Call = {
    callee,
    nonceA,
    lifetimeSeconds,
    allowUnencrypted,
    messageBytes,
    purpose,
    waitUntil: waitSeconds === undefined ? undefined : later(world.now, seconds(waitSeconds)),
    device,
    follows,
    cost: noCost(),
    sentOn: null,
  };
  state.calls.set(key, call);
  schedule(state.deadlines, `call:${key}`, later(world.now, seconds(wish.timeoutSeconds)));
  sendCalls(state, world);
  if (state.channel === null) {
    schedule(state.deadlines, `reach:${key}`, later(world.now, MANAGER_IN_REACH));
    join(state, world);
  }
  return key;
}

/** A call without a channel waits so long for one: somebody is looking at a silent terminal. */
const MANAGER_IN_REACH = seconds(5);

export function managerOutOfReach(state: AgentState, key: string): void {
  if (state.calls.get(key)?.sentOn !== null) return;
  const why =
    state.link === null
      ? 'no link to the broker: kagimori agent status says why; it is tried again'
      : state.denied === null
        ? 'the manager does not answer: it is tried again'
        : `this device is not let in: ${state.denied}`;
  callFailed(state, key, 'unreachable', why);
}

/** Calls that this channel has not carried yet. */
export function sendCalls(state: AgentState, world: World): void {
  const open = state.channel;
  if (open === null || open.channel.state.name !== 'open') return;
  for (const [key, call] of [...state.calls]) {
    if (call.sentOn === open.channel) continue;
    if (open.channel.authenticateOnly) {
      callFailed(state, key, 'authenticate-only', 'this channel only authenticates: no session can be asked for');
      continue;
    }
    call.sentOn = open.channel;
    state.charged = call.cost;
    const { nonceA, callee, lifetimeSeconds, messageBytes, purpose, device } = call;
    const lifetime = lifetimeSeconds ?? undefined;
    const allowUnencrypted = call.allowUnencrypted ? true : undefined;
    const terms = { lifetime: lifetimeSeconds ?? LONGEST_LIFETIME, allowUnencrypted: call.allowUnencrypted };
    const consent = writeConsent(state.consentKey, { role: 'caller', name: callee, call: nonceA }, terms, world);
    const wishes = { lifetime, allowUnencrypted, messageBytes, purpose, wait: waitLeft(call, world), device };
    sendOnChannel(state, [{ kind: 'Connect', nonceA, callee, consent, ...wishes }], call.cost, world);
  }
}

/** Whole seconds; undefined: nobody is waited for. */
function waitLeft({ waitUntil }: Call, world: World): number | undefined {
  if (waitUntil === undefined || waitUntil <= world.now) return undefined;
  return Math.min(LONGEST_LIFETIME, Math.ceil((waitUntil - world.now) / 1000));
}

/** The manager never gives more (design §5.4); seconds. */
const LONGEST_LIFETIME = 86_400;

/** [patent 2126] */
export function receiveDenied(state: AgentState, message: MessageOf<'Denied'>, bytes: number): void {
  const key = toHex(message.requestId);
  const call = state.calls.get(key);
  if (call === undefined) return;
  chargeReceived(state, call.cost, bytes);
  callFailed(state, key, message.reason, message.detail ?? null);
}

/** The login was denied: nobody need wait for a session that cannot come. A verifier that is away may be back in time. */
export function refuseCalls(state: AgentState): void {
  const { denied } = state;
  if (denied === null || denied === 'verifier-away') return;
  const reason = denied === 'revoked' ? 'revoked' : 'unreachable';
  for (const key of [...state.calls.keys()]) callFailed(state, key, reason, `this device is not let in: ${denied}`);
}

export function callTimedOut(state: AgentState, key: string, world: World): void {
  withdrawConnect(state, key, world);
  callFailed(state, key, 'timeout', 'no decision in time: the callee still thinks, or the manager is away');
}

/** The program that asked has gone: what is not granted yet shall not be, and what is granted and not open yet ends. */
export function cancelCall(state: AgentState, key: string, world: World): void {
  withdrawConnect(state, key, world);
  callFailed(state, key, 'withdrawn', 'whoever asked has gone');
  for (const [sid, session] of state.sessions)
    if (session.call === key && session.state.name === 'granted') endSession(state, sid, 'withdrawn', world);
}

/** The manager is told, if it has heard of the call. */
function withdrawConnect(state: AgentState, key: string, world: World): void {
  const call = state.calls.get(key);
  if (call !== undefined && call.sentOn !== null)
    sendWhenOpen(state, { kind: 'Cancel', nonceA: call.nonceA }, call.cost, world);
}

function callFailed(state: AgentState, key: string, reason: Reason, detail: string | null): void {
  const call = state.calls.get(key);
  if (call === undefined) return;
  state.calls.delete(key);
  noteOver(state, key);
  cancel(state.deadlines, `call:${key}`);
  cancel(state.deadlines, `reach:${key}`);
  log(state, 'info', 'call.failed', { callee: call.callee, reason, detail });
  tell(state, { news: 'callFailed', call: key, callee: call.callee, reason, detail, cost: call.cost });
}

// ── Both: the grant ─────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Installs a grant only if the nonce in it was drawn in this process and is unused; installing uses it up. One for an
 * installed (sid, epoch) is ignored. [key reinstallation]
 */
export function receiveGrant(
  state: AgentState,
  grant: MessageOf<'Grant'>,
  bytes: number,
  rodeWithAsk: boolean,
  world: World,
): void {
  try {
    if (grant.role === 'caller') installAsCaller(state, grant, bytes, world);
    else installAsCallee(state, grant, rodeWithAsk ? 0 : bytes, world);
  } finally {
    grant.secret.fill(0);
  }
}

function installAsCaller(state: AgentState, grant: MessageOf<'Grant'>, bytes: number, world: World): void {
  const key = toHex(grant.nonceA);
  const call = state.calls.get(key);
  if (call === undefined) return ignored(state, grant);
  chargeReceived(state, call.cost, bytes);
  if (call.lifetimeSeconds !== null && grant.lifetime > call.lifetimeSeconds)
    throw refused('a longer lifetime than asked for');
  if (!call.allowUnencrypted && !CIPHERS[grant.suite.cipher].encrypts)
    throw refused('an integrity-only suite that was not asked for');
  if (state.sessions.has(toHex(grant.sid))) throw refused('the sid of a session that stands');
  const fault = userFault(state, 'caller', call.callee, grant.userLeaf);
  if (fault !== null) throw refused(fault);
  const me = ownIdentity(state, grant, world);
  const { callee: name, nonceA, cost } = call;
  const agreement = { ...agreementOf(grant), caller: me, callee: peerIdentity(grant), name, nonceA };
  const records = sessionContext(world.crypto, agreement, grant.secret, 'caller', grant.route ?? null);
  state.calls.delete(key); // the nonce is used up
  cancel(state.deadlines, `call:${key}`);
  installSession(state, { grant, agreement, records, cost, call: key, wishes: call, handover: false }, world);
}

function installAsCallee(state: AgentState, grant: MessageOf<'Grant'>, bytes: number, world: World): void {
  const sid = toHex(grant.sid);
  const asked = state.asked.get(sid);
  if (asked === undefined || asked.nonceB === null) return ignored(state, grant);
  chargeReceived(state, asked.cost, bytes);
  const { ask, nonceB } = asked;
  if (!equal(nonceB, grant.nonceB)) throw refused('a nonce that is not ours');
  if (grant.peer !== ask.from) throw refused('another caller than approved');
  if (ask.leaf !== undefined && !equal(ask.leaf, grant.peerLeaf)) throw refused('another certificate than approved');
  if (grant.lifetime !== ask.lifetime || !sameSuite(grant.suite, ask.suite) || grant.keyMode !== ask.keyMode) {
    throw refused('other terms than approved');
  }
  const fault = userFault(state, 'callee', ask.name, grant.userLeaf);
  if (fault !== null) throw refused(fault);
  const me = ownIdentity(state, grant, world);
  const { name, nonceA } = ask;
  const agreement = { ...agreementOf(grant), caller: peerIdentity(grant), callee: me, name, nonceA, nonceB };
  const records = sessionContext(world.crypto, agreement, grant.secret, 'callee', grant.route ?? null);
  forgetAsk(state, sid); // the nonce is used up
  installSession(state, { grant, agreement, records, cost: asked.cost, call: null, handover: false }, world);
  for (const record of asked.early) takeEarly(state, grant.peer, record, world);
}

/** A bad one must not keep the good ones behind it; one of another session of the pair waits on for its own grant. */
function takeEarly(state: AgentState, from: DeviceId, record: Uint8Array, world: World): void {
  try {
    if (!receiveRecordFrom(state, from, record, world)) holdEarly(state, from, record, world);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log(state, 'warn', 'record.refused', { from, code: error.code, detail: error.message });
  }
}

function ignored(state: AgentState, grant: MessageOf<'Grant'>): void {
  const sid = toHex(grant.sid);
  const installed = state.sessions.get(sid)?.epoch === grant.epoch;
  log(state, installed ? 'debug' : 'warn', 'grant.ignored', { sid, peer: grant.peer, installed });
}
