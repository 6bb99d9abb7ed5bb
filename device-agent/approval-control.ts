/**
 * The agent's commands for whoever approves: what is asked and the answers to it, what is remembered, standing approvals, the
 * mode, and what the policy would say (docs/approval.md).
 */
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import { deviceId } from '../protocol/topics.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { approveAsk, refuseAsk } from './answering.ts';
import { decideAsk, MODES } from './approval.ts';
import { modeNow, setMode } from './approval-keeping.ts';
import { MAX_STANDING } from './approval-memory.ts';
import { questionOf } from './askers.ts';
import { asObject, numberOf, optionalText, textOf } from './control-arguments.ts';
import { forgetAnswers, isMemorable, LONGEST_REMEMBERED, type Memo } from './remembered.ts';
import { giveStanding, withdrawStanding } from './standing.ts';
import type { AgentState, Asked } from './state.ts';

export interface ApprovalParts {
  readonly state: AgentState;
  readonly world: () => World;
  /** Runs in a turn of the agent's loop. */
  readonly wish: (act: () => void) => void;
  /** Where the policy comes from, and what is wrong with a newer one. */
  readonly policySource: () => JsonValue;
}

const LONGEST_MODE = 7 * 86_400;
const LEAST_PREFIX = 4;

export function approvalControl(parts: ApprovalParts): Readonly<Record<string, ControlHandler>> {
  const { state, world, wish, policySource } = parts;
  return {
    'approval.list': async () => ({ mode: showMode(parts), policy: policySource(), asked: showAsked(parts) }),
    'approval.allow': async (args) => answer(parts, args, 'allow'),
    'approval.refuse': async (args) => answer(parts, args, 'refuse'),
    'approval.remembered': async () =>
      [...state.approvals.remembered.values()]
        .filter(({ until }) => until > world().wall)
        .map(({ caller, user, callee, purpose, decision, until }) => ({
          caller,
          decision,
          user: user ?? null,
          callee: callee ?? null,
          purpose: purpose ?? null,
          until: moment(until),
        })),
    'approval.forget': async (args) => {
      const caller = callerOf(args);
      let forgotten = 0;
      wish(() => {
        forgotten = forgetAnswers(state, caller, world());
      });
      if (forgotten === 0) throw new ControlError('not-found', `nothing is remembered of ${caller}`);
      return { caller, forgotten };
    },
    'approval.standing': async () => showStanding(state),
    'approval.standing.add': async (args) => {
      const caller = callerOf(args);
      const lifetime = numberOf(asObject(args).lifetimeSeconds ?? null, 'lifetimeSeconds', 1, 86_400);
      if (caller === state.id) throw new ControlError('usage', 'a device has no sessions with itself');
      let given = false;
      wish(() => {
        given = giveStanding(state, caller, lifetime, world());
      });
      if (!given)
        throw new ControlError('too-many', `${MAX_STANDING} standing approvals are given: withdraw one first`);
      return { caller, lifetimeSeconds: lifetime };
    },
    'approval.standing.withdraw': async (args) => {
      const caller = callerOf(args);
      if (!state.standing.has(caller)) throw new ControlError('not-found', `no standing approval for ${caller}`);
      wish(() => withdrawStanding(state, caller, world()));
      return { caller, withdrawn: true };
    },
    'approval.mode': async (args) => {
      const { mode, forSeconds } = asObject(args);
      if (mode === undefined) return showMode(parts);
      const wanted = mode === 'policy' ? null : MODES.find((one) => one === mode);
      if (wanted === undefined) throw new ControlError('usage', `mode: one of ${MODES.join(', ')}, policy`);
      const seconds = forSeconds === undefined ? null : numberOf(forSeconds, 'forSeconds', 1, LONGEST_MODE);
      wish(() => {
        const now = world();
        setMode(state, wanted, seconds === null ? null : EpochSeconds(now.wall + seconds), now);
      });
      return showMode(parts);
    },
    'approval.check': async (args) => check(parts, args),
  };
}

function answer(
  { state, world, wish }: ApprovalParts,
  args: Parameters<ControlHandler>[0],
  decision: 'allow' | 'refuse',
): JsonValue {
  const { sid: given, rememberSeconds, forPurpose } = asObject(args);
  const [sid, { ask }] = waiting(state, textOf(given, 'sid'));
  const memo: Memo | null =
    rememberSeconds === undefined
      ? null
      : {
          seconds: numberOf(rememberSeconds, 'rememberSeconds', 1, LONGEST_REMEMBERED),
          forPurpose: forPurpose === true,
        };
  if (memo !== null && !isMemorable(ask))
    throw new ControlError(
      'not-known',
      'the manager does not say by which certificate it knows the caller: answer once',
    );
  if (forPurpose === true && memo === null)
    throw new ControlError('usage', 'forPurpose: only with an answer that is remembered');
  if (forPurpose === true && ask.purpose === undefined)
    throw new ControlError('usage', 'the caller has said no purpose: leave that out (--for-purpose)');
  wish(() => {
    if (decision === 'allow') approveAsk(state, sid, world(), 'person', memo);
    else refuseAsk(state, sid, 'refused-by-user', world(), 'person', memo);
  });
  return { sid, from: ask.from, decision, remembered: memo?.seconds ?? null };
}

/** @param given  the id of the session to be, or how it begins */
function waiting({ asked }: AgentState, given: string): [string, Asked] {
  const open = [...asked].filter(([, { nonceB }]) => nonceB === null);
  const found = open.filter(([sid]) => sid === given || (given.length >= LEAST_PREFIX && sid.startsWith(given)));
  const [first] = found;
  if (first === undefined) throw new ControlError('not-found', `nothing is asked under ${given}`);
  if (found.length > 1) throw new ControlError('usage', `${given}: ${found.length} sessions begin so: give more of it`);
  return first;
}

function showAsked({ state, world }: ApprovalParts): JsonValue {
  const now = world();
  return [...state.asked.keys()].flatMap((sid) => {
    const question = questionOf(state, sid, now);
    return question === null ? [] : [{ ...question, groups: [...question.groups] }];
  });
}

function showMode({ state, world }: ApprovalParts): JsonValue {
  const now = world();
  const { mode } = state.approvals;
  const isSet = mode !== null && (mode.until === null || now.wall < mode.until);
  return {
    mode: modeNow(state, now),
    by: isSet ? 'person' : 'policy',
    until: isSet && mode.until !== null ? moment(mode.until) : null,
  };
}

function showStanding({ standing, approvals, settings }: AgentState): JsonValue {
  const standingNow = [...standing].map(([caller, { lifetimeSeconds }]) => ({
    caller,
    lifetimeSeconds,
    from: approvals.given.has(caller) ? 'person' : 'configuration',
    withdrawn: false,
  }));
  const withdrawn = settings.standing
    .filter(({ caller }) => approvals.withdrawn.has(caller))
    .map(({ caller, lifetimeSeconds }) => ({ caller, lifetimeSeconds, from: 'configuration', withdrawn: true }));
  return [...standingNow, ...withdrawn];
}

/** What a caller would be told now, or at another time; remembered answers are left out, for they are of one certificate. */
function check({ state, world }: ApprovalParts, args: Parameters<ControlHandler>[0]): JsonValue {
  const { from, class: kind, groups, user, purpose, callee, at } = asObject(args);
  const caller = {
    from: textOf(from, 'from') as DeviceId,
    class: optionalText(kind, 'class'),
    groups: Array.isArray(groups) ? groups.map((one) => textOf(one, 'groups')) : [],
    user: optionalText(user, 'user'),
    purpose: optionalText(purpose, 'purpose'),
    callee: optionalText(callee, 'callee') ?? state.id,
  };
  const now = world();
  const wall = at === undefined ? now.wall : EpochSeconds(numberOf(at, 'at', 0, 0xffff_ffff));
  const shown = state.settings.localTime?.(wall) ?? null;
  const { ground, ...said } = decideAsk(state.settings.approval, caller, shown, modeNow(state, { wall }), null);
  return {
    ...said,
    ground: ground.by,
    rule: ground.by === 'rule' ? ground.rule : null,
    mode: modeNow(state, { wall }),
    standing: state.standing.has(caller.from),
  };
}

function callerOf(args: Parameters<ControlHandler>[0]): DeviceId {
  const text = textOf(asObject(args).caller, 'caller');
  const caller = deviceId(text);
  if (caller === null) throw new ControlError('usage', `caller: ${text} is no device id`);
  return caller;
}

const moment = (wall: number): string => new Date(wall * 1000).toISOString();
