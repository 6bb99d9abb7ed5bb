/**
 * The approval policy as it is written, and as the agent decides by it.
 */
import { DAY_MINUTES, DAYS, type Day } from '../protocol/time-window.ts';
import type { ApprovalPolicy, ApprovalRule, Decision, HookSettings, Hours } from './approval.ts';

interface WrittenHours {
  /** `22:00-06:00`; the end does not belong to it; absent: the whole day. */
  readonly hours?: string | undefined;
  /** On which they begin; absent: on all. */
  readonly days?: readonly Day[] | undefined;
}

export interface WrittenPolicy {
  readonly rules: readonly (Omit<ApprovalRule, 'hours' | 'decision'> &
    WrittenHours & { readonly decision: Decision })[];
  readonly otherwise: Decision;
  readonly askTimeoutSeconds: number;
  readonly busy: boolean;
  readonly doNotDisturb: readonly WrittenHours[];
  readonly hook?: HookSettings | undefined;
}

export function approvalPolicyOf({ rules, doNotDisturb, ...rest }: WrittenPolicy): ApprovalPolicy {
  return {
    ...rest,
    rules: rules.map(({ hours, days, ...rule }) => ({ ...rule, hours: hoursOf({ hours, days }) ?? undefined })),
    doNotDisturb: doNotDisturb.map((written) => hoursOf(written) ?? ALWAYS),
  };
}

/** `24:00` is the end of a day. */
export const HOURS = /^([01]\d|2[0-3]):[0-5]\d-(?:([01]\d|2[0-3]):[0-5]\d|24:00)$/;

const ALWAYS: Hours = { fromMinute: 0, toMinute: DAY_MINUTES, days: DAYS };

/** @returns null when neither is given */
function hoursOf({ hours, days }: WrittenHours): Hours | null {
  if (hours === undefined && days === undefined) return null;
  const [from, to] = hours === undefined ? [0, DAY_MINUTES] : hours.split('-').map(minuteOf);
  return { fromMinute: from!, toMinute: to!, days: days ?? DAYS };
}

function minuteOf(timeOfDay: string): number {
  const [hours, minutes] = timeOfDay.split(':').map(Number);
  return hours! * 60 + minutes!;
}
