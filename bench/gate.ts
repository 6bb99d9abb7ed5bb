/**
 * A gate: one device that comes in at the manager again and again, by login and by resumption, and the verifier behind it.
 * The real machines, stepped one by one without broker, socket or loop, so that the time of each step can be charged to
 * whom it belongs.
 */
import { type AgentEvent, createAgent, stepAgent } from '../device-agent/agent.ts';
import { type AgentMemory, decodeMemory, NO_MEMORY } from '../device-agent/memory.ts';
import type { AgentState } from '../device-agent/state.ts';
import { createManager } from '../manager/creation.ts';
import { type ManagerEvent, stepManager } from '../manager/manager.ts';
import { loadRegistry } from '../manager/registry.ts';
import type { ManagerState } from '../manager/state.ts';
import {
  type GeneratedSigningKey,
  generateSigningKey,
  newPublicKeyCounter,
  nodeCrypto,
} from '../platform/crypto-node.ts';
import { portableCrypto } from '../platform/crypto-portable.ts';
import { newPortableSigningKey } from '../platform/crypto-portable-keys.ts';
import { memoryStore } from '../platform/store.ts';
import type { CertificateReader } from '../protocol/certificate.ts';
import type { Crypto, PublicKeyCounter, SigningKey } from '../protocol/crypto.ts';
import { brokerReports, type Proposal } from '../protocol/messages.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { MANAGER } from '../protocol/topics.ts';
import { LinkId, type Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { crlOf } from '../test/test-authority.ts';
import { proposal, town } from '../test/town.ts';
import type { Packet } from '../test/town-plan.ts';
import { createVerifier } from '../verifier/verifier.ts';

export type HalfName = 'node' | 'portable';

/** Whose cryptography is done by which half; the verifier's goes with the manager's. */
export interface Layout {
  readonly device: HalfName;
  readonly manager: HalfName;
}

/** EDHOC suite 0: X25519, Ed25519; 2: P-256, ES256. */
export type EdhocSuite = 0 | 2;

export type Party = 'device' | 'manager' | 'verifier';

/** `first`: the chains go both ways; `later`: both name theirs by a hash (x5t); `resumption`: by the secret kept. */
export type Entry = 'first' | 'later' | 'resumption';
export const ENTRIES: readonly Entry[] = ['first', 'later', 'resumption'];

export interface Passage {
  /** Milliseconds inside the steps of each party, until everything has come that belongs to it. */
  readonly spent: Readonly<Record<Party, number>>;
  /** Of that, for certificates taken apart. */
  readonly reading: Readonly<Record<Party, number>>;
  readonly operations: Readonly<Record<Party, PublicKeyCounter>>;
  readonly packets: readonly Packet[];
}

export interface Gate {
  /** A manager that knows nobody, then the device by each entry, in their order; each time as a new process of it. */
  visit(): Readonly<Record<Entry, Passage>>;
}

const REGISTERED: Proposal = proposal('aes-gcm', 128, { priority: 1 });
const nobody = (): Record<Party, number> => ({ device: 0, manager: 0, verifier: 0 });

export function gate(layout: Layout, suite: EdhocSuite): Gate {
  const algorithm = suite === 0 ? 'ed25519' : 'p256';
  const counters: Record<Party, PublicKeyCounter> = {
    device: newPublicKeyCounter(),
    manager: newPublicKeyCounter(),
    verifier: newPublicKeyCounter(),
  };
  const place = town({
    algorithm,
    managerSuites: [suite],
    newKey: (type) => newKey(layout.manager, type),
    newCrypto: (party, own) => {
      if (party === 'manager' || party === 'verifier') return half(layout.manager, counters[party]);
      return half(layout.device, own);
    },
  });
  const { topics } = place.manager.settings;
  const resident = place.add('router-1', {
    start: false,
    certificate: { key: newKey(layout.device, algorithm) },
    cipherSuites: [suite],
    proposals: [REGISTERED],
  });
  const { settings, identity, id, leafHash, registration } = resident.state;
  const verifierCrypto = half(layout.manager, counters.verifier);

  const spent = nobody();
  const reading = nobody();
  const timed = (party: Party, { readCertificate, readCrl }: CertificateReader): CertificateReader => ({
    readCertificate(der) {
      const began = performance.now();
      const certificate = readCertificate(der);
      reading[party] += performance.now() - began;
      return certificate;
    },
    readCrl,
  });
  const charged = <T>(party: Party, act: () => T): T => {
    const began = performance.now();
    const result = act();
    spent[party] += performance.now() - began;
    return result;
  };
  const worldOf = (crypto: Crypto): World => ({ now: place.clock.now(), wall: place.clock.wall(), crypto });

  const { manager: known } = place;
  const managerSide = {
    settings: known.settings,
    identity: { ...known.identity, signingKey: counted(known.identity.signingKey, counters.manager) },
    otherIdentities: [],
    verifierKeys: known.verifierKeys,
    reader: timed('manager', known.reader),
    readRequest: known.readRequest,
    sealingKey: known.sealingKey,
  };
  /** One that has seen nobody yet. */
  const newVerifier = () =>
    createVerifier(
      {
        reader: timed('verifier', known.reader),
        signingKey: counted(place.verifierKey.key.key, counters.verifier),
        maxAgeSeconds: 3600,
        questionsPerSecond: { device: Number.MAX_SAFE_INTEGER, manager: Number.MAX_SAFE_INTEGER },
      },
      {
        anchors: [place.root.certificate],
        revocation: crlSet([crlOf(place.ca, []), crlOf(place.root, [])]),
        revokedKeys: new Set(),
        revokedMarks: new Set(),
        version: 1,
      },
    );
  let verifier = newVerifier();
  const deviceSettings = { ...settings, reader: timed('device', settings.reader) };

  let manager: ManagerState = known;
  let agent: AgentState = resident.state;
  let kept: Uint8Array | null = null;
  let packets: Packet[] = [];
  const turns: (() => void)[] = [];

  const deliver = (from: string, topic: Topic, payload: Uint8Array): void => {
    if (topic === topics.controlRequests) return; // the broker's own work is not measured here
    packets.push({ from, topic, payload: payload.slice() });
    const to = topics.parse(topic)?.kind;
    if (to === 'to-device') turns.push(() => stepDevice({ type: 'received', topic, payload }));
    else if (to === 'verifier-question') turns.push(() => judge(payload));
    else turns.push(() => stepOwner({ type: 'received', topic, payload }));
  };
  const stepDevice = (event: AgentEvent): void => {
    const world = worldOf(resident.crypto);
    for (const effect of charged('device', () => stepAgent(agent, event, world))) {
      if (effect.type === 'publish') deliver('device', effect.topic, effect.payload);
      if (effect.type !== 'save') continue;
      kept = effect.content?.slice() ?? null;
      turns.push(() => stepDevice({ type: 'saved', number: effect.number }));
    }
  };
  const stepOwner = (event: ManagerEvent): void => {
    const world = worldOf(place.managerCrypto);
    for (const effect of charged('manager', () => stepManager(manager, event, world))) {
      if (effect.type === 'publish') deliver('manager', effect.topic, effect.payload);
      else if (effect.type === 'commit') turns.push(() => stepOwner({ type: 'committed', number: effect.number }));
    }
  };
  const judge = (question: Uint8Array): void => {
    const answer = charged('verifier', () => verifier.answer(MANAGER, question, worldOf(verifierCrypto)));
    if (answer.kind !== 'judged') throw new Error(`the verifier did not answer: ${answer.detail}`);
    deliver('verifier', topics.verifierAnswer(MANAGER), answer.payload);
  };
  const settle = (): void => {
    for (let at = 0; at < turns.length; at++) turns[at]!();
    turns.length = 0;
  };

  let links = 0;
  const enter = (entry: Entry): Passage => {
    if (agent.link !== null) {
      const report = brokerReports.encode({ kind: 'Gone', link: agent.link });
      stepOwner({ type: 'received', topic: topics.controlReports, payload: report });
      settle();
    }
    const world = worldOf(resident.crypto);
    agent = createAgent(deviceSettings, { identity, id, leafHash }, registration.wanted, memoryFor(entry, kept), world);
    packets = [];
    Object.assign(spent, nobody());
    Object.assign(reading, nobody());
    const all = { ...counters, device: resident.counter };
    const before = mapped(all, (counter) => ({ ...counter }));
    stepDevice({ type: 'linked', link: LinkId(`bench-link-${String(links++).padStart(10, '0')}`) });
    settle();
    const opened = agent.channel?.opening.opened;
    if (opened !== (entry === 'resumption' ? 'resume' : 'edhoc')) {
      throw new Error(`the ${entry} entry did not open the channel as it should: ${opened ?? 'it is closed'}`);
    }
    const operations = mapped(all, (counter, party) => ({
      generate: counter.generate - before[party].generate,
      agree: counter.agree - before[party].agree,
      sign: counter.sign - before[party].sign,
      verify: counter.verify - before[party].verify,
    }));
    return { spent: { ...spent }, reading: { ...reading }, operations, packets };
  };

  return {
    visit() {
      manager = createManager(managerSide, loadRegistry(memoryStore()), worldOf(place.managerCrypto));
      verifier = newVerifier();
      agent = resident.state;
      stepOwner({ type: 'linked' }); // has its own certificate judged
      for (const event of verifier.events(worldOf(verifierCrypto))) {
        stepOwner({ type: 'received', topic: topics.verifierEvents, payload: event });
      }
      settle();
      return { first: enter('first'), later: enter('later'), resumption: enter('resumption') };
    },
  };
}

/** A later login is what follows when the secret is used up or too old. */
function memoryFor(entry: Entry, kept: Uint8Array | null): AgentMemory {
  if (entry === 'first') return NO_MEMORY;
  if (kept === null) throw new Error('the device stored nothing at its login');
  const memory = decodeMemory(kept);
  return entry === 'later' ? { ...memory, secret: null } : memory;
}

function half(name: HalfName, counter: PublicKeyCounter): Crypto {
  return name === 'node' ? nodeCrypto(counter) : portableCrypto(counter);
}

function newKey(name: HalfName, algorithm: 'p256' | 'p384' | 'ed25519'): GeneratedSigningKey {
  if (name === 'node') return generateSigningKey(algorithm);
  const { key, pkcs8 } = newPortableSigningKey(algorithm, newPublicKeyCounter());
  return { key, publicSpki: key.publicSpki, privatePkcs8Pem: pkcs8 };
}

/** The town's keys count for themselves. */
function counted(key: SigningKey, counter: PublicKeyCounter): SigningKey {
  return {
    algorithm: key.algorithm,
    sign: (...args) => {
      counter.sign++;
      return key.sign(...args);
    },
  };
}

function mapped<T, R>(all: Readonly<Record<Party, T>>, of: (one: T, party: Party) => R): Record<Party, R> {
  return {
    device: of(all.device, 'device'),
    manager: of(all.manager, 'manager'),
    verifier: of(all.verifier, 'verifier'),
  };
}
