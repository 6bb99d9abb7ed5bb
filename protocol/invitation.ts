/**
 * An invitation as one string: all that a device needs to enrol, for a terminal, a file or a QR code. Whoever has it can
 * enrol one device under the name that the operator chose, so it is as secret as a password.
 */
import { equal } from './bytes.ts';
import type { Crypto } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import { TOKEN_BYTES } from './messages.ts';
import { bytes, message, optional, required, text, type Value } from './schema.ts';

const Invitation = message('Invitation', null, 'what an invitation says', {
  broker: required(1, text(1, 255), 'URL of the broker'),
  manager: required(2, text(1, 128), 'name of the manager'),
  anchor: required(3, bytes(32), 'SHA-256 of the trust anchor under which the manager stands'),
  token: optional(4, bytes(TOKEN_BYTES), 'absent: for devices that show a certificate of their own'),
  root: optional(5, text(1, 32), 'first segment of every topic; absent: km1'),
  name: optional(6, text(1, 64), 'of the device; for * it puts a part of its own; absent: the device says it all'),
});
export type Invitation = Value<typeof Invitation>;

/** Before the text: which kind of string this is, whatever becomes of it. */
export const INVITATION_PREFIX = 'kagimori-';
const CHECK_BYTES = 4;
const MAX_CHARACTERS = 1024;

/** @returns `kagimori-` and base64url of CBOR and four bytes of its SHA-256 */
export function writeInvitation(crypto: Crypto, invitation: Invitation): string {
  const content = Invitation.encode(invitation);
  const check = crypto.hash('sha-256', content).subarray(0, CHECK_BYTES);
  return INVITATION_PREFIX + toBase64Url([...content, ...check]);
}

/** White space around and inside is passed over: terminals and mail break lines. @throws ProtocolError malformed */
export function readInvitation(crypto: Crypto, given: string): Invitation {
  const compact = given.replace(/\s+/g, '');
  if (!compact.startsWith(INVITATION_PREFIX)) throw fault(`an invitation begins with ${INVITATION_PREFIX}`);
  const raw = compact.length > MAX_CHARACTERS ? null : fromBase64Url(compact.slice(INVITATION_PREFIX.length));
  if (raw === null || raw.length <= CHECK_BYTES) throw fault('the invitation is not whole: copy all of it');
  const content = raw.subarray(0, -CHECK_BYTES);
  const check = crypto.hash('sha-256', content).subarray(0, CHECK_BYTES);
  if (!equal(check, raw.subarray(-CHECK_BYTES))) throw fault('the invitation is not whole: copy all of it');
  return Invitation.decode(content.slice());
}

const fault = (detail: string): ProtocolError => new ProtocolError('malformed', detail);

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** @spec RFC 4648 §5, without padding */
function toBase64Url(raw: readonly number[]): string {
  let written = '';
  for (let at = 0; at < raw.length; at += 3) {
    const three = (raw[at]! << 16) | ((raw[at + 1] ?? 0) << 8) | (raw[at + 2] ?? 0);
    const digits = [18, 12, 6, 0].map((shift) => ALPHABET[(three >> shift) & 63]!);
    written += digits.slice(0, raw.length - at + 1).join('');
  }
  return written;
}

/** @returns null for other characters, and for a length or last digit that no bytes have */
function fromBase64Url(written: string): Uint8Array | null {
  const raw: number[] = [];
  let held = 0;
  let bits = 0;
  for (const digit of written) {
    const value = ALPHABET.indexOf(digit);
    if (value < 0) return null;
    held = ((held << 6) | value) & 0xffff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    raw.push((held >> bits) & 0xff);
  }
  return bits === 6 || (held & ((1 << bits) - 1)) !== 0 ? null : Uint8Array.from(raw);
}
