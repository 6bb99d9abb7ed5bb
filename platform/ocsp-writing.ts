/**
 * OCSP requests and answers into DER. @spec RFC 6960 §4.1.1, §4.2.1; RFC 9654 §2.1
 */
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { KeyAlgorithm, SignatureAlgorithm, SigningKey } from '../protocol/crypto.ts';
import type { CertIdHash, OcspAnswerContent, OcspErrorStatus, OcspPeriod, OcspStatus } from '../protocol/ocsp.ts';
import { expect } from './asn1.ts';
import { certIdHash } from './crypto-cert-id.ts';
import { DerFault, explicit, implicit, type Span, scanDer, spansOf, TAG } from './der.ts';
import {
  bitStringTree,
  type Der,
  type DerTree,
  derTree,
  ecdsaTree,
  sequenceTree,
  writeDer,
  writeGeneralizedTime,
  writeOid,
} from './der-writing.ts';
import { writeSignatureAlgorithm } from './signature-algorithms.ts';

export const HASH_OIDS: Readonly<Record<CertIdHash, string>> = {
  'sha-1': '1.3.14.3.2.26',
  'sha-256': '2.16.840.1.101.3.4.2.1',
  'sha-384': '2.16.840.1.101.3.4.2.2',
  'sha-512': '2.16.840.1.101.3.4.2.3',
};
export const NONCE_OID = '1.3.6.1.5.5.7.48.1.2';
export const BASIC_OID = '1.3.6.1.5.5.7.48.1.1';

/** OCSPResponseStatus. */
export const STATUS_NUMBERS: Readonly<Record<'successful' | OcspErrorStatus, number>> = {
  successful: 0,
  malformedRequest: 1,
  internalError: 2,
  tryLater: 3,
  sigRequired: 5,
  unauthorized: 6,
};

const SIGNATURE_OF: Readonly<Record<KeyAlgorithm, SignatureAlgorithm>> = {
  ed25519: 'ed25519',
  p256: 'ecdsa-sha256',
  p384: 'ecdsa-sha384',
  rsa: 'rsa-pkcs1-sha256',
};

const MAX_KEY_ELEMENTS = 16;

const NONCE = writeOid(NONCE_OID);
const BASIC = writeOid(BASIC_OID);
const NULL = writeDer(derTree(TAG.null));
const GOOD = writeDer(derTree(implicit(0)));
const UNKNOWN = writeDer(derTree(implicit(2)));

/** Bits of the key, without the count of unused ones. @returns null when it is no SubjectPublicKeyInfo */
function keyBits(spki: Uint8Array): Uint8Array | null {
  const [, bits] = orEmpty(spki);
  return bits?.tag === TAG.bitString && bits.content[0] === 0 ? bits.content.subarray(1) : null;
}

/** Members of a SEQUENCE. */
function orEmpty(der: Uint8Array): readonly Span[] {
  try {
    return spansOf(expect(scanDer(der, MAX_KEY_ELEMENTS), TAG.sequence).content);
  } catch (error) {
    if (error instanceof DerFault) return [];
    throw error;
  }
}

/** issuerNameHash and issuerKeyHash of a CertID. @param name  Name, DER @returns null when `spki` is none */
export function issuerHashes(
  hash: CertIdHash,
  name: Uint8Array,
  spki: Uint8Array,
): { readonly name: Uint8Array; readonly key: Uint8Array } | null {
  const bits = keyBits(spki);
  return bits === null ? null : { name: certIdHash(hash, name), key: certIdHash(hash, bits) };
}

/** @returns OCSPRequest, DER, of one certificate @throws RangeError when the issuer's key is none: our bug, it was proven */
export function writeRequest(
  certificate: ParsedCertificate,
  issuer: ParsedCertificate,
  nonce: Uint8Array | null,
  hash: CertIdHash,
): Uint8Array {
  const hashes = issuerHashes(hash, certificate.issuer.der, issuer.spki);
  if (hashes === null) throw new RangeError('an issuer without a key');
  const certId = sequenceTree(
    sequenceTree(writeOid(HASH_OIDS[hash]), NULL),
    derTree(TAG.octetString, hashes.name),
    derTree(TAG.octetString, hashes.key),
    derTree(TAG.integer, certificate.serial),
  );
  const list = sequenceTree(sequenceTree(certId));
  return writeDer(
    sequenceTree(
      nonce === null ? sequenceTree(list) : sequenceTree(list, derTree(explicit(2), nonceExtensions(nonce))),
    ),
  );
}

/** The value is an OCTET STRING within the one that every extension has. */
function nonceExtensions(nonce: Uint8Array): DerTree {
  return sequenceTree(sequenceTree(NONCE, derTree(TAG.octetString, derTree(TAG.octetString, nonce))));
}

/** @returns OCSPResponse, DER, signed; the signer is named by its key */
export function writeAnswer(content: OcspAnswerContent, key: SigningKey): Uint8Array {
  const { signerKeyHash, producedAt, singles, nonce, certificates } = content;
  const tbs = writeDer(
    sequenceTree(
      derTree(explicit(2), derTree(TAG.octetString, signerKeyHash)),
      writeGeneralizedTime(producedAt),
      sequenceTree(...singles.map(singleTree)),
      ...(nonce === null ? [] : [derTree(explicit(1), nonceExtensions(nonce))]),
    ),
  );
  const algorithm = SIGNATURE_OF[key.algorithm];
  const raw = key.sign(algorithm, tbs);
  const signature = algorithm.startsWith('ecdsa-') ? ecdsaTree(raw) : raw;
  const basic = sequenceTree(
    tbs,
    writeSignatureAlgorithm(algorithm),
    bitStringTree(signature),
    ...(certificates.length === 0 ? [] : [derTree(explicit(0), sequenceTree(...certificates))]),
  );
  const bytes = sequenceTree(BASIC, derTree(TAG.octetString, basic));
  return writeDer(sequenceTree(statusTree('successful'), derTree(explicit(0), bytes)));
}

export function writeError(status: OcspErrorStatus): Uint8Array {
  return writeDer(sequenceTree(statusTree(status)));
}

function statusTree(status: keyof typeof STATUS_NUMBERS): DerTree {
  return derTree(TAG.enumerated, Uint8Array.of(STATUS_NUMBERS[status]));
}

function singleTree(single: OcspStatus & OcspPeriod & { readonly certId: Uint8Array }): DerTree {
  const { certId, thisUpdate, nextUpdate } = single;
  return sequenceTree(
    certId,
    certStatus(single),
    writeGeneralizedTime(thisUpdate),
    ...(nextUpdate === null ? [] : [derTree(explicit(0), writeGeneralizedTime(nextUpdate))]),
  );
}

function certStatus(single: OcspStatus): Der {
  switch (single.status) {
    case 'good':
      return GOOD;
    case 'unknown':
      return UNKNOWN;
    case 'revoked': {
      const time = writeGeneralizedTime(single.revokedAt);
      if (single.reason === null) return derTree(explicit(1), time);
      const reason = derTree(explicit(0), derTree(TAG.enumerated, Uint8Array.of(single.reason)));
      return derTree(explicit(1), time, reason);
    }
    default:
      return single satisfies never;
  }
}
