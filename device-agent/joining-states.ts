/**
 * Exchanges that are to become the channel: `Joining` was started by this device, `Invitation` by the manager (P13).
 */
import type { Channel } from '../protocol/channel.ts';
import type { LoginChosen, LoginKeys, LoginRequested, LoginStarted } from '../protocol/login.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { AwaitingResumed, Resumed, ResumptionSecret } from '../protocol/resumption.ts';
import type { Cost } from './cost.ts';

/** A manager that was judged good. */
export interface JudgedManager {
  readonly chain: readonly Uint8Array[];
  readonly hash: Uint8Array;
  /** Seconds since 1970. */
  readonly notAfter: number;
}

export type JoiningStep =
  | { readonly name: 'awaitingMessage2'; readonly login: LoginStarted; readonly offered: readonly number[] }
  | { readonly name: 'awaitingMessage4'; readonly login: LoginRequested; readonly manager: JudgedManager }
  | {
      readonly name: 'savingLogin';
      readonly keys: LoginKeys;
      readonly answers: readonly ChannelMessage[];
      /** Records that followed message_4. */
      readonly early: Uint8Array[];
    }
  | { readonly name: 'awaitingResumed'; readonly awaiting: AwaitingResumed }
  | { readonly name: 'savingResumed'; readonly channel: Channel };

export interface Joining {
  readonly exchange: Uint8Array;
  readonly cost: Cost;
  step: JoiningStep;
  /** The last frame that went out: repeated as it is while no answer comes. */
  sent: Uint8Array;
  repeats: number;
}

export type InvitationStep =
  | { readonly name: 'awaitingMessage3'; readonly login: LoginChosen }
  | { readonly name: 'savingLogin'; readonly keys: LoginKeys; readonly message4: Uint8Array }
  | {
      readonly name: 'awaitingFirstRecord';
      readonly channel: Channel;
      readonly resumed: Resumed;
      readonly next: ResumptionSecret | null;
    };

export interface Invitation {
  readonly exchange: Uint8Array;
  readonly cost: Cost;
  step: InvitationStep;
  /** A byte-identical frame gets the byte-identical reply. */
  last: { readonly received: Uint8Array; readonly sent: Uint8Array } | null;
}
