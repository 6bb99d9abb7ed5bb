/**
 * Proposals with what they cost this device. A proposal stands for several suites and has one cost: its dearest suite's, so
 * that it promises nothing that it could not keep. [B4]
 */
import type { Cost, Proposal } from '../protocol/messages.ts';
import { type Offer, offersOf } from '../protocol/proposal.ts';
import { CIPHERS, type Suite } from '../protocol/suites.ts';
import type { EpochSeconds } from '../protocol/units.ts';

/** What was found out about suites, and when. */
export interface MeasuredCosts {
  /** Suite for suite as asked; null: not known. */
  readonly costs: readonly (Cost | null)[];
  readonly measuredAt: EpochSeconds;
  /** For AES, SHA and wide vectors; null: not known. */
  readonly instructions: readonly string[] | null;
  /** Those that OpenSSL was told not to use; empty: none. */
  readonly openSslMask: string;
  /** Null: it was known from an earlier start. */
  readonly measured: {
    readonly because: string;
    readonly spentMs: number;
    /** Why it could not be kept, or null. */
    readonly fault: string | null;
  } | null;
}

/** @param suites  the more important first */
export type MeasureCosts = (suites: readonly Suite[]) => MeasuredCosts;

/** @param proposals  of which the registry has something, each */
export function priceProposals(
  proposals: readonly Proposal[],
  measure: MeasureCosts,
): { readonly proposals: Proposal[]; readonly measured: MeasuredCosts } {
  const offers = offersOf(proposals).offers.toSorted((a, b) => a.priority - b.priority);
  const wanted = offers.flatMap((offer) => dearestOf(offer).map((suite) => ({ index: offer.index, suite })));
  const measured = measure(wanted.map(({ suite }) => suite));
  const priced = proposals.map((proposal, index): Proposal => {
    const costs = measured.costs.filter((_, at) => wanted[at]!.index === index);
    return { ...proposal, cost: dearest(costs) };
  });
  return { proposals: priced, measured };
}

/** Of a cipher the longest key is the dearest; which hash is, depends on the machine. */
function dearestOf({ cipher, keys, hashes, tagBits }: Offer): Suite[] {
  const keyBits = CIPHERS[cipher].keyBits[31 - Math.clz32(keys)]!;
  const macs = cipher === 'aes-ctr-hmac' || cipher === 'hmac';
  return (macs ? hashes : hashes.slice(0, 1)).map((hash) => ({ cipher, keyBits, hash, tagBits }));
}

/** @returns undefined when one of them is not known */
function dearest(costs: readonly (Cost | null)[]): Cost | undefined {
  let most: Cost | undefined;
  for (const cost of costs) {
    if (cost === null) return undefined;
    const { picosPerOp, picosPerByte } = most ?? cost;
    most = {
      picosPerOp: Math.max(picosPerOp, cost.picosPerOp),
      picosPerByte: Math.max(picosPerByte, cost.picosPerByte),
    };
  }
  return most;
}
