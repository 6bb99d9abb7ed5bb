/**
 * What a device answers to the question whether it is there, and who waits for that. @see manager/probes.ts
 */
import type { World } from '../protocol/world.ts';

/** `users`: SHA-256 of the certificates whose media are in. */
export type Presence = { readonly present: false } | { readonly present: true; readonly users: readonly Uint8Array[] };
export type PresenceHeard = (presence: Presence, world: World) => void;

/** A question that is out. */
export interface Probing {
  readonly nonce: Uint8Array;
  readonly waiting: PresenceHeard[];
}
