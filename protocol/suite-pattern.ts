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
