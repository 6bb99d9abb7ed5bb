/**
 * The hashes by which OCSP names a CA. SHA-1 is among them because RFC 6960 names a responder by it and many askers an
 * issuer; no signature here is ever made or checked over it.
 */
import { hash } from 'node:crypto';
import type { CertIdHash } from '../protocol/ocsp.ts';

const NAMES: Readonly<Record<CertIdHash, string>> = {
  'sha-1': 'sha1',
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
};

export function certIdHash(name: CertIdHash, data: Uint8Array): Uint8Array {
  const { buffer, byteOffset, length } = hash(NAMES[name], data, 'buffer');
  return new Uint8Array(buffer, byteOffset, length);
}
