/**
 * One exchange that is to become a channel, by full login or resumption, started by either side. One per party: a new
 * one replaces the one before.
 */

import type { Channel } from '../protocol/channel.ts';
import type {
  LoginChoiceVerified,
  LoginChosen,
  LoginKeys,
  LoginOfferRead,
  LoginRequested,
  LoginStarted,
  LoginVerified,
} from '../protocol/login.ts';
import type { LoginRequest } from '../protocol/messages.ts';
import type { Name } from '../protocol/names.ts';
import type { AwaitingResumed, Resumed } from '../protocol/resumption.ts';
import type { Party } from '../protocol/topics.ts';
import type { DeviceId, EpochSeconds } from '../protocol/units.ts';

/** A certificate whose key has signed; whether it is welcome the verifier says. */
export interface Proven {
  readonly id: DeviceId;
  readonly names: readonly Name[];
  readonly chain: readonly Uint8Array[];
  readonly leaf: Uint8Array;
  /** Seconds since 1970. */
  readonly notAfter: number;
}

export type HandshakeStep =
  // started by the device
  | { readonly name: 'awaitingOwnVerdict'; readonly offer: LoginOfferRead }
  | { readonly name: 'awaitingMessage3'; readonly login: LoginChosen }
  | {
      readonly name: 'awaitingVerdict';
      readonly login: LoginVerified;
      readonly proven: Proven;
      readonly request: LoginRequest;
      /** Its certificate has run out: the verifier is asked whether that is all. */
      readonly expired?: true;
    }
  | {
      readonly name: 'storingLogin';
      readonly keys: LoginKeys;
      readonly message4: Uint8Array;
      readonly proven: Proven;
      readonly instance: Uint8Array | null;
    }
  /** The CA is asked; who asked knows how it goes on. */
  | { readonly name: 'certifying'; readonly device: DeviceId; readonly login: LoginVerified }
  | { readonly name: 'answered' }
  | {
      /** Then, when the store is behind the device: the generation is being stored under which it is answered. */
      readonly name: 'resumingNeedsVerdict' | 'catchingUp';
      readonly device: DeviceId;
      readonly answer: Uint8Array;
      readonly resumed: Resumed;
      /** The record in the store that the request was checked under. */
      readonly sealed: Uint8Array;
    }
  | {
      readonly name: 'awaitingFirstRecord';
      readonly device: DeviceId;
      readonly channel: Channel;
      readonly resumed: Resumed;
    }
  // started by the manager
  | { readonly name: 'openingNeedsVerdict'; readonly device: DeviceId }
  | { readonly name: 'awaitingResumed'; readonly device: DeviceId; readonly awaiting: AwaitingResumed }
  | { readonly name: 'storingResumed'; readonly device: DeviceId; readonly channel: Channel; readonly resumed: Resumed }
  | {
      readonly name: 'awaitingMessage2';
      readonly device: DeviceId;
      readonly login: LoginStarted;
      readonly offered: readonly number[];
    }
  | {
      readonly name: 'judgingCallee';
      readonly device: DeviceId;
      readonly login: LoginChoiceVerified;
      readonly proven: Proven;
    }
  | {
      readonly name: 'awaitingMessage4';
      readonly device: DeviceId;
      readonly login: LoginRequested;
      readonly proven: Proven;
      readonly instance: Uint8Array | null;
      /** End of the verdict on what is proven. */
      readonly until: EpochSeconds;
    }
  | {
      readonly name: 'storingOpened';
      readonly keys: LoginKeys;
      readonly proven: Proven;
      readonly instance: Uint8Array | null;
    };

export interface Handshake {
  /** Never used again: what was asked or stored for one exchange decides no other on the same link. */
  readonly id: number;
  readonly party: Party;
  readonly exchange: Uint8Array;
  step: HandshakeStep;
  /** The open channel of another process of this device, which need not be looked at again; `present`: it is to go. */
  beside: { readonly channel: Channel; readonly present: boolean } | null;
  /** The last frame taken in and the answer to it: a byte-identical repeat gets the byte-identical reply. */
  last: { readonly received: Uint8Array; readonly sent: Uint8Array } | null;
}

export const partyKey = (party: Party): string =>
  party.kind === 'device' ? `device:${party.id}` : `link:${party.link}`;

/** Whose channel an exchange is to become, as far as that is known. */
export function deviceOf({ step }: Handshake): DeviceId | null {
  if ('device' in step) return step.device;
  return 'proven' in step ? step.proven.id : null;
}
