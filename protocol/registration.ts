/**
 * What a registration is to a session: a hash that stands in the transcript, so that both sides know which list the
 * suite was taken from.
 */
import { encode } from './cbor.ts';
import type { Crypto } from './crypto.ts';
import { Proposal } from './messages.ts';

export interface Registration {
  /** URIs, in the order of preference. */
  readonly addresses: readonly string[];
  readonly proposals: readonly Proposal[];
}

/** SHA-256 over CBOR [addresses, proposals]; device and manager compute it each for itself. */
export function registrationHash(crypto: Crypto, registration: Registration): Uint8Array {
  const proposals = registration.proposals.map((proposal) => Proposal.type.toItem(proposal));
  return crypto.hash('sha-256', encode([registration.addresses, proposals]));
}
