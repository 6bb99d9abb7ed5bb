/**
 * Who is who in a world, and what travels between them.
 */
import type { LinkId, Topic } from '../protocol/units.ts';
import type { Micros } from './event-queue.ts';

/** A device by its id, or one of the three below. */
export type PartyName = string;

export const BROKER = 'broker';
export const MANAGER = 'manager';
export const VERIFIER = 'verifier';
/** Who forged a message, in the trace. */
export const HOSTILE = 'hostile';

export const RESERVED_NAMES: ReadonlySet<PartyName> = new Set([BROKER, MANAGER, VERIFIER, HOSTILE]);

/** A message on its way. */
export interface Parcel {
  readonly sender: PartyName;
  readonly topic: Topic;
  readonly payload: Uint8Array;
  readonly type: string;
  /** Hex of the session ids and call nonces inside. */
  readonly about: readonly string[];
  readonly sentAt: Micros;
  readonly number: number;
}

/** The party's end of its link: what platform/transport.ts calls an observer. */
export interface LineOwner {
  up(link: LinkId): void;
  down(reason: string): void;
  received(topic: Topic, payload: Uint8Array): void;
}
