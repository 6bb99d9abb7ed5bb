/**
 * The caller's side of a connect, and the callee's, up to the installed grant (patent 2102, 2116–2126, 2136–2142).
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
import { decideAsk } from './approval.ts';
import { forgetAsk, holdEarly } from './asks.ts';
import { writeConsent } from './consent.ts';
import { noCost } from './cost.ts';
import { agreementOf, ownIdentity, peerIdentity, refused, unacceptable } from './grant-check.ts';
import { join } from './joining.ts';
import { chargeReceived, log, sendOnChannel, sendWhenOpen, tell } from './outbox.ts';
import { installSession, noteOver, receiveRecordFrom } from './sessions.ts';
import { useStandingNonce } from './standing.ts';
import type { AgentState, Asked, Call } from './state.ts';
import { awayFault, userFault } from './users.ts';

export interface CallWish {
  readonly callee: string;
  readonly lifetimeSeconds: number | null;
  readonly allowUnencrypted: boolean;
  /** Size of the messages to come: costs of suites are compared for it. */
  readonly messageBytes?: number | undefined;
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
  const { callee, lifetimeSeconds, allowUnencrypted, messageBytes, waitSeconds, device } = wish;
  const call: Call = {
    callee,
    nonceA,
    lifetimeSeconds,
    allowUnencrypted,
    messageBytes,
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
    const { nonceA, callee, lifetimeSeconds, messageBytes, device } = call;
    const lifetime = lifetimeSeconds ?? undefined;
    const allowUnencrypted = call.allowUnencrypted ? true : undefined;
    const terms = { lifetime: lifetimeSeconds ?? LONGEST_LIFETIME, allowUnencrypted: call.allowUnencrypted };
    const consent = writeConsent(state.consentKey, { role: 'caller', name: callee, call: nonceA }, terms, world);
    const wishes = { lifetime, allowUnencrypted, messageBytes, wait: waitLeft(call, world), device };
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

export function callTimedOut(state: AgentState, key: string): void {
  callFailed(state, key, 'timeout', 'no decision in time: the callee still thinks, or the manager is away');
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

// ── Callee ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** [patent 2116–2120] @param granted the grant of a standing approval that came with the ask */
export function receiveAsk(
  state: AgentState,
  ask: MessageOf<'Ask'>,
  granted: MessageOf<'Grant'> | null,
  bytes: number,
  world: World,
): void {
  const sid = toHex(ask.sid);
  const before = state.asked.get(sid);
  // asked again on a new channel: the answer was lost, and the same one goes out
  if (before !== undefined && before.nonceB !== null) return answerAsk(state, before, null, world);
  if (before !== undefined || state.sessions.has(sid)) return;
  const cost = noCost();
  chargeReceived(state, cost, bytes);
  const asked: Asked = { ask: detached(ask), cost, nonceB: null, early: [] };
  if (ask.from === state.id) return answerAsk(state, asked, 'self', world);
  const refusal = unacceptable(state, ask) ?? awayFault(state, ask.name);
  if (refusal !== null) return answerAsk(state, asked, refusal, world);
  const { approval, maxSessions } = state.settings;
  const full = state.sessions.size + state.asked.size >= maxSessions;
  if (approval.busy || full) return answerAsk(state, asked, 'busy', world);
  if (granted !== null) {
    if (!useStandingNonce(state, ask.from, ask.lifetime, granted.nonceB, world))
      return answerAsk(state, asked, 'withdrawn', world);
    asked.nonceB = granted.nonceB.slice();
    state.asked.set(sid, asked);
    schedule(state.deadlines, `grant:${sid}`, later(world.now, GRANT_TIMEOUT)); // should the grant not do
    return;
  }
  const verdict = decideAsk(approval, ask.from);
  if (verdict.decision === 'refuse') return answerAsk(state, asked, verdict.reason, world);
  state.asked.set(sid, asked);
  if (verdict.decision === 'allow') return approveAsk(state, sid, world);
  schedule(state.deadlines, `ask:${sid}`, later(world.now, seconds(approval.askTimeoutSeconds)));
  tell(state, { news: 'asked', sid, from: ask.from, name: ask.name, suite: ask.suite });
}

export function approveAsk(state: AgentState, sid: string, world: World): void {
  const asked = state.asked.get(sid);
  if (asked === undefined || asked.nonceB !== null) return;
  asked.nonceB = world.crypto.random(NONCE_BYTES);
  cancel(state.deadlines, `ask:${sid}`);
  schedule(state.deadlines, `grant:${sid}`, later(world.now, GRANT_TIMEOUT));
  answerAsk(state, asked, null, world);
}

const GRANT_TIMEOUT = seconds(60);

export function refuseAsk(state: AgentState, sid: string, reason: Reason, world: World): void {
  const asked = state.asked.get(sid);
  if (asked === undefined || asked.nonceB !== null) return;
  forgetAsk(state, sid);
  answerAsk(state, asked, reason, world);
}

function answerAsk(state: AgentState, asked: Asked, refusal: Reason | null, world: World): void {
  const { ask, cost, nonceB } = asked;
  state.charged = cost;
  log(state, 'info', refusal === null ? 'ask.approved' : 'ask.refused', {
    from: ask.from,
    sid: toHex(ask.sid),
    reason: refusal,
  });
  const decision =
    nonceB === null
      ? { reason: refusal ?? ('refused-by-policy' as const) }
      : { nonceB, consent: consentTo(state, ask, world) };
  sendWhenOpen(state, { kind: 'Answer', sid: ask.sid, ...decision }, cost, world);
  if ('reason' in decision)
    tell(state, { news: 'askRefused', sid: toHex(ask.sid), from: ask.from, reason: decision.reason, cost });
}

function consentTo(state: AgentState, { from, sid, lifetime }: MessageOf<'Ask'>, world: World): Uint8Array {
  return writeConsent(state.consentKey, { role: 'callee', from, sid }, { lifetime, allowUnencrypted: true }, world);
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

const detached = (ask: MessageOf<'Ask'>): MessageOf<'Ask'> => ({
  ...ask,
  sid: ask.sid.slice(),
  nonceA: ask.nonceA.slice(),
});
