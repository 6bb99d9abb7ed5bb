/**
 * What was sent in a world, message by message, and the running hash over it. The hash covers time, sender, receiver,
 * type, size and outcome; never a byte of a payload, for signatures differ from run to run.
 */
import { nodeCrypto } from '../platform/crypto-node.ts';
import { concat, EMPTY, encodeUtf8, toHex } from '../protocol/bytes.ts';
import type { Micros } from './event-queue.ts';
import type { PartyName } from './party.ts';

export interface TraceEntry {
  /** When it arrived, or when it was certain that it would not. */
  readonly at: Micros;
  readonly sender: PartyName;
  readonly receiver: PartyName;
  /** What somebody who holds the keys reads: `message1`, `Connect`, `Ask+Grant`, `Hello`, `data` (sim/message-names.ts). */
  readonly type: string;
  /** Payload bytes. */
  readonly size: number;
  readonly outcome: Outcome;
  readonly sentAt: Micros;
  /** Counts what was sent: the order of leaving, where several leave in one moment. */
  readonly number: number;
  /** Hex of the session ids and call nonces inside; not part of the hash. */
  readonly about: readonly string[];
}

/**
 * `delivered`; `unsent`: there was no link; `lost`: the link broke on the way; `swallowed`: the broker kept it;
 * `unread`: nobody reads the topic; `up`, `down`: of a link; otherwise the reason why the broker's policy refused it.
 */
export type Outcome = string;

export interface Trace {
  /** Empty when the world keeps none. */
  readonly entries: readonly TraceEntry[];
  /** Messages so far, kept or not. */
  count(): number;
  add(entry: TraceEntry): void;
  /** Hex of the hash over everything so far. */
  hash(): string;
}

/** Lines hashed at a time; part of the definition of the hash. */
const LINES_PER_BLOCK = 1024;

const { hash: digest } = nodeCrypto();

/**
 * H₀ = SHA-256(head), Hₙ = SHA-256(Hₙ₋₁ ‖ block n), a block being 1024 lines, the last one shorter.
 * @param head  what distinguishes this world from others: its first line
 */
export function startTrace(head: string, keep: boolean): Trace {
  const entries: TraceEntry[] = [];
  let lines: string[] = [];
  let state = digest('sha-256', encodeUtf8(`${head}\n`));
  let count = 0;
  const over = (block: readonly string[]): Uint8Array =>
    digest('sha-256', concat(state, block.length === 0 ? EMPTY : encodeUtf8(block.join(''))));
  return {
    entries,
    count: () => count,
    add(entry) {
      count++;
      if (keep) entries.push(entry);
      if (lines.push(lineOf(entry)) < LINES_PER_BLOCK) return;
      state = over(lines);
      lines = [];
    },
    hash: () => toHex(over(lines)),
  };
}

/** No control character stands in the name of a party. */
export const lineOf = ({ at, sender, receiver, type, size, outcome }: TraceEntry): string =>
  `${at}\t${sender}\t${receiver}\t${type}\t${size}\t${outcome}\n`;
