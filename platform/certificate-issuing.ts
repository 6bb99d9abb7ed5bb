/**
 * Certificates and revocation lists, made and signed through the signing-key seam: what the small CA and the tests issue.
 * @spec RFC 5280 §4.1, §5.1
 */
import { encodeUtf8 } from '../protocol/bytes.ts';
import type { KeyUsage } from '../protocol/certificate.ts';
import type { Crypto, SignatureAlgorithm, SigningKey } from '../protocol/crypto.ts';
import { EXTENSION, KEY_USAGES } from './certificate-extensions.ts';
import {
  ascii,
  bitString,
  der,
  explicit,
  implicit,
  integer,
  oid,
  readAll,
  readOne,
  sequence,
  TAG,
  time,
} from './der.ts';
import { writeSignatureAlgorithm } from './signature-algorithms.ts';

/** One subject alternative name. `mac` is written as `urn:dev:mac:…` (RFC 9039); `ip` as dotted decimal or RFC 5952. */
export interface AlternativeName {
  readonly type: 'dns' | 'email' | 'uri' | 'mac' | 'ip';
  readonly value: string;
}

/** Names below which a CA may certify; `directory` is a common name's whole Name, DER. */
export interface Subtree {
  readonly type: 'dns' | 'email' | 'uri' | 'directory' | 'ip';
  /** Text, DER of a Name, or address ‖ mask. */
  readonly value: string | Uint8Array;
}

export interface CertificateRequest {
  /** Common name of the subject. */
  readonly name: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** INTEGER content from `freshSerial`. */
  readonly serial: Uint8Array;
  /** Seconds since 1970, both included. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** For a CA: how many CAs may stand below; null = any number. Absent for a leaf. */
  readonly ca?: { readonly pathLength: number | null };
  readonly keyUsage?: readonly KeyUsage[];
  /** OIDs. */
  readonly extendedKeyUsage?: readonly string[];
  readonly alternativeNames?: readonly AlternativeName[];
  readonly nameConstraints?: { readonly permitted?: readonly Subtree[]; readonly excluded?: readonly Subtree[] };
  /** Further extensions, for tests. */
  readonly extra?: readonly { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array }[];
}

/** Who signs: the name in the certificates to be issued, and the key. */
export interface Issuer {
  /** Name, DER: the subject of the issuer's own certificate. */
  readonly name: Uint8Array;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  readonly key: SigningKey;
}

/** Name with a single common name, DER. */
export function commonName(text: string): Uint8Array {
  return sequence(der(TAG.set, sequence(oid('2.5.4.3'), der(TAG.utf8, encodeUtf8(text)))));
}

/** 16 random bytes as a positive INTEGER content: the first bit clear, the second set. */
export function freshSerial(crypto: Crypto): Uint8Array {
  const serial = crypto.random(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial;
}

/** @returns Certificate, DER */
export function issueCertificate(crypto: Crypto, issuer: Issuer, request: CertificateRequest): Uint8Array {
  const algorithm = algorithmOf(issuer.key);
  const tbs = sequence(
    der(explicit(0), integer(2)),
    der(TAG.integer, request.serial),
    writeSignatureAlgorithm(algorithm),
    issuer.name,
    sequence(time(request.notBefore), time(request.notAfter)),
    commonName(request.name),
    request.spki,
    der(explicit(3), sequence(...extensionsOf(crypto, issuer, request))),
  );
  return signed(issuer.key, algorithm, tbs);
}

export interface CrlRequest {
  readonly number: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly revoked: readonly { readonly serial: Uint8Array; readonly at: number }[];
  /** Further extensions, for tests. */
  readonly extra?: readonly { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array }[];
}

/** @returns CertificateList version 2, DER */
export function issueCrl(crypto: Crypto, issuer: Issuer, request: CrlRequest): Uint8Array {
  const algorithm = algorithmOf(issuer.key);
  const entries = request.revoked.map(({ serial, at }) => sequence(der(TAG.integer, serial), time(at)));
  const tbs = sequence(
    integer(1),
    writeSignatureAlgorithm(algorithm),
    issuer.name,
    time(request.thisUpdate),
    time(request.nextUpdate),
    ...(entries.length > 0 ? [sequence(...entries)] : []), // an empty list is left out [RFC 5280 §5.1.2.6]
    der(
      explicit(0),
      sequence(
        extension(EXTENSION.authorityKeyId, false, authorityKeyId(crypto, issuer)),
        extension(EXTENSION.crlNumber, false, integer(request.number)),
        ...(request.extra ?? []).map((one) => extension(one.oid, one.critical, one.value)),
      ),
    ),
  );
  return signed(issuer.key, algorithm, tbs);
}

const SIGNATURE_OF = {
  ed25519: 'ed25519',
  p256: 'ecdsa-sha256',
  p384: 'ecdsa-sha384',
  rsa: 'rsa-pkcs1-sha256',
} as const;

function algorithmOf(key: SigningKey): SignatureAlgorithm {
  return SIGNATURE_OF[key.algorithm];
}

function signed(key: SigningKey, algorithm: SignatureAlgorithm, tbs: Uint8Array): Uint8Array {
  const signature = key.sign(algorithm, tbs);
  const isEcdsa = algorithm.startsWith('ecdsa-');
  return sequence(tbs, writeSignatureAlgorithm(algorithm), bitString(isEcdsa ? ecdsaDer(signature) : signature));
}

/** r ‖ s as Ecdsa-Sig-Value. [RFC 3279 §2.2.3] */
export function ecdsaDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2;
  const unsigned = (bytes: Uint8Array): Uint8Array =>
    integer(bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
  return sequence(unsigned(raw.subarray(0, half)), unsigned(raw.subarray(half)));
}

/** SHA-256 over the key's bits, the first 20 bytes. [RFC 7093 §2 (1)] */
function keyId(crypto: Crypto, spki: Uint8Array): Uint8Array {
  const bits = readAll(readOne(spki, TAG.sequence).content)[1]!.content.subarray(1);
  return crypto.hash('sha-256', bits).subarray(0, 20);
}

function authorityKeyId(crypto: Crypto, issuer: Issuer): Uint8Array {
  return sequence(der(implicit(0), keyId(crypto, issuer.spki)));
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [der(TAG.boolean, Uint8Array.of(0xff))] : [];
  return sequence(oid(id), ...flag, der(TAG.octetString, value));
}

function extensionsOf(crypto: Crypto, issuer: Issuer, request: CertificateRequest): Uint8Array[] {
  const { ca, keyUsage, extendedKeyUsage, alternativeNames, nameConstraints, extra } = request;
  const list = [
    extension(EXTENSION.subjectKeyId, false, der(TAG.octetString, keyId(crypto, request.spki))),
    extension(EXTENSION.authorityKeyId, false, authorityKeyId(crypto, issuer)),
    extension(EXTENSION.basicConstraints, true, basicConstraints(ca)),
  ];
  if (keyUsage !== undefined) list.push(extension(EXTENSION.keyUsage, true, keyUsageBits(keyUsage)));
  if (extendedKeyUsage !== undefined) {
    list.push(extension(EXTENSION.extendedKeyUsage, false, sequence(...extendedKeyUsage.map(oid))));
  }
  if (alternativeNames !== undefined && alternativeNames.length > 0) {
    list.push(extension(EXTENSION.subjectAltName, false, sequence(...alternativeNames.map(alternativeName))));
  }
  if (nameConstraints !== undefined) {
    const { permitted = [], excluded = [] } = nameConstraints;
    const trees = [permitted, excluded].flatMap((subtrees, i) =>
      subtrees.length === 0 ? [] : [der(explicit(i), ...subtrees.map((one) => sequence(subtree(one))))],
    );
    list.push(extension(EXTENSION.nameConstraints, true, sequence(...trees)));
  }
  for (const one of extra ?? []) list.push(extension(one.oid, one.critical, one.value));
  return list;
}

function basicConstraints(ca: CertificateRequest['ca']): Uint8Array {
  if (ca === undefined) return sequence();
  const isCa = der(TAG.boolean, Uint8Array.of(0xff));
  return ca.pathLength === null ? sequence(isCa) : sequence(isCa, integer(ca.pathLength));
}

function keyUsageBits(usages: readonly KeyUsage[]): Uint8Array {
  const places = usages.map((usage) => KEY_USAGES.indexOf(usage));
  const bytes = new Uint8Array(Math.floor(Math.max(...places) / 8) + 1);
  for (const place of places) bytes[place >> 3]! |= 0x80 >> (place & 7);
  return bitString(bytes, 7 - (Math.max(...places) % 8));
}

function alternativeName({ type, value }: AlternativeName): Uint8Array {
  switch (type) {
    case 'email':
      return der(implicit(1), ascii(value));
    case 'dns':
      return der(implicit(2), ascii(value));
    case 'uri':
      return der(implicit(6), ascii(value));
    case 'mac':
      return der(implicit(6), ascii(`urn:dev:mac:${value.replace(/[:-]/g, '').toLowerCase()}`));
    case 'ip':
      return der(implicit(7), ipBytes(value));
    default:
      return type satisfies never;
  }
}

function subtree({ type, value }: Subtree): Uint8Array {
  const bytes = typeof value === 'string' ? ascii(value) : value;
  if (type === 'directory') return der(explicit(4), bytes);
  return der(implicit({ email: 1, dns: 2, uri: 6, ip: 7 }[type]), bytes);
}

/** @throws RangeError */
export function ipBytes(text: string): Uint8Array {
  const wrong = (): RangeError => new RangeError(`no IP address: ${text}`);
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const bytes = text.split('.').map(Number);
    if (bytes.some((byte) => byte > 255)) throw wrong();
    return Uint8Array.from(bytes);
  }
  const [head, tail, ...more] = text.split('::');
  const groups = (part: string | undefined): string[] => (part === undefined || part === '' ? [] : part.split(':'));
  const left = groups(head);
  const right = groups(tail);
  const missing = 8 - left.length - right.length;
  if (more.length > 0 || (tail === undefined ? missing !== 0 : missing < 1)) throw wrong();
  const all = [...left, ...Array.from({ length: missing }, () => '0'), ...right];
  if (!all.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) throw wrong();
  return Uint8Array.from(all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]));
}
