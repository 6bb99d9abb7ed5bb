/**
 * The match (patent 0156–0167, claim 5): in which suites the caller's and the callee's proposals meet, and which of several
 * is taken. Pure and deterministic: a list of proposals is a set, its order means nothing; lists of hashes are in order.
 */
import type { HashName } from './crypto.ts';
import { hashBit, type Offer, type OfferList } from './proposal.ts';
import { assumedCost, COST_TIE, cipherWeight, costOf, DEFAULT_MESSAGE_BYTES, HASH_WEIGHT } from './suite-cost.ts';
import type { SuitePattern } from './suite-pattern.ts';
import { suiteFits } from './suite-pattern.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type KeyMode, type Suite, strengthBits } from './suites.ts';

/** By what one of several suites is taken; of each kind the better is told in `SCORES`. */
export type Criterion =
  | 'strength'
  | 'key-length'
  | 'cipher-lightness'
  | 'hash-lightness'
  | 'cost'
  | 'callee-priority'
  | 'caller-priority';
export const CRITERIA: readonly Criterion[] = [
  'strength',
  'key-length',
  'cipher-lightness',
  'hash-lightness',
  'cost',
  'callee-priority',
  'caller-priority',
];

/** What a suite must be at least. */
export interface Requirement {
  readonly minStrengthBits: number;
  readonly minTagBits: number;
  readonly ciphers: readonly Cipher[];
  readonly hashes: readonly HashName[];
}

export const CIPHER_ORDER = Object.keys(CIPHERS) as readonly Cipher[];
export const HASH_ORDER = Object.keys(HASH_WIRE) as readonly HashName[];

export const NO_REQUIREMENT: Requirement = {
  minStrengthBits: 0,
  minTagBits: 0,
  ciphers: CIPHER_ORDER,
  hashes: HASH_ORDER,
};

/** How one of several suites is taken: what must be, then by what, in order. */
export interface Selection {
  /** Of the rule that says so. */
  readonly name: string;
  readonly require: Requirement;
  /** In order. What ties in all of them goes by the suite table: cipher, shorter key, the callee's hash, longer tag, seed. */
  readonly prefer: readonly Criterion[];
  /** For which costs are compared; null: as the caller wishes. */
  readonly messageBytes: number | null;
}

/** [patent 0163-0164] The side that is asked comes before the side that asks. */
export const CALLEE_FIRST: readonly Criterion[] = ['callee-priority', 'caller-priority'];
export const CALLER_FIRST: readonly Criterion[] = ['caller-priority', 'callee-priority'];

export const DEFAULT_SELECTION: Selection = {
  name: 'default',
  require: NO_REQUIREMENT,
  prefer: CALLEE_FIRST,
  messageBytes: null,
};

/** What one connect adds. */
export interface Wishes {
  /** The caller asked for suites that do not encrypt as well. */
  readonly allowUnencrypted: boolean;
  /** Size of the messages to come; null: not said. */
  readonly messageBytes: number | null;
  /** Taken only when nothing else is common. */
  readonly retiring: readonly SuitePattern[];
  /** Not taken at all. */
  readonly retired: readonly SuitePattern[];
}

export const NO_WISHES: Wishes = { allowUnencrypted: false, messageBytes: null, retiring: [], retired: [] };

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
  /** Place of the hash in the callee's order, of those that are common and allowed. */
  readonly hashPlace: number;
}

/** Where two proposals part, or the suites in which they meet. */
export type Meeting = { readonly apart: Setting } | { readonly candidates: readonly Candidate[] };

export function match(
  caller: OfferList,
  callee: OfferList,
  selection: Selection = DEFAULT_SELECTION,
  wishes: Wishes = NO_WISHES,
): Match {
  // what cannot be among the best by the first criterion any more is not even kept
  const first = wishes.retiring.length === 0 ? selection.prefer[0] : undefined;
  let enough = Number.POSITIVE_INFINITY;
  let candidates: Candidate[] = [];
  let furthest = 0;
  for (const theirs of callee.offers) {
    for (const ours of caller.offers) {
      const meeting = meet(ours, theirs, selection, wishes);
      if ('apart' in meeting) {
        furthest = Math.max(furthest, SETTINGS.indexOf(meeting.apart));
        continue;
      }
      for (const one of meeting.candidates) {
        const score = first === undefined ? 0 : scoreOf(first, one, selection, wishes);
        if (score > enough) continue;
        if (first !== undefined) enough = Math.min(enough, stillBest(first, score));
        candidates.push(one);
      }
    }
  }
  if (candidates.length === 0) return { matched: false, failedOn: SETTINGS[furthest]!, rule: selection.name };
  const lasting = wishes.retiring.length === 0 ? candidates : candidates.filter((one) => !isRetiring(one, wishes));
  if (lasting.length > 0) candidates = lasting;
  for (const criterion of selection.prefer) {
    if (candidates.length === 1) break;
    candidates = bestBy(criterion, candidates, selection, wishes);
  }
  let best = candidates[0]!;
  for (const one of candidates) if (inTableOrder(one, best) < 0) best = one;
  const { suite, callee: offer } = best;
  return { matched: true, suite, keyMode: offer.keyMode, rule: selection.name, retiring: lasting.length === 0 };
}

/** [patent 0160, 0161] Every setting equal, or its ranges overlapping; then what the rule and the connect allow of that. */
export function meet(caller: Offer, callee: Offer, selection: Selection, wishes: Wishes): Meeting {
  const { cipher, tagBits, keyMode } = callee;
  if (caller.cipher !== cipher) return APART.cipher;
  const keys = caller.keys & callee.keys;
  if (keys === 0) return APART.keyBits;
  const hashes = caller.hashMask & callee.hashMask;
  if (hashes === 0) return APART.hash;
  if (caller.tagBits !== tagBits) return APART.tagBits;
  if (caller.keyMode !== keyMode) return APART.keyMode;
  if (!wishes.allowUnencrypted && !CIPHERS[cipher].encrypts) return APART.encryption;
  return within(caller, callee, keys, hashes, selection, wishes);
}

function within(
  caller: Offer,
  callee: Offer,
  keys: number,
  hashes: number,
  { require, prefer }: Selection,
  { retiring, retired }: Wishes,
): Meeting {
  const { cipher, tagBits } = callee;
  if (!require.ciphers.includes(cipher) || tagBits < require.minTagBits) return APART.rule;
  const allowed = callee.hashes.filter((hash) => (hashes & hashBit(hash)) !== 0 && require.hashes.includes(hash));
  if (allowed.length === 0) return APART.rule;
  // [patent 0162] the shortest key and the callee's first hash, unless a criterion looks at these
  const every = retiring.length > 0 || retired.length > 0; // a retirement may name one key with one hash
  const everyKey = every || prefer.some((one) => LOOKS_AT_KEY.has(one));
  const everyHash = every || prefer.some((one) => LOOKS_AT_HASH.has(one));
  const candidates: Candidate[] = [];
  let strong = false;
  let shortest = 0;
  const { keyBits: lengths } = CIPHERS[cipher];
  for (let bit = 0; bit < lengths.length && (shortest === 0 || everyKey); bit++) {
    if ((keys & (1 << bit)) === 0) continue;
    const keyBits = lengths[bit]!;
    for (let hashPlace = 0; hashPlace < allowed.length; hashPlace++) {
      const suite = { cipher, keyBits, hash: allowed[hashPlace]!, tagBits };
      if (strengthBits(suite) < require.minStrengthBits) break;
      strong = true;
      if (retired.some((pattern) => suiteFits(suite, pattern))) continue;
      if (shortest === 0) shortest = keyBits;
      candidates.push({ caller, callee, suite, hashPlace });
      if (!everyHash) break;
    }
  }
  if (candidates.length > 0) return { candidates };
  return strong ? APART.retired : APART.rule;
}

const APART = Object.fromEntries(SETTINGS.map((setting) => [setting, { apart: setting }])) as Readonly<
  Record<Setting, { readonly apart: Setting }>
>;
const LOOKS_AT_KEY: ReadonlySet<Criterion> = new Set(['strength', 'key-length', 'cipher-lightness', 'cost']);
/** The weight of aes-ctr-hmac and of hmac is that of the hash too. */
const LOOKS_AT_HASH: ReadonlySet<Criterion> = new Set(['cipher-lightness', 'hash-lightness', 'cost']);

/** Those that no other is better than. */
export function bestBy(
  criterion: Criterion,
  candidates: readonly Candidate[],
  selection: Selection,
  wishes: Wishes,
): Candidate[] {
  const scores = candidates.map((candidate) => scoreOf(criterion, candidate, selection, wishes));
  const least = scores.reduce((lowest, score) => Math.min(lowest, score), Number.POSITIVE_INFINITY);
  const enough = stillBest(criterion, least);
  return candidates.filter((_, at) => scores[at]! <= enough);
}

/** The greatest score that is as good as the least: a measured cost is never exact. */
const stillBest = (criterion: Criterion, least: number): number => (criterion === 'cost' ? least * COST_TIE : least);

/** Lower is better. */
export function scoreOf(
  criterion: Criterion,
  { caller, callee, suite }: Candidate,
  selection: Selection,
  wishes: Wishes,
): number {
  switch (criterion) {
    case 'strength':
      return -strengthBits(suite);
    case 'key-length':
      return -suite.keyBits;
    case 'cipher-lightness':
      return cipherWeight(suite);
    case 'hash-lightness':
      return HASH_WEIGHT[suite.hash];
    case 'cost':
      return dearerSide(caller, callee, suite, messageBytesOf(selection, wishes));
    case 'callee-priority':
      return callee.priority;
    case 'caller-priority':
      return caller.priority;
    default:
      return criterion satisfies never;
  }
}

/** The rule's word, the caller's, or neither's. */
export const messageBytesOf = (selection: Selection, wishes: Wishes): number =>
  selection.messageBytes ?? wishes.messageBytes ?? DEFAULT_MESSAGE_BYTES;

/** Picoseconds a message on the slower side. */
function dearerSide(caller: Offer, callee: Offer, suite: Suite, messageBytes: number): number {
  const assumed = caller.cost === null || callee.cost === null ? costOf(assumedCost(suite), messageBytes) : 0;
  return Math.max(
    caller.cost === null ? assumed : costOf(caller.cost, messageBytes),
    callee.cost === null ? assumed : costOf(callee.cost, messageBytes),
  );
}

/** Taken only when nothing else is common. */
export const isRetiring = ({ suite }: Pick<Candidate, 'suite'>, { retiring }: Pick<Wishes, 'retiring'>): boolean =>
  retiring.some((pattern) => suiteFits(suite, pattern));

/** The settings by which the suite table orders what ties in every criterion, the weightiest first. */
export const TABLE_PLACES = ['cipher', 'key-length', 'hash-order', 'hash', 'tag', 'key-mode'] as const;
export type TablePlace = (typeof TABLE_PLACES)[number];

const BY_PLACE: Readonly<Record<TablePlace, (a: Candidate, b: Candidate) => number>> = {
  cipher: (a, b) => CIPHER_ORDER.indexOf(a.suite.cipher) - CIPHER_ORDER.indexOf(b.suite.cipher),
  'key-length': (a, b) => a.suite.keyBits - b.suite.keyBits,
  'hash-order': (a, b) => a.hashPlace - b.hashPlace,
  hash: (a, b) => HASH_WIRE[a.suite.hash] - HASH_WIRE[b.suite.hash],
  tag: (a, b) => b.suite.tagBits - a.suite.tagBits,
  'key-mode': (a, b) => Number(a.callee.keyMode === 'key') - Number(b.callee.keyMode === 'key'),
};

/** Where two of them part in the suite table; null only for the same suite and key mode. */
export const tablePlaceOf = (a: Candidate, b: Candidate): TablePlace | null =>
  TABLE_PLACES.find((place) => BY_PLACE[place](a, b) !== 0) ?? null;

/** Negative: the first goes before. Zero only for the same suite and key mode. */
export function inTableOrder(a: Candidate, b: Candidate): number {
  const place = tablePlaceOf(a, b);
  return place === null ? 0 : BY_PLACE[place](a, b);
}
