/**
 * Signing keys that live in memory beside the portable crypto half: Ed25519, P-256, P-384. ECDSA is deterministic
 * (RFC 6979), so a bad random source cannot betray the key.
 */
import { ed25519 } from '@noble/curves/ed25519.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { equal, wipe } from '../protocol/bytes.ts';
import type { PublicKeyCounter, SignatureAlgorithm, SigningKey } from '../protocol/crypto.ts';
import { platformRandom } from './crypto-portable.ts';
import { type FixedKeyAlgorithm, readPkcs8, writePkcs8, writeSpki } from './key-encoding.ts';

/** A signing key with the public key that belongs to it (SubjectPublicKeyInfo, DER). */
export type PortableSigningKey = SigningKey & { readonly publicSpki: Uint8Array };

const ECDSA_DIGESTS = { 'ecdsa-sha256': sha256, 'ecdsa-sha384': sha384, 'ecdsa-sha512': sha512 } as const;
const SECRET_BYTES: Readonly<Record<FixedKeyAlgorithm, number>> = { ed25519: 32, p256: 32, p384: 48 };

/**
 * @param pkcs8    PrivateKeyInfo, DER, unencrypted; a copy of the secret is kept, the caller wipes this one
 * @param counter  every signature adds one to `sign`
 * @returns        null when it is no key of the three kinds, or the public key in it is another's
 */
export function portableSigningKey(pkcs8: Uint8Array, counter: PublicKeyCounter): PortableSigningKey | null {
  const read = readPkcs8(pkcs8);
  if (read === null || !isSecret(read.algorithm, read.secret)) return null;
  const raw = publicOf(read.algorithm, read.secret);
  if (read.publicRaw !== null && !equal(read.publicRaw, raw)) return null;
  return signer(read.algorithm, read.secret, raw, counter);
}

/** A new key pair; the caller stores and wipes `pkcs8`. */
export function newPortableSigningKey(
  algorithm: FixedKeyAlgorithm,
  counter: PublicKeyCounter,
  random: (length: number) => Uint8Array = platformRandom,
): { readonly pkcs8: Uint8Array; readonly key: PortableSigningKey } {
  counter.generate++;
  for (;;) {
    const secret = random(SECRET_BYTES[algorithm]);
    if (isSecret(algorithm, secret)) {
      return {
        pkcs8: writePkcs8(algorithm, secret),
        key: signer(algorithm, secret, publicOf(algorithm, secret), counter),
      };
    }
    wipe(secret);
  }
}

function isSecret(algorithm: FixedKeyAlgorithm, secret: Uint8Array): boolean {
  return algorithm === 'ed25519' || (algorithm === 'p256' ? p256 : p384).utils.isValidSecretKey(secret);
}

function publicOf(algorithm: FixedKeyAlgorithm, secret: Uint8Array): Uint8Array {
  if (algorithm === 'ed25519') return ed25519.getPublicKey(secret);
  return (algorithm === 'p256' ? p256 : p384).getPublicKey(secret, false).slice(1);
}

function signer(
  algorithm: FixedKeyAlgorithm,
  secret: Uint8Array,
  raw: Uint8Array,
  counter: PublicKeyCounter,
): PortableSigningKey {
  return {
    algorithm,
    publicSpki: writeSpki(algorithm, raw),
    sign(how, data) {
      if (algorithm === 'ed25519') {
        if (how !== 'ed25519') throw misfit(algorithm, how);
        counter.sign++;
        return ed25519.sign(data, secret);
      }
      if (!(how in ECDSA_DIGESTS)) throw misfit(algorithm, how);
      counter.sign++;
      const digest = ECDSA_DIGESTS[how as keyof typeof ECDSA_DIGESTS](data);
      return (algorithm === 'p256' ? p256 : p384).sign(digest, secret, { prehash: false, format: 'compact' });
    },
  };
}

function misfit(algorithm: FixedKeyAlgorithm, how: SignatureAlgorithm): RangeError {
  return new RangeError(`a key of type ${algorithm} makes no signature ${how}`);
}
