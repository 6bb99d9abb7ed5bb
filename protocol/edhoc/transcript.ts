/**
 * Transcript hashes: what both sides have seen so far, as one value.
 * @spec RFC 9528 §5.3.2, §5.4.2
 */
import { concat } from '../bytes.ts';
import { encode, encodeSequence } from '../cbor.ts';
import type { Crypto } from '../crypto.ts';
import type { CipherSuite } from './cipher-suites.ts';

/** TH_2 = H( G_Y, H(message_1) ). @spec RFC 9528 §5.3.2 */
export function transcript2(crypto: Crypto, suite: CipherSuite, gY: Uint8Array, hashMessage1: Uint8Array): Uint8Array {
  return crypto.hash(suite.hash, encodeSequence([gY, hashMessage1]));
}

/** TH_3 = H( TH_2, PLAINTEXT_2, CRED_R ). @spec RFC 9528 §5.4.2 */
export function transcript3(
  crypto: Crypto,
  suite: CipherSuite,
  th2: Uint8Array,
  plaintext2: Uint8Array,
  credR: Uint8Array,
): Uint8Array {
  return crypto.hash(suite.hash, concat(encode(th2), plaintext2, encode(credR)));
}

/** TH_4 = H( TH_3, PLAINTEXT_3, CRED_I ): the same rule one message later. @spec RFC 9528 §5.4.2 */
export function transcript4(
  crypto: Crypto,
  suite: CipherSuite,
  th3: Uint8Array,
  plaintext3: Uint8Array,
  credI: Uint8Array,
): Uint8Array {
  return transcript3(crypto, suite, th3, plaintext3, credI);
}
