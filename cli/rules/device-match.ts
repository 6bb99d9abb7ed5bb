/**
 * The match of two written devices, without any server, and why it came out so.
 */
import { applies, describeWhen, type Rules } from '../../manager/rules.ts';
import type { CallerWishes } from '../../manager/selection.ts';
import {
  bestBy,
  type Candidate,
  inTableOrder,
  type Match,
  match,
  meet,
  type Selection,
  type Wishes,
} from '../../protocol/matching.ts';
import { CIPHERS, suiteName } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import type { Device } from './device-file.ts';

export interface DeviceMatch {
  readonly match: Match;
  readonly because: readonly string[];
  /** Rules that would apply at some times, where no moment is said. */
  readonly passedByTime: readonly string[];
}

/** @param at null: no moment is said, and rules that hold only at times are passed over */
export function matchDevices(
  caller: Device,
  callee: Device,
  rules: Rules,
  at: EpochSeconds | null,
  callerWishes: CallerWishes,
): DeviceMatch {
  const wishes: Wishes = { ...callerWishes, retiring: [], retired: [] };
  const { selection, line, passedByTime } = decide(rules, caller, callee, at);
  const found = match(caller.offers, callee.offers, selection, wishes);
  const because = [line, ...explain(caller, callee, selection, wishes, found)];
  const unencrypted = wishes.allowUnencrypted && [caller, callee].every(offersUnencrypted);
  return { match: found, because: unencrypted ? [...because, UNENCRYPTED] : because, passedByTime };
}

const UNENCRYPTED =
  'both list hmac: suites that do not encrypt count here; between running devices the caller has to ask for them each time';

const offersUnencrypted = ({ offers }: Device): boolean =>
  offers.offers.some(({ cipher }) => !CIPHERS[cipher].encrypts);

interface Deciding {
  readonly selection: Selection;
  readonly line: string;
  readonly passedByTime: readonly string[];
}

function decide(rules: Rules, caller: Device, callee: Device, at: EpochSeconds | null): Deciding {
  const passedByTime: string[] = [];
  for (const { when, selection } of rules.rules) {
    const timeless = { ...when, time: undefined };
    if (at === null && when.time !== undefined) {
      if (applies(timeless, caller.subject, callee.subject, NO_MOMENT)) passedByTime.push(selection.name);
      continue;
    }
    if (!applies(when, caller.subject, callee.subject, at ?? NO_MOMENT)) continue;
    return { selection, line: `rule ${selection.name} decides: ${describeWhen(when)}`, passedByTime };
  }
  const none = rules.rules.length === 0 ? 'there are no rules' : `none of ${rules.rules.length} rules applies`;
  const line = `${none}: the ${rules.digest === null ? 'built-in ' : ''}default decides`;
  return { selection: rules.otherwise, line, passedByTime };
}

/** Where no time is looked at. */
const NO_MOMENT = EpochSeconds(0);

/** What was common, and by what one of it was taken. */
function explain(
  caller: Device,
  callee: Device,
  selection: Selection,
  wishes: Wishes,
  found: Match,
): readonly string[] {
  if (!found.matched) return [`no suite is common: the closest two proposals part at ${found.failedOn}`];
  let left: readonly Candidate[] = callee.offers.offers.flatMap((theirs) =>
    caller.offers.offers.flatMap((ours) => {
      const meeting = meet(ours, theirs, selection, wishes);
      return 'apart' in meeting ? [] : meeting.candidates;
    }),
  );
  const common = namesOf(left);
  const line = `common and allowed: ${common.join('; ')}`;
  if (common.length === 1) return [line, 'there is no other'];
  for (const criterion of selection.prefer) {
    left = bestBy(criterion, left, selection, wishes);
    if (namesOf(left).length === 1) return [line, `${namesOf(left)[0]} is the best by ${criterion}`];
  }
  return [line, 'the criteria leave several: the first of the suite table is taken'];
}

const namesOf = (candidates: readonly Candidate[]): readonly string[] => [
  ...new Set([...candidates].sort(inTableOrder).map(({ suite, callee }) => `${suiteName(suite)} ${callee.keyMode}`)),
];
