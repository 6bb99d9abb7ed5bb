/**
 * Byte strings: joining, comparing, slicing, text. Nothing here knows a message.
 */

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const EMPTY: Uint8Array = new Uint8Array(0);

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}

/** Compares public values; for secrets and MACs take `equalInConstantTime`. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Compares without a branch on the contents; only the lengths may be learnt from the time it takes. */
export function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** Overwrites a key with zeroes. A copy that was made of it elsewhere stays. */
export function wipe(...secrets: readonly Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0);
}

/**
 * Takes a fresh key out of the way of the garbage collector: V8 keeps arrays of up to 64 bytes in its own heap, moves them,
 * and leaves a copy behind each time, which no wipe reaches.
 * @returns the same bytes in memory that stays where it is; the source is erased
 */
export function pinned(secret: Uint8Array): Uint8Array {
  const still = new Uint8Array(new ArrayBuffer(secret.length));
  still.set(secret);
  secret.fill(0);
  return still;
}

export function encodeUtf8(text: string): Uint8Array {
  return utf8Encoder.encode(text);
}

/** @throws TypeError when the bytes are not valid UTF-8 */
export function decodeUtf8(bytes: Uint8Array): string {
  return utf8Decoder.decode(bytes);
}

/** Bytes that the text has in UTF-8, without encoding it. */
export function utf8Length(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // Two units of a pair make four bytes, every other unit from U+0800 on three.
    length += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
  }
  return length;
}

const HEX_DIGITS: readonly number[] = Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));
/** So many characters fit into one call as arguments, with room to spare. */
const MAX_HEX_PART = 4096;

/** For public values only: a hex copy of a key cannot be erased. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (let from = 0; from < bytes.length; from += MAX_HEX_PART / 2) {
    const part = bytes.subarray(from, from + MAX_HEX_PART / 2);
    const codes = new Array<number>(2 * part.length);
    for (let i = 0; i < part.length; i++) {
      codes[2 * i] = HEX_DIGITS[part[i]! >> 4]!;
      codes[2 * i + 1] = HEX_DIGITS[part[i]! & 15]!;
    }
    // one flat text: the pieces of a sum would be joined anew by whoever looks it up
    text += String.fromCharCode(...codes);
  }
  return text;
}

/** @param at  of a hex digit */
function nibble(text: string, at: number): number {
  const code = text.charCodeAt(at);
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57;
}

/** @throws RangeError when the text is not an even number of hex digits */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 !== 0 || /[^0-9a-fA-F]/.test(text)) throw new RangeError('not an even number of hex digits');
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = nibble(text, 2 * i) * 16 + nibble(text, 2 * i + 1);
  return bytes;
}
