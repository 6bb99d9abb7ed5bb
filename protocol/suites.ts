/**
 * The closed registry of record suites: what a session can be protected with, and what a channel's records can.
 * One row per cipher; a resolved suite is passed down and nothing below enumerates algorithms.
 * @spec RFC 9053 (COSE algorithm numbers), RFC 8613 §3.2
 */
import type { Aead, HashName } from './crypto.ts';
import { choice, message, required, uint, type Value } from './schema.ts';

export type Cipher = 'aes-gcm' | 'aes-ccm' | 'chacha20-poly1305' | 'aes-ctr-hmac' | 'hmac';

interface CipherRow {
  readonly wire: number;
  /** false: integrity only; never chosen unless both sides registered it. */
  readonly encrypts: boolean;
  readonly keyBits: readonly number[];
  readonly tagBits: readonly number[];
  readonly nonceBytes: 12 | 13;
  /** COSE algorithm number by key and tag length in bits; private-use numbers where COSE has none. */
  readonly coseAlgorithm: (keyBits: number, tagBits: number, hash: HashName) => number;
}

const CCM_NUMBERS: Readonly<Record<string, number>> = { '128/64': 10, '256/64': 11, '128/128': 30, '256/128': 31 };
const HMAC_PRIVATE_BASE = -65_600;
const CTR_HMAC_PRIVATE_BASE = -65_664;

export const CIPHERS: Readonly<Record<Cipher, CipherRow>> = {
  'aes-gcm': {
    wire: 1,
    encrypts: true,
    keyBits: [128, 192, 256],
    tagBits: [128],
    nonceBytes: 12,
    coseAlgorithm: (keyBits) => keyBits / 64 - 1,
  },
  'aes-ccm': {
    wire: 2,
    encrypts: true,
    keyBits: [128, 256],
    tagBits: [64, 128],
    nonceBytes: 13,
    coseAlgorithm: (keyBits, tagBits) => CCM_NUMBERS[`${keyBits}/${tagBits}`]!,
  },
  'chacha20-poly1305': {
    wire: 3,
    encrypts: true,
    keyBits: [256],
    tagBits: [128],
    nonceBytes: 12,
    coseAlgorithm: () => 24,
  },
  'aes-ctr-hmac': {
    wire: 4,
    encrypts: true,
    keyBits: [128, 192, 256],
    tagBits: [64, 128, 256],
    nonceBytes: 12,
    coseAlgorithm: (keyBits, tagBits, hash) =>
      CTR_HMAC_PRIVATE_BASE - (keyBits / 2 + HASH_WIRE[hash] * 8 + tagBits / 64),
  },
  hmac: {
    wire: 5,
    encrypts: false,
    keyBits: [128, 256, 512],
    tagBits: [64, 128, 256],
    nonceBytes: 13,
    coseAlgorithm: (keyBits, tagBits, hash) =>
      HMAC_PRIVATE_BASE - (Math.log2(keyBits / 128) * 32 + HASH_WIRE[hash] * 8 + tagBits / 64),
  },
};

/** Numbers on the wire; in the order of the suite table. */
export const HASH_WIRE: Readonly<Record<HashName, number>> = { 'sha-256': 1, 'sha-384': 2, 'sha-512': 3 };
const HASH_BYTES: Readonly<Record<HashName, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 };

const ciphers = Object.keys(CIPHERS) as Cipher[];
/** Numbers on the wire. */
export const CIPHER_WIRE = Object.fromEntries(ciphers.map((one) => [one, CIPHERS[one].wire])) as Record<Cipher, number>;

/** Absent `tagBits` means this. */
export const longestTagBits = (cipher: Cipher): number => Math.max(...CIPHERS[cipher].tagBits);

export const SuiteSchema = message('Suite', null, 'one protection with every setting fixed', {
  cipher: required(1, choice<Cipher>(CIPHER_WIRE), 'the cipher; hmac authenticates and does not encrypt'),
  keyBits: required(2, uint(128, 512), 'key length in bits; of AES where the MAC has a key of its own'),
  hash: required(3, choice<HashName>(HASH_WIRE), 'KDF hash of an AEAD, MAC hash otherwise'),
  tagBits: required(4, uint(64, 256), 'length of the authentication tag in bits'),
});

/** A protection with every setting fixed. */
export type Suite = Value<typeof SuiteSchema>;

/** How a session's keys come: as they are, or as a seed from which both sides derive them. [patent claims 3, 4] */
export type KeyMode = 'key' | 'seed';

/** A suite resolved into what sealing and opening need. */
export type RecordAlgorithm = {
  readonly suite: Suite;
  readonly coseAlgorithm: number;
  /** All key bytes of one direction: of cipher and MAC where these are two. */
  readonly keyBytes: number;
  readonly nonceBytes: 12 | 13;
  readonly tagBytes: number;
} & (
  | { readonly kind: 'aead'; readonly aead: Aead }
  /** AES-CTR, then HMAC over the ciphertext; the key is cipher key ‖ MAC key. */
  | { readonly kind: 'encrypt-then-mac'; readonly cipherKeyBytes: 16 | 24 | 32 }
  | { readonly kind: 'integrity-only' }
);

/** @returns null when the registry has no such combination */
export function resolveSuite(suite: Suite): RecordAlgorithm | null {
  const row = CIPHERS[suite.cipher];
  if (!row.keyBits.includes(suite.keyBits) || !row.tagBits.includes(suite.tagBits)) return null;
  const sizes = {
    suite,
    coseAlgorithm: row.coseAlgorithm(suite.keyBits, suite.tagBits, suite.hash),
    keyBytes: suite.keyBits / 8,
    nonceBytes: row.nonceBytes,
    tagBytes: suite.tagBits / 8,
  };
  if (suite.cipher === 'hmac') return { ...sizes, kind: 'integrity-only' };
  if (suite.cipher === 'aes-ctr-hmac') {
    const cipherKeyBytes = sizes.keyBytes as 16 | 24 | 32;
    return { ...sizes, keyBytes: cipherKeyBytes + HASH_BYTES[suite.hash], kind: 'encrypt-then-mac', cipherKeyBytes };
  }
  const aead = {
    cipher: suite.cipher,
    keyBytes: sizes.keyBytes as 16 | 24 | 32,
    nonceBytes: row.nonceBytes,
    tagBytes: sizes.tagBytes as 8 | 16,
  };
  return { ...sizes, kind: 'aead', aead };
}

export function sameSuite(a: Suite, b: Suite): boolean {
  return a.cipher === b.cipher && a.keyBits === b.keyBits && a.hash === b.hash && a.tagBits === b.tagBits;
}

/** Above this a key adds nothing that the hash of the derivation holds. */
const MAX_STRENGTH_BITS = 256;

/**
 * What the suite withstands, in bits: of its key, as far as key derivation and HMAC carry it.
 * @spec NIST SP 800-57 part 1 rev. 5, tables 2 and 3; RFC 8439 for ChaCha20, which NIST does not list
 */
export const strengthBits = ({ keyBits }: Suite): number => Math.min(keyBits, MAX_STRENGTH_BITS);

/** For people: `aes-gcm-128 sha-256 tag 128`. */
export function suiteName(suite: Suite): string {
  return `${suite.cipher}-${suite.keyBits} ${suite.hash} tag ${suite.tagBits}`;
}

/** Suites for a channel's own records, numbered for EAD_1 and EAD_2; a lower number is preferred by the manager. */
export const CHANNEL_SUITES: readonly Suite[] = [
  { cipher: 'aes-ccm', keyBits: 128, hash: 'sha-256', tagBits: 64 },
  { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 },
  { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', tagBits: 128 },
  { cipher: 'aes-gcm', keyBits: 256, hash: 'sha-384', tagBits: 128 },
];

/** The record suite of an authenticate-only channel (P8): MAC, no encryption. */
export const AUTHENTICATE_ONLY_SUITE: Suite = { cipher: 'hmac', keyBits: 256, hash: 'sha-256', tagBits: 128 };
