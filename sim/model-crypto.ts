/**
 * A stand-in for cryptography in large simulations: every output has the size of the real one and depends on all inputs,
 * a changed key, nonce, byte or signature is noticed, public-key operations are counted; nothing is secret. A call costs
 * a fraction of the node half's, but for payloads above some KiB. What it does not know: RSA, and points that lie off a
 * curve (only zero, one and values above any field).
 */
import { newPublicKeyCounter } from '../platform/crypto-node.ts';
import { type FixedKeyAlgorithm, readSpki, writeSpki } from '../platform/key-encoding.ts';
import { concat, EMPTY, equal } from '../protocol/bytes.ts';
import type {
  Aead,
  Crypto,
  Curve,
  HashName,
  PublicKey,
  PublicKeyCounter,
  SignatureAlgorithm,
  SignatureForm,
  SigningKey,
} from '../protocol/crypto.ts';
import { ModelHash } from './model-hash.ts';
import { secretScalar } from './seeded-crypto.ts';
import type { SeededRandom } from './seeded-random.ts';

/** One for each use of the hash. */
const DOMAIN = {
  hash: 1,
  hmac: 2,
  expand: 3,
  aead: 4,
  publicKey: 5,
  agree: 6,
  signingKey: 7,
  signature: 8,
  ctr: 9,
} as const;

const HASH_BYTES: Readonly<Record<HashName, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 };

export function modelCrypto(random: SeededRandom, counter = newPublicKeyCounter()): Crypto {
  return {
    name: 'model',
    counter,
    hash: (name, data) => digest(DOMAIN.hash, name, EMPTY, data),
    hmac: (name, key, data) => digest(DOMAIN.hmac, name, key, data),
    hkdfExtract: (name, salt, ikm) => digest(DOMAIN.hmac, name, salt, ikm),
    hkdfExpand,
    seal,
    open,
    encipherAesCtr: aesCtr,
    decipherAesCtr: aesCtr,
    generateKey(curve) {
      counter.generate++;
      return ephemeral(curve, secretScalar(random));
    },
    ephemeralKey(curve, secretKey) {
      counter.generate++;
      return ephemeral(curve, secretKey.slice());
    },
    agree(own, peerPublicKey) {
      counter.agree++;
      if (!isPoint(own.curve, peerPublicKey)) return null;
      const [first, second] = inOrder(own.publicKey, peerPublicKey);
      return new ModelHash(DOMAIN.agree + CURVE_NUMBERS[own.curve]).absorb(first).absorb(second).squeeze(32);
    },
    publicKey(spki) {
      const read = readSpki(spki);
      return read === null ? null : { algorithm: read.algorithm, bits: read.bits, spki: spki.slice() };
    },
    verify(algorithm, key, signature, data, form) {
      if (!fits(algorithm, key.algorithm)) return false;
      counter.verify++;
      return equal(signature, signatureOf(algorithm, key, data, form));
    },
    random: (length) => random.bytes(length),
  };
}

// ── hash ──────────────────────────────────────────────────────────────────────────────────────────────────────────

function digest(domain: number, name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array {
  const bytes = HASH_BYTES[name];
  return new ModelHash(domain + 256 * bytes).absorb(key).absorb(data).squeeze(bytes);
}

function hkdfExpand(name: HashName, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const bytes = HASH_BYTES[name];
  if (!Number.isInteger(length) || length < 1 || length > 255 * bytes) {
    throw new RangeError(`HKDF-Expand of ${length} bytes: 1 to ${255 * bytes} are possible`);
  }
  return new ModelHash(DOMAIN.expand + 256 * bytes).absorb(prk).absorb(info).squeeze(length);
}

// ── AEAD ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const CIPHER_NUMBERS: Readonly<Record<Aead['cipher'], number>> = { 'aes-gcm': 1, 'aes-ccm': 2, 'chacha20-poly1305': 3 };

/** Key and nonce taken in: the beginning of both key stream and tag. @throws RangeError for other sizes: our bug */
function keyed(aead: Aead, key: Uint8Array, nonce: Uint8Array): ModelHash {
  if (key.length !== aead.keyBytes || nonce.length !== aead.nonceBytes) {
    throw new RangeError(`${aead.cipher}: key of ${key.length} and nonce of ${nonce.length} bytes do not fit`);
  }
  const variant = 256 * CIPHER_NUMBERS[aead.cipher] + 4096 * aead.tagBytes;
  return new ModelHash(DOMAIN.aead + variant).absorb(key).absorb(nonce);
}

function seal(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  const start = keyed(aead, key, nonce);
  const sealed = new Uint8Array(plaintext.length + aead.tagBytes);
  start.copy().maskInto(sealed, plaintext);
  const tag = start.absorb(aad).absorb(sealed.subarray(0, plaintext.length)).squeeze(aead.tagBytes);
  sealed.set(tag, plaintext.length);
  return sealed;
}

function aesCtr(key: Uint8Array, counter: Uint8Array, data: Uint8Array): Uint8Array {
  if (![16, 24, 32].includes(key.length) || counter.length !== 16) {
    throw new RangeError(`AES-CTR: key of ${key.length} and counter of ${counter.length} bytes do not fit`);
  }
  return new ModelHash(DOMAIN.ctr).absorb(key).absorb(counter).maskInto(new Uint8Array(data.length), data);
}

function open(
  aead: Aead,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  const start = keyed(aead, key, nonce);
  const length = ciphertext.length - aead.tagBytes;
  if (length < 0) return null;
  const masked = ciphertext.subarray(0, length);
  const stream = start.copy();
  const tag = start.absorb(aad).absorb(masked).squeeze(aead.tagBytes);
  if (!equal(tag, ciphertext.subarray(length))) return null;
  return stream.maskInto(new Uint8Array(length), masked);
}

// ── key agreement ─────────────────────────────────────────────────────────────────────────────────────────────────

const CURVE_NUMBERS: Readonly<Record<Curve, number>> = { x25519: 256, p256: 512 };

function ephemeral(curve: Curve, secretKey: Uint8Array): ReturnType<Crypto['generateKey']> {
  const publicKey = new ModelHash(DOMAIN.publicKey + CURVE_NUMBERS[curve]).absorb(secretKey).squeeze(32);
  publicKey[0] = (publicKey[0]! & 0x7f) | 1; // below any field, and neither zero nor the number one
  return { curve, publicKey, secretKey };
}

/** Some of what the real curves refuse. */
function isPoint(curve: Curve, value: Uint8Array): boolean {
  if (value.length !== 32) return false;
  if (curve === 'p256') return value[0] !== 0xff && value.some((byte) => byte !== 0);
  return value[0]! > 1 || value.some((byte, i) => i > 0 && byte !== 0);
}

/** Both sides put the two public values into the same order, and so come to the same secret. */
function inOrder(a: Uint8Array, b: Uint8Array): readonly [Uint8Array, Uint8Array] {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? [a, b] : [b, a];
  return [a, b];
}

// ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────

/** Of r ‖ s, or of an Ed25519 signature. */
const SIGNATURE_BYTES: Readonly<Record<FixedKeyAlgorithm, number>> = { ed25519: 64, p256: 64, p384: 96 };

function fits(algorithm: SignatureAlgorithm, key: PublicKey['algorithm']): key is FixedKeyAlgorithm {
  if (algorithm === 'ed25519') return key === 'ed25519';
  return algorithm.startsWith('ecdsa-') && (key === 'p256' || key === 'p384');
}

/** A function of the public key: whoever knows the key can sign. */
function signatureOf(
  algorithm: SignatureAlgorithm,
  key: Pick<PublicKey, 'algorithm' | 'spki'>,
  data: Uint8Array,
  form: SignatureForm,
): Uint8Array {
  const bytes = SIGNATURE_BYTES[key.algorithm as FixedKeyAlgorithm];
  const hash = new ModelHash(DOMAIN.signature).absorbNumber(ALGORITHM_NUMBERS.indexOf(algorithm));
  const signature = hash.absorb(key.spki).absorb(data).squeeze(bytes);
  if (algorithm === 'ed25519') return signature;
  // Both halves positive and of full length: then the DER form has one size, and the most frequent one less two.
  const half = bytes / 2;
  for (const at of [0, half]) signature[at] = (signature[at]! & 0x3f) | 0x40;
  if (form === 'raw') return signature;
  const integer = (at: number): Uint8Array => concat(Uint8Array.of(2, half), signature.subarray(at, at + half));
  return concat(Uint8Array.of(0x30, bytes + 4), integer(0), integer(half));
}

const ALGORITHM_NUMBERS: readonly SignatureAlgorithm[] = ['ed25519', 'ecdsa-sha256', 'ecdsa-sha384', 'ecdsa-sha512'];

/** A signing key of the model. @param secret  32 bytes; the public key is a function of them */
export function modelSigningKey(
  algorithm: FixedKeyAlgorithm,
  secret: Uint8Array,
  counter: PublicKeyCounter,
): SigningKey & { readonly publicSpki: Uint8Array } {
  const raw = { ed25519: 32, p256: 64, p384: 96 }[algorithm];
  const publicSpki = writeSpki(algorithm, new ModelHash(DOMAIN.signingKey).absorb(secret).squeeze(raw));
  return {
    algorithm,
    publicSpki,
    sign(how, data) {
      if (!fits(how, algorithm)) throw new RangeError(`a key of type ${algorithm} makes no signature ${how}`);
      counter.sign++;
      return signatureOf(how, { algorithm, spki: publicSpki }, data, 'raw');
    },
  };
}
