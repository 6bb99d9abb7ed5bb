/**
 * The operator's rules file: what may stand in it, and the rules that it means. A file that contradicts itself is refused.
 */
import { z } from 'zod';
import { allOf, PROFILE_NAMES, PROFILES, type ProfileName } from '../../manager/rule-profiles.ts';
import type { Rule, Rules, When } from '../../manager/rules.ts';
import { SETTINGS } from '../../protocol/matching.ts';
import {
  CALLEE_FIRST,
  CIPHER_ORDER,
  CRITERIA,
  DEFAULT_SELECTION,
  HASH_ORDER,
  type Requirement,
  type Selection,
} from '../../protocol/selection.ts';
import { DAY_MINUTES, DAYS, isTimeZone, type LocalClock, localClock, timeWindow } from '../../protocol/time-window.ts';
import { nearest } from '../config-problems.ts';
import { deviceSchema, messageBytesSchema, namelessDeviceSchema } from './device-file.ts';

const MAX_ENTRIES = 1000;
const word = z.string().min(1).max(64);
const pattern = z.string().min(1).max(255);
const cipher = z.enum(CIPHER_ORDER);
const hash = z.enum(HASH_ORDER);
const strength = z.int().min(0).max(256);

/** A list in which nothing stands twice. */
const each = <Item extends z.ZodType<string>>(item: Item, most: number) =>
  z
    .array(item)
    .min(1)
    .max(most)
    .superRefine((items: readonly string[], context) => {
      for (const [at, one] of items.entries()) {
        if (items.indexOf(one) === at) continue;
        context.addIssue({ code: 'custom', path: [at], message: `${one} is given twice: keep one of them` });
      }
    });

const subject = z
  .strictObject({
    class: word.optional(),
    group: word.optional(),
    /** With `*` for any run of characters. */
    id: pattern.optional(),
    user: pattern.optional(),
  })
  .refine((given) => Object.values(given).some((one) => one !== undefined), {
    message: 'names nobody, allowed: a map with class, group, id, user, at least one of them',
  });

const TIME_OF_DAY = /^(?:[01]\d|2[0-3]):[0-5]\d$/;
const time = z.strictObject({
  /** The beginning and the end, which does not belong to it; an end before the beginning lies on the next day. */
  from: z.string().regex(TIME_OF_DAY, 'a time of day such as "06:30", in quotes').default('00:00'),
  to: z
    .string()
    .regex(/^24:00$|^(?:[01]\d|2[0-3]):[0-5]\d$/, 'a time of day such as "06:30", or "24:00", in quotes')
    .default('24:00'),
  /** On which it begins; absent: every day. */
  days: each(z.enum(DAYS), DAYS.length).default([...DAYS]),
  timeZone: z
    .string()
    .refine(isTimeZone, { message: 'no such time zone, allowed: a name such as Europe/Berlin, or UTC' })
    .default('UTC'),
});

const requireSchema = z
  .strictObject({
    minStrengthBits: strength.optional(),
    minTagBits: strength.optional(),
    ciphers: each(cipher, CIPHER_ORDER.length).optional(),
    forbidCiphers: each(cipher, CIPHER_ORDER.length).optional(),
    hashes: each(hash, HASH_ORDER.length).optional(),
    forbidHashes: each(hash, HASH_ORDER.length).optional(),
    profile: z.enum(PROFILE_NAMES).optional(),
  })
  .superRefine(({ ciphers = [], forbidCiphers = [], hashes = [], forbidHashes = [] }, context) => {
    const contradict = (key: string, allowed: readonly string[], forbidden: readonly string[]): void => {
      for (const [at, one] of forbidden.entries()) {
        if (!allowed.includes(one)) continue;
        context.addIssue({ code: 'custom', path: [key, at], message: `${one} is both allowed and forbidden` });
      }
    };
    contradict('forbidCiphers', ciphers, forbidCiphers);
    contradict('forbidHashes', hashes, forbidHashes);
  });

const choosing = {
  require: requireSchema.optional(),
  prefer: each(z.enum(CRITERIA), CRITERIA.length).optional(),
  messageBytes: messageBytesSchema.optional(),
};

const rule = z.strictObject({
  name: word,
  when: z
    .strictObject({
      caller: subject.optional(),
      callee: subject.optional(),
      /** Caller or callee; caller and callee. */
      either: subject.optional(),
      both: subject.optional(),
      time: time.optional(),
    })
    .default({}),
  ...choosing,
});

const party = z.union([z.string(), deviceSchema]);
const testSchema = z.strictObject({
  name: z.string().min(1).max(128),
  /** A device, or the name of one under `devices`. */
  caller: party,
  callee: party,
  /** Absent: rules that hold only at times are passed over. */
  at: z.iso.datetime({ offset: true, error: 'a moment such as 2026-01-05T23:00:00Z' }).optional(),
  /** Whether the caller takes suites that do not encrypt; both list `hmac` all the same. */
  allowUnencrypted: z.boolean().default(true),
  messageBytes: messageBytesSchema.optional(),
  expect: z.union([
    z.literal('none'),
    z.strictObject({ none: z.enum(SETTINGS), rule: word.optional() }),
    z
      .strictObject({
        cipher: cipher.optional(),
        keyBits: z.int().min(1).optional(),
        hash: hash.optional(),
        tagBits: z.int().min(1).optional(),
        keyMode: z.enum(['key', 'seed']).optional(),
        rule: word.optional(),
      })
      .refine((given) => Object.values(given).some((one) => one !== undefined), {
        message: 'expects nothing, allowed: none, or a map with cipher, keyBits, hash, tagBits, keyMode, rule',
      }),
  ]),
});
export type WrittenTest = z.output<typeof testSchema>;

export const rulesSchema = z
  .strictObject({
    /** The first that applies decides. */
    rules: z.array(rule).max(MAX_ENTRIES).optional(),
    /** When none applies. */
    default: z.strictObject(choosing).optional(),
    devices: z.record(word, namelessDeviceSchema).default({}),
    tests: z.array(testSchema).max(MAX_ENTRIES).default([]),
  })
  .superRefine(({ rules, default: byDefault, devices, tests }, context) => {
    const complain = (path: PropertyKey[], message: string): void =>
      context.addIssue({ code: 'custom', path, message });
    // an empty file is one that is being written: it must not sweep the rules away
    if (rules === undefined && byDefault === undefined)
      complain([], 'no rules in it, allowed: rules, default, or both');
    for (const [list, entries] of Object.entries({ rules: rules ?? [], tests })) {
      const firsts = new Map<string, number>();
      for (const [at, { name }] of entries.entries()) {
        const first = firsts.get(name) ?? at;
        firsts.set(name, first);
        if (first < at) complain([list, at, 'name'], `${name} is the name of ${list}.${first} too: names are unique`);
        if (list === 'rules' && name === DEFAULT_SELECTION.name) {
          complain([list, at, 'name'], `${name} is what the rule at the end is called: choose another name`);
        }
      }
    }
    const names = [...(rules ?? []).map(({ name }) => name), DEFAULT_SELECTION.name];
    const isRule: ReadonlySet<string> = new Set(names);
    const known = Object.keys(devices);
    let searched = 0;
    const unknown = (what: string, name: string, among: readonly string[]): string =>
      searched++ < MAX_SEARCHED ? unknownName(what, name, among) : `no such ${what}`;
    for (const [at, { caller, callee, expect }] of tests.entries()) {
      for (const [side, given] of [['caller', caller] as const, ['callee', callee] as const]) {
        if (typeof given !== 'string' || Object.hasOwn(devices, given)) continue;
        complain(['tests', at, side], unknown('device', given, known));
      }
      const named = typeof expect === 'string' ? undefined : expect.rule;
      if (named !== undefined && !isRule.has(named)) {
        complain(['tests', at, 'expect', 'rule'], unknown('rule', named, names));
      }
    }
  });
export type WrittenRules = z.output<typeof rulesSchema>;

/** As many as are shown: for each of them all names are compared. */
const MAX_SEARCHED = 10;
const MAX_LISTED = 20;

function unknownName(what: string, name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  const left = known.length - MAX_LISTED;
  const listed = [...known.slice(0, MAX_LISTED), ...(left > 0 ? [`and ${left} more`] : [])].join(', ');
  const allowed = known.length === 0 ? `none stands under ${what}s` : `allowed: ${listed}`;
  return `no such ${what}${near === null ? '' : ` (did you mean ${near}?)`}, ${allowed}`;
}

/** @param digest SHA-256 of the file, in hex */
export function rulesOf(
  { rules = [], default: byDefault = {} }: Pick<WrittenRules, 'rules' | 'default'>,
  digest: string,
): Rules {
  const clocks = new Map<string, LocalClock>();
  const clockOf = (timeZone: string): LocalClock => {
    const clock = clocks.get(timeZone) ?? localClock(timeZone);
    clocks.set(timeZone, clock);
    return clock;
  };
  return {
    rules: rules.map((one): Rule => ({ when: whenOf(one.when, clockOf), selection: selectionOf(one.name, one) })),
    otherwise: selectionOf(DEFAULT_SELECTION.name, byDefault),
    digest,
  };
}

type WrittenWhen = NonNullable<WrittenRules['rules']>[number]['when'];

function whenOf({ time: given, ...subjects }: WrittenWhen, clockOf: (timeZone: string) => LocalClock): When {
  if (given === undefined) return subjects;
  const { from, to, days, timeZone } = given;
  const bounds = { fromMinute: minuteOf(from), toMinute: minuteOf(to), days, timeZone };
  return { ...subjects, time: timeWindow(bounds, clockOf(timeZone)) };
}

/** 1440 for 24:00 */
function minuteOf(timeOfDay: string): number {
  const [hours, minutes] = timeOfDay.split(':').map(Number);
  return (hours! * DAY_MINUTES) / 24 + minutes!;
}

type WrittenChoosing = Pick<NonNullable<WrittenRules['default']>, 'require' | 'prefer' | 'messageBytes'>;

/** What is left out is as without rules: nothing required, the callee's priority first. */
function selectionOf(name: string, { require, prefer, messageBytes }: WrittenChoosing): Selection {
  return {
    name,
    require: requirementOf(require ?? {}),
    prefer: prefer ?? CALLEE_FIRST,
    messageBytes: messageBytes ?? null,
  };
}

function requirementOf(given: NonNullable<WrittenChoosing['require']>): Requirement {
  const { minStrengthBits = 0, minTagBits = 0, ciphers, forbidCiphers = [], hashes, forbidHashes = [] } = given;
  const written: Requirement = {
    minStrengthBits,
    minTagBits,
    ciphers: (ciphers ?? CIPHER_ORDER).filter((one) => !forbidCiphers.includes(one)),
    hashes: (hashes ?? HASH_ORDER).filter((one) => !forbidHashes.includes(one)),
  };
  const profile: ProfileName | undefined = given.profile;
  return allOf(profile === undefined ? [written] : [written, PROFILES[profile]]);
}
