/**
 * What other rules would change: for every pair that the policy allows, the suite of now beside the suite of then. Devices
 * that no rule and no match can tell apart are looked at once for all of them.
 */
import { type ConnectPolicy, mayConnect, type Subject } from '../../manager/policy.ts';
import { retirementsAt } from '../../manager/retirement.ts';
import { applies, decidingRule, type Rules, type SubjectPattern, type When } from '../../manager/rules.ts';
import type { CallerWishes } from '../../manager/selection.ts';
import { match } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { type OfferList, offersOf } from '../../protocol/proposal.ts';
import type { Selection, Wishes } from '../../protocol/selection.ts';
import type { SuitePattern } from '../../protocol/suite-pattern.ts';
import { suiteName } from '../../protocol/suites.ts';
import type { EpochSeconds } from '../../protocol/units.ts';
import type { LiveRegistry, RegisteredDevice } from './live-registry.ts';

/** Pairs that go the same way. */
export interface Turn {
  /** `aes-gcm-128 sha-256 tag 128 seed`; null: no suite in common. */
  readonly from: string | null;
  readonly to: string | null;
  pairs: number;
  /** Some of them: caller and callee. */
  readonly examples: (readonly [string, string])[];
}

/** Grows while it is counted. */
export interface Tally {
  /** Ordered pairs of two registered devices, and how many of them have been looked at. */
  readonly pairs: number;
  looked: number;
  forbidden: number;
  same: number;
  /** By what they come from and go to. */
  readonly turns: Map<string, Turn>;
  /** For how many pairs each of the new rules decides. */
  readonly decided: Map<string, number>;
}

export interface ImpactQuestion {
  readonly registry: LiveRegistry;
  readonly rules: Rules;
  readonly wishes: CallerWishes;
  /** For time windows and retirements. */
  readonly at: EpochSeconds;
  /** Examples kept of each turn. */
  readonly examples: number;
  /** Suites that would not be taken any more; absent: none. */
  readonly without?: readonly SuitePattern[];
}

/** Devices that no rule and no policy can tell apart. */
interface Kind {
  readonly subject: Subject;
  readonly size: number;
  readonly lists: readonly List[];
}

/** Of those the ones that registered the same, but for what they measured. */
interface List {
  readonly number: number;
  readonly ids: readonly string[];
  readonly offers: OfferList;
  /** Those that measured the same too. */
  readonly priced: readonly Priced[];
}

interface Priced {
  readonly ids: readonly string[];
  readonly offers: OfferList;
}

/** Matches between two looks at the clock. */
const SLICE = 500;

/** Counts in slices: the tally is true of what was looked at, whenever the caller stops. */
export function* impactOf({
  registry,
  rules,
  wishes,
  at,
  examples,
  without = [],
}: ImpactQuestion): Generator<Tally, Tally> {
  const { devices, policy } = registry;
  const tally: Tally = {
    pairs: devices.length * Math.max(0, devices.length - 1),
    looked: 0,
    forbidden: 0,
    same: 0,
    turns: new Map(),
    decided: new Map(rules.rules.map(({ selection }) => [selection.name, 0])),
  };
  const kinds = kindsOf(devices, patternsOf([registry.rules, rules]), policy, at);
  const all: Wishes = { ...wishes, ...retirementsAt(registry.retirements, at) };
  const sides = { before: all, after: { ...all, retired: [...all.retired, ...without] } };
  const outcomes = new Map<string, string | null>();
  let work = 0;
  for (const caller of kinds) {
    for (const callee of kinds) {
      if (++work % SLICE === 0) yield tally;
      const pairs = caller.size * callee.size - (caller === callee ? caller.size : 0);
      if (!mayConnect(policy, caller.subject, callee.subject)) {
        tally.forbidden += pairs;
        tally.looked += pairs;
        continue;
      }
      const before = decidingRule(registry.rules, caller.subject, callee.subject, at);
      const after = decidingRule(rules, caller.subject, callee.subject, at);
      const decided = (some: number): unknown =>
        tally.decided.set(after.name, (tally.decided.get(after.name) ?? 0) + some);
      if (without.length === 0 && keyOf(before) === keyOf(after)) {
        decided(pairs);
        tally.same += pairs;
        tally.looked += pairs;
        continue;
      }
      const looksAtCost = ({ prefer }: Selection): boolean => prefer.includes('cost');
      const priced = looksAtCost(before) || looksAtCost(after);
      const rule = `${keyOf(before)} ${keyOf(after)}`;
      for (const [ours, theirs] of couples(caller.lists, callee.lists)) {
        for (const [one, other] of priced ? couples(ours.priced, theirs.priced) : [[ours, theirs] as const]) {
          const some = one.ids.length * other.ids.length - (one === other ? one.ids.length : 0);
          if (some === 0) continue;
          const known = (selection: Selection, side: keyof typeof sides): string | null => {
            if (looksAtCost(selection)) return outcome(one.offers, other.offers, selection, sides[side]);
            const key = `${ours.number} ${theirs.number} ${side} ${rule}`;
            const found = outcomes.get(key);
            if (found !== undefined) return found;
            const made = outcome(one.offers, other.offers, selection, sides[side]);
            outcomes.set(key, made);
            return made;
          };
          decided(some);
          count(tally, known(before, 'before'), known(after, 'after'), one.ids, other.ids, some, examples);
          if (++work % SLICE === 0) yield tally;
        }
      }
    }
  }
  return tally;
}

function* couples<T>(some: readonly T[], others: readonly T[]): Generator<readonly [T, T]> {
  for (const one of some) for (const other of others) yield [one, other];
}

function outcome(caller: OfferList, callee: OfferList, selection: Selection, wishes: Wishes): string | null {
  const found = match(caller, callee, selection, wishes);
  return found.matched ? `${suiteName(found.suite)} ${found.keyMode}` : null;
}

function count(
  tally: Tally,
  from: string | null,
  to: string | null,
  callers: readonly string[],
  callees: readonly string[],
  pairs: number,
  examples: number,
): void {
  tally.looked += pairs;
  if (from === to) {
    tally.same += pairs;
    return;
  }
  const key = `${from} → ${to}`;
  const turn = tally.turns.get(key) ?? { from, to, pairs: 0, examples: [] };
  tally.turns.set(key, turn);
  turn.pairs += pairs;
  for (const caller of callers) {
    for (const callee of callees) {
      if (turn.examples.length >= examples) return;
      if (caller !== callee) turn.examples.push([caller, callee]);
    }
  }
}

/** Two rules of the same content decide the same, whatever their names. */
function keyOf({ require, prefer, messageBytes }: Selection): string {
  const { minStrengthBits, minTagBits, ciphers, hashes } = require;
  const sets = [ciphers, hashes].map((one) => [...one].sort());
  return JSON.stringify([minStrengthBits, minTagBits, sets, prefer, messageBytes]);
}

// ── Kinds ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const SIDES = ['caller', 'callee', 'either', 'both'] as const;

const subjectsOf = (when: When): readonly SubjectPattern[] =>
  SIDES.map((side) => when[side]).filter((pattern) => pattern !== undefined);

/** Everything by which a rule can tell two devices apart. */
function patternsOf(all: readonly Rules[]): readonly SubjectPattern[] {
  const patterns = all.flatMap(({ rules }) => rules.flatMap(({ when }) => subjectsOf(when)));
  return [...new Map(patterns.map((pattern) => [JSON.stringify(pattern), pattern])).values()];
}

function kindsOf(
  devices: readonly RegisteredDevice[],
  patterns: readonly SubjectPattern[],
  policy: ConnectPolicy,
  at: EpochSeconds,
): readonly Kind[] {
  const policyPatterns = [...new Set(policy.rules.flatMap(({ from, to }) => [from, to]))];
  const marksOf = (device: Subject): string =>
    [
      ...patterns.map((pattern) => Number(is(device, pattern, at))),
      ...policyPatterns.map((from) => Number(mayConnect(only(from), device, device))),
    ].join('');
  const numbers = new Map<string, number>();
  const numberOf = (list: string): number => {
    const number = numbers.get(list) ?? numbers.size;
    numbers.set(list, number);
    return number;
  };
  return apart(devices, marksOf).map(([, members]) => ({
    subject: members[0]!,
    size: members.length,
    lists: apart(members, ({ proposals }) => setKey(proposals, false)).map(([list, alike]) => ({
      number: numberOf(list),
      ...pricedOf(alike),
      priced: apart(alike, ({ proposals }) => setKey(proposals, true)).map(([, same]) => pricedOf(same)),
    })),
  }));
}

const pricedOf = (devices: readonly RegisteredDevice[]): Priced => ({
  ids: devices.map(({ id }) => id),
  offers: offersOf(devices[0]!.proposals),
});

function apart<T>(all: readonly T[], keyFor: (one: T) => string): readonly (readonly [string, readonly T[]])[] {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyFor(one);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [one]);
    else known.push(one);
  }
  return [...groups];
}

const is = (device: Subject, caller: SubjectPattern, at: EpochSeconds): boolean =>
  applies({ caller }, device, device, at);

const only = (from: string): ConnectPolicy => ({ rules: [{ from, to: '*', allow: true }], otherwise: 'deny' });

/** A list of proposals is a set. */
const setKey = (proposals: readonly Proposal[], withCost: boolean): string =>
  proposals
    .map(({ cipher, keyMode, priority, keyBits, minKeyBits, maxKeyBits, hashes, tagBits, cost }) =>
      JSON.stringify([
        [cipher, keyMode, priority, keyBits, minKeyBits, maxKeyBits, hashes, tagBits],
        withCost ? [cost?.picosPerOp, cost?.picosPerByte] : [],
      ]),
    )
    .sort()
    .join();

// ── Rules for nobody ────────────────────────────────────────────────────────────────────────────────────────────────

const NOBODY: Readonly<Record<keyof SubjectPattern, string>> = {
  class: 'is of class',
  group: 'is in group',
  id: 'has an id like',
  user: 'has a user like',
};

/** Rules that ask for a class, a group, an id or a user that nobody in the registry has. */
export function rulesForNobody({ rules }: Rules, { devices, at }: LiveRegistry): readonly string[] {
  const known = new Map<string, boolean>();
  const somebody = (pattern: SubjectPattern): boolean => {
    const key = JSON.stringify(pattern);
    const found = known.get(key) ?? devices.some((device) => is(device, pattern, at));
    known.set(key, found);
    return found;
  };
  const all = rules.flatMap(({ when, selection }) =>
    subjectsOf(when).flatMap((pattern) =>
      (Object.keys(NOBODY) as (keyof SubjectPattern)[]).flatMap((key) => {
        const wanted = pattern[key];
        if (wanted === undefined || somebody({ [key]: wanted })) return [];
        return [`rule ${selection.name}: no registered device ${NOBODY[key]} ${wanted}`];
      }),
    ),
  );
  return [...new Set(all)];
}
