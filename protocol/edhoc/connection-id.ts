/**
 * Connection identifiers C_I and C_R: byte strings, of which those that are a one-byte CBOR integer travel as it.
 * @spec RFC 9528 §3.3.2
 */
import { type CborItem, decode, encode } from '../cbor.ts';
import { ProtocolError } from '../errors.ts';

/** Implementation limit. */
const MOST_BYTES = 32;

/** @returns the item that stands for it: an integer of −24 to 23, or the byte string itself */
export function connectionIdItem(id: Uint8Array): CborItem {
  return isOneByteInteger(id) ? decode(id) : id;
}

/** @throws ProtocolError malformed, also for the long form of what has a short one */
export function parseConnectionId(item: CborItem | undefined): Uint8Array {
  if (typeof item === 'number' && item >= -24 && item <= 23) return encode(item);
  if (item instanceof Uint8Array && item.length <= MOST_BYTES && !isOneByteInteger(item)) return item;
  throw new ProtocolError('malformed', 'no connection identifier in its shortest form');
}

/** 0x00–0x17 are 0 to 23, 0x20–0x37 are −1 to −24. */
function isOneByteInteger(id: Uint8Array): boolean {
  const byte = id[0];
  return id.length === 1 && byte !== undefined && (byte <= 0x17 || (byte >= 0x20 && byte <= 0x37));
}
