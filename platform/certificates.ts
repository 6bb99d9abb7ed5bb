/**
 * Certificates, revocation lists and PEM out of bytes: a strict scan (der.ts), then asn1js, then the shapes of RFC 5280.
 * Why not pkijs's own classes: docs/decisions/0005-certificates-by-pkijs.md. @spec RFC 5280 §4.1, §5.1
 */
import { decodeUtf8, equal, toHex } from '../protocol/bytes.ts';
import type { CertificateReader, ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import {
  type Element,
  expect,
  MAX_ELEMENTS,
  Members,
  membersOf,
  onlyMember,
  parseDer,
  parsed,
  smallInteger,
} from './asn1.ts';
import { EXTENSION, NO_EXTENSIONS, readCertificateExtensions, readExtensionList } from './certificate-extensions.ts';
import { readName } from './certificate-names.ts';
import { DerFault, explicit, implicit, type Span, scanDer, spansOf, TAG } from './der.ts';
import { readSignatureAlgorithm } from './signature-algorithms.ts';

/** As large as the wire lets one be (protocol/messages.ts, held equal by a test). */
export const MAX_CERTIFICATE_BYTES = 4096;
/** About 200,000 entries. */
export const MAX_CRL_BYTES = 8 * 1024 * 1024;
/** Each takes at least two bytes. */
const MAX_CRL_ELEMENTS = MAX_CRL_BYTES / 2;
const MAX_SERIAL_BYTES = 20;

/** @param maxBytes larger ones are refused unread; trust anchors and published vectors may exceed the wire's limit */
export function certificateReader(maxBytes: number = MAX_CERTIFICATE_BYTES): CertificateReader {
  return {
    readCertificate: (der) => (der.length > maxBytes ? null : orNull(() => readCertificate(der))),
    readCrl: (der) => (der.length > MAX_CRL_BYTES ? null : orNull(() => readCrl(der))),
  };
}

/** What every reader of bytes gives for a fault of theirs. */
export function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerFault) return null;
    throw error; // our bug: every fault of the bytes is a DerFault, those that the library throws included (asn1.ts)
  }
}

function readSerial({ content }: { readonly content: Uint8Array }): Uint8Array {
  if (content.length > MAX_SERIAL_BYTES) throw new DerFault('a serial number too long');
  return content;
}

/** Bytes of a BIT STRING that is a whole number of bytes. */
function wholeBits({ content }: { readonly content: Uint8Array }): Uint8Array {
  if (content[0] !== 0) throw new DerFault('a bit string that is no whole number of bytes');
  return content.subarray(1);
}

function readTime(element: Element): EpochSeconds {
  return element.time as EpochSeconds;
}

export interface Signed {
  readonly tbs: Uint8Array;
  /** Of the signed part; behind the optional first one stands the AlgorithmIdentifier, equal to the one outside. */
  readonly members: Members<Span>;
  /** AlgorithmIdentifier, DER. */
  readonly algorithm: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * The frame that certificates, lists and requests share. It is cut by the spans of the scan, and the library reads only the
 * members that have to be understood: a key, a signature or 200,000 entries would cost it 5 µs an element for nothing.
 */
export function readSigned(der: Uint8Array, maxElements: number): Signed {
  const outer = new Members(spansOf(expect(scanDer(der, maxElements), TAG.sequence).content));
  const tbs = outer.take(TAG.sequence);
  const algorithm = outer.take(TAG.sequence).raw;
  const signature = wholeBits(outer.take(TAG.bitString));
  outer.end();
  return { tbs: tbs.raw, members: new Members(spansOf(tbs.content)), algorithm, signature };
}

function readCertificate(der: Uint8Array): ParsedCertificate {
  const { tbs, members, algorithm, signature } = readSigned(der, MAX_ELEMENTS);
  const versionField = members.takeIf(explicit(0));
  const version = versionField === null ? 0 : smallInteger(onlyMember(parsed(versionField), TAG.integer));
  if (version > 2 || (versionField !== null && version === 0)) throw new DerFault('an unknown version');
  const serial = readSerial(members.take(TAG.integer));
  if (!equal(members.take(TAG.sequence).raw, algorithm)) throw new DerFault('two signature algorithms');
  const issuer = readName(parsed(members.takeAny()));
  const validity = membersOf(parsed(members.take(TAG.sequence)));
  const notBefore = readTime(validity.takeAny());
  const notAfter = readTime(validity.takeAny());
  validity.end();
  const subject = readName(parsed(members.takeAny()));
  const spki = members.take(TAG.sequence).raw;
  const ids = [members.takeIf(implicit(1)), members.takeIf(implicit(2))];
  const extensions = members.takeIf(explicit(3));
  members.end();
  if (ids.some((id) => id !== null) && version === 0) throw new DerFault('a unique id in version 1');
  if (extensions !== null && version !== 2) throw new DerFault('extensions before version 3');
  if (issuer.rdns.length === 0) throw new DerFault('no issuer');
  return {
    der,
    tbs,
    version: (version + 1) as 1 | 2 | 3,
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki,
    signatureAlgorithm: readSignatureAlgorithm(algorithm),
    signature,
    extensions:
      extensions === null ? NO_EXTENSIONS : readCertificateExtensions(onlyMember(parsed(extensions), TAG.sequence)),
  };
}

// ── revocation lists ────────────────────────────────────────────────────────────────────────────────────────────────

function readCrl(der: Uint8Array): ParsedCrl {
  const { tbs, members, algorithm, signature } = readSigned(der, MAX_CRL_ELEMENTS);
  const version = members.takeIf(TAG.integer);
  if (version !== null && smallInteger(parsed(version)) !== 1) throw new DerFault('an unknown version');
  if (!equal(members.take(TAG.sequence).raw, algorithm)) throw new DerFault('two signature algorithms');
  const issuer = readName(parsed(members.takeAny()));
  const thisUpdate = readTime(parsed(members.takeAny()));
  const next = members.takeIf(TAG.utcTime, TAG.generalizedTime);
  const entries = members.takeIf(TAG.sequence);
  const extensions = members.takeIf(explicit(0));
  members.end();
  const { revoked, critical } = readEntries(entries === null ? [] : spansOf(entries.content));
  let number: bigint | null = null;
  if (extensions !== null) {
    for (const extension of readExtensionList(onlyMember(parsed(extensions), TAG.sequence))) {
      if (extension.critical) critical.add(extension.oid);
      if (extension.oid === EXTENSION.crlNumber) number = readCrlNumber(extension.value);
    }
  }
  return {
    der,
    tbs,
    issuer,
    thisUpdate,
    nextUpdate: next === null ? null : readTime(parsed(next)),
    number,
    signatureAlgorithm: readSignatureAlgorithm(algorithm),
    signature,
    revoked,
    critical: [...critical],
  };
}

function readEntries(entries: readonly Span[]): { readonly revoked: Set<string>; readonly critical: Set<string> } {
  const revoked = new Set<string>();
  const critical = new Set<string>();
  // Nearly every entry has one of the ten revocation reasons, in the same bytes: each spelling is read once.
  const known = new Set<string>();
  for (const entry of entries) {
    const members = new Members(spansOf(expect(entry, TAG.sequence).content));
    revoked.add(toHex(readSerial(members.take(TAG.integer))));
    members.take(TAG.utcTime, TAG.generalizedTime);
    const extensions = members.takeIf(TAG.sequence);
    members.end();
    if (extensions === null) continue;
    const spelling = toHex(extensions.raw);
    if (known.has(spelling)) continue;
    known.add(spelling);
    for (const { oid, critical: isCritical } of readExtensionList(parsed(extensions))) {
      if (isCritical) critical.add(oid);
    }
  }
  return { revoked, critical };
}

/** @throws DerFault for a negative number, or one of more than 20 bytes [RFC 5280 §5.2.3] */
function readCrlNumber(value: Uint8Array): bigint {
  const { integer } = parseDer(value, TAG.integer);
  if (integer < 0n || integer >= 2n ** BigInt(8 * MAX_SERIAL_BYTES)) throw new DerFault('no number of a list');
  return integer;
}

// ── PEM ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

export type PemLabel = 'CERTIFICATE' | 'X509 CRL' | 'CERTIFICATE REQUEST' | 'NEW CERTIFICATE REQUEST';

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
    blocks.push(fromBase64(base64));
    at = stop;
  }
  return blocks;
}

/** 48 bytes make one line of 64 characters. */
const PEM_LINE_BYTES = 48;

export function writePem(label: PemLabel, ...blocks: readonly Uint8Array[]): string {
  return blocks
    .map((block) => {
      const lines: string[] = [];
      for (let at = 0; at < block.length; at += PEM_LINE_BYTES) {
        lines.push(btoa(String.fromCharCode(...block.subarray(at, at + PEM_LINE_BYTES))));
      }
      return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
    })
    .join('');
}

/** Without Buffer, which browsers have not. @throws DOMException for anything but whole base64 */
function fromBase64(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
