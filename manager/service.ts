/**
 * Runs the manager: its files and store, the transport, the clock, and the loop that performs effects.
 */
import { readCertificateFile, readPinnedKeys } from '../platform/certificate-file.ts';
import { readRequest } from '../platform/certificate-request.ts';
import { certificateReader } from '../platform/certificates.ts';
import type { ControlHandler } from '../platform/control-socket.ts';
import { drive } from '../platform/driver.ts';
import { linkLog } from '../platform/link-log.ts';
import type { Log } from '../platform/log.ts';
import { followPinnedKeys } from '../platform/pinned-keys.ts';
import { type Change, type Store, StoreError } from '../platform/store.ts';
import type { Transport, TransportObserver } from '../platform/transport.ts';
import { equal } from '../protocol/bytes.ts';
import { roleFault } from '../protocol/certificate-role.ts';
import type { Crypto, SigningKey } from '../protocol/crypto.ts';
import { nextDeadline } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { type LoginIdentity, suitesFor } from '../protocol/login.ts';
import { CALLEE_FIRST, CALLER_FIRST, DEFAULT_SELECTION } from '../protocol/selection.ts';
import { CHANNEL_SUITES } from '../protocol/suites.ts';
import { deviceId, MANAGER, topicsUnder } from '../protocol/topics.ts';
import { type DeviceId, type EpochSeconds, type LinkId, type Millis, seconds, Topic } from '../protocol/units.ts';
import type { ManagerConfig } from './config.ts';
import { controlOf } from './control.ts';
import { createManager } from './creation.ts';
import type { Revoke } from './device-control.ts';
import type { CertificateWish, Certified, Effect } from './effects.ts';
import { type ManagerEvent, stepManager } from './manager.ts';
import { type Loaded, loadRegistry } from './registry.ts';
import { tellHistory } from './rollback.ts';
import { loadRollback, type StoreHistory } from './rollback-record.ts';
import { BUILT_IN_RULES, type Rules } from './rules.ts';
import type { EnrolmentSettings, Listing, Settings } from './state.ts';

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
  /** Of the operator's file; absent: the built-in default. */
  readonly rules?: Rules;
  /** The CA; absent: nobody is certified here. */
  readonly certify?: (wish: CertificateWish) => Promise<Certified>;
  /** At that CA, the certificate of a device that is reset. */
  readonly revoke?: Revoke;
  readonly openTransport: (options: {
    readonly subscriptions: (link: LinkId) => readonly Topic[];
    readonly observer: TransportObserver;
  }) => Transport;
}

/** Why rules are in force: the start, a changed file, a signal, an operator's command. */
export type RulesCause = 'start' | 'file' | 'signal' | 'asked';

export interface ManagerService {
  readonly control: Readonly<Record<string, ControlHandler>>;
  /** From the next match on; sessions that were made by other rules go on. */
  setRules(rules: Rules, cause: RulesCause): void;
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
  const builtIn = { ...DEFAULT_SELECTION, prefer: config.precedence === 'callee' ? CALLEE_FIRST : CALLER_FIRST };
  const [identity, ...otherIdentities] = [config, ...config.otherCertificates].map((files) =>
    readIdentity(files, config.name, openKey),
  );
  if (identity === undefined) throw new ManagerError('certificateFile: a manager needs a certificate');
  const rules = parts.rules ?? { ...BUILT_IN_RULES, otherwise: builtIn };
  const enrolment = enrolmentOf(config, identity);
  const settings: Settings = { ...settingsOf(config, rules), ...(enrolment !== null && { enrolment }) };
  const world = () => ({ now: clock.now(), wall: clock.wall(), crypto });
  const loaded = readRegistry(store, config.dataDirectory);
  if (loaded.outdated.length > 0) {
    const remedy = 'none needed: a device registers anew when its agent starts';
    log.warn('registry.outdated', { devices: loaded.outdated.length, remedy });
  }
  const state = createManager(
    {
      settings,
      identity,
      otherIdentities,
      verifierKeys: readPinnedKeys(config.verifierCertificateFile, crypto),
      reader: certificateReader(),
      readRequest,
      sealingKey,
    },
    loaded,
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
        case 'certify': {
          const { number, wish } = effect;
          const certified = (answer: Certified): void => feed({ type: 'certified', number, certified: answer });
          if (parts.certify === undefined) return certified({ refused: 'this manager has no CA' });
          parts
            .certify(wish)
            .then(certified, (error: unknown) =>
              certified({ refused: error instanceof Error ? error.message : String(error) }),
            );
          return;
        }
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
      topics.verifierEvents,
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
  const setRules = (rules: Rules, cause: RulesCause): void =>
    loop.run(() => {
      state.rules = rules;
      const fields = { digest: rules.digest, rules: rules.rules.length, cause };
      return [{ type: 'log', level: 'info', event: 'rules.in-force', fields }];
    });
  if (parts.rules !== undefined) setRules(parts.rules, 'start');
  const pinned = followPinnedKeys(config.verifierCertificateFile, crypto, log, (keys) => {
    state.verifierKeys = keys;
  });
  return {
    setRules,
    control: controlOf({
      state,
      counters: () => ({ link, steps, cpuMicros, traffic: transport.traffic }),
      run: loop.run,
      world,
      revoke: parts.revoke,
    }),
    async close() {
      pinned.close();
      loop.close();
      await transport.close();
    },
  };
}

/** @throws ManagerError for records of another version, StoreError */
function readRegistry(store: Store, dataDirectory: string): Loaded {
  try {
    return loadRegistry(store);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ManagerError(
      `${dataDirectory}: a record that this version does not read: ${error.message}: start the version that wrote it`,
    );
  }
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

/** Answers of an enrolment, and offers to one, have to fit into one message together with a chain. */
const MAX_ANCHOR_BYTES = 4500;

/** @returns null: nobody is certified here @throws ManagerError, FileFault */
function enrolmentOf({ enrolment, ...config }: ManagerConfig, identity: LoginIdentity): EnrolmentSettings | null {
  if (enrolment === undefined) return null;
  const { trustAnchorFiles, brokerUrl, approval, renewExpiredDays } = enrolment;
  const found = trustAnchorFiles.flatMap((path) => readCertificateFile(path));
  const top = certificateReader().readCertificate(identity.chain.at(-1)!);
  const own = found.find(({ subject }) => top !== null && equal(subject.der, top.issuer.der));
  if (own === undefined) {
    const detail = `none of them issued the certificate of the manager in ${config.certificateFile}`;
    throw new ManagerError(`enrolment.trustAnchorFiles: ${detail}: name the root under which it stands`);
  }
  const anchors = [own, ...found.filter((one) => one !== own)].map(({ der }) => der);
  const verifiers = readCertificateFile(config.verifierCertificateFile).map(({ der }) => der);
  const bytes = [...anchors, ...verifiers].reduce((sum, { length }) => sum + length, 0);
  if (anchors.length > MAX_SHOWN || verifiers.length > MAX_SHOWN || bytes > MAX_ANCHOR_BYTES) {
    const limit = `${MAX_SHOWN} trust anchors, ${MAX_SHOWN} certificates of verifiers, ${MAX_ANCHOR_BYTES} bytes together`;
    throw new ManagerError(`enrolment: a new device is told no more than ${limit}: leave some out`);
  }
  return { anchors, verifiers, brokerUrl, approval, renewExpiredDays };
}

/** As the messages allow. */
const MAX_SHOWN = 4;

function settingsOf(config: ManagerConfig, rules: Rules): Settings {
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
    duplicates: config.duplicates,
    connectPolicy: config.connect,
    rules,
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
    users: config.users,
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
