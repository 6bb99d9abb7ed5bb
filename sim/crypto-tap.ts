/**
 * Looks over a party's shoulder while it seals. A simulation holds both ends of every link, so it may say what is inside
 * a record; the machines notice nothing.
 */
import { concat } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { Cipher } from '../protocol/suites.ts';

export interface Sealing {
  readonly cipher: Exclude<Cipher, 'hmac'>;
  /** Of the cipher: where the MAC has a key of its own, that is not in it. */
  readonly key: Uint8Array;
  /** Without the counter, which begins at zero under every nonce. */
  readonly nonce: Uint8Array;
  readonly plaintext: Uint8Array;
  /** Ciphertext ‖ tag. */
  readonly sealed: Uint8Array;
}

const NONCE_BYTES = 12;
/** Where the last byte of l(tag), 8 bytes, stands in what is authenticated. @spec RFC 9605 §4.5.1 */
const TAG_LENGTH_AT = 23;

/** @param saw  gets a copy of the plaintext, which is wiped soon after; key and nonce it copies itself if it wants them */
export function tapCrypto(crypto: Crypto, saw: (sealing: Sealing) => void): Crypto {
  /** Enciphered, and not authenticated yet: the very next MAC is its own. */
  let enciphered: Sealing | null = null;
  return {
    ...crypto,
    seal(aead, key, nonce, aad, plaintext) {
      const copy = plaintext.slice();
      const sealed = crypto.seal(aead, key, nonce, aad, plaintext);
      saw({ cipher: aead.cipher, key, nonce, plaintext: copy, sealed });
      return sealed;
    },
    encipherAesCtr(key, counter, plaintext) {
      const copy = plaintext.slice();
      const sealed = crypto.encipherAesCtr(key, counter, plaintext);
      enciphered = { cipher: 'aes-ctr-hmac', key, nonce: counter.slice(0, NONCE_BYTES), plaintext: copy, sealed };
      return sealed;
    },
    hmac(name, key, data) {
      const mac = crypto.hmac(name, key, data);
      if (enciphered !== null) {
        const tag = mac.subarray(0, data[TAG_LENGTH_AT]);
        saw({ ...enciphered, sealed: concat(enciphered.sealed, tag) });
        enciphered = null;
      }
      return mac;
    },
  };
}
