/**
 * Requests and answers of OCSP as the protocol sees them: plain data, read and written by a platform half that arrives as
 * an argument. @spec RFC 6960 §4; the nonce RFC 9654
 */
import type { DistinguishedName, ParsedCertificate } from './certificate.ts';
import type { HashName, SignatureAlgorithm, SigningKey } from './crypto.ts';
import type { EpochSeconds } from './units.ts';

/** SHA-1 gives issuers a short name here, nothing more: no signature is made over it. */
export type CertIdHash = 'sha-1' | HashName;

export const CERT_ID_HASHES: readonly CertIdHash[] = ['sha-1', 'sha-256', 'sha-384', 'sha-512'];

export interface CertId {
  /** null: another one. */
  readonly hash: CertIdHash | null;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  /** Content of the INTEGER, 1 to 20 bytes. */
  readonly serial: Uint8Array;
  /** CertID, DER, as it stands. */
  readonly der: Uint8Array;
}

export interface OcspRequest {
  /** 1 to 16. */
  readonly certIds: readonly CertId[];
  /** 1 to 128 bytes. */
  readonly nonce: Uint8Array | null;
  /** OIDs of critical extensions that nobody here can obey, of the request or of one certificate. */
  readonly critical: readonly string[];
}

/** What makes an asker come back later, or not at all. @spec RFC 6960 §4.2.1 */
export type OcspErrorStatus = 'malformedRequest' | 'internalError' | 'tryLater' | 'sigRequired' | 'unauthorized';

export type OcspStatus =
  | { readonly status: 'good' }
  /** `reason` is a CRLReason. */
  | { readonly status: 'revoked'; readonly revokedAt: EpochSeconds; readonly reason: number | null }
  | { readonly status: 'unknown' };

export interface OcspPeriod {
  readonly thisUpdate: EpochSeconds;
  readonly nextUpdate: EpochSeconds | null;
}

export type OcspSingle = OcspStatus &
  OcspPeriod & {
    readonly certId: CertId;
    readonly critical: readonly string[];
  };

export type ResponderId =
  | { readonly by: 'name'; readonly name: DistinguishedName }
  /** SHA-1 of the responder's public key. */
  | { readonly by: 'key'; readonly keyHash: Uint8Array };

export interface BasicOcspAnswer {
  readonly status: 'successful';
  /** ResponseData, DER: what is signed. */
  readonly tbs: Uint8Array;
  readonly responder: ResponderId;
  readonly producedAt: EpochSeconds;
  readonly singles: readonly OcspSingle[];
  readonly nonce: Uint8Array | null;
  readonly critical: readonly string[];
  /** null: an algorithm outside the profile, SHA-1 and MD5 among them. */
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  readonly signature: Uint8Array;
  readonly certificates: readonly ParsedCertificate[];
}

export type OcspAnswer = BasicOcspAnswer | { readonly status: OcspErrorStatus };

/** What is to be signed: each CertID as the asker wrote it. */
export interface OcspAnswerContent {
  /** SHA-1 of the signer's public key. */
  readonly signerKeyHash: Uint8Array;
  readonly producedAt: EpochSeconds;
  readonly singles: readonly (OcspStatus & OcspPeriod & { readonly certId: Uint8Array })[];
  readonly nonce: Uint8Array | null;
  /** DER; a delegate's own. */
  readonly certificates: readonly Uint8Array[];
}

/** The seam to reader and writer: null for anything that is not exactly one well-formed object; never throws on bytes. */
export interface OcspCodec {
  /** @returns null when `spki` is none: of a certificate that came along nobody has looked at the key yet */
  issuerHashes(
    hash: CertIdHash,
    name: Uint8Array,
    spki: Uint8Array,
  ): { readonly name: Uint8Array; readonly key: Uint8Array } | null;
  readRequest(der: Uint8Array): OcspRequest | null;
  readAnswer(der: Uint8Array): OcspAnswer | null;
  /** @param nonce  16 to 32 fresh random bytes, or none */
  writeRequest(
    certificate: ParsedCertificate,
    issuer: ParsedCertificate,
    nonce: Uint8Array | null,
    hash: CertIdHash,
  ): Uint8Array;
  writeAnswer(content: OcspAnswerContent, key: SigningKey): Uint8Array;
  writeError(status: OcspErrorStatus): Uint8Array;
}
