/**
 * Signature checks of one question: none is made twice, and their number and cost are bounded. Beyond the bound nothing
 * is authentic any more, and whoever asked has to refuse, whatever was found.
 */
import { equal } from './bytes.ts';
import type { Crypto, PublicKey } from './crypto.ts';

/** Most signature checks of one question. */
export const MAX_SIGNATURE_CHECKS = 100;
/** Most microseconds, as estimated below: more than 50 ms for no question, on the slowest kind of key either. */
const MAX_SIGNATURE_MICROS = 25_000;

export interface SignatureWork {
  /** The same cryptography, its checks counted. */
  readonly crypto: Crypto;
  /** Checks made so far. */
  readonly checks: number;
  /** A check was refused: what was found since is worth nothing. */
  readonly exhausted: boolean;
}

export function signatureWork(crypto: Crypto): SignatureWork {
  /** By the very bytes that lie in a certificate or list. */
  const keys = new Map<Uint8Array, PublicKey | null>();
  const known = new Map<Uint8Array, { readonly key: PublicKey; readonly good: boolean }[]>();
  let checks = 0;
  let micros = 0;
  let exhausted = false;
  const publicKey: Crypto['publicKey'] = (spki) => {
    const found = keys.get(spki);
    if (found !== undefined) return found;
    const key = crypto.publicKey(spki);
    keys.set(spki, key);
    return key;
  };
  const verify: Crypto['verify'] = (algorithm, key, signature, data, form) => {
    const before = known.get(signature) ?? [];
    const found = before.find((one) => equal(one.key.spki, key.spki));
    if (found !== undefined) return found.good;
    const cost = costOf(key, data.length);
    if (checks >= MAX_SIGNATURE_CHECKS || micros + cost > MAX_SIGNATURE_MICROS) {
      exhausted = true;
      return false;
    }
    checks++;
    micros += cost;
    const good = crypto.verify(algorithm, key, signature, data, form);
    known.set(signature, [...before, { key, good }]);
    return good;
  };
  return {
    crypto: { ...crypto, publicKey, verify },
    get checks() {
      return checks;
    },
    get exhausted() {
      return exhausted;
    },
  };
}

/** Microseconds, measured with OpenSSL 3.5 on x64: taking in the key, the check, a nanosecond for each byte hashed. */
function costOf({ algorithm, bits }: PublicKey, sizeBytes: number): number {
  const hashing = sizeBytes / 1000;
  switch (algorithm) {
    case 'p256':
      return 100 + hashing;
    case 'ed25519':
      return 120 + hashing;
    case 'p384':
      return 550 + hashing;
    case 'rsa':
      // An exponent of 32 bits costs twice the usual one of 17.
      return 30 + bits ** 2 / 130_000 + hashing;
    default:
      return algorithm satisfies never;
  }
}
