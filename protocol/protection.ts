/**
 * How a suite protects one plaintext: an AEAD; AES-CTR with HMAC over the ciphertext; HMAC alone.
 */
import { concat, equalInConstantTime } from './bytes.ts';
import type { Crypto } from './crypto.ts';
import type { RecordAlgorithm } from './suites.ts';

/** @returns ciphertext ‖ tag, or plaintext ‖ MAC for a suite that does not encrypt */
export function protect(
  crypto: Crypto,
  algorithm: RecordAlgorithm,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  switch (algorithm.kind) {
    case 'aead':
      return crypto.seal(algorithm.aead, key, nonce, aad, plaintext);
    case 'encrypt-then-mac': {
      const ciphertext = crypto.encipherAesCtr(cipherKeyOf(algorithm, key), counterOf(nonce), plaintext);
      return concat(ciphertext, tagOf(crypto, algorithm, key, nonce, aad, ciphertext));
    }
    case 'integrity-only':
      return concat(plaintext, macOf(crypto, algorithm, key, nonce, aad, plaintext));
    default:
      return algorithm satisfies never;
  }
}

/** @returns the plaintext, or null when the tag is wrong; may be a view of the body */
export function unprotect(
  crypto: Crypto,
  algorithm: RecordAlgorithm,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  body: Uint8Array,
): Uint8Array | null {
  if (algorithm.kind === 'aead') return crypto.open(algorithm.aead, key, nonce, aad, body);
  if (body.length < algorithm.tagBytes) return null;
  const protectedBytes = body.subarray(0, body.length - algorithm.tagBytes);
  const tag = body.subarray(protectedBytes.length);
  switch (algorithm.kind) {
    case 'encrypt-then-mac':
      if (!equalInConstantTime(tag, tagOf(crypto, algorithm, key, nonce, aad, protectedBytes))) return null;
      return crypto.decipherAesCtr(cipherKeyOf(algorithm, key), counterOf(nonce), protectedBytes);
    case 'integrity-only':
      return equalInConstantTime(tag, macOf(crypto, algorithm, key, nonce, aad, protectedBytes))
        ? protectedBytes
        : null;
    default:
      return algorithm satisfies never;
  }
}

type EncryptThenMac = Extract<RecordAlgorithm, { kind: 'encrypt-then-mac' }>;
type IntegrityOnly = Extract<RecordAlgorithm, { kind: 'integrity-only' }>;

const cipherKeyOf = ({ cipherKeyBytes }: EncryptThenMac, key: Uint8Array): Uint8Array =>
  key.subarray(0, cipherKeyBytes);

/** Initial counter = nonce ‖ 00000000. @spec RFC 9605 §4.5.1 */
function counterOf(nonce: Uint8Array): Uint8Array {
  const counter = new Uint8Array(16);
  counter.set(nonce);
  return counter;
}

/** tag = HMAC(MAC key, l(aad) ‖ l(ciphertext) ‖ l(tag), 8 bytes each ‖ nonce ‖ aad ‖ ciphertext), cut. @spec RFC 9605 §4.5.1 */
function tagOf(
  crypto: Crypto,
  { cipherKeyBytes, tagBytes, suite }: EncryptThenMac,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const lengths = new Uint8Array(24);
  const view = new DataView(lengths.buffer);
  view.setUint32(4, aad.length);
  view.setUint32(12, ciphertext.length);
  view.setUint32(20, tagBytes);
  const data = concat(lengths, nonce, aad, ciphertext);
  return crypto.hmac(suite.hash, key.subarray(cipherKeyBytes), data).subarray(0, tagBytes);
}

/** HMAC(key, MAC0 structure ‖ nonce ‖ plaintext), cut to the tag's length: the first item is self-delimiting, the second fixed. */
function macOf(
  crypto: Crypto,
  { suite, tagBytes }: IntegrityOnly,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return crypto.hmac(suite.hash, key, concat(aad, nonce, plaintext)).subarray(0, tagBytes);
}
