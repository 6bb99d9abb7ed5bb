/**
 * Runs the manager: its files and store, the transport, the clock, and the loop that performs effects.
 */
import { readCertificateFile, readPinnedKey } from '../platform/certificate-file.ts';
import { certificateReader } from '../platform/certificates.ts';
import { ControlError, type ControlHandler, type JsonValue } from '../platform/control-socket.ts';
import { drive } from '../platform/driver.ts';
import { linkLog } from '../platform/link-log.ts';
import type { Log } from '../platform/log.ts';
import { type Change, type Store, StoreError } from '../platform/store.ts';
import type { Transport, TransportObserver } from '../platform/transport.ts';
import { equal } from '../protocol/bytes.ts';
import { roleFault } from '../protocol/certificate-role.ts';
import type { Crypto, SigningKey } from '../protocol/crypto.ts';
import { nextDeadline } from '../protocol/deadlines.ts';
import { type LoginIdentity, suitesFor } from '../protocol/login.ts';
import { DEFAULT_RULE } from '../protocol/matching.ts';
import { CHANNEL_SUITES } from '../protocol/suites.ts';
import { deviceId, MANAGER, topicsUnder } from '../protocol/topics.ts';
import { type DeviceId, type EpochSeconds, type LinkId, type Millis, seconds, Topic } from '../protocol/units.ts';
import { removeDevice } from './channels.ts';
import type { ManagerConfig } from './config.ts';
import { createManager } from './creation.ts';
import type { Effect } from './effects.ts';
import { type ManagerEvent, stepManager } from './manager.ts';
import { loadRegistry } from './registry.ts';
import { acknowledge, showRollback, tellHistory } from './rollback.ts';
import { loadRollback, type StoreHistory } from './rollback-record.ts';
import { stepSession } from './sessions.ts';
import { showDevice, showSession, showStatus } from './show.ts';
import type { Listing, ManagerState, Settings } from './state.ts';

export interface ManagerParts {
  readonly crypto: Crypto;
  readonly clock: { now(): Millis; wall(): EpochSeconds; cpuMicros(): number };
  readonly log: Log;
  readonly store: Store;
  /** Opens the private key that a configuration names. */
  readonly openKey: (path: string) => SigningKey & { readonly publicSpki: Uint8Array };
  /** 32 bytes; resumption secrets are sealed under it. */
  readonly sealingKey: Uint8Array;
  /** What is known of the store from before this process. */
  readonly history?: StoreHistory;
  readonly openTransport: (options: {
    readonly subscriptions: (link: LinkId) => readonly Topic[];
    readonly observer: TransportObserver;
  }) => Transport;
}

export interface ManagerService {
  readonly control: Readonly<Record<string, ControlHandler>>;
  close(): Promise<void>;
}

/** A file or setting that the manager cannot start with; the message names it and says what to do. */
export class ManagerError extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'ManagerError';
  }
}

/** @throws ManagerError, FileFault, StoreError */
export function startManager(config: ManagerConfig, parts: ManagerParts): ManagerService {
  const { crypto, clock, log, store, openKey, sealingKey, openTransport } = parts;
  const settings = settingsOf(config);
  const [identity, ...otherIdentities] = [config, ...config.otherCertificates].map((files) =>
    readIdentity(files, config.name, openKey),
  );
  if (identity === undefined) throw new ManagerError('certificateFile: a manager needs a certificate');
  const world = () => ({ now: clock.now(), wall: clock.wall(), crypto });
  const state = createManager(
    {
      settings,
      identity,
      otherIdentities,
      verifierKey: readPinnedKey(config.verifierCertificateFile, crypto),
      reader: certificateReader(),
      sealingKey,
    },
    loadRegistry(store),
    world(),
  );
  state.rollback.notice = loadRollback(store);
  if (parts.history !== undefined) state.rollback.history = parts.history;

  let steps = 0;
  let cpuMicros = 0;
  const loop = drive<ManagerEvent, Effect>({
    now: clock.now,
    step(event) {
      const began = clock.cpuMicros();
      const effects = stepManager(state, event, world());
      cpuMicros += clock.cpuMicros() - began;
      steps++;
      return effects;
    },
    perform(effect, feed) {
      switch (effect.type) {
        case 'publish':
          return transport.publish(effect.topic, effect.payload, 1);
        case 'log':
          return log[effect.level](effect.event, effect.fields);
        case 'commit':
          store.commit(effect.changes).then(
            () => feed({ type: 'committed', number: effect.number }),
            (error: unknown) => {
              const reason = error instanceof Error ? error.message : String(error);
              const refused = effect.changes.map((change) => ({ change, held: heldBy(store, change) }));
              feed({ type: 'commitFailed', number: effect.number, reason, refused });
            },
          );
          return;
        default:
          effect satisfies never;
      }
    },
    nextDeadline: () => nextDeadline(state.deadlines),
    time: { type: 'time' },
  });
  let link: { readonly state: 'up' | 'down'; readonly reason: string | null } = {
    state: 'down',
    reason: 'not there yet',
  };
  const { topics } = settings;
  const links = linkLog(log, () => clock.now());
  const transport = openTransport({
    subscriptions: () => [
      Topic(`${topics.root}/m/+`),
      topics.verifierAnswer(MANAGER),
      ...(settings.broker === 'outside' ? [] : [topics.controlReports]),
    ],
    observer: {
      up: () => {
        link = { state: 'up', reason: null };
        links.up();
        loop.feed({ type: 'linked' });
      },
      down: (reason) => {
        link = { state: 'down', reason };
        links.down(reason);
      },
      received: (topic, payload) => loop.feed({ type: 'received', topic, payload }),
    },
  });
  loop.run(() => {
    state.out = [];
    tellHistory(state);
    return state.out;
  });
  return {
    control: controlOf(
      state,
      settings,
      () => ({ link, steps, cpuMicros, traffic: transport.traffic }),
      loop.run,
      world,
    ),
    async close() {
      loop.close();
      await transport.close();
    },
  };
}

/** What the disk holds in the place of a change that it refused; an altered record counts as none. */
function heldBy(store: Store, { table, key }: Change): Uint8Array | null {
  try {
    return store.get(table, key);
  } catch (error) {
    if (error instanceof StoreError) return null;
    throw error;
  }
}

/** One certificate with its key. @throws ManagerError, FileFault */
function readIdentity(
  { certificateFile, keyFile }: { readonly certificateFile: string; readonly keyFile: string },
  name: string,
  openKey: ManagerParts['openKey'],
): LoginIdentity {
  const chain = readCertificateFile(certificateFile);
  const [leaf] = chain;
  const signingKey = openKey(keyFile);
  if (!equal(signingKey.publicSpki, leaf.spki)) {
    throw new ManagerError(`${keyFile}: the key does not belong to the certificate in ${certificateFile}`);
  }
  const fault = roleFault(leaf, chain.slice(1), 'manager', name);
  if (fault !== null) throw new ManagerError(`${certificateFile}: devices would refuse it: ${fault.detail}`);
  const cipherSuites = suitesFor(signingKey);
  if (cipherSuites.length === 0) {
    throw new ManagerError(
      `${keyFile}: a manager's key is of kind p256 or ed25519: no EDHOC suite signs with this one`,
    );
  }
  const channelSuites = CHANNEL_SUITES.map((_, number) => number);
  return { chain: chain.map(({ der }) => der), signingKey, cipherSuites, channelSuites };
}

function settingsOf(config: ManagerConfig): Settings {
  const listings = new Map<DeviceId, Listing>();
  for (const [name, listing] of Object.entries(config.devices)) {
    const id = deviceId(name);
    if (id === null)
      throw new ManagerError(`devices.${name}: no device id: 1 to 64 bytes, no control characters, no leading ~`);
    listings.set(id, listing);
  }
  const { sessions, limits } = config;
  return {
    name: config.name,
    topics: topicsUnder(config.root),
    broker: 'kind' in config.broker ? config.broker.kind : 'kagimori',
    listings,
    admit: config.admit,
    connectPolicy: config.connect,
    rule: { ...DEFAULT_RULE, precedence: config.precedence },
    authenticateOnly: config.authenticateOnly,
    lifetimeSeconds: {
      byDefault: Math.round(sessions.lifetimeSeconds),
      atMost: Math.round(sessions.maxLifetimeSeconds),
    },
    flowLimits: {
      openTimeout: seconds(sessions.openTimeoutSeconds),
      askTimeout: seconds(sessions.askTimeoutSeconds),
      endTimeout: seconds(sessions.endTimeoutSeconds),
    },
    pace: { resumptionsPerSecond: limits.resumptionsPerSecond, loginsPerSecond: limits.loginsPerSecond },
    limits: {
      halfOpen: limits.halfOpen,
      exchangeTimeout: seconds(limits.exchangeTimeoutSeconds),
      questionTimeout: seconds(limits.questionTimeoutSeconds),
      closeTimeout: seconds(3),
      linkGrace: seconds(sessions.linkGraceSeconds),
      sessionsPerDevice: limits.sessionsPerDevice,
      pendingPerDevice: limits.pendingPerDevice,
    },
  };
}

/** What operators ask over the control socket. */
function controlOf(
  state: ManagerState,
  settings: Settings,
  counters: () => {
    link: { state: 'up' | 'down'; reason: string | null };
    steps: number;
    cpuMicros: number;
    traffic: Transport['traffic'];
  },
  run: (act: () => readonly Effect[]) => void,
  world: () => Parameters<typeof stepManager>[2],
): Readonly<Record<string, ControlHandler>> {
  const text = (args: JsonValue, key: string): string => {
    const value =
      args !== null && typeof args === 'object' && !Array.isArray(args)
        ? (args as Record<string, JsonValue>)[key]
        : undefined;
    if (typeof value !== 'string') throw new ControlError('usage', `${key} is missing`);
    return value;
  };
  const session = (sid: string) => {
    const found = state.sessions.get(sid);
    if (found === undefined) throw new ControlError('not-found', `no session ${sid}: kagimori session list`);
    return found;
  };
  /** Without a link of its own the manager does not know who has one. */
  const heard = (shown: { readonly [key: string]: JsonValue }): { readonly [key: string]: JsonValue } =>
    counters().link.state === 'up' ? shown : { ...shown, linked: null };
  return {
    status: async () => ({ ...heard(showStatus(state, settings)), ...counters(), rollback: showRollback(state) }),
    'store.acknowledge': async () => {
      const known = showRollback(state);
      run(() => {
        state.out = [];
        acknowledge(state);
        return state.out;
      });
      return known;
    },
    'device.list': async () => [...state.devices.keys()].sort().map((id) => heard(showDevice(state, id))),
    'device.show': async (args) => {
      const id = text(args, 'id') as DeviceId;
      if (!state.devices.has(id)) throw new ControlError('not-found', `no device ${id}: kagimori device list`);
      return heard(showDevice(state, id));
    },
    'device.remove': async (args) => {
      const id = text(args, 'id') as DeviceId;
      if (!state.devices.has(id)) throw new ControlError('not-found', `no device ${id}: kagimori device list`);
      run(() => {
        state.out = [];
        removeDevice(state, id, world());
        return state.out;
      });
      return { id };
    },
    'session.list': async () => [...state.sessions].map(([sid, found]) => showSession(sid, found)),
    'session.show': async (args) => showSession(text(args, 'sid'), session(text(args, 'sid'))),
    'session.end': async (args) => {
      const sid = text(args, 'sid');
      session(sid);
      run(() => {
        state.out = [];
        stepSession(state, sid, { type: 'endAsked', by: null, reason: 'withdrawn' }, world());
        return state.out;
      });
      return { sid };
    },
  };
}
