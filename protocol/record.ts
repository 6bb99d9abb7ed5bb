/**
 * The record layer of channels and sessions: `flags | partial IV | [route] | ciphertext | tag` (design §5.3). Sealing and
 * opening cost one cipher call each; everything that is the same for every record of a context is made once.
 * @spec RFC 8613 §5.2, §5.4, §7.2, §7.4
 */
import { concat, EMPTY, equal, wipe } from './bytes.ts';
import type { Crypto } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import { MAX_RECORD_BYTES } from './frame.ts';
import type { KeySet } from './key-schedule.ts';
import { type AadPrefix, aadPrefix, authenticatedData, MAX_SEQUENCE, makeNonce, nonceBase } from './oscore.ts';
import { protect, unprotect } from './protection.ts';
import {
  type EpochBit,
  type RecordHead,
  type RecordType,
  readRecordHead,
  recordHeadBytes,
  writeRecordHead,
} from './record-head.ts';
import { accept, accepts, EMPTY_WINDOW, type ReplayWindow } from './replay-window.ts';
import type { RecordAlgorithm } from './suites.ts';

/** Sender ids: EDHOC initiator and caller, EDHOC responder and callee (design §5.3). */
export const FIRST_ID: Uint8Array = Uint8Array.of(0);
export const SECOND_ID: Uint8Array = Uint8Array.of(1);

/** Records in one direction after which a new epoch is due. */
export const REKEY_AFTER_RECORDS = 2 ** 20;
/** Forgeries that a context with a tag of 8 bytes survives. */
export const MAX_FAILED_OPENS = 2 ** 14;
const SHORT_TAG_BYTES = 8;
/** AES-CCM with a nonce of 13 bytes counts the plaintext in two bytes. @spec RFC 3610 §2.1 */
const MAX_CCM_BYTES = 0xffff;
const MAX_HEAD_BYTES = 7;

/**
 * One epoch of one channel or session, as one side sees it. Plain data, owned by one machine: `sealRecord` and
 * `openRecord` move its counters in place, for speed. A copy (structuredClone) may be kept or compared but must never
 * seal beside the original: both would use the same nonces.
 */
export interface RecordContext {
  readonly algorithm: RecordAlgorithm;
  readonly epochBit: EpochBit;
  readonly route: number | null;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
  /** T of a session (design §5.4), 32 bytes; null for a channel. */
  readonly transcript: Uint8Array | null;
  readonly keys: KeySet;
  readonly sending: Direction;
  readonly receiving: Direction;
  /** flags ‖ route ‖ T, with zero for the flags, which differ from record to record. */
  readonly options: Uint8Array;
  /** The next sender sequence number; only ever goes up. */
  nextSequence: number;
  window: ReplayWindow;
  failedOpens: number;
  wiped: boolean;
}

interface Direction {
  readonly nonceBase: Uint8Array;
  readonly aadPrefix: AadPrefix;
  /** The authenticated data of the last record, reused while the partial IV keeps its length; its end is the options. */
  aad: Uint8Array;
  partialIvBytes: number;
}

export interface RecordContextInput {
  readonly algorithm: RecordAlgorithm;
  /** Taken over: `wipeContext` erases them. */
  readonly keys: KeySet;
  readonly senderId: Uint8Array;
  readonly recipientId: Uint8Array;
  readonly epochBit: EpochBit;
  readonly route: number | null;
  readonly transcript: Uint8Array | null;
}

/** @throws RangeError when ids are equal, or lengths do not fit the algorithm: our bug, never the peer's */
export function makeRecordContext(input: RecordContextInput): RecordContext {
  const { algorithm, keys, senderId, recipientId, route, transcript } = input;
  if (equal(senderId, recipientId)) throw new RangeError('both sides of a context have the same id');
  if (route !== null && !(Number.isInteger(route) && route >= 1 && route <= 255))
    throw new RangeError(`route ${route}`);
  if (transcript !== null && transcript.length !== 32) throw new RangeError('a transcript hash has 32 bytes');
  const { keyBytes, nonceBytes } = algorithm;
  if (
    keys.senderKey.length !== keyBytes ||
    keys.recipientKey.length !== keyBytes ||
    keys.commonIv.length !== nonceBytes
  ) {
    throw new RangeError('the keys do not have the lengths of the suite');
  }
  const name = algorithm.kind === 'integrity-only' ? 'MAC0' : 'Encrypt0';
  const direction = (id: Uint8Array): Direction => ({
    nonceBase: nonceBase(keys.commonIv, id),
    aadPrefix: aadPrefix(name, algorithm.coseAlgorithm, id),
    aad: EMPTY,
    partialIvBytes: 0,
  });
  return {
    ...input,
    sending: direction(senderId),
    receiving: direction(recipientId),
    options: concat(Uint8Array.of(0), route === null ? EMPTY : Uint8Array.of(route), transcript ?? EMPTY),
    nextSequence: 0,
    window: EMPTY_WINDOW,
    failedOpens: 0,
    wiped: false,
  };
}

/** What a context is still good for; `mustRekey`: it works, and a new epoch is due; after `exhausted` it does nothing. */
export type RecordContextState = 'usable' | 'mustRekey' | 'exhausted' | 'wiped';

export function recordContextState(context: RecordContext): RecordContextState {
  if (context.wiped) return 'wiped';
  if (context.nextSequence > MAX_SEQUENCE || forgedTooOften(context)) return 'exhausted';
  const most = Math.max(context.nextSequence, context.window.highest + 1);
  return most >= REKEY_AFTER_RECORDS ? 'mustRekey' : 'usable';
}

function forgedTooOften({ algorithm, failedOpens }: RecordContext): boolean {
  return algorithm.tagBytes === SHORT_TAG_BYTES && failedOpens >= MAX_FAILED_OPENS;
}

/** Longest plaintext that one record carries, in bytes. */
export function maxPlaintextBytes(algorithm: RecordAlgorithm): number {
  const room = MAX_RECORD_BYTES - MAX_HEAD_BYTES - algorithm.tagBytes;
  return algorithm.suite.cipher === 'aes-ccm' ? Math.min(room, MAX_CCM_BYTES) : room;
}

/**
 * Seals one plaintext and uses up one sequence number.
 * @returns the record, owned by the caller
 * @throws ProtocolError unexpected when the context is exhausted or wiped; RangeError when the plaintext is too long
 */
export function sealRecord(
  crypto: Crypto,
  context: RecordContext,
  type: RecordType,
  plaintext: Uint8Array,
): Uint8Array {
  refuseUnusable(context);
  const { algorithm, keys, sending, options, route } = context;
  if (plaintext.length > maxPlaintextBytes(algorithm)) {
    throw new RangeError(`${plaintext.length} bytes do not fit into a record: at most ${maxPlaintextBytes(algorithm)}`);
  }
  // Used up before the cipher runs: whatever happens there, this number never seals again.
  const sequence = context.nextSequence++;
  const headBytes = recordHeadBytes(sequence, route);
  const record = new Uint8Array(headBytes + plaintext.length + algorithm.tagBytes);
  const partialIv = writeRecordHead(record, type, context.epochBit, sequence, route);
  const nonce = makeNonce(sending.nonceBase, partialIv);
  const aad = bindAad(sending, partialIv, record[0]!, options);
  record.set(protect(crypto, algorithm, keys.senderKey, nonce, aad, plaintext), headBytes);
  return record;
}

export interface OpenedRecord {
  readonly type: RecordType;
  /** May be a view of the record. */
  readonly plaintext: Uint8Array;
}

/**
 * Opens one record: head and replay window first, which cost nothing, then the tag; only a good tag moves the window.
 * @throws ProtocolError malformed | tooLarge | replayed | badMac; unexpected when the context is exhausted or wiped
 */
export function openRecord(crypto: Crypto, context: RecordContext, record: Uint8Array): OpenedRecord {
  refuseUnusable(context);
  const { algorithm, keys, receiving, options } = context;
  const head = readRecordHead(record);
  checkBounds(algorithm, record, head);
  if (head.epochBit !== context.epochBit || head.route !== context.route) {
    throw new ProtocolError('badMac', 'the record belongs to another epoch or route');
  }
  if (!accepts(context.window, head.sequence)) {
    throw new ProtocolError('replayed', `record ${head.sequence} was seen before, or is older than the window`);
  }
  const nonce = makeNonce(receiving.nonceBase, head.partialIv);
  const aad = bindAad(receiving, head.partialIv, head.flags, options);
  const plaintext = unprotect(crypto, algorithm, keys.recipientKey, nonce, aad, record.subarray(head.bytes));
  if (plaintext === null) {
    context.failedOpens++;
    throw new ProtocolError('badMac', `record ${head.sequence} was not sealed with the keys of this context`);
  }
  context.window = accept(context.window, head.sequence);
  return { type: head.type, plaintext };
}

/** The authenticated data of one record. @returns a buffer of the direction, good until its next record */
function bindAad(direction: Direction, partialIv: Uint8Array, flags: number, options: Uint8Array): Uint8Array {
  if (direction.partialIvBytes !== partialIv.length) {
    direction.aad = authenticatedData(direction.aadPrefix, partialIv, options);
    direction.partialIvBytes = partialIv.length;
  }
  const { aad } = direction;
  const optionsAt = aad.length - options.length;
  const optionsHead = options.length < 24 ? 1 : 2;
  aad.set(partialIv, optionsAt - optionsHead - partialIv.length);
  aad[optionsAt] = flags;
  return aad;
}

function refuseUnusable(context: RecordContext): void {
  if (context.wiped) throw new ProtocolError('unexpected', 'the record context is closed');
  if (forgedTooOften(context)) {
    throw new ProtocolError(
      'unexpected',
      `the record context is exhausted: ${MAX_FAILED_OPENS} records failed to open`,
    );
  }
  if (context.nextSequence > MAX_SEQUENCE) {
    throw new ProtocolError('unexpected', 'the record context is exhausted: all sequence numbers are used up');
  }
}

function checkBounds(algorithm: RecordAlgorithm, record: Uint8Array, head: RecordHead): void {
  const length = record.length - head.bytes - algorithm.tagBytes;
  if (length < 0) throw new ProtocolError('malformed', 'the record is shorter than its tag');
  if (length > maxPlaintextBytes(algorithm)) throw new ProtocolError('tooLarge', `a record of ${record.length} bytes`);
}

/** Erases the keys; the context neither seals nor opens any more. */
export function wipeContext(context: RecordContext): void {
  const { keys, sending, receiving } = context;
  wipe(keys.senderKey, keys.recipientKey, keys.commonIv, sending.nonceBase, receiving.nonceBase);
  context.wiped = true;
}
