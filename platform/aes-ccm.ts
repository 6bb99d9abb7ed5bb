/**
 * AES-CCM over a given AES block function: CBC-MAC over nonce, additional data and plaintext, counter mode over plaintext
 * and MAC. For the sizes that suites use: nonces of 12 and 13 bytes, tags of 8 and 16. Written here because neither
 * @noble/ciphers nor WebCrypto has it. @spec RFC 3610 §2 (NIST SP 800-38C)
 */
import { equalInConstantTime, wipe } from '../protocol/bytes.ts';

/** One block as four words, each of them four bytes with the first lowest; and the same after encryption. */
export interface BlockWords {
  readonly s0: number;
  readonly s1: number;
  readonly s2: number;
  readonly s3: number;
}

/** AES with its key inside. */
export type BlockCipher = (s0: number, s1: number, s2: number, s3: number) => BlockWords;

const BLOCK = 16;
/** Additional data from here on would need a longer length field; nothing here comes near. @spec RFC 3610 §2.2 */
const AAD_LIMIT = 0xff00;

/**
 * @param tagBytes  8 or 16
 * @returns         ciphertext ‖ tag
 * @throws          RangeError for a nonce of another size, or data too long for it: our bug
 */
export function ccmSeal(
  encrypt: BlockCipher,
  tagBytes: 8 | 16,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  checkSizes(nonce, aad, plaintext.length);
  const sealed = new Uint8Array(plaintext.length + tagBytes);
  sealed.set(plaintext);
  const body = sealed.subarray(0, plaintext.length);
  const tag = macOf(encrypt, tagBytes, nonce, aad, body);
  applyKeystream(encrypt, nonce, 0, tag);
  applyKeystream(encrypt, nonce, 1, body);
  sealed.set(tag.subarray(0, tagBytes), plaintext.length);
  wipe(tag);
  return sealed;
}

/** @returns the plaintext, or null when the tag is wrong or there is none @throws RangeError as `ccmSeal` */
export function ccmOpen(
  encrypt: BlockCipher,
  tagBytes: 8 | 16,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  const length = ciphertext.length - tagBytes;
  if (length < 0) return null;
  checkSizes(nonce, aad, length);
  const plaintext = ciphertext.slice(0, length);
  applyKeystream(encrypt, nonce, 1, plaintext);
  const tag = macOf(encrypt, tagBytes, nonce, aad, plaintext);
  applyKeystream(encrypt, nonce, 0, tag);
  const good = equalInConstantTime(tag.subarray(0, tagBytes), ciphertext.subarray(length));
  wipe(tag);
  if (good) return plaintext;
  wipe(plaintext); // unauthenticated plaintext leaves nobody's hands [RFC 3610 §2.5]
  return null;
}

function checkSizes(nonce: Uint8Array, aad: Uint8Array, length: number): void {
  if (nonce.length !== 12 && nonce.length !== 13) throw new RangeError(`AES-CCM with a nonce of ${nonce.length} bytes`);
  const most = 256 ** (15 - nonce.length) - 1; // l(m) is a number of L = 15 − n bytes
  if (length > most) throw new RangeError(`AES-CCM over ${length} bytes, at most ${most} under this nonce`);
  if (aad.length >= AAD_LIMIT) throw new RangeError(`AES-CCM with ${aad.length} bytes of additional data`);
}

/**
 * X_1 = E(B_0), X_(i+1) = E(X_i ⊕ B_i); B_0 = flags ‖ nonce ‖ l(m), then l(a) ‖ a and m, each filled up with zeroes.
 * @returns X_(n+1), 16 bytes, of which the first `tagBytes` are T
 * @spec RFC 3610 §2.2
 */
function macOf(
  encrypt: BlockCipher,
  tagBytes: number,
  nonce: Uint8Array,
  aad: Uint8Array,
  message: Uint8Array,
): Uint8Array {
  const first = blockOf(nonce, message.length);
  // Flags = 64 · Adata + 8 · M′ + L′, M′ = (M − 2)/2; `blockOf` has put L′ there.
  first[0]! |= (aad.length > 0 ? 0x40 : 0) | (((tagBytes - 2) / 2) << 3);
  let x: BlockWords = encrypt(wordAt(first, 0), wordAt(first, 4), wordAt(first, 8), wordAt(first, 12));
  const absorb = (bytes: Uint8Array): void => {
    for (let at = 0; at < bytes.length; at += BLOCK) {
      x = encrypt(
        x.s0 ^ wordAt(bytes, at),
        x.s1 ^ wordAt(bytes, at + 4),
        x.s2 ^ wordAt(bytes, at + 8),
        x.s3 ^ wordAt(bytes, at + 12),
      );
    }
  };
  if (aad.length > 0) {
    const headed = new Uint8Array(2 + aad.length);
    headed[0] = aad.length >> 8;
    headed[1] = aad.length;
    headed.set(aad, 2);
    absorb(headed);
  }
  absorb(message);
  const mac = new Uint8Array(BLOCK);
  mask(mac, 0, x);
  return mac;
}

/** XORs S_i, S_(i+1), … over the bytes; S_i = E(A_i), A_i = flags ‖ nonce ‖ i. @spec RFC 3610 §2.3 */
function applyKeystream(encrypt: BlockCipher, nonce: Uint8Array, from: number, bytes: Uint8Array): void {
  const start = blockOf(nonce, 0);
  const [a0, a1, a2, a3] = [wordAt(start, 0), wordAt(start, 4), wordAt(start, 8), wordAt(start, 12)];
  for (let at = 0, i = from; at < bytes.length; at += BLOCK, i++) {
    // The number stands in the last two or three bytes, the lowest in the last; longer than that it never is.
    const number = ((i & 0xff) << 24) | ((i & 0xff00) << 8) | ((i & 0xff0000) >>> 8);
    mask(bytes, at, encrypt(a0, a1, a2, a3 | number));
  }
}

/** L′ ‖ nonce ‖ number in L bytes, L = 15 − nonce length, L′ = L − 1. */
function blockOf(nonce: Uint8Array, number: number): Uint8Array {
  const block = new Uint8Array(BLOCK);
  block[0] = 14 - nonce.length;
  for (let i = BLOCK - 1, rest = number; i > nonce.length; i--, rest = Math.floor(rest / 256)) block[i] = rest & 0xff;
  block.set(nonce, 1);
  return block;
}

/** What lies behind the end counts as zero. */
function wordAt(bytes: Uint8Array, at: number): number {
  if (at + 4 <= bytes.length) {
    return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  }
  let word = 0;
  for (let i = at; i < bytes.length; i++) word |= bytes[i]! << (8 * (i - at));
  return word;
}

function mask(bytes: Uint8Array, at: number, { s0, s1, s2, s3 }: BlockWords): void {
  if (at + BLOCK <= bytes.length) {
    maskWord(bytes, at, s0);
    maskWord(bytes, at + 4, s1);
    maskWord(bytes, at + 8, s2);
    maskWord(bytes, at + 12, s3);
    return;
  }
  const words = [s0, s1, s2, s3];
  for (let i = at; i < bytes.length; i++) bytes[i]! ^= words[(i - at) >> 2]! >>> (8 * ((i - at) & 3));
}

function maskWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at]! ^= word;
  bytes[at + 1]! ^= word >>> 8;
  bytes[at + 2]! ^= word >>> 16;
  bytes[at + 3]! ^= word >>> 24;
}
