/**
 * A live session whose keys are gone, here or at the peer, is granted anew under the same sid (design §5.4, B7): the manager
 * asks for a nonce, this device looks whether it holds the session or knows its own consent again, and installs the grant.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { LAST_EPOCH, NONCE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { ChannelMessage, MessageOf } from '../protocol/messages.ts';
import { sessionContext } from '../protocol/session-key.ts';
import { CIPHERS, sameSuite } from '../protocol/suites.ts';
import { type DeviceId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { callerIn, shownHere } from './answering.ts';
import { ruleFor } from './approval.ts';
import { forgetAsk } from './asks.ts';
import { readConsent } from './consent.ts';
import { noCost } from './cost.ts';
import { agreementOf, ownIdentity, peerIdentity, refused, unacceptable } from './grant-check.ts';
import { chargeReceived, log, sendOnChannel, sendWhenOpen } from './outbox.ts';
import { receiveRecordFrom, renewSession } from './sessions.ts';
import type { AgentState, Call, PendingRenewal, Session } from './state.ts';
import { awayFault, userFault } from './users.ts';

const MAX_EARLY_RECORDS = 4;
const EARLY_RECORD_TIME = seconds(2);
const GRANT_IN = seconds(2);
const LONGEST_WAIT = seconds(30);
/** A lifetime is counted from receipt, here and at the manager: they may differ by what a message takes. */
const LIFETIME_SLACK = seconds(120);

export function receiveRenew(state: AgentState, renew: MessageOf<'Renew'>, bytes: number, world: World): void {
  const sid = toHex(renew.sid);
  const session = state.sessions.get(sid);
  const before = state.renewals.get(sid);
  const cost = before?.cost ?? noCost();
  chargeReceived(state, cost, bytes);
  const refusal = refusalOf(state, renew, session, world);
  if (refusal !== null) {
    log(state, 'warn', 'renewal.refused', { sid, peer: renew.peer, reason: refusal });
    forgetRenewal(state, sid);
    return answer(state, { kind: 'Renewal', sid: renew.sid.slice(), epoch: renew.epoch, reason: refusal }, cost, world);
  }
  // asked again: the nonce is drawn and not used up
  const nonce = before?.nonce ?? world.crypto.random(NONCE_BYTES);
  const epoch = Math.max(renew.epoch, session === undefined ? 0 : session.epoch + 1);
  const kept = { ...renew, sid: renew.sid.slice(), call: renew.call?.slice(), epoch };
  const until = later(world.now, seconds(renew.lifetime));
  const pending: PendingRenewal = { renew: kept, nonce, until, cost, early: before?.early ?? [], repeats: 0 };
  state.renewals.set(sid, pending);
  schedule(state.deadlines, `renewal:${sid}`, later(world.now, GRANT_IN));
  log(state, 'info', 'renewal.agreed', { sid, peer: renew.peer, epoch });
  answer(state, renewalMessage(pending), cost, world);
}

/** No grant yet: answer or grant may be lost, or the peer is away. The answer is said again, more and more rarely. */
export function grantOverdue(state: AgentState, sid: string, world: World): void {
  const pending = state.renewals.get(sid);
  if (pending === undefined) return;
  if (world.now >= pending.until) return forgetRenewal(state, sid);
  const wait = Math.min(LONGEST_WAIT, GRANT_IN * 2 ** ++pending.repeats);
  schedule(state.deadlines, `renewal:${sid}`, Millis(Math.min(pending.until, world.now + wait)));
  sendOnChannel(state, [renewalMessage(pending)], pending.cost, world);
}

const renewalMessage = ({ renew: { sid, epoch }, nonce }: PendingRenewal): MessageOf<'Renewal'> => ({
  kind: 'Renewal',
  sid,
  epoch,
  nonce,
});

const answer = (state: AgentState, message: MessageOf<'Renewal'>, cost: PendingRenewal['cost'], world: World): void => {
  sendWhenOpen(state, message, cost, world);
};

/** @returns null when this device holds the session, or consented to it and still may */
function refusalOf(
  state: AgentState,
  renew: MessageOf<'Renew'>,
  session: Session | undefined,
  world: World,
): Reason | null {
  const { role, peer, name, suite, lifetime } = renew;
  if (peer === state.id) return 'self';
  const away = role === 'callee' ? awayFault(state, name) : null;
  if (away !== null) return away;
  if (unacceptable(state, renew) !== null) return 'no-common-suite';
  if (session !== undefined) {
    const { state: phase, until, epoch } = session;
    // it may move to another of its own suites, and never to one that does not encrypt
    const asSecret = CIPHERS[suite.cipher].encrypts || !CIPHERS[session.suite.cipher].encrypts;
    const sameTerms = session.role === role && session.peer === peer && session.name === name && asSecret;
    if (!sameTerms || later(world.now, seconds(lifetime)) > later(until, LIFETIME_SLACK)) return 'refused-by-policy';
    if (epoch >= LAST_EPOCH) return 'expired';
    return phase.name === 'ending' ? phase.reason : null;
  }
  const { sid, call } = renew;
  if (state.over.has(toHex(sid)) || (call !== undefined && state.over.has(toHex(call)))) return 'peer-gone';
  if (!state.renewals.has(toHex(sid)) && state.sessions.size + state.renewals.size >= state.settings.maxSessions)
    return 'busy';
  return role === 'caller' ? refusalAsCaller(state, renew, world) : refusalAsCallee(state, renew, world);
}

/** A call that still waits here speaks for itself; that of a process before this one needs its consent. */
function refusalAsCaller(state: AgentState, renew: MessageOf<'Renew'>, world: World): Reason | null {
  const { name, lifetime, suite, consent, call } = renew;
  if (call === undefined || consent === undefined) return 'restarted';
  const key = toHex(call);
  if ([...state.sessions.values()].some((session) => session.call === key)) return 'restarted'; // it has its session
  const waiting = callOf(state, renew);
  const given =
    waiting === null
      ? readConsent(state.consentKey, { role: 'caller', name, call }, consent, world)
      : { lifetime: waiting.lifetimeSeconds ?? lifetime, allowUnencrypted: waiting.allowUnencrypted };
  if (given === null || lifetime > given.lifetime) return 'restarted';
  return given.allowUnencrypted || CIPHERS[suite.cipher].encrypts ? null : 'no-common-suite';
}

/** @returns the call of this process that the session answers, or null */
function callOf(state: AgentState, { role, call, name }: MessageOf<'Renew'>): Call | null {
  const waiting = role === 'caller' && call !== undefined ? state.calls.get(toHex(call)) : undefined;
  return waiting?.callee === name ? waiting : null;
}

/** What the policy refuses today ends; what it, or a standing approval, would allow unasked goes on; else the consent counts. */
function refusalAsCallee(state: AgentState, renew: MessageOf<'Renew'>, world: World): Reason | null {
  const { sid, peer, lifetime, consent } = renew;
  const verdict = ruleFor(state.settings.approval, callerIn({ ...renew, from: peer }), shownHere(state, world));
  if (verdict.decision === 'refuse') return 'refused-by-policy';
  if (verdict.decision === 'allow' || lifetime <= (state.standing.get(peer)?.lifetimeSeconds ?? 0)) return null;
  const subject = { role: 'callee', from: peer, sid } as const;
  const given = consent === undefined ? null : readConsent(state.consentKey, subject, consent, world);
  return given === null || lifetime > given.lifetime ? 'restarted' : null;
}

export function forgetRenewal(state: AgentState, sid: string): void {
  if (!state.renewals.delete(sid)) return;
  for (const kind of ['renewal', 'earlyRenewal']) cancel(state.deadlines, `${kind}:${sid}`);
}

// ── The grant ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** Installs only what was agreed to in this process, once. [key reinstallation] @returns false when it answers no Renew */
export function receiveRenewedGrant(
  state: AgentState,
  grant: MessageOf<'Grant'>,
  bytes: number,
  world: World,
): boolean {
  const sid = toHex(grant.sid);
  const pending = state.renewals.get(sid);
  if (pending === undefined) return false;
  try {
    chargeReceived(state, pending.cost, bytes);
    install(state, sid, grant, pending, world);
  } finally {
    grant.secret.fill(0);
  }
  return true;
}

function install(
  state: AgentState,
  sid: string,
  grant: MessageOf<'Grant'>,
  { renew, nonce, cost, early }: PendingRenewal,
  world: World,
): void {
  const { role, name } = renew;
  if (grant.role !== role || !equal(nonce, role === 'caller' ? grant.nonceA : grant.nonceB))
    throw refused('a nonce that is not ours');
  if (grant.peer !== renew.peer) throw refused('another peer than agreed to');
  if (grant.epoch < renew.epoch) throw refused('an epoch that is over');
  if (grant.lifetime > renew.lifetime || !sameSuite(grant.suite, renew.suite) || grant.keyMode !== renew.keyMode)
    throw refused('other terms than agreed to');
  const before = state.sessions.get(sid);
  if (before !== undefined && before.user !== (grant.userLeaf === undefined ? null : toHex(grant.userLeaf)))
    throw refused('another user than before');
  const fault = userFault(state, role, name, grant.userLeaf);
  if (fault !== null) throw refused(fault);
  const me = ownIdentity(state, grant, world);
  const peer = peerIdentity(grant);
  const [caller, callee] = role === 'caller' ? [me, peer] : [peer, me];
  const agreement = { ...agreementOf(grant), caller, callee, name, nonceA: grant.nonceA.slice() };
  const records = sessionContext(world.crypto, agreement, grant.secret, role, grant.route ?? null);
  forgetRenewal(state, sid); // the nonce is used up
  forgetAsk(state, sid); // its first grant never came
  const handover = renew.handover === true;
  renewSession(state, { grant, agreement, records, cost, call: answered(state, renew), handover }, world);
  for (const record of early) takeHeld(state, grant.peer, record, world);
}

/** @returns the key of the call that waits no more, or null */
function answered(state: AgentState, renew: MessageOf<'Renew'>): string | null {
  if (callOf(state, renew) === null || renew.call === undefined) return null;
  const key = toHex(renew.call);
  state.calls.delete(key);
  for (const kind of ['call', 'reach']) cancel(state.deadlines, `${kind}:${key}`);
  return key;
}

function takeHeld(state: AgentState, from: DeviceId, record: Uint8Array, world: World): void {
  try {
    if (!receiveRecordFrom(state, from, record, world)) holdBeforeRenewal(state, from, record, world);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log(state, 'warn', 'record.refused', { from, code: error.code, detail: error.message });
  }
}

/** A record of a peer whose grant came sooner than ours: held, 4 records, 2 s. */
export function holdBeforeRenewal(state: AgentState, from: string, record: Uint8Array, world: World): boolean {
  for (const [sid, { renew, early }] of state.renewals) {
    if (renew.peer !== from || early.length >= MAX_EARLY_RECORDS) continue;
    early.push(record.slice());
    if (early.length === 1) schedule(state.deadlines, `earlyRenewal:${sid}`, later(world.now, EARLY_RECORD_TIME));
    return true;
  }
  return false;
}

export function forgetEarly(state: AgentState, sid: string): void {
  const pending = state.renewals.get(sid);
  if (pending !== undefined) pending.early.length = 0;
}

// ── A new channel ───────────────────────────────────────────────────────────────────────────────────────────────────

const SIDS_PER_HOLDING = 64;

/**
 * What the manager hears first of the sessions: all that stand here, so that it can end or renew what does not, and the
 * answers whose grant may have been lost with the channel that they were said on. It takes the place of what was to ride.
 */
export function sessionsSaid(state: AgentState): ChannelMessage[] {
  const others = state.riding.filter(({ kind }) => kind !== 'Up' && kind !== 'Holding' && kind !== 'Renewal');
  state.riding.splice(0, state.riding.length, ...others);
  const unsaid = new Set(state.waiting.flatMap((one) => (one.kind === 'Renewal' ? [toHex(one.sid)] : [])));
  const said = [...state.renewals].flatMap(([sid, pending]) => (unsaid.has(sid) ? [] : [renewalMessage(pending)]));
  return [...holding(state), ...said];
}

function holding(state: AgentState): MessageOf<'Holding'>[] {
  const open: Uint8Array[] = [];
  const waiting: Uint8Array[] = [];
  for (const session of state.sessions.values()) (session.state.name === 'open' ? open : waiting).push(session.sid);
  for (const [sid, { renew }] of state.renewals) if (!state.sessions.has(sid)) waiting.push(renew.sid);
  const messages: MessageOf<'Holding'>[] = [];
  do {
    const [some, others] = [open.splice(0, SIDS_PER_HOLDING), waiting.splice(0, SIDS_PER_HOLDING)];
    const more = open.length + waiting.length > 0 ? true : undefined;
    messages.push({ kind: 'Holding', open: some, waiting: others, more });
  } while (open.length + waiting.length > 0);
  return messages;
}
