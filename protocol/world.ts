/**
 * What a machine may know of the outside: the time and the crypto half, handed in with every step.
 */
import type { Crypto } from './crypto.ts';
import type { EpochSeconds, Millis } from './units.ts';

export interface World {
  /** Now, on the clock that deadlines and lifetimes run on. */
  readonly now: Millis;
  /** Now, on the wall clock, for certificate periods. */
  readonly wall: EpochSeconds;
  /** Cryptography and randomness. */
  readonly crypto: Crypto;
}
