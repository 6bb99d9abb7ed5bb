/**
 * The small CA for home and tests: a directory with a root, maybe an intermediate, the index and the revocation lists.
 * Keys lie unencrypted in files that only their owner can read. @spec RFC 5280, profile of design §5.7
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  type AlternativeName,
  type CertificateRequest,
  commonName,
  freshSerial,
  type Issuer,
  ipBytes,
  issueCrl,
  issueCertificate as issueDer,
  OCSP_NO_CHECK,
} from '../../platform/certificate-issuing.ts';
import { certificateReader, readPem, writePem } from '../../platform/certificates.ts';
import { generateSigningKey, signingKey } from '../../platform/crypto-node.ts';
import { readBounded, readPrivate, writeAtomically } from '../../platform/files.ts';
import { encodeUtf8, fromHex, toHex, wipe } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE as EKU } from '../../protocol/certificate.ts';
import type { Crypto, KeyAlgorithm } from '../../protocol/crypto.ts';
import { deviceId } from '../../protocol/topics.ts';
import { CaError } from './ca-error.ts';
import { withLock } from './ca-lock.ts';
import { type CertificateEntry, type CertificateIndex, isLive, readIndex, writeIndex } from './certificate-index.ts';

export type IssuedAlgorithm = Extract<KeyAlgorithm, 'p256' | 'p384' | 'ed25519'>;
export type IssuedKind = 'device' | 'manager' | 'verifier' | 'server' | 'user' | 'ocsp';

/** What the CA needs from outside. */
export interface CaWorld {
  readonly crypto: Crypto;
  /** Now, seconds since 1970. */
  readonly now: number;
}

const DAY = 86_400;
/** Clocks of new devices are often behind. */
const BACKDATE_SECONDS = 3600;
const MAX_DAYS = 100 * 366;
const CRL_DAYS = 30;

export const indexPath = (dir: string): string => join(dir, 'index.json');
const keyPath = (dir: string, tier: Tier): string => join(dir, `${tier}.key.pem`);
const certificatePath = (dir: string, tier: Tier): string => join(dir, `${tier}.pem`);
export type Tier = 'root' | 'intermediate';

export interface AuthorityOptions {
  /** Common name of the root; the intermediate's has ` intermediate` behind it. */
  readonly name: string;
  readonly algorithm: IssuedAlgorithm;
  readonly years: number;
  readonly withIntermediate?: boolean;
}

/**
 * Makes a CA: `root.pem`, the anchor to hand out; `root.key.pem` and the intermediate's beside it; the first lists.
 * @throws CaError exists, bad-name, bad-option; FileFault
 */
export function initAuthority(dir: string, options: AuthorityOptions, world: CaWorld): { readonly files: string[] } {
  const { name, algorithm, years, withIntermediate = false } = options;
  if (existsSync(indexPath(dir)) || existsSync(keyPath(dir, 'root')))
    throw new CaError('exists', `${dir} already holds a CA: choose another directory`);
  const days = checkDays(Math.round(years * 365.25), 'years');
  checkName(name, 50);
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const index: CertificateIndex = { version: 1, name, crlNumber: 1, certificates: [] };
  const root = makeKey(algorithm, world);
  const rootIssuer: Issuer = { name: commonName(name), spki: root.publicSpki, key: root.key };
  const base = { keyUsage: ['keyCertSign', 'cRLSign'], ...period(days, world) } as const;
  const rootRequest = { name, spki: root.publicSpki, serial: freshSerial(world.crypto), ...base };
  const rootDer = issueDer(world.crypto, rootIssuer, { ...rootRequest, ca: { pathLength: null } });
  const files = writeTier(dir, 'root', root.privatePkcs8Pem, rootDer);
  if (withIntermediate) {
    const key = makeKey(algorithm, world);
    const request = {
      ...base,
      name: `${name} intermediate`,
      spki: key.publicSpki,
      serial: freshSerial(world.crypto),
      ca: { pathLength: 0 },
    };
    const der = issueDer(world.crypto, rootIssuer, request);
    files.push(...writeTier(dir, 'intermediate', key.privatePkcs8Pem, der));
    index.certificates.push(entryOf(request, 'authority', 'root', world));
  }
  writeIndex(indexPath(dir), index);
  return { files: [...files, ...writeCrl(dir, world).files] };
}

export interface LeafOptions {
  readonly name: string;
  readonly kind: IssuedKind;
  readonly sans: readonly AlternativeName[];
  readonly days: number;
  readonly algorithm: IssuedAlgorithm;
  readonly outDir: string;
  /** For `ocsp`, whose answers count for what that CA issued; without it: the one that issues all others. */
  readonly issuer?: Tier;
  /** true: a second living certificate for one device name is wanted (a replacement that overlaps). */
  readonly allowSecond?: boolean;
}

/** Whom a key is certified for. */
export type Subject = Omit<LeafOptions, 'algorithm' | 'outDir'>;

/** Who signs in a login, where the cipher suites know two kinds of keys (protocol/edhoc/cipher-suites.ts). */
const LOGS_IN: ReadonlySet<IssuedKind> = new Set<IssuedKind>(['device', 'manager']);

export interface Issued {
  readonly serial: string;
  /** Private key, mode 0600. */
  readonly keyFile: string;
  /** Leaf, then the intermediate if there is one. */
  readonly chainFile: string;
  readonly notAfter: number;
}

/** Issues a key and a certificate. @throws CaError; FileFault */
export function issueCertificate(dir: string, options: LeafOptions, world: CaWorld): Issued {
  const { name, algorithm, outDir } = options;
  checkSubject(dir, options, algorithm, world);
  const key = makeKey(algorithm, world);
  const { chain, ...certified } = certifyKey(dir, options, key.publicSpki, world);
  mkdirSync(outDir, { recursive: true });
  const stem = join(outDir, encodeURIComponent(name));
  const keyFile = `${stem}.key.pem`;
  const chainFile = `${stem}.chain.pem`;
  writeAtomically(keyFile, key.privatePkcs8Pem, 0o600);
  wipe(key.privatePkcs8Pem);
  writeAtomically(chainFile, chain, 0o644);
  return { ...certified, keyFile, chainFile };
}

/**
 * Whether this CA would certify such a key for that name, before anything is made.
 * @throws CaError no-authority, bad-option, bad-name, name-taken
 */
export function checkSubject(dir: string, subject: Subject, algorithm: KeyAlgorithm, { now }: CaWorld): void {
  const { name, kind, sans, days, issuer } = subject;
  if (issuer !== undefined && kind !== 'ocsp') {
    throw new CaError('bad-option', `a ${kind} has no choice of issuer: leave it out`);
  }
  if (issuer === 'intermediate' && !existsSync(certificatePath(dir, 'intermediate'))) {
    throw new CaError('bad-option', `${dir} has no intermediate: its only issuer is the root`);
  }
  if (LOGS_IN.has(kind) && algorithm !== 'p256' && algorithm !== 'ed25519') {
    throw new CaError(
      'bad-option',
      `a ${kind} logs in with a key of kind p256 or ed25519: no EDHOC suite signs with ${algorithm}`,
    );
  }
  checkName(name, 64);
  checkNameIsFree(readIndex(indexPath(dir)), subject, now);
  checkDays(days, 'days');
  withDnsName(kind, name, sans).map(checkAlternativeName);
}

function checkNameIsFree({ certificates }: CertificateIndex, subject: Subject, now: number): void {
  const { name, kind, allowSecond = false } = subject;
  const other = certificates.find((one) => one.kind === kind && one.name === name && isLive(one, now));
  if (other === undefined || allowSecond) return;
  throw new CaError(
    'name-taken',
    `${kind} ${name} has a living certificate, serial ${other.serial}: revoke it first, or ask for a second one`,
  );
}

export interface Certified {
  readonly serial: string;
  /** PEM: leaf, then the intermediate if there is one. */
  readonly chain: Uint8Array;
  readonly notAfter: number;
}

/** Certifies a key for a subject that was checked, and books it. @param spki  DER @throws CaError; FileFault */
export function certifyKey(dir: string, subject: Subject, spki: Uint8Array, world: CaWorld): Certified {
  const { name, kind, sans, days } = subject;
  const tier = subject.issuer ?? issuingTier(dir);
  const { issuer, notAfter: issuerEnds } = loadTier(dir, tier, world);
  const { notBefore, notAfter } = period(days, world);
  const request: CertificateRequest = {
    name,
    spki,
    serial: freshSerial(world.crypto),
    notBefore,
    notAfter: Math.min(notAfter, issuerEnds),
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: PURPOSES[kind],
    alternativeNames: withDnsName(kind, name, sans),
    ...(kind === 'ocsp' && { extra: [OCSP_NO_CHECK] }),
  };
  const der = issueDer(world.crypto, issuer, request);
  const chain = tier === 'root' ? [der] : [der, readTier(dir, 'intermediate')];
  // Booked before it leaves: what is not in the index can never be revoked.
  withLock(dir, () => {
    const index = readIndex(indexPath(dir));
    checkNameIsFree(index, subject, world.now); // once more: another command may have taken it meanwhile
    index.certificates.push(entryOf(request, kind, tier, world));
    writeIndex(indexPath(dir), index);
  });
  return {
    serial: toHex(request.serial),
    chain: encodeUtf8(writePem('CERTIFICATE', ...chain)),
    notAfter: request.notAfter,
  };
}

/**
 * Revokes every living certificate of that serial number or name, and writes the lists anew.
 * @throws CaError unknown-certificate, already-revoked
 */
export function revokeCertificate(dir: string, serialOrName: string, world: CaWorld): { readonly serials: string[] } {
  readIndex(indexPath(dir)); // whether there is a CA at all
  return withLock(dir, () => revoke(dir, serialOrName, world));
}

function revoke(dir: string, serialOrName: string, world: CaWorld): { readonly serials: string[] } {
  const index = readIndex(indexPath(dir));
  const wanted = serialOrName.replaceAll(':', '').toLowerCase();
  const matching = index.certificates.filter(({ serial, name }) => serial === wanted || name === serialOrName);
  if (matching.length === 0) {
    throw new CaError('unknown-certificate', `no certificate of this CA has the serial number or name ${serialOrName}`);
  }
  const open = matching.filter(({ revokedAt }) => revokedAt === null);
  if (open.length === 0) {
    // The run that booked it may have ended before its list was written.
    const { number } = writeLists(dir, world);
    throw new CaError('already-revoked', `${serialOrName} is revoked already; list ${number} says so`);
  }
  for (const one of open) one.revokedAt = world.now;
  writeIndex(indexPath(dir), index);
  writeLists(dir, world);
  return { serials: open.map(({ serial }) => serial) };
}

/**
 * Writes one list per CA, all in `crl.pem`, good for 30 days, and `revoked-keys.txt` with the keys of what is revoked
 * while no other living certificate bears them.
 */
export function writeCrl(dir: string, world: CaWorld): { readonly files: string[]; readonly number: number } {
  readIndex(indexPath(dir)); // as above
  return withLock(dir, () => writeLists(dir, world));
}

function writeLists(dir: string, world: CaWorld): { readonly files: string[]; readonly number: number } {
  const index = readIndex(indexPath(dir));
  const number = index.crlNumber;
  // The number is used up first: two lists with one number would be worse than a gap.
  writeIndex(indexPath(dir), { ...index, crlNumber: number + 1 });
  const tiers: Tier[] = existsSync(certificatePath(dir, 'intermediate')) ? ['root', 'intermediate'] : ['root'];
  const lists = tiers.map((tier) => {
    const { issuer } = loadTier(dir, tier, world);
    const revoked = index.certificates.flatMap((one) =>
      one.issuer === tier && one.revokedAt !== null ? [{ serial: fromHex(one.serial), at: one.revokedAt }] : [],
    );
    const until = { thisUpdate: world.now, nextUpdate: world.now + CRL_DAYS * DAY };
    return issueCrl(world.crypto, issuer, { number, revoked, ...until });
  });
  const crlFile = join(dir, 'crl.pem');
  writeAtomically(crlFile, encodeUtf8(writePem('X509 CRL', ...lists)), 0o644);
  const keysFile = join(dir, 'revoked-keys.txt');
  const living = new Set(index.certificates.filter(({ revokedAt }) => revokedAt === null).map((one) => one.publicKey));
  const out = index.certificates.filter(({ revokedAt, publicKey }) => revokedAt !== null && !living.has(publicKey));
  const lines = out.map(({ publicKey, name }) => `${publicKey} # ${JSON.stringify(name)}\n`);
  writeAtomically(keysFile, encodeUtf8(lines.join('')), 0o644);
  return { files: [crlFile, keysFile], number };
}

/** Every certificate of this CA with what became of it. @throws CaError */
export function listCertificates(dir: string): readonly CertificateEntry[] {
  return readIndex(indexPath(dir)).certificates;
}

export const PURPOSES: Readonly<Record<IssuedKind, readonly string[]>> = {
  device: [EKU.kagimoriDevice, EKU.clientAuth],
  manager: [EKU.kagimoriManager],
  verifier: [EKU.kagimoriVerifier],
  server: [EKU.serverAuth],
  user: [EKU.kagimoriUser],
  ocsp: [EKU.ocspSigning],
};

/** TLS clients look at alternative names alone. [RFC 9525 §2] */
function withDnsName(kind: IssuedKind, name: string, sans: readonly AlternativeName[]): readonly AlternativeName[] {
  const named = sans.some(({ type }) => type === 'dns' || type === 'ip');
  if (kind !== 'server' || named) return sans;
  const isIp = /^[\d.]+$|:/.test(name);
  return [...sans, { type: isIp ? 'ip' : 'dns', value: name }];
}

const FORMS: Readonly<Record<AlternativeName['type'], RegExp>> = {
  dns: /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/i,
  email: /^[\x21-\x3f\x41-\x7e]+@[a-z0-9.-]+$/i,
  uri: /^[a-z][a-z0-9+.-]*:[\x21-\x7e]+$/i,
  mac: /^(?:[0-9a-f]{2}[:-]?){5}[0-9a-f]{2}$/i,
  ip: /^[0-9a-f:.]+$/i,
};

function checkAlternativeName(name: AlternativeName): AlternativeName {
  const wrong = (): CaError => new CaError('bad-name', `${name.value} is no ${name.type} name`);
  if (!FORMS[name.type].test(name.value) || name.value.length > 255) throw wrong();
  try {
    if (name.type === 'ip') ipBytes(name.value);
  } catch {
    throw wrong();
  }
  return name;
}

export function checkName(name: string, maxBytes: number): void {
  if (deviceId(name) !== null && encodeUtf8(name).length <= maxBytes) return;
  throw new CaError(
    'bad-name',
    `${JSON.stringify(name)} is no name: 1 to ${maxBytes} bytes of NFC text without control characters or a leading ~`,
  );
}

function checkDays(days: number, option: string): number {
  if (Number.isInteger(days) && days >= 1 && days <= MAX_DAYS) return days;
  throw new CaError('bad-option', `${option}: at least one day and at most 100 years`);
}

export function period(days: number, { now }: CaWorld): { readonly notBefore: number; readonly notAfter: number } {
  return { notBefore: now - BACKDATE_SECONDS, notAfter: now + days * DAY };
}

function makeKey(algorithm: IssuedAlgorithm, { crypto }: CaWorld): ReturnType<typeof generateSigningKey> {
  return generateSigningKey(algorithm, crypto.counter);
}

function writeTier(dir: string, tier: Tier, keyPem: Uint8Array, der: Uint8Array): string[] {
  writeAtomically(keyPath(dir, tier), keyPem, 0o600);
  wipe(keyPem);
  writeAtomically(certificatePath(dir, tier), encodeUtf8(writePem('CERTIFICATE', der)), 0o644);
  return [keyPath(dir, tier), certificatePath(dir, tier)];
}

export function readTier(dir: string, tier: Tier): Uint8Array {
  const path = certificatePath(dir, tier);
  const der = readPem(readBounded(path, 64 * 1024), 'CERTIFICATE')?.[0];
  if (der === undefined) throw new CaError('no-authority', `${path} holds no certificate: restore it from a backup`);
  return der;
}

export function issuingTier(dir: string): Tier {
  return existsSync(certificatePath(dir, 'intermediate')) ? 'intermediate' : 'root';
}

export function loadTier(dir: string, tier: Tier, { crypto }: CaWorld): { issuer: Issuer; notAfter: number } {
  const certificate = certificateReader().readCertificate(readTier(dir, tier));
  if (certificate === null) {
    throw new CaError('no-authority', `${certificatePath(dir, tier)} cannot be read: restore it from a backup`);
  }
  const pem = readPrivate(keyPath(dir, tier), 16 * 1024);
  const key = signingKey(pem, crypto.counter);
  wipe(pem);
  return { issuer: { name: certificate.subject.der, spki: certificate.spki, key }, notAfter: certificate.notAfter };
}

export function entryOf(
  request: CertificateRequest,
  kind: CertificateEntry['kind'],
  issuer: Tier,
  { crypto }: CaWorld,
): CertificateEntry {
  return {
    serial: toHex(request.serial),
    name: request.name,
    kind,
    issuer,
    notBefore: request.notBefore,
    notAfter: request.notAfter,
    publicKey: toHex(crypto.hash('sha-256', request.spki)),
    revokedAt: null,
  };
}
