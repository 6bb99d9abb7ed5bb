/**
 * What a world lends to each of its parties.
 */
import type { Topics } from '../protocol/topics.ts';
import type { EpochSeconds, Topic } from '../protocol/units.ts';
import type { Sealing } from './crypto-tap.ts';
import type { EventQueue, Micros } from './event-queue.ts';
import type { MessageName, MessageNames } from './message-names.ts';
import type { PartyName } from './party.ts';

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: Readonly<Record<string, string | number | boolean | null | undefined>>;
}

export interface PartyContext {
  readonly queue: EventQueue;
  readonly topics: Topics;
  readonly names: MessageNames;
  now(): Micros;
  /** Wall time without skew. */
  wall(): EpochSeconds;
  publish(from: PartyName, topic: Topic, payload: Uint8Array, name: MessageName): void;
  /** The party's link got its device in. */
  settled(party: PartyName): void;
  /** Ends the party's link; the next one comes after about so long. */
  rest(party: PartyName, forMs: number): void;
  logged(party: PartyName, line: LogLine): void;
  sealed(party: PartyName, sealing: Sealing): void;
}
