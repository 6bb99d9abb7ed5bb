/**
 * What a proposal allows: its ranges cut to what the cipher has, ready to be matched. A proposal with nothing left is passed
 * over, with the setting at which nothing was left. [patent 0151, 0161]
 */
import type { HashName } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import type { Cost, Proposal } from './messages.ts';
import type { Later } from './schema.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type KeyMode, longestTagBits, type Suite } from './suites.ts';

/** One proposal as the match reads it. */
export interface Offer {
  /** Its place in the list, for explanations; decides nothing. */
  readonly index: number;
  readonly cipher: Cipher;
  /** One bit for each key length of the cipher's row, the shortest lowest. */
  readonly keys: number;
  /** In the order of preference, each once. */
  readonly hashes: readonly HashName[];
  /** The same by their numbers on the wire. */
  readonly hashNumbers: readonly number[];
  /** One bit for each of these. */
  readonly hashMask: number;
  readonly tagBits: number;
  readonly keyMode: KeyMode;
  readonly priority: number;
  readonly cost: Cost | null;
}

export type CutAt = 'cipher' | 'keyBits' | 'hash' | 'tagBits';
export interface PassedOver {
  readonly index: number;
  /** The setting of which the registry has nothing that this proposal allows. */
  readonly at: CutAt;
}

/** What a device offers; made once for a registration. */
export interface OfferList {
  readonly offers: readonly Offer[];
  /** Of these, those that can decide a match: of two that allow the same, one that the other is never worse than is left out. */
  readonly deciding: readonly Offer[];
  readonly passedOver: readonly PassedOver[];
}

/** No priority ranks after all given ones. */
export const NO_PRIORITY = Number.MAX_SAFE_INTEGER;
const HASHES: ReadonlySet<string> = new Set(Object.keys(HASH_WIRE));

export function offersOf(proposals: readonly Proposal[]): OfferList {
  const offers: Offer[] = [];
  const passedOver: PassedOver[] = [];
  for (const [index, proposal] of proposals.entries()) {
    const cut = cutProposal(proposal, index);
    if (typeof cut === 'string') passedOver.push({ index, at: cut });
    else offers.push(cut);
  }
  return { offers, deciding: decidingOf(offers), passedOver };
}

/**
 * With the same suites, the same order of hashes and the same key mode on one side, each candidate of the one is a candidate of
 * the other, in the same place; every criterion but cost and priority sees no difference, and these are better in the one that
 * stays, or the same. So no match comes out otherwise, and none is refused for another setting.
 */
function decidingOf(offers: readonly Offer[]): readonly Offer[] {
  const alike = new Map<string, Offer[]>();
  for (const offer of offers) {
    const { cipher, keys, hashNumbers, tagBits, keyMode } = offer;
    const key = `${cipher} ${keys} ${hashNumbers.join()} ${tagBits} ${keyMode}`;
    const known = alike.get(key) ?? [];
    if (known.some((one) => isNeverWorse(one, offer))) continue;
    alike.set(key, [...known.filter((one) => !isNeverWorse(offer, one)), offer]);
  }
  const deciding = new Set([...alike.values()].flat());
  return offers.filter((offer) => deciding.has(offer));
}

function isNeverWorse(one: Offer, other: Offer): boolean {
  if (one.priority > other.priority) return false;
  if (one.cost === null || other.cost === null) return one.cost === other.cost;
  return one.cost.picosPerOp <= other.cost.picosPerOp && one.cost.picosPerByte <= other.cost.picosPerByte;
}

function cutProposal(proposal: Proposal, index: number): Offer | CutAt {
  const { cipher, keyMode, cost } = proposal;
  if (!isKnown(cipher)) return 'cipher';
  const keys = keyMaskOf(cipher, proposal);
  if (keys === 0) return 'keyBits';
  const hashes = [...new Set(proposal.hashes)].filter((hash): hash is HashName => HASHES.has(hash));
  if (hashes.length === 0) return 'hash';
  const tagBits = proposal.tagBits ?? longestTagBits(cipher);
  if (!CIPHERS[cipher].tagBits.includes(tagBits)) return 'tagBits';
  const hashNumbers = hashes.map((hash) => HASH_WIRE[hash]);
  const hashMask = hashMaskOf(hashes);
  const priority = proposal.priority ?? NO_PRIORITY;
  return { index, cipher, keys, hashes, hashNumbers, hashMask, tagBits, keyMode, priority, cost: cost ?? null };
}

const isKnown = (cipher: Cipher | Later): cipher is Cipher => Object.hasOwn(CIPHERS, cipher);

export const hashMaskOf = (hashes: readonly HashName[]): number =>
  hashes.reduce((mask, hash) => mask | (1 << HASH_WIRE[hash]), 0);

function keyMaskOf(cipher: Cipher, proposal: Proposal): number {
  let mask = 0;
  for (const [bit, length] of CIPHERS[cipher].keyBits.entries()) if (allowsKey(proposal, length)) mask |= 1 << bit;
  return mask;
}

const allowsKey = ({ keyBits, minKeyBits, maxKeyBits }: Proposal, length: number): boolean =>
  (keyBits === undefined || keyBits.includes(length)) &&
  (minKeyBits === undefined || length >= minKeyBits) &&
  (maxKeyBits === undefined || length <= maxKeyBits);

/** Whether a proposal of a list allows the suite: what a device asks before it takes one. */
export function allows(proposals: readonly Proposal[], suite: Suite, keyMode: KeyMode): boolean {
  const { cipher, keyBits, hash, tagBits } = suite;
  if (!CIPHERS[cipher].keyBits.includes(keyBits) || !CIPHERS[cipher].tagBits.includes(tagBits)) return false;
  const isLongest = tagBits === longestTagBits(cipher);
  return proposals.some(
    (one) =>
      one.cipher === cipher &&
      one.keyMode === keyMode &&
      (one.tagBits === undefined ? isLongest : one.tagBits === tagBits) &&
      allowsKey(one, keyBits) &&
      one.hashes.includes(hash),
  );
}

/** @returns what contradicts itself, or null */
export function faultOf({ minKeyBits, maxKeyBits }: Proposal): string | null {
  if (minKeyBits === undefined || maxKeyBits === undefined || minKeyBits <= maxKeyBits) return null;
  return `a key length of at least ${minKeyBits} and at most ${maxKeyBits} bits: min is above max`;
}

/** @throws ProtocolError malformed, naming the proposal by its place from 1 */
export function checkProposals(proposals: readonly Proposal[]): void {
  for (const [index, proposal] of proposals.entries()) {
    const fault = faultOf(proposal);
    if (fault !== null) throw new ProtocolError('malformed', `proposal ${index + 1}: ${fault}`);
  }
}

/** As people write it, in a configuration and in a device file. */
export interface WrittenProposal {
  readonly cipher: Cipher;
  readonly keyBits:
    | number
    | readonly number[]
    | { readonly min?: number | undefined; readonly max?: number | undefined };
  readonly hash: HashName | readonly HashName[];
  readonly tagBits?: number | undefined;
  readonly keyMode: KeyMode;
  readonly priority?: number | undefined;
  /** Nanoseconds, with fractions. */
  readonly cost?: { readonly nsPerOp: number; readonly nsPerByte: number } | undefined;
}

export function proposalOf({ cipher, keyBits, hash, tagBits, keyMode, priority, cost }: WrittenProposal): Proposal {
  const keys =
    typeof keyBits === 'number'
      ? { keyBits: [keyBits] }
      : 'length' in keyBits
        ? { keyBits }
        : { minKeyBits: keyBits.min, maxKeyBits: keyBits.max };
  const picos =
    cost === undefined
      ? undefined
      : { picosPerOp: Math.round(cost.nsPerOp * 1000), picosPerByte: Math.round(cost.nsPerByte * 1000) };
  return { cipher, ...keys, hashes: typeof hash === 'string' ? [hash] : hash, tagBits, keyMode, priority, cost: picos };
}

/** For people: `aes-gcm at least 128 bit, sha-256 or sha-384, tag 128, seed`. */
export function describeProposal(proposal: Proposal): string {
  const { cipher, hashes, tagBits, keyMode } = proposal;
  const tag = tagBits ?? (isKnown(cipher) ? longestTagBits(cipher) : 'longest');
  return `${cipher} ${describeKeys(proposal)}, ${hashes.join(' or ')}, tag ${tag}, ${keyMode}`;
}

function describeKeys({ keyBits, minKeyBits, maxKeyBits }: Proposal): string {
  const parts = [
    keyBits === undefined ? null : `${keyBits.join(' or ')} bit`,
    minKeyBits === undefined ? null : `at least ${minKeyBits} bit`,
    maxKeyBits === undefined ? null : `at most ${maxKeyBits} bit`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? 'any key length' : parts.join(', ');
}
