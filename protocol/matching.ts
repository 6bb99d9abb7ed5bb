import { type CutAt, hashMaskOf, type Offer, type OfferList } from './proposal.ts';
import {
  CIPHER_ORDER,
  type Criterion,
  DEFAULT_SELECTION,
  messageBytesOf,
  NO_WISHES,
  type Requirement,
  type Selection,
  type Wishes,
} from './selection.ts';
import { COST_TIE, costOf } from './suite-cost.ts';
import { isInSet, type SuiteSet, suiteSetOf } from './suite-pattern.ts';
import { SUITE_TRAITS, type SuiteTraits } from './suite-traits.ts';
import { CIPHERS, HASH_WIRE, type KeyMode, type Suite } from './suites.ts';

/** What keeps two proposals apart, in the order in which it is looked at. */
export const SETTINGS = ['cipher', 'keyBits', 'hash', 'tagBits', 'keyMode', 'encryption', 'rule', 'retired'] as const;
export type Setting = (typeof SETTINGS)[number];

export type Match =
  | {
      readonly matched: true;
      readonly suite: Suite;
      readonly keyMode: KeyMode;
      readonly rule: string;
      /** It retires, and nothing else is common. */
      readonly retiring: boolean;
    }
  /** `failedOn`: the setting that kept the closest two proposals apart. */
  | { readonly matched: false; readonly failedOn: Setting; readonly rule: string };

/** A suite in which one proposal of each side meet. */
export interface Candidate {
  readonly caller: Offer;
  readonly callee: Offer;
  readonly suite: Suite;
  /** Of that suite. */
  readonly traits: SuiteTraits;
  /** Place of the hash in the callee's order, of those that are common and allowed. */
  readonly hashPlace: number;
}

/** Where two proposals part, or the suites in which they meet. */
export type Meeting = { readonly apart: Setting } | { readonly candidates: readonly Candidate[] };

/**
 * Keeps nothing but the best so far: lists that meet in everything cost time, not memory. Which costs are near enough to the
 * least is known only when the least is, so each cost that is asked for takes a sweep over all pairs of its own.
 */
export function match(
  caller: OfferList,
  callee: OfferList,
  selection: Selection = DEFAULT_SELECTION,
  wishes: Wishes = NO_WISHES,
): Match {
  const scope = scopeOf(selection, wishes);
  const steps: readonly Step[] = wishes.retiring.length === 0 ? selection.prefer : ['retiring', ...selection.prefer];
  let race = startOf(steps, []);
  for (;;) {
    const { furthest, best } = sweep(caller, callee, scope, race);
    if (best === null) return { matched: false, failedOn: SETTINGS[furthest]!, rule: selection.name };
    if (!race.isLast) {
      race = startOf(steps, ceilingsOf(race));
      continue;
    }
    const { suite, callee: offer } = best;
    const retiring = isRetiring(best, scope);
    return { matched: true, suite, keyMode: offer.keyMode, rule: selection.name, retiring };
  }
}

/** By what candidates are told apart; what retires stands behind all that does not. */
type Step = Criterion | 'retiring';

/** One sweep: who is ahead after the steps up to `until`. */
interface Race {
  readonly steps: readonly Step[];
  /** Scores that are good enough, of the steps that an earlier sweep has settled. */
  readonly ceilings: readonly number[];
  readonly until: number;
  readonly isLast: boolean;
  best: Candidate | null;
  /** Of the best, step by step. */
  readonly scores: number[];
}

function startOf(steps: readonly Step[], ceilings: readonly number[]): Race {
  const cost = steps.indexOf('cost', ceilings.length);
  const isLast = cost < 0;
  return { steps, ceilings, until: isLast ? steps.length : cost + 1, isLast, best: null, scores: [] };
}

const ceilingsOf = ({ steps, ceilings, until, scores }: Race): readonly number[] =>
  steps.slice(0, until).map((step, at) => ceilings[at] ?? nearEnough(step, scores[at]!));

/** Where a side without an offer had nothing left of its proposals, of several the furthest; the first setting otherwise. */
export function cutAt(caller: OfferList, callee: OfferList): CutAt {
  const cut = [caller, callee].flatMap(({ offers, passedOver }) => (offers.length === 0 ? passedOver : []));
  return cut.reduce<CutAt>((most, { at }) => (SETTINGS.indexOf(at) > SETTINGS.indexOf(most) ? at : most), 'cipher');
}

/** @returns with the best, how far the closest two came that do not meet */
function sweep(caller: OfferList, callee: OfferList, scope: Scope, race: Race) {
  let furthest = SETTINGS.indexOf(cutAt(caller, callee));
  const found: Found = (ours, theirs, traits, hashPlace) => enter(race, scope, ours, theirs, traits, hashPlace);
  for (const theirs of callee.deciding) {
    for (const ours of caller.deciding) {
      const apart = overlap(ours, theirs, scope, found);
      if (apart !== null && race.best === null) furthest = Math.max(furthest, SETTINGS.indexOf(apart));
    }
  }
  return { best: race.best, furthest };
}

function enter(race: Race, scope: Scope, caller: Offer, callee: Offer, traits: SuiteTraits, hashPlace: number): void {
  const { steps, ceilings, until, isLast, best, scores } = race;
  let ahead = best === null;
  for (let at = 0; at < until; at++) {
    const score = scoreBy(steps[at]!, caller, callee, traits, scope);
    if (at < ceilings.length) {
      if (score > ceilings[at]!) return;
    } else if (ahead || score < scores[at]!) {
      ahead = true;
      scores[at] = score;
    } else if (score > scores[at]!) return;
  }
  const one = candidateOf(caller, callee, traits, hashPlace);
  if (best === null || ahead || (isLast && inTableOrder(one, best) < 0)) race.best = one;
}

/** [patent 0160, 0161] Every setting equal, or its ranges overlapping; then what the rule and the connect allow of that. */
export function meet(caller: Offer, callee: Offer, scope: Scope): Meeting {
  const candidates: Candidate[] = [];
  const apart = overlap(caller, callee, scope, (...one) => candidates.push(candidateOf(...one)));
  return apart === null ? { candidates } : { apart };
}

type Found = (caller: Offer, callee: Offer, traits: SuiteTraits, hashPlace: number) => void;

function candidateOf(caller: Offer, callee: Offer, traits: SuiteTraits, hashPlace: number): Candidate {
  const { cipher, keyBits, hash } = traits;
  return { caller, callee, suite: { cipher, keyBits, hash, tagBits: callee.tagBits }, traits, hashPlace };
}

/** What selection and wishes say, ready for one pair of proposals after the other. */
export interface Scope {
  readonly require: Requirement;
  readonly hashMask: number;
  readonly allowUnencrypted: boolean;
  readonly retiring: SuiteSet;
  readonly retired: SuiteSet;
  readonly messageBytes: number;
  /** [patent 0162] The shortest key and the callee's first hash will do, unless a criterion looks at these. */
  readonly everyKey: boolean;
  readonly everyHash: boolean;
}

export function scopeOf(selection: Selection, wishes: Wishes): Scope {
  const { require, prefer } = selection;
  const every = wishes.retiring.length > 0 || wishes.retired.length > 0; // a retirement may name one key with one hash
  return {
    require,
    hashMask: hashMaskOf(require.hashes),
    allowUnencrypted: wishes.allowUnencrypted,
    retiring: suiteSetOf(wishes.retiring),
    retired: suiteSetOf(wishes.retired),
    messageBytes: messageBytesOf(selection, wishes),
    everyKey: every || prefer.some((one) => LOOKS_AT_KEY.has(one)),
    everyHash: every || prefer.some((one) => LOOKS_AT_HASH.has(one)),
  };
}

/** Tells of each suite in which two proposals meet. @returns where they part, or null */
function overlap(caller: Offer, callee: Offer, scope: Scope, found: Found): Setting | null {
  const { cipher, tagBits, keyMode } = callee;
  if (caller.cipher !== cipher) return 'cipher';
  const keys = caller.keys & callee.keys;
  if (keys === 0) return 'keyBits';
  const hashes = caller.hashMask & callee.hashMask;
  if (hashes === 0) return 'hash';
  if (caller.tagBits !== tagBits) return 'tagBits';
  if (caller.keyMode !== keyMode) return 'keyMode';
  const { require, retired, everyKey, everyHash } = scope;
  if (!scope.allowUnencrypted && !CIPHERS[cipher].encrypts) return 'encryption';
  const allowed = hashes & scope.hashMask;
  if (allowed === 0 || tagBits < require.minTagBits || !require.ciphers.includes(cipher)) return 'rule';
  let apart: Setting | null = 'rule';
  const rows = SUITE_TRAITS[cipher];
  for (let bit = 0; bit < rows.length; bit++) {
    if ((keys & (1 << bit)) === 0) continue;
    let hashPlace = 0;
    for (const hash of callee.hashNumbers) {
      if ((allowed & (1 << hash)) === 0) continue;
      const traits = rows[bit]![hash]!;
      if (traits.strengthBits < require.minStrengthBits) break;
      if (!isInSet(retired, cipher, bit, hash, tagBits)) {
        apart = null;
        found(caller, callee, traits, hashPlace);
        if (!everyHash) break;
      } else if (apart !== null) apart = 'retired';
      hashPlace++;
    }
    if (apart === null && !everyKey) break;
  }
  return apart;
}

const LOOKS_AT_KEY: ReadonlySet<Criterion> = new Set(['strength', 'key-length', 'cipher-lightness', 'cost']);
const LOOKS_AT_HASH: ReadonlySet<Criterion> = new Set(['hash-lightness', 'cost']);

/** Those that no other is better than. */
export function bestBy(criterion: Criterion, candidates: readonly Candidate[], scope: Scope): Candidate[] {
  const scores = candidates.map((candidate) => scoreOf(criterion, candidate, scope));
  const least = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY);
  const enough = nearEnough(criterion, least);
  return candidates.filter((_, at) => scores[at]! <= enough);
}

/** The greatest score as good as the least: a measured cost is never exact. */
const nearEnough = (step: Step, least: number): number => (step === 'cost' ? least * COST_TIE : least);

/** Lower is better. */
export const scoreOf = (criterion: Criterion, { caller, callee, traits }: Candidate, scope: Scope): number =>
  scoreBy(criterion, caller, callee, traits, scope);

function scoreBy(
  step: Step,
  caller: Offer,
  callee: Offer,
  traits: SuiteTraits,
  { messageBytes, retiring }: Pick<Scope, 'messageBytes' | 'retiring'>,
): number {
  switch (step) {
    case 'strength':
      return -traits.strengthBits;
    case 'key-length':
      return -traits.keyBits;
    case 'cipher-lightness':
      return traits.cipherWeight;
    case 'hash-lightness':
      return traits.hashWeight;
    case 'cost':
      return Math.max(
        costOf(caller.cost ?? traits.assumed, messageBytes),
        costOf(callee.cost ?? traits.assumed, messageBytes),
      );
    case 'callee-priority':
      return callee.priority;
    case 'caller-priority':
      return caller.priority;
    case 'retiring':
      return Number(isOneOf(retiring, traits, callee.tagBits));
    default:
      return step satisfies never;
  }
}

/** Taken only when nothing else is common. */
export const isRetiring = ({ traits, callee }: Candidate, { retiring }: Scope): boolean =>
  isOneOf(retiring, traits, callee.tagBits);

const isOneOf = (set: SuiteSet, { cipher, keyPlace, hashNumber }: SuiteTraits, tagBits: number): boolean =>
  isInSet(set, cipher, keyPlace, hashNumber, tagBits);

/** The settings by which the suite table orders what ties in every criterion, the weightiest first. */
export const TABLE_PLACES = ['cipher', 'key-length', 'hash-order', 'hash', 'tag', 'key-mode'] as const;
export type TablePlace = (typeof TABLE_PLACES)[number];

const TABLE: readonly (readonly [place: TablePlace, order: (a: Candidate, b: Candidate) => number])[] = [
  ['cipher', (a, b) => CIPHER_ORDER.indexOf(a.suite.cipher) - CIPHER_ORDER.indexOf(b.suite.cipher)],
  ['key-length', (a, b) => a.suite.keyBits - b.suite.keyBits],
  ['hash-order', (a, b) => a.hashPlace - b.hashPlace],
  ['hash', (a, b) => HASH_WIRE[a.suite.hash] - HASH_WIRE[b.suite.hash]],
  ['tag', (a, b) => b.suite.tagBits - a.suite.tagBits],
  ['key-mode', (a, b) => Number(a.callee.keyMode === 'key') - Number(b.callee.keyMode === 'key')],
];

/** Where two of them part in the suite table; null only for the same suite and key mode. */
export const tablePlaceOf = (a: Candidate, b: Candidate): TablePlace | null =>
  TABLE.find(([, order]) => order(a, b) !== 0)?.[0] ?? null;

/** Negative: the first goes before. Zero only for the same suite and key mode. */
export function inTableOrder(a: Candidate, b: Candidate): number {
  for (const [, order] of TABLE) {
    const found = order(a, b);
    if (found !== 0) return found;
  }
  return 0;
}
