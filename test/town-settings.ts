/**
 * The manager's settings in a town. @see test/town.ts
 */
import { DEFAULT_FLOW_LIMITS } from '../manager/flow.ts';
import { ALLOW_ALL } from '../manager/policy.ts';
import { BUILT_IN_RULES } from '../manager/rules.ts';
import type { Settings } from '../manager/state.ts';
import type { Topics } from '../protocol/topics.ts';
import { seconds } from '../protocol/units.ts';
import type { Holder } from './test-authority.ts';
import type { TownWishes } from './town-plan.ts';

/** What a town with a CA behind its manager tells new devices. */
export const enrolmentOf = (
  { enrolment }: TownWishes,
  anchor: Holder,
  verifiers: readonly Holder[],
): Pick<Partial<Settings>, 'enrolment'> =>
  enrolment === undefined
    ? {}
    : {
        enrolment: {
          anchors: [anchor.certificate.der],
          verifiers: verifiers.map(({ certificate }) => certificate.der),
          brokerUrl: 'mqtt://broker.town.example:1883',
          approval: 'automatic',
          renewExpiredDays: 0,
          ...enrolment,
        },
      };

export const townSettings = (topics: Topics, outside: boolean, more: Partial<Settings> = {}): Settings => ({
  name: 'home-manager',
  topics,
  broker: outside ? 'outside' : 'kagimori',
  listings: new Map(),
  admit: 'certified',
  connectPolicy: ALLOW_ALL,
  rules: BUILT_IN_RULES,
  authenticateOnly: false,
  lifetimeSeconds: { byDefault: 3600, atMost: 86_400 },
  flowLimits: DEFAULT_FLOW_LIMITS,
  limits: {
    halfOpen: 1000,
    exchangeTimeout: seconds(10),
    questionTimeout: seconds(5),
    closeTimeout: seconds(3),
    linkGrace: seconds(120),
    sessionsPerDevice: 1000,
    pendingPerDevice: 64,
  },
  ...more,
});
