/**
 * The crypto seam over node:crypto (OpenSSL), and the private keys that live in memory: the only file that imports it.
 * Three choices were measured on Node 24 (µs per call, 64 B): an AEAD key wrapped in a KeyObject first 4.3, given as bytes 13;
 * HMAC from two one-shot hashes 2.4, createHmac 10.6; X25519 agreement on the kept KeyObject 50, importing it again 90.
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  type ECDH,
  generateKeyPairSync,
  type KeyObject,
  hash as nodeHash,
  sign as nodeSign,
  verify as nodeVerify,
  randomBytes,
  randomFillSync,
} from 'node:crypto';
import { encodeUtf8, equal } from '../protocol/bytes.ts';
import type {
  Aead,
  Crypto,
  Curve,
  EphemeralKey,
  HashName,
  KeyAlgorithm,
  PublicKey,
  PublicKeyCounter,
  SignatureAlgorithm,
  SigningKey,
} from '../protocol/crypto.ts';
import { writeEcdsaSignature } from './der-writing.ts';
import { type HashFunction, hkdfExpand, hmac } from './hkdf.ts';
import { readSpki } from './key-encoding.ts';

/** A counter at zero. */
export function newPublicKeyCounter(): PublicKeyCounter {
  return { generate: 0, agree: 0, sign: 0, verify: 0 };
}

/** One half of the crypto seam with a counter of its own. */
export function nodeCrypto(counter: PublicKeyCounter = newPublicKeyCounter()): Crypto {
  // Both maps only save an import: a key that is not in them (cloned, restored) is imported again.
  const agreements = new WeakMap<EphemeralKey, Agreement>();
  const imported = new WeakMap<PublicKey, KeyObject>();
  const keep = (curve: Curve, agreement: Agreement, publicKey: Uint8Array, secretKey: Uint8Array): EphemeralKey => {
    const key: EphemeralKey = { curve, publicKey, secretKey };
    agreements.set(key, agreement);
    return key;
  };
  return {
    name: 'node',
    counter,
    hash: (name, data) => HASHES[name].digest(data),
    hmac: (name, key, data) => hmac(HASHES[name], key, data),
    hkdfExtract: (name, salt, ikm) => hmac(HASHES[name], salt, ikm),
    hkdfExpand: (name, prk, info, length) => hkdfExpand(HASHES[name], prk, info, length),
    seal,
    open,
    encipherAesCtr: (key, counter, plaintext) => aesCtr(createCipheriv, key, counter, plaintext),
    decipherAesCtr: (key, counter, ciphertext) => aesCtr(createDecipheriv, key, counter, ciphertext),
    generateKey(curve) {
      counter.generate++;
      if (curve === 'p256') {
        const ecdh = createECDH('prime256v1');
        ecdh.generateKeys();
        return keep(curve, ecdh, xOf(ecdh), leftPad(ecdh.getPrivateKey()));
      }
      const { publicKey, privateKey } = generateKeyPairSync('x25519');
      const raw = privateKey.export({ format: 'raw-private' });
      return keep(curve, privateKey, plain(publicKey.export({ format: 'raw-public' })), plain(raw));
    },
    ephemeralKey(curve, secretKey) {
      counter.generate++;
      const agreement = importAgreement(curve, secretKey);
      const publicKey =
        'computeSecret' in agreement
          ? xOf(agreement)
          : plain(createPublicKey(agreement).export({ format: 'raw-public' }));
      return keep(curve, agreement, publicKey, new Uint8Array(secretKey));
    },
    agree(own, peerPublicKey) {
      counter.agree++;
      return agree(agreements.get(own) ?? importAgreement(own.curve, own.secretKey), peerPublicKey);
    },
    publicKey(spki) {
      const found = importPublicKey(spki);
      if (found === null) return null;
      imported.set(found.key, found.object);
      return found.key;
    },
    verify(algorithm, key, signature, data, form) {
      const object = imported.get(key) ?? importPublicKey(key.spki)?.object;
      if (object === undefined || !fits(algorithm, object)) return false;
      counter.verify++;
      try {
        const der = form === 'raw' ? derSignature(algorithm, key, signature) : signature;
        return der !== null && nodeVerify(SIGNATURES[algorithm].hash, data, keyInput(algorithm, object), der);
      } catch {
        return false;
      }
    },
    random: randomSource(),
  };
}

const RANDOM_BLOCK_BYTES = 1024;
/** The longest that a grant carries: 204 bytes are the keys of AES-256 with HMAC-SHA-512 in key mode. */
const LONGEST_CUT_BYTES = 256;

/**
 * Random bytes, short draws cut from a block: 16 bytes cost OpenSSL as much as 1,000 (1.5 µs best, 5 µs under load).
 * What was handed out is erased from the block; and OpenSSL, asked for whole blocks of AES alone, keeps none of it:
 * of a draw that ends within one it remembers the end until the next such draw.
 */
function randomSource(): Crypto['random'] {
  const block = new Uint8Array(RANDOM_BLOCK_BYTES);
  let at = block.length;
  return (length) => {
    if (length > LONGEST_CUT_BYTES) return plain(randomBytes(length));
    if (at + length > block.length) {
      randomFillSync(block);
      at = 0;
    }
    const drawn = block.slice(at, at + length);
    block.fill(0, at, at + length);
    at += length;
    return drawn;
  };
}

/** A plain Uint8Array over the same memory: a Buffer differs from it in `slice` and in deep equality. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

/** The same memory as a Buffer, as node:crypto wants keys; no copy that would have to be wiped. */
function bufferOver(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

// ── hash ──────────────────────────────────────────────────────────────────────────────────────────────────────────

const hashFunction = (node: string, bytes: number, blockBytes: number): HashFunction => ({
  bytes,
  blockBytes,
  digest: (data) => plain(nodeHash(node, data, 'buffer')),
});

const HASHES: Readonly<Record<HashName, HashFunction>> = {
  'sha-256': hashFunction('sha256', 32, 64),
  'sha-384': hashFunction('sha384', 48, 128),
  'sha-512': hashFunction('sha512', 64, 128),
};

// ── AEAD ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** OpenSSL's names; kept whole, because a name put together for each call is also converted for each call. */
const CIPHER_NAMES: Readonly<Record<Aead['cipher'], Readonly<Record<Aead['keyBytes'], string>>>> = {
  'aes-gcm': { 16: 'aes-128-gcm', 24: 'aes-192-gcm', 32: 'aes-256-gcm' },
  'aes-ccm': { 16: 'aes-128-ccm', 24: 'aes-192-ccm', 32: 'aes-256-ccm' },
  'chacha20-poly1305': { 16: 'chacha20-poly1305', 24: 'chacha20-poly1305', 32: 'chacha20-poly1305' },
};

/** node:crypto types each mode apart; at run time all of them take these calls, and only CCM needs `plaintextLength`. */
const cipherName = ({ cipher, keyBytes }: Aead): 'aes-128-ccm' => CIPHER_NAMES[cipher][keyBytes] as 'aes-128-ccm';

/** A shorter key or nonce would be another algorithm, or none: our bug, never the peer's. */
function checkSizes(aead: Aead, key: Uint8Array, nonce: Uint8Array): void {
  if (key.length !== aead.keyBytes || nonce.length !== aead.nonceBytes) {
    throw new RangeError(`${aead.cipher}: key of ${key.length} and nonce of ${nonce.length} bytes do not fit`);
  }
}

function seal(aead: Aead, key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array {
  checkSizes(aead, key, nonce);
  const cipher = createCipheriv(cipherName(aead), createSecretKey(key), nonce, { authTagLength: aead.tagBytes });
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  const sealed = new Uint8Array(plaintext.length + aead.tagBytes);
  sealed.set(cipher.update(plaintext), 0);
  cipher.final();
  sealed.set(cipher.getAuthTag(), plaintext.length);
  return sealed;
}

function aesCtr(
  create: typeof createCipheriv | typeof createDecipheriv,
  key: Uint8Array,
  counter: Uint8Array,
  data: Uint8Array,
): Uint8Array {
  const name = CTR_NAMES[key.length];
  if (name === undefined || counter.length !== 16) {
    throw new RangeError(`AES-CTR: key of ${key.length} and counter of ${counter.length} bytes do not fit`);
  }
  return plain(create(name, createSecretKey(key), counter).update(data));
}

const CTR_NAMES: Readonly<Record<number, string>> = { 16: 'aes-128-ctr', 24: 'aes-192-ctr', 32: 'aes-256-ctr' };

function open(
  aead: Aead,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  checkSizes(aead, key, nonce);
  const length = ciphertext.length - aead.tagBytes;
  if (length < 0) return null;
  const decipher = createDecipheriv(cipherName(aead), createSecretKey(key), nonce, { authTagLength: aead.tagBytes });
  decipher.setAuthTag(ciphertext.subarray(length));
  decipher.setAAD(aad, { plaintextLength: length });
  try {
    const plaintext = decipher.update(ciphertext.subarray(0, length));
    decipher.final();
    return plain(plaintext);
  } catch {
    return null;
  }
}

// ── key agreement ─────────────────────────────────────────────────────────────────────────────────────────────────

/** X25519 as KeyObject; P-256 as ECDH, whose computeSecret takes a compressed point without a detour through DER. */
type Agreement = KeyObject | ECDH;

function importAgreement(curve: Curve, secretKey: Uint8Array): Agreement {
  if (curve === 'p256') {
    const ecdh = createECDH('prime256v1');
    ecdh.setPrivateKey(secretKey);
    return ecdh;
  }
  return createPrivateKey({ key: bufferOver(secretKey), format: 'raw-private', asymmetricKeyType: 'x25519' });
}

function agree(own: Agreement, peerPublicKey: Uint8Array): Uint8Array | null {
  if (peerPublicKey.length !== 32) return null;
  try {
    let shared: Uint8Array;
    if ('computeSecret' in own) {
      // Only x travels; either y gives the same x of the product. [RFC 9528 §3.7]
      const point = new Uint8Array(33);
      point[0] = 2;
      point.set(peerPublicKey, 1);
      shared = leftPad(own.computeSecret(point));
    } else {
      const key = bufferOver(peerPublicKey);
      const publicKey = createPublicKey({ key, format: 'raw-public', asymmetricKeyType: 'x25519' });
      shared = plain(diffieHellman({ privateKey: own, publicKey }));
    }
    return isZero(shared) ? null : shared;
  } catch {
    return null; // no point of the curve, or (OpenSSL refuses it by itself) one of low order
  }
}

function xOf(ecdh: ECDH): Uint8Array {
  return plain(ecdh.getPublicKey(null, 'compressed')).slice(1);
}

function leftPad(number: Uint8Array): Uint8Array {
  if (number.length === 32) return plain(number);
  const padded = new Uint8Array(32);
  padded.set(number, 32 - number.length);
  return padded;
}

function isZero(bytes: Uint8Array): boolean {
  let any = 0;
  for (const byte of bytes) any |= byte;
  return any === 0;
}

// ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────

interface SignatureRow {
  readonly hash: string | null;
  readonly keyType: 'ed25519' | 'ec' | 'rsa';
  readonly isPss?: true;
}

const { RSA_PKCS1_PSS_PADDING: padding, RSA_PSS_SALTLEN_DIGEST: saltLength } = constants;

const SIGNATURES: Readonly<Record<SignatureAlgorithm, SignatureRow>> = {
  ed25519: { hash: null, keyType: 'ed25519' },
  'ecdsa-sha256': { hash: 'sha256', keyType: 'ec' },
  'ecdsa-sha384': { hash: 'sha384', keyType: 'ec' },
  'ecdsa-sha512': { hash: 'sha512', keyType: 'ec' },
  'rsa-pkcs1-sha256': { hash: 'sha256', keyType: 'rsa' },
  'rsa-pkcs1-sha384': { hash: 'sha384', keyType: 'rsa' },
  'rsa-pkcs1-sha512': { hash: 'sha512', keyType: 'rsa' },
  'rsa-pss-sha256': { hash: 'sha256', keyType: 'rsa', isPss: true },
  'rsa-pss-sha384': { hash: 'sha384', keyType: 'rsa', isPss: true },
  'rsa-pss-sha512': { hash: 'sha512', keyType: 'rsa', isPss: true },
};

function fits(algorithm: SignatureAlgorithm, key: KeyObject): boolean {
  return SIGNATURES[algorithm].keyType === key.asymmetricKeyType;
}

/**
 * The key as OpenSSL is given it: alone wherever that says enough (an RSA key alone means PKCS #1 v1.5). Node takes 10 µs
 * longer over a key among options, and 10 to 20 more over r ‖ s. The salt of PSS is as long as the hash. [RFC 4055 §3.1]
 */
function keyInput(algorithm: SignatureAlgorithm, key: KeyObject) {
  return SIGNATURES[algorithm].isPss === true ? { key, padding, saltLength } : key;
}

/** @returns the signature as OpenSSL has it; null for r ‖ s of another length than the key's */
function derSignature(algorithm: SignatureAlgorithm, { bits }: PublicKey, signature: Uint8Array): Uint8Array | null {
  if (SIGNATURES[algorithm].keyType !== 'ec') return signature;
  return signature.length === bits / 4 ? writeEcdsaSignature(signature) : null;
}

/** Implementation limits: a larger modulus or exponent buys OpenSSL work, a smaller modulus is no security. */
const RSA_BITS = { least: 2048, most: 8192 };
const RSA_EXPONENT_MOST = 0xffff_ffffn;

/** @returns null for a type, curve or size that is not offered */
function describe(key: KeyObject): { algorithm: KeyAlgorithm; bits: number } | null {
  const details = key.asymmetricKeyDetails;
  if (key.asymmetricKeyType === 'ed25519') return { algorithm: 'ed25519', bits: 256 };
  if (key.asymmetricKeyType === 'ec') {
    if (details?.namedCurve === 'prime256v1') return { algorithm: 'p256', bits: 256 };
    if (details?.namedCurve === 'secp384r1') return { algorithm: 'p384', bits: 384 };
    return null;
  }
  if (key.asymmetricKeyType !== 'rsa') return null;
  const bits = details?.modulusLength ?? 0;
  const exponent = details?.publicExponent ?? 0n;
  if (bits < RSA_BITS.least || bits > RSA_BITS.most || exponent < 3n || exponent > RSA_EXPONENT_MOST) return null;
  return { algorithm: 'rsa', bits };
}

function spkiOf(key: KeyObject): Uint8Array {
  return plain(key.export({ type: 'spki', format: 'der' }));
}

/**
 * One key, one spelling: trailing bytes and second encodings of the same key are refused. The kinds of a fixed size have
 * one frame each, compressed and hybrid points stand in none [RFC 5480 §2.2: uncompressed is the form to support], and
 * OpenSSL takes no point off the curve and no coordinate beyond the field. What it reads of an RSA key is written again.
 */
function importPublicKey(spki: Uint8Array): { key: PublicKey; object: KeyObject } | null {
  try {
    const fixed = readSpki(spki);
    const object = createPublicKey({ key: bufferOver(spki), type: 'spki', format: 'der' });
    if (fixed !== null)
      return { key: { algorithm: fixed.algorithm, bits: fixed.bits, spki: plain(spki).slice() }, object };
    const described = describe(object);
    if (described?.algorithm !== 'rsa') return null;
    const canonical = spkiOf(object);
    return equal(canonical, spki) ? { key: { ...described, spki: canonical }, object } : null;
  } catch {
    return null;
  }
}

// ── private keys ──────────────────────────────────────────────────────────────────────────────────────────────────

export type SigningKeyFault = 'encrypted' | 'unreadable' | 'unsupported';

/** Why a private key cannot be used; the message is a sentence for the operator and holds nothing of the key. */
export class SigningKeyError extends Error {
  readonly fault: SigningKeyFault;
  constructor(fault: SigningKeyFault, detail: string) {
    super(detail);
    this.name = 'SigningKeyError';
    this.fault = fault;
  }
}

/** A signing key together with the public key that belongs to it (SubjectPublicKeyInfo, DER). */
export type OwnSigningKey = SigningKey & { readonly publicSpki: Uint8Array };

/**
 * Takes in a private key: PKCS#8 as PEM or DER, or a traditional PEM (EC PRIVATE KEY, RSA PRIVATE KEY).
 * @param counter  every signature adds one to `sign`
 * @throws SigningKeyError when it is encrypted, no private key, or of a type or size that is not offered
 */
export function signingKey(pkcs8PemOrDer: Uint8Array, counter: PublicKeyCounter): OwnSigningKey {
  const key = bufferOver(pkcs8PemOrDer);
  try {
    const isPem = key.includes('-----BEGIN ');
    return own(createPrivateKey(isPem ? { key, format: 'pem' } : { key, format: 'der', type: 'pkcs8' }), counter);
  } catch (error) {
    throw error instanceof SigningKeyError ? error : faultOf(error, key.includes('ENCRYPTED'));
  }
}

/** @param saysEncrypted  a PEM header says so; OpenSSL's own code for that case differs between forms */
function faultOf(error: unknown, saysEncrypted: boolean): SigningKeyError {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  if (saysEncrypted || code === 'ERR_MISSING_PASSPHRASE') {
    return new SigningKeyError('encrypted', 'the private key is encrypted: store it unencrypted (openssl pkey)');
  }
  return new SigningKeyError('unreadable', 'this is no private key in PKCS#8 form (PEM or DER)');
}

function own(privateKey: KeyObject, counter: PublicKeyCounter): OwnSigningKey {
  const described = describe(privateKey);
  if (described === null) {
    throw new SigningKeyError('unsupported', 'the key is neither Ed25519, P-256, P-384 nor RSA of 2048 to 8192 bits');
  }
  return {
    algorithm: described.algorithm,
    publicSpki: spkiOf(createPublicKey(privateKey)),
    sign(algorithm, data) {
      if (!fits(algorithm, privateKey)) {
        throw new RangeError(`a key of type ${described.algorithm} makes no signature ${algorithm}`);
      }
      counter.sign++;
      const signature = nodeSign(SIGNATURES[algorithm].hash, data, keyInput(algorithm, privateKey));
      return SIGNATURES[algorithm].keyType === 'ec' ? rawEcdsa(signature, described.bits / 8) : plain(signature);
    },
  };
}

/** OpenSSL's own Ecdsa-Sig-Value, below 128 bytes for these curves, as r ‖ s: Node takes twice as long to give that. */
function rawEcdsa(der: Uint8Array, half: number): Uint8Array {
  const raw = new Uint8Array(2 * half);
  for (let at = 2, end = half; end <= 2 * half; end += half) {
    const next = at + 2 + der[at + 1]!;
    const value = der.subarray(Math.max(at + 2, next - half), next); // without the zero in front of a first bit that is set
    raw.set(value, end - value.length);
    at = next;
  }
  return raw;
}

/** A new key pair. */
export interface GeneratedSigningKey {
  /** PKCS#8, PEM; the caller stores and wipes it. */
  readonly privatePkcs8Pem: Uint8Array;
  readonly publicSpki: Uint8Array;
  readonly key: OwnSigningKey;
}

/** Makes a long-term key pair for the small CA and for tests. */
export function generateSigningKey(
  algorithm: 'p256' | 'p384' | 'ed25519',
  counter: PublicKeyCounter = newPublicKeyCounter(),
): GeneratedSigningKey {
  counter.generate++;
  const { privateKey } =
    algorithm === 'ed25519'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('ec', { namedCurve: algorithm === 'p256' ? 'prime256v1' : 'secp384r1' });
  const key = own(privateKey, counter);
  return { privatePkcs8Pem: pemOf(privateKey), publicSpki: key.publicSpki, key };
}

/** node:crypto gives PEM as a string, which cannot be wiped: it lives only until the next garbage collection. */
function pemOf(privateKey: KeyObject): Uint8Array {
  return encodeUtf8(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}
