/**
 * What the agent keeps of a user whose medium is in. None of it is secret: the key stays in a process of its own.
 */
import type { Channel } from '../protocol/channel.ts';
import type { Reason } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';

export interface InsertedUser {
  readonly user: string;
  /** Leaf first. */
  readonly chain: readonly [Uint8Array, ...Uint8Array[]];
}

/** Where a registration stands. What belongs to a channel that is gone counts no more. */
export type UserStep =
  /** For a channel. */
  | { readonly name: 'waiting' }
  | { readonly name: 'signing'; readonly number: number; readonly requestId: Uint8Array; readonly channel: Channel }
  | { readonly name: 'registering'; readonly message: MessageOf<'RegisterUser'>; readonly channel: Channel }
  | { readonly name: 'here'; readonly channel: Channel }
  /** `final`: nothing changes until the medium is taken out. */
  | { readonly name: 'refused'; readonly reason: Reason; readonly detail: string | null; readonly final: boolean };

export interface LocalUser extends InsertedUser {
  /** SHA-256 of the user's certificate. */
  readonly leaf: Uint8Array;
  /** The manager may know of it, and has to hear of the removal. */
  told: boolean;
  /** Why, the last time, and how often in a row for that. */
  refusedFor: Reason | null;
  refusals: number;
  step: UserStep;
}

export interface UsersState {
  /** By leaf, in hex. */
  readonly here: Map<string, LocalUser>;
  /** Removals that the manager has not confirmed, by leaf in hex. */
  readonly gone: Map<string, MessageOf<'RemoveUser'>>;
  nextSignature: number;
}

export const noUsers = (): UsersState => ({ here: new Map(), gone: new Map(), nextSignature: 1 });
