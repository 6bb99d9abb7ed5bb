/**
 * A second opinion on the match: a search through the whole registry, written for being plain, with the rules of patent
 * 0156–0167 as a list of comparisons. `fault` plants one mistake, by which the proofs prove themselves.
 */

import type { Cost, Proposal } from '../protocol/messages.ts';
import type { Criterion, Selection, Wishes } from '../protocol/selection.ts';
import { assumedCost, HASH_WEIGHT } from '../protocol/suite-cost.ts';
import type { SuitePattern } from '../protocol/suite-pattern.ts';
import type { Cipher, KeyMode, Suite } from '../protocol/suites.ts';

/** Cipher, whether it encrypts, key lengths, tag lengths: written down a second time. */
const REGISTRY: readonly [Cipher, boolean, readonly number[], readonly number[]][] = [
  ['aes-gcm', true, [128, 192, 256], [128]],
  ['aes-ccm', true, [128, 256], [64, 128]],
  ['chacha20-poly1305', true, [256], [128]],
  ['aes-ctr-hmac', true, [128, 192, 256], [64, 128, 256]],
  ['hmac', false, [128, 256, 512], [64, 128, 256]],
];
const HASHES = ['sha-256', 'sha-384', 'sha-512'] as const;
const MODES: readonly KeyMode[] = ['seed', 'key'];

export const FAULTS = [
  'ignores tagBits',
  'ignores the key mode',
  'takes the longest key',
  "goes by the caller's order of hashes",
  'goes by the table order of hashes',
  'forgets the least strength',
  'forgets the least tag',
  'forgets the allowed ciphers',
  'forgets the allowed hashes',
  'no tie in cost',
  'adds the costs of both sides up',
  'takes the cheaper side',
  'forgets the message size',
  'ranks no priority first',
  'takes the priorities of the two sides for each other',
  'reads the criteria backwards',
  'forgets the last criterion',
  'forgets what retires',
  'forgets what is retired',
  'takes what does not encrypt unasked',
  'takes an absent tagBits for the shortest',
  'forgets the end of a range',
  "takes what stands first in the caller's list",
] as const;
export type Fault = (typeof FAULTS)[number];

export interface Given {
  readonly caller: readonly Proposal[];
  readonly callee: readonly Proposal[];
  readonly selection: Selection;
  readonly wishes: Wishes;
}

export interface Found {
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  readonly retiring: boolean;
}

interface Way extends Found {
  readonly caller: Proposal;
  readonly callee: Proposal;
  /** How many common hashes that the rule allows the callee names before this one. */
  readonly hashPlace: number;
}

/** All of the registry that one proposal of each side allows. */
export function commonSuites({ caller, callee, wishes }: Given, fault: Fault | null = null): readonly Way[] {
  const ways: Way[] = [];
  for (const [cipher, encrypts, lengths, tags] of REGISTRY) {
    if (!encrypts && !wishes.allowUnencrypted && fault !== 'takes what does not encrypt unasked') continue;
    for (const keyBits of lengths)
      for (const hash of HASHES)
        for (const tagBits of tags)
          for (const keyMode of MODES) {
            const suite = { cipher, keyBits, hash, tagBits };
            const retiring = wishes.retiring.some((pattern) => fits(suite, pattern));
            for (const ours of caller)
              for (const theirs of callee)
                if (allowed(ours, suite, keyMode, tags, fault) && allowed(theirs, suite, keyMode, tags, fault))
                  ways.push({ suite, keyMode, retiring, caller: ours, callee: theirs, hashPlace: 0 });
          }
  }
  return ways;
}

/** The suite that has to come out, or null. */
export function bestSuite(given: Given, fault: Fault | null = null): Found | null {
  const { selection, wishes } = given;
  const good = commonSuites(given, fault).filter(
    ({ suite }) =>
      failures(suite, selection, fault).length === 0 &&
      (fault === 'forgets what is retired' || !wishes.retired.some((pattern) => fits(suite, pattern))),
  );
  const lasting = good.filter(({ retiring }) => !retiring || fault === 'forgets what retires');
  let left = (lasting.length > 0 ? lasting : good).map((way) => ({
    ...way,
    hashPlace: placeOf(way, selection, fault),
  }));
  const prefer = fault === 'reads the criteria backwards' ? selection.prefer.toReversed() : selection.prefer;
  for (const criterion of fault === 'forgets the last criterion' ? prefer.slice(0, -1) : prefer) {
    const marks = left.map((way) => markOf(criterion, way, given, fault));
    const limit = Math.min(...marks) * (criterion === 'cost' && fault !== 'no tie in cost' ? 1.1 : 1);
    left = left.filter((_, at) => marks[at]! <= limit);
  }
  if (fault === "takes what stands first in the caller's list") {
    return left.toSorted((a, b) => given.caller.indexOf(a.caller) - given.caller.indexOf(b.caller))[0] ?? null;
  }
  return left.toSorted((a, b) => inOrder(a, b, fault))[0] ?? null;
}

/** What a rule asks and the suite is not. */
export function failures(
  { cipher, keyBits, hash, tagBits }: Suite,
  { require }: Selection,
  fault: Fault | null = null,
) {
  const asked = [
    ['cipher', require.ciphers.includes(cipher), 'forgets the allowed ciphers'],
    ['tag', tagBits >= require.minTagBits, 'forgets the least tag'],
    ['hash', require.hashes.includes(hash), 'forgets the allowed hashes'],
    ['strength', Math.min(keyBits, 256) >= require.minStrengthBits, 'forgets the least strength'],
  ] as const;
  return asked.filter(([, met, forgotten]) => !met && forgotten !== fault).map(([requirement]) => requirement);
}

export const fits = (suite: Suite, { cipher, keyBits, hash, tagBits }: SuitePattern): boolean =>
  suite.cipher === cipher &&
  [keyBits ?? suite.keyBits, hash ?? suite.hash, tagBits ?? suite.tagBits].join() ===
    [suite.keyBits, suite.hash, suite.tagBits].join();

function allowed(one: Proposal, suite: Suite, mode: KeyMode, tags: readonly number[], fault: Fault | null): boolean {
  const absent = fault === 'takes an absent tagBits for the shortest' ? tags[0] : tags.at(-1);
  return (
    one.cipher === suite.cipher &&
    (one.keyBits === undefined || one.keyBits.includes(suite.keyBits)) &&
    suite.keyBits >= (one.minKeyBits ?? 0) &&
    (suite.keyBits <= (one.maxKeyBits ?? 9999) || fault === 'forgets the end of a range') &&
    one.hashes.includes(suite.hash) &&
    ((one.tagBits ?? absent) === suite.tagBits || fault === 'ignores tagBits') &&
    (one.keyMode === mode || fault === 'ignores the key mode')
  );
}

function placeOf({ caller, callee, suite }: Way, { require }: Selection, fault: Fault | null): number {
  if (fault === 'goes by the table order of hashes') return HASHES.indexOf(suite.hash);
  const [first, second] = fault === "goes by the caller's order of hashes" ? [caller, callee] : [callee, caller];
  const common = [...new Set(first.hashes)].filter(
    (hash) => second.hashes.includes(hash) && (require.hashes as readonly string[]).includes(hash),
  );
  return common.indexOf(suite.hash);
}

/** Lower is better. */
function markOf(
  criterion: Criterion,
  { caller, callee, suite }: Way,
  { selection, wishes }: Given,
  fault: Fault | null,
) {
  const none = fault === 'ranks no priority first' ? 0 : 1e9;
  const [theirs, ours] =
    fault === 'takes the priorities of the two sides for each other' ? [caller, callee] : [callee, caller];
  const bytes = fault === 'forgets the message size' ? 1024 : (selection.messageBytes ?? wishes.messageBytes ?? 1024);
  const picos = ({ picosPerOp, picosPerByte }: Cost) => picosPerOp + bytes * picosPerByte;
  const [mine, yours] = [picos(caller.cost ?? assumedCost(suite)), picos(callee.cost ?? assumedCost(suite))];
  const marks: Readonly<Record<Criterion, number>> = {
    strength: 256 - Math.min(suite.keyBits, 256),
    'key-length': 512 - suite.keyBits,
    'cipher-lightness': assumedCost({ ...suite, hash: 'sha-256' }).picosPerByte,
    'hash-lightness': HASH_WEIGHT[suite.hash],
    cost:
      fault === 'adds the costs of both sides up'
        ? mine + yours
        : fault === 'takes the cheaper side'
          ? Math.min(mine, yours)
          : Math.max(mine, yours),
    'callee-priority': theirs.priority ?? none,
    'caller-priority': ours.priority ?? none,
  };
  return marks[criterion];
}

function inOrder(a: Way, b: Way, fault: Fault | null): number {
  const names = REGISTRY.map(([cipher]) => cipher);
  const shorter = fault === 'takes the longest key' ? -1 : 1;
  const places = [
    names.indexOf(a.suite.cipher) - names.indexOf(b.suite.cipher),
    (a.suite.keyBits - b.suite.keyBits) * shorter,
    a.hashPlace - b.hashPlace,
    HASHES.indexOf(a.suite.hash) - HASHES.indexOf(b.suite.hash),
    b.suite.tagBits - a.suite.tagBits,
    MODES.indexOf(a.keyMode) - MODES.indexOf(b.keyMode),
  ];
  return places.find((place) => place !== 0) ?? 0;
}
