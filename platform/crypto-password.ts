/**
 * How Mosquitto keeps a password: PBKDF2 with SHA-512, `$7$iterations$salt$hash` in base64. @spec mosquitto_passwd(1)
 */
import { pbkdf2Sync } from 'node:crypto';

/** Mosquitto's own number. Passwords of ours are random, 192 bits: stretching adds nothing to them. */
const ITERATIONS = 101;
const HASH_BYTES = 64;
export const SALT_BYTES = 12;

/** @param salt SALT_BYTES, random */
export function mosquittoHash(password: string, salt: Uint8Array): string {
  const hash = pbkdf2Sync(password, salt, ITERATIONS, HASH_BYTES, 'sha512');
  return `$7$${ITERATIONS}$${Buffer.from(salt).toString('base64')}$${hash.toString('base64')}`;
}
