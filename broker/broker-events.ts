/**
 * What the broker tells of its work: events for the log, counters, and which limit a refusal comes from.
 */
import type { DeviceId, LinkId } from '../protocol/units.ts';
import { type Limits, ratePerAddress } from './limits.ts';
import type { Refusal } from './policy.ts';
import type { GuardFault } from './socket-guard.ts';
import type { WebFault } from './web-door.ts';

export type HostRefusal = Refusal | GuardFault | WebFault | 'login-timeout' | 'malformed-control';

/** Whom something is told of; what is not known yet is null. `address` is where the connection came from. */
export interface Whom {
  readonly link: LinkId | null;
  readonly device: DeviceId | null;
  readonly address: string | null;
}

/** The limit that was hit: its key in the configuration and its value; absent where it is no limit but a rule. */
export interface AtLimit {
  readonly key?: string;
  readonly limit?: number;
}

export type BrokerEvent =
  | ({ readonly kind: 'refused'; readonly reason: HostRefusal } & Whom & AtLimit)
  /** The link said more than it may and is read no further for now; told once in ten seconds. */
  | ({ readonly kind: 'slowed' } & Whom & AtLimit)
  | { readonly kind: 'promoted'; readonly link: LinkId; readonly device: DeviceId }
  | { readonly kind: 'ended'; readonly link: LinkId; readonly device: DeviceId | null };

export interface BrokerCounters {
  /** Living now. */
  links: number;
  promoted: number;
  /** Since the start. */
  readonly refused: Partial<Record<HostRefusal, number>>;
  /** How often a link was held back, by the limit. */
  readonly slowed: Partial<Record<keyof Limits, number>>;
  receivedMessages: number;
  receivedBytes: number;
  forwardedMessages: number;
  forwardedBytes: number;
}

/** Where the reason alone names the limit. */
const LIMIT_OF: Partial<Record<HostRefusal, keyof Limits>> = {
  'login-timeout': 'loginTimeoutMs',
  'too-many-new-links': 'newPerAddress',
  'too-many-messages': 'messagesBeforeLogin',
  'too-many-filters': 'subscriptions',
  'slow-reader': 'backlogBytes',
  'stalled-reader': 'drainTimeoutMs',
};

export const limitOf = (reason: HostRefusal): keyof Limits | null => LIMIT_OF[reason] ?? null;

export function atLimit(limits: Limits, key: keyof Limits | null): AtLimit {
  if (key === null) return {};
  const limit = key === 'newPerSecondPerAddress' ? ratePerAddress(limits) : limits[key];
  return { key: `limits.${key}`, limit };
}
