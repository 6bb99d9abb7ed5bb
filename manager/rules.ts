/**
 * The operator's rules: which suites a pair may have, and which of several it gets. The first rule that applies decides; a
 * default stands at the end. What a device is comes from the operator's registry, never from its own word.
 */

import { matchesGlob } from '../protocol/id-pattern.ts';
import { DEFAULT_SELECTION, type Selection } from '../protocol/selection.ts';
import { DAYS, isWithin, type TimeWindow } from '../protocol/time-window.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { Subject } from './policy.ts';

/** What a device must be; absent settings are open, those given must all hold. */
export interface SubjectPattern {
  readonly class?: string | undefined;
  readonly group?: string | undefined;
  /** With `*` for any run of characters. */
  readonly id?: string | undefined;
  readonly user?: string | undefined;
}

/** When a rule applies: everything given must hold. */
export interface When {
  readonly caller?: SubjectPattern | undefined;
  readonly callee?: SubjectPattern | undefined;
  /** Caller or callee. */
  readonly either?: SubjectPattern | undefined;
  /** Caller and callee. */
  readonly both?: SubjectPattern | undefined;
  readonly time?: TimeWindow | undefined;
}

export interface Rule {
  readonly when: When;
  readonly selection: Selection;
}

export interface Rules {
  readonly rules: readonly Rule[];
  readonly otherwise: Selection;
  /** SHA-256 of the file, in hex; null: built in. */
  readonly digest: string | null;
}

export const BUILT_IN_RULES: Rules = { rules: [], otherwise: DEFAULT_SELECTION, digest: null };

/** The first rule that applies, or the default. */
export function decidingRule(rules: Rules, caller: Subject, callee: Subject, wall: EpochSeconds): Selection {
  for (const { when, selection } of rules.rules) if (applies(when, caller, callee, wall)) return selection;
  return rules.otherwise;
}

export const applies = (when: When, caller: Subject, callee: Subject, wall: EpochSeconds): boolean =>
  whyNot(when, caller, callee, wall) === null;

/** @returns the condition that does not hold, or null */
export function whyNot(when: When, caller: Subject, callee: Subject, wall: EpochSeconds): keyof When | null {
  if (when.caller !== undefined && !isOf(when.caller, caller)) return 'caller';
  if (when.callee !== undefined && !isOf(when.callee, callee)) return 'callee';
  if (when.either !== undefined && !isOf(when.either, caller) && !isOf(when.either, callee)) return 'either';
  if (when.both !== undefined && !(isOf(when.both, caller) && isOf(when.both, callee))) return 'both';
  if (when.time !== undefined && !isWithin(when.time, wall)) return 'time';
  return null;
}

function isOf(pattern: SubjectPattern, subject: Subject): boolean {
  if (pattern.class !== undefined && subject.class !== pattern.class) return false;
  if (pattern.group !== undefined && !subject.groups.includes(pattern.group)) return false;
  if (pattern.id !== undefined && !matchesGlob(pattern.id, subject.id)) return false;
  return pattern.user === undefined || (subject.user !== null && matchesGlob(pattern.user, subject.user));
}

/** For people: `callee of class camera and group porch; from 22:00 to 06:00 Europe/Berlin on mon, tue`. */
export function describeWhen({ time, ...subjects }: When): string {
  const sides = (['caller', 'callee', 'either', 'both'] as const).flatMap((side) => {
    const pattern = subjects[side];
    return pattern === undefined ? [] : [`${side} of ${describeSubject(pattern)}`];
  });
  const parts = time === undefined ? sides : [...sides, describeTime(time)];
  return parts.length === 0 ? 'always' : parts.join('; ');
}

function describeSubject(pattern: SubjectPattern): string {
  const given = (['class', 'group', 'id', 'user'] as const).filter((key) => pattern[key] !== undefined);
  return given.map((key) => `${key} ${pattern[key]}`).join(' and ');
}

function describeTime({ fromMinute, toMinute, days, timeZone }: TimeWindow): string {
  const clock = (minute: number): string =>
    `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
  const on = days.length === DAYS.length ? '' : ` on ${days.join(', ')}`;
  return `from ${clock(fromMinute)} to ${clock(toMinute)} ${timeZone}${on}`;
}
