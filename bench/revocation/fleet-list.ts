/**
 * The revocation list of a fleet's CA, in a place of its own: renewed with ever more devices on it, by rename.
 */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { commonName, freshSerial, type Issuer, issueCrl } from '../../platform/certificate-issuing.ts';
import { certificateReader, writePem } from '../../platform/certificates.ts';
import { nodeCrypto, signingKey } from '../../platform/crypto-node.ts';
import type { DevicePapers, Papers } from '../fleet/papers.ts';

export interface FleetList {
  readonly file: string;
  readonly bytes: number;
  /** Writes the list anew with these devices on it too. @returns when it was there, ms since 1970 */
  revoke(lines: readonly number[]): number;
  remove(): void;
}

const DAY = 86_400;

/** @param entries  certificates that nobody bears, which stand on it from the beginning */
export function fleetList({ directory, devicesFile }: Papers, entries: number): FleetList {
  const crypto = nodeCrypto();
  const reader = certificateReader();
  const own = mkdtempSync(join(tmpdir(), 'kagimori-list-'));
  const file = join(own, 'crl.pem');
  const [root] = readCertificateFile(join(directory, 'ca/root.pem'));
  const key = signingKey(readFileSync(join(directory, 'ca/root.key.pem')), crypto.counter);
  const issuer: Issuer = { name: commonName('Fleet CA'), spki: root.spki, key };
  const devices = readFileSync(devicesFile, 'utf8').split('\n');
  const now = (): number => Math.floor(Date.now() / 1000);
  const revoked = Array.from({ length: entries }, () => ({ serial: freshSerial(crypto), at: now() - DAY }));
  let number = 1000;
  let bytes = 0;
  const write = (): number => {
    const der = issueCrl(crypto, issuer, { number: number++, thisUpdate: now(), nextUpdate: now() + DAY, revoked });
    bytes = der.length;
    writeFileSync(`${file}.new`, writePem('X509 CRL', der));
    renameSync(`${file}.new`, file);
    return performance.timeOrigin + performance.now();
  };
  write();
  return {
    file,
    get bytes() {
      return bytes;
    },
    revoke(lines) {
      for (const line of lines) {
        const { certificate } = JSON.parse(devices[line]!) as DevicePapers;
        const { serial } = reader.readCertificate(Buffer.from(certificate, 'base64'))!;
        revoked.push({ serial, at: now() });
      }
      return write();
    },
    remove: () => rmSync(own, { recursive: true, force: true }),
  };
}
