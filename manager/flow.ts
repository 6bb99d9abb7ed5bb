/**
 * What the manager knows of one session: its states, what can happen to it, what it then wishes, and how it ends. The way to
 * the first grant is told by connect-flow.ts, the way to a new one by renewal-flow.ts.
 */

import type { Reason } from '../protocol/message-values.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { Suite } from '../protocol/suites.ts';
import { type DeviceId, later, type Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { GrantPair } from './grants.ts';
import type { Party, Terms } from './terms.ts';

export interface FlowLimits {
  readonly openTimeout: Millis;
  readonly askTimeout: Millis;
  readonly endTimeout: Millis;
}

export const DEFAULT_FLOW_LIMITS: FlowLimits = {
  openTimeout: seconds(10),
  askTimeout: seconds(45),
  endTimeout: seconds(5),
};

export type Flow =
  | { readonly state: 'openingCallee'; readonly terms: Terms }
  | { readonly state: 'asking'; readonly terms: Terms }
  | { readonly state: 'storing'; readonly terms: Terms; readonly nonceB: Uint8Array; readonly rideAlong: boolean }
  | {
      readonly state: 'granted';
      readonly terms: Terms;
      readonly epoch: number;
      readonly at: Millis;
      readonly until: Millis;
      readonly up: readonly DeviceId[];
    }
  /** The keys of one or both are gone, or the suite is to be another: both are asked for a nonce. */
  | {
      readonly state: 'renewing';
      readonly terms: Terms;
      /** Of the last grant. */
      readonly epoch: number;
      readonly until: Millis;
      readonly ready: readonly Ready[];
      /** How often they were asked again. */
      readonly repeats: number;
      readonly from: InUse | null;
    }
  | {
      readonly state: 'storingRenewal';
      readonly terms: Terms;
      readonly epoch: number;
      readonly until: Millis;
      readonly nonceB: Uint8Array;
      readonly from: InUse | null;
    }
  | {
      readonly state: 'ending';
      readonly terms: Terms;
      readonly by: DeviceId | null;
      readonly reason: Reason;
      /** Who has still to say EndOk. */
      readonly waitingFor: readonly DeviceId[];
      /** How often they were told again. */
      readonly reminders?: number;
    }
  | { readonly state: 'over'; readonly terms: Terms; readonly reason: Reason };

/** What a session is moved from: both hold these keys, and use them until the new ones are seen at work. */
export interface InUse extends Pick<Terms, 'suite' | 'keyMode' | 'rule' | 'decision'> {
  /** Of the last grant. */
  readonly epoch: number;
}

/** The suite that the devices use now, whatever they are about to get. */
export const suiteInUse = (flow: Flow): Suite =>
  flow.state === 'renewing' || flow.state === 'storingRenewal' ? (flow.from ?? flow.terms).suite : flow.terms.suite;

export type FlowEvent =
  | { readonly type: 'channelOpened'; readonly device: DeviceId }
  | { readonly type: 'channelFailed'; readonly device: DeviceId; readonly reason: Reason }
  | {
      readonly type: 'approved';
      readonly nonceB: Uint8Array;
      readonly consent: Uint8Array | null;
      readonly instance: Uint8Array | null;
    }
  | { readonly type: 'refused'; readonly reason: Reason }
  /** The callee took back the approval by which the grant was to ride with the ask. */
  | { readonly type: 'standingWithdrawn' }
  | { readonly type: 'stored'; readonly epoch: number }
  | { readonly type: 'storeFailed' }
  /** No grant can be made now: nobody would hear that one of the two is revoked, or one has to be judged first. */
  | { readonly type: 'withheld' }
  | { readonly type: 'cameUp'; readonly device: DeviceId }
  | { readonly type: 'endAsked'; readonly by: DeviceId | null; readonly reason: Reason }
  | { readonly type: 'endConfirmed'; readonly by: DeviceId }
  | { readonly type: 'lost'; readonly device: DeviceId; readonly reason: Reason }
  /** The user for whom it was made is not at the callee any more. */
  | { readonly type: 'userLeft'; readonly reason: Reason }
  /** The device's process is another one, or never got its grant. */
  | { readonly type: 'keysLost'; readonly device: DeviceId }
  | { readonly type: 'renewed'; readonly ready: Ready }
  | { readonly type: 'renewalRefused'; readonly device: DeviceId; readonly reason: Reason }
  /** To another suite. */
  | { readonly type: 'move'; readonly to: Pick<Terms, 'suite' | 'keyMode' | 'rule' | 'decision'> }
  | { readonly type: 'deadline' };

/** A device that has agreed to a new grant, as it stands now. */
export interface Ready {
  readonly party: Party;
  readonly nonce: Uint8Array;
  /** The lowest epoch that it takes. */
  readonly epoch: number;
}

export type FlowEffect =
  | { readonly type: 'send'; readonly to: DeviceId; readonly messages: readonly ChannelMessage[] }
  /** Grants are sealed at once and their secret is wiped. */
  | { readonly type: 'deliver'; readonly grants: GrantPair; readonly ask: ChannelMessage | null }
  | { readonly type: 'openChannel'; readonly to: DeviceId }
  | { readonly type: 'store'; readonly epoch: number }
  | { readonly type: 'forget' }
  | { readonly type: 'forward'; readonly allowed: boolean }
  | { readonly type: 'wakeAt'; readonly at: Millis | null }
  | { readonly type: 'audit'; readonly event: string; readonly reason?: Reason };

export type Step = readonly [Flow, readonly FlowEffect[]];

export const sendEnd = (to: DeviceId, terms: Terms, reason: Reason): FlowEffect => ({
  type: 'send',
  to,
  messages: [{ kind: 'End', sid: terms.sid, reason }],
});

/** For the callee to read. */
export const aboutCaller = ({ about: { class: kind, groups, user, purpose } }: Terms) => ({
  class: kind ?? undefined,
  groups: groups.length === 0 ? undefined : groups,
  user: user ?? undefined,
  purpose: purpose ?? undefined,
});

export function end(
  terms: Terms,
  by: DeviceId | null,
  reason: Reason,
  tell: readonly DeviceId[],
  limits: FlowLimits,
  world: World,
  first: readonly FlowEffect[],
): Step {
  const flow: Flow = { state: 'ending', terms, by, reason, waitingFor: tell };
  return [
    flow,
    [
      ...first,
      { type: 'forward', allowed: false },
      ...tell.map((id) => sendEnd(id, terms, reason)),
      { type: 'wakeAt', at: later(world.now, limits.endTimeout) },
    ],
  ];
}

/** Erased here; nobody is told. */
export function over(terms: Terms, reason: Reason): Step {
  return [
    { state: 'over', terms, reason },
    [{ type: 'forget' }, { type: 'wakeAt', at: null }, { type: 'audit', event: 'session.over', reason }],
  ];
}
