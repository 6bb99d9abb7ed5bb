/**
 * The names by which users are asked for: `user:` and the user's id, which is a common name or a mail address of the
 * certificate (P21).
 */
import { mailName } from './names.ts';

/** In one spelling: the domain of a mail address is compared without case. @spec RFC 5321 §2.4 */
export function canonicalUser(text: string): string {
  return text.includes('@') ? (mailName(text)?.slice('mail:'.length) ?? text) : text;
}

const PREFIX = 'user:';

/** @returns the user whom a name asks for; null: it asks for a device */
export const userAsked = (name: string): string | null =>
  name.startsWith(PREFIX) ? canonicalUser(name.slice(PREFIX.length)) : null;
