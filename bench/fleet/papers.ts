/**
 * Certificates for a fleet: one CA, the services, and as many devices as are wanted, made once and kept for later runs in
 * `.bench-cache/`, which git does not see. The keys in there guard nothing but benchmarks.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { initAuthority, issueCertificate as issueByAuthority } from '../../cli/ca/authority.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { commonName, freshSerial, type Issuer, issueCertificate } from '../../platform/certificate-issuing.ts';
import { generateSigningKey, nodeCrypto, signingKey } from '../../platform/crypto-node.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';

export const CACHE = join(import.meta.dirname, '../../.bench-cache');
export const MANAGER_NAME = 'fleet-manager';

/** Where things stand: `ca/root.pem`, `ca/crl.pem`, `certificates/<service>.{chain,key}.pem`, `devices.jsonl`. */
export interface Papers {
  readonly directory: string;
  readonly devicesFile: string;
}

/** One line of `devices.jsonl`; DER and PKCS #8 in base64. */
export interface DevicePapers {
  readonly name: string;
  readonly certificate: string;
  /** From its issuer to one below the anchor; none when absent. */
  readonly issuers?: readonly string[];
  readonly key: string;
}

const DAY = 86_400;
/** Revocation lists of the CA are good for 30 days. */
const KEPT_DAYS = 20;
const now = (): number => Math.floor(Date.now() / 1000);

export const nameOf = (number: number): string => `device-${String(number).padStart(5, '0')}`;

/** Those of an earlier run when there are enough of them and they are good for some days yet. */
export function papersFor(devices: number, progress: (part: number) => void): Papers {
  const directory = join(CACHE, `fleet-${devices}`);
  const papers = { directory, devicesFile: join(directory, 'devices.jsonl') };
  const stamp = join(directory, 'made-at');
  if (existsSync(stamp) && now() - Number(readFileSync(stamp, 'utf8')) < KEPT_DAYS * DAY) return papers;
  const fresh = `${directory}.${process.pid}`;
  make(fresh, devices, progress);
  rmSync(directory, { recursive: true, force: true });
  renameSync(fresh, directory);
  return papers;
}

function make(directory: string, devices: number, progress: (part: number) => void): void {
  const crypto = nodeCrypto();
  const world = { crypto, now: now() };
  const authority = join(directory, 'ca');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  initAuthority(authority, { name: 'Fleet CA', algorithm: 'p256', years: 1, withIntermediate: false }, world);
  const outDir = join(directory, 'certificates');
  for (const [name, kind] of [
    [MANAGER_NAME, 'manager'],
    ['verifier', 'verifier'],
  ] as const) {
    issueByAuthority(authority, { name, kind, sans: [], days: 30, algorithm: 'p256', outDir }, world);
  }
  const [root] = readCertificateFile(join(authority, 'root.pem'));
  const key = signingKey(readFileSync(join(authority, 'root.key.pem')), crypto.counter);
  const issuer: Issuer = { name: commonName('Fleet CA'), spki: root.spki, key };
  const lines: string[] = [];
  for (let number = 0; number < devices; number++) {
    lines.push(JSON.stringify(device(nameOf(number), issuer, world.now)));
    if (number % 100 === 0) progress(number / devices);
  }
  writeFileSync(join(directory, 'devices.jsonl'), `${lines.join('\n')}\n`, { mode: 0o600 });
  writeFileSync(join(directory, 'made-at'), String(world.now));
}

function device(name: string, issuer: Issuer, at: number): DevicePapers {
  const crypto = nodeCrypto();
  const { publicSpki, privatePkcs8Pem } = generateSigningKey('p256');
  const certificate = issueCertificate(crypto, issuer, {
    name,
    spki: publicSpki,
    serial: freshSerial(crypto),
    notBefore: at - DAY,
    notAfter: at + 30 * DAY,
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice],
  });
  return { name, certificate: base64(certificate), key: base64(privatePkcs8Pem) };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
