/**
 * Who signs the OCSP answers that the verifier gives: for each CA its own key, or a delegate's that the CA issued.
 */
import { readCertificateFile } from '../platform/certificate-file.ts';
import { signingKey } from '../platform/crypto-node.ts';
import { readPrivate } from '../platform/files.ts';
import { equal } from '../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate, sameName } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { OcspSigner } from './ocsp-responder.ts';
import { VerifierError } from './verifier-error.ts';

const MAX_KEY_BYTES = 16 * 1024;

export interface OcspSignerFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** @param known  among which the issuer is looked for, beside the chain in the file @throws VerifierError, FileFault */
export function readOcspSigner(
  { certificateFile, keyFile }: OcspSignerFiles,
  known: readonly ParsedCertificate[],
  crypto: Crypto,
): OcspSigner {
  const [certificate, ...chain] = readCertificateFile(certificateFile);
  const bytes = readPrivate(keyFile, MAX_KEY_BYTES);
  const key = signingKey(bytes, crypto.counter);
  bytes.fill(0);
  if (!equal(key.publicSpki, certificate.spki)) {
    throw new VerifierError(keyFile, `the key does not belong to the certificate in ${certificateFile}`);
  }
  if (certificate.extensions.basicConstraints?.ca === true) return { issuer: certificate, certificate, key };
  if (certificate.extensions.extendedKeyUsage?.includes(EXTENDED_KEY_USAGE.ocspSigning) !== true) {
    const remedy = 'make one with `kagimori ca issue ocsp --kind ocsp`';
    throw new VerifierError(certificateFile, `its extended key usage is not the signing of OCSP answers: ${remedy}`);
  }
  const issuer = [...chain, ...known].find((one) => issued(crypto, one, certificate));
  if (issuer !== undefined) return { issuer, certificate, key };
  throw new VerifierError(certificateFile, 'its CA is not known: put it behind the certificate, into the same file');
}

function issued(crypto: Crypto, issuer: ParsedCertificate, certificate: ParsedCertificate): boolean {
  const key = crypto.publicKey(issuer.spki);
  const { signatureAlgorithm, signature, tbs } = certificate;
  if (key === null || signatureAlgorithm === null || !sameName(issuer.subject, certificate.issuer)) return false;
  return crypto.verify(signatureAlgorithm, key, signature, tbs, 'der');
}
