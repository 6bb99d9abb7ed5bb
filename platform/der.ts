/**
 * The scan in front of the ASN.1 library: bytes pass only if they are exactly one object in DER, within bounds. The
 * library reads BER, where one object has many spellings. No recursion: linear in the bytes. @spec ITU-T X.690 §10, §11
 */

/** Bytes that are not the DER wanted here. */
export class DerFault extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'DerFault';
  }
}

export interface Span {
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
  numeric: 0x12,
  printable: 0x13,
  teletex: 0x14,
  ia5: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visible: 0x1a,
  universal: 0x1c,
  bmp: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Tag of a context-specific constructed element. */
export const explicit = (number: number): number => 0xa0 | number;
/** Tag of a context-specific primitive element. */
export const implicit = (number: number): number => 0x80 | number;

/** Name constraints with a directory name need nine. */
const MAX_DEPTH = 16;
const MAX_OID_BYTES = 64;
const UNIVERSAL_TAGS: ReadonlySet<number> = new Set(Object.values(TAG));

/**
 * Refuses what is not exactly one object in DER.
 * @param maxElements  elements at all depths
 * @returns            the outermost one
 * @throws DerFault
 */
export function scanDer(bytes: Uint8Array, maxElements: number): Span {
  const outermost = spanAt(bytes, 0, bytes.length);
  if (outermost.raw.length !== bytes.length) throw new DerFault('bytes behind the end');
  const open: { end: number; previous: Uint8Array | null; readonly isSet: boolean }[] = [];
  let at = 0;
  for (let count = 1; at < bytes.length; count++) {
    if (count > maxElements) throw new DerFault('too many elements');
    const parent = open.at(-1);
    const { tag, raw, content } = spanAt(bytes, at, parent?.end ?? bytes.length);
    if (parent?.isSet) {
      if (parent.previous !== null && !isBefore(parent.previous, raw)) throw new DerFault('a set out of order');
      parent.previous = raw;
    }
    checkElement(tag, content);
    at += raw.length;
    if ((tag & 0x20) !== 0) {
      if (open.length === MAX_DEPTH) throw new DerFault('a nest too deep');
      open.push({ end: at, previous: null, isSet: tag === TAG.set });
      at -= content.length;
    }
    while (open.at(-1)?.end === at) open.pop();
  }
  return outermost;
}

/** The elements of a content, possibly none. @throws DerFault when they are no DER; a scanned content never faults */
export function spansOf(content: Uint8Array): Span[] {
  const spans: Span[] = [];
  for (let at = 0; at < content.length; ) {
    const span = spanAt(content, at, content.length);
    spans.push(span);
    at += span.raw.length;
  }
  return spans;
}

/** Single-byte tag, definite length in shortest form. @throws DerFault */
function spanAt(bytes: Uint8Array, at: number, limit: number): Span {
  const tag = bytes[at];
  const first = bytes[at + 1];
  if (tag === undefined || first === undefined || at + 2 > limit) throw new DerFault('ends early');
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
  if (end > limit) throw new DerFault('a length beyond the end');
  return { tag, raw: bytes.subarray(at, end), content: bytes.subarray(start, end) };
}

/** Ascending as byte strings, the shorter one padded with zeroes; equal ones do not ascend. [X.690 §11.6] */
export function isBefore(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** Contents of universal types that have more than one spelling in BER. */
function checkElement(tag: number, content: Uint8Array): void {
  if ((tag & 0xc0) !== 0) return;
  if (!UNIVERSAL_TAGS.has(tag)) throw new DerFault(`a type that certificates do not have, tag ${tag}`);
  switch (tag) {
    case TAG.boolean:
      if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new DerFault('no boolean');
      break;
    case TAG.integer:
    case TAG.enumerated:
      checkInteger(content);
      break;
    case TAG.bitString:
      checkBitString(content);
      break;
    case TAG.null:
      if (content.length > 0) throw new DerFault('no null');
      break;
    case TAG.oid:
      checkOid(content);
      break;
    case TAG.utcTime:
    case TAG.generalizedTime:
      checkTime(tag, content);
      break;
  }
}

function checkInteger([first, second]: Uint8Array): void {
  if (first === undefined) throw new DerFault('an empty integer');
  const isPadded = second !== undefined && (first === 0 ? second < 0x80 : first === 0xff && second >= 0x80);
  if (isPadded) throw new DerFault('an integer not in shortest form');
}

/** At most 7 unused bits, all of them zero. [X.690 §11.2.1] */
function checkBitString(content: Uint8Array): void {
  const unused = content[0];
  const last = content.length > 1 ? content.at(-1)! : 0;
  if (unused === undefined || unused > 7 || (content.length === 1 && unused > 0) || (last & ((1 << unused) - 1)) !== 0)
    throw new DerFault('no bit string');
}

function checkOid(content: Uint8Array): void {
  if (content.length === 0 || content.length > MAX_OID_BYTES || content.at(-1)! >= 0x80)
    throw new DerFault('no object identifier');
  for (const [i, byte] of content.entries()) {
    if (byte === 0x80 && (i === 0 || content[i - 1]! < 0x80))
      throw new DerFault('an object identifier not in shortest form');
  }
}

/** To the second and in UTC, a date that exists. [RFC 5280 §4.1.2.5] */
function checkTime(tag: number, content: Uint8Array): void {
  const yearDigits = tag === TAG.utcTime ? 2 : 4;
  if (content.length !== yearDigits + 11 || content.at(-1) !== 0x5a) throw new DerFault('no time in UTC to the second');
  if (content.subarray(0, -1).some((byte) => byte < 0x30 || byte > 0x39)) throw new DerFault('a time without digits');
  const pair = (i: number): number => (content[i]! - 0x30) * 10 + content[i + 1]! - 0x30;
  const [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map((i) => pair(yearDigits + i)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  // The century of UTCTime does not matter here: its only year 00 is 2000. [RFC 5280 §4.1.2.5.1]
  const year = tag === TAG.utcTime ? 2000 + pair(0) : pair(0) * 100 + pair(2);
  const isLeap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  const days = month === 2 ? (isLeap ? 29 : 28) : [4, 6, 9, 11].includes(month) ? 30 : 31;
  // The library reads a year below 100 as one of the 20th century.
  const isDate = year >= 100 && month >= 1 && month <= 12 && day >= 1 && day <= days;
  if (!isDate || hour > 23 || minute > 59 || second > 59) throw new DerFault('no such date');
}
