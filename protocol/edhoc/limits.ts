/**
 * Implementation limits of the EDHOC messages; the specification sets none.
 */
import { type CborItem, type CborLimits, decodeSequence } from '../cbor.ts';
import { ProtocolError } from '../errors.ts';

/** One message, and so one plaintext: below 255 hashes, the most that KEYSTREAM_2 can be. */
export const EDHOC_LIMITS: CborLimits = { maxBytes: 8 * 1024, maxDepth: 4 };

/** @throws RangeError when a message of our own is longer than a peer would read: a chain too long, our fault */
export function checkOwnSize(message: Uint8Array): Uint8Array {
  if (message.length > EDHOC_LIMITS.maxBytes) {
    throw new RangeError(`an EDHOC message of ${message.length} bytes, at most ${EDHOC_LIMITS.maxBytes}`);
  }
  return message;
}

/** Reads a message that is one byte string: message_2, 3 and 4. @throws ProtocolError malformed | tooLarge */
export function decodeOneByteString(message: Uint8Array, name: string): Uint8Array {
  const [bytes, ...rest]: readonly (CborItem | undefined)[] = decodeSequence(message, EDHOC_LIMITS);
  if (!(bytes instanceof Uint8Array) || rest.length > 0) {
    throw new ProtocolError('malformed', `${name} is not one byte string`);
  }
  return bytes;
}
