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

/**
 * Where padded key and text meet for a hash. Kept: an array above 64 bytes costs V8 as much as a short hash. Nothing
 * stays in it, since every use ends with a wipe, and no use begins inside another.
 */
const inner = new Uint8Array(512);
const outer = new Uint8Array(128 + 64);

const roomFor = (length: number): Uint8Array =>
  length <= inner.length ? inner.subarray(0, length) : new Uint8Array(length);

/** H((K ⊕ opad) ‖ H((K ⊕ ipad) ‖ text)). HKDF-Extract is the same with the salt as key. @spec RFC 2104, RFC 5869 §2.2 */
export function hmac(hash: HashFunction, key: Uint8Array, text: Uint8Array): Uint8Array {
  const room = roomFor(hash.blockBytes + text.length);
  room.set(text, hash.blockBytes);
  const mac = macOf(hash, shortened(hash, key), room);
  wipe(room);
  return mac;
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
  const room = roomFor(hash.blockBytes + hash.bytes + info.length + 1);
  room.set(info, hash.blockBytes + hash.bytes);
  for (let i = 1, at = 0; at < length; i++, at += hash.bytes) {
    room[room.length - 1] = i;
    const t = macOf(hash, key, i === 1 ? room.subarray(hash.bytes) : room);
    room.set(t, hash.blockBytes);
    okm.set(at + t.length <= length ? t : t.subarray(0, length - at), at);
    wipe(t);
  }
  wipe(room);
  return okm;
}

/** HMAC over `room`, whose first block is left free for the padded key; the caller wipes it. */
function macOf(hash: HashFunction, key: Uint8Array, room: Uint8Array): Uint8Array {
  const { blockBytes } = hash;
  const around = outer.subarray(0, blockBytes + hash.bytes);
  for (let i = 0; i < key.length; i++) {
    const byte = key[i]!;
    room[i] = byte ^ 0x36;
    around[i] = byte ^ 0x5c;
  }
  room.fill(0x36, key.length, blockBytes);
  around.fill(0x5c, key.length, blockBytes);
  around.set(hash.digest(room), blockBytes);
  const mac = hash.digest(around);
  wipe(around);
  return mac;
}

function shortened(hash: HashFunction, key: Uint8Array): Uint8Array {
  return key.length > hash.blockBytes ? hash.digest(key) : key;
}
