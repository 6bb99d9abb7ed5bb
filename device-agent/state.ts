/**
 * What an agent knows: who it is, its link, its channel to the manager, what it registered, its sessions. Owned by
 * agent.ts; the parts beside it change it inside one step.
 */

import type { CertificateReader, ParsedCertificate } from '../protocol/certificate.ts';
import type { Channel } from '../protocol/channel.ts';
import type { PublicKey } from '../protocol/crypto.ts';
import type { Deadlines } from '../protocol/deadlines.ts';
import type { LoginIdentity } from '../protocol/login.ts';
import type { Reason } from '../protocol/message-values.ts';
import type { ChannelMessage, MessageOf } from '../protocol/messages.ts';
import type { RecordContext } from '../protocol/record.ts';
import type { Registration } from '../protocol/registration.ts';
import type { ResumptionSecret } from '../protocol/resumption.ts';
import type { KeyMode, Suite } from '../protocol/suites.ts';
import type { LocalClock } from '../protocol/time-window.ts';
import type { Topics } from '../protocol/topics.ts';
import type { DeviceId, LinkId, Millis } from '../protocol/units.ts';
import type { ApprovalPolicy } from './approval.ts';
import type { ApprovalState } from './approval-memory.ts';
import type { Cost } from './cost.ts';
import type { Effect } from './effects.ts';
import type { Invitation, Joining } from './joining-states.ts';
import type { CertificateLife, DeviceTime } from './life-states.ts';
import type { UsersState } from './user-states.ts';

export interface AgentSettings {
  readonly topics: Topics;
  /** `outside`: not ours; it knows this device by its own means, and the device's topics are there at once. Absent: ours. */
  readonly broker?: 'kagimori' | 'outside';
  /** Manager name learnt at enrolment. */
  readonly manager: string;
  readonly anchors: readonly ParsedCertificate[];
  readonly reader: CertificateReader;
  /** The pinned keys of verifiers; none: the manager's certificate is checked by this device alone. Follow their file. */
  verifierKeys: readonly PublicKey[];
  /** What is demanded of the manager's certificate beside our own check [patent 0088]. */
  readonly managerVerdict: 'none' | 'cached' | 'fresh';
  /** (P8) an explicit choice; the manager must grant it. */
  readonly authenticateOnly: boolean;
  /** null: the channel stays open; otherwise it is closed after so long without a message. */
  readonly closeWhenIdle: Millis | null;
  /** Follows its file. */
  approval: ApprovalPolicy;
  /** What clocks show where this device is; absent: UTC. */
  readonly localTime?: LocalClock;
  /** Callers approved beforehand by the configuration, with the longest lifetime. */
  readonly standing: readonly { readonly caller: DeviceId; readonly lifetimeSeconds: number }[];
  /** Whether somebody outside of the fleet may answer by topic; absent: nobody. */
  readonly hearsApprovers?: boolean;
  readonly maxSessions: number;
  /** Absent: the certificate is somebody else's business. */
  readonly renewal?: {
    /** @returns PKCS#10, DER, for this device's name over the key of its certificate */
    readonly writeRequest: () => Uint8Array;
  };
}

/** How one channel came about, for `status`. */
export interface Opening {
  readonly opened: 'edhoc' | 'resume';
  readonly by: 'device' | 'manager';
  readonly cost: Cost;
}

/** A Connect on its way. */
export interface Call {
  readonly callee: string;
  readonly nonceA: Uint8Array;
  readonly lifetimeSeconds: number | null;
  readonly allowUnencrypted: boolean;
  readonly messageBytes: number | undefined;
  readonly purpose?: string | undefined;
  /** Until then the manager may wait for a user who is nowhere. */
  readonly waitUntil?: Millis | undefined;
  /** Of a user with several devices: this one. */
  readonly device?: DeviceId | undefined;
  /** The session whose user has moved, and how often in a row. */
  readonly follows?: { readonly sid: string; readonly moves: number } | undefined;
  readonly cost: Cost;
  sentOn: Channel | null;
}

/** An Ask that was decided or waits for it. */
export interface Asked {
  readonly ask: MessageOf<'Ask'>;
  readonly cost: Cost;
  /** By a standing approval, which may be taken back. */
  readonly stands?: boolean;
  /** null: a person is still being asked. */
  nonceB: Uint8Array | null;
  /** Records of the caller that came before the grant. */
  readonly early: Uint8Array[];
}

/** A Renew that this device has agreed to, and whose grant is on its way. */
export interface PendingRenewal {
  readonly renew: MessageOf<'Renew'>;
  readonly nonce: Uint8Array;
  readonly until: Millis;
  readonly cost: Cost;
  /** Records of the peer that came before the grant. */
  readonly early: Uint8Array[];
  /** How often the answer was said again. */
  repeats: number;
}

/** An End that is said again until the manager confirms it, or the session's life is over anyway. */
export interface UnconfirmedEnd {
  readonly sid: Uint8Array;
  readonly reason: Reason;
  readonly until: Millis;
  repeats: number;
}

/** Sessions of one caller, approved beforehand. */
export interface StandingApproval {
  readonly lifetimeSeconds: number;
  /** Given out and not used yet: hex. */
  readonly nonces: Set<string>;
}

export type SessionState =
  /** The grant is installed; no record of the peer has opened yet. */
  | { readonly name: 'granted'; readonly hellosSent: number }
  | { readonly name: 'open' }
  /** End was sent to the manager, or waits for a channel. */
  | { readonly name: 'ending'; readonly reason: Reason };

export interface Session {
  readonly sid: Uint8Array;
  readonly role: 'caller' | 'callee';
  readonly peer: DeviceId;
  readonly name: string;
  /** The caller's key of its call. */
  readonly call: string | null;
  /** What the caller wished; null: at the callee, or from before a restart. */
  readonly wishes: Call | null;
  /** SHA-256 of the certificate of the user that it was made to, in hex; null: it was made to a device. */
  readonly user: string | null;
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  /** Counts the grants: above 0 it was renewed. */
  readonly epoch: number;
  readonly route: number | null;
  readonly records: RecordContext;
  /** The keys of the epoch before, while the session moves to another suite. */
  before: { readonly records: RecordContext; readonly epochBit: 0 | 1; readonly sends: boolean } | null;
  readonly until: Millis;
  readonly addresses: readonly string[];
  readonly cost: Cost;
  readonly data: { sent: number; received: number; sentBytes: number; receivedBytes: number };
  state: SessionState;
  /** A record of the peer has opened: what follows is no cost of the opening. */
  opened: boolean;
}

export interface PendingRegistration {
  readonly requestId: Uint8Array;
  readonly content: Registration;
  readonly hash: Uint8Array;
  readonly purpose: 'register' | 'delete';
}

/** The registration as wanted, as acknowledged, and on its way. */
export interface RegistrationState {
  wanted: Registration;
  acknowledged: { readonly version: number; readonly hash: Uint8Array; readonly content: Registration } | null;
  pending: PendingRegistration | null;
  /** false: nothing is registered and nothing shall be. */
  active: boolean;
}

/** In the minute under way, how often each caller was put to people. */
export interface Questions {
  since: Millis;
  readonly counts: Map<DeviceId, number>;
}

export interface AgentState {
  readonly settings: AgentSettings;
  /** What the next login shows. */
  identity: LoginIdentity;
  readonly id: DeviceId;
  /** SHA-256 of the leaf that the manager has, which stands in transcripts. */
  leafHash: Uint8Array;
  readonly time: DeviceTime;
  readonly life: CertificateLife;
  readonly instance: Uint8Array;
  /** Never leaves this device. */
  readonly consentKey: Uint8Array;
  link: LinkId | null;
  /** Of the present link, or the last. */
  linkedAt: Millis;
  /** The manager has spoken to us as our device on this link. */
  promoted: boolean;
  joining: Joining | null;
  invitation: Invitation | null;
  channel: { readonly channel: Channel; readonly opening: Opening } | null;
  /** Why the manager did not let us in, in its own words. */
  denied: string | null;
  /** For which reason a denial was last told to the log as an error, and when. */
  deniedSaid: { readonly reason: string; readonly at: Millis } | null;
  failures: number;
  /** The manager asked not to be bothered before. */
  restUntil: Millis | null;
  /** n of the chain, as it stands on disk. */
  secret: ResumptionSecret | null;
  managerLeaf: { readonly chain: readonly Uint8Array[]; readonly hash: Uint8Array } | null;
  /** The manager holds our leaf: its hash is enough. */
  chainHeld: boolean;
  readonly registration: RegistrationState;
  readonly calls: Map<string, Call>;
  readonly asked: Map<string, Asked>;
  readonly questions: Questions;
  readonly sessions: Map<string, Session>;
  /** Sessions that are over here and of which the manager has not said so yet, by sid in hex. */
  readonly unconfirmedEnds: Map<string, UnconfirmedEnd>;
  /** Sids and calls of this process that are over, in hex: none of them is renewed. The last 1,024. */
  readonly over: Set<string>;
  /** By sid, in hex. */
  readonly renewals: Map<string, PendingRenewal>;
  readonly approvals: ApprovalState;
  /** Those that count, of the configuration and given at run time; by caller. */
  readonly standing: Map<DeviceId, StandingApproval>;
  readonly users: UsersState;
  readonly openings: Opening[];
  /** Messages that wait for a channel, and those that ride on the next record. */
  readonly waiting: ChannelMessage[];
  readonly riding: ChannelMessage[];
  hintedAt: Millis | null;
  readonly deadlines: Deadlines;
  nextSave: number;
  /** The save that the exchange under way waits for. */
  awaitedSave: number | null;
  /** Whom the work of this step is charged to. */
  charged: Cost | null;
  out: Effect[];
}
