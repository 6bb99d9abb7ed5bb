/**
 * What a town consists of, and what may be wished of it. @see test/town.ts
 */
import type { AgentEvent } from '../device-agent/agent.ts';
import type { CallWish } from '../device-agent/calling.ts';
import type { News } from '../device-agent/effects.ts';
import type { AgentSettings, AgentState } from '../device-agent/state.ts';
import type { CertificateWish, Certified } from '../manager/effects.ts';
import type { InvitationWish, NewInvitation } from '../manager/invitations.ts';
import type { EnrolmentSettings, ManagerState, Settings } from '../manager/state.ts';
import type { memoryClock } from '../platform/clock.ts';
import type { GeneratedSigningKey } from '../platform/crypto-node.ts';
import type { Store } from '../platform/store.ts';
import type { Crypto, PublicKeyCounter } from '../protocol/crypto.ts';
import type { Proposal } from '../protocol/messages.ts';
import type { DeviceId, LinkId, Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { Holder, Wishes } from './test-authority.ts';
import type { TownCa } from './town-ca.ts';
import type { TownVerifier } from './town-verifier.ts';

export interface Packet {
  readonly from: string;
  readonly topic: Topic;
  readonly payload: Uint8Array;
}

/** What becomes of a packet: passed on as it is, or as these. */
export type Meddler = (packet: Packet) => readonly Uint8Array[] | 'pass';

export interface TownDevice {
  readonly id: DeviceId;
  state: AgentState;
  readonly crypto: Crypto;
  readonly holder: Holder;
  readonly news: News[];
  readonly logs: string[];
  /** What is on its disk. */
  memory: Uint8Array | null;
  /** What of approval is on its disk. */
  approvals: Uint8Array | null;
  /** Public-key operations so far, by kind. */
  readonly counter: Readonly<PublicKeyCounter>;
  /** Public-key operations so far. */
  operations(): number;
  /** Nothing reaches its disk any more, and nobody says so: what is killed then has lost it. */
  diskFrozen: boolean;
  /** By how much its system's clock is ahead. */
  skewSeconds: number;
  /** Its certificate file, leaf first. */
  chain: readonly Uint8Array[];
  /** As the device sees it. */
  world(): World;
  call(callee: string, wish?: Partial<CallWish>): string;
  /** A wish of a program on the device. */
  run(wish: (state: AgentState, world: World) => void): void;
  feed(event: AgentEvent): void;
  /** Puts a user's unlocked medium in; its key answers with the next `flush`. */
  insert(user: Holder, name?: string): void;
  pull(user: Holder): void;
  /** kill -9 and start again with what is on its disk. */
  restart(): void;
  /** Its process ends, and its link with it. */
  stop(): void;
  /** It falls silent, and nobody tells the broker: its link seems to live until `restart`, and beyond. */
  cutPower(): void;
  /** Its MQTT link breaks; it comes again by itself with `flush`. */
  breakLink(): void;
  latest<N extends News['news']>(news: N): Extract<News, { news: N }> | undefined;
}

export interface DeviceWishes {
  readonly proposals?: readonly Proposal[];
  readonly settings?: Partial<AgentSettings>;
  readonly certificate?: Wishes;
  readonly issuer?: Holder;
  readonly holder?: Holder;
  /** What lies on its disk at the start: a copied card. */
  readonly memory?: Uint8Array | null;
  readonly start?: boolean;
  readonly skewSeconds?: number;
  /** It renews its certificate by itself. */
  readonly renews?: boolean;
  /** What it shows in place of its own chain. */
  readonly chain?: readonly Uint8Array[];
  readonly cipherSuites?: readonly number[];
  readonly channelSuites?: readonly number[];
}

/** A link without an agent: whoever reaches the broker. */
export interface Stranger {
  readonly link: LinkId | null;
  readonly received: Packet[];
  /** On its own topic unless another is given. */
  publish(payload: Uint8Array, topic?: Topic): void;
}

export interface Town {
  readonly clock: ReturnType<typeof memoryClock>;
  readonly packets: Packet[];
  readonly ca: Holder;
  readonly root: Holder;
  manager: ManagerState;
  /** The CA that the manager asks, unless `certify` is set. */
  readonly certifying: TownCa;
  readonly managerCrypto: Crypto;
  readonly managerLogs: string[];
  readonly store: Store;
  readonly verifierKey: Holder;
  readonly verifiers: readonly TownVerifier[];
  /** Of everything but events of verifiers. */
  meddler: Meddler;
  /** The CA of the town, which refuses unless it is told otherwise; null: it does not answer. */
  certify: (wish: CertificateWish) => Certified | null;
  /** All of them. */
  verifierAway: boolean;
  /** The disk of the manager refuses. */
  diskBroken: boolean;
  /** Nothing reaches the manager's disk any more, and nobody says so. */
  diskFrozen: boolean;
  world(): World;
  runManager(act: (state: ManagerState) => void): void;
  /** An invitation that is stored: for a device, for an hour, unless it is wished otherwise. */
  invite(name: string, wish?: Partial<InvitationWish>): NewInvitation;
  stranger(): Stranger;
  add(name: string, wishes?: DeviceWishes): TownDevice;
  /** Lets everything happen that follows from what was done. */
  flush(): void;
  /** Moves the clock in steps no longer than the next deadline. */
  advance(ms: number): void;
  /** Publishes as whoever, past the policy: a hostile broker. */
  inject(topic: Topic, payload: Uint8Array): void;
  restartManager(): void;
  restartBroker(): void;
  /** At every verifier, which say so at once. */
  revoke(...holders: Holder[]): void;
}

export interface TownWishes {
  /** A broker that is not ours, under the access lists of `kagimori broker export`. */
  readonly outside?: boolean;
  readonly settings?: Partial<Settings>;
  /** The manager enrols devices. */
  readonly enrolment?: Partial<EnrolmentSettings>;
  /** How long what is issued then is good; a year when absent. */
  readonly certificateDays?: number;
  readonly managerCertificate?: Wishes;
  /** Further certificates of the manager, of other key types. */
  readonly otherManagers?: (issuer: Holder) => readonly Holder[];
  readonly managerHolder?: (issuer: Holder) => Holder;
  readonly algorithm?: 'p256' | 'ed25519';
  /** Where every key of the town comes from. */
  readonly newKey?: (algorithm: 'p256' | 'p384' | 'ed25519') => GeneratedSigningKey;
  /** The crypto half of a party: `manager`, `verifier` or a device. */
  readonly newCrypto?: (party: string, counter: PublicKeyCounter) => Crypto;
  /** How many there are, each with a key of its own, all of them pinned; one when absent. */
  readonly verifiers?: number;
  readonly signVerdictsWith?: Holder;
  readonly verdictMaxAge?: number;
  readonly managerSuites?: readonly number[];
  readonly managerChannelSuites?: readonly number[];
  /** What the manager shows in place of its own chain. */
  readonly managerChain?: (manager: Holder, issuer: Holder) => readonly Uint8Array[];
}
