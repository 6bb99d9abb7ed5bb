/**
 * DER out of parts, for the few shapes that are written again and again (OCSP): the library takes 5 µs an element.
 * @spec ITU-T X.690 §8, §10
 */
import { concat, encodeUtf8 } from '../protocol/bytes.ts';
import { TAG } from './der.ts';

/** One element out of the parts of its content. @throws RangeError beyond 16 MiB */
export function writeDer(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const head = lengthBytes(length);
  const bytes = new Uint8Array(1 + head.length + length);
  bytes[0] = tag;
  bytes.set(head, 1);
  let at = 1 + head.length;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function lengthBytes(length: number): readonly number[] {
  if (length < 0x80) return [length];
  if (length < 0x100) return [0x81, length];
  if (length < 0x10000) return [0x82, length >> 8, length & 0xff];
  if (length < 0x1000000) return [0x83, length >> 16, (length >> 8) & 0xff, length & 0xff];
  throw new RangeError('an element beyond 16 MiB');
}

export const writeSequence = (...members: readonly Uint8Array[]): Uint8Array => writeDer(TAG.sequence, ...members);

/** @param dotted  arcs below 2^31 */
export function writeOid(dotted: string): Uint8Array {
  const [top = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [top * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return writeDer(TAG.oid, Uint8Array.from(bytes));
}

export function writeBitString(bytes: Uint8Array): Uint8Array {
  return writeDer(TAG.bitString, Uint8Array.of(0), bytes);
}

/** GeneralizedTime to the second. @param epochSeconds  from year 1000 to 9999 */
export function writeGeneralizedTime(epochSeconds: number): Uint8Array {
  const digits = new Date(epochSeconds * 1000).toISOString().replace(/\.\d+|[-:T]/g, '');
  return writeDer(TAG.generalizedTime, encodeUtf8(digits));
}

/** An unsigned number as the content of an INTEGER, out of big-endian bytes with any leading zeroes. */
function integerContent(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const rest = bytes.subarray(start);
  return (rest[0] ?? 0) < 0x80 ? rest : concat(Uint8Array.of(0), rest);
}

/** ECDSA's r ‖ s as Ecdsa-Sig-Value. [RFC 3279 §2.2.3] */
export function writeEcdsaSignature(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2;
  return writeSequence(
    writeDer(TAG.integer, integerContent(raw.subarray(0, half))),
    writeDer(TAG.integer, integerContent(raw.subarray(half))),
  );
}
