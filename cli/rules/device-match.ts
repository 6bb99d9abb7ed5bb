/**
 * The match of two written devices, without any server, and why it came out so.
 */
import { applies, describeWhen, type Rules } from '../../manager/rules.ts';
import type { CallerWishes } from '../../manager/selection.ts';
import { explainMatch } from '../../protocol/match-explanation.ts';
import type { Match } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { describeProposal } from '../../protocol/proposal.ts';
import type { Selection, Wishes } from '../../protocol/selection.ts';
import { CIPHERS } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import type { Device } from './device-file.ts';

export interface DeviceMatch {
  readonly match: Match;
  readonly because: readonly string[];
}

/** @param at null: no moment is said, and rules that hold only at times are passed over */
export function matchDevices(
  caller: Device,
  callee: Device,
  rules: Rules,
  at: EpochSeconds | null,
  callerWishes: CallerWishes,
): DeviceMatch {
  const wishes = wishesOf(callerWishes);
  const { selection, line } = decide(rules, caller, callee, at);
  const { match, because } = explainMatch(
    sideOf(caller, callee, 'caller'),
    sideOf(callee, caller, 'callee'),
    selection,
    wishes,
  );
  const unencrypted = wishes.allowUnencrypted && [caller, callee].every(offersUnencrypted);
  const [headline, ...rest] = because;
  const told = [headline!, line, ...rest, ...(unencrypted ? [UNENCRYPTED] : [])];
  return { match, because: told };
}

/** In an order that does not depend on the one in the file: there it means nothing. */
function sideOf({ subject, proposals }: Device, other: Device, role: string) {
  const name = subject.id === other.subject.id ? `the ${role}` : subject.id;
  const sorted = proposals.map((proposal) => ({ proposal, key: keyOf(proposal) }));
  sorted.sort((a, b) => (a.key < b.key ? -1 : Number(a.key > b.key)));
  return { name, proposals: sorted.map(({ proposal }) => proposal), unordered: true };
}

const keyOf = (proposal: Proposal): string =>
  `${describeProposal(proposal)} ${proposal.priority ?? ''} ${JSON.stringify(proposal.cost ?? null)}`;

const UNENCRYPTED =
  'Both list hmac: suites that do not encrypt count here; between running devices the caller asks for them with each connect.';

const offersUnencrypted = ({ offers }: Device): boolean =>
  offers.offers.some(({ cipher }) => !CIPHERS[cipher].encrypts);

export const wishesOf = (given: CallerWishes): Wishes => ({ ...given, retiring: [], retired: [] });

export interface Deciding {
  readonly selection: Selection;
  /** For people: the rule, and when it holds. */
  readonly line: string;
  /** Rules that would apply at some times, where no moment is said. */
  readonly passedByTime: readonly string[];
}

/** @param at null: no moment is said, and rules that hold only at times are passed over */
export function decide(rules: Rules, caller: Device, callee: Device, at: EpochSeconds | null): Deciding {
  const passedByTime: string[] = [];
  for (const { when, selection } of rules.rules) {
    const timeless = { ...when, time: undefined };
    if (at === null && when.time !== undefined) {
      if (applies(timeless, caller.subject, callee.subject, NO_MOMENT)) passedByTime.push(selection.name);
      continue;
    }
    if (!applies(when, caller.subject, callee.subject, at ?? NO_MOMENT)) continue;
    return { selection, line: `Rule ${selection.name} decides: ${describeWhen(when)}.`, passedByTime };
  }
  const none = rules.rules.length === 0 ? 'There are no rules' : `No rule of ${rules.rules.length} applies`;
  const line = `${none}: the ${rules.digest === null ? 'built-in ' : ''}default decides.`;
  return { selection: rules.otherwise, line, passedByTime };
}

/** Where no time is looked at. */
const NO_MOMENT = EpochSeconds(0);
