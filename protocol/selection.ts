/**
 * What a rule says of the choice: what a suite must be, and by what one of several is taken; and what one connect adds.
 */
import type { HashName } from './crypto.ts';
import { DEFAULT_MESSAGE_BYTES } from './suite-cost.ts';
import type { SuitePattern } from './suite-pattern.ts';
import { CIPHERS, type Cipher, HASH_WIRE } from './suites.ts';

/** By what one of several suites is taken; which is the better, `scoreOf` tells. */
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

/** The rule's word, the caller's, or neither's. */
export const messageBytesOf = (selection: Selection, wishes: Wishes): number =>
  selection.messageBytes ?? wishes.messageBytes ?? DEFAULT_MESSAGE_BYTES;
