/**
 * Strict deterministic CBOR in one pass: the decoder refuses whatever has a second spelling or costs too much, the
 * encoder writes only what the decoder accepts. Integers of 64 bits, byte strings, text, arrays, maps with integer or
 * text keys, false, true, null; nothing else. @spec RFC 8949 §4.2.1
 *
 * Why not a package: the known ones are neither strict nor deterministic, so a scan of the same bytes would have to go
 * before them, and two parsers can differ. docs/decisions/0004-own-cbor.md has the measurement.
 */
import { ProtocolError } from './errors.ts';

export type CborItem =
  | number
  | bigint
  | string
  | boolean
  | null
  | Uint8Array
  | readonly CborItem[]
  | ReadonlyMap<number | string, CborItem>;

export interface CborLimits {
  readonly maxBytes: number;
  readonly maxDepth: number;
}

/** Implementation limits for one message. */
export const MESSAGE_LIMITS: CborLimits = { maxBytes: 16 * 1024, maxDepth: 8 };

const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;

const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;

const TWO_32 = 0x1_0000_0000;
const TWO_64 = 1n << 64n;

/**
 * Encodes one item. Map keys must come in canonical order (ascending labels); the schema kit sees to it.
 * @returns a fresh array of exactly the bytes, that the caller owns and may wipe: no copy stays anywhere
 * @throws  RangeError for what the profile does not have (fractions, integers past 64 bits, keys out of order): our bug
 */
export function encode(item: CborItem): Uint8Array {
  return encodeSequence([item]);
}

/** Encodes items one after the other; as `encode`. @spec RFC 8742 */
export function encodeSequence(items: readonly CborItem[]): Uint8Array {
  let length = 0;
  for (const item of items) length += sizeOf(item);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const item of items) at = write(bytes, at, item);
  return bytes;
}

/**
 * Decodes exactly one item.
 * @returns integers as number up to ±(2^53 − 1) and as bigint beyond; byte strings as views of `bytes`
 * @throws  ProtocolError malformed | tooLarge
 */
export function decode(bytes: Uint8Array, limits: CborLimits = MESSAGE_LIMITS): CborItem {
  checkSize(bytes, limits);
  const reader: Reader = { bytes, at: 0 };
  const item = readItem(reader, limits.maxDepth);
  if (reader.at !== bytes.length) throw malformed(`${bytes.length - reader.at} bytes after the item`);
  return item;
}

/** Decodes a sequence of items, possibly empty. @throws ProtocolError malformed | tooLarge @spec RFC 8742 */
export function decodeSequence(bytes: Uint8Array, limits: CborLimits = MESSAGE_LIMITS): CborItem[] {
  checkSize(bytes, limits);
  const reader: Reader = { bytes, at: 0 };
  const items: CborItem[] = [];
  while (reader.at < bytes.length) items.push(readItem(reader, limits.maxDepth));
  return items;
}

function checkSize(bytes: Uint8Array, limits: CborLimits): void {
  if (bytes.length > limits.maxBytes) {
    throw new ProtocolError('tooLarge', `${bytes.length} bytes of CBOR, at most ${limits.maxBytes}`);
  }
}

function malformed(detail: string): ProtocolError {
  return new ProtocolError('malformed', detail);
}

interface Reader {
  readonly bytes: Uint8Array;
  at: number;
}

function readItem(reader: Reader, depthLeft: number): CborItem {
  const initial = reader.bytes[reader.at];
  if (initial === undefined) throw malformed('the item ends early');
  const major = initial >> 5;
  if (major > MAP) return readSimple(reader, initial);
  const argument = readArgument(reader, initial & 0x1f);
  if (major === UNSIGNED) return argument;
  if (major === NEGATIVE) {
    if (typeof argument === 'bigint') return -1n - argument;
    return argument < Number.MAX_SAFE_INTEGER ? -1 - argument : -1n - BigInt(argument);
  }
  // Every element takes a byte at least, so a count beyond the rest is refused before anything is made for it.
  if (argument > reader.bytes.length - reader.at) throw malformed('a length beyond the end');
  const length = Number(argument);
  if (major === BYTES) return readView(reader, length);
  if (major === TEXT) return readText(reader, length);
  if (depthLeft <= 1) throw malformed('nested too deeply');
  return major === ARRAY ? readArray(reader, length, depthLeft - 1) : readMap(reader, length, depthLeft - 1);
}

function readSimple(reader: Reader, initial: number): boolean | null {
  reader.at++;
  if (initial === FALSE) return false;
  if (initial === TRUE) return true;
  if (initial === NULL) return null;
  throw malformed(initial >> 5 === TAG ? 'a tag' : 'a float, undefined or unassigned simple value');
}

/** Reads the argument of the initial byte; shortest form only. @spec RFC 8949 §3, §4.2.1 */
function readArgument(reader: Reader, info: number): number | bigint {
  const { bytes, at } = reader;
  if (info < 24) {
    reader.at = at + 1;
    return info;
  }
  if (info > 27) throw malformed('an indefinite or reserved length');
  const size = 1 << (info - 24);
  const end = at + 1 + size;
  if (end > bytes.length) throw malformed('the item ends early');
  reader.at = end;
  if (size === 8) {
    const high = readUint32(bytes, at + 1);
    const low = readUint32(bytes, at + 5);
    if (high === 0) throw malformed('an integer not in shortest form');
    return high < 0x20_0000 ? high * TWO_32 + low : (BigInt(high) << 32n) | BigInt(low);
  }
  let value = 0;
  for (let i = at + 1; i < end; i++) value = value * 256 + bytes[i]!;
  if (value < (size === 1 ? 24 : size === 2 ? 0x100 : 0x1_0000)) throw malformed('an integer not in shortest form');
  return value;
}

function readUint32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

function readView(reader: Reader, length: number): Uint8Array {
  const { bytes, at } = reader;
  reader.at = at + length;
  return new Uint8Array(bytes.buffer, bytes.byteOffset + at, length);
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Up to here, building the string by characters is faster than calling the decoder. */
const SHORT_TEXT = 32;

function readText(reader: Reader, length: number): string {
  if (length <= SHORT_TEXT) {
    const { bytes, at } = reader;
    let text = '';
    let i = 0;
    for (; i < length; i++) {
      const byte = bytes[at + i]!;
      if (byte > 0x7f) break;
      text += String.fromCharCode(byte);
    }
    if (i === length) {
      reader.at = at + length;
      return text;
    }
  }
  try {
    return utf8.decode(readView(reader, length));
  } catch {
    throw malformed('text that is not UTF-8');
  }
}

function readArray(reader: Reader, length: number, depthLeft: number): CborItem[] {
  const items: CborItem[] = [];
  for (let i = 0; i < length; i++) items.push(readItem(reader, depthLeft));
  return items;
}

function readMap(reader: Reader, length: number, depthLeft: number): Map<number | string, CborItem> {
  const map = new Map<number | string, CborItem>();
  let previous = -1;
  let previousEnd = -1;
  for (let i = 0; i < length; i++) {
    const start = reader.at;
    const key = readItem(reader, depthLeft);
    if (typeof key !== 'number' && typeof key !== 'string') {
      throw malformed('a map key that is neither an integer below 2^53 nor text');
    }
    if (previous >= 0 && !ascends(reader.bytes, previous, previousEnd, start, reader.at)) {
      throw malformed('map keys out of order or doubled');
    }
    previous = start;
    previousEnd = reader.at;
    map.set(key, readItem(reader, depthLeft));
  }
  return map;
}

/** Bytewise lexicographic order of the encoded keys. @spec RFC 8949 §4.2.1 */
function ascends(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): boolean {
  const length = Math.min(aEnd - a, bEnd - b);
  for (let i = 0; i < length; i++) {
    if (bytes[a + i]! !== bytes[b + i]!) return bytes[a + i]! < bytes[b + i]!;
  }
  return aEnd - a < bEnd - b;
}

function sizeOf(item: CborItem): number {
  switch (typeof item) {
    case 'number':
      if (!Number.isSafeInteger(item)) throw new RangeError(`${item} has no place on the wire: integers only`);
      return headSize(item < 0 ? -1 - item : item);
    case 'bigint':
      if (item >= TWO_64 || item < -TWO_64) throw new RangeError('an integer past 64 bits has no place on the wire');
      return headSize(argumentOf(item));
    case 'string': {
      const length = utf8Length(item);
      return headSize(length) + length;
    }
    case 'boolean':
      return 1;
    case 'object':
      break;
    default:
      throw new RangeError(`${typeof item} has no place on the wire`);
  }
  if (item === null) return 1;
  if (item instanceof Uint8Array) return headSize(item.length) + item.length;
  if (item instanceof Map) {
    let size = headSize(item.size);
    for (const [key, value] of item) size += sizeOf(key) + sizeOf(value);
    return size;
  }
  if (!Array.isArray(item)) throw new RangeError('an object that is no array, map or byte string');
  let size = headSize(item.length);
  for (const element of item) size += sizeOf(element);
  return size;
}

function headSize(argument: number | bigint): number {
  if (argument < 24) return 1;
  if (argument < 0x100) return 2;
  if (argument < 0x1_0000) return 3;
  return argument < TWO_32 ? 5 : 9;
}

/** A bigint that a number can hold is written as the number would be: one value, one spelling. */
function argumentOf(value: bigint): number | bigint {
  const argument = value < 0n ? -1n - value : value;
  return argument <= Number.MAX_SAFE_INTEGER ? Number(argument) : argument;
}

function write(bytes: Uint8Array, at: number, item: CborItem): number {
  if (typeof item === 'number')
    return item < 0 ? writeHead(bytes, at, NEGATIVE, -1 - item) : writeHead(bytes, at, UNSIGNED, item);
  if (typeof item === 'bigint') return writeHead(bytes, at, item < 0n ? NEGATIVE : UNSIGNED, argumentOf(item));
  if (typeof item === 'string') return writeText(bytes, at, item);
  if (item === null || typeof item === 'boolean') {
    bytes[at] = item === null ? NULL : item ? TRUE : FALSE;
    return at + 1;
  }
  if (item instanceof Uint8Array) {
    const start = writeHead(bytes, at, BYTES, item.length);
    bytes.set(item, start);
    return start + item.length;
  }
  if (item instanceof Map) return writeMap(bytes, at, item);
  const elements = item as readonly CborItem[];
  let end = writeHead(bytes, at, ARRAY, elements.length);
  for (const element of elements) end = write(bytes, end, element);
  return end;
}

function writeMap(bytes: Uint8Array, at: number, map: ReadonlyMap<number | string, CborItem>): number {
  let end = writeHead(bytes, at, MAP, map.size);
  let previous = -1;
  let previousEnd = -1;
  for (const [key, value] of map) {
    const start = end;
    end = write(bytes, start, key);
    if (previous >= 0 && !ascends(bytes, previous, previousEnd, start, end)) {
      throw new RangeError(`map key ${key} out of canonical order`);
    }
    previous = start;
    previousEnd = end;
    end = write(bytes, end, value);
  }
  return end;
}

function writeHead(bytes: Uint8Array, at: number, major: number, argument: number | bigint): number {
  const type = major << 5;
  if (argument < 24) {
    bytes[at] = type | Number(argument);
    return at + 1;
  }
  if (argument < 0x100) {
    bytes[at] = type | 24;
    bytes[at + 1] = Number(argument);
    return at + 2;
  }
  if (argument < 0x1_0000) {
    bytes[at] = type | 25;
    bytes[at + 1] = Number(argument) >> 8;
    bytes[at + 2] = Number(argument);
    return at + 3;
  }
  if (argument < TWO_32) {
    bytes[at] = type | 26;
    writeUint32(bytes, at + 1, Number(argument));
    return at + 5;
  }
  const whole = BigInt(argument);
  bytes[at] = type | 27;
  writeUint32(bytes, at + 1, Number(whole >> 32n));
  writeUint32(bytes, at + 5, Number(whole & 0xffff_ffffn));
  return at + 9;
}

function writeUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    length += unit < 0x800 ? 1 : 2;
    // A pair of surrogates is two units and four bytes; one alone has no spelling in UTF-8.
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const next = text.charCodeAt(++i);
    if (unit > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff)) throw new RangeError('text with half a surrogate pair');
  }
  return length;
}

const utf8Encoder = new TextEncoder();

function writeText(bytes: Uint8Array, at: number, text: string): number {
  const length = utf8Length(text);
  const start = writeHead(bytes, at, TEXT, length);
  if (length !== text.length || length > 4 * SHORT_TEXT) utf8Encoder.encodeInto(text, bytes.subarray(start));
  else for (let i = 0; i < length; i++) bytes[start + i] = text.charCodeAt(i);
  return start + length;
}
