/**
 * The question whether a certificate is revoked, and what a source of revocation data (lists, OCSP answers) says to it.
 */
import type { ParsedCertificate } from './certificate.ts';
import type { Crypto, PublicKey } from './crypto.ts';
import type { EpochSeconds } from './units.ts';

export type Revocation =
  /** Not revoked, and known so until then. */
  | { readonly status: 'good'; readonly until: EpochSeconds }
  | { readonly status: 'revoked' }
  | {
      readonly status: 'unknown';
      readonly detail: string;
      /** Set when the data says "not revoked" and is merely out of date: since when. A policy may let that pass for a while. */
      readonly staleSince?: EpochSeconds;
    };

export interface RevocationQuestion {
  readonly crypto: Crypto;
  readonly certificate: ParsedCertificate;
  readonly issuer: ParsedCertificate;
  /** The key with which `issuer` issued it, proven up to the anchor. */
  readonly issuerKey: PublicKey;
  readonly at: EpochSeconds;
  /** Who may have signed lists: of the path, and of the heap that it was found in; to be proven first. */
  readonly candidates: readonly ParsedCertificate[];
  /**
   * Proves whoever signs lists for the issuer under the same anchor (list-signer.ts says who may), its own standing too.
   * @param among  certificates through which its path may lead, beside the candidates
   * @returns      its key, or null when it is not proven, may not sign lists, or the work limit is reached
   */
  readonly proveListSigner: (signer: ParsedCertificate, among: readonly ParsedCertificate[]) => PublicKey | null;
}

/** Pure: what it needs of the network was fetched before. */
export interface RevocationSource {
  status(question: RevocationQuestion): Revocation;
}
