/**
 * AlgorithmIdentifiers of signatures: one row per algorithm; what has no row (SHA-1, MD5, DSA) is outside the profile.
 * @spec RFC 3279, RFC 4055, RFC 5758, RFC 8410
 */
import { equal } from '../protocol/bytes.ts';
import type { HashName, SignatureAlgorithm } from '../protocol/crypto.ts';
import { der, type Element, explicit, integer, oid, sequence, TAG } from './der.ts';

const NULL = der(TAG.null);
const HASH_OIDS: Readonly<Record<HashName, string>> = {
  'sha-256': '2.16.840.1.101.3.4.2.1',
  'sha-384': '2.16.840.1.101.3.4.2.2',
  'sha-512': '2.16.840.1.101.3.4.2.3',
};

/** RSASSA-PSS with MGF1 over the same hash and a salt as long as the hash. [RFC 4055 §3.1] */
function pss(hash: HashName, saltBytes: number, withNull: boolean): Uint8Array {
  const hashId = withNull ? sequence(oid(HASH_OIDS[hash]), NULL) : sequence(oid(HASH_OIDS[hash]));
  return sequence(
    oid('1.2.840.113549.1.1.10'),
    sequence(
      der(explicit(0), hashId),
      der(explicit(1), sequence(oid('1.2.840.113549.1.1.8'), hashId)),
      der(explicit(2), integer(saltBytes)),
    ),
  );
}

/** The whole identifier with its parameters; the first one of an algorithm is the one written. */
const IDENTIFIERS: readonly (readonly [SignatureAlgorithm, Uint8Array])[] = [
  ['ed25519', sequence(oid('1.3.101.112'))],
  ['ecdsa-sha256', sequence(oid('1.2.840.10045.4.3.2'))],
  ['ecdsa-sha384', sequence(oid('1.2.840.10045.4.3.3'))],
  ['ecdsa-sha512', sequence(oid('1.2.840.10045.4.3.4'))],
  ['rsa-pkcs1-sha256', sequence(oid('1.2.840.113549.1.1.11'), NULL)],
  ['rsa-pkcs1-sha384', sequence(oid('1.2.840.113549.1.1.12'), NULL)],
  ['rsa-pkcs1-sha512', sequence(oid('1.2.840.113549.1.1.13'), NULL)],
  ['rsa-pss-sha256', pss('sha-256', 32, true)],
  ['rsa-pss-sha384', pss('sha-384', 48, true)],
  ['rsa-pss-sha512', pss('sha-512', 64, true)],
  ['rsa-pss-sha256', pss('sha-256', 32, false)],
  ['rsa-pss-sha384', pss('sha-384', 48, false)],
  ['rsa-pss-sha512', pss('sha-512', 64, false)],
];

/** @returns null for an algorithm outside the profile */
export function readSignatureAlgorithm(identifier: Element): SignatureAlgorithm | null {
  return IDENTIFIERS.find(([, der]) => equal(der, identifier.raw))?.[0] ?? null;
}

export function writeSignatureAlgorithm(algorithm: SignatureAlgorithm): Uint8Array {
  return IDENTIFIERS.find(([name]) => name === algorithm)![1];
}
