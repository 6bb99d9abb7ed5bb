/**
 * The first payload byte on `m`, `d` and `p` topics says what follows (design §5.1): an EDHOC message, a resumption, the
 * hint that a context is unknown, a word that there is too much to do, or a record.
 */
import { concat } from './bytes.ts';
import { ProtocolError } from './errors.ts';

const KINDS = {
  message1: 0xe1,
  message2: 0xe2,
  message3: 0xe3,
  message4: 0xe4,
  error: 0xe0,
  resume: 0xd1,
  resumed: 0xd2,
  busy: 0xd3,
} as const;
export const HINT = 0xd0;
const LAST_RECORD_FLAG = 0x7f;

export type ExchangeKind = keyof typeof KINDS;
const byByte = new Map<number, ExchangeKind>(
  (Object.entries(KINDS) as [ExchangeKind, number][]).map(([k, v]) => [v, k]),
);

export const EXCHANGE_ID_BYTES = 8;
/** Limit for a link that has not logged in (design §5.1). */
export const MAX_EXCHANGE_FRAME_BYTES = 8 * 1024;
/** Limit for a record with its overhead. */
export const MAX_RECORD_BYTES = 128 * 1024;

export type Frame =
  | { readonly kind: ExchangeKind; readonly exchange: Uint8Array; readonly body: Uint8Array }
  | { readonly kind: 'hint' }
  | { readonly kind: 'record'; readonly record: Uint8Array };

export function encodeFrame(kind: ExchangeKind, exchange: Uint8Array, body: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(KINDS[kind]), exchange, body);
}

/** The manager's answer in an exchange that a device has begun and has now to go on with. */
export const isAnswer = (payload: Uint8Array): boolean => payload[0] === KINDS.message2 || payload[0] === KINDS.resumed;

export const HINT_FRAME: Uint8Array = Uint8Array.of(HINT);

/** @throws ProtocolError malformed | tooLarge */
export function decodeFrame(payload: Uint8Array): Frame {
  const first = payload[0];
  if (first === undefined) throw new ProtocolError('malformed', 'an empty payload');
  if (first <= LAST_RECORD_FLAG) {
    if (payload.length > MAX_RECORD_BYTES) throw new ProtocolError('tooLarge', `a record of ${payload.length} bytes`);
    return { kind: 'record', record: payload };
  }
  if (first === HINT) {
    if (payload.length !== 1) throw new ProtocolError('malformed', 'a hint with a body');
    return { kind: 'hint' };
  }
  const kind = byByte.get(first);
  if (kind === undefined) throw new ProtocolError('malformed', 'an unknown first byte');
  if (payload.length > MAX_EXCHANGE_FRAME_BYTES)
    throw new ProtocolError('tooLarge', `${payload.length} bytes in an exchange`);
  if (payload.length <= EXCHANGE_ID_BYTES) throw new ProtocolError('malformed', 'no exchange id');
  return { kind, exchange: payload.subarray(1, 1 + EXCHANGE_ID_BYTES), body: payload.subarray(1 + EXCHANGE_ID_BYTES) };
}
