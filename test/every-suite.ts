/**
 * The registry of suites, combination by combination, for what has to hold for each of them.
 */
import type { Aead, HashName } from '../protocol/crypto.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type RecordAlgorithm, resolveSuite } from '../protocol/suites.ts';

export const HASHES = Object.keys(HASH_WIRE) as HashName[];

/** Every suite that can be registered. */
export const EVERY_SUITE: readonly RecordAlgorithm[] = (Object.keys(CIPHERS) as Cipher[]).flatMap((cipher) =>
  CIPHERS[cipher].keyBits.flatMap((keyBits) =>
    CIPHERS[cipher].tagBits.flatMap((tagBits) =>
      HASHES.map((hash) => resolveSuite({ cipher, keyBits, hash, tagBits })!),
    ),
  ),
);

/** Each AEAD among them once: the hash makes no other one. */
export const EVERY_AEAD: readonly Aead[] = [
  ...new Map(
    EVERY_SUITE.flatMap((one) => (one.kind === 'aead' ? [[one.coseAlgorithm, one.aead] as const] : [])),
  ).values(),
];

/** Flips one bit of a copy. */
export function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 1 << (bit & 7);
  return flipped;
}
