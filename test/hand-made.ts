/**
 * Certificates and revocation lists written by hand in DER, every field as a test wants it: what no issuing library lets
 * through, PKITS's odd cases first.
 */
import { ecdsaDer } from '../platform/certificate-issuing.ts';
import { type GeneratedSigningKey, generateSigningKey } from '../platform/crypto-node.ts';
import { writeSignatureAlgorithm } from '../platform/signature-algorithms.ts';
import { encodeUtf8 } from '../protocol/bytes.ts';
import type { ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import { AT, crypto, DAY, parse, reader } from './test-authority.ts';
import { bitString, der, oid, sequence, TAG } from './test-der.ts';

// ── names ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const TYPES = { C: '2.5.4.6', O: '2.5.4.10', OU: '2.5.4.11', CN: '2.5.4.3', E: '1.2.840.113549.1.9.1' } as const;
export type Attribute = readonly [type: keyof typeof TYPES, text: string, tag?: number];

const SET = 0x31;
const IA5 = 0x16;

/** One RDN. */
export const rdn = ([type, text, tag = type === 'E' ? IA5 : TAG.printable]: Attribute): Uint8Array =>
  der(SET, sequence(oid(TYPES[type]), der(tag, encodeUtf8(text))));
/** Name of one attribute an RDN. */
export const name = (...attributes: readonly Attribute[]): Uint8Array => sequence(...attributes.map(rdn));
/** C=US, O=Test, CN=… */
export const under = (text: string): Uint8Array => name(['C', 'US'], ['O', 'Test'], ['CN', text]);

// ── extensions ──────────────────────────────────────────────────────────────────────────────────────────────────────

const BOOLEAN = 0x01;
const OCTETS = 0x04;
const ENUMERATED = 0x0a;
const TRUE = der(BOOLEAN, Uint8Array.of(0xff));
const integer = (...bytes: readonly number[]): Uint8Array => der(TAG.integer, Uint8Array.from(bytes));
const implicit = (number: number, ...content: readonly Uint8Array[]): Uint8Array => der(0x80 | number, ...content);
const explicit = (number: number, ...content: readonly Uint8Array[]): Uint8Array => der(0xa0 | number, ...content);

export const extension = (id: string, critical: boolean, value: Uint8Array): Uint8Array =>
  sequence(oid(id), ...(critical ? [TRUE] : []), der(OCTETS, value));

/** Named bits, the last of them set. */
function bits(...places: readonly number[]): Uint8Array {
  const most = Math.max(...places);
  const bytes = new Uint8Array((most >> 3) + 1);
  for (const place of places) bytes[place >> 3]! |= 0x80 >> (place & 7);
  return Uint8Array.from([7 - (most & 7), ...bytes]);
}

export const KEY_CERT_SIGN = 5;
export const CRL_SIGN = 6;

export const basicConstraints = (ca: boolean, pathLength: number | null = null, critical = true): Uint8Array =>
  extension(
    '2.5.29.19',
    critical,
    sequence(...(ca ? [TRUE] : []), ...(pathLength === null ? [] : [integer(pathLength)])),
  );
export const keyUsage = (critical: boolean, ...places: readonly number[]): Uint8Array =>
  extension('2.5.29.15', critical, der(TAG.bitString, bits(...places)));

/** GeneralNames. */
export const directory = (dn: Uint8Array): Uint8Array => explicit(4, dn);
export const email = (text: string): Uint8Array => implicit(1, encodeUtf8(text));
export const dns = (text: string): Uint8Array => implicit(2, encodeUtf8(text));
export const uri = (text: string): Uint8Array => implicit(6, encodeUtf8(text));

export const alternativeNames = (...names: readonly Uint8Array[]): Uint8Array =>
  extension('2.5.29.17', false, sequence(...names));
const subtrees = (number: number, names: readonly Uint8Array[] | undefined): Uint8Array[] =>
  names === undefined ? [] : [explicit(number, ...names.map((one) => sequence(one)))];
export const nameConstraints = (given: {
  readonly permitted?: readonly Uint8Array[];
  readonly excluded?: readonly Uint8Array[];
}): Uint8Array =>
  extension('2.5.29.30', true, sequence(...subtrees(0, given.permitted), ...subtrees(1, given.excluded)));

/** Where a list is: general names, or one RDN. */
export type Place = { readonly full: readonly Uint8Array[] } | { readonly relative: Uint8Array };
const place = (given: Place | undefined): Uint8Array[] => {
  if (given === undefined) return [];
  if ('full' in given) return [explicit(0, explicit(0, ...given.full))];
  // The RDN's SET is tagged implicitly.
  return [explicit(0, der(0xa1, given.relative.subarray(2)))];
};

export interface Point {
  readonly at?: Place;
  /** Bits of ReasonFlags. */
  readonly reasons?: readonly number[];
  readonly crlIssuer?: Uint8Array;
}
export const distributionPoints = (...points: readonly Point[]): Uint8Array =>
  extension(
    '2.5.29.31',
    false,
    sequence(
      ...points.map(({ at, reasons, crlIssuer }) =>
        sequence(
          ...place(at),
          ...(reasons === undefined ? [] : [implicit(1, bits(...reasons))]),
          ...(crlIssuer === undefined ? [] : [explicit(2, directory(crlIssuer))]),
        ),
      ),
    ),
  );

export interface Scope {
  readonly at?: Place;
  readonly only?: 'user' | 'ca' | 'attribute';
  readonly reasons?: readonly number[];
  readonly indirect?: boolean;
}
const ONLY = { user: 1, ca: 2, attribute: 5 } as const;
export function issuingDistributionPoint({ at, only, reasons, indirect }: Scope): Uint8Array {
  const flag = (number: number): Uint8Array[] => [implicit(number, Uint8Array.of(0xff))];
  return extension(
    '2.5.29.28',
    true,
    sequence(
      ...place(at),
      ...(only === 'user' || only === 'ca' ? flag(ONLY[only]) : []),
      ...(reasons === undefined ? [] : [implicit(3, bits(...reasons))]),
      ...(indirect === true ? flag(4) : []),
      ...(only === 'attribute' ? flag(ONLY.attribute) : []),
    ),
  );
}
/** Where deltas on this list are: at its issuer. */
export const freshestList = (by: Maker): Uint8Array =>
  extension('2.5.29.46', false, sequence(sequence(...place({ full: [directory(by.name)] }))));
export const deltaOf = (base: number): Uint8Array => extension('2.5.29.27', true, integer(base));
const crlNumber = (number: number): Uint8Array => extension('2.5.29.20', false, integer(number));

/** Codes of CRLReason. */
export const REASON = { keyCompromise: 1, affiliationChanged: 3, hold: 6, removeFromCrl: 8 } as const;
export const reason = (code: number): Uint8Array => extension('2.5.29.21', false, der(ENUMERATED, Uint8Array.of(code)));
export const certificateIssuer = (dn: Uint8Array): Uint8Array => extension('2.5.29.29', true, sequence(directory(dn)));
export const unknownCritical = extension('1.3.6.1.4.1.99999.7', true, der(TAG.null));

// ── certificates and lists ──────────────────────────────────────────────────────────────────────────────────────────

/** Whoever signs: a name and a key; two of one name are two keys of it. */
export interface Maker {
  readonly name: Uint8Array;
  readonly key: GeneratedSigningKey;
  /** The key that it says it signs with; absent: its own. */
  readonly idOf?: GeneratedSigningKey;
}

export const maker = (dn: Uint8Array | string): Maker => ({
  name: typeof dn === 'string' ? under(dn) : dn,
  key: generateSigningKey('p256'),
});

const digits = (at: number): string => new Date(at * 1000).toISOString().replace(/[-:T]|\.\d+/g, '');
export const utcTime = (at: number): Uint8Array => der(TAG.utcTime, encodeUtf8(digits(at).slice(2)));
export const generalizedTime = (at: number): Uint8Array => der(TAG.generalizedTime, encodeUtf8(digits(at)));

const keyId = ({ key }: Maker): Uint8Array => crypto.hash('sha-256', key.publicSpki).subarray(0, 20);
const authority = ({ name: dn, key, idOf = key }: Maker): Uint8Array =>
  extension('2.5.29.35', false, sequence(implicit(0, keyId({ name: dn, key: idOf }))));

const ALGORITHM = writeSignatureAlgorithm('ecdsa-sha256');

function sign({ key }: Maker, tbs: Uint8Array, corrupt: boolean): Uint8Array {
  const signature = key.key.sign('ecdsa-sha256', tbs);
  if (corrupt) signature[5]! ^= 1;
  return sequence(tbs, ALGORITHM, bitString(ecdsaDer(signature)));
}

export interface CertificateWishes {
  /** Content of the INTEGER. */
  readonly serial?: readonly number[];
  /** Time, DER. */
  readonly from?: Uint8Array;
  readonly to?: Uint8Array;
  /** The issuer's name as it stands in this certificate. */
  readonly issuerName?: Uint8Array;
  /** Unique ids, DER. */
  readonly ids?: readonly Uint8Array[];
  readonly extensions?: readonly Uint8Array[];
  readonly corrupt?: boolean;
}

export function certificate(subject: Maker, by: Maker, wishes: CertificateWishes = {}): ParsedCertificate {
  const { serial = [1], from = utcTime(AT - DAY), to = utcTime(AT + DAY), issuerName = by.name } = wishes;
  const tbs = sequence(
    explicit(0, integer(2)),
    integer(...serial),
    ALGORITHM,
    issuerName,
    sequence(from, to),
    subject.name,
    subject.key.publicSpki,
    ...(wishes.ids ?? []),
    explicit(
      3,
      sequence(extension('2.5.29.14', false, der(OCTETS, keyId(subject))), authority(by), ...(wishes.extensions ?? [])),
    ),
  );
  return parse(sign(by, tbs, wishes.corrupt === true));
}

export const CA = [basicConstraints(true), keyUsage(true, KEY_CERT_SIGN, CRL_SIGN)];
export const authorityCertificate = (subject: Maker, by: Maker, wishes: CertificateWishes = {}): ParsedCertificate =>
  certificate(subject, by, { ...wishes, extensions: [...CA, ...(wishes.extensions ?? [])] });

export interface Entry {
  readonly serial: readonly number[];
  readonly extensions?: readonly Uint8Array[];
}

export interface ListWishes {
  readonly number?: number | null;
  readonly from?: number;
  /** Time, DER. */
  readonly to?: Uint8Array;
  readonly issuerName?: Uint8Array;
  readonly scope?: Scope;
  readonly extensions?: readonly Uint8Array[];
  readonly corrupt?: boolean;
}

export function list(by: Maker, entries: readonly Entry[] = [], wishes: ListWishes = {}): ParsedCrl {
  const { number = 1, from = AT - 100, to = utcTime(AT + DAY), issuerName = by.name, scope } = wishes;
  const rows = entries.map(({ serial, extensions = [] }) =>
    sequence(integer(...serial), utcTime(AT - 200), ...(extensions.length === 0 ? [] : [sequence(...extensions)])),
  );
  const tbs = sequence(
    integer(1),
    ALGORITHM,
    issuerName,
    utcTime(from),
    to,
    ...(rows.length === 0 ? [] : [sequence(...rows)]),
    explicit(
      0,
      sequence(
        authority(by),
        ...(number === null ? [] : [crlNumber(number)]),
        ...(scope === undefined ? [] : [issuingDistributionPoint(scope)]),
        ...(wishes.extensions ?? []),
      ),
    ),
  );
  const crl = reader.readCrl(sign(by, tbs, wishes.corrupt === true));
  if (crl === null) throw new Error('the test made a revocation list that cannot be read');
  return crl;
}
