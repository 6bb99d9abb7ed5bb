/**
 * Certificates and PEM out of bytes: a strict scan (der.ts), then asn1js, then the shapes of RFC 5280.
 * Why not pkijs's own classes: docs/decisions/0005-certificates-by-pkijs.md. @spec RFC 5280 §4.1
 */
import { decodeUtf8, equal } from '../protocol/bytes.ts';
import type { CertificateReader, ParsedCertificate } from '../protocol/certificate.ts';
import { MAX_ELEMENTS, Members, onlySpan, parsed, smallInteger } from './asn1.ts';
import { NO_EXTENSIONS, readCertificateExtensions } from './certificate-extensions.ts';
import { readName } from './certificate-names.ts';
import { DerFault, explicit, implicit, spansOf, TAG } from './der.ts';
import { readRevocationList } from './revocation-list-reading.ts';
import { readSignatureAlgorithm } from './signature-algorithms.ts';
import { orNull, readSerial, readSigned, readSpki, readTime } from './signed-object.ts';

/** As large as the wire lets one be (protocol/messages.ts, held equal by a test). */
export const MAX_CERTIFICATE_BYTES = 4096;
/** About 200,000 entries. */
export const MAX_CRL_BYTES = 8 * 1024 * 1024;

/** @param maxBytes larger ones are refused unread; trust anchors and published vectors may exceed the wire's limit */
export function certificateReader(maxBytes: number = MAX_CERTIFICATE_BYTES): CertificateReader {
  return {
    readCertificate: (der) => (der.length > maxBytes ? null : orNull(() => readCertificate(der))),
    readCrl: (der) => (der.length > MAX_CRL_BYTES ? null : orNull(() => readRevocationList(der))),
  };
}

function readCertificate(der: Uint8Array): ParsedCertificate {
  const { tbs, members, algorithm, signature } = readSigned(der, MAX_ELEMENTS);
  const versionField = members.takeIf(explicit(0));
  const version = versionField === null ? 0 : smallInteger(parsed(onlySpan(versionField, TAG.integer)));
  if (version > 2 || (versionField !== null && version === 0)) throw new DerFault('an unknown version');
  const serial = readSerial(members.take(TAG.integer));
  if (!equal(members.take(TAG.sequence).raw, algorithm)) throw new DerFault('two signature algorithms');
  const issuer = readName(members.takeAny());
  const validity = new Members(spansOf(members.take(TAG.sequence).content));
  const notBefore = readTime(parsed(validity.takeAny()));
  const notAfter = readTime(parsed(validity.takeAny()));
  validity.end();
  const subject = readName(members.takeAny());
  const spki = readSpki(members.takeAny());
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
    extensions: extensions === null ? NO_EXTENSIONS : readCertificateExtensions(onlySpan(extensions, TAG.sequence)),
  };
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
