/**
 * Strict deterministic CBOR: a pre-scan over the bytes refuses whatever has a second spelling or costs too much, then
 * cbor-x decodes; encoding is canonical. @spec RFC 8949 §4.2.1, with integers and text as the only map keys
 */
import { Decoder, Encoder } from 'cbor-x';
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

const OPTIONS = {
  useRecords: false,
  mapsAsObjects: false,
  tagUint8Array: false,
  variableMapSize: true,
  int64AsType: 'bigint' as const,
};
const encoder = new Encoder(OPTIONS);
const decoder = new Decoder(OPTIONS);

/**
 * Encodes one item. Map keys must come in canonical order (ascending labels); the schema kit sees to it.
 * @returns a fresh array that the caller owns
 */
export function encode(item: CborItem): Uint8Array {
  const bytes = encoder.encode(item);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Encodes items one after the other. @spec RFC 8742 */
export function encodeSequence(items: readonly CborItem[]): Uint8Array {
  let length = 0;
  const parts = items.map((item) => {
    const part = encode(item);
    length += part.length;
    return part;
  });
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/**
 * Decodes exactly one item.
 * @returns integers as number, or bigint beyond 2^53; byte strings as views of `bytes`
 * @throws ProtocolError malformed | tooLarge
 */
export function decode(bytes: Uint8Array, limits: CborLimits = MESSAGE_LIMITS): CborItem {
  checkSize(bytes, limits);
  const end = scan(bytes, 0, limits.maxDepth);
  if (end !== bytes.length) throw new ProtocolError('malformed', `${bytes.length - end} bytes after the item`);
  return decoder.decode(bytes) as CborItem;
}

/** Decodes a sequence of items, possibly empty. @throws ProtocolError malformed | tooLarge @spec RFC 8742 */
export function decodeSequence(bytes: Uint8Array, limits: CborLimits = MESSAGE_LIMITS): CborItem[] {
  checkSize(bytes, limits);
  const items: CborItem[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = scan(bytes, at, limits.maxDepth);
    items.push(decoder.decode(bytes.subarray(at, end)) as CborItem);
    at = end;
  }
  return items;
}

function checkSize(bytes: Uint8Array, limits: CborLimits): void {
  if (bytes.length > limits.maxBytes) {
    throw new ProtocolError('tooLarge', `${bytes.length} bytes of CBOR, at most ${limits.maxBytes}`);
  }
}

const UNSIGNED = 0;
const NEGATIVE = 1;
const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Walks over one item and refuses: tags, floats, undefined and unassigned simple values, indefinite lengths, integers
 * not in shortest form, map keys that are no integer or text, not ascending, or doubled, invalid UTF-8, depth.
 * @returns the offset behind the item
 */
function scan(bytes: Uint8Array, start: number, depthLeft: number): number {
  const initial = bytes[start];
  if (initial === undefined) throw new ProtocolError('malformed', 'the item ends early');
  const major = initial >> 5;
  const info = initial & 0x1f;
  if (major === 7) {
    if (info === 20 || info === 21 || info === 22) return start + 1; // false, true, null
    throw new ProtocolError('malformed', 'a float, undefined or unassigned simple value');
  }
  if (major === TAG) throw new ProtocolError('malformed', 'a tag');
  const head = readHead(bytes, start, info);
  if (major === UNSIGNED || major === NEGATIVE) return head.end;
  if (head.value > bytes.length - head.end) throw new ProtocolError('malformed', 'a length beyond the end');
  if (major === BYTES || major === TEXT) {
    const end = head.end + head.value;
    if (major === TEXT) checkUtf8(bytes.subarray(head.end, end));
    return end;
  }
  if (depthLeft <= 1) throw new ProtocolError('malformed', 'nested too deeply');
  let at = head.end;
  if (major === ARRAY) {
    for (let i = 0; i < head.value; i++) at = scan(bytes, at, depthLeft - 1);
    return at;
  }
  let previousStart = -1;
  let previousEnd = -1;
  for (let i = 0; i < head.value; i++) {
    const keyStart = at;
    const keyMajor = bytes[keyStart] === undefined ? -1 : bytes[keyStart]! >> 5;
    if (keyMajor !== UNSIGNED && keyMajor !== NEGATIVE && keyMajor !== TEXT) {
      throw new ProtocolError('malformed', 'a map key that is neither integer nor text');
    }
    at = scan(bytes, keyStart, depthLeft - 1);
    if (previousStart >= 0 && !ascends(bytes, previousStart, previousEnd, keyStart, at)) {
      throw new ProtocolError('malformed', 'map keys out of order or doubled');
    }
    previousStart = keyStart;
    previousEnd = at;
    at = scan(bytes, at, depthLeft - 1);
  }
  return at;
}

function readHead(bytes: Uint8Array, start: number, info: number): { value: number; end: number } {
  if (info < 24) return { value: info, end: start + 1 };
  if (info > 27) throw new ProtocolError('malformed', 'an indefinite or reserved length');
  const size = 1 << (info - 24);
  const end = start + 1 + size;
  if (end > bytes.length) throw new ProtocolError('malformed', 'the item ends early');
  let value = 0;
  for (let i = start + 1; i < end; i++) value = value * 256 + bytes[i]!;
  const smallest = size === 1 ? 24 : size === 2 ? 0x100 : size === 4 ? 0x1_0000 : 0x1_0000_0000;
  if (value < smallest) throw new ProtocolError('malformed', 'an integer not in shortest form');
  return { value, end };
}

function checkUtf8(text: Uint8Array): void {
  for (const byte of text) {
    if (byte < 0x80) continue;
    try {
      utf8.decode(text);
      return;
    } catch {
      throw new ProtocolError('malformed', 'text that is not UTF-8');
    }
  }
}

/** Bytewise lexicographic order of the encoded keys. @spec RFC 8949 §4.2.1 */
function ascends(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): boolean {
  const length = Math.min(aEnd - a, bEnd - b);
  for (let i = 0; i < length; i++) {
    if (bytes[a + i]! !== bytes[b + i]!) return bytes[a + i]! < bytes[b + i]!;
  }
  return aEnd - a < bEnd - b;
}
