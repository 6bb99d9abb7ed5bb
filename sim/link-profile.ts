/**
 * How a link behaves: what one packet takes, how often one has to be sent again, how often the connection breaks.
 * Multiplications and additions alone, so that every machine draws the same numbers.
 */
import { MICROS_PER_MS, type Micros } from './event-queue.ts';
import type { SeededRandom } from './seeded-random.ts';

export interface LinkProfile {
  /** One way; each link draws its own from this range when it is made. */
  readonly oneWayMs: readonly [least: number, most: number];
  /** What a packet may take on top; mostly little, seldom all of it. */
  readonly jitterMs: number;
  /** Part of the packets that TCP has to send again: they come late and hold up those behind them. 0 to below 1. */
  readonly loss: number;
  /** Mean time between two breaks of the connection; null: it never breaks by itself. */
  readonly breaksEverySeconds: number | null;
}

/** Cable inside a house or data centre. */
export const WIRED: LinkProfile = { oneWayMs: [0.2, 0.8], jitterMs: 0.5, loss: 0, breaksEverySeconds: null };
export const WIRELESS: LinkProfile = { oneWayMs: [1.5, 6], jitterMs: 12, loss: 0.004, breaksEverySeconds: null };
export const CELLULAR: LinkProfile = { oneWayMs: [25, 60], jitterMs: 60, loss: 0.01, breaksEverySeconds: null };

/** TCP's smallest retransmission time-out on Linux; it doubles with every further loss of the same packet. */
const FIRST_RETRANSMISSION_MS = 200;
const MAX_RETRANSMISSIONS = 8;

/** One direction of one link. */
export interface Wire {
  /** @returns what the next packet takes */
  packet(): Micros;
}

export function wire(profile: LinkProfile, random: SeededRandom): Wire {
  const [least, most] = profile.oneWayMs;
  const base = least + (most - least) * random.fraction();
  return {
    packet() {
      const f = random.fraction();
      return Math.round((base + profile.jitterMs * f * f * f + retransmissionsMs(profile, random)) * MICROS_PER_MS);
    },
  };
}

function retransmissionsMs({ loss }: LinkProfile, random: SeededRandom): number {
  let waited = 0;
  for (let n = 0; loss > 0 && n < MAX_RETRANSMISSIONS && random.fraction() < loss; n++) {
    waited += FIRST_RETRANSMISSION_MS * 2 ** n;
  }
  return waited;
}

/** @returns how long the connection holds, or null; evenly drawn around the mean */
export function timeToBreak({ breaksEverySeconds }: LinkProfile, random: SeededRandom): Micros | null {
  return breaksEverySeconds === null ? null : Math.round(2 * breaksEverySeconds * random.fraction() * 1_000_000);
}
