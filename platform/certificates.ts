/**
 * Certificates, revocation lists and PEM out of bytes. Read by a DER reader of our own: a general ASN.1 library takes
 * second spellings of the same certificate and was seen to run for seconds on crafted ones. @spec RFC 5280 §4.1, §5.1
 */
import { decodeUtf8, equal, toHex } from '../protocol/bytes.ts';
import type { CertificateReader, ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import type { SignatureAlgorithm } from '../protocol/crypto.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import { EXTENSION, NO_EXTENSIONS, readCertificateExtensions, readExtensionList } from './certificate-extensions.ts';
import { readName } from './certificate-names.ts';
import {
  DerFault,
  type Element,
  expect,
  explicit,
  implicit,
  integerBytes,
  Members,
  readAll,
  readOne,
  smallInteger,
  TAG,
  timeSeconds,
  wholeBits,
} from './der.ts';
import { readSignatureAlgorithm } from './signature-algorithms.ts';

/** As large as the wire lets one be (protocol/messages.ts, held equal by a test). */
export const MAX_CERTIFICATE_BYTES = 4096;
/** About 200,000 entries. */
export const MAX_CRL_BYTES = 8 * 1024 * 1024;
const MAX_SERIAL_BYTES = 20;

/** @param maxBytes larger ones are refused unread; trust anchors and published vectors may exceed the wire's limit */
export function certificateReader(maxBytes: number = MAX_CERTIFICATE_BYTES): CertificateReader {
  return {
    readCertificate: (der) => (der.length > maxBytes ? null : orNull(() => readCertificate(der))),
    readCrl: (der) => (der.length > MAX_CRL_BYTES ? null : orNull(() => readCrl(der))),
  };
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerFault) return null;
    throw error; // our bug: every fault of the bytes is a DerFault
  }
}

interface Signed {
  readonly tbs: Element;
  /** AlgorithmIdentifier, DER; the one inside the signed part has to be equal. */
  readonly algorithm: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  readonly signature: Uint8Array;
}

function readSigned(der: Uint8Array): Signed {
  const members = new Members(readOne(der, TAG.sequence));
  const tbs = members.take(TAG.sequence);
  const algorithm = members.take(TAG.sequence);
  const signature = wholeBits(members.take(TAG.bitString));
  members.end();
  return { tbs, algorithm: algorithm.raw, signatureAlgorithm: readSignatureAlgorithm(algorithm), signature };
}

function readTime(element: Element): EpochSeconds {
  return timeSeconds(element) as EpochSeconds;
}

function readCertificate(der: Uint8Array): ParsedCertificate {
  const { tbs, algorithm, signatureAlgorithm, signature } = readSigned(der);
  const members = new Members(tbs);
  const versionField = members.takeIf(explicit(0));
  const version = versionField === null ? 0 : smallInteger(readOne(versionField.content, TAG.integer));
  if (version > 2 || (versionField !== null && version === 0)) throw new DerFault('an unknown version');
  const serial = integerBytes(members.take(TAG.integer), MAX_SERIAL_BYTES);
  if (!equal(members.take(TAG.sequence).raw, algorithm)) throw new DerFault('two signature algorithms');
  const issuer = readName(members.takeAny());
  const validity = new Members(members.take(TAG.sequence));
  const notBefore = readTime(validity.takeAny());
  const notAfter = readTime(validity.takeAny());
  validity.end();
  const subject = readName(members.takeAny());
  const spki = members.take(TAG.sequence).raw;
  const ids = [members.takeIf(implicit(1)), members.takeIf(implicit(2))];
  const extensions = members.takeIf(explicit(3));
  members.end();
  if (ids.some((id) => id !== null) && version === 0) throw new DerFault('a unique id in version 1');
  if (extensions !== null && version !== 2) throw new DerFault('extensions before version 3');
  if (issuer.rdns.length === 0) throw new DerFault('no issuer');
  return {
    der,
    tbs: tbs.raw,
    version: (version + 1) as 1 | 2 | 3,
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    signatureAlgorithm,
    signature,
    extensions:
      extensions === null ? NO_EXTENSIONS : readCertificateExtensions(readOne(extensions.content, TAG.sequence)),
  };
}

function readCrl(der: Uint8Array): ParsedCrl {
  const { tbs, algorithm, signatureAlgorithm, signature } = readSigned(der);
  const members = new Members(tbs);
  const version = members.takeIf(TAG.integer);
  if (version !== null && smallInteger(version) !== 1) throw new DerFault('an unknown version');
  if (!equal(members.take(TAG.sequence).raw, algorithm)) throw new DerFault('two signature algorithms');
  const issuer = readName(members.takeAny());
  const thisUpdate = readTime(members.takeAny());
  const next = members.takeIf(TAG.utcTime, TAG.generalizedTime);
  const entries = members.takeIf(TAG.sequence);
  const extensions = members.takeIf(explicit(0));
  members.end();
  const revoked = new Set<string>();
  const critical = new Set<string>();
  for (const entry of entries === null ? [] : readAll(entries.content)) readEntry(entry, revoked, critical);
  let number: bigint | null = null;
  for (const extension of extensions === null ? [] : readExtensionList(readOne(extensions.content, TAG.sequence))) {
    if (extension.critical) critical.add(extension.oid);
    if (extension.oid === EXTENSION.crlNumber) {
      number = BigInt(`0x${toHex(integerBytes(readOne(extension.value, TAG.integer), MAX_SERIAL_BYTES + 1))}`);
    }
  }
  return {
    der,
    tbs: tbs.raw,
    issuer,
    thisUpdate,
    nextUpdate: next === null ? null : readTime(next),
    number,
    signatureAlgorithm,
    signature,
    revoked,
    critical: [...critical],
  };
}

function readEntry(entry: Element, revoked: Set<string>, critical: Set<string>): void {
  const members = new Members(entry);
  revoked.add(toHex(integerBytes(members.take(TAG.integer), MAX_SERIAL_BYTES)));
  readTime(members.takeAny());
  const extensions = members.takeIf(TAG.sequence);
  members.end();
  if (extensions === null) return;
  for (const extension of readExtensionList(expect(extensions, TAG.sequence))) {
    if (extension.critical) critical.add(extension.oid);
  }
}

// ── PEM ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type PemLabel = 'CERTIFICATE' | 'X509 CRL';

/**
 * All blocks with this label, in order; text around them and other labels are passed over.
 * @returns null when a block does not end, or holds something else than base64
 * @spec RFC 7468 §2
 */
export function readPem(input: string | Uint8Array, label: PemLabel): Uint8Array[] | null {
  let text: string;
  try {
    text = typeof input === 'string' ? input : decodeUtf8(input);
  } catch {
    return null;
  }
  const blocks: Uint8Array[] = [];
  const begin = `-----BEGIN ${label}-----`;
  const end = `-----END ${label}-----`;
  for (let at = text.indexOf(begin); at >= 0; at = text.indexOf(begin, at)) {
    const stop = text.indexOf(end, at);
    if (stop < 0) return null;
    const base64 = text.slice(at + begin.length, stop).replace(/\s+/g, '');
    if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
    blocks.push(new Uint8Array(Buffer.from(base64, 'base64')));
    at = stop;
  }
  return blocks;
}

export function writePem(label: PemLabel, ...blocks: readonly Uint8Array[]): string {
  return blocks
    .map((block) => {
      const lines =
        Buffer.from(block)
          .toString('base64')
          .match(/.{1,64}/g) ?? [];
      return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
    })
    .join('');
}
