/**
 * The registry by pages, as `rules impact` reads it: what devices are and what they have registered, and with the first page
 * the policy, the rules and the retirements in force. Bounded, so that neither side holds up the other.
 */
import type { JsonValue } from '../platform/control-socket.ts';
import type { Proposal } from '../protocol/messages.ts';
import { spellSuitePattern } from '../protocol/suite-pattern.ts';
import type { TimeWindow } from '../protocol/time-window.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { ConnectRule } from './policy.ts';
import type { Rules } from './rules.ts';
import { subjectOf } from './selection.ts';
import type { ManagerState } from './state.ts';

const MAX_DEVICES = 1000;
/** About a megabyte of JSON. */
const MAX_PROPOSALS_A_PAGE = 4096;

/** @param after the last id of the page before; null: the first page */
export function registryPage(
  state: ManagerState,
  after: string | null,
  world: World,
): { readonly [key: string]: JsonValue } {
  const ids = [...state.registrations.keys()].filter((id) => after === null || id > after).sort();
  const lists: (readonly Proposal[])[] = [];
  const placeOf = new Map<string, number>();
  const devices: { readonly [key: string]: JsonValue }[] = [];
  let proposals = 0;
  for (const id of ids) {
    if (devices.length >= MAX_DEVICES || proposals >= MAX_PROPOSALS_A_PAGE) break;
    const own = state.registrations.get(id)!.proposals;
    const key = JSON.stringify(own);
    const place = placeOf.get(key) ?? lists.push(own) - 1;
    if (!placeOf.has(key)) proposals += own.length;
    placeOf.set(key, place);
    devices.push({ ...subjectOf(state, id), list: place });
  }
  const next = devices.length < ids.length ? (devices.at(-1)!.id as DeviceId) : null;
  const page = { devices, lists: lists.map((own) => own.map(plainProposal)), next };
  return after === null ? { ...page, ...inForce(state, world) } : page;
}

function inForce(state: ManagerState, world: World): { readonly [key: string]: JsonValue } {
  const { rules, otherwise } = state.settings.connectPolicy;
  return {
    at: world.wall,
    registered: state.registrations.size,
    policy: { rules: rules.map((rule: ConnectRule) => ({ ...rule })), otherwise },
    rules: plainRules(state.rules),
    retirements: [...state.retirements.values()].map(({ pattern, by }) => ({ suite: spellSuitePattern(pattern), by })),
  };
}

/** A window's clock is made again from its time zone. */
function plainRules({ rules, otherwise, digest }: Rules): JsonValue {
  return {
    digest,
    rules: rules.map(({ when: { time, ...sides }, selection }) => ({
      when: { ...plainSides(sides), ...(time === undefined ? {} : { time: boundsOf(time) }) },
      selection: { ...selection, require: { ...selection.require } },
    })),
    otherwise: { ...otherwise, require: { ...otherwise.require } },
  };
}

const boundsOf = ({ fromMinute, toMinute, days, timeZone }: TimeWindow): JsonValue => ({
  fromMinute,
  toMinute,
  days,
  timeZone,
});

type Plain = { readonly [key: string]: JsonValue };

/** Settings that are not given do not cross. */
const withoutGaps = (given: Readonly<Record<string, JsonValue | undefined>>): Plain =>
  Object.fromEntries(Object.entries(given).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined));

const plainSides = (sides: Readonly<Record<string, object | undefined>>): Plain =>
  Object.fromEntries(
    Object.entries(sides).flatMap(([side, pattern]) =>
      pattern === undefined ? [] : [[side, withoutGaps({ ...pattern })]],
    ),
  );

const plainProposal = ({ cost, ...proposal }: Proposal): Plain =>
  withoutGaps({ ...proposal, ...(cost === undefined ? {} : { cost: { ...cost } }) });
