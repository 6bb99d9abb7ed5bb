/**
 * What a revoked certificate or key is called between verifier and manager: 32 bytes. Never the hash of the certificate:
 * a signature that is malleated or made again gives the same certificate another one.
 */
import { concat, encodeUtf8, toHex } from './bytes.ts';
import type { DistinguishedName } from './certificate.ts';
import type { Crypto } from './crypto.ts';

export const MARK_BYTES = 32;

/** Length first, so that a name and a serial number cannot be cut in another place. */
const framed = (bytes: Uint8Array): Uint8Array => concat(Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes);

/**
 * Of a certificate: issuer and serial number; the name as it is compared, since a list may spell it otherwise.
 * @param serial  content of the INTEGER
 * @returns       hex SHA-256
 */
export function certificateMark(crypto: Crypto, issuer: DistinguishedName, serial: Uint8Array): string {
  return issuerMarks(crypto, issuer)(serial);
}

/** The same for many certificates of one issuer: a list has a hundred thousand. */
export function issuerMarks(crypto: Crypto, issuer: DistinguishedName): (serial: Uint8Array) => string {
  const name = framed(encodeUtf8(JSON.stringify(issuer.rdns)));
  let input = name;
  return (serial) => {
    const length = name.length + 2 + serial.length;
    if (input.length !== length) input = concat(name, framed(serial));
    else input.set(serial, length - serial.length);
    return toHex(crypto.hash('sha-256', input));
  };
}

/** Of a public key, whoever certifies it. @returns hex SHA-256 of the SubjectPublicKeyInfo */
export const keyMark = (crypto: Crypto, spki: Uint8Array): string => toHex(crypto.hash('sha-256', spki));
