/**
 * Chains that were found good, for a while: a question about one of them costs a signature; without a nonce it gets the same
 * signed bytes again. Keyed by purpose and whole chain, since a good leaf with a bad chain is another question. Only good
 * ones are kept: what is bad may turn good, and nobody can fill the place without certificates of his own.
 */
import { toHex } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { Purpose } from '../protocol/message-values.ts';
import type { EpochSeconds } from '../protocol/units.ts';

export interface GoodChain {
  /** Subject CN of the leaf. */
  readonly subject: string | null;
  readonly issuerAndSerial: Uint8Array;
  readonly leafSha256: Uint8Array;
  /** Earliest end of a period or of revocation data. */
  readonly validUntil: EpochSeconds;
  /** Verdict without a nonce; null until somebody asked for one. */
  verdict: Uint8Array | null;
}

export interface GoodChains {
  /** @returns null outside of the time for which it was kept: a clock that was set back among the reasons */
  find(key: string, at: EpochSeconds): GoodChain | null;
  keep(key: string, chain: GoodChain, from: EpochSeconds, until: EpochSeconds): void;
  clear(): void;
}

/** Implementation limit; what was not asked for longest goes first. About 700 bytes each. */
const MAX_CHAINS = 10_000;

export function goodChains(): GoodChains {
  const kept = new Map<
    string,
    { readonly chain: GoodChain; readonly from: EpochSeconds; readonly until: EpochSeconds }
  >();
  return {
    find(key, at) {
      const found = kept.get(key);
      if (found === undefined) return null;
      kept.delete(key);
      if (at < found.from || at > found.until) return null;
      kept.set(key, found); // to the end of the order of use
      return found.chain;
    },
    keep(key, chain, from, until) {
      kept.delete(key);
      kept.set(key, { chain, from, until });
      if (kept.size > MAX_CHAINS) kept.delete(kept.keys().next().value!);
    },
    clear: () => kept.clear(),
  };
}

/** Purpose and every certificate with its length, hashed. */
export function chainKey(crypto: Crypto, purpose: Purpose, chain: readonly Uint8Array[]): string {
  const input = new Uint8Array(chain.reduce((length, der) => length + 2 + der.length, 0));
  let at = 0;
  for (const der of chain) {
    input[at] = der.length >> 8;
    input[at + 1] = der.length & 0xff;
    input.set(der, at + 2);
    at += 2 + der.length;
  }
  return `${purpose} ${toHex(crypto.hash('sha-256', input))}`;
}
