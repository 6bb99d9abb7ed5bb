/**
 * AlgorithmIdentifiers of signatures: one row per algorithm; what has no row (SHA-1, MD5, DSA) is outside the profile.
 * @spec RFC 3279, RFC 4055, RFC 5758, RFC 8410
 */
import { Constructed, Integer, Null, ObjectIdentifier, Sequence } from 'asn1js';
import { equal } from '../protocol/bytes.ts';
import type { HashName, SignatureAlgorithm } from '../protocol/crypto.ts';

const HASH_OIDS: Readonly<Record<HashName, string>> = {
  'sha-256': '2.16.840.1.101.3.4.2.1',
  'sha-384': '2.16.840.1.101.3.4.2.2',
  'sha-512': '2.16.840.1.101.3.4.2.3',
};

function identifier(oid: string, ...parameters: readonly (Null | Sequence)[]): Sequence {
  return new Sequence({ value: [new ObjectIdentifier({ value: oid }), ...parameters] });
}

/** RSASSA-PSS with MGF1 over the same hash and a salt as long as the hash. [RFC 4055 §3.1] */
function pss(hash: HashName, saltBytes: number, ...hashParameters: readonly Null[]): Sequence {
  const hashId = identifier(HASH_OIDS[hash], ...hashParameters);
  const fields = [hashId, identifier('1.2.840.113549.1.1.8', hashId), new Integer({ value: saltBytes })];
  const value = fields.map((field, i) => new Constructed({ idBlock: { tagClass: 3, tagNumber: i }, value: [field] }));
  return identifier('1.2.840.113549.1.1.10', new Sequence({ value }));
}

/** The whole identifier with its parameters; the first one of an algorithm is the one written. */
const IDENTIFIERS: readonly (readonly [SignatureAlgorithm, Uint8Array])[] = (
  [
    ['ed25519', identifier('1.3.101.112')],
    ['ecdsa-sha256', identifier('1.2.840.10045.4.3.2')],
    ['ecdsa-sha384', identifier('1.2.840.10045.4.3.3')],
    ['ecdsa-sha512', identifier('1.2.840.10045.4.3.4')],
    ['rsa-pkcs1-sha256', identifier('1.2.840.113549.1.1.11', new Null())],
    ['rsa-pkcs1-sha384', identifier('1.2.840.113549.1.1.12', new Null())],
    ['rsa-pkcs1-sha512', identifier('1.2.840.113549.1.1.13', new Null())],
    ['rsa-pss-sha256', pss('sha-256', 32, new Null())],
    ['rsa-pss-sha384', pss('sha-384', 48, new Null())],
    ['rsa-pss-sha512', pss('sha-512', 64, new Null())],
    ['rsa-pss-sha256', pss('sha-256', 32)],
    ['rsa-pss-sha384', pss('sha-384', 48)],
    ['rsa-pss-sha512', pss('sha-512', 64)],
  ] as const
).map(([algorithm, sequence]) => [algorithm, new Uint8Array(sequence.toBER())]);

/** @param identifierDer  AlgorithmIdentifier  @returns null for an algorithm outside the profile */
export function readSignatureAlgorithm(identifierDer: Uint8Array): SignatureAlgorithm | null {
  return IDENTIFIERS.find(([, der]) => equal(der, identifierDer))?.[0] ?? null;
}

export function writeSignatureAlgorithm(algorithm: SignatureAlgorithm): Uint8Array {
  return IDENTIFIERS.find(([name]) => name === algorithm)![1];
}
