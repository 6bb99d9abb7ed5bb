/**
 * Good verdicts without a nonce, for a while: the same question gets the same signed bytes. Keyed by the whole chain, since
 * a good leaf with a bad chain is another question.
 */
import { toHex } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { Purpose } from '../protocol/messages.ts';
import type { EpochSeconds } from '../protocol/units.ts';

export interface VerdictCache {
  find(key: string, at: EpochSeconds): Uint8Array | null;
  keep(key: string, verdict: Uint8Array, from: EpochSeconds, until: EpochSeconds): void;
  clear(): void;
}

/** Implementation limit; the oldest goes first. About 300 bytes each. */
const MAX_VERDICTS = 10_000;

export function verdictCache(): VerdictCache {
  const verdicts = new Map<string, { verdict: Uint8Array; from: EpochSeconds; until: EpochSeconds }>();
  return {
    find(key, at) {
      const held = verdicts.get(key);
      if (held === undefined) return null;
      if (at >= held.from && at <= held.until) return held.verdict;
      verdicts.delete(key);
      return null;
    },
    keep(key, verdict, from, until) {
      verdicts.delete(key);
      verdicts.set(key, { verdict, from, until });
      if (verdicts.size > MAX_VERDICTS) verdicts.delete(verdicts.keys().next().value!);
    },
    clear: () => verdicts.clear(),
  };
}

/** Purpose and every certificate with its length, hashed. */
export function cacheKey(crypto: Crypto, purpose: Purpose, chain: readonly Uint8Array[]): string {
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
