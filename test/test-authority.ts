/**
 * Certificates for tests: a root, what it issues, and revocation lists, in a few words each.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CertificateRequest,
  type CrlRequest,
  commonName,
  freshSerial,
  type Issuer,
  issueCertificate,
  issueCrl,
  OCSP_NO_CHECK,
} from '../platform/certificate-issuing.ts';
import { certificateReader } from '../platform/certificates.ts';
import { type GeneratedSigningKey, generateSigningKey, nodeCrypto } from '../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate, type ParsedCrl } from '../protocol/certificate.ts';
import { EpochSeconds } from '../protocol/units.ts';

export const crypto = nodeCrypto();
export const reader = certificateReader(1024 * 1024);

/** The time in tests: 2027-01-15T08:00:00Z. */
export const AT = EpochSeconds(1_800_000_000);
export const DAY = 86_400;

export interface Holder {
  readonly certificate: ParsedCertificate;
  readonly key: GeneratedSigningKey;
  readonly issuer: Issuer;
}

type Algorithm = 'p256' | 'p384' | 'ed25519';
export type Wishes = Partial<CertificateRequest> & {
  readonly algorithm?: Algorithm;
  readonly key?: GeneratedSigningKey;
};

export const CA_WISHES: Wishes = { ca: { pathLength: null }, keyUsage: ['keyCertSign', 'cRLSign'] };
export const DEVICE_WISHES: Wishes = {
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice],
};
export const MANAGER_WISHES: Wishes = { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriManager] };
export const OCSP_WISHES: Wishes = {
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [EXTENDED_KEY_USAGE.ocspSigning],
  extra: [OCSP_NO_CHECK],
};

export function certify(name: string, wishes: Wishes, by: Holder | null): Holder {
  const { algorithm = 'p256', key = generateSigningKey(algorithm), ...rest } = wishes;
  const own: Issuer = { name: commonName(name), spki: key.publicSpki, key: key.key };
  const der = issueCertificate(crypto, by?.issuer ?? own, {
    name,
    spki: key.publicSpki,
    serial: freshSerial(crypto),
    notBefore: AT - DAY,
    notAfter: AT + 365 * DAY,
    ...rest,
  });
  return { certificate: parse(der), key, issuer: own };
}

export const root = (name = 'Test root', wishes: Wishes = {}): Holder =>
  certify(name, { ...CA_WISHES, ...wishes }, null);
export const ca = (by: Holder, name = 'Test CA', wishes: Wishes = {}): Holder =>
  certify(name, { ...CA_WISHES, ...wishes }, by);
export const device = (by: Holder, name = 'router-1', wishes: Wishes = {}): Holder =>
  certify(name, { ...DEVICE_WISHES, ...wishes }, by);

export function parse(der: Uint8Array): ParsedCertificate {
  const certificate = reader.readCertificate(der);
  if (certificate === null) throw new Error('the test made a certificate that cannot be read');
  return certificate;
}

export function crlOf(by: Holder, revoked: readonly Holder[], wishes: Partial<CrlRequest> = {}): ParsedCrl {
  const der = issueCrl(crypto, by.issuer, {
    number: 1,
    thisUpdate: AT - 100,
    nextUpdate: AT + DAY,
    revoked: revoked.map(({ certificate }) => ({ serial: certificate.serial, at: AT - 200 })),
    ...wishes,
  });
  const crl = reader.readCrl(der);
  if (crl === null) throw new Error('the test made a revocation list that cannot be read');
  return crl;
}

/** A new directory that is removed after `use`. */
export async function inDirectory(use: (dir: string) => void | Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'kagimori-test-'));
  try {
    await use(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

export const opensslAbsent: string | false =
  spawnSync('openssl', ['version']).status === 0 ? false : 'openssl absent: the command is not installed';

/** Runs the OpenSSL command in a directory. @throws Error with its output when it fails */
export function openssl(dir: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('openssl', args, { cwd: dir, encoding: 'utf8', timeout: 20_000 });
  if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}${stdout}`);
  return stdout;
}
