/**
 * The work of one question: no signature is checked twice, and checks, comparisons of names and steps of a search are
 * bounded, so that no chain and no set of lists costs more than 50 ms of CPU. Beyond a bound nothing is authentic any
 * more, and whoever asked has to refuse, whatever was found.
 */
import { equal } from './bytes.ts';
import type { Crypto, PublicKey } from './crypto.ts';

/** Most signature checks of one question. */
const MAX_SIGNATURE_CHECKS = 100;
/** Most microseconds of them, as estimated below. */
const MAX_SIGNATURE_MICROS = 20_000;
/** Most names × subtrees over all paths. One path has a limit of its own (name-constraints.ts). */
const MAX_COMPARISONS = 60_000;
/** Most places that searches come to: cross certificates can make their number exponential. */
const MAX_STEPS = 500;

export interface PathWork {
  /** The same cryptography, its checks counted. */
  readonly crypto: Crypto;
  /** Checks made so far. */
  readonly checks: number;
  /** What was refused; what was found since is worth nothing. */
  readonly exhausted: string | null;
  /** @returns whether that much may still be compared */
  compare(names: number, subtrees: number): boolean;
  /** @returns whether a search may go on */
  step(): boolean;
}

export function pathWork(crypto: Crypto): PathWork {
  /** By the very bytes that lie in a certificate or list. */
  const keys = new Map<Uint8Array, PublicKey | null>();
  const known = new Map<Uint8Array, { readonly key: PublicKey; readonly good: boolean }[]>();
  let checks = 0;
  let micros = 0;
  let comparisons = 0;
  let steps = 0;
  let exhausted: string | null = null;
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
      exhausted ??= 'more signature checks than one question may cost';
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
    compare(names, subtrees) {
      comparisons += names * subtrees;
      if (comparisons > MAX_COMPARISONS) exhausted ??= 'more names and subtrees than are compared';
      return exhausted === null;
    },
    step() {
      if (++steps > MAX_STEPS) exhausted ??= 'more paths than are tried';
      return exhausted === null;
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
