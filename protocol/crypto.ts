/**
 * The crypto seam: what the protocol needs of a cryptographic library. Halves: platform/crypto-node.ts (OpenSSL),
 * platform/crypto-portable.ts (@noble). Every public-key operation passes one counter, so that "none per session" (B5)
 * can be proven.
 */

export type HashName = 'sha-256' | 'sha-384' | 'sha-512';

/** One authenticated cipher with all its sizes resolved; rows live in the suite tables. */
export interface Aead {
  readonly cipher: 'aes-gcm' | 'aes-ccm' | 'chacha20-poly1305';
  readonly keyBytes: 16 | 24 | 32;
  readonly nonceBytes: 12 | 13;
  readonly tagBytes: 8 | 16;
}

export type Curve = 'x25519' | 'p256';

/** An ephemeral key pair; `publicKey` is 32 bytes: the X25519 u-coordinate, or the x-coordinate of P-256 (RFC 9528 §3.7). */
export interface EphemeralKey {
  readonly curve: Curve;
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

export type KeyAlgorithm = 'ed25519' | 'p256' | 'p384' | 'rsa';

/** How a signature is made: the algorithm's name says key type and hash. */
export type SignatureAlgorithm =
  | 'ed25519'
  | 'ecdsa-sha256'
  | 'ecdsa-sha384'
  | 'ecdsa-sha512'
  | 'rsa-pkcs1-sha256'
  | 'rsa-pkcs1-sha384'
  | 'rsa-pkcs1-sha512'
  | 'rsa-pss-sha256'
  | 'rsa-pss-sha384'
  | 'rsa-pss-sha512';

/** ECDSA signatures come as r ‖ s (COSE, EDHOC) or as DER (X.509). Ed25519 and RSA know one form; it is ignored there. */
export type SignatureForm = 'raw' | 'der';

/** A public key that the half has taken in once; opaque to the protocol. */
export interface PublicKey {
  readonly algorithm: KeyAlgorithm;
  /** Key size in bits: modulus for RSA, field size otherwise. */
  readonly bits: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
}

/** A private key that stays where it is (file, PKCS#11); only its use is offered. */
export interface SigningKey {
  readonly algorithm: KeyAlgorithm;
  /**
   * @returns the signature; ECDSA as r ‖ s. Deterministic or not, as the key's home does it.
   * @throws  SigningFault when the key's home is away
   */
  sign(algorithm: SignatureAlgorithm, data: Uint8Array): Uint8Array;
}

/** The key's home does not sign, now: a token that was taken away. Nobody's bug, and over as soon as it is back. */
export class SigningFault extends Error {
  /** Names the key. */
  readonly what: string;
  readonly remedy: string;
  constructor(what: string, remedy: string) {
    super(`${what}: ${remedy}`);
    this.name = 'SigningFault';
    this.what = what;
    this.remedy = remedy;
  }
}

/** Counts of public-key operations since the process began. */
export interface PublicKeyCounter {
  generate: number;
  agree: number;
  sign: number;
  verify: number;
}

export interface Crypto {
  readonly name: string;
  readonly counter: PublicKeyCounter;

  hash(name: HashName, data: Uint8Array): Uint8Array;
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array;
  /** HKDF-Extract. @spec RFC 5869 §2.2 */
  hkdfExtract(name: HashName, salt: Uint8Array, ikm: Uint8Array): Uint8Array;
  /** HKDF-Expand. @param length bytes wanted, 1 to 255 × hash length @spec RFC 5869 §2.3 */
  hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array;

  /** @returns ciphertext ‖ tag */
  seal(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** @returns the plaintext, or null when the tag is wrong or the input shorter than a tag */
  open(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | null;

  /**
   * AES in counter mode, by itself unauthenticated. Both ways are one operation; they have two names so that whoever watches
   * over nonces can tell what is enciphered under them.
   * @param key      16, 24 or 32 bytes
   * @param counter  the first counter block, 16 bytes; counted up as one big-endian number
   * @throws RangeError for other sizes: our bug, never the peer's
   * @spec NIST SP 800-38A §6.5
   */
  encipherAesCtr(key: Uint8Array, counter: Uint8Array, plaintext: Uint8Array): Uint8Array;
  decipherAesCtr(key: Uint8Array, counter: Uint8Array, ciphertext: Uint8Array): Uint8Array;

  generateKey(curve: Curve): EphemeralKey;
  /** Takes in a secret key made elsewhere (published vectors). */
  ephemeralKey(curve: Curve, secretKey: Uint8Array): EphemeralKey;
  /** @returns the 32-byte shared secret, or null when the peer's value is no point of the curve or of low order */
  agree(own: EphemeralKey, peerPublicKey: Uint8Array): Uint8Array | null;

  /** @returns null when it is no key of a known algorithm */
  publicKey(spki: Uint8Array): PublicKey | null;
  /** @returns false for a wrong signature and for an algorithm that does not fit the key; never throws on bad input */
  verify(
    algorithm: SignatureAlgorithm,
    key: PublicKey,
    signature: Uint8Array,
    data: Uint8Array,
    form: SignatureForm,
  ): boolean;

  random(length: number): Uint8Array;
}

/** All public-key operations so far. */
export function publicKeyOperations(counter: PublicKeyCounter): number {
  return counter.generate + counter.agree + counter.sign + counter.verify;
}
