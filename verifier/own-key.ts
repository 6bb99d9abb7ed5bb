/**
 * The verifier's own certificate and key: read from their files, and read again when both were replaced. A pair that does not
 * fit, as while only one of the two files is new, leaves the old one in use.
 */
import { readCertificateFile } from '../platform/certificate-file.ts';
import { signingKey } from '../platform/crypto-node.ts';
import { readPrivate } from '../platform/files.ts';
import { equal } from '../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate } from '../protocol/certificate.ts';
import type { PublicKeyCounter, SigningKey } from '../protocol/crypto.ts';
import { VerifierError } from './verifier-error.ts';

export interface KeyFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface OwnKey {
  readonly certificate: ParsedCertificate;
  /** What stands behind it in the file. */
  readonly chain: readonly ParsedCertificate[];
  /** Signs with the key that is in use at that moment. */
  readonly key: SigningKey;
  /** Reads both again. @returns whether another key signs from now on @throws VerifierError, FileFault, SigningKeyError */
  renew(): boolean;
  /** What is odd about the certificate, though it can be used; or null. */
  oddity(): string | null;
}

const MAX_KEY_BYTES = 16 * 1024;

/** @throws VerifierError, FileFault, SigningKeyError */
export function readOwnKey(files: KeyFiles, counter: PublicKeyCounter): OwnKey {
  let pair = readPair(files, counter);
  return {
    get certificate() {
      return pair.certificate;
    },
    get chain() {
      return pair.chain;
    },
    key: {
      get algorithm() {
        return pair.key.algorithm;
      },
      sign: (algorithm, data) => pair.key.sign(algorithm, data),
    },
    renew() {
      const next = readPair(files, counter);
      const changed = !equal(next.certificate.spki, pair.certificate.spki);
      pair = next;
      return changed;
    },
    oddity() {
      const usage = pair.certificate.extensions.extendedKeyUsage;
      return usage?.includes(EXTENDED_KEY_USAGE.kagimoriVerifier) === true
        ? null
        : 'its extended key usage is not verifier';
    },
  };
}

interface Pair {
  readonly certificate: ParsedCertificate;
  readonly chain: readonly ParsedCertificate[];
  readonly key: SigningKey;
}

function readPair({ certificateFile, keyFile }: KeyFiles, counter: PublicKeyCounter): Pair {
  const [certificate, ...chain] = readCertificateFile(certificateFile);
  const bytes = readPrivate(keyFile, MAX_KEY_BYTES);
  const key = signingKey(bytes, counter);
  bytes.fill(0);
  if (key.algorithm === 'rsa') throw new VerifierError(keyFile, 'verdicts are signed with P-256, P-384 or Ed25519');
  if (!equal(key.publicSpki, certificate.spki)) {
    throw new VerifierError(keyFile, `the key does not belong to the certificate in ${certificateFile}`);
  }
  return { certificate, chain, key };
}
