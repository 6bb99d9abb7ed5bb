/**
 * Certificates and revocation lists, built by pkijs and signed through the signing-key seam: what the small CA and the
 * tests issue. @spec RFC 5280 §4.1, §5.1
 */
import { BitString, fromBER, Integer, Null, OctetString, Sequence, Utf8String } from 'asn1js';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  CertificateRevocationList,
  Extension,
  Extensions,
  ExtKeyUsage,
  GeneralName,
  GeneralNames,
  GeneralSubtree,
  NameConstraints,
  PublicKeyInfo,
  RelativeDistinguishedNames,
  RevokedCertificate,
  Time,
} from 'pkijs';
import { toHex } from '../protocol/bytes.ts';
import type { KeyUsage } from '../protocol/certificate.ts';
import type { Crypto, SignatureAlgorithm, SigningKey } from '../protocol/crypto.ts';
import { EXTENSION, KEY_USAGES } from './certificate-extensions.ts';
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
  /** Further extensions. */
  readonly extra?: readonly { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array }[];
}

/** Of a signer of OCSP answers: nobody asks whether it is revoked, so it is short-lived. @spec RFC 6960 §4.2.2.2.1 */
export const OCSP_NO_CHECK = {
  oid: EXTENSION.ocspNoCheck,
  critical: false,
  value: new Uint8Array(new Null().toBER()),
} as const;

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
  const value = new Utf8String({ value: text });
  const typesAndValues = [new AttributeTypeAndValue({ type: '2.5.4.3', value })];
  return derOf(new RelativeDistinguishedNames({ typesAndValues }));
}

/** 16 random bytes as a positive INTEGER content: the first bit clear, the second set. */
export function freshSerial(crypto: Crypto): Uint8Array {
  const serial = crypto.random(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial;
}

/** @returns Certificate, DER */
export function issueCertificate(crypto: Crypto, issuer: Issuer, request: CertificateRequest): Uint8Array {
  return signed(
    issuer.key,
    new Certificate({
      version: 2,
      serialNumber: new Integer({ valueHex: request.serial }),
      issuer: new RelativeDistinguishedNames(schemaOf(issuer.name)),
      notBefore: time(request.notBefore),
      notAfter: time(request.notAfter),
      subject: new RelativeDistinguishedNames(schemaOf(commonName(request.name))),
      subjectPublicKeyInfo: new PublicKeyInfo(schemaOf(request.spki)),
      extensions: extensionsOf(crypto, issuer, request),
    }),
  );
}

export interface CrlRequest {
  readonly number: number;
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  readonly revoked: readonly { readonly serial: Uint8Array; readonly at: number }[];
  /** Further extensions, for tests. */
  readonly extra?: readonly { readonly oid: string; readonly critical: boolean; readonly value: Uint8Array }[];
}

/** The library keeps `encodeTBS` of lists to itself, that of certificates not. */
class RevocationList extends CertificateRevocationList {
  override encodeTBS(): Sequence {
    return super.encodeTBS();
  }
}

/** @returns CertificateList version 2, DER */
export function issueCrl(crypto: Crypto, issuer: Issuer, request: CrlRequest): Uint8Array {
  const revokedCertificates = request.revoked.map(
    ({ serial, at }) =>
      new RevokedCertificate({ userCertificate: new Integer({ valueHex: serial }), revocationDate: time(at) }),
  );
  const extensions = [
    extension(EXTENSION.authorityKeyId, false, authorityKeyId(crypto, issuer)),
    extension(EXTENSION.crlNumber, false, new Integer({ value: request.number })),
    ...(request.extra ?? []).map((one) => extension(one.oid, one.critical, one.value)),
  ];
  return signed(
    issuer.key,
    new RevocationList({
      version: 1,
      issuer: new RelativeDistinguishedNames(schemaOf(issuer.name)),
      thisUpdate: time(request.thisUpdate),
      nextUpdate: time(request.nextUpdate),
      ...(revokedCertificates.length > 0 && { revokedCertificates }), // an empty list is left out [RFC 5280 §5.1.2.6]
      crlExtensions: new Extensions({ extensions }),
    }),
  );
}

const SIGNATURE_OF = {
  ed25519: 'ed25519',
  p256: 'ecdsa-sha256',
  p384: 'ecdsa-sha384',
  rsa: 'rsa-pkcs1-sha256',
} as const;

/** Writes the signature's algorithm into the signed part as well, as certificates and lists have it. */
function signed(key: SigningKey, object: Certificate | RevocationList): Uint8Array {
  object.signature = new AlgorithmIdentifier(schemaOf(writeSignatureAlgorithm(SIGNATURE_OF[key.algorithm])));
  return frame(key, object.encodeTBS());
}

/**
 * Signed part, algorithm and signature in one sequence. pkijs's own `sign` wants WebCrypto, is asynchronous, and would
 * pass by the counter and keys that stay in a token; its own outer sequence reads the signed part once more and gives up
 * beyond 10,000 elements, 3,300 entries of a list.
 */
export function frame(key: SigningKey, tbs: Sequence): Uint8Array {
  const algorithm = SIGNATURE_OF[key.algorithm];
  const signature = key.sign(algorithm, new Uint8Array(tbs.toBER()));
  const valueHex = isEcdsa(algorithm) ? ecdsaDer(signature) : signature;
  const identifier = schemaOf(writeSignatureAlgorithm(algorithm)).schema;
  return new Uint8Array(new Sequence({ value: [tbs, identifier, new BitString({ valueHex })] }).toBER());
}

function isEcdsa(algorithm: SignatureAlgorithm): boolean {
  return algorithm.startsWith('ecdsa-');
}

/** r ‖ s as Ecdsa-Sig-Value. [RFC 3279 §2.2.3] */
export function ecdsaDer(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2;
  const halves = [raw.subarray(0, half), raw.subarray(half)];
  const value = halves.map((bytes) => Integer.fromBigInt(BigInt(`0x${toHex(bytes)}`)));
  return new Uint8Array(new Sequence({ value }).toBER());
}

/** What pkijs classes are made of. @throws RangeError when the bytes are no ASN.1: the caller's bug */
export function schemaOf(der: Uint8Array): { schema: ReturnType<typeof fromBER>['result'] } {
  const { offset, result } = fromBER(der);
  if (offset !== der.length) throw new RangeError(`no DER: ${result.error}`);
  return { schema: result };
}

function derOf(object: { toSchema(): { toBER(): ArrayBuffer } }): Uint8Array {
  return new Uint8Array(object.toSchema().toBER());
}

/** UTCTime through 2049, GeneralizedTime from 2050 on. [RFC 5280 §4.1.2.5] */
function time(epochSeconds: number): Time {
  const value = new Date(epochSeconds * 1000);
  return new Time({ type: value.getUTCFullYear() < 2050 ? 0 : 1, value });
}

/** SHA-256 over the key's bits, the first 20 bytes. [RFC 7093 §2 (1)] */
function keyId(crypto: Crypto, spki: Uint8Array): OctetString {
  const bits = new PublicKeyInfo(schemaOf(spki)).subjectPublicKey.valueBlock.valueHexView;
  return new OctetString({ valueHex: crypto.hash('sha-256', bits).subarray(0, 20) });
}

function authorityKeyId(crypto: Crypto, issuer: Issuer): Sequence {
  return new AuthorityKeyIdentifier({ keyIdentifier: keyId(crypto, issuer.spki) }).toSchema();
}

/** @param value  the object, or its DER */
function extension(extnID: string, critical: boolean, value: Uint8Array | { toBER(): ArrayBuffer }): Extension {
  const bytes = value instanceof Uint8Array ? value.slice().buffer : value.toBER();
  return new Extension({ extnID, critical, extnValue: bytes });
}

function extensionsOf(crypto: Crypto, issuer: Issuer, request: CertificateRequest): Extension[] {
  const { ca, nameConstraints, extra } = request;
  const list = [
    extension(EXTENSION.subjectKeyId, false, keyId(crypto, request.spki)),
    extension(EXTENSION.authorityKeyId, false, authorityKeyId(crypto, issuer)),
    extension(EXTENSION.basicConstraints, true, basicConstraints(ca).toSchema()),
    ...usageExtensions(request),
  ];
  if (nameConstraints !== undefined) {
    const { permitted = [], excluded = [] } = nameConstraints;
    const value = new NameConstraints({
      ...(permitted.length > 0 && { permittedSubtrees: permitted.map(subtree) }),
      ...(excluded.length > 0 && { excludedSubtrees: excluded.map(subtree) }),
    });
    list.push(extension(EXTENSION.nameConstraints, true, value.toSchema()));
  }
  for (const one of extra ?? []) list.push(extension(one.oid, one.critical, one.value));
  return list;
}

export type Usage = Pick<CertificateRequest, 'keyUsage' | 'extendedKeyUsage' | 'alternativeNames'>;

/** What a certificate is for and whom it names: wished for in a request, said in a certificate. */
export function usageExtensions(usage: Usage): Extension[] {
  const { keyUsage, extendedKeyUsage: keyPurposes, alternativeNames } = usage;
  const list: Extension[] = [];
  if (keyUsage !== undefined) list.push(extension(EXTENSION.keyUsage, true, keyUsageBits(keyUsage)));
  if (keyPurposes !== undefined) {
    const value = new ExtKeyUsage({ keyPurposes: [...keyPurposes] });
    list.push(extension(EXTENSION.extendedKeyUsage, false, value.toSchema()));
  }
  if (alternativeNames !== undefined && alternativeNames.length > 0) {
    const value = new GeneralNames({ names: alternativeNames.map(alternativeName) });
    list.push(extension(EXTENSION.subjectAltName, false, value.toSchema()));
  }
  return list;
}

function basicConstraints(ca: CertificateRequest['ca']): BasicConstraints {
  if (ca === undefined) return new BasicConstraints();
  return new BasicConstraints({ cA: true, ...(ca.pathLength !== null && { pathLenConstraint: ca.pathLength }) });
}

function keyUsageBits(usages: readonly KeyUsage[]): BitString {
  const places = usages.map((usage) => KEY_USAGES.indexOf(usage));
  const bytes = new Uint8Array(Math.floor(Math.max(...places) / 8) + 1);
  for (const place of places) bytes[place >> 3]! |= 0x80 >> (place & 7);
  return new BitString({ valueHex: bytes, unusedBits: 7 - (Math.max(...places) % 8) });
}

/** Numbers of the choice GeneralName. [RFC 5280 §4.2.1.6] */
const GENERAL_NAME = { email: 1, dns: 2, directory: 4, uri: 6, ip: 7 } as const;

function alternativeName({ type, value }: AlternativeName): GeneralName {
  switch (type) {
    case 'email':
    case 'dns':
    case 'uri':
      return new GeneralName({ type: GENERAL_NAME[type], value: ascii(value) });
    case 'mac':
      return alternativeName({ type: 'uri', value: `urn:dev:mac:${value.replace(/[:-]/g, '').toLowerCase()}` });
    case 'ip':
      return new GeneralName({ type: GENERAL_NAME.ip, value: new OctetString({ valueHex: ipBytes(value) }) });
    default:
      return type satisfies never;
  }
}

function subtree({ type, value }: Subtree): GeneralSubtree {
  const base = new GeneralName({ type: GENERAL_NAME[type] });
  if (typeof value === 'string') base.value = ascii(value);
  else if (type === 'directory') base.value = new RelativeDistinguishedNames(schemaOf(value));
  else base.value = new OctetString({ valueHex: value });
  return new GeneralSubtree({ base });
}

/** The library would write the low byte of any other character. @throws RangeError */
function ascii(text: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) throw new RangeError('not ASCII');
  return text;
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
