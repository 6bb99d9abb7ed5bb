/**
 * Looks over a party's shoulder while it seals. A simulation holds both ends of every link, so it may say what is inside
 * a record; the machines notice nothing.
 */
import type { Aead, Crypto } from '../protocol/crypto.ts';

export interface Sealing {
  readonly aead: Aead;
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly plaintext: Uint8Array;
  /** Ciphertext ‖ tag. */
  readonly sealed: Uint8Array;
}

/** @param saw  gets a copy of the plaintext, which is wiped soon after; key and nonce it copies itself if it wants them */
export function tapCrypto(crypto: Crypto, saw: (sealing: Sealing) => void): Crypto {
  return {
    ...crypto,
    seal(aead, key, nonce, aad, plaintext) {
      const copy = plaintext.slice();
      const sealed = crypto.seal(aead, key, nonce, aad, plaintext);
      saw({ aead, key, nonce, plaintext: copy, sealed });
      return sealed;
    },
  };
}
