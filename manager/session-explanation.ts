/**
 * Why a session got its suite: its choice made once more, if lists and rules are still those of then, and the choice of today
 * beside it. What `session explain` asks. [B8]
 */
import type { JsonValue } from '../platform/control-socket.ts';
import { equal } from '../protocol/bytes.ts';
import type { Match } from '../protocol/matching.ts';
import { registrationHash } from '../protocol/registration.ts';
import { NO_WISHES } from '../protocol/selection.ts';
import { sameSuite, suiteName } from '../protocol/suites.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { explain, iso, type Shown, showChoice, showParty } from './explanation.ts';
import { decidingRule } from './rules.ts';
import { subjectOf } from './selection.ts';
import type { ManagerState, Session } from './state.ts';
import type { Decision, Terms } from './terms.ts';

/** Of a session: on what its suite was chosen, whether that can be repeated, and what would be chosen today. */
export function explainSession(state: ManagerState, sid: string, { flow }: Session, world: World): Shown {
  const { caller, callee, suite, keyMode, rule, decision } = flow.terms;
  const [ours, theirs] = [caller.id, callee.id];
  const wishes =
    decision === null
      ? NO_WISHES
      : { allowUnencrypted: decision.allowUnencrypted, messageBytes: decision.messageBytes };
  const today = showChoice(state, ours, theirs, wishes, world.wall);
  const found = decision === null ? NOT_KEPT : explainDecision(state, flow.terms, decision, world);
  return {
    sid,
    caller: showParty(state, ours, ours),
    callee: showParty(state, theirs, theirs),
    suite: suiteName(suite),
    keyMode,
    rule,
    ...found,
    today,
    sameToday: isSame(today.match, suiteName(suite), keyMode),
  };
}

const NOT_KEPT: Shown = {
  decision: null,
  findings: ['This session was stored before decisions were kept: on what its suite was chosen is not known.'],
  replay: null,
  agrees: null,
};

function explainDecision(state: ManagerState, terms: Terms, decision: Decision, world: World): Shown {
  const { at, allowUnencrypted, messageBytes } = decision;
  const lists = [
    { id: terms.caller.id, hash: decision.callerRegistration },
    { id: terms.callee.id, hash: decision.calleeRegistration },
  ].map(({ id, hash }) => ({ id, stands: standing(state, id, hash, world) }));
  const rulesStand = decision.rules === state.rules.digest;
  const changed = lists.flatMap(({ id, stands }) => (stands === 'same' ? [] : [LIST_WORDS[stands](id)]));
  const replaced = rulesStand
    ? []
    : [
        `The rules were replaced since (then ${fileText(decision.rules)}, now ${fileText(state.rules.digest)}): the choice is repeated by rule ${terms.rule} as it stood then.`,
      ];
  const shown = {
    decision: {
      at: iso(at),
      rules: decision.rules,
      rulesStand,
      allowUnencrypted,
      messageBytes,
      callerList: lists[0]!.stands,
      calleeList: lists[1]!.stands,
    },
  };
  if (changed.length > 0) {
    return { ...shown, findings: [...changed, 'The choice of then cannot be repeated.'], replay: null, agrees: null };
  }
  const wishes = { allowUnencrypted, messageBytes };
  const again = showChoice(state, terms.caller.id, terms.callee.id, wishes, at, rulesStand ? null : decision);
  const agrees = isAsThen(again, terms);
  const findings = [...replaced, ...(agrees ? [] : whyOther(state, terms, decision, again))];
  return { ...shown, findings, replay: again, agrees };
}

type Standing = 'same' | 'replaced' | 'deleted' | 'altered';

const LIST_WORDS: Readonly<Record<Exclude<Standing, 'same'>, (id: string) => string>> = {
  replaced: (id) => `${id} has registered another list since.`,
  deleted: (id) => `${id} has deleted its registration since.`,
  altered: (id) => `The stored list of ${id} is not the one that it registered: its hash is another.`,
};

/** Whether the list of then is the one that stands now, by its content and not by what is noted of it. */
function standing(state: ManagerState, id: DeviceId, hash: Uint8Array, { crypto }: World): Standing {
  const record = state.registrations.get(id);
  if (record === undefined) return 'deleted';
  if (!equal(record.hash, hash)) return 'replaced';
  return equal(registrationHash(crypto, record), hash) ? 'same' : 'altered';
}

const fileText = (digest: string | null): string =>
  digest === null ? 'the built-in rule' : `file ${digest.slice(0, 12)}…`;

/** Lists and rules are those of then, and yet the choice is not: what else goes into it. */
function whyOther(state: ManagerState, terms: Terms, decision: Decision, again: Shown): readonly string[] {
  const { id: ours } = terms.caller;
  const { id: theirs } = terms.callee;
  const [caller, callee] = [subjectOf(state, ours), subjectOf(state, theirs)];
  const selection =
    decision.rules === state.rules.digest ? decidingRule(state.rules, caller, callee, decision.at) : decision.selection;
  if (selection.name !== terms.rule) {
    return [
      `Then rule ${terms.rule} decided, now ${selection.name} does: what the configuration says of the two (class, groups, user) was changed since.`,
    ];
  }
  const { allowUnencrypted, messageBytes } = decision;
  const without = explain(state, ours, theirs, selection, { ...NO_WISHES, allowUnencrypted, messageBytes });
  if (without !== null && isMatch(without.match, terms)) {
    return ['Without the retirements that were ordered since it comes to the same suite.'];
  }
  const before =
    decision.rules === null ? ' The built-in rule goes by `precedence` of the configuration: was it changed?' : '';
  const now =
    again.match !== null && typeof again.match === 'object' && 'name' in again.match ? again.match.name : null;
  return [
    `Repeated, the choice comes to ${now === null ? 'no suite' : String(now)}: a retirement was changed since, or this is a bug.${before}`,
  ];
}

const isMatch = (match: Match, { suite, keyMode }: Terms): boolean =>
  match.matched && sameSuite(match.suite, suite) && match.keyMode === keyMode;

function isAsThen({ match, rules }: Shown, { suite, keyMode, rule }: Terms): boolean {
  const decided = typeof rules === 'object' && rules !== null && 'decided' in rules ? rules.decided : null;
  return decided === rule && isSame(match ?? null, suiteName(suite), keyMode);
}

const isSame = (match: JsonValue | undefined, name: string, keyMode: string): boolean =>
  typeof match === 'object' && match !== null && 'name' in match && match.name === name && match.keyMode === keyMode;
