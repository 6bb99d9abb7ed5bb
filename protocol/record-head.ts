/**
 * The head of a record: `flags | partial IV (1–5 B, shortest) | [route 1 B]`, readable without a key (design §5.3).
 *
 *   flags   bit 7: 0   bits 6–5: type   bit 4: epoch   bit 3: a route follows   bits 2–0: bytes of the partial IV, 1 to 5
 */
import { ProtocolError } from './errors.ts';
import { partialIvBytes } from './oscore.ts';

export const RECORD_TYPES = { data: 0, control: 1 } as const;
export type RecordType = keyof typeof RECORD_TYPES;
export type EpochBit = 0 | 1;

const TYPE_SHIFT = 5;
const EPOCH_SHIFT = 4;
const ROUTE_FLAG = 0x08;
const LENGTH_MASK = 0x07;
const MAX_LENGTH = 5;

export interface RecordHead {
  readonly flags: number;
  readonly type: RecordType;
  readonly epochBit: EpochBit;
  /** Tells several sessions of one pair apart; null for the first, and on a channel. */
  readonly route: number | null;
  /** The sender sequence number, up to 2^40 − 1. Nothing here is authenticated yet. */
  readonly sequence: number;
  readonly partialIv: Uint8Array;
  /** Where the ciphertext begins. */
  readonly bytes: number;
}

/** @throws ProtocolError malformed */
export function readRecordHead(record: Uint8Array): RecordHead {
  const flags = record[0];
  if (flags === undefined) throw new ProtocolError('malformed', 'an empty record');
  if (flags > 0x7f) throw new ProtocolError('malformed', 'the first byte is not that of a record');
  const type = typeOf((flags >> TYPE_SHIFT) & 3);
  const length = flags & LENGTH_MASK;
  if (length === 0 || length > MAX_LENGTH) throw new ProtocolError('malformed', `a partial IV of ${length} bytes`);
  const routed = (flags & ROUTE_FLAG) !== 0;
  const bytes = 1 + length + (routed ? 1 : 0);
  if (record.length < bytes) throw new ProtocolError('malformed', 'the record ends inside its head');
  if (length > 1 && record[1] === 0) throw new ProtocolError('malformed', 'a partial IV not in shortest form');
  let sequence = 0;
  for (let i = 1; i <= length; i++) sequence = sequence * 256 + record[i]!;
  return {
    flags,
    type,
    epochBit: ((flags >> EPOCH_SHIFT) & 1) as EpochBit,
    route: routed ? record[1 + length]! : null,
    sequence,
    partialIv: record.subarray(1, 1 + length),
    bytes,
  };
}

function typeOf(number: number): RecordType {
  if (number === RECORD_TYPES.data) return 'data';
  if (number === RECORD_TYPES.control) return 'control';
  throw new ProtocolError('malformed', `record type ${number} is reserved`);
}

/** Bytes of the head that `writeRecordHead` will write. */
export function recordHeadBytes(sequence: number, route: number | null): number {
  return 1 + partialIvBytes(sequence) + (route === null ? 0 : 1);
}

/** Writes the head to the front of `record`, which has room for it. @returns the partial IV, a view of `record` */
export function writeRecordHead(
  record: Uint8Array,
  type: RecordType,
  epochBit: EpochBit,
  sequence: number,
  route: number | null,
): Uint8Array {
  const length = partialIvBytes(sequence);
  record[0] =
    (RECORD_TYPES[type] << TYPE_SHIFT) | (epochBit << EPOCH_SHIFT) | (route === null ? 0 : ROUTE_FLAG) | length;
  let rest = sequence;
  for (let i = length; i >= 1; i--) {
    record[i] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  if (route !== null) record[1 + length] = route;
  return record.subarray(1, 1 + length);
}
