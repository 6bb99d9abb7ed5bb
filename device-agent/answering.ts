/**
 * The callee's side of a connect up to its answer: who decides on an Ask, and what is said (patent 2116–2126).
 */
import { toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { NONCE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { localClock } from '../protocol/time-window.ts';
import { later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { type Caller, decideAsk, type Shown } from './approval.ts';
import { modeNow } from './approval-keeping.ts';
import { countQuestion, forgetAsk } from './asks.ts';
import { writeConsent } from './consent.ts';
import { noCost } from './cost.ts';
import { isTimeUnknown } from './device-time.ts';
import type { AskDecider } from './effects.ts';
import { unacceptable } from './grant-check.ts';
import { chargeReceived, log, sendWhenOpen, tell } from './outbox.ts';
import { type Memo, recallAnswer, rememberAnswer } from './remembered.ts';
import { useStandingNonce } from './standing.ts';
import type { AgentState, Asked } from './state.ts';
import { awayFault } from './users.ts';

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
  if (before !== undefined && before.nonceB !== null) return answerAsk(state, before, null, 'policy', world);
  if (before !== undefined || state.sessions.has(sid)) return;
  const cost = noCost();
  chargeReceived(state, cost, bytes);
  const asked: Asked = { ask: detached(ask), cost, nonceB: null, early: [] };
  const refuse = (reason: Reason): void => answerAsk(state, asked, reason, 'policy', world);
  if (ask.from === state.id) return refuse('self');
  const refusal = unacceptable(state, ask) ?? awayFault(state, ask.name);
  if (refusal !== null) return refuse(refusal);
  const { approval, maxSessions } = state.settings;
  const mode = modeNow(state, world);
  if (mode === 'busy' || state.sessions.size + state.asked.size >= maxSessions) return refuse('busy');
  if (granted !== null) {
    if (!useStandingNonce(state, ask.from, ask.lifetime, granted.nonceB, world)) return refuse('withdrawn');
    state.asked.set(sid, { ...asked, stands: true, nonceB: granted.nonceB.slice() });
    log(state, 'info', 'ask.stands', { from: ask.from, sid });
    schedule(state.deadlines, `grant:${sid}`, later(world.now, GRANT_TIMEOUT)); // should the grant not do
    return;
  }
  const remembered = recallAnswer(state, ask, world);
  const verdict = decideAsk(approval, callerIn(ask), shownHere(state, world), mode, remembered);
  const by = verdict.ground.by === 'remembered' ? 'remembered' : 'policy';
  if (verdict.decision === 'refuse') return answerAsk(state, asked, verdict.reason, by, world);
  if (verdict.decision === 'ask' && isAskedTooOften(state, ask, world)) return refuse('busy');
  state.asked.set(sid, asked);
  if (verdict.decision === 'allow') return approveAsk(state, sid, world, by);
  schedule(state.deadlines, `ask:${sid}`, later(world.now, seconds(approval.askTimeoutSeconds)));
  const { from, name, suite, class: kind, groups, user, purpose } = ask;
  log(state, 'info', 'ask.waits', { from, sid, name, purpose });
  tell(state, { news: 'asked', sid, from, name, suite, class: kind, groups, user, purpose });
}

function isAskedTooOften(state: AgentState, { from }: MessageOf<'Ask'>, world: World): boolean {
  const { tooMany, first } = countQuestion(state.questions, from, world);
  const remedy = 'it is refused for the rest of the minute; a rule of the approval policy may do so for good';
  if (first) log(state, 'warn', 'ask.too-often', { from, remedy });
  return tooMany;
}

type About = Pick<MessageOf<'Ask'>, 'from' | 'name' | 'class' | 'groups' | 'user' | 'purpose'>;

export const callerIn = ({ from, name, class: kind, groups, user, purpose }: About): Caller => ({
  from,
  class: kind ?? null,
  groups: groups ?? [],
  user: user ?? null,
  purpose: purpose ?? null,
  callee: name,
});

/** What the clock of this device shows. */
export const shownHere = (state: AgentState, world: World): Shown =>
  isTimeUnknown(state, world) ? null : (state.settings.localTime ?? localClock('UTC'))(world.wall);

/** @param memo  the answer counts for later asks of the same as well */
export function approveAsk(
  state: AgentState,
  sid: string,
  world: World,
  by: AskDecider = 'person',
  memo: Memo | null = null,
): void {
  const asked = state.asked.get(sid);
  if (asked === undefined || asked.nonceB !== null) return;
  asked.nonceB = world.crypto.random(NONCE_BYTES);
  cancel(state.deadlines, `ask:${sid}`);
  schedule(state.deadlines, `grant:${sid}`, later(world.now, GRANT_TIMEOUT));
  if (memo !== null) rememberAnswer(state, asked.ask, 'allow', memo, world);
  answerAsk(state, asked, null, by, world);
}

const GRANT_TIMEOUT = seconds(60);

export function refuseAsk(
  state: AgentState,
  sid: string,
  reason: Reason,
  world: World,
  by: AskDecider = 'person',
  memo: Memo | null = null,
): void {
  const asked = state.asked.get(sid);
  if (asked === undefined || asked.nonceB !== null) return;
  forgetAsk(state, sid);
  if (memo !== null) rememberAnswer(state, asked.ask, 'refuse', memo, world);
  answerAsk(state, asked, reason, by, world);
}

/** The manager has ended what was asked for: nobody need answer any more, and no answer counts. */
export function withdrawAsk(state: AgentState, sid: string, reason: Reason): void {
  const asked = state.asked.get(sid);
  if (asked === undefined) return;
  forgetAsk(state, sid);
  const { from } = asked.ask;
  log(state, 'info', 'ask.withdrawn', { from, sid, reason, answered: asked.nonceB !== null });
  tell(state, { news: 'askWithdrawn', sid, from, reason });
}

function answerAsk(state: AgentState, asked: Asked, refusal: Reason | null, by: AskDecider, world: World): void {
  const { ask, cost, nonceB } = asked;
  const { from } = ask;
  const sid = toHex(ask.sid);
  state.charged = cost;
  log(state, 'info', refusal === null ? 'ask.approved' : 'ask.refused', { from, sid, reason: refusal, by });
  const decision =
    nonceB === null
      ? { reason: refusal ?? ('refused-by-policy' as const) }
      : { nonceB, consent: consentTo(state, ask, world) };
  sendWhenOpen(state, { kind: 'Answer', sid: ask.sid, ...decision }, cost, world);
  if ('reason' in decision) tell(state, { news: 'askRefused', sid, from, reason: decision.reason, by, cost });
  else tell(state, { news: 'askApproved', sid, from, by });
}

function consentTo(state: AgentState, { from, sid, lifetime }: MessageOf<'Ask'>, world: World): Uint8Array {
  return writeConsent(state.consentKey, { role: 'callee', from, sid }, { lifetime, allowUnencrypted: true }, world);
}

const detached = (ask: MessageOf<'Ask'>): MessageOf<'Ask'> => ({
  ...ask,
  sid: ask.sid.slice(),
  nonceA: ask.nonceA.slice(),
  leaf: ask.leaf?.slice(),
});
