/**
 * The match once more, step by step, with everything kept that `match` throws away: where each pair of proposals parted, how
 * far each suite came, and at which step the last one beside the winner fell.
 */
import {
  bestBy,
  type Candidate,
  cutAt,
  inTableOrder,
  isRetiring,
  type Match,
  meet,
  type Scope,
  SETTINGS,
  type Setting,
  scopeOf,
  scoreOf,
  TABLE_PLACES,
  type TablePlace,
  tablePlaceOf,
} from './matching.ts';
import type { CutAt, Offer, OfferList } from './proposal.ts';
import type { Criterion, Requirement, Selection, Wishes } from './selection.ts';
import { spellSuitePattern, suiteFits } from './suite-pattern.ts';
import { SUITE_TRAITS } from './suite-traits.ts';
import { CIPHERS, HASH_WIRE, type KeyMode, type Suite, strengthBits } from './suites.ts';

export type SideName = 'caller' | 'callee';

/** What a rule can ask of a suite, in the order in which it is looked at. */
export const REQUIREMENTS = ['cipher', 'tag', 'hash', 'strength'] as const;
export type RequirementName = (typeof REQUIREMENTS)[number];

/** @returns every requirement that the suite does not meet */
export function unmet(suite: Suite, require: Requirement): readonly RequirementName[] {
  const fails: Readonly<Record<RequirementName, boolean>> = {
    cipher: !require.ciphers.includes(suite.cipher),
    tag: suite.tagBits < require.minTagBits,
    hash: !require.hashes.includes(suite.hash),
    strength: strengthBits(suite) < require.minStrengthBits,
  };
  return REQUIREMENTS.filter((one) => fails[one]);
}

/** A proposal that counts for nothing, because the registry has no such suite. */
export interface Unusable {
  readonly side: SideName;
  readonly index: number;
  readonly at: CutAt;
}

/** Two proposals, and the setting that keeps them apart. */
export interface Parting {
  readonly caller: Offer;
  readonly callee: Offer;
  readonly at: Setting;
}

/** How far a suite came. Candidates stand by their own best pair of proposals. */
export type Fate =
  | { readonly step: 'requirement'; readonly requirement: RequirementName; readonly unmet: readonly RequirementName[] }
  | { readonly step: 'retired'; readonly pattern: string }
  /** Nothing looks at keys, or at hashes: the shortest key and the callee's first hash stand for all. */
  | { readonly step: 'overlap'; readonly place: 'key-length' | 'hash-order' }
  | { readonly step: 'retiring'; readonly pattern: string }
  | {
      readonly step: 'criterion';
      readonly criterion: Criterion;
      readonly own: Candidate;
      /** The one with the best score. */
      readonly against: Candidate;
    }
  | { readonly step: 'table'; readonly place: TablePlace }
  | { readonly step: 'chosen' };

/** A suite and key mode that two proposals have in common. */
export interface Contender {
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  readonly caller: Offer;
  readonly callee: Offer;
  readonly fate: Fate;
}

/** Suites that a criterion let pass although another is better by less than it counts. */
export interface Tie {
  readonly criterion: Criterion;
  readonly best: Candidate;
  readonly near: readonly Candidate[];
}

/** Why it came out so: of a choice, the step at which the last other suite fell; of none, what kept the closest apart. */
export type Cause =
  | { readonly kind: 'nothing-offered'; readonly side: SideName }
  | { readonly kind: 'apart'; readonly setting: Setting }
  | { readonly kind: 'requirement'; readonly requirement: RequirementName }
  | { readonly kind: 'retired' }
  | { readonly kind: 'only' }
  | { readonly kind: 'overlap'; readonly place: 'key-length' | 'hash-order' }
  | { readonly kind: 'retiring' }
  | { readonly kind: 'criterion'; readonly criterion: Criterion }
  | { readonly kind: 'table'; readonly place: TablePlace };

export interface Replay {
  readonly match: Match;
  readonly cause: Cause;
  readonly unusable: readonly Unusable[];
  /** The closest first. */
  readonly partings: readonly Parting[];
  /** The winner first, then who came furthest. */
  readonly contenders: readonly Contender[];
  readonly ties: readonly Tie[];
}

export function replay(caller: OfferList, callee: OfferList, selection: Selection, wishes: Wishes): Replay {
  const unusable = [...unusableOf('caller', caller), ...unusableOf('callee', callee)];
  const scope = scopeOf(selection, wishes);
  const { partings, contenders, candidates } = meetAll(caller, callee, selection, wishes, scope);
  const note = (of: Candidate, fate: Fate): void => keep(contenders, of, fate, selection);
  if (candidates.length === 0) {
    const failedOn = partings[0]?.at ?? cutAt(caller, callee);
    const match = { matched: false, failedOn, rule: selection.name } as const;
    const all = inOrder(contenders, selection);
    return { match, cause: causeOfNone(caller, callee, failedOn, all), unusable, partings, contenders: all, ties: [] };
  }
  const lasting = candidates.filter((one) => !isRetiring(one, scope));
  if (lasting.length > 0) {
    for (const one of candidates) {
      if (!isRetiring(one, scope)) continue;
      const pattern = wishes.retiring.find((pattern) => suiteFits(one.suite, pattern));
      if (pattern !== undefined) note(one, { step: 'retiring', pattern: spellSuitePattern(pattern) });
    }
  }
  const ties: Tie[] = [];
  let left: readonly Candidate[] = lasting.length > 0 ? lasting : candidates;
  for (const criterion of selection.prefer) {
    if (left.length === 1) break;
    const kept = bestBy(criterion, left, scope);
    const scores = kept.map((one) => scoreOf(criterion, one, scope));
    const least = scores.reduce((least, score) => Math.min(least, score), Number.POSITIVE_INFINITY);
    const best = kept[scores.indexOf(least)]!;
    const near = kept.filter((_, at) => scores[at]! > least);
    if (near.length > 0) ties.push({ criterion, best, near });
    const through = new Set(kept);
    for (const own of left) if (!through.has(own)) note(own, { step: 'criterion', criterion, own, against: best });
    left = kept;
  }
  const winner = left.reduce((best, one) => (inTableOrder(one, best) < 0 ? one : best));
  for (const one of left) {
    const place = tablePlaceOf(one, winner);
    if (place !== null) note(one, { step: 'table', place });
  }
  note(winner, { step: 'chosen' });
  const all = inOrder(contenders, selection);
  const { suite, callee: offer } = winner;
  const retiring = lasting.length === 0;
  const match = { matched: true, suite, keyMode: offer.keyMode, rule: selection.name, retiring } as const;
  return { match, cause: causeOfChoice(all), unusable, partings, contenders: all, ties };
}

/** For programs and for tests: `apart keyBits`, `criterion cost`, `table cipher`, `only`. */
export function spellCause(cause: Cause): string {
  switch (cause.kind) {
    case 'nothing-offered':
      return `nothing offered by the ${cause.side}`;
    case 'apart':
      return `apart ${cause.setting}`;
    case 'requirement':
      return `requirement ${cause.requirement}`;
    case 'criterion':
      return `criterion ${cause.criterion}`;
    case 'overlap':
    case 'table':
      return `${cause.kind} ${cause.place}`;
    case 'retired':
    case 'retiring':
    case 'only':
      return cause.kind;
    default:
      return cause satisfies never;
  }
}

const unusableOf = (side: SideName, list: OfferList): readonly Unusable[] =>
  list.passedOver.map(({ index, at }) => ({ side, index, at }));

interface Meetings {
  readonly partings: readonly Parting[];
  readonly contenders: Contenders;
  readonly candidates: readonly Candidate[];
}

/** By suite and key mode. @see placeIn */
type Contenders = Map<number, Contender>;

function meetAll(caller: OfferList, callee: OfferList, selection: Selection, wishes: Wishes, scope: Scope): Meetings {
  const partings: Parting[] = [];
  const contenders: Contenders = new Map();
  const fates = new Map<number, Fate | null>();
  const fateOf = (one: Candidate): Fate | null => {
    const place = placeIn(one);
    const known = fates.get(place);
    if (known !== undefined) return known;
    const fate = fateBefore(one, selection, wishes);
    fates.set(place, fate);
    return fate;
  };
  const candidates: Candidate[] = [];
  for (const theirs of callee.offers) {
    for (const ours of caller.offers) {
      const meeting = meet(ours, theirs, scope);
      if ('apart' in meeting) partings.push({ caller: ours, callee: theirs, at: meeting.apart });
      const taken = 'apart' in meeting ? [] : meeting.candidates;
      for (const one of taken) candidates.push(one);
      if ('apart' in meeting && meeting.apart !== 'rule' && meeting.apart !== 'retired') continue;
      for (const one of commonTo(ours, theirs)) {
        if (taken.some(({ traits }) => traits === one.traits)) continue;
        keep(contenders, one, fateOf(one) ?? overlapFate(one, taken), selection);
      }
    }
  }
  partings.sort((a, b) => SETTINGS.indexOf(b.at) - SETTINGS.indexOf(a.at));
  return { partings, contenders, candidates };
}

/** Every suite that two proposals have in common whose settings agree. */
export function commonTo(caller: Offer, callee: Offer): readonly Candidate[] {
  const { cipher, tagBits } = callee;
  const hashes = callee.hashes.filter((hash) => caller.hashes.includes(hash));
  const keys = caller.keys & callee.keys;
  const common: Candidate[] = [];
  for (const [bit, keyBits] of CIPHERS[cipher].keyBits.entries()) {
    if ((keys & (1 << bit)) === 0) continue;
    for (const [hashPlace, hash] of hashes.entries()) {
      const traits = SUITE_TRAITS[cipher][bit]![HASH_WIRE[hash]]!;
      common.push({ caller, callee, suite: { cipher, keyBits, hash, tagBits }, traits, hashPlace });
    }
  }
  return common;
}

/** The lengths that a mask of an offer stands for. */
export const keyLengthsOf = (cipher: Offer['cipher'], mask: number): readonly number[] =>
  CIPHERS[cipher].keyBits.filter((_, bit) => (mask & (1 << bit)) !== 0);

/** @returns what the rule or a retirement makes of a suite that two proposals have in common; null: nothing */
function fateBefore({ suite }: Candidate, { require }: Selection, { retired }: Wishes): Fate | null {
  const failed = unmet(suite, require);
  if (failed.length > 0) return { step: 'requirement', requirement: failed[0]!, unmet: failed };
  const pattern = retired.find((one) => suiteFits(suite, one));
  return pattern === undefined ? null : { step: 'retired', pattern: spellSuitePattern(pattern) };
}

/** Of a suite that was no candidate, and that nothing forbids. */
function overlapFate({ suite }: Candidate, taken: readonly Candidate[]): Fate {
  const sameKey = taken.some((one) => one.suite.keyBits === suite.keyBits);
  return { step: 'overlap', place: sameKey ? 'hash-order' : 'key-length' };
}

const contenderOf = ({ suite, caller, callee }: Candidate, fate: Fate): Contender => ({
  suite,
  keyMode: callee.keyMode,
  caller,
  callee,
  fate,
});

/** The same suite out of several pairs of proposals stands once, as far as it came. */
function keep(contenders: Contenders, one: Candidate, fate: Fate, selection: Selection): void {
  const place = placeIn(one);
  const known = contenders.get(place);
  if (known === undefined || stepOf(fate, selection) > stepOf(known.fate, selection)) {
    contenders.set(place, contenderOf(one, fate));
  }
}

/** A number for a suite and its key mode: key lengths and hashes are fewer than eight, tags shorter than 4096 bits. */
const placeIn = ({ traits: { cipher, keyPlace, hashNumber }, callee: { tagBits, keyMode } }: Candidate): number =>
  (((CIPHERS[cipher].wire * 8 + keyPlace) * 8 + hashNumber) * 4096 + tagBits) * 2 + Number(keyMode === 'key');

const inOrder = (contenders: Contenders, selection: Selection): readonly Contender[] =>
  [...contenders.values()].sort((a, b) => stepOf(b.fate, selection) - stepOf(a.fate, selection));

/** The further a suite came, the greater. */
function stepOf(fate: Fate, { prefer }: Selection): number {
  switch (fate.step) {
    case 'requirement':
      return REQUIREMENTS.indexOf(fate.requirement);
    case 'retired':
      return 10;
    case 'overlap':
      return fate.place === 'key-length' ? 20 : 21;
    case 'retiring':
      return 30;
    case 'criterion':
      return 40 + prefer.indexOf(fate.criterion);
    case 'table':
      return 1000 + TABLE_PLACES.indexOf(fate.place);
    case 'chosen':
      return 2000;
    default:
      return fate satisfies never;
  }
}

function causeOfNone(caller: OfferList, callee: OfferList, failedOn: Setting, contenders: readonly Contender[]): Cause {
  if (caller.offers.length === 0) return { kind: 'nothing-offered', side: 'caller' };
  if (callee.offers.length === 0) return { kind: 'nothing-offered', side: 'callee' };
  if (failedOn === 'retired') return { kind: 'retired' };
  const [closest] = contenders;
  if (failedOn !== 'rule' || closest?.fate.step !== 'requirement') return { kind: 'apart', setting: failedOn };
  return { kind: 'requirement', requirement: closest.fate.requirement };
}

function causeOfChoice([, last]: readonly Contender[]): Cause {
  const fate = last?.fate;
  if (fate === undefined) return { kind: 'only' };
  switch (fate.step) {
    case 'requirement':
      return { kind: 'requirement', requirement: fate.requirement };
    case 'criterion':
      return { kind: 'criterion', criterion: fate.criterion };
    case 'overlap':
      return { kind: 'overlap', place: fate.place };
    case 'table':
      return { kind: 'table', place: fate.place };
    case 'retired':
    case 'retiring':
      return { kind: fate.step };
    case 'chosen':
      throw new RangeError('two suites are chosen');
    default:
      return fate satisfies never;
  }
}
