/**
 * What the manager knows: its own identity, the registry, who is linked, open channels, exchanges and sessions under way.
 * Owned by manager.ts; the parts beside it change it inside one step.
 */
import type { CertificateReader } from '../protocol/certificate.ts';
import type { RequestReader } from '../protocol/certificate-request.ts';
import type { Channel } from '../protocol/channel.ts';
import type { PublicKey } from '../protocol/crypto.ts';
import type { Deadlines } from '../protocol/deadlines.ts';
import type { LoginIdentity } from '../protocol/login.ts';
import type { Purpose, Reason } from '../protocol/message-values.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { Name } from '../protocol/names.ts';
import type { OfferList } from '../protocol/proposal.ts';
import type { SuitePattern } from '../protocol/suite-pattern.ts';
import type { Topics } from '../protocol/topics.ts';
import type { DeviceId, EpochSeconds, LinkId, Millis } from '../protocol/units.ts';
import type { Admission, Pace } from './admission.ts';
import type { Bearer } from './bearer.ts';
import type { Choices } from './choices.ts';
import type { Effect, OnCertified } from './effects.ts';
import type { EnrolmentDesk } from './enrolment-desk.ts';
import type { Flow, FlowLimits } from './flow.ts';
import type { Handshake } from './handshake.ts';
import type { ConnectPolicy } from './policy.ts';
import type { Probing } from './presence.ts';
import type { Refusals } from './refusals.ts';
import type { DeviceRecord, RegistrationRecord } from './registry.ts';
import type { RenewingDesk } from './renewing-desk.ts';
import type { Retirement } from './retirement.ts';
import type { RevocationWatch } from './revocation-watch.ts';
import type { RollbackWatch } from './rollback-record.ts';
import type { Rules } from './rules.ts';
import type { DuplicatePolicy, Sightings } from './sightings.ts';
import type { UserDesk } from './user-desk.ts';
import type { VoidDesk, Voiding } from './void-records.ts';

/** What the operator says of a device; steers policy and rules. */
export interface Listing {
  readonly class: string | null;
  readonly groups: readonly string[];
  readonly user: string | null;
}

export interface Settings {
  /** Manager name: in its certificate, and what devices expect. */
  readonly name: string;
  readonly topics: Topics;
  /** `outside`: not ours; it takes no orders, reports no links, and knows devices by its own means. Absent: ours. */
  readonly broker?: 'kagimori' | 'outside';
  readonly listings: ReadonlyMap<DeviceId, Listing>;
  /** `certified`: every good certificate; `listed`: only devices that the operator lists. */
  readonly admit: 'certified' | 'listed';
  /** Two machines with one certificate; absent: the later one is refused. */
  readonly duplicates?: DuplicatePolicy;
  readonly connectPolicy: ConnectPolicy;
  /** At the start. */
  readonly rules: Rules;
  readonly authenticateOnly: boolean;
  readonly lifetimeSeconds: { readonly byDefault: number; readonly atMost: number };
  readonly flowLimits: FlowLimits;
  readonly limits: Limits;
  /** Absent: the most recent device, and an end. */
  readonly users?: UserSettings;
  /** Absent: this manager certifies nobody. */
  readonly enrolment?: EnrolmentSettings;
  /** Absent: everybody is let in as he comes. */
  readonly pace?: Pace;
}

export interface UserSettings {
  /** Which device of a user who is at several is asked. */
  readonly several: 'most-recent' | 'all' | 'ask';
  /** What becomes of sessions made to a user who leaves. */
  readonly onLeave: 'end' | 'follow';
}

export interface EnrolmentSettings {
  /** What new devices are to trust, DER; the manager stands under the first. */
  readonly anchors: readonly Uint8Array[];
  /** Certificates of the verifiers, DER. */
  readonly verifiers: readonly Uint8Array[];
  /** For invitations. */
  readonly brokerUrl: string;
  /** `operator`: every new device waits for a person's yes. */
  readonly approval: 'automatic' | 'operator';
  /** For so many days after its end a certificate that is not revoked may be renewed; 0: not at all. */
  readonly renewExpiredDays: number;
}

/** Implementation limits, each configurable. */
export interface Limits {
  readonly halfOpen: number;
  readonly exchangeTimeout: Millis;
  readonly questionTimeout: Millis;
  readonly closeTimeout: Millis;
  /** How long the sessions of a device without a link are kept. */
  readonly linkGrace: Millis;
  readonly sessionsPerDevice: number;
  readonly pendingPerDevice: number;
}

/** A standing approval, valid for one process of the callee. */
export interface Standing {
  readonly lifetimeSeconds: number;
  readonly nonces: Uint8Array[];
}

/** A device with an open channel. */
export interface OpenChannel {
  readonly channel: Channel;
  readonly instance: Uint8Array | null;
  readonly by: 'device' | 'manager';
  readonly how: 'edhoc' | 'resume';
  readonly since: Millis;
  /** Callers whose sessions this device approved beforehand. */
  readonly standing: Map<DeviceId, Standing>;
  /** Sids that the device said it holds, until it has said all. */
  readonly held: Set<string>;
}

/** A grant as it was sealed: who says that it has none gets the same bytes again, on the same channel. */
export interface SealedGrant {
  readonly channel: Channel;
  readonly record: Uint8Array;
}

export interface Session {
  flow: Flow;
  /** The last grants, until a device says that its one is installed. */
  readonly sealed: Map<DeviceId, SealedGrant>;
  until: EpochSeconds;
}

/** An answer kept for a repeated request id. */
export interface StoredReply {
  readonly message: ChannelMessage;
  readonly at: Millis;
}

/** What was asked for: an exchange, a device whose verdict grows old, our own certificate. */
export type Subject =
  | { readonly for: 'exchange'; readonly party: string; readonly handshake: number }
  | { readonly for: 'refresh'; readonly bearer: Bearer; readonly leaf: string }
  /** A user who registers. */
  | { readonly for: 'user'; readonly request: string }
  | { readonly for: 'self'; readonly leaf: string }
  | { readonly for: 'selfForExchange'; readonly party: string; readonly handshake: number };

export interface PendingQuestion {
  readonly at: Millis;
  readonly subject: Subject;
  readonly purpose: Purpose;
  readonly leaf: Uint8Array;
  readonly chain: readonly Uint8Array[];
  readonly nonce: Uint8Array;
  /** As it was sent. */
  readonly payload: Uint8Array;
  /** Why an answer to it was not believed. */
  refused: string | null;
}

/** What follows when a commit is durable. */
export type Continuation =
  | { readonly next: 'finishExchange'; readonly party: string; readonly handshake: number }
  | {
      readonly next: 'reply';
      readonly device: DeviceId;
      readonly message: ChannelMessage;
      readonly requestId: Uint8Array;
    }
  | { readonly next: 'granted'; readonly sid: string; readonly epoch: number }
  | { readonly next: 'evicted'; readonly bearer: Bearer; readonly reason: Reason }
  | {
      readonly next: 'userStored';
      readonly device: DeviceId;
      readonly leaf: string;
      readonly request: string;
      readonly requestId: Uint8Array;
    }
  | {
      readonly next: 'retirement';
      /** null: none any more. */
      readonly retirement: { readonly pattern: SuitePattern; readonly by: EpochSeconds | null };
      readonly done: (failure: string | null) => void;
    }
  | { readonly next: 'enrolment'; readonly key: string }
  /** An operator waits for it. */
  /** A device is reset: all of it is on disk. */
  | {
      readonly next: 'voided';
      readonly voiding: Voiding;
      readonly invitation: { adopt(): void } | null;
      readonly done: (failure: string | null) => void;
    }
  | { readonly next: 'voidWritten'; readonly key: string }
  | { readonly next: 'told'; readonly done: (failure: string | null) => void }
  | { readonly next: 'nothing' };

export interface ManagerState {
  readonly settings: Settings;
  readonly identity: LoginIdentity;
  /** Certificates of other key types beside the first, for fleets that are mixed. */
  readonly otherIdentities: readonly LoginIdentity[];
  readonly instance: Uint8Array;
  /** The pinned ones; they follow their file. */
  verifierKeys: readonly PublicKey[];
  readonly reader: CertificateReader;
  readonly readRequest: RequestReader;
  readonly sealingKey: Uint8Array;

  readonly devices: Map<DeviceId, DeviceRecord>;
  readonly registrations: Map<DeviceId, RegistrationRecord>;
  /** What registrations offer, each read once. */
  readonly offers: WeakMap<RegistrationRecord, OfferList>;
  /** What was chosen lately, for pairs that ask again. */
  readonly choices: Choices;
  /** Of Connects, in the second under way. */
  readonly refusals: Refusals;
  /** Those of the present file. */
  rules: Rules;
  /** Suites that are to go, by their spelling. */
  readonly retirements: Map<string, Retirement>;
  /** Of the sessions whose suite is to go, how many this round has looked at. */
  retirementsSeen: number;
  /** Sealed records as they stand in the store. */
  readonly resumption: Map<DeviceId, Uint8Array>;
  readonly names: Map<Name, DeviceId>;
  /** SHA-256 of a leaf, in hex. */
  readonly leaves: Map<string, DeviceId>;

  readonly links: Map<DeviceId, LinkId>;
  readonly linkDevices: Map<LinkId, DeviceId>;
  /** Living links that the broker has told so far, until it has told all. */
  readonly reported: Set<LinkId>;
  readonly channels: Map<DeviceId, OpenChannel>;
  readonly handshakes: Map<string, Handshake>;
  readonly admission: Admission;
  /** Linked devices without a channel that have not been told so yet. */
  readonly toHint: Set<DeviceId>;
  readonly questions: Map<string, PendingQuestion>;
  /** The open question of an exchange, by the exchange's id. */
  readonly questionOf: Map<number, string>;
  readonly sessions: Map<string, Session>;
  readonly sessionsOf: Map<DeviceId, Set<string>>;
  /** By the two devices, in the order of their ids. */
  readonly sessionsBetween: Map<string, Set<string>>;
  /** By the caller and the nonce of its Connect: several while every device of a user is asked. */
  readonly sessionsOfCall: Map<string, Set<string>>;
  readonly replies: Map<DeviceId, Map<string, StoredReply>>;
  /** Devices that are asked whether they are there. */
  readonly probes: Map<DeviceId, Probing>;
  readonly users: UserDesk;
  readonly hinted: Map<string, Millis>;
  readonly commits: Map<number, Continuation>;
  readonly enrolment: EnrolmentDesk;
  readonly voids: VoidDesk;
  /** What the CA was asked for, by the number of the effect. */
  readonly certifying: Map<number, OnCertified>;
  nextCertificate: number;
  readonly deadlines: Deadlines;
  /** Verdicts on our own certificates, by SHA-256 of the leaf in hex. */
  readonly ownVerdicts: Map<string, { readonly bytes: Uint8Array; readonly until: EpochSeconds }>;
  /** When the verifier last answered. */
  verifierHeardAt: Millis | null;
  /** It leaves questions unanswered: since when, and when that was last said. */
  verifierAway: { readonly since: Millis; saidAt: Millis } | null;
  /** When the last good verdict on a device or a user runs out, as heard in this process. */
  readonly verdictEnds: Map<Bearer, Millis>;
  readonly renewing: RenewingDesk;
  /** What is known of revocation between two verdicts. */
  readonly revocation: RevocationWatch;
  /** Devices that were two machines. */
  readonly sightings: Sightings;
  /** Whether the store is what it was. */
  readonly rollback: RollbackWatch;
  nextCommit: number;
  nextHandshake: number;
  /** Channels that sessions of the step under way wait for. */
  toOpen: { readonly sid: string; readonly device: DeviceId }[];
  /** Grants of the step under way that found no channel. */
  undelivered: { readonly sid: string; readonly device: DeviceId }[];
  /** Effects of the step under way. */
  out: Effect[];
}

/** The file's word counts before that of the invitation. */
export function listingOf({ settings, enrolment }: ManagerState, id: DeviceId): Listing {
  const listed = settings.listings.get(id);
  if (listed !== undefined) return listed;
  const invited = enrolment.enrolled.get(id);
  return invited === undefined ? NOT_LISTED : { class: invited.class ?? null, groups: invited.groups, user: null };
}

const NOT_LISTED: Listing = { class: null, groups: [], user: null };

export const identitiesOf = (state: ManagerState): readonly LoginIdentity[] => [
  state.identity,
  ...state.otherIdentities,
];

/** Whether the operator lets this device in at all; asked at each login and each resumption. */
export const isWelcome = (
  { settings, enrolment }: Pick<ManagerState, 'settings' | 'enrolment'>,
  id: DeviceId,
): boolean =>
  settings.admit !== 'listed' || settings.listings.has(id) || enrolment.enrolled.get(id)?.invitation !== undefined;

/** The identity whose key signs in this EDHOC suite; the first one when none does. */
export const identityFor = (state: ManagerState, suite: number): LoginIdentity =>
  state.otherIdentities.find((identity) => identity.cipherSuites.includes(suite)) ?? state.identity;

/** Whether an attempt to reach a device makes sense: only our own broker says who is linked. */
export const mayBeLinked = (state: ManagerState, id: DeviceId): boolean =>
  state.settings.broker === 'outside' || state.links.has(id);
