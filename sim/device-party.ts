/**
 * One device of a world: the real agent, its memory on a disk, its line to the broker. What device-agent/service.ts is
 * to an agent in production, without sockets and files.
 */
import { type AgentEvent, createAgent, stepAgent } from '../device-agent/agent.ts';
import { decodeApprovals, NO_APPROVALS } from '../device-agent/approval-memory.ts';
import { type CallWish, startCall } from '../device-agent/calling.ts';
import { deviceWorld } from '../device-agent/device-time.ts';
import type { Effect, News } from '../device-agent/effects.ts';
import { decodeMemory, NO_MEMORY } from '../device-agent/memory.ts';
import type { AgentSettings, AgentState, Session } from '../device-agent/state.ts';
import { toHex } from '../protocol/bytes.ts';
import { type Crypto, type PublicKeyCounter, publicKeyOperations } from '../protocol/crypto.ts';
import type { LoginIdentity } from '../protocol/login.ts';
import type { Registration } from '../protocol/registration.ts';
import { type DeviceId, EpochSeconds, Millis } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { alarm } from './alarm.ts';
import { type Sealing, tapCrypto } from './crypto-tap.ts';
import type { Disk } from './disk.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import type { Outgoing } from './message-names.ts';
import type { LineOwner, PartyName } from './party.ts';
import type { PartyContext } from './party-context.ts';

/** A user's removable medium: what is on it, already unlocked. */
export interface SimMedium {
  readonly user: string;
  readonly chain: readonly [Uint8Array, ...Uint8Array[]];
  /** SHA-256 of the user's certificate. */
  readonly leaf: Uint8Array;
  sign(toSign: Uint8Array): Uint8Array;
}

/** What is on a device's disk. */
export interface DiskImage {
  readonly memory: Uint8Array | null;
  readonly chain: readonly Uint8Array[];
  readonly approvals: Uint8Array | null;
}

export interface DeviceParts {
  /** What this machine is called in the world, where several are one device; its id when absent. */
  readonly name?: PartyName;
  readonly settings: AgentSettings;
  readonly identity: LoginIdentity;
  /** DER of its leaf. */
  readonly leaf: Uint8Array;
  readonly wanted: Registration;
  readonly crypto: Crypto;
  readonly disk: Disk;
  readonly skewSeconds: number;
  told(device: DeviceParty, news: News): void;
  installed(device: DeviceParty, sid: string, session: Session | null): void;
}

export interface DeviceParty {
  readonly id: DeviceId;
  /** Of the process that runs now, or ran last. */
  readonly state: AgentState;
  readonly running: boolean;
  readonly disk: Disk;
  readonly counter: PublicKeyCounter;
  /** What is durable of its memory. */
  readonly memory: Uint8Array | null;
  /** By how much its wall clock is ahead; may be changed at any time. */
  skewSeconds: number;
  readonly owner: LineOwner;
  /** Public-key operations so far, over all processes. */
  operations(): number;
  world(): World;
  /** What a program on the device wants, in a turn of the agent. */
  run(wish: (state: AgentState, world: World) => void): void;
  /** @returns the call's key: hex of its nonce */
  call(callee: string, wish?: Partial<CallWish>): string;
  /** Puts a medium in; one that is in stays in over a restart, and is unlocked again. */
  insert(medium: SimMedium): void;
  pull(medium: SimMedium): void;
  /** A copy of its disk, and another machine's disk in the place of its own. Only while it is switched off. */
  image(): DiskImage;
  restore(image: DiskImage): void;
  /** A new process with what the disk has. */
  boot(): void;
  kill(): void;
}

/** What an elliptic signature takes in another process of a small device. */
const SIGNING_MICROS = 4 * MICROS_PER_MS;
const FULL = 'the disk is full';
const DEFAULT_CALL = { lifetimeSeconds: null, allowUnencrypted: false, timeoutSeconds: 60 };

export function deviceParty(id: DeviceId, parts: DeviceParts, context: PartyContext): DeviceParty {
  const { queue, now, names } = context;
  const { name = id } = parts;
  let sealings: Sealing[] = [];
  const crypto = tapCrypto(parts.crypto, (sealing) => {
    sealings.push(sealing);
    context.sealed(name, sealing);
  });
  let process = 0;
  let running = false;
  let memory: Uint8Array | null = null;
  let chain = parts.identity.chain;
  let approvals: Uint8Array | null = null;
  let state: AgentState;

  const systemWorld = (): World => ({
    now: Millis(now() / MICROS_PER_MS),
    wall: EpochSeconds(context.wall() + self.skewSeconds),
    crypto,
  });
  const world = (): World => deviceWorld(state, systemWorld());
  const sidOf = (peer: string, route: number | null): string | null => {
    for (const [sid, session] of state.sessions) if (session.peer === peer && session.route === route) return sid;
    return null;
  };

  const turn = (act: () => readonly Effect[]): void => {
    if (!running) return;
    sealings = [];
    const before = publicKeyOperations(crypto.counter);
    const effects = act();
    if (state.charged !== null) state.charged.publicKeyOps += publicKeyOperations(crypto.counter) - before;
    perform(effects);
    wake.set();
  };
  const feed = (event: AgentEvent): void => turn(() => stepAgent(state, event, systemWorld()));

  const perform = (effects: readonly Effect[]): void => {
    const outgoing: Outgoing[] = effects.filter((effect) => effect.type === 'publish');
    const named = outgoing.length === 0 ? [] : names.name(outgoing, sealings, sidOf);
    let sent = 0;
    for (const effect of effects) {
      switch (effect.type) {
        case 'publish':
          context.publish(name, effect.topic, effect.payload, named[sent++]!);
          break;
        case 'tell':
          if (effect.news.news === 'channelOpened') context.settled(name);
          parts.told(self, effect.news);
          break;
        case 'log':
          context.logged(name, effect);
          if (effect.event === 'session.granted') noteInstalled(String(effect.fields.sid));
          break;
        case 'save':
          save(effect.content, effect.number);
          break;
        case 'keep': // written before the turn is over, or not at all
          if (parts.disk.state === 'good') approvals = effect.content;
          break;
        case 'storeCertificate':
          storeCertificate(effect.chain, effect.number);
          break;
        case 'rest':
          context.rest(name, effect.forMs);
          break;
        case 'signAsUser':
          signAsUser(effect.leaf, effect.toSign, effect.number);
          break;
        default:
          effect satisfies never;
      }
    }
  };

  const noteInstalled = (sid: string): void => parts.installed(self, sid, state.sessions.get(sid) ?? null);

  const save = (content: Uint8Array | null, number: number): void => {
    const writer = process;
    parts.disk.write(
      () => {
        memory = content;
      },
      (kept) => feed(kept ? { type: 'saved', number } : { type: 'saveFailed', number, reason: FULL }),
      () => running && process === writer,
    );
  };

  const storeCertificate = (issued: readonly Uint8Array[], number: number): void => {
    const writer = process;
    parts.disk.write(
      () => {
        chain = issued;
      },
      (kept) =>
        feed(kept ? { type: 'certificateStored', number } : { type: 'certificateNotStored', number, reason: FULL }),
      () => running && process === writer,
    );
  };

  const media = new Map<string, SimMedium>();
  const signAsUser = (leaf: Uint8Array, toSign: Uint8Array, number: number): void => {
    const asking = process;
    queue.push(now() + SIGNING_MICROS, () => {
      if (process !== asking) return;
      const signature = media.get(toHex(leaf))?.sign(toSign) ?? null;
      feed({ type: 'userSigned', number, signature });
    });
  };

  const wake = alarm(
    queue,
    now,
    () => state.deadlines,
    () => feed({ type: 'time' }),
  );

  const create = (): AgentState =>
    createAgent(
      parts.settings,
      { identity: { ...parts.identity, chain }, id, leafHash: crypto.hash('sha-256', chain[0]!) },
      parts.wanted,
      memory === null ? NO_MEMORY : decodeMemory(memory.slice()),
      systemWorld(),
      approvals === null ? NO_APPROVALS : decodeApprovals(approvals.slice()),
    );

  const self: DeviceParty = {
    id,
    get state() {
      return state;
    },
    get running() {
      return running;
    },
    get memory() {
      return memory;
    },
    disk: parts.disk,
    counter: crypto.counter,
    skewSeconds: parts.skewSeconds,
    owner: {
      up: (link) => feed({ type: 'linked', link }),
      down: () => feed({ type: 'unlinked' }),
      received: (topic, payload) => feed({ type: 'received', topic, payload }),
    },
    operations: () => publicKeyOperations(crypto.counter),
    world,
    run(wish) {
      turn(() => {
        state.out = [];
        state.charged = null;
        wish(state, world());
        return state.out;
      });
    },
    call(callee, wish = {}) {
      let key = '';
      self.run((current, then) => {
        key = startCall(current, { ...DEFAULT_CALL, callee, ...wish }, then);
      });
      return key;
    },
    insert(medium) {
      media.set(toHex(medium.leaf), medium);
      feed({ type: 'userInserted', user: medium.user, chain: medium.chain });
    },
    pull(medium) {
      media.delete(toHex(medium.leaf));
      feed({ type: 'userRemoved', leaf: medium.leaf });
    },
    image: () => ({ memory: memory?.slice() ?? null, chain, approvals: approvals?.slice() ?? null }),
    restore(image) {
      memory = image.memory?.slice() ?? null;
      approvals = image.approvals?.slice() ?? null;
      chain = image.chain;
    },
    boot() {
      process++;
      running = true;
      state = create();
      wake.set();
      for (const { user, chain } of media.values()) feed({ type: 'userInserted', user, chain });
    },
    kill() {
      process++;
      running = false;
      wake.off();
    },
  };
  state = create();
  return self;
}
