/**
 * One device of a world: the real agent, its memory on a disk, its line to the broker. What device-agent/service.ts is
 * to an agent in production, without sockets and files.
 */
import { type AgentEvent, createAgent, stepAgent } from '../device-agent/agent.ts';
import { type CallWish, startCall } from '../device-agent/calling.ts';
import type { Effect, News } from '../device-agent/effects.ts';
import { decodeMemory, NO_MEMORY } from '../device-agent/memory.ts';
import type { AgentSettings, AgentState, Session } from '../device-agent/state.ts';
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
import type { LineOwner } from './party.ts';
import type { PartyContext } from './party-context.ts';

export interface DeviceParts {
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
  /** A new process with what the disk has. */
  boot(): void;
  kill(): void;
}

const DEFAULT_CALL = { lifetimeSeconds: null, allowUnencrypted: false, timeoutSeconds: 60 };

export function deviceParty(id: DeviceId, parts: DeviceParts, context: PartyContext): DeviceParty {
  const { queue, now, names } = context;
  let sealings: Sealing[] = [];
  const crypto = tapCrypto(parts.crypto, (sealing) => {
    sealings.push(sealing);
    context.sealed(id, sealing);
  });
  let process = 0;
  let running = false;
  let memory: Uint8Array | null = null;
  let state: AgentState;

  const world = (): World => ({
    now: Millis(now() / MICROS_PER_MS),
    wall: EpochSeconds(context.wall() + self.skewSeconds),
    crypto,
  });
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
  const feed = (event: AgentEvent): void => turn(() => stepAgent(state, event, world()));

  const perform = (effects: readonly Effect[]): void => {
    const outgoing: Outgoing[] = effects.filter((effect) => effect.type === 'publish');
    const named = outgoing.length === 0 ? [] : names.name(outgoing, sealings, sidOf);
    let sent = 0;
    for (const effect of effects) {
      switch (effect.type) {
        case 'publish':
          context.publish(id, effect.topic, effect.payload, named[sent++]!);
          break;
        case 'tell':
          if (effect.news.news === 'channelOpened') context.settled(id);
          parts.told(self, effect.news);
          break;
        case 'log':
          context.logged(id, effect);
          if (effect.event === 'session.granted') noteInstalled(String(effect.fields.sid));
          break;
        case 'save':
          save(effect.content, effect.number);
          break;
        case 'rest':
          context.rest(id, effect.forMs);
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
      (kept) => feed(kept ? { type: 'saved', number } : { type: 'saveFailed', number, reason: 'the disk is full' }),
      () => running && process === writer,
    );
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
      { identity: parts.identity, id, leafHash: crypto.hash('sha-256', parts.leaf) },
      parts.wanted,
      memory === null ? NO_MEMORY : decodeMemory(memory.slice()),
      world(),
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
    boot() {
      process++;
      running = true;
      state = create();
      wake.set();
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
