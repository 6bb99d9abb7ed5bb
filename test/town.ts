/**
 * A town for tests: the real manager, verifier, agents and broker policy over the in-memory hub and a clock that stands
 * still until it is told to go. Whatever passes can be seen, held back, changed or doubled.
 */
import { createAgent, stepAgent } from '../device-agent/agent.ts';
import { decodeApprovals, NO_APPROVALS } from '../device-agent/approval-memory.ts';
import { startCall } from '../device-agent/calling.ts';
import { deviceWorld } from '../device-agent/device-time.ts';
import type { Effect as AgentEffect } from '../device-agent/effects.ts';
import { decodeMemory, NO_MEMORY } from '../device-agent/memory.ts';
import { inboxes } from '../device-agent/outbox.ts';
import type { AgentSettings, AgentState } from '../device-agent/state.ts';
import { createManager } from '../manager/creation.ts';
import type { Effect as ManagerEffect } from '../manager/effects.ts';
import { type ManagerEvent, stepManager } from '../manager/manager.ts';
import { loadRegistry } from '../manager/registry.ts';
import type { ManagerState } from '../manager/state.ts';
import { readRequest } from '../platform/certificate-request.ts';
import { issueRequest } from '../platform/certificate-request-issuing.ts';
import { memoryClock } from '../platform/clock.ts';
import { generateSigningKey, newPublicKeyCounter, nodeCrypto } from '../platform/crypto-node.ts';
import { memoryStore } from '../platform/store.ts';
import type { Transport, TransportObserver } from '../platform/transport.ts';
import { memoryHub } from '../platform/transport-memory.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import { type Crypto, publicKeyOperations } from '../protocol/crypto.ts';
import { nextDeadline } from '../protocol/deadlines.ts';
import { suitesFor } from '../protocol/login.ts';
import type { Proposal } from '../protocol/messages.ts';
import { CHANNEL_SUITES, type Cipher, longestTagBits, type Suite } from '../protocol/suites.ts';
import { encodeId, MANAGER, topicsUnder } from '../protocol/topics.ts';
import { type DeviceId, EpochSeconds, type LinkId, type Millis, Topic } from '../protocol/units.ts';
import { outsideAuthority } from './outside-authority.ts';
import { AT, ca, certify, DEVICE_WISHES, MANAGER_WISHES, reader, root } from './test-authority.ts';
import { townBroker } from './town-broker.ts';
import { townCa } from './town-ca.ts';
import { inviteInto } from './town-invitation.ts';
import { townLine } from './town-line.ts';
import { townMedia } from './town-media.ts';
import type { DeviceWishes, Packet, Town, TownDevice, TownWishes } from './town-plan.ts';
import { enrolmentOf, townSettings } from './town-settings.ts';
import { townStranger } from './town-stranger.ts';
import { townVerifier } from './town-verifier.ts';

export const proposal = (
  cipher: Cipher,
  keyBits: number,
  more: {
    priority?: number;
    keyMode?: 'key' | 'seed';
    hash?: 'sha-256' | 'sha-384' | 'sha-512';
    tagBits?: number;
    cost?: Proposal['cost'];
  } = {},
): Proposal => ({
  cipher,
  keyBits: [keyBits],
  hashes: [more.hash ?? 'sha-256'],
  tagBits: more.tagBits ?? longestTagBits(cipher),
  keyMode: more.keyMode ?? 'seed',
  priority: more.priority,
  ...(more.cost === undefined ? {} : { cost: more.cost }),
});

/** A link that is closed again and again waits, as network halves do. */
const REJOINS = 4;

/** The one suite that a proposal without ranges allows. */
export function suiteOf({ cipher, keyBits, hashes, tagBits }: Proposal): Suite {
  return { cipher, keyBits: keyBits?.[0], hash: hashes[0], tagBits } as Suite;
}

const GCM = proposal('aes-gcm', 128, { priority: 1 });

export function town(wishes: TownWishes = {}): Town {
  const clock = memoryClock(AT);
  const topics = topicsUnder();
  const algorithm = wishes.algorithm ?? 'p256';
  const { newKey = generateSigningKey, newCrypto = (_party, counter) => nodeCrypto(counter) } = wishes;
  const anchor = root('Town root', { key: newKey('p256') });
  const issuer = ca(anchor, 'Town CA', { key: newKey('p256') });
  const managerHolder =
    wishes.managerHolder?.(issuer) ??
    certify(
      'home-manager',
      {
        ...MANAGER_WISHES,
        key: newKey(wishes.managerCertificate?.algorithm ?? algorithm),
        ...wishes.managerCertificate,
      },
      issuer,
    );
  const holders = Array.from({ length: wishes.verifiers ?? 1 }, () =>
    certify(
      'verifier',
      { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriVerifier], key: newKey('p256') },
      issuer,
    ),
  );
  const verifierKey = holders[0]!;
  const managerCrypto = newCrypto('manager', newPublicKeyCounter());
  const sealingKey = managerCrypto.random(32);
  const store = memoryStore();
  const packets: Packet[] = [];
  const pending: (() => unknown)[] = [];
  const devices: TownDevice[] = [];

  const outside = wishes.outside === true;
  const broker = townBroker(topics, clock, () => hub);
  const hub = memoryHub(
    outside ? outsideAuthority(topics, (topic, payload) => hub.send(topic, payload)) : broker.authority,
  );

  // ── Verifiers ──
  const authorities = [anchor, issuer];
  const verifiers = holders.map((holder, index) =>
    townVerifier({
      name: index === 0 ? 'verifier' : `verifier-${index + 1}`,
      hub,
      topics,
      clock,
      holder: index === 0 ? (wishes.signVerdictsWith ?? holder) : holder,
      authorities,
      crypto: newCrypto('verifier', newPublicKeyCounter()),
      maxAgeSeconds: wishes.verdictMaxAge ?? 3600,
      say: pass,
    }),
  );

  // ── Manager ──
  const certifying = townCa(issuer, wishes.certificateDays ?? 365);
  const settings = townSettings(topics, outside, { ...enrolmentOf(wishes, anchor, holders), ...wishes.settings });
  const managerLogs: string[] = [];
  const worldOf = (crypto: Crypto) => ({ now: clock.now(), wall: clock.wall(), crypto });
  const newManager = (before: ManagerState | null): ManagerState =>
    createManager(
      {
        settings,
        identity: {
          chain: wishes.managerChain?.(managerHolder, issuer) ?? [
            managerHolder.certificate.der,
            issuer.certificate.der,
          ],
          signingKey: managerHolder.key.key,
          cipherSuites: wishes.managerSuites ?? suitesFor(managerHolder.key.key),
          channelSuites: wishes.managerChannelSuites ?? CHANNEL_SUITES.map((_, number) => number),
        },
        otherIdentities: (wishes.otherManagers?.(issuer) ?? []).map((holder) => ({
          chain: [holder.certificate.der, issuer.certificate.der],
          signingKey: holder.key.key,
          cipherSuites: suitesFor(holder.key.key),
          channelSuites: CHANNEL_SUITES.map((_, number) => number),
        })),
        verifierKeys: before?.verifierKeys ?? holders.map((one) => managerCrypto.publicKey(one.certificate.spki)!),
        reader,
        readRequest,
        sealingKey,
      },
      loadRegistry(store),
      worldOf(managerCrypto),
    );
  const feedManager = (event: ManagerEvent): void => {
    for (const effect of stepManager(self.manager, event, worldOf(managerCrypto))) performManager(effect);
  };
  const performManager = (effect: ManagerEffect): void => {
    if (effect.type === 'publish') pass('manager', managerLink, effect.topic, effect.payload);
    if (effect.type === 'log' && effect.event === 'bug') throw new Error(`the manager: ${effect.fields.detail}`);
    if (effect.type === 'log') managerLogs.push(`${effect.level} ${effect.event} ${JSON.stringify(effect.fields)}`);
    if (effect.type === 'certify') {
      const asked = self.manager;
      const certified = self.certify(effect.wish);
      if (certified === null) return;
      pending.push(
        () => self.manager === asked && feedManager({ type: 'certified', number: effect.number, certified }),
      );
    }
    if (effect.type !== 'commit') return;
    const { number, changes } = effect;
    if (self.diskFrozen) return;
    const asked = self.manager;
    const answer = (event: ManagerEvent): void => {
      pending.push(() => self.manager === asked && feedManager(event));
    };
    if (self.diskBroken) {
      const refused = changes.map((change) => ({ change, held: store.get(change.table, change.key) }));
      return answer({ type: 'commitFailed', number, reason: 'the disk is full', refused });
    }
    void store.commit(changes);
    answer({ type: 'committed', number });
  };
  const managerObserver: TransportObserver = {
    up: () => feedManager({ type: 'linked' }),
    down: () => {},
    received: (topic, payload) => feedManager({ type: 'received', topic, payload }),
  };
  const openManager = (): Transport =>
    hub.transport({
      service: 'manager',
      subscriptions: () => [
        Topic(`${topics.root}/m/+`),
        topics.verifierAnswer(MANAGER),
        topics.verifierEvents,
        ...(outside ? [] : [topics.controlReports]),
      ],
      observer: managerObserver,
    });
  let managerLink = openManager();

  function pass(from: string, through: Transport, topic: Topic, payload: Uint8Array): void {
    const packet = { from, topic, payload: payload.slice() };
    packets.push(packet);
    const outcome = self.meddler(packet);
    for (const one of outcome === 'pass' ? [packet.payload] : outcome) through.publish(topic, one, 1);
  }

  const add = (name: string, wish: DeviceWishes = {}): TownDevice => {
    if (wish.issuer !== undefined && !authorities.includes(wish.issuer)) authorities.push(wish.issuer);
    const holder =
      wish.holder ??
      certify(
        name,
        { ...DEVICE_WISHES, key: newKey(wish.certificate?.algorithm ?? algorithm), ...wish.certificate },
        wish.issuer ?? issuer,
      );
    const counter = newPublicKeyCounter();
    const crypto = newCrypto(name, counter);
    const signer = holder.key.key;
    const identity = {
      chain: wish.chain ?? [holder.certificate.der, (wish.issuer ?? issuer).certificate.der],
      signingKey: {
        algorithm: signer.algorithm,
        sign: (...args: Parameters<typeof signer.sign>) => {
          counter.sign++;
          return signer.sign(...args);
        },
      },
      cipherSuites: wish.cipherSuites ?? suitesFor(signer),
      channelSuites: wish.channelSuites ?? CHANNEL_SUITES.map((_, number) => number),
    };
    const agentSettings: AgentSettings = {
      topics,
      broker: outside ? 'outside' : 'kagimori',
      manager: 'home-manager',
      anchors: [anchor.certificate],
      reader,
      verifierKeys: [crypto.publicKey(verifierKey.certificate.spki)!],
      managerVerdict: 'none',
      authenticateOnly: false,
      closeWhenIdle: null,
      approval: { rules: [], otherwise: 'allow', askTimeoutSeconds: 30, busy: false },
      standing: [],
      maxSessions: 100,
      ...(wish.renews === true
        ? { renewal: { writeRequest: () => issueRequest({ ...signer, publicSpki: holder.key.publicSpki }, { name }) } }
        : {}),
      ...wish.settings,
    };
    const wanted = { addresses: [`udp://192.0.2.1:5${devices.length}`], proposals: wish.proposals ?? [GCM] };
    const id = name as DeviceId;
    const systemWorld = () => ({ ...worldOf(crypto), wall: EpochSeconds(clock.wall() + device.skewSeconds) });
    const deviceNow = () => deviceWorld(device.state, systemWorld());
    // what is shown may begin with another leaf than that of the holder
    const leafHashOf = (chain: readonly Uint8Array[]): Uint8Array =>
      crypto.hash('sha-256', chain === identity.chain ? holder.certificate.der : chain[0]!);
    const create = (): AgentState =>
      createAgent(
        agentSettings,
        { identity: { ...identity, chain: device.chain }, id, leafHash: leafHashOf(device.chain) },
        wanted,
        device.memory === null ? NO_MEMORY : decodeMemory(device.memory),
        systemWorld(),
        device.approvals === null ? NO_APPROVALS : decodeApprovals(device.approvals.slice()),
      );
    const perform = (effects: readonly AgentEffect[]): void => {
      for (const effect of effects) {
        if (effect.type === 'publish') pass(name, line.transport, effect.topic, effect.payload);
        if (effect.type === 'tell') device.news.push(effect.news);
        if (effect.type === 'rest') line.transport.rest(effect.forMs);
        if (effect.type === 'signAsUser') {
          const { number, leaf, toSign } = effect;
          pending.push(() => device.feed({ type: 'userSigned', number, signature: media.sign(leaf, toSign) }));
        }
        if (effect.type === 'log' && effect.event === 'bug') throw new Error(`${name}: ${effect.fields.detail}`);
        if (effect.type === 'log') device.logs.push(`${effect.level} ${effect.event} ${JSON.stringify(effect.fields)}`);
        if (effect.type === 'keep' && !device.diskFrozen) device.approvals = effect.content.slice();
        if (effect.type === 'storeCertificate' && !device.diskFrozen) {
          const asked = device.state;
          device.chain = effect.chain;
          pending.push(
            () => device.state === asked && device.feed({ type: 'certificateStored', number: effect.number }),
          );
        }
        if (effect.type === 'save' && !device.diskFrozen) {
          const asked = device.state;
          device.memory = effect.content?.slice() ?? null;
          pending.push(() => device.state === asked && device.feed({ type: 'saved', number: effect.number }));
        }
      }
    };
    const accounted = (act: () => readonly AgentEffect[]): void => {
      const before = publicKeyOperations(counter);
      const effects = act();
      if (device.state.charged !== null) device.state.charged.publicKeyOps += publicKeyOperations(counter) - before;
      perform(effects);
    };
    const line = townLine(
      (observer) =>
        hub.transport({
          ...(outside ? { service: encodeId(id) } : {}),
          subscriptions: (own: LinkId) => inboxes(agentSettings, id, own),
          observer,
        }),
      (event) => device.feed(event),
    );
    const media = townMedia(crypto, issuer, (event) => device.feed(event), flush);
    const device: TownDevice = {
      id,
      state: null as unknown as AgentState,
      crypto,
      holder,
      news: [],
      logs: [],
      memory: wish.memory ?? null,
      approvals: null,
      diskFrozen: false,
      skewSeconds: wish.skewSeconds ?? 0,
      chain: identity.chain,
      counter,
      world: deviceNow,
      operations: () => publicKeyOperations(counter),
      feed: (event) => accounted(() => stepAgent(device.state, event, systemWorld())),
      run: (wish) =>
        accounted(() => {
          device.state.out = [];
          device.state.charged = null;
          wish(device.state, deviceNow());
          return device.state.out;
        }),
      insert: (user, called) => media.insert(user, called),
      pull: (user) => media.pull(user),
      call(callee, wished = {}) {
        let key = '';
        const call = { callee, lifetimeSeconds: null, allowUnencrypted: false, timeoutSeconds: 60, ...wished };
        device.run((state) => {
          key = startCall(state, call, deviceNow());
        });
        return key;
      },
      restart() {
        line.close();
        hub.flush();
        device.diskFrozen = false;
        device.state = create();
        line.open();
      },
      stop: () => line.close(),
      cutPower: () => line.cutPower(),
      breakLink() {
        if (device.state.link !== null) hub.cut(device.state.link, 'the network broke');
      },
      latest: (news) => device.news.findLast((one) => one.news === news) as never,
    };
    device.state = create();
    line.open();
    devices.push(device);
    if (wish.start !== false) flush();
    return device;
  };

  const flush = (): void => {
    let rejoins = 0;
    for (let quiet = 0; quiet < 3; ) {
      const moved = hub.flush() + pending.length;
      for (const one of pending.splice(0)) one();
      quiet = moved === 0 ? quiet + 1 : 0;
      if (quiet === 1 && rejoins++ < REJOINS) hub.rejoin();
    }
  };

  /** The broker closes what does not log in. */
  const newLinks = () =>
    [...broker.state.links.values()]
      .filter(({ service, device, ending }) => service === null && device === null && !ending)
      .map(({ id, since }) => ({ id, until: since + broker.state.limits.loginTimeoutMs }));

  const managerDue = (): Millis | null => {
    const { deadlines } = self.manager;
    // one that speaks in time is not waited for second by second: a day of signatures would take minutes
    if (!verifiers.some(({ speaksFreely }) => speaksFreely)) return nextDeadline(deadlines);
    const times = [...deadlines.current].filter(([key]) => key !== 'silence').map(([, at]) => at);
    return times.length === 0 ? null : (Math.min(...times) as Millis);
  };
  const speak = (): void => {
    for (const verifier of verifiers) verifier.speak();
    hub.flush();
  };
  const speakAtOnce = (): void => {
    for (const verifier of verifiers) verifier.speakAtOnce();
    flush();
  };

  const advance = (ms: number): void => {
    const end = clock.now() + ms;
    for (;;) {
      flush();
      const times = [
        managerDue(),
        ...verifiers.map(({ speaksAt }) => speaksAt),
        ...devices.map(({ state }) => nextDeadline(state.deadlines)),
      ];
      const next = Math.min(end, ...times.filter((time) => time !== null), ...newLinks().map(({ until }) => until));
      clock.advance(Math.max(0, next - clock.now()));
      for (const { id, until } of newLinks()) if (until <= clock.now()) hub.cut(id, 'it did not log in in time');
      speak();
      feedManager({ type: 'time' });
      for (const device of devices) device.feed({ type: 'time' });
      if (clock.now() >= end) break;
    }
    flush();
  };

  const self: Town = {
    clock,
    packets,
    ca: issuer,
    root: anchor,
    manager: newManager(null),
    managerCrypto,
    managerLogs,
    store,
    verifierKey,
    verifiers,
    meddler: () => 'pass',
    certifying,
    certify: (wish) => certifying.answer(wish, worldOf(managerCrypto)),
    invite: (name, wish) => inviteInto(self, name, wish),
    get verifierAway() {
      return verifiers.every(({ away }) => away);
    },
    set verifierAway(away: boolean) {
      for (const verifier of verifiers) verifier.away = away;
    },
    diskBroken: false,
    diskFrozen: false,
    world: () => worldOf(managerCrypto),
    runManager(act) {
      self.manager.out = [];
      act(self.manager);
      for (const effect of self.manager.out) performManager(effect);
    },
    stranger: () => townStranger(hub, topics, flush),
    add,
    flush,
    advance,
    inject: (topic, payload) => hub.send(topic, payload),
    restartManager() {
      void managerLink.close();
      hub.flush();
      self.diskFrozen = false;
      self.manager = newManager(self.manager);
      managerLink = openManager();
      flush();
      speakAtOnce();
    },
    restartBroker() {
      const links = [...broker.state.links.keys()];
      broker.forget();
      for (const link of links) hub.cut(link, 'the broker went away');
      flush();
      speakAtOnce();
    },
    revoke(...holders) {
      for (const verifier of verifiers) verifier.revoke(...holders);
      flush();
    },
  };
  flush();
  speakAtOnce();
  return self;
}
