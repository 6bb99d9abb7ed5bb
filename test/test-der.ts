/**
 * DER for tests, written and taken apart without the libraries that are tested; it writes wrong DER just as readily.
 */
import { concat } from '../protocol/bytes.ts';

export const TAG = {
  integer: 0x02,
  bitString: 0x03,
  null: 0x05,
  oid: 0x06,
  utf8: 0x0c,
  printable: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  bmp: 0x1e,
  sequence: 0x30,
} as const;

export interface Part {
  readonly tag: number;
  /** Tag, length and content. */
  readonly raw: Uint8Array;
  readonly content: Uint8Array;
}

export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concat(...contents);
  const { length } = content;
  const bytes = [length >> 16, (length >> 8) & 0xff, length & 0xff];
  const head = length < 0x80 ? [length] : [0x80 | (length < 0x100 ? 1 : length < 0x1_0000 ? 2 : 3)];
  if (length >= 0x80) head.push(...bytes.slice(-(head[0]! & 0x7f)));
  return concat(Uint8Array.of(tag, ...head), content);
}

export const sequence = (...members: readonly Uint8Array[]): Uint8Array => der(TAG.sequence, ...members);

export const bitString = (bytes: Uint8Array): Uint8Array => der(TAG.bitString, Uint8Array.of(0), bytes);

/** @param dotted  arcs below 2^28 */
export function oid(dotted: string): Uint8Array {
  const [top, second, ...rest] = dotted.split('.').map(Number);
  const bytes = [top! * 40 + second!, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = arc >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return der(TAG.oid, Uint8Array.from(bytes));
}

/** The elements that stand side by side in well-formed DER. */
export function partsOf(bytes: Uint8Array): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < bytes.length; ) {
    const size = bytes[at + 1]! < 0x80 ? 0 : bytes[at + 1]! & 0x7f;
    const start = at + 2 + size;
    const length =
      size === 0 ? bytes[at + 1]! : bytes.subarray(at + 2, start).reduce((sum, byte) => sum * 256 + byte, 0);
    parts.push({
      tag: bytes[at]!,
      raw: bytes.subarray(at, start + length),
      content: bytes.subarray(start, start + length),
    });
    at = start + length;
  }
  return parts;
}

/** The members of a SEQUENCE. */
export function membersOf(bytes: Uint8Array): Part[] {
  return partsOf(partsOf(bytes)[0]!.content);
}
