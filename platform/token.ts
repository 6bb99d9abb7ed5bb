/**
 * The token by which a service proves itself to the broker: the only line of a file.
 */
import { decodeUtf8 } from '../protocol/bytes.ts';

const MIN_CHARACTERS = 16;

/** Ends a sentence that begins with the path. */
export const TOKEN_RULE = `must hold one line of at least ${MIN_CHARACTERS} characters`;

/** @returns the token without its line break, or null when the contents of the file break the rule */
export function tokenIn(contents: Uint8Array): string | null {
  try {
    const token = decodeUtf8(contents).trim();
    return token.length < MIN_CHARACTERS || /\s/.test(token) ? null : token;
  } catch {
    return null;
  }
}
