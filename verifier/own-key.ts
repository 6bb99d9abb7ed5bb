/**
 * The verifier's own certificate and key: read from their files, and read again when both were replaced. A pair that does not
 * fit, as while only one of the two files is new, leaves the old one in use.
 */
import { readCertificateFile } from '../platform/certificate-file.ts';
import type { OwnSigningKey } from '../platform/crypto-node.ts';
import { equal } from '../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate } from '../protocol/certificate.ts';
import type { SigningKey } from '../protocol/crypto.ts';
import { VerifierError } from './verifier-error.ts';

export interface KeyFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** @param keyFileOrUri  what `keyFile` says @throws an error of its own kind, when there is no key */
export type OpenKey = (keyFileOrUri: string) => OwnSigningKey & { close(): void };

export interface OwnKey {
  readonly certificate: ParsedCertificate;
  /** What stands behind it in the file. */
  readonly chain: readonly ParsedCertificate[];
  /** Signs with the key that is in use at that moment. */
  readonly key: SigningKey;
  /** Reads both again. @returns whether another key signs from now on @throws VerifierError, FileFault, and what `openKey` throws */
  renew(): boolean;
  close(): void;
  /** What is odd about the certificate, though it can be used; or null. */
  oddity(): string | null;
}

/** @throws VerifierError, FileFault, and what `openKey` throws */
export function readOwnKey(files: KeyFiles, openKey: OpenKey): OwnKey {
  let pair = readPair(files, openKey);
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
      const next = readPair(files, openKey);
      const changed = !equal(next.certificate.spki, pair.certificate.spki);
      pair.key.close();
      pair = next;
      return changed;
    },
    close: () => pair.key.close(),
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
  readonly key: ReturnType<OpenKey>;
}

function readPair({ certificateFile, keyFile }: KeyFiles, openKey: OpenKey): Pair {
  const [certificate, ...chain] = readCertificateFile(certificateFile);
  const key = openKey(keyFile);
  const fault =
    key.algorithm === 'rsa'
      ? 'verdicts are signed with P-256, P-384 or Ed25519'
      : equal(key.publicSpki, certificate.spki)
        ? null
        : `the key does not belong to the certificate in ${certificateFile}`;
  if (fault !== null) {
    key.close();
    throw new VerifierError(keyFile, fault);
  }
  return { certificate, chain, key };
}
