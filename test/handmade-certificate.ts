/**
 * Certificates written by hand, field by field, for what no CA of ours would issue: wrong versions, missing and doubled
 * extensions, names of any shape.
 */
import { commonName, ecdsaDer } from '../platform/certificate-issuing.ts';
import { type GeneratedSigningKey, generateSigningKey } from '../platform/crypto-node.ts';
import { writeSignatureAlgorithm } from '../platform/signature-algorithms.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import { AT, crypto, DAY } from './test-authority.ts';
import { der, oid, sequence } from './test-der.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const octets = (bytes: Uint8Array): Uint8Array => der(0x04, bytes);

function time(epochSeconds: number): Uint8Array {
  const digits = new Date(epochSeconds * 1000).toISOString().replace(/\.\d+|[-:T]/g, '');
  return Number(digits.slice(0, 4)) < 2050 ? der(0x17, ascii(digits.slice(2))) : der(0x18, ascii(digits));
}

// ── extensions ──────────────────────────────────────────────────────────────────────────────────────────────────────

export type Extension = readonly [id: string, critical: boolean, value: Uint8Array];

export const ID = {
  ski: '2.5.29.14',
  keyUsage: '2.5.29.15',
  san: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  policyConstraints: '2.5.29.36',
  aki: '2.5.29.35',
  eku: '2.5.29.37',
  access: '1.3.6.1.5.5.7.1.1',
} as const;

const TRUE = der(0x01, Uint8Array.of(0xff));
const KEY_USAGE_BITS = { digitalSignature: 0x80, keyEncipherment: 0x20, keyCertSign: 0x04 } as const;

export const keyIdOf = ({ publicSpki }: GeneratedSigningKey): Uint8Array =>
  crypto.hash('sha-256', publicSpki).subarray(0, 20);
export const ski = (key: GeneratedSigningKey, critical = false): Extension => [ID.ski, critical, octets(keyIdOf(key))];
export const aki = (key: GeneratedSigningKey, critical = false, more: readonly Uint8Array[] = []): Extension => [
  ID.aki,
  critical,
  sequence(der(0x80, keyIdOf(key)), ...more),
];
export const authority = (critical: boolean, pathLength?: number): Extension => [
  ID.basicConstraints,
  critical,
  sequence(TRUE, ...(pathLength === undefined ? [] : [der(0x02, Uint8Array.of(pathLength))])),
];
export const endEntity: Extension = [ID.basicConstraints, true, sequence()];

export function keyUsage(...usages: readonly (keyof typeof KEY_USAGE_BITS)[]): Extension {
  const bits = usages.reduce((all, usage) => all | KEY_USAGE_BITS[usage], 0);
  const unused = bits === 0 ? 0 : 31 - Math.clz32(bits & -bits);
  return [ID.keyUsage, true, der(0x03, Uint8Array.of(unused, ...(bits === 0 ? [] : [bits])))];
}

export const eku = (critical: boolean, ...ids: readonly string[]): Extension => [
  ID.eku,
  critical,
  sequence(...ids.map(oid)),
];

/** A general name: `dns:…`, `email:…`, `uri:…`; the bytes of an address (‖ mask); a Name; or the whole of another form. */
export type General = string | { readonly ip: readonly number[] } | { readonly directory: Uint8Array } | Uint8Array;
const TAGS: Readonly<Record<string, number>> = { email: 0x81, dns: 0x82, uri: 0x86 };

export function general(name: General): Uint8Array {
  if (name instanceof Uint8Array) return name;
  if (typeof name === 'object') return 'ip' in name ? der(0x87, Uint8Array.from(name.ip)) : der(0xa4, name.directory);
  const [form, value] = [name.slice(0, name.indexOf(':')), name.slice(name.indexOf(':') + 1)];
  return der(TAGS[form]!, ascii(value));
}

/** An otherName of some type. */
export const other = (type: string, value: Uint8Array): Uint8Array => der(0xa0, oid(type), der(0xa0, value));
export const utf8 = (text: string): Uint8Array => der(0x0c, ascii(text));

export const san = (critical: boolean, ...names: readonly General[]): Extension => [
  ID.san,
  critical,
  sequence(...names.map(general)),
];

export interface Limits {
  readonly permitted?: readonly General[];
  readonly excluded?: readonly General[];
}
export function nameConstraints(critical: boolean, { permitted, excluded }: Limits): Extension {
  const trees = (tag: number, names: readonly General[] | undefined): readonly Uint8Array[] =>
    names === undefined ? [] : [der(tag, ...names.map((name) => sequence(general(name))))];
  return [ID.nameConstraints, critical, sequence(...trees(0xa0, permitted), ...trees(0xa1, excluded))];
}

// ── certificates ────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Made {
  readonly der: Uint8Array;
  readonly key: GeneratedSigningKey;
  /** Name, DER, of its subject. */
  readonly name: Uint8Array;
}

export interface MadeWishes {
  /** Common name; or a Name, DER; null: an empty one. */
  readonly subject?: string | Uint8Array | null;
  readonly issuer?: Uint8Array;
  readonly key?: GeneratedSigningKey;
  /** Content of the INTEGER. */
  readonly serial?: readonly number[];
  readonly version?: 1 | 2 | 3;
  readonly from?: number;
  readonly until?: number;
  /** By OID, in place of what stands there else; null: none. */
  readonly change?: Readonly<Record<string, Extension | null>>;
  /** Behind the others. */
  readonly extra?: readonly Extension[];
  /** Signs with ECDSA and SHA-1. */
  readonly weakly?: boolean;
}

const ALGORITHM = writeSignatureAlgorithm('ecdsa-sha256');
const ECDSA_WITH_SHA1 = sequence(oid('1.2.840.10045.4.1'));

function made(
  by: Made | null,
  wishes: MadeWishes,
  subject: string,
  usual: (key: GeneratedSigningKey) => Extension[],
): Made {
  const { key = generateSigningKey('p256'), change = {}, version = 3 } = wishes;
  const wanted = wishes.subject === undefined ? subject : wishes.subject;
  const name = wanted === null ? sequence() : typeof wanted === 'string' ? commonName(wanted) : wanted;
  const extensions = [
    ...usual(key).flatMap((one) =>
      change[one[0]] === undefined ? [one] : change[one[0]] === null ? [] : [change[one[0]]!],
    ),
    ...(wishes.extra ?? []),
  ];
  const algorithm = wishes.weakly === true ? ECDSA_WITH_SHA1 : ALGORITHM;
  const serial = wishes.serial ?? [0x40, ...crypto.random(15)];
  const tbs = sequence(
    ...(version === 1 ? [] : [der(0xa0, der(0x02, Uint8Array.of(version - 1)))]),
    der(0x02, Uint8Array.from(serial)),
    algorithm,
    wishes.issuer ?? by?.name ?? name,
    sequence(time(wishes.from ?? AT - DAY), time(wishes.until ?? AT + 365 * DAY)),
    name,
    key.publicSpki,
    ...(version === 3 && extensions.length > 0
      ? [
          der(
            0xa3,
            sequence(
              ...extensions.map(([id, critical, value]) =>
                sequence(oid(id), ...(critical ? [TRUE] : []), octets(value)),
              ),
            ),
          ),
        ]
      : []),
  );
  const signature = ecdsaDer((by?.key ?? key).key.sign('ecdsa-sha256', tbs));
  return { der: sequence(tbs, algorithm, der(0x03, Uint8Array.of(0), signature)), key, name };
}

/** A CA as a public one would be; without `by` a root. */
export function makeCa(by: Made | null, subject: string, wishes: MadeWishes = {}): Made {
  return made(by, wishes, subject, (key) => [
    authority(true),
    keyUsage('keyCertSign'),
    ski(key),
    ...(by === null ? [] : [aki(by.key)]),
  ]);
}

/** A web server's certificate as a public CA would issue it, for `host.example`. */
export function makeServer(by: Made, wishes: MadeWishes = {}): Made {
  return made(by, wishes, 'host.example', (key) => [
    ski(key),
    aki(by.key),
    keyUsage('digitalSignature'),
    eku(false, EXTENDED_KEY_USAGE.serverAuth),
    san(false, 'dns:host.example'),
  ]);
}
