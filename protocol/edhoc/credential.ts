/**
 * ID_CRED: how a party names its certificate, by the chain itself or by the hash of the leaf.
 * @spec RFC 9528 §3.5.3, RFC 9360
 */
import { equal } from '../bytes.ts';
import { type CborItem, encode } from '../cbor.ts';
import type { Crypto } from '../crypto.ts';
import { ProtocolError } from '../errors.ts';

const X5CHAIN = 33;
const X5T = 34;

/** COSE hash algorithms for x5t; −15 is cut to 8 bytes and only names a certificate that the signature then covers. */
const THUMBPRINT_BYTES: ReadonlyMap<number, number> = new Map([
  [-15, 8],
  [-16, 32],
]);

/** Leaf and at most four intermediates. */
const MOST_CERTIFICATES = 5;

export type IdCred =
  /** DER certificates, leaf first. */
  | { readonly kind: 'x5chain'; readonly certificates: readonly Uint8Array[] }
  /** `algorithm` −16 is SHA-256, −15 its first 8 bytes. */
  | { readonly kind: 'x5t'; readonly algorithm: number; readonly hash: Uint8Array };

/** Names a certificate by its SHA-256. */
export function thumbprintOf(crypto: Crypto, leaf: Uint8Array): IdCred {
  return { kind: 'x5t', algorithm: -16, hash: crypto.hash('sha-256', leaf) };
}

/** @returns the map as CBOR: { 33 : bstr / [2* bstr] } or { 34 : [alg, hash] } */
export function encodeIdCred(idCred: IdCred): Uint8Array {
  switch (idCred.kind) {
    case 'x5chain': {
      const [leaf, ...rest] = idCred.certificates;
      if (leaf === undefined) throw new RangeError('an empty certificate chain');
      return encode(new Map([[X5CHAIN, rest.length === 0 ? leaf : idCred.certificates]]));
    }
    case 'x5t':
      return encode(new Map([[X5T, [idCred.algorithm, idCred.hash]]]));
    default:
      return idCred satisfies never;
  }
}

/** @throws ProtocolError malformed, also for a kid, which names no certificate */
export function parseIdCred(item: CborItem | undefined): IdCred {
  if (!(item instanceof Map)) throw new ProtocolError('malformed', 'ID_CRED is neither x5chain nor x5t');
  const entry: readonly [unknown, CborItem] | undefined = item.size === 1 ? [...item][0] : undefined;
  if (entry?.[0] === X5CHAIN) return parseChain(entry[1]);
  if (entry?.[0] === X5T) return parseThumbprint(entry[1]);
  throw new ProtocolError('malformed', 'ID_CRED is neither x5chain nor x5t');
}

/** Whether the certificate is the one that was named; says nothing about its worth. */
export function namesCredential(crypto: Crypto, idCred: IdCred, leaf: Uint8Array): boolean {
  if (idCred.kind === 'x5chain') return equal(idCred.certificates[0]!, leaf);
  return equal(crypto.hash('sha-256', leaf).subarray(0, idCred.hash.length), idCred.hash);
}

function parseChain(item: CborItem): IdCred {
  if (item instanceof Uint8Array && item.length > 0) return { kind: 'x5chain', certificates: [item] };
  if (!Array.isArray(item) || item.length < 2 || item.length > MOST_CERTIFICATES) {
    throw new ProtocolError('malformed', `x5chain is neither one certificate nor 2 to ${MOST_CERTIFICATES}`);
  }
  const certificates = item.filter((one): one is Uint8Array => one instanceof Uint8Array && one.length > 0);
  if (certificates.length !== item.length) throw new ProtocolError('malformed', 'x5chain holds no certificate');
  return { kind: 'x5chain', certificates };
}

function parseThumbprint(item: CborItem): IdCred {
  const [algorithm, hash]: readonly unknown[] = Array.isArray(item) && item.length === 2 ? item : [];
  if (typeof algorithm !== 'number' || !(hash instanceof Uint8Array)) {
    throw new ProtocolError('malformed', 'x5t is no pair of algorithm and hash');
  }
  if (THUMBPRINT_BYTES.get(algorithm) !== hash.length) {
    throw new ProtocolError('malformed', `x5t with algorithm ${algorithm} and ${hash.length} bytes is not read`);
  }
  return { kind: 'x5t', algorithm, hash };
}
