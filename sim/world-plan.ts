/**
 * What a world consists of: its parties, their links and disks, and what is demanded of them.
 */
import type { BrokerState } from '../broker/policy.ts';
import type { AgentSettings } from '../device-agent/state.ts';
import type { EnrolmentSettings, Settings as ManagerSettings } from '../manager/state.ts';
import type { Proposal } from '../protocol/messages.ts';
import type { LinkProfile } from './link-profile.ts';

export type CryptoKind = 'real' | 'model';

export interface DevicePlan {
  /** Its id: stands in its certificate, in topics and in the trace. */
  readonly name: string;
  readonly algorithm?: 'p256' | 'ed25519';
  readonly proposals?: readonly Proposal[];
  readonly addresses?: readonly string[];
  readonly settings?: Partial<AgentSettings>;
  readonly link?: LinkProfile;
  /** What it takes until something is safe on its disk. */
  readonly diskMs?: readonly [least: number, most: number];
  /** When it is switched on; at the beginning when absent. */
  readonly bootAtMs?: number;
  /** By how much its wall clock is ahead. */
  readonly skewSeconds?: number;
  /** Its certificate: begins an hour before the world, and ends after so many seconds; absent: outlives every world. */
  readonly certifiedForSeconds?: number;
  /** Whether it has its certificate renewed. */
  readonly renews?: boolean;
  /** It has a key and no certificate: `newcomers` has the machine that enrols it, under its name and ` (new)`. */
  readonly enrols?: boolean;
  /** Which device it wants to become; its name when absent. */
  readonly enrolsAs?: string;
  /** Another machine with the key and the certificate of that device. It is switched on by whoever drives the world. */
  readonly copyOf?: string;
}

export interface UserPlan {
  /** Stands in the certificate; asked for as `user:…`. */
  readonly name: string;
  readonly algorithm?: 'p256' | 'ed25519';
}

export interface WorldPlan {
  readonly crypto: CryptoKind;
  readonly devices: readonly DevicePlan[];
  /** Each with a medium that can be put into devices. */
  readonly users?: readonly UserPlan[];
  readonly manager?: {
    readonly settings?: Partial<ManagerSettings>;
    /** Key types; one certificate for each. */
    readonly algorithms?: readonly ('p256' | 'ed25519')[];
    readonly link?: LinkProfile;
    readonly diskMs?: readonly [least: number, most: number];
    readonly skewSeconds?: number;
    /** As of a device. */
    readonly certifiedForSeconds?: number;
    /** How long a certificate holds that its CA makes; a year when absent. */
    readonly certifiesForSeconds?: number;
    /** Whether it enrols and renews; the settings of that. */
    readonly enrolment?: Pick<EnrolmentSettings, 'approval' | 'renewExpiredDays'>;
  };
  readonly verifier?: {
    readonly maxAgeSeconds?: number;
    readonly link?: LinkProfile;
    readonly skewSeconds?: number;
  };
  readonly broker?: { readonly limits?: Partial<BrokerState['limits']> };
  /** Whether the trace keeps its entries, or only the hash over them; kept when absent. */
  readonly keepTrace?: boolean;
}
