/**
 * Signature checks of one question: none is made twice, and their number and cost are bounded. Beyond the bound nothing
 * is authentic any more, and whoever asked has to refuse, whatever was found.
 */
import { equal } from './bytes.ts';
import type { Crypto, PublicKey } from './crypto.ts';

/** Most signature checks of one question. */
export const MAX_SIGNATURE_CHECKS = 100;

export interface SignatureWork {
  /** The same cryptography, its checks counted. */
  readonly crypto: Crypto;
  /** Checks made so far. */
  readonly checks: number;
  /** A check was refused: what was found since is worth nothing. */
  readonly exhausted: boolean;
}

export function signatureWork(crypto: Crypto, maxChecks: number = MAX_SIGNATURE_CHECKS): SignatureWork {
  /** By signature, as the very bytes that lie in a certificate or list. */
  const known = new Map<Uint8Array, { readonly key: PublicKey; readonly good: boolean }[]>();
  const keys = new Map<Uint8Array, PublicKey | null>();
  const work = { checks: 0, exhausted: false };
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
    if (work.checks >= maxChecks) {
      work.exhausted = true;
      return false;
    }
    work.checks++;
    const good = crypto.verify(algorithm, key, signature, data, form);
    known.set(signature, [...before, { key, good }]);
    return good;
  };
  return {
    crypto: { ...crypto, publicKey, verify },
    get checks() {
      return work.checks;
    },
    get exhausted() {
      return work.exhausted;
    },
  };
}
