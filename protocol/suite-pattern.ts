/**
 * Names suites as people write them: `aes-ccm` for all of a cipher, `aes-ccm/128`, `aes-ccm/128/sha-256/64` for one; `*`
 * leaves a setting open. Also as they are printed: `aes-ccm-128`.
 */
import type { HashName } from './crypto.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type Suite } from './suites.ts';

/** Settings that a suite must have; null: any. */
export interface SuitePattern {
  readonly cipher: Cipher;
  readonly keyBits: number | null;
  readonly hash: HashName | null;
  readonly tagBits: number | null;
}

export const suiteFits = (suite: Suite, { cipher, keyBits, hash, tagBits }: SuitePattern): boolean =>
  suite.cipher === cipher &&
  (keyBits === null || suite.keyBits === keyBits) &&
  (hash === null || suite.hash === hash) &&
  (tagBits === null || suite.tagBits === tagBits);

/** Suites of the registry, each a flag: a match asks for each candidate and walks through no patterns. */
export type SuiteSet = Readonly<Record<Cipher, Uint8Array>>;

/** Those that fit one of the patterns. */
export function suiteSetOf(patterns: readonly SuitePattern[]): SuiteSet {
  if (patterns.length === 0) return NO_SUITES;
  const set = emptySet();
  for (const { cipher, keyBits, hash, tagBits } of patterns) {
    const row = CIPHERS[cipher];
    for (const [key, length] of row.keyBits.entries()) {
      if (keyBits !== null && keyBits !== length) continue;
      for (const name of HASHES) {
        if (hash !== null && hash !== name) continue;
        for (const [tag, bits] of row.tagBits.entries()) {
          if (tagBits === null || tagBits === bits) set[cipher][placeOf(cipher, key, HASH_WIRE[name], tag)] = 1;
        }
      }
    }
  }
  return set;
}

/** @param key place of the key length in the cipher's row; @param hash its number on the wire */
export const isInSet = (set: SuiteSet, cipher: Cipher, key: number, hash: number, tagBits: number): boolean =>
  set !== NO_SUITES && set[cipher][placeOf(cipher, key, hash, CIPHERS[cipher].tagBits.indexOf(tagBits))] === 1;

const HASHES = Object.keys(HASH_WIRE) as readonly HashName[];
/** Numbers on the wire begin with 1. */
const HASH_PLACES = Math.max(...Object.values(HASH_WIRE)) + 1;

const placeOf = (cipher: Cipher, key: number, hash: number, tag: number): number =>
  (key * HASH_PLACES + hash) * CIPHERS[cipher].tagBits.length + tag;

const emptySet = (): SuiteSet =>
  Object.fromEntries(
    Object.entries(CIPHERS).map(([cipher, { keyBits, tagBits }]) => [
      cipher,
      new Uint8Array(keyBits.length * HASH_PLACES * tagBits.length),
    ]),
  ) as SuiteSet;

const NO_SUITES = emptySet();

/** @returns what is wrong with it, in words that name what is allowed */
export function parseSuitePattern(text: string): SuitePattern | { readonly fault: string } {
  const dashed = /^(.+)-(\d{3})$/.exec(text);
  const parts = dashed !== null && Object.hasOwn(CIPHERS, dashed[1]!) ? dashed.slice(1) : text.split('/');
  const [cipher = '', keys = '*', hash = '*', tag = '*', ...more] = parts;
  if (!isCipher(cipher)) return { fault: `no cipher ${cipher}: ${Object.keys(CIPHERS).join(', ')}` };
  if (more.length > 0) return { fault: `${text}: a suite has four settings, cipher/keyBits/hash/tagBits` };
  const keyBits = numberIn(keys, CIPHERS[cipher].keyBits);
  if (keyBits === undefined)
    return { fault: `${cipher} has no key of ${keys} bits: ${CIPHERS[cipher].keyBits.join(', ')}` };
  if (hash !== '*' && !isHash(hash)) return { fault: `no hash ${hash}: ${Object.keys(HASH_WIRE).join(', ')}` };
  const tagBits = numberIn(tag, CIPHERS[cipher].tagBits);
  if (tagBits === undefined)
    return { fault: `${cipher} has no tag of ${tag} bits: ${CIPHERS[cipher].tagBits.join(', ')}` };
  return { cipher, keyBits, hash: hash === '*' ? null : hash, tagBits };
}

/** The same pattern has one spelling: what is open at the end is left out. */
export function spellSuitePattern({ cipher, keyBits, hash, tagBits }: SuitePattern): string {
  const parts = [cipher, keyBits ?? '*', hash ?? '*', tagBits ?? '*'];
  while (parts.at(-1) === '*') parts.pop();
  return parts.join('/');
}

const isCipher = (text: string): text is Cipher => Object.hasOwn(CIPHERS, text);
const isHash = (text: string): text is HashName => Object.hasOwn(HASH_WIRE, text);

/** @returns null for `*`, undefined for what is not there */
function numberIn(text: string, known: readonly number[]): number | null | undefined {
  if (text === '*') return null;
  return known.find((one) => String(one) === text);
}
