/**
 * What is right in a rules file and yet hardly meant: rules that can never match, requirements that no suite meets.
 */

import type { Rule, Rules, SubjectPattern, When } from '../../manager/rules.ts';
import type { Listing } from '../../manager/state.ts';
import { matchesGlob } from '../../protocol/id-pattern.ts';
import { CIPHER_ORDER, HASH_ORDER, type Requirement, type Selection } from '../../protocol/selection.ts';
import { CIPHERS, strengthBits } from '../../protocol/suites.ts';
import { DAY_MINUTES, DAYS, type TimeWindow } from '../../protocol/time-window.ts';

export interface Warning {
  /** Where it stands in the file. */
  readonly key: readonly PropertyKey[];
  readonly text: string;
}

export function warningsOf({ rules, otherwise }: Rules): readonly Warning[] {
  const weekOf = onceForEach(minutesOfWeek);
  const found: Warning[] = rules.flatMap((rule, at) => warningsOfRule(rule, rules.slice(0, at), at, weekOf));
  return [...found, ...unmeetable(otherwise, ['default', 'require'])];
}

function warningsOfRule(
  { when, selection }: Rule,
  earlier: readonly Rule[],
  at: number,
  weekOf: WeekOf,
): readonly Warning[] {
  const found: Warning[] = [];
  const never = (key: readonly PropertyKey[], why: string): number =>
    found.push({ key: ['rules', at, ...key], text: `rule ${selection.name} can never match: ${why}` });
  const { time } = when;
  if (time !== undefined && time.fromMinute === time.toMinute) {
    never(['when', 'time'], 'its time window ends where it begins; the whole day is from "00:00" to "24:00"');
  }
  for (const [side, patterns] of sidesOf(when)) {
    const clash = clashOf(patterns);
    if (clash !== null) never(['when'], `the ${side} would have to be of ${clash}`);
  }
  const cover = found.length > 0 ? undefined : earlier.find((one) => covers(one.when, when, weekOf));
  if (cover !== undefined) {
    never([], `rule ${cover.selection.name} stands before it and applies wherever this one would`);
  }
  return [...found, ...unmeetable(selection, ['rules', at, 'require'])];
}

// ── Requirements ────────────────────────────────────────────────────────────────────────────────────────────────────

function unmeetable({ name, require }: Selection, key: readonly PropertyKey[]): readonly Warning[] {
  if (isMeetable(require)) return [];
  return [{ key, text: `rule ${name}: no suite meets what it requires: whomever it decides for gets none` }];
}

const isMeetable = ({ minStrengthBits, minTagBits, ciphers, hashes }: Requirement): boolean =>
  CIPHER_ORDER.some((cipher) => {
    const { keyBits, tagBits } = CIPHERS[cipher];
    const strongest = strengthBits({ cipher, keyBits: Math.max(...keyBits), hash: HASH_ORDER[0]!, tagBits: 0 });
    const longest = Math.max(...tagBits);
    return ciphers.includes(cipher) && hashes.length > 0 && strongest >= minStrengthBits && longest >= minTagBits;
  });

// ── Whom a rule is for ──────────────────────────────────────────────────────────────────────────────────────────────

/** What caller and callee must be; all of it at once. */
const sidesOf = ({ caller, callee, both }: When): ReadonlyArray<readonly [string, readonly SubjectPattern[]]> => [
  ['caller', given(caller, both)],
  ['callee', given(callee, both)],
];

const given = (...patterns: readonly (SubjectPattern | undefined)[]): readonly SubjectPattern[] =>
  patterns.filter((one) => one !== undefined);

/** @returns two things that nobody is at once, or null; a device may be of several groups */
function clashOf(patterns: readonly SubjectPattern[]): string | null {
  for (const key of ['class', 'id', 'user'] as const) {
    const wanted = [...new Set(patterns.map((one) => one[key]).filter((one) => one !== undefined))];
    const [one, other] = wanted;
    if (one === undefined || other === undefined) continue;
    const fixed = key === 'class' || (isFixed(one) && isFixed(other));
    if (fixed || (isFixed(one) && !matchesGlob(other, one)) || (isFixed(other) && !matchesGlob(one, other))) {
      return `${key} ${one} and of ${key} ${other}`;
    }
  }
  return null;
}

const isFixed = (pattern: string): boolean => !pattern.includes('*');

/** Whether the first applies wherever the second does; false also where that cannot be told. */
export function covers(first: When, second: When, weekOf: WeekOf = minutesOfWeek): boolean {
  const caller = given(second.caller, second.both);
  const callee = given(second.callee, second.both);
  const { either, both, time } = first;
  if (first.caller !== undefined && !narrows(caller, first.caller)) return false;
  if (first.callee !== undefined && !narrows(callee, first.callee)) return false;
  if (both !== undefined && !(narrows(caller, both) && narrows(callee, both))) return false;
  if (either !== undefined) {
    const some = narrows(given(second.either), either) || narrows(caller, either) || narrows(callee, either);
    if (!some) return false;
  }
  return time === undefined || (second.time !== undefined && holdsWithin(time, second.time, weekOf));
}

/** Whether who fits all of the patterns fits the other as well. */
function narrows(patterns: readonly SubjectPattern[], other: SubjectPattern): boolean {
  const some = (fits: (one: SubjectPattern) => boolean): boolean => patterns.some(fits);
  if (other.class !== undefined && !some((one) => one.class === other.class)) return false;
  if (other.group !== undefined && !some((one) => one.group === other.group)) return false;
  // a star of the narrower pattern can only fall into a star of the wider one
  for (const key of ['id', 'user'] as const) {
    const wider = other[key];
    if (wider === undefined || (wider === '*' && key === 'id')) continue;
    if (!some((one) => one[key] !== undefined && matchesGlob(wider, one[key]))) return false;
  }
  return true;
}

function holdsWithin(first: TimeWindow, second: TimeWindow, weekOf: WeekOf): boolean {
  if (first.timeZone !== second.timeZone) return false;
  const wider = weekOf(first);
  return weekOf(second).every((minutes, at) => (minutes & ~wider[at]!) === 0);
}

/** A bit for each minute of the week. */
type WeekOf = (window: TimeWindow) => Uint32Array;

const WEEK_MINUTES = DAYS.length * DAY_MINUTES;
const WORD_BITS = 32;

function minutesOfWeek({ fromMinute, toMinute, days }: TimeWindow): Uint32Array {
  const minutes = new Uint32Array(WEEK_MINUTES / WORD_BITS);
  if (fromMinute === toMinute) return minutes;
  const length = toMinute - fromMinute + (fromMinute < toMinute ? 0 : DAY_MINUTES);
  for (const day of days) {
    const begin = DAYS.indexOf(day) * DAY_MINUTES + fromMinute;
    for (let shown = begin; shown < begin + length; shown++) {
      const minute = shown % WEEK_MINUTES;
      minutes[Math.floor(minute / WORD_BITS)]! |= 1 << (minute % WORD_BITS);
    }
  }
  return minutes;
}

/** Each window is compared with those of all other rules. */
function onceForEach(weekOf: WeekOf): WeekOf {
  const known = new Map<TimeWindow, Uint32Array>();
  return (window) => {
    const minutes = known.get(window) ?? weekOf(window);
    known.set(window, minutes);
    return minutes;
  };
}

// ── The registry ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Classes, groups and users that rules name and nobody has. */
export function strangersOf({ rules }: Rules, listings: readonly Listing[]): readonly Warning[] {
  const classes = new Set(listings.map((one) => one.class));
  const everyGroup = new Set(listings.flatMap(({ groups }) => groups));
  const users = [...new Set(listings.map((one) => one.user).filter((one) => one !== null))];
  return rules.flatMap(({ when, selection }, at) =>
    (['caller', 'callee', 'either', 'both'] as const).flatMap((side) => {
      const { class: kind, group, user } = when[side] ?? {};
      const nobody = [
        kind !== undefined && !classes.has(kind) ? `class ${kind}` : null,
        group !== undefined && !everyGroup.has(group) ? `group ${group}` : null,
        user !== undefined && !users.some((one) => matchesGlob(user, one)) ? `user ${user}` : null,
      ];
      return nobody
        .filter((one) => one !== null)
        .map((one) => ({
          key: ['rules', at, 'when', side],
          text: `rule ${selection.name} names ${one}, which no device under \`devices\` of the manager's configuration has`,
        }));
    }),
  );
}
