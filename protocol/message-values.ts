/**
 * The kinds of values that messages share: sizes, ids, reasons, purposes. What travels where: messages.ts.
 */
import { array, bytes, choice, text, type Value } from './schema.ts';
import type { DeviceId } from './units.ts';

export const NONCE_BYTES = 16;
export const SID_BYTES = 8;
export const INSTANCE_BYTES = 8;
export const MAX_CERTIFICATE_BYTES = 4096;
export const MAX_CHAIN = 5;

export const nonce = bytes(NONCE_BYTES);
export const sid = bytes(SID_BYTES);
export const sha256 = bytes(32);
export const device = text<DeviceId>(1, 64);
export const certificateChain = array(bytes(1, MAX_CERTIFICATE_BYTES), 1, MAX_CHAIN);
export const LAST_EPOCH = 0xffff_ffff;

/** Why a connect was refused, a session ended or a channel closed: the closed set of reasons that cross the wire. */
export const Reason = choice({
  done: 0,
  unreachable: 1,
  forbidden: 2,
  'no-common-suite': 3,
  'refused-by-policy': 4,
  'refused-by-user': 5,
  busy: 6,
  timeout: 7,
  self: 8,
  expired: 9,
  revoked: 10,
  restarted: 11,
  'not-registered': 12,
  'bad-verdict': 13,
  'verifier-away': 14,
  'internal-error': 15,
  'name-taken': 16,
  'too-many': 17,
  'authenticate-only': 18,
  shutdown: 19,
  withdrawn: 20,
  'peer-gone': 21,
  duplicate: 22,
  'user-nowhere': 23,
  'user-moved': 24,
  'user-gone': 25,
  'several-devices': 26,
  'user-elsewhere': 27,
  'bad-user': 28,
  held: 29,
  'bad-token': 30,
  void: 31,
  'not-certified': 32,
});
export type Reason = Value<typeof Reason>;

/** What the verifier found; `good` is the only good one. */
export const VerdictReason = choice({
  good: 0,
  expired: 1,
  'not-yet-valid': 2,
  revoked: 3,
  'unknown-issuer': 4,
  'bad-signature': 5,
  'wrong-purpose': 6,
  'not-a-leaf': 7,
  malformed: 8,
  'weak-key': 9,
  'wrong-name': 10,
  'chain-too-long': 11,
  'constraint-violated': 12,
  'unknown-critical-extension': 13,
  'revocation-unknown': 14,
  'weak-signature': 15,
  'work-limit': 16,
});
export type VerdictReason = Value<typeof VerdictReason>;

/** `renewal`: a device whose certificate may have run out, and nothing else may be wrong. */
export const Purpose = choice({ device: 0, manager: 1, user: 2, renewal: 3 });
export type Purpose = Value<typeof Purpose>;
