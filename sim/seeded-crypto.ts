/**
 * The node half of the crypto seam with every random draw from a seed: real cryptography, the same keys, nonces and ids
 * in every run. ECDSA signatures made elsewhere (SigningKey) stay as OpenSSL makes them: of one size, not of one value.
 */
import { newPublicKeyCounter, nodeCrypto } from '../platform/crypto-node.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { SeededRandom } from './seeded-random.ts';

export function seededCrypto(random: SeededRandom, counter = newPublicKeyCounter()): Crypto {
  const half = nodeCrypto(counter);
  return {
    ...half,
    name: 'node, seeded',
    generateKey: (curve) => half.ephemeralKey(curve, secretScalar(random)),
    random: (length) => random.bytes(length),
  };
}

/** 32 bytes that every curve takes as a secret key: not zero, and below the order of P-256, which begins ff ff ff ff. */
export function secretScalar(random: SeededRandom): Uint8Array {
  for (;;) {
    const scalar = random.bytes(32);
    if (scalar[0] !== 0xff && scalar.some((byte) => byte !== 0)) return scalar;
  }
}
