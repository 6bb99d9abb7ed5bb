/**
 * The EDHOC cipher suites on offer: one row each; what is below a row takes its fields and never asks for its number.
 * @spec RFC 9528 §3.6, §10.2
 */
import type { CborItem } from '../cbor.ts';
import type { Aead, Curve, HashName, KeyAlgorithm, SignatureAlgorithm } from '../crypto.ts';
import { ProtocolError } from '../errors.ts';

export interface CipherSuite {
  /** Number on the wire. */
  readonly id: number;
  readonly aead: Aead;
  readonly hash: HashName;
  /** Also the length of MAC_2 and MAC_3, since both sides sign. [RFC 9528 §4.1.2] */
  readonly hashBytes: number;
  /** Length of a MAC that stands in place of a signature: the registered value, unused in method 0. */
  readonly macBytes: 8 | 16;
  readonly curve: Curve;
  readonly signature: SignatureAlgorithm;
  /** The type of key that makes `signature`. */
  readonly key: KeyAlgorithm;
}

const CCM_8: Aead = { cipher: 'aes-ccm', keyBytes: 16, nonceBytes: 13, tagBytes: 8 };
const CCM_16: Aead = { cipher: 'aes-ccm', keyBytes: 16, nonceBytes: 13, tagBytes: 16 };
const CHACHA: Aead = { cipher: 'chacha20-poly1305', keyBytes: 32, nonceBytes: 12, tagBytes: 16 };
const GCM: Aead = { cipher: 'aes-gcm', keyBytes: 16, nonceBytes: 12, tagBytes: 16 };
const SHA_256 = { hash: 'sha-256', hashBytes: 32 } as const;
const ED_DSA = { signature: 'ed25519', key: 'ed25519' } as const;
const ES256 = { signature: 'ecdsa-sha256', key: 'p256' } as const;

/** All suites on offer, in our own order of preference. */
export const CIPHER_SUITES: readonly CipherSuite[] = [
  { id: 6, aead: GCM, ...SHA_256, macBytes: 16, curve: 'x25519', ...ES256 },
  { id: 2, aead: CCM_8, ...SHA_256, macBytes: 8, curve: 'p256', ...ES256 },
  { id: 3, aead: CCM_16, ...SHA_256, macBytes: 16, curve: 'p256', ...ES256 },
  { id: 0, aead: CCM_8, ...SHA_256, macBytes: 8, curve: 'x25519', ...ED_DSA },
  { id: 4, aead: CHACHA, ...SHA_256, macBytes: 16, curve: 'x25519', ...ED_DSA },
  { id: 5, aead: CHACHA, ...SHA_256, macBytes: 16, curve: 'p256', ...ES256 },
];

/** Length of a public ephemeral value (G_X, G_Y) on the wire, the same for both curves. */
export const EPHEMERAL_BYTES = 32;

/** @returns null when the suite is not on offer */
export function cipherSuite(id: number): CipherSuite | null {
  return CIPHER_SUITES.find((suite) => suite.id === id) ?? null;
}

/** Implementation limit of SUITES_I and SUITES_R. */
const MOST_SUITES = 16;

/** suites = [ 2* suite ] / suite, for SUITES_I and SUITES_R. @spec RFC 9528 §5.2.1, §6.3 */
export function suitesItem(suites: readonly number[]): CborItem {
  const [only, ...rest] = suites;
  if (only === undefined) throw new RangeError('an empty list of cipher suites');
  return rest.length === 0 ? only : suites;
}

/** @throws ProtocolError malformed */
export function parseSuites(item: CborItem | undefined): readonly number[] {
  if (typeof item === 'number') return [item];
  if (!Array.isArray(item) || item.length < 2 || item.length > MOST_SUITES) {
    throw new ProtocolError('malformed', `neither one cipher suite nor a list of 2 to ${MOST_SUITES}`);
  }
  const suites = item.filter((suite) => typeof suite === 'number');
  if (suites.length !== item.length) throw new ProtocolError('malformed', 'a cipher suite is an integer');
  return suites;
}
