/**
 * Revocation events: signed by the verifier, numbered, once a second, so that a manager knows at once what is revoked, and
 * knows that it would know. [design §5.1]
 */
import { encodeUtf8 } from './bytes.ts';
import { readCose, signCose, verifyCoseByAny } from './cose-sign1.ts';
import type { Crypto, PublicKey, SigningKey } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import { type EpochSeconds, seconds } from './units.ts';
import { RevocationEvent } from './verifier-messages.ts';

/** External AAD of the COSE_Sign1: no verdict is an event. */
const LABEL = encodeUtf8('kagimori revocation event');

/** A verifier speaks at least so often. */
export const EVENT_EVERY = seconds(1);
/** Whoever has heard no verifier for so long knows no more what is revoked. */
export const SILENCE = seconds(3);

/** @returns COSE_Sign1 over the event @throws RangeError for an RSA key */
export function signEvent(signingKey: SigningKey, event: RevocationEvent): Uint8Array {
  return signCose({ payload: RevocationEvent.encode(event), signingKey, externalAad: LABEL });
}

export interface EventExpectation {
  /** The pinned ones. */
  readonly verifierKeys: readonly PublicKey[];
  readonly now: EpochSeconds;
  /** How far the two clocks may be apart, in seconds. */
  readonly maxClockSkew: number;
}

/** @throws ProtocolError malformed | tooLarge | badSignature; badVerdict for one of another time */
export function checkEvent(crypto: Crypto, bytes: Uint8Array, expected: EventExpectation): RevocationEvent {
  const event = RevocationEvent.decode(verifyCoseByAny(crypto, readCose(bytes), expected.verifierKeys, LABEL));
  const apart = Math.abs(expected.now - event.time);
  if (apart > expected.maxClockSkew) {
    throw new ProtocolError('badVerdict', `a revocation event made ${apart} s away from our time`);
  }
  return event;
}
