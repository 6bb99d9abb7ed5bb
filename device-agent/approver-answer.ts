/**
 * What somebody outside of the fleet answers to a question of this device, as JSON under a key that only he and the device
 * have: the broker carries it, and cannot make it (docs/approval-topics.md).
 */
import { decodeUtf8, encodeUtf8, equalInConstantTime, fromHex } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { DeviceId } from '../protocol/units.ts';

/** Whose answers count. */
export interface Approver {
  readonly name: string;
  /** The bytes of the line in its key file. */
  readonly key: Uint8Array;
}

export interface ApproverAnswer {
  readonly sid: string;
  readonly decision: 'allow' | 'refuse';
  /** For so long the answer counts for further questions of that caller; 0: for this one alone. */
  readonly rememberSeconds: number;
  readonly approver: string;
}

export const MAX_ANSWER_BYTES = 2048;
const MAX_REMEMBER_SECONDS = 366 * 86_400;
const LABEL = 'kagimori-approval-answer-1';

/**
 * What the approver's MAC is over: seven lines, none of them with a line break in it.
 * @param askSha256  of the question as he saw it: who only carries it cannot have put another caller into it
 */
export function answerText(
  device: DeviceId,
  { sid, decision, rememberSeconds, approver }: ApproverAnswer,
  askSha256: string,
): string {
  return [LABEL, device, sid, decision, `${rememberSeconds}`, approver, askSha256].join('\n');
}

/**
 * @param askOf  SHA-256 of what was asked under a sid, in hex; null: nothing waits there
 * @returns what an approver of this device has said; null: to a question that does not wait
 * @throws ProtocolError malformed; unauthenticated for an unknown approver, a wrong MAC, or one over another question
 */
export function readAnswer(
  crypto: Crypto,
  device: DeviceId,
  approvers: readonly Approver[],
  payload: Uint8Array,
  askOf: (sid: string) => string | null,
): ApproverAnswer | null {
  if (payload.length > MAX_ANSWER_BYTES) throw malformed(`more than ${MAX_ANSWER_BYTES} bytes`);
  const { mac, ...answer } = fieldsOf(payload);
  const askSha256 = askOf(answer.sid);
  if (askSha256 === null) return null;
  const approver = approvers.find(({ name }) => name === answer.approver);
  const text = encodeUtf8(answerText(device, answer, askSha256));
  // one that is unknown costs the same time as a wrong MAC
  const expected = crypto.hmac('sha-256', approver?.key ?? new Uint8Array(32), text);
  if (!equalInConstantTime(expected, mac) || approver === undefined) {
    throw new ProtocolError(
      'unauthenticated',
      `no approver of this device, a wrong mac, or one over another question: ${answer.approver}`,
    );
  }
  return answer;
}

function fieldsOf(payload: Uint8Array): ApproverAnswer & { readonly mac: Uint8Array } {
  let value: unknown;
  try {
    value = JSON.parse(decodeUtf8(payload));
  } catch {
    throw malformed('it is no JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('it is no JSON object');
  const given = value as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(given).find((key) => !FIELDS.has(key));
  if (unknown !== undefined) throw malformed(`unknown field ${JSON.stringify(unknown.slice(0, 32))}`);
  const { sid, decision, rememberSeconds = 0, approver, mac } = given;
  if (typeof sid !== 'string' || !/^[0-9a-f]{16}$/.test(sid)) throw malformed('sid: 16 hex digits, as asked');
  if (decision !== 'allow' && decision !== 'refuse') throw malformed('decision: allow or refuse');
  if (typeof rememberSeconds !== 'number' || !Number.isInteger(rememberSeconds) || rememberSeconds < 0) {
    throw malformed('rememberSeconds: a whole number');
  }
  if (rememberSeconds > MAX_REMEMBER_SECONDS) throw malformed(`rememberSeconds: at most ${MAX_REMEMBER_SECONDS}`);
  if (typeof approver !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(approver)) throw malformed('approver: its name');
  if (typeof mac !== 'string' || !/^[0-9a-f]{64}$/.test(mac)) throw malformed('mac: 64 hex digits in lower case');
  return { sid, decision, rememberSeconds, approver, mac: fromHex(mac) };
}

const FIELDS: ReadonlySet<string> = new Set(['sid', 'decision', 'rememberSeconds', 'approver', 'mac']);

const malformed = (detail: string): ProtocolError => new ProtocolError('malformed', `an answer by topic: ${detail}`);
