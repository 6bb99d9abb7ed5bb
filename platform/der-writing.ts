/**
 * DER out of parts, for the few shapes that are written again and again (OCSP): the library takes 5 µs an element. Parts
 * are put together first and written once. @spec ITU-T X.690 §8, §10
 */
import { EMPTY } from '../protocol/bytes.ts';
import { TAG } from './der.ts';

/** An element that is not written yet. */
export interface DerTree {
  readonly tag: number;
  readonly contentLength: number;
  /** Tag, length and content. */
  readonly length: number;
  readonly parts: readonly Der[];
}

/** A part of a content: bytes that are DER, or of a primitive element, or a tree. */
export type Der = Uint8Array | DerTree;

/** @throws RangeError beyond 16 MiB */
export function derTree(tag: number, ...parts: readonly Der[]): DerTree {
  let contentLength = 0;
  for (const part of parts) contentLength += part.length;
  return { tag, contentLength, length: 1 + lengthSize(contentLength) + contentLength, parts };
}

export const sequenceTree = (...members: readonly Der[]): DerTree => derTree(TAG.sequence, ...members);

export function bitStringTree(bytes: Der): DerTree {
  return derTree(TAG.bitString, ZERO, bytes);
}

export function writeDer(tree: DerTree): Uint8Array {
  const bytes = new Uint8Array(tree.length);
  writeTree(bytes, 0, tree);
  return bytes;
}

function writeTree(bytes: Uint8Array, start: number, { tag, contentLength, parts }: DerTree): void {
  let at = start;
  bytes[at++] = tag;
  const size = lengthSize(contentLength);
  if (size > 1) bytes[at++] = 0x80 | (size - 1);
  for (let shift = 8 * Math.max(0, size - 2); shift >= 0; shift -= 8) bytes[at++] = contentLength >>> shift;
  for (const part of parts) {
    if (part instanceof Uint8Array) bytes.set(part, at);
    else writeTree(bytes, at, part);
    at += part.length;
  }
}

function lengthSize(length: number): number {
  if (length < 0x80) return 1;
  if (length < 0x100) return 2;
  if (length < 0x10000) return 3;
  if (length < 0x1000000) return 4;
  throw new RangeError('an element beyond 16 MiB');
}

const ZERO = Uint8Array.of(0);

/** @param dotted  arcs below 2^31 */
export function writeOid(dotted: string): Uint8Array {
  const [top = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [top * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return writeDer(derTree(TAG.oid, Uint8Array.from(bytes)));
}

/** GeneralizedTime to the second, of the years 1000 to 9999. */
export function writeGeneralizedTime(epochSeconds: number): Uint8Array {
  const at = new Date(epochSeconds * 1000);
  const year = at.getUTCFullYear();
  const pairs = [Math.floor(year / 100), year % 100, at.getUTCMonth() + 1, at.getUTCDate()];
  pairs.push(at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds());
  const bytes = new Uint8Array(17);
  bytes[0] = TAG.generalizedTime;
  bytes[1] = 15;
  for (const [i, pair] of pairs.entries()) {
    bytes[2 + 2 * i] = 0x30 + Math.floor(pair / 10);
    bytes[3 + 2 * i] = 0x30 + (pair % 10);
  }
  bytes[16] = 0x5a;
  return bytes;
}

/** An unsigned INTEGER out of big-endian bytes with any leading zeroes. */
function integerTree(bytes: Uint8Array): DerTree {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const rest = bytes.subarray(start);
  return derTree(TAG.integer, (rest[0] ?? 0) < 0x80 ? EMPTY : ZERO, rest);
}

/** ECDSA's r ‖ s as Ecdsa-Sig-Value. [RFC 3279 §2.2.3] */
export function ecdsaTree(raw: Uint8Array): DerTree {
  const half = raw.length / 2;
  return sequenceTree(integerTree(raw.subarray(0, half)), integerTree(raw.subarray(half)));
}

/** @returns Ecdsa-Sig-Value, DER */
export function writeEcdsaSignature(raw: Uint8Array): Uint8Array {
  return writeDer(ecdsaTree(raw));
}
