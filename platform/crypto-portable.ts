/**
 * The crypto seam over @noble, in JavaScript alone: for browsers, phones, and wherever there is no node:crypto. It
 * imports nothing of Node. Left out: RSA keys are none (`publicKey` gives null, `verify` false), and no JavaScript runs
 * in constant time: docs/decisions/0010-portable-crypto.md.
 */
import { unsafe as aes, ctr, gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { p256, p384 } from '@noble/curves/nist.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import { wipe } from '../protocol/bytes.ts';
import type {
  Aead,
  Crypto,
  Curve,
  EphemeralKey,
  HashName,
  PublicKey,
  PublicKeyCounter,
  SignatureAlgorithm,
  SignatureForm,
} from '../protocol/crypto.ts';
import { type BlockCipher, ccmOpen, ccmSeal } from './aes-ccm.ts';
import { type HashFunction, hkdfExpand, hmac } from './hkdf.ts';
import { readSpki } from './key-encoding.ts';

/**
 * One half of the crypto seam.
 * @param random  bytes that nobody can guess; without it, those of the platform
 */
export function portableCrypto(
  counter: PublicKeyCounter = { generate: 0, agree: 0, sign: 0, verify: 0 },
  random: Crypto['random'] = platformRandom,
): Crypto {
  return {
    name: 'portable',
    counter,
    hash: (name, data) => HASHES[name].digest(data),
    hmac: (name, key, data) => hmac(HASHES[name], key, data),
    hkdfExtract: (name, salt, ikm) => hmac(HASHES[name], salt, ikm),
    hkdfExpand: (name, prk, info, length) => hkdfExpand(HASHES[name], prk, info, length),
    seal,
    open,
    encipherAesCtr: aesCtr,
    decipherAesCtr: aesCtr,
    generateKey(curve) {
      counter.generate++;
      return ephemeral(curve, newSecret(curve, random));
    },
    ephemeralKey(curve, secretKey) {
      counter.generate++;
      return ephemeral(curve, new Uint8Array(secretKey));
    },
    agree(own, peerPublicKey) {
      counter.agree++;
      return agree(own, peerPublicKey);
    },
    publicKey,
    verify(algorithm, key, signature, data, form) {
      if (!fits(algorithm, key)) return false;
      counter.verify++;
      return verify(algorithm, key, signature, data, form);
    },
    random,
  };
}

/** As many as WebCrypto gives at once. */
const RANDOM_CHUNK_BYTES = 65_536;

/** Random bytes of the browser or the operating system. */
export function platformRandom(length: number): Uint8Array {
  const drawn = new Uint8Array(length);
  for (let at = 0; at < length; at += RANDOM_CHUNK_BYTES) {
    globalThis.crypto.getRandomValues(drawn.subarray(at, at + RANDOM_CHUNK_BYTES));
  }
  return drawn;
}

// ── hash ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const HASHES: Readonly<Record<HashName, HashFunction>> = {
  'sha-256': { bytes: 32, blockBytes: 64, digest: sha256 },
  'sha-384': { bytes: 48, blockBytes: 128, digest: sha384 },
  'sha-512': { bytes: 64, blockBytes: 128, digest: sha512 },
};

// ── AEAD ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function checkSizes(aead: Aead, key: Uint8Array, nonce: Uint8Array): void {
  if (key.length !== aead.keyBytes || nonce.length !== aead.nonceBytes) {
    throw new RangeError(`${aead.cipher}: key of ${key.length} and nonce of ${nonce.length} bytes do not fit`);
  }
}

function seal(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  checkSizes(aead, key, nonce);
  switch (aead.cipher) {
    case 'aes-gcm':
      return gcm(key, nonce, aad).encrypt(plaintext);
    case 'chacha20-poly1305':
      return chacha20poly1305(key, nonce, aad).encrypt(plaintext);
    case 'aes-ccm':
      return withBlockCipher(key, (encrypt) => ccmSeal(encrypt, aead.tagBytes, nonce, aad, plaintext));
    default:
      return aead.cipher satisfies never;
  }
}

function aesCtr(key: Uint8Array, counter: Uint8Array, data: Uint8Array): Uint8Array {
  if (![16, 24, 32].includes(key.length) || counter.length !== 16) {
    throw new RangeError(`AES-CTR: key of ${key.length} and counter of ${counter.length} bytes do not fit`);
  }
  return ctr(key, counter).encrypt(data);
}

function open(
  aead: Aead,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  checkSizes(aead, key, nonce);
  if (ciphertext.length < aead.tagBytes) return null;
  switch (aead.cipher) {
    case 'aes-gcm':
      return orNull(() => gcm(key, nonce, aad).decrypt(ciphertext));
    case 'chacha20-poly1305':
      return orNull(() => chacha20poly1305(key, nonce, aad).decrypt(ciphertext));
    case 'aes-ccm':
      return withBlockCipher(key, (encrypt) => ccmOpen(encrypt, aead.tagBytes, nonce, aad, ciphertext));
    default:
      return aead.cipher satisfies never;
  }
}

function withBlockCipher<T>(key: Uint8Array, use: (encrypt: BlockCipher) => T): T {
  const expanded = aes.expandKeyLE(key);
  try {
    return use((s0, s1, s2, s3) => aes.encrypt(expanded, s0, s1, s2, s3));
  } finally {
    expanded.fill(0);
  }
}

/** The library throws where the other side's bytes are wrong. */
function orNull<T>(attempt: () => T): T | null {
  try {
    return attempt();
  } catch {
    return null;
  }
}

// ── key agreement ─────────────────────────────────────────────────────────────────────────────────────────────────

function newSecret(curve: Curve, random: Crypto['random']): Uint8Array {
  for (;;) {
    const secret = random(32);
    if (curve === 'x25519' || p256.utils.isValidSecretKey(secret)) return secret;
    wipe(secret);
  }
}

/** @throws Error when it is no scalar of P-256: the caller's bug */
function ephemeral(curve: Curve, secretKey: Uint8Array): EphemeralKey {
  const publicKey = curve === 'x25519' ? x25519.getPublicKey(secretKey) : p256.getPublicKey(secretKey, true).slice(1);
  return { curve, publicKey, secretKey };
}

function agree({ curve, secretKey }: EphemeralKey, peerPublicKey: Uint8Array): Uint8Array | null {
  if (peerPublicKey.length !== 32) return null;
  if (curve === 'x25519') return orNull(() => x25519.getSharedSecret(secretKey, peerPublicKey));
  // Only x travels; either y gives the same x of the product. [RFC 9528 §3.7]
  const point = new Uint8Array(33);
  point[0] = 2;
  point.set(peerPublicKey, 1);
  return orNull(() => {
    const product = p256.getSharedSecret(secretKey, point, true);
    const shared = product.slice(1);
    wipe(product);
    return shared;
  });
}

// ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────

type EcdsaAlgorithm = Extract<SignatureAlgorithm, `ecdsa-${string}`>;

const ECDSA_HASHES: Readonly<Record<EcdsaAlgorithm, HashName>> = {
  'ecdsa-sha256': 'sha-256',
  'ecdsa-sha384': 'sha-384',
  'ecdsa-sha512': 'sha-512',
};

function isEcdsa(algorithm: SignatureAlgorithm): algorithm is EcdsaAlgorithm {
  return algorithm in ECDSA_HASHES;
}

function fits(algorithm: SignatureAlgorithm, { algorithm: key }: PublicKey): boolean {
  return algorithm === 'ed25519' ? key === 'ed25519' : isEcdsa(algorithm) && (key === 'p256' || key === 'p384');
}

/** The point of an EC key, uncompressed. */
const pointOf = (raw: Uint8Array): Uint8Array => Uint8Array.of(4, ...raw);

function publicKey(spki: Uint8Array): PublicKey | null {
  const key = readSpki(spki);
  if (key === null) return null;
  const { algorithm, bits, raw } = key;
  const isPoint = algorithm === 'ed25519' || (algorithm === 'p256' ? p256 : p384).utils.isValidPublicKey(pointOf(raw));
  return isPoint ? { algorithm, bits, spki: spki.slice() } : null;
}

function verify(
  algorithm: SignatureAlgorithm,
  key: PublicKey,
  signature: Uint8Array,
  data: Uint8Array,
  form: SignatureForm,
): boolean {
  const read = readSpki(key.spki);
  if (read === null || read.algorithm !== key.algorithm) return false;
  const { raw } = read;
  try {
    if (!isEcdsa(algorithm)) return ed25519.verify(signature, data, raw, { zip215: false });
    const digest = HASHES[ECDSA_HASHES[algorithm]].digest(data);
    // Both s and n − s are good outside of coins; OpenSSL makes either. [FIPS 186-5 §6.4.2]
    const options = { prehash: false, lowS: false, format: form === 'der' ? 'der' : 'compact' } as const;
    return (read.algorithm === 'p256' ? p256 : p384).verify(signature, digest, pointOf(raw), options);
  } catch {
    return false;
  }
}
