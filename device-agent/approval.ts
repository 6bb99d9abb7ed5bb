/**
 * The callee's decision on an Ask (P14, patent 2118): by its mode, by its own policy, of which the first rule that matches
 * counts, and by what a person answered before.
 */
import { matchesGlob } from '../protocol/id-pattern.ts';
import type { Reason } from '../protocol/message-values.ts';
import { isShown, type LocalClock, type WindowBounds } from '../protocol/time-window.ts';
import type { DeviceId } from '../protocol/units.ts';

export type Decision = 'allow' | 'refuse' | 'ask';

/** A time of day on some days of the week, by this device's clock. */
export type Hours = Omit<WindowBounds, 'timeZone'>;

/** What this device's clock shows; null: it is known to be wrong. */
export type Shown = ReturnType<LocalClock> | null;

/** Everything given must hold. `*` stands for any run of characters; a value that is not there fits no pattern. */
export interface ApprovalRule {
  /** A caller's id. */
  readonly from?: string | undefined;
  readonly class?: string | undefined;
  readonly group?: string | undefined;
  /** At the caller. */
  readonly user?: string | undefined;
  readonly purpose?: string | undefined;
  /** The name that was asked for: `user:anna` for a user at this device. */
  readonly callee?: string | undefined;
  readonly hours?: Hours | undefined;
  readonly decision: Decision;
}

/** A program that is asked as well. */
export interface HookSettings {
  /** An absolute path; run without a shell. */
  readonly command: string;
  readonly args: readonly string[];
  readonly timeoutSeconds: number;
  readonly atOnce: number;
}

export interface ApprovalPolicy {
  readonly rules: readonly ApprovalRule[];
  readonly otherwise: Decision;
  /** How long a person is waited for, in seconds. */
  readonly askTimeoutSeconds: number;
  /** Refuses everybody with the reason `busy`, until another mode is set. */
  readonly busy: boolean;
  /** When nobody is asked. */
  readonly doNotDisturb?: readonly Hours[];
  readonly hook?: HookSettings | undefined;
}

/** `busy` refuses everybody; `do-not-disturb` whoever would be asked about. */
export const MODES = ['normal', 'busy', 'do-not-disturb'] as const;
export type Mode = (typeof MODES)[number];

/** Who asks, as the manager tells it. */
export interface Caller {
  readonly from: DeviceId;
  readonly class: string | null;
  readonly groups: readonly string[];
  readonly user: string | null;
  readonly purpose: string | null;
  /** The name that was asked for. */
  readonly callee: string;
}

/** On what a decision was made; `rule` counts from 1. */
export type Ground =
  | { readonly by: 'rule'; readonly rule: number }
  | { readonly by: 'otherwise' | 'remembered' | 'mode' | 'hours' };

export type Approval =
  | { readonly decision: 'allow' | 'ask'; readonly ground: Ground }
  | { readonly decision: 'refuse'; readonly reason: Reason; readonly ground: Ground };

/** @param remembered  what a person answered this caller before, and is still to count */
export function decideAsk(
  policy: ApprovalPolicy,
  caller: Caller,
  at: Shown,
  mode: Mode,
  remembered: 'allow' | 'refuse' | null,
): Approval {
  if (mode === 'busy') return { decision: 'refuse', reason: 'busy', ground: { by: 'mode' } };
  const found = ruleFor(policy, caller, at);
  if (found.decision === 'refuse') return { ...found, decision: 'refuse', reason: 'refused-by-policy' };
  if (found.decision === 'allow') return { ...found, decision: 'allow' };
  if (remembered === 'allow') return { decision: 'allow', ground: { by: 'remembered' } };
  if (remembered === 'refuse') return { decision: 'refuse', reason: 'refused-by-user', ground: { by: 'remembered' } };
  if (mode === 'do-not-disturb') return { decision: 'refuse', reason: 'busy', ground: { by: 'mode' } };
  if (policy.doNotDisturb?.some((hours) => at === null || isShown(hours, at)))
    return { decision: 'refuse', reason: 'busy', ground: { by: 'hours' } };
  return { ...found, decision: 'ask' };
}

/** What the policy alone says. */
export function ruleFor(
  policy: ApprovalPolicy,
  caller: Caller,
  at: Shown,
): { readonly decision: Decision; readonly ground: Ground } {
  const index = policy.rules.findIndex((rule) => isFor(rule, caller) && isNow(rule, at));
  const rule = policy.rules[index];
  if (rule === undefined) return { decision: policy.otherwise, ground: { by: 'otherwise' } };
  return { decision: rule.decision, ground: { by: 'rule', rule: index + 1 } };
}

function isFor(rule: ApprovalRule, { from, class: kind, groups, user, purpose, callee }: Caller): boolean {
  const fits = (pattern: string | undefined, value: string | null): boolean =>
    pattern === undefined || (value !== null && matchesGlob(pattern, value));
  const { group } = rule;
  return (
    fits(rule.from, from) &&
    fits(rule.class, kind) &&
    (group === undefined || groups.some((one) => matchesGlob(group, one))) &&
    fits(rule.user, user) &&
    fits(rule.purpose, purpose) &&
    fits(rule.callee, callee)
  );
}

/** Under a clock that is known to be wrong nothing is allowed by the hour, and whatever the hour forbids is forbidden. */
function isNow({ hours, decision }: ApprovalRule, at: Shown): boolean {
  if (hours === undefined) return true;
  return at === null ? decision !== 'allow' : isShown(hours, at);
}
