/**
 * The small CA certifies a key that it never saw: a request (PKCS#10) proves who holds the key; who that is, and what
 * for, the operator says. A request claims nothing by itself.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { AlternativeName } from '../../platform/certificate-issuing.ts';
import { MAX_REQUEST_BYTES, readRequest } from '../../platform/certificate-request.ts';
import { readPem } from '../../platform/certificates.ts';
import { readBounded, writeAtomically } from '../../platform/files.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { GeneralNames } from '../../protocol/certificate.ts';
import { checkRequest, type ParsedRequest } from '../../protocol/certificate-request.ts';
import type { PublicKey } from '../../protocol/crypto.ts';
import { deviceId } from '../../protocol/topics.ts';
import {
  type CaWorld,
  type Certified,
  certifyKey,
  checkSubject,
  type IssuedKind,
  listCertificates,
  type Subject,
  type Tier,
} from './authority.ts';
import { CaError } from './ca-error.ts';

export interface RequestOptions {
  readonly file: string;
  readonly kind: IssuedKind;
  /** null: the common name of the request's subject. */
  readonly name: string | null;
  /** Alternative names that the operator gives. */
  readonly sans: readonly AlternativeName[];
  /** true: the alternative names of the request are taken too. */
  readonly namesOfRequest: boolean;
  readonly days: number;
  readonly outDir: string;
  readonly allowSecond: boolean;
  readonly issuer?: Tier;
}

export interface SignedRequest extends Omit<Certified, 'chain'> {
  readonly name: string;
  readonly chainFile: string;
  readonly names: readonly AlternativeName[];
  /** How many alternative names the request asked for in vain. */
  readonly namesLeftOut: number;
}

/** @throws CaError bad-request, key-taken, and all of `checkSubject`; FileFault */
export function signRequest(dir: string, options: RequestOptions, world: CaWorld): SignedRequest {
  const { file, kind, days, outDir, allowSecond, namesOfRequest, issuer } = options;
  const request = readRequestFile(file);
  const finding = checkRequest(world.crypto, request);
  if (!finding.ok) throw bad(file, finding.detail);
  const name = options.name ?? nameOf(file, request);
  const asked = request.wishes.subjectAltName;
  const wished = asked === null ? 0 : countOf(asked);
  const sans = [...options.sans, ...(asked !== null && namesOfRequest ? namesIn(file, asked) : [])];
  const subject: Subject = { name, kind, sans, days, allowSecond, ...(issuer !== undefined && { issuer }) };
  if (kind === 'verifier' && finding.key.algorithm === 'rsa') {
    throw new CaError('bad-option', 'a verifier signs with a key of kind p256, p384 or ed25519, not rsa');
  }
  checkSubject(dir, subject, finding.key.algorithm, world);
  checkKey(dir, subject, finding.key, world);
  const { chain, ...certified } = certifyKey(dir, subject, finding.key.spki, world);
  mkdirSync(outDir, { recursive: true });
  const chainFile = join(outDir, `${encodeURIComponent(name)}.chain.pem`);
  writeAtomically(chainFile, chain, 0o644);
  return { name, ...certified, chainFile, names: sans, namesLeftOut: namesOfRequest ? 0 : wished };
}

/** One request, PEM or DER. @throws CaError bad-request; FileFault */
function readRequestFile(file: string): ParsedRequest {
  const bytes = readBounded(file, 4 * MAX_REQUEST_BYTES);
  const isDer = bytes[0] === 0x30;
  const blocks = isDer
    ? [bytes]
    : [...(readPem(bytes, 'CERTIFICATE REQUEST') ?? []), ...(readPem(bytes, 'NEW CERTIFICATE REQUEST') ?? [])];
  const [block, ...more] = blocks;
  if (block === undefined || more.length > 0) throw bad(file, 'it does not hold one request (PKCS#10, PEM or DER)');
  const request = readRequest(block);
  if (request === null) throw bad(file, `it is no well-formed request of at most ${MAX_REQUEST_BYTES} bytes`);
  return request;
}

function nameOf(file: string, { subject }: ParsedRequest): string {
  const name = subject.commonName === null ? null : deviceId(subject.commonName);
  if (name === null) throw bad(file, 'its subject has no single common name that can be certified: give one (--name)');
  return name;
}

const countOf = ({ dns, email, uri, ip, directory, other }: GeneralNames): number =>
  [dns, email, uri, ip, directory, other].reduce((sum, { length }) => sum + length, 0);

function namesIn(file: string, { dns, email, uri, ip, directory, other }: GeneralNames): AlternativeName[] {
  if (directory.length + other.length > 0) {
    throw bad(file, 'it asks for a name that is neither dns, email, uri nor ip: sign it without --names-of-request');
  }
  return [
    ...dns.map((value): AlternativeName => ({ type: 'dns', value })),
    ...email.map((value): AlternativeName => ({ type: 'email', value })),
    ...uri.map((value): AlternativeName => ({ type: 'uri', value })),
    ...ip.map((bytes): AlternativeName => ({ type: 'ip', value: ipText(bytes) })),
  ];
}

function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16));
  return groups.join(':');
}

/** A key that is out stays out: a new certificate would take it off the list of revoked keys. And it has one owner. */
function checkKey(dir: string, { name, kind }: Subject, { spki }: PublicKey, { crypto }: CaWorld): void {
  const hash = toHex(crypto.hash('sha-256', spki));
  const holders = listCertificates(dir).filter(({ publicKey }) => publicKey === hash);
  const revoked = holders.find(({ revokedAt }) => revokedAt !== null);
  if (revoked !== undefined) {
    throw new CaError('key-taken', `its key was revoked with ${revoked.kind} ${revoked.name}: make a new one`);
  }
  const other = holders.find((one) => one.name !== name || one.kind !== kind);
  if (other !== undefined) {
    throw new CaError('key-taken', `its key is that of ${other.kind} ${other.name}: make one of its own`);
  }
}

function bad(file: string, detail: string): CaError {
  return new CaError('bad-request', `${file}: ${detail}`);
}
