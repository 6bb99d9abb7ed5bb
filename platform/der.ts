/**
 * DER, read strictly and written: definite shortest lengths, single-byte tags, no recursion, so that the work is linear
 * in the bytes whatever they hold. @spec ITU-T X.690 §10
 */
import { concat } from '../protocol/bytes.ts';

/** Bytes that are not the DER wanted here. */
export class DerFault extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'DerFault';
  }
}

export interface Element {
  readonly tag: number;
  /** Tag, length and content. */
  readonly raw: Uint8Array;
  readonly content: Uint8Array;
}

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8: 0x0c,
  printable: 0x13,
  ia5: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of a context-specific constructed element. */
export const explicit = (number: number): number => 0xa0 | number;
/** Tag of a context-specific primitive element. */
export const implicit = (number: number): number => 0x80 | number;

// ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @throws DerFault */
function elementAt(bytes: Uint8Array, at: number): Element {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined) throw new DerFault('ends early');
  if ((tag & 0x1f) === 0x1f) throw new DerFault('a tag of several bytes');
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const size = first & 0x7f;
    if (size === 0 || size > 3) throw new DerFault('an indefinite or huge length');
    length = 0;
    for (let i = 0; i < size; i++) length = length * 256 + (bytes[start + i] ?? 0);
    if (length < 0x80 || length < 2 ** (8 * (size - 1))) throw new DerFault('a length not in shortest form');
    start += size;
  }
  const end = start + length;
  if (end > bytes.length) throw new DerFault('a length beyond the end');
  return { tag, raw: bytes.subarray(at, end), content: bytes.subarray(start, end) };
}

/** Exactly one element, nothing behind it. @throws DerFault */
export function readOne(bytes: Uint8Array, tag: number): Element {
  const element = elementAt(bytes, 0);
  if (element.raw.length !== bytes.length) throw new DerFault('bytes behind the end');
  return expect(element, tag);
}

/** All elements of a content, possibly none. @throws DerFault */
export function readAll(content: Uint8Array): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < content.length; ) {
    const element = elementAt(content, at);
    elements.push(element);
    at += element.raw.length;
  }
  return elements;
}

/** @throws DerFault when it is missing or of another tag */
export function expect(element: Element | undefined, tag: number): Element {
  if (element?.tag !== tag) throw new DerFault(`tag ${element?.tag ?? 'none'}, wanted ${tag}`);
  return element;
}

/** Members of a SEQUENCE that come in order and may be left out; `end` refuses what nobody took. */
export class Members {
  readonly #elements: readonly Element[];
  #next = 0;

  constructor(parent: Element, tag: number = TAG.sequence) {
    this.#elements = readAll(expect(parent, tag).content);
  }

  take(tag: number): Element {
    return expect(this.#elements[this.#next++], tag);
  }

  takeAny(): Element {
    const element = this.#elements[this.#next++];
    if (element === undefined) throw new DerFault('a member is missing');
    return element;
  }

  takeIf(...tags: readonly number[]): Element | null {
    const element = this.#elements[this.#next];
    if (element === undefined || !tags.includes(element.tag)) return null;
    this.#next++;
    return element;
  }

  end(): void {
    if (this.#next < this.#elements.length) throw new DerFault('a member too many');
  }
}

/** @returns the content of an INTEGER in shortest form, at most `maxBytes` */
export function integerBytes(element: Element, maxBytes: number): Uint8Array {
  const { content } = element;
  const first = content[0];
  if (first === undefined || content.length > maxBytes) throw new DerFault('an integer that is empty or too long');
  const second = content[1] ?? 0;
  if (content.length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
    throw new DerFault('an integer not in shortest form');
  }
  return content;
}

/** @returns an unsigned INTEGER below 2^31 */
export function smallInteger(element: Element): number {
  const content = integerBytes(element, 4);
  if (content[0]! >= 0x80) throw new DerFault('a negative integer');
  return content.reduce((value, byte) => value * 256 + byte, 0);
}

export function booleanValue(element: Element): boolean {
  const byte = element.content[0];
  if (element.content.length !== 1 || (byte !== 0 && byte !== 0xff)) throw new DerFault('no boolean');
  return byte === 0xff;
}

/** Bits of a named-bit list, first bit first. */
export function namedBits(element: Element): boolean[] {
  const unused = element.content[0];
  const bytes = element.content.subarray(1);
  if (unused === undefined || unused > 7 || (bytes.length === 0 && unused > 0) || bytes.length > 4) {
    throw new DerFault('no bit string');
  }
  const last = bytes.at(-1) ?? 0x80;
  // A named-bit list ends in a one, padded with zeroes. [X.690 §11.2]
  if ((last & ((1 << (unused + 1)) - 1)) !== 1 << unused && bytes.length > 0) {
    throw new DerFault('a bit string with a tail of zeroes');
  }
  return Array.from({ length: bytes.length * 8 - unused }, (_, i) => (bytes[i >> 3]! & (0x80 >> (i & 7))) !== 0);
}

/** Bytes of a BIT STRING that is a whole number of bytes. */
export function wholeBits(element: Element): Uint8Array {
  if (element.content[0] !== 0) throw new DerFault('a bit string that is no whole number of bytes');
  return element.content.subarray(1);
}

/** Dotted decimal; arcs of any size, as UUIDs need them. */
export function oidText(element: Element): string {
  const { content } = element;
  if (content.length === 0 || content.length > 64 || content.at(-1)! >= 0x80)
    throw new DerFault('no object identifier');
  const arcs: string[] = [];
  let arc = 0n;
  let begun = false;
  for (const byte of content) {
    if (!begun && byte === 0x80) throw new DerFault('an object identifier not in shortest form');
    begun = byte >= 0x80;
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (begun) continue;
    if (arcs.length === 0) {
      const top = arc < 40n ? 0n : arc < 80n ? 1n : 2n;
      arcs.push(`${top}`, `${arc - 40n * top}`);
    } else arcs.push(`${arc}`);
    arc = 0n;
  }
  return arcs.join('.');
}

/** Seconds since 1970 of UTCTime (1950 to 2049) or GeneralizedTime, both to the second and in UTC. [RFC 5280 §4.1.2.5] */
export function timeSeconds(element: Element): number {
  const text = String.fromCharCode(...element.content.subarray(0, 16));
  const match =
    element.tag === TAG.utcTime
      ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
      : element.tag === TAG.generalizedTime
        ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(text)
        : null;
  if (match === null) throw new DerFault('no time in UTC to the second');
  const [given, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const year = element.tag === TAG.utcTime ? given + (given < 50 ? 2000 : 1900) : given;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 59) {
    throw new DerFault('no such date');
  }
  return date.getTime() / 1000;
}

// ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const content = concat(...contents);
  return concat(Uint8Array.of(tag, ...lengthBytes(content.length)), content);
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

export const sequence = (...members: readonly Uint8Array[]): Uint8Array => der(TAG.sequence, ...members);

/** @param value not negative */
export function integer(value: number | bigint): Uint8Array {
  let hex = value.toString(16);
  if (hex.length % 2 === 1) hex = `0${hex}`;
  const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16));
  return bytes[0]! >= 0x80 ? der(TAG.integer, Uint8Array.of(0), bytes) : der(TAG.integer, bytes);
}

export function oid(dotted: string): Uint8Array {
  const [top, second, ...rest] = dotted.split('.').map(BigInt);
  if (top === undefined || second === undefined) throw new RangeError(`no object identifier: ${dotted}`);
  const bytes: number[] = [];
  for (const arc of [top * 40n + second, ...rest]) {
    const digits = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) digits.unshift(Number(left & 0x7fn) | 0x80);
    bytes.push(...digits);
  }
  return der(TAG.oid, Uint8Array.from(bytes));
}

/** UTCTime through 2049, GeneralizedTime from 2050 on. [RFC 5280 §4.1.2.5] */
export function time(epochSeconds: number): Uint8Array {
  const digits = new Date(epochSeconds * 1000).toISOString().replace(/[-:T]|\.\d+/g, '');
  const utc = digits < '2050';
  return der(utc ? TAG.utcTime : TAG.generalizedTime, ascii(utc ? digits.slice(2) : digits));
}

export function bitString(bytes: Uint8Array, unusedBits = 0): Uint8Array {
  return der(TAG.bitString, Uint8Array.of(unusedBits), bytes);
}

export function ascii(text: string): Uint8Array {
  if (!/^[\x20-\x7e]*$/.test(text)) throw new RangeError('not ASCII');
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}
