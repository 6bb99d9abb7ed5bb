/**
 * Key schedule of EDHOC: extract, expand, exporter.
 * @spec RFC 9528 §4.1, §4.2
 */
import { EMPTY, wipe } from '../bytes.ts';
import { encodeSequence } from '../cbor.ts';
import type { Crypto, HashName } from '../crypto.ts';
import type { CipherSuite } from './cipher-suites.ts';

/** info_label of every derivation. @spec RFC 9528 §4.1.2 */
export const KDF_LABEL = {
  keystream2: 0,
  mac2: 2,
  k3: 3,
  iv3: 4,
  mac3: 6,
  prkOut: 7,
  k4: 8,
  iv4: 9,
  prkExporter: 10,
  prkOutUpdate: 11,
} as const;

/** What is left of a finished exchange: plain data, from which the application derives its keys. */
export interface Exporter {
  readonly hash: HashName;
  readonly prkExporter: Uint8Array;
}

/** PRK_2e = EDHOC_Extract(TH_2, G_XY); with two signatures PRK_3e2m and PRK_4e3m are the same. @spec RFC 9528 §4.1.1 */
export function extractPrk2e(crypto: Crypto, suite: CipherSuite, th2: Uint8Array, gXY: Uint8Array): Uint8Array {
  return crypto.hkdfExtract(suite.hash, th2, gXY);
}

/** info = ( info_label : int, context : bstr, length : uint ). @spec RFC 9528 §4.1.2 */
export function kdfInfo(label: number, context: Uint8Array, length: number): Uint8Array {
  return encodeSequence([label, context, length]);
}

/**
 * EDHOC_KDF(PRK, info_label, context, length) = HKDF-Expand(PRK, info, length).
 * @param length  bytes wanted, 1 to 255 × hash length
 * @returns       exactly `length` bytes; the caller wipes them
 * @throws        RangeError when length is out of range: our bug, never the peer's
 * @spec RFC 9528 §4.1.2
 */
export function edhocKdf(
  crypto: Crypto,
  hash: HashName,
  prk: Uint8Array,
  label: number,
  context: Uint8Array,
  length: number,
): Uint8Array {
  return crypto.hkdfExpand(hash, prk, kdfInfo(label, context, length), length);
}

/** PRK_out = EDHOC_KDF( PRK_4e3m, 7, TH_4, hash_length ). @spec RFC 9528 §4.1.3 */
export function derivePrkOut(crypto: Crypto, suite: CipherSuite, prk4e3m: Uint8Array, th4: Uint8Array): Uint8Array {
  return edhocKdf(crypto, suite.hash, prk4e3m, KDF_LABEL.prkOut, th4, suite.hashBytes);
}

/** PRK_exporter = EDHOC_KDF( PRK_out, 10, h'', hash_length ). @spec RFC 9528 §4.2.1 */
export function exporterOf(crypto: Crypto, suite: CipherSuite, prkOut: Uint8Array): Exporter {
  const prkExporter = edhocKdf(crypto, suite.hash, prkOut, KDF_LABEL.prkExporter, EMPTY, suite.hashBytes);
  return { hash: suite.hash, prkExporter };
}

/** The end of both roles: PRK_4e3m and TH_4 become the exporter. */
export function finishExchange(crypto: Crypto, suite: CipherSuite, prk4e3m: Uint8Array, th4: Uint8Array): Exporter {
  const prkOut = derivePrkOut(crypto, suite, prk4e3m, th4);
  const exporter = exporterOf(crypto, suite, prkOut);
  wipe(prkOut);
  return exporter;
}

/**
 * EDHOC_Exporter(exporter_label, context, length) = EDHOC_KDF(PRK_exporter, exporter_label, context, length).
 * @param label   0 to 65535; 32768 and above are for private use
 * @returns       exactly `length` bytes; the caller wipes them
 * @throws        RangeError when label or length is out of range: our bug
 * @spec RFC 9528 §4.2.1
 */
export function exportKey(
  crypto: Crypto,
  exporter: Exporter,
  label: number,
  context: Uint8Array,
  length: number,
): Uint8Array {
  if (!Number.isInteger(label) || label < 0 || label > 0xffff) throw new RangeError(`exporter label ${label}`);
  return edhocKdf(crypto, exporter.hash, exporter.prkExporter, label, context, length);
}
