/**
 * Why a pair gets the suite that it gets, as things stand: what `rules explain` asks. Nothing is changed by asking. [B8]
 */
import type { JsonValue } from '../platform/control-socket.ts';
import { explainMatch, type MatchExplanation } from '../protocol/match-explanation.ts';
import { spellCause } from '../protocol/match-replay.ts';
import { fateWords, settingText, shortened } from '../protocol/match-sentences.ts';
import type { Selection, Wishes } from '../protocol/selection.ts';
import { suiteName } from '../protocol/suites.ts';
import type { DeviceId, EpochSeconds } from '../protocol/units.ts';
import { userAsked } from '../protocol/user-name.ts';
import type { World } from '../protocol/world.ts';
import { calleeSubject, deviceNamed, reachFor } from './connects.ts';
import { mayConnect, type Subject } from './policy.ts';
import { retirementsAt } from './retirement.ts';
import { describeWhen, type Rules, whyNot } from './rules.ts';
import { type CallerWishes, subjectOf } from './selection.ts';
import { type ManagerState, mayBeLinked } from './state.ts';
import type { Decision } from './terms.ts';
import { placesOfUser } from './user-desk.ts';

export type Shown = { readonly [key: string]: JsonValue };

export interface ConnectQuestion extends CallerWishes {
  /** Names as in a Connect. */
  readonly caller: string;
  readonly callee: string;
  /** For rules and retirements; null: now. */
  readonly at: EpochSeconds | null;
}

/** What two devices registered, and how many rules there are, makes no answer longer than some 40 KB. */
const MOST_SHOWN = { candidates: 64, passedOver: 16, partings: 16, rules: 16 } as const;

/** @returns null and the name by which nobody is known */
export function explainConnect(
  state: ManagerState,
  { caller, callee, at, ...wishes }: ConnectQuestion,
  world: World,
): Shown | { readonly unknown: string } {
  const [ours, theirs] = [deviceNamed(state, caller), calleeNamed(state, callee)];
  if (ours === null || theirs === null) return { unknown: ours === null ? caller : callee };
  const moment = at ?? world.wall;
  return {
    caller: showParty(state, ours, caller),
    callee: showParty(state, theirs, callee),
    connect: showReach(state, ours, theirs, callee, world),
    ...showChoice(state, ours, theirs, wishes, moment),
  };
}

/** A user stands for the device where the user came last. */
function calleeNamed(state: ManagerState, name: string): DeviceId | null {
  const user = userAsked(name);
  if (user === null) return deviceNamed(state, name);
  return placesOfUser(state.users, user)[0]?.record.device ?? null;
}

// ── A device, and the way to it ─────────────────────────────────────────────────────────────────────────────────────

export function showParty(state: ManagerState, id: DeviceId, name: string): Shown {
  return {
    ...subjectOf(state, id),
    name,
    registered: state.registrations.has(id),
    linked: state.settings.broker === 'outside' ? null : state.links.has(id),
    proposals: state.registrations.get(id)?.proposals.length ?? 0,
  };
}

/** What a Connect would meet before any suite is looked at. */
function showReach(state: ManagerState, ours: DeviceId, theirs: DeviceId, name: string, world: World): Shown {
  const reached = reachFor(state, ours, name, world);
  if ('refused' in reached) {
    return { refused: reached.refused, because: whyRefused(state, reached.refused, ours, theirs, name) };
  }
  const because = mayBeLinked(state, ours) ? null : `${ours} has no link now, so that it cannot ask`;
  return { refused: null, because };
}

function whyRefused(state: ManagerState, reason: string, ours: DeviceId, theirs: DeviceId, name: string): string {
  const user = userAsked(name);
  const asked = calleeSubject(state, user === null ? theirs : null, name, user);
  switch (reason) {
    case 'self':
      return 'both names mean the same device';
    case 'forbidden':
      return `${policyText(state, subjectOf(state, ours), asked)} forbids it`;
    case 'not-registered':
      return `${ours} has registered nothing`;
    case 'unreachable':
      return state.registrations.has(theirs) ? `${theirs} has no link now` : `${theirs} has registered nothing`;
    case 'authenticate-only':
      return `${theirs} has a channel that does not encrypt, and gets no keys over it`;
    case 'user-nowhere':
      return `the policy lets ${ours} ask for this user, and for none of the devices where the user is`;
    case 'several-devices':
      return 'the user is at several devices, and users.several of the configuration has the caller name one';
    case 'too-many':
      return `${ours} has as many sessions, or questions under way, as it may have`;
    default:
      return 'no fresh word of the verifier on one of the two';
  }
}

function policyText({ settings }: ManagerState, ours: Subject, theirs: Subject): string {
  const { rules } = settings.connectPolicy;
  // asked one by one: the first that is about these two
  const at = rules.findIndex((rule) =>
    mayConnect({ rules: [{ ...rule, allow: true }], otherwise: 'deny' }, ours, theirs),
  );
  const rule = rules[at];
  return rule === undefined
    ? 'connect.otherwise of the configuration'
    : `connect.rules.${at} of the configuration (from ${rule.from} to ${rule.to})`;
}

// ── The choice ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * As rules, attributes and lists stand now.
 * @param moment  of the rules' time windows and the retirements
 * @param decided  what decided then, where the rules are others now
 */
export function showChoice(
  state: ManagerState,
  ours: DeviceId,
  theirs: DeviceId,
  callerWishes: CallerWishes,
  moment: EpochSeconds,
  decided: Pick<Decision, 'selection' | 'rules'> | null = null,
): Shown {
  const [caller, callee] = [subjectOf(state, ours), subjectOf(state, theirs)];
  const { selection, ...looking } =
    decided === null
      ? lookAtRules(state.rules, caller, callee, moment)
      : { selection: decided.selection, looked: [], before: 0, left: 0 };
  const wishes: Wishes = { ...callerWishes, ...retirementsAt(state.retirements.values(), moment) };
  const explained = explain(state, ours, theirs, selection, wishes);
  return {
    moment: iso(moment),
    rules: {
      digest: (decided ?? { rules: state.rules.digest }).rules,
      decided: selection.name,
      ...looking,
      asThen: decided !== null,
    },
    match: explained === null ? null : showExplanation(explained),
  };
}

/** @returns null when one of the two has registered nothing */
export function explain(
  state: ManagerState,
  ours: DeviceId,
  theirs: DeviceId,
  selection: Selection,
  wishes: Wishes,
): MatchExplanation | null {
  const [caller, callee] = [state.registrations.get(ours), state.registrations.get(theirs)];
  if (caller === undefined || callee === undefined) return null;
  const [ourName, theirName] = ours === theirs ? ['the caller', 'the callee'] : [ours, theirs];
  return explainMatch(
    { name: ourName, proposals: caller.proposals },
    { name: theirName, proposals: callee.proposals },
    selection,
    wishes,
  );
}

/** Up to the one that decides; `before`, `left`: how many more stand before those that are shown, and behind them. */
function lookAtRules({ rules, otherwise }: Rules, caller: Subject, callee: Subject, moment: EpochSeconds) {
  const looked: Shown[] = [];
  for (const { when, selection } of rules) {
    const failed = whyNot(when, caller, callee, moment);
    looked.push({ rule: selection.name, when: shortened(describeWhen(when)), applies: failed === null, failed });
    if (failed === null) return { selection, ...lastOf(looked), left: rules.length - looked.length };
  }
  return { selection: otherwise, ...lastOf(looked), left: 0 };
}

const lastOf = (looked: readonly Shown[]) => ({
  looked: looked.slice(-MOST_SHOWN.rules),
  before: Math.max(0, looked.length - MOST_SHOWN.rules),
});

export function showExplanation(explained: MatchExplanation): Shown {
  const { match, cause, contenders, unusable, partings, because, whatWouldChange } = explained;
  return {
    matched: match.matched,
    suite: match.matched ? { ...match.suite } : null,
    keyMode: match.matched ? match.keyMode : null,
    name: match.matched ? suiteName(match.suite) : null,
    retiring: match.matched && match.retiring,
    failedOn: match.matched ? null : match.failedOn,
    rule: match.rule,
    cause: spellCause(cause),
    because,
    whatWouldChange,
    candidates: contenders.slice(0, MOST_SHOWN.candidates).map((one) => ({
      suite: suiteName(one.suite),
      keyMode: one.keyMode,
      fate: fateWords(one.fate),
    })),
    candidatesLeftOut: Math.max(0, contenders.length - MOST_SHOWN.candidates),
    passedOver: unusable
      .slice(0, MOST_SHOWN.passedOver)
      .map(({ side, index, at }) => ({ side, proposal: index + 1, at })),
    passedOverLeftOut: Math.max(0, unusable.length - MOST_SHOWN.passedOver),
    partings: partings.slice(0, MOST_SHOWN.partings).map(({ caller, callee, at }) => ({
      caller: caller.index + 1,
      callee: callee.index + 1,
      at,
      callerHas: settingText(at, caller),
      calleeHas: settingText(at, callee),
    })),
    partingsLeftOut: Math.max(0, partings.length - MOST_SHOWN.partings),
  };
}

export const iso = (seconds: number): string => `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
