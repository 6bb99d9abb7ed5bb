/**
 * Verdicts: what the verifier found about a certificate, good or bad, signed by it; and the check of that signature and
 * of everything that ties the answer to the question. [patent 1100-1112]
 */
import { encodeUtf8, equal } from './bytes.ts';
import { readCose, signCose, verifyCoseByAny } from './cose-sign1.ts';
import type { Crypto, PublicKey, SigningKey } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import type { Purpose } from './message-values.ts';
import type { EpochSeconds } from './units.ts';
import { Verdict } from './verifier-messages.ts';

/** External AAD of the COSE_Sign1: no signature that the key makes elsewhere is a verdict. */
const LABEL = encodeUtf8('kagimori verdict');

/** @returns COSE_Sign1 over the verdict @throws RangeError for an RSA key, which COSE_Sign1 does not know here */
export function signVerdict(signingKey: SigningKey, verdict: Verdict): Uint8Array {
  return signCose({ payload: Verdict.encode(verdict), signingKey, externalAad: LABEL });
}

export interface VerdictExpectation {
  /** The pinned ones: one, two while it is rolled over, or those of several verifiers. */
  readonly verifierKeys: readonly PublicKey[];
  readonly purpose: Purpose;
  /** SHA-256 of the leaf that was shown, not of the one that the verdict names. */
  readonly leafSha256: Uint8Array;
  /** What was asked to be signed along; null when any verdict that is young enough will do. */
  readonly nonce: Uint8Array | null;
  /** null: no trusted clock. The nonce alone proves freshness then, and is demanded. */
  readonly now: EpochSeconds | null;
  /** How far the two clocks may be apart, in seconds. */
  readonly maxClockSkew: number;
}

/**
 * Checks that a verdict is the verifier's, about this leaf, for this purpose, and of now. Whether it is *good* is left to
 * the caller: a bad verdict is as authentic as a good one.
 * @throws ProtocolError badVerdict
 */
export function checkVerdict(crypto: Crypto, bytes: Uint8Array, expected: VerdictExpectation): Verdict {
  const verdict = authenticVerdict(crypto, bytes, expected);
  if (expected.nonce === null && expected.now === null) {
    throw bad('stale: without a trusted clock only a verdict with our nonce proves its freshness');
  }
  const fault = expected.now === null ? null : timeFault(verdict, expected.now, expected.maxClockSkew);
  if (fault !== null) throw bad(fault);
  return verdict;
}

/**
 * The same but for the time: for who has to find out whether the verdict or his own clock is of another time.
 * @throws ProtocolError badVerdict
 */
export function authenticVerdict(
  crypto: Crypto,
  bytes: Uint8Array,
  expected: Omit<VerdictExpectation, 'now' | 'maxClockSkew'>,
): Verdict {
  const verdict = openVerdict(crypto, bytes, expected.verifierKeys);
  if (verdict.purpose !== expected.purpose) {
    throw bad(`wrong purpose: it is about a ${verdict.purpose}, a ${expected.purpose} was asked about`);
  }
  if (!equal(verdict.leaf, expected.leafSha256)) throw bad('swapped: it is about another certificate');
  if (expected.nonce !== null && (verdict.nonce === undefined || !equal(verdict.nonce, expected.nonce))) {
    throw bad('wrong nonce: it does not answer our question');
  }
  return verdict;
}

function openVerdict(crypto: Crypto, bytes: Uint8Array, keys: readonly PublicKey[]): Verdict {
  let cose: ReturnType<typeof readCose>;
  try {
    cose = readCose(bytes);
  } catch (error) {
    throw error instanceof ProtocolError ? bad(`unsigned: ${error.message}`) : error;
  }
  try {
    return Verdict.decode(verifyCoseByAny(crypto, cose, keys, LABEL));
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw bad(error.code === 'badSignature' ? `wrong signer: ${error.message}` : `malformed: ${error.message}`);
  }
}

/** @returns what is wrong with its time, or null; one of the two clocks may be the cause */
export function timeFault(verdict: Verdict, now: EpochSeconds, skew: number): string | null {
  if (verdict.time > now + skew) return `from the future: made ${verdict.time - now} s after our time`;
  const age = now - verdict.time;
  return age > verdict.maxAge + skew ? `stale: ${age} s old, it held for ${verdict.maxAge} s` : null;
}

function bad(detail: string): ProtocolError {
  return new ProtocolError('badVerdict', detail);
}
