/**
 * A request for a certificate as the protocol sees it, and the proof that its sender holds the key. What it asks for is
 * only a wish: names and purposes are given by whoever certifies. @spec RFC 2986
 */
import type { CertificateExtensions, DistinguishedName } from './certificate.ts';
import type { Crypto, PublicKey, SignatureAlgorithm } from './crypto.ts';

export interface ParsedRequest {
  readonly der: Uint8Array;
  /** CertificationRequestInfo, DER: what is signed. */
  readonly tbs: Uint8Array;
  readonly subject: DistinguishedName;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** What its certificate is wished to carry; all null when nothing is asked for. */
  readonly wishes: CertificateExtensions;
  /** null: an algorithm outside the profile. */
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  /** ECDSA as DER. */
  readonly signature: Uint8Array;
}

/** @returns null for anything but exactly one well-formed request; never throws */
export type RequestReader = (der: Uint8Array) => ParsedRequest | null;

export type RequestFinding =
  | { readonly ok: true; readonly key: PublicKey }
  | {
      readonly ok: false;
      readonly reason: 'weak-key' | 'weak-signature' | 'bad-signature';
      /** For the operator, without an ending full stop. */
      readonly detail: string;
    };

/** Proof of possession: the request is signed with the very key that it wants certified. @spec RFC 2986 §4.2 */
export function checkRequest(crypto: Crypto, request: ParsedRequest): RequestFinding {
  const { spki, signatureAlgorithm, signature, tbs } = request;
  const key = crypto.publicKey(spki);
  if (key === null)
    return { ok: false, reason: 'weak-key', detail: 'its key is of a type or size outside the profile' };
  if (signatureAlgorithm === null) {
    return { ok: false, reason: 'weak-signature', detail: 'its signature algorithm is outside the profile' };
  }
  if (!crypto.verify(signatureAlgorithm, key, signature, tbs, 'der')) {
    return { ok: false, reason: 'bad-signature', detail: 'it is not signed with the key that it wants certified' };
  }
  return { ok: true, key };
}
