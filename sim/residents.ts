/**
 * Makes the parties of a world out of its plan: identities, cryptography, disks, settings.
 */
import type { News } from '../device-agent/effects.ts';
import type { AgentSettings, Session } from '../device-agent/state.ts';
import { DEFAULT_PACE } from '../manager/admission.ts';
import { DEFAULT_FLOW_LIMITS } from '../manager/flow.ts';
import { ALLOW_ALL } from '../manager/policy.ts';
import { BUILT_IN_RULES } from '../manager/rules.ts';
import type { Settings } from '../manager/state.ts';
import { readRequest } from '../platform/certificate-request.ts';
import { issueRequest } from '../platform/certificate-request-issuing.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto, PublicKeyCounter } from '../protocol/crypto.ts';
import { type LoginIdentity, suitesFor } from '../protocol/login.ts';
import type { Proposal } from '../protocol/messages.ts';
import { CHANNEL_SUITES } from '../protocol/suites.ts';
import { type DeviceId, seconds } from '../protocol/units.ts';
import { userSignature } from '../protocol/user-proof.ts';
import { type DeviceParty, deviceParty, type SimMedium } from './device-party.ts';
import { disk } from './disk.ts';
import type { Period, SimAuthority, SimIdentity } from './identities.ts';
import { type ManagerParty, managerParty } from './manager-party.ts';
import { modelCrypto } from './model-crypto.ts';
import { type NewcomerParty, newcomerParty } from './newcomer-party.ts';
import type { PartyName } from './party.ts';
import type { PartyContext } from './party-context.ts';
import { seededCrypto } from './seeded-crypto.ts';
import type { SeededRandom } from './seeded-random.ts';
import { type VerifierParty, verifierParty } from './verifier-party.ts';
import type { DevicePlan, UserPlan, WorldPlan } from './world-plan.ts';

export interface Ground {
  readonly random: SeededRandom;
  readonly authority: SimAuthority;
  readonly context: PartyContext;
  readonly counter: () => PublicKeyCounter;
}

export interface Listeners {
  told(device: DeviceParty, news: News): void;
  installed(device: DeviceParty, sid: string, session: Session | null): void;
}

export interface Residents {
  readonly manager: ManagerParty;
  readonly verifier: VerifierParty;
  readonly devices: ReadonlyMap<string, { readonly party: DeviceParty; readonly certificate: ParsedCertificate }>;
  /** Devices that have to enrol first. */
  readonly newcomers: ReadonlyMap<PartyName, NewcomerParty>;
  readonly users: ReadonlyMap<string, { readonly medium: SimMedium; readonly certificate: ParsedCertificate }>;
}

const MANAGER_NAME = 'home-manager';
const VERIFIER_NAME = 'home-verifier';
const VERDICT_MAX_AGE_S = 3600;
const YEAR_S = 365 * 86_400;
/** As many as the verifier's configuration allows a manager, whatever the size of the world. */
const QUESTIONS_PER_SECOND = 1000;
/** A solid-state disk, and the flash of a small device. */
const SERVER_DISK_MS = [0.3, 1.5] as const;
const DEVICE_DISK_MS = [2, 12] as const;

/** As device-agent/config.ts has it. */
const DEFAULT_PROPOSALS: readonly Proposal[] = [
  { cipher: 'aes-gcm', minKeyBits: 128, hashes: ['sha-256'], keyMode: 'seed', priority: 1 },
  { cipher: 'chacha20-poly1305', keyBits: [256], hashes: ['sha-256'], keyMode: 'seed', priority: 2 },
];

export function residents(plan: WorldPlan, ground: Ground, listeners: Listeners): Residents {
  const { random, authority, context, counter } = ground;
  const { queue, now, topics } = context;
  const cryptoOf = (party: string, count: PublicKeyCounter): Crypto => {
    const own = random.fork(`crypto ${party}`);
    return plan.crypto === 'real' ? seededCrypto(own, count) : modelCrypto(own, count);
  };

  const periodOf = (life: number | undefined): { readonly period?: Period } =>
    life === undefined ? {} : { period: { notBefore: context.wall() - 3600, notAfter: context.wall() + life } };

  const verifierCounter = counter();
  const verifierIdentity = authority.issue(VERIFIER_NAME, {
    purpose: 'verifier',
    algorithm: 'p256',
    counter: verifierCounter,
  });
  const verifier = verifierParty(
    {
      anchor: authority.anchor,
      reader: authority.reader,
      signingKey: verifierIdentity.signingKey,
      crypto: cryptoOf('verifier', verifierCounter),
      maxAgeSeconds: plan.verifier?.maxAgeSeconds ?? VERDICT_MAX_AGE_S,
      questionsPerSecond: QUESTIONS_PER_SECOND,
      skewSeconds: plan.verifier?.skewSeconds ?? 0,
      listsOf: authority.revocationLists,
    },
    context,
  );

  let certified = 0;
  const managerCounter = counter();
  const managerCrypto = cryptoOf('manager', managerCounter);
  const identities = (plan.manager?.algorithms ?? ['p256']).map((algorithm) =>
    loginIdentity(
      authority.issue(MANAGER_NAME, {
        purpose: 'manager',
        algorithm,
        counter: managerCounter,
        ...periodOf(plan.manager?.certifiedForSeconds),
      }),
    ),
  );
  const manager = managerParty(
    {
      identity: {
        settings: {
          ...managerSettings(topics),
          ...(plan.manager?.enrolment === undefined
            ? {}
            : {
                enrolment: {
                  ...plan.manager.enrolment,
                  anchors: [authority.anchor.der],
                  verifiers: [verifierIdentity.certificate.der],
                  brokerUrl: 'mqtt://broker.example:1883',
                },
              }),
          ...plan.manager?.settings,
        },
        identity: identities[0]!,
        otherIdentities: identities.slice(1),
        verifierKeys: [managerCrypto.publicKey(verifierIdentity.certificate.spki)!],
        reader: authority.reader,
        readRequest,
        sealingKey: random.fork('sealing key').bytes(32),
      },
      crypto: managerCrypto,
      certify: ({ device: named, spki }) => {
        const period = {
          notBefore: context.wall() - 3600,
          notAfter: context.wall() + (plan.manager?.certifiesForSeconds ?? YEAR_S),
        };
        const leaf = authority.certify(named, spki, period, certified++);
        return { chain: [leaf.der, authority.issuer.der] };
      },
      disk: disk(queue, now, random.fork('disk manager'), plan.manager?.diskMs ?? SERVER_DISK_MS),
      skewSeconds: plan.manager?.skewSeconds ?? 0,
    },
    context,
  );

  const newcomers = new Map<PartyName, NewcomerParty>();
  const device = (wish: DevicePlan, number: number) => {
    const { name, copyOf = name, enrolsAs: id = copyOf } = wish;
    const own = counter();
    const crypto = cryptoOf(`device ${name}`, own);
    const identity = authority.issue(copyOf, {
      purpose: 'device',
      algorithm: wish.algorithm ?? 'p256',
      counter: own,
      ...periodOf(wish.certifiedForSeconds),
    });
    const settings: AgentSettings = {
      topics,
      manager: MANAGER_NAME,
      anchors: [authority.anchor],
      reader: authority.reader,
      verifierKeys: [crypto.publicKey(verifierIdentity.certificate.spki)!],
      managerVerdict: 'none',
      authenticateOnly: false,
      closeWhenIdle: null,
      approval: { rules: [], otherwise: 'allow', askTimeoutSeconds: 30, busy: false },
      standing: [],
      maxSessions: 1024,
      ...(wish.renews === true
        ? { renewal: { writeRequest: () => issueRequest(identity.signingKey, { name: id }) } }
        : {}),
      ...wish.settings,
    };
    const parts = {
      settings,
      identity: loginIdentity(identity),
      leaf: identity.certificate.der,
      wanted: {
        addresses: wish.addresses ?? [`mqtt:${topics.root}`, `udp://${addressOf(number)}`],
        proposals: wish.proposals ?? DEFAULT_PROPOSALS,
      },
      crypto,
      disk: disk(queue, now, random.fork(`disk ${name}`), wish.diskMs ?? DEVICE_DISK_MS),
      skewSeconds: wish.skewSeconds ?? 0,
      ...listeners,
    };
    const party = deviceParty(id as DeviceId, { ...parts, name }, context);
    if (wish.enrols === true) {
      const enrolled = (chain: readonly Uint8Array[]): void => party.restore({ memory: null, chain, approvals: null });
      const own = {
        ...loginIdentity(identity),
        chain: [authority.signItself(id, identity.signingKey, context.wall())],
      };
      const newcomer = { id: id as DeviceId, crypto, reader: authority.reader, signingKey: identity.signingKey };
      newcomers.set(
        newcomerName(name),
        newcomerParty(newcomerName(name), { ...newcomer, identity: own, enrolled }, context),
      );
    }
    return { party, certificate: identity.certificate };
  };
  const user = ({ name, algorithm = 'p256' }: UserPlan) => {
    const { chain, certificate, signingKey } = authority.issue(name, { purpose: 'user', algorithm });
    const [leaf, ...issuers] = chain;
    const signature = userSignature(signingKey.algorithm);
    if (leaf === undefined || signature === null) throw new RangeError(`${name} has no key that signs for a user`);
    const medium: SimMedium = {
      user: name,
      chain: [leaf, ...issuers],
      leaf: managerCrypto.hash('sha-256', leaf),
      sign: (toSign) => signingKey.sign(signature, toSign),
    };
    return { medium, certificate };
  };
  return {
    manager,
    verifier,
    newcomers,
    devices: new Map(plan.devices.map((wish, number) => [wish.name, device(wish, number)])),
    users: new Map((plan.users ?? []).map((wish) => [wish.name, user(wish)])),
  };
}

/** While it enrols, a device is a party of its own. */
export const newcomerName = (device: PartyName): PartyName => `${device} (new)`;

function loginIdentity({ chain, signingKey }: SimIdentity): LoginIdentity {
  return { chain, signingKey, cipherSuites: suitesFor(signingKey), channelSuites: CHANNEL_SUITES.map((_, i) => i) };
}

/** In 10.0.0.0/8. */
const addressOf = (number: number): string => `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;

/** As manager/config.ts has it. */
const managerSettings = (topics: Settings['topics']): Settings => ({
  name: MANAGER_NAME,
  topics,
  listings: new Map(),
  admit: 'certified',
  connectPolicy: ALLOW_ALL,
  rules: BUILT_IN_RULES,
  authenticateOnly: false,
  pace: DEFAULT_PACE,
  lifetimeSeconds: { byDefault: 3600, atMost: 86_400 },
  flowLimits: DEFAULT_FLOW_LIMITS,
  limits: {
    halfOpen: 1024,
    exchangeTimeout: seconds(10),
    questionTimeout: seconds(5),
    closeTimeout: seconds(3),
    linkGrace: seconds(120),
    sessionsPerDevice: 4096,
    pendingPerDevice: 64,
  },
});
