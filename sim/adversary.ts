/**
 * A broker, or a network without TLS, that does as it likes: it reads, drops, delays, doubles, reorders, changes, injects
 * and replays. What it cannot do is break the cryptography.
 */
import type { Topic } from '../protocol/units.ts';
import type { Micros } from './event-queue.ts';
import type { PartyName } from './party.ts';
import type { SeededRandom } from './seeded-random.ts';

/** A message as it reaches the broker. */
export interface Packet {
  readonly at: Micros;
  readonly from: PartyName;
  /** For whom its topic is. */
  readonly to: PartyName;
  readonly topic: Topic;
  /** The adversary's own copy. */
  readonly payload: Uint8Array;
  /** What is inside, for adversaries that choose; a real one sees sizes alone. */
  readonly type: string;
  readonly about: readonly string[];
}

export type Action =
  /** As an honest broker does, by its policy; perhaps late, perhaps changed. */
  | { readonly do: 'forward'; readonly afterMs?: number; readonly payload?: Uint8Array }
  /** Whatever, to whomever, past the policy. */
  | {
      readonly do: 'deliver';
      readonly to: PartyName;
      readonly topic: Topic;
      readonly payload: Uint8Array;
      readonly afterMs?: number;
    };

export interface Adversary {
  /** @returns what happens instead; nothing: the message is swallowed */
  onPacket(packet: Packet): readonly Action[];
}

export const FORWARD: readonly Action[] = [{ do: 'forward' }];

export interface Mischief {
  /** Parts of the messages, 0 to 1. */
  readonly drop: number;
  readonly duplicate: number;
  readonly delay: number;
  /** What a delayed message, or the second copy, takes longer at most; so messages overtake each other. */
  readonly longestDelayMs: number;
}

/** Drops, doubles, delays and reorders at random. */
export function unreliableBroker(random: SeededRandom, mischief: Mischief): Adversary {
  const late = (): number => random.fraction() * mischief.longestDelayMs;
  return {
    onPacket() {
      const dropped = random.fraction() < mischief.drop;
      const doubled = random.fraction() < mischief.duplicate;
      const delayed = random.fraction() < mischief.delay;
      const first: Action = delayed ? { do: 'forward', afterMs: late() } : { do: 'forward' };
      const second: Action = { do: 'forward', afterMs: late() };
      return [...(dropped ? [] : [first]), ...(doubled ? [second] : [])];
    },
  };
}

/** Forwards everything, and sends everything once more to whom it went, past the policy, some time later. */
export function replayingBroker(random: SeededRandom, withinMs: number): Adversary {
  return {
    onPacket: ({ to, topic, payload }) => [
      { do: 'forward' },
      { do: 'deliver', to, topic, payload, afterMs: random.fraction() * withinMs },
    ],
  };
}
