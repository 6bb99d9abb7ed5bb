/**
 * HMAC and HKDF over any one-shot hash: OpenSSL's createHmac costs four times as much as two one-shot hashes.
 * @spec RFC 2104, RFC 5869
 */
import { wipe } from '../protocol/bytes.ts';

export interface HashFunction {
  readonly bytes: number;
  readonly blockBytes: number;
  digest(data: Uint8Array): Uint8Array;
}

/** H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ text)). HKDF-Extract is the same with the salt as key. @spec RFC 2104, RFC 5869 §2.2 */
export function hmac(hash: HashFunction, key: Uint8Array, text: Uint8Array): Uint8Array {
  const inner = new Uint8Array(hash.blockBytes + text.length);
  inner.set(text, hash.blockBytes);
  return macOf(hash, shortened(hash, key), inner);
}

/**
 * T(i) = HMAC(PRK, T(i−1) ‖ info ‖ i), cut to `length` bytes, which the caller wipes.
 * @throws RangeError when length is not 1 to 255 × hash.bytes: our bug, never the peer's
 * @spec RFC 5869 §2.3
 */
export function hkdfExpand(hash: HashFunction, prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (!Number.isInteger(length) || length < 1 || length > 255 * hash.bytes) {
    throw new RangeError(`HKDF-Expand of ${length} bytes: 1 to ${255 * hash.bytes} are possible`);
  }
  const key = shortened(hash, prk);
  const okm = new Uint8Array(length);
  // pad ‖ T(i−1) ‖ info ‖ i; the first round, which has no T, begins `hash.bytes` further in.
  const inner = new Uint8Array(hash.blockBytes + hash.bytes + info.length + 1);
  inner.set(info, hash.blockBytes + hash.bytes);
  for (let i = 1, at = 0; at < length; i++, at += hash.bytes) {
    inner[inner.length - 1] = i;
    const t = macOf(hash, key, i === 1 ? inner.subarray(hash.bytes) : inner);
    inner.set(t, hash.blockBytes);
    okm.set(at + t.length <= length ? t : t.subarray(0, length - at), at);
    wipe(t);
  }
  wipe(inner);
  return okm;
}

/** HMAC over `inner`, whose first block is left free for the padded key and is wiped. */
function macOf(hash: HashFunction, key: Uint8Array, inner: Uint8Array): Uint8Array {
  const { blockBytes } = hash;
  const outer = new Uint8Array(blockBytes + hash.bytes);
  for (let i = 0; i < blockBytes; i++) {
    const byte = i < key.length ? key[i]! : 0;
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  outer.set(hash.digest(inner), blockBytes);
  const mac = hash.digest(outer);
  inner.fill(0, 0, blockBytes);
  outer.fill(0);
  return mac;
}

function shortened(hash: HashFunction, key: Uint8Array): Uint8Array {
  return key.length > hash.blockBytes ? hash.digest(key) : key;
}
