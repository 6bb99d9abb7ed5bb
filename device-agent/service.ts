/**
 * Runs the agent: its files, its link, the clock, and the loop that performs effects.
 */
import { join } from 'node:path';
import { readCertificateFile, readPinnedKeys } from '../platform/certificate-file.ts';
import { issueRequest } from '../platform/certificate-request-issuing.ts';
import { certificateReader, writePem } from '../platform/certificates.ts';
import type { ControlHandler, JsonValue } from '../platform/control-socket.ts';
import { drive } from '../platform/driver.ts';
import { type FileWatch, watchFiles } from '../platform/file-watch.ts';
import { FileFault, readPrivate, writeAtomically } from '../platform/files.ts';
import { linkLog } from '../platform/link-log.ts';
import type { Log } from '../platform/log.ts';
import { followPinnedKeys } from '../platform/pinned-keys.ts';
import { TOKEN_RULE, tokenIn } from '../platform/token.ts';
import type { DeviceTransport, TransportObserver } from '../platform/transport.ts';
import { approvalTopic } from '../protocol/approval-topics.ts';
import { encodeUtf8, equal } from '../protocol/bytes.ts';
import { deviceNames } from '../protocol/certificate.ts';
import { roleFault } from '../protocol/certificate-role.ts';
import { type Crypto, publicKeyOperations, type SigningKey } from '../protocol/crypto.ts';
import { nextDeadline } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { HINT_FRAME } from '../protocol/frame.ts';
import { suitesFor } from '../protocol/login.ts';
import type { Proposal } from '../protocol/messages.ts';
import { proposalOf } from '../protocol/proposal.ts';
import { CHANNEL_SUITES } from '../protocol/suites.ts';
import { localClock } from '../protocol/time-window.ts';
import { deviceId, topicsUnder } from '../protocol/topics.ts';
import { type DeviceId, type EpochSeconds, type LinkId, type Millis, seconds, type Topic } from '../protocol/units.ts';
import { type AgentEvent, createAgent, stepAgent, wipeAgent } from './agent.ts';
import { refuseAsk } from './answering.ts';
import type { ApprovalPolicy } from './approval.ts';
import {
  APPROVALS_FILE,
  type ApprovalMemory,
  decodeApprovals,
  MAX_APPROVALS_BYTES,
  NO_APPROVALS,
} from './approval-memory.ts';
import { approvalPolicyOf } from './approval-policy.ts';
import type { Approver } from './approver-answer.ts';
import { approverDesk } from './approver-desk.ts';
import { type Asker, askAll } from './askers.ts';
import { closeChannel } from './channel.ts';
import { type AgentConfig, approvalConfig } from './config.ts';
import { controlOf } from './control.ts';
import { deviceWorld } from './device-time.ts';
import type { Effect, News } from './effects.ts';
import { announceAddresses } from './joining.ts';
import { type AgentMemory, decodeMemory, NO_MEMORY } from './memory.ts';
import { inboxes } from './outbox.ts';
import { type MeasureCosts, type MeasuredCosts, priceProposals } from './priced-proposals.ts';
import { endAllSessions } from './sessions.ts';
import type { AgentSettings } from './state.ts';
import type { InsertedUser } from './user-states.ts';

export interface AgentParts {
  readonly crypto: Crypto;
  readonly clock: { now(): Millis; wall(): EpochSeconds; cpuMicros(): number };
  readonly log: Log;
  readonly keyStore: SigningKey & { readonly publicSpki: Uint8Array };
  readonly openTransport: (options: {
    /** An outside broker may know it by its name. */
    readonly device: DeviceId;
    /** What an outside broker publishes when this link breaks. */
    readonly will?: { readonly topic: Topic; readonly payload: Uint8Array };
    readonly subscriptions: (link: LinkId) => readonly Topic[];
    readonly observer: TransportObserver;
  }) => DeviceTransport;
  readonly watchNetwork: (
    options: { readonly everyMs: number },
    changed: (report: { readonly addresses: readonly string[] }) => void,
  ) => { addresses(): readonly string[]; stop(): void };
  /** Signs with the key of a user whose medium is in; null: it cannot. Absent: no user comes to this device. */
  readonly signAsUser?: (leaf: Uint8Array, toSign: Uint8Array) => Promise<Uint8Array | null>;
  /** What suites cost this machine; absent: no cost is registered. */
  readonly measureCosts?: MeasureCosts;
  /** Absent: what stands in the configuration. */
  readonly approval?: PolicySource;
  /** Who is asked beside the person at the command line. @param policy  the one in force */
  readonly askers?: (policy: () => ApprovalPolicy) => readonly Asker[];
}

/** Where the approval policy comes from. */
export interface PolicySource {
  readonly policy: ApprovalPolicy;
  /** For people: which file, since when, what is wrong with a newer one. */
  shown(): JsonValue;
  /** From now on changes go to the agent. */
  follow(take: (policy: ApprovalPolicy) => void): void;
}

export interface AgentService {
  readonly id: DeviceId;
  readonly control: Readonly<Record<string, ControlHandler>>;
  /** A user's medium is in, and its key is at hand. */
  userInserted(user: InsertedUser): void;
  userRemoved(leaf: Uint8Array): void;
  close(): Promise<void>;
}

/** A file or setting that the agent cannot start with; the message names it and says what to do. */
export class AgentError extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = 'AgentError';
  }
}

const MAX_MEMORY_BYTES = 64 * 1024;
const NETWORK_POLL_MS = 1000;
const MAX_ADDRESSES = 16;
const MAX_APPROVER_KEY_BYTES = 1024;

/** @throws AgentError, FileFault */
export function startAgent(config: AgentConfig, parts: AgentParts): AgentService {
  const { crypto, clock, log, keyStore, openTransport, watchNetwork } = parts;
  const chain = readCertificateFile(config.certificateFile);
  const [leaf] = chain;
  const id = deviceNames(leaf)?.id;
  if (id === undefined)
    throw new AgentError(`${config.certificateFile}: its subject has no common name that can be a device id`);
  if (!equal(keyStore.publicSpki, leaf.spki)) {
    throw new AgentError(`${config.keyFile}: the key does not belong to the certificate in ${config.certificateFile}`);
  }
  const fault = roleFault(leaf, chain.slice(1), 'device', undefined);
  if (fault !== null) {
    throw new AgentError(
      `${config.certificateFile}: no device's certificate: ${fault.detail}: issue one with \`kagimori ca issue\``,
    );
  }
  const renewal = { writeRequest: () => issueRequest(keyStore, { name: id }) };
  const settings = {
    ...settingsOf(config, crypto, parts.approval?.policy),
    ...(config.renewal === 'automatic' ? { renewal } : {}),
  };
  const { proposals, measured } = priced(config.proposals.map(proposalOf), config, parts);
  const network = watchNetwork({ everyMs: NETWORK_POLL_MS }, ({ addresses }) => {
    if (config.addresses === 'auto')
      loop.run(() => wish(() => announceAddresses(state, reachableAt(config, addresses), world())));
  });
  const systemWorld = () => ({ now: clock.now(), wall: clock.wall(), crypto });
  const world = () => deviceWorld(state, systemWorld());
  const wanted = { addresses: reachableAt(config, network.addresses()), proposals };
  const memoryFile = join(config.stateDirectory, 'channel.cbor');
  const approvalsFile = join(config.stateDirectory, APPROVALS_FILE);
  const state = createAgent(
    settings,
    {
      identity: {
        chain: chain.map(({ der }) => der),
        signingKey: keyStore,
        cipherSuites: suitesFor(keyStore),
        channelSuites: CHANNEL_SUITES.map((_, number) => number),
      },
      id,
      leafHash: crypto.hash('sha-256', leaf.der),
    },
    wanted,
    readMemory(memoryFile, log),
    systemWorld(),
    readApprovals(approvalsFile, settings, log),
  );
  const listeners = new Set<(news: News) => void>();
  parts.approval?.follow((policy) => {
    settings.approval = policy;
  });

  const accounted = (step: () => readonly Effect[]): readonly Effect[] => {
    const cpuBefore = clock.cpuMicros();
    const operationsBefore = publicKeyOperations(crypto.counter);
    const effects = step();
    if (state.charged !== null) {
      state.charged.cpuMicros += clock.cpuMicros() - cpuBefore;
      state.charged.publicKeyOps += publicKeyOperations(crypto.counter) - operationsBefore;
    }
    return effects;
  };
  const wish = (act: () => void): readonly Effect[] =>
    accounted(() => {
      state.out = [];
      state.charged = null;
      act();
      return state.out;
    });
  const loop = drive<AgentEvent, Effect>({
    now: clock.now,
    step: (event) => accounted(() => stepAgent(state, event, systemWorld())),
    perform(effect, feed) {
      switch (effect.type) {
        case 'publish':
          return transport.publish(effect.topic, effect.payload, effect.qos);
        case 'log':
          return log[effect.level](effect.event, effect.fields);
        case 'tell':
          if (effect.news.news === 'channelOpened') transport.settle();
          for (const listener of listeners) listener(effect.news);
          return;
        case 'rest':
          return transport.rest(effect.forMs);
        case 'keep':
          return keepApprovals(approvalsFile, effect.content, log);
        case 'storeCertificate':
          return feed(storeCertificate(config.certificateFile, effect.chain, effect.number));
        case 'save':
          return feed(saveMemory(memoryFile, effect.content, effect.number));
        case 'signAsUser': {
          const { number, leaf, toSign } = effect;
          void (parts.signAsUser?.(leaf, toSign) ?? Promise.resolve(null)).then((signature) =>
            loop.feed({ type: 'userSigned', number, signature }),
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
  const desk =
    config.approvers.length === 0
      ? null
      : approverDesk({
          device: id,
          approvers: config.approvers.map(readApprover),
          crypto,
          now: clock.now,
          publish: (topic, payload) => transport.publish(topic, payload, 1),
          warn: (event, fields) => log.warn(event, fields),
        });
  const askers = [...(parts.askers?.(() => settings.approval) ?? []), ...(desk === null ? [] : [desk.asker])];
  if (desk !== null) listeners.add(desk.listener);
  const asking = askAll(askers, { state, world, wish: (act) => void loop.run(() => wish(act)) });
  listeners.add(asking.hear);
  const { topics } = settings;
  const answers = approvalTopic(id, 'answer');
  const links = linkLog(log, () => clock.now());
  let linkReason: string | null = 'not there yet';
  const transport = openTransport({
    device: id,
    // D0: the manager looks for this device, as our own broker's report of the broken link would make it do
    ...(settings.broker === 'outside'
      ? { will: { topic: topics.toManager({ kind: 'device', id }), payload: HINT_FRAME } }
      : {}),
    subscriptions: (link) => inboxes(settings, id, link),
    observer: {
      up: (link) => {
        linkReason = null;
        links.up({ link });
        loop.feed({ type: 'linked', link });
      },
      down: (reason) => {
        const outside = state.link !== null && state.channel === null;
        const hint = outside
          ? state.denied === null
            ? 'no login was completed on this link: the manager or the verifier may be away'
            : `this device is not let in: ${state.denied}`
          : undefined;
        linkReason = reason;
        links.down(reason, hint);
        loop.feed({ type: 'unlinked' });
      },
      received: (topic, payload) => {
        if (topic === answers) desk?.received(payload);
        else loop.feed({ type: 'received', topic, payload });
      },
    },
  });
  const certificate = followCertificate(config.certificateFile, log, (event) => loop.feed(event));
  const { verifierCertificateFile } = config;
  const pinned =
    verifierCertificateFile === undefined
      ? null
      : followPinnedKeys(verifierCertificateFile, crypto, log, (keys) => {
          settings.verifierKeys = keys;
        });
  return {
    id,
    control: controlOf({
      state,
      crypto,
      world,
      systemWorld,
      wish: (act) => loop.run(() => wish(act)),
      listeners,
      traffic: transport.traffic,
      linkReason: () => linkReason,
      costs: measured,
      policySource: () => parts.approval?.shown() ?? { file: null },
    }),
    userInserted: (user) => loop.feed({ type: 'userInserted', ...user }),
    userRemoved: (leaf) => loop.feed({ type: 'userRemoved', leaf }),
    async close() {
      network.stop();
      asking.stop();
      certificate.close();
      pinned?.close();
      loop.run(() =>
        wish(() => {
          for (const sid of [...state.asked.keys()]) refuseAsk(state, sid, 'shutdown', world(), 'policy');
          endAllSessions(state, 'shutdown', world());
          closeChannel(state, 'shutdown', world());
        }),
      );
      loop.close();
      await transport.close();
      wipeAgent(state);
    },
  };
}

function settingsOf(config: AgentConfig, crypto: Crypto, approval?: ApprovalPolicy): AgentSettings {
  const { verifierCertificateFile: pinned } = config;
  if (config.managerVerdict !== 'none' && pinned === undefined) {
    throw new AgentError('managerVerdict: verifierCertificateFile must be given with it');
  }
  return {
    topics: topicsUnder(config.root),
    broker: config.broker.kind,
    manager: config.manager,
    anchors: config.trustAnchorFiles.flatMap(readCertificateFile),
    reader: certificateReader(),
    verifierKeys: pinned === undefined ? [] : readPinnedKeys(pinned, crypto),
    managerVerdict: config.managerVerdict,
    authenticateOnly: config.channel.authenticateOnly,
    closeWhenIdle:
      config.channel.closeWhenIdleSeconds === undefined ? null : seconds(config.channel.closeWhenIdleSeconds),
    approval: approval ?? approvalPolicyOf(config.approval ?? approvalConfig.parse({})),
    localTime: localClock(new Intl.DateTimeFormat().resolvedOptions().timeZone),
    standing: config.standing.map(({ caller, lifetimeSeconds }) => {
      const known = deviceId(caller);
      if (known === null) throw new AgentError(`standing: ${caller} is no device id`);
      return { caller: known, lifetimeSeconds };
    }),
    hearsApprovers: config.approvers.length > 0,
    maxSessions: config.maxSessions,
  };
}

/** @throws AgentError, FileFault */
function readApprover({ name, keyFile }: AgentConfig['approvers'][number]): Approver {
  const key = tokenIn(readPrivate(keyFile, MAX_APPROVER_KEY_BYTES));
  if (key === null) throw new AgentError(`approvers: ${name}: ${keyFile} ${TOKEN_RULE}`);
  return { name, key: encodeUtf8(key) };
}

/** The relay comes first: it always works. */
function reachableAt(config: AgentConfig, found: readonly string[]): string[] {
  if (config.addresses !== 'auto') return config.addresses;
  const direct = found.map((address) => `udp://${address.includes(':') ? `[${address}]` : address}`);
  return [`mqtt:${config.root}`, ...direct].slice(0, MAX_ADDRESSES);
}

/** Before the link is opened, which is before the first registration. */
function priced(
  proposals: readonly Proposal[],
  config: AgentConfig,
  { measureCosts, log }: AgentParts,
): { readonly proposals: readonly Proposal[]; readonly measured: MeasuredCosts | null } {
  if (!config.measureCosts || measureCosts === undefined) return { proposals, measured: null };
  const found = priceProposals(proposals, measureCosts);
  if (found.measured.measured !== null) {
    const { because, spentMs, fault } = found.measured.measured;
    const known = found.proposals.filter(({ cost }) => cost !== undefined).length;
    log.info('costs.measured', { because, cpuMs: Math.round(spentMs), proposals: proposals.length, known });
    if (fault !== null)
      log.warn('costs.not-kept', { reason: fault, remedy: 'they are measured at each start until it can' });
  }
  return found;
}

/** A memory that cannot be used costs a full login, nothing else. */
function readMemory(path: string, log: Log): AgentMemory {
  try {
    return decodeMemory(readPrivate(path, MAX_MEMORY_BYTES));
  } catch (error) {
    if (error instanceof FileFault && error.fault === 'missing') return NO_MEMORY;
    if (!(error instanceof FileFault) && !(error instanceof ProtocolError)) throw error;
    log.warn('state.unusable', { path, reason: error.message, remedy: 'none needed: a full login makes a new one' });
    return NO_MEMORY;
  }
}

/** Of a file that cannot be read nobody knows what was taken back: all that stands by the configuration counts as that. */
function readApprovals(path: string, { standing }: AgentSettings, log: Log): ApprovalMemory {
  try {
    return decodeApprovals(readPrivate(path, MAX_APPROVALS_BYTES));
  } catch (error) {
    if (error instanceof FileFault && error.fault === 'missing') return NO_APPROVALS;
    if (!(error instanceof FileFault) && !(error instanceof ProtocolError)) throw error;
    const remedy = 'everybody is asked about; give standing approvals again: kagimori approval standing add';
    log.error('approvals.unusable', { path, reason: error.message, remedy });
    return { ...NO_APPROVALS, withdrawn: standing.map(({ caller }) => caller) };
  }
}

function keepApprovals(path: string, content: Uint8Array, log: Log): void {
  try {
    writeAtomically(path, content, 0o600);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.error('approvals.not-kept', {
      path,
      reason,
      remedy: 'it counts until this process ends: make room, say it again',
    });
  }
}

/** Whoever reads the file finds the one before or this one. */
function storeCertificate(path: string, chain: readonly Uint8Array[], number: number): AgentEvent {
  try {
    writeAtomically(path, encodeUtf8(writePem('CERTIFICATE', ...chain)), 0o644);
    return { type: 'certificateStored', number };
  } catch (error) {
    return { type: 'certificateNotStored', number, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** An operator may renew by hand. */
function followCertificate(path: string, log: Log, feed: (event: AgentEvent) => void): FileWatch {
  return watchFiles([path], () => {
    try {
      feed({ type: 'certificateReplaced', chain: readCertificateFile(path).map(({ der }) => der) });
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      log.warn('certificate.refused', {
        reason: error.message,
        remedy: 'the one before stays in force: mend the file',
      });
    }
  });
}

function saveMemory(path: string, content: Uint8Array | null, number: number): AgentEvent {
  try {
    writeAtomically(path, content ?? new Uint8Array(0), 0o600);
    content?.fill(0);
    return { type: 'saved', number };
  } catch (error) {
    return { type: 'saveFailed', number, reason: error instanceof Error ? error.message : String(error) };
  }
}
