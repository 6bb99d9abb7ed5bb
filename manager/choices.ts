/**
 * What was chosen lately: a Connect that comes again while nothing has changed costs a look-up, not a match. And the
 * retirements as they stand, the same object for as long as they stand so.
 */
import type { Match } from '../protocol/matching.ts';
import type { Selection, Wishes } from '../protocol/selection.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { RegistrationRecord } from './registry.ts';
import { type Retirement, retirementsAt } from './retirement.ts';

export interface Choices {
  /** By caller, callee and what the caller asked for; the oldest first. */
  readonly kept: Map<string, Outcome>;
  retirements: Retirements | null;
}

export const noChoices = (): Choices => ({ kept: new Map(), retirements: null });

/** On what a choice rests. A registration, a rule and the retirements are replaced when they change, never altered. */
export interface Grounds {
  readonly caller: RegistrationRecord;
  readonly callee: RegistrationRecord;
  readonly selection: Selection;
  readonly retirements: Retirements;
  /** For which costs were compared; null: it is the same for any. */
  readonly messageBytes: number | null;
}

export interface Outcome {
  readonly grounds: Grounds;
  readonly match: Match;
  readonly refused: Refused | null;
}

/** Of a match that found nothing. */
export interface Refused {
  /** For the caller. */
  readonly detail: string;
  /** For the log: what the rule asks and nothing meets. */
  readonly requirement: string | null;
}

export type Retirements = Pick<Wishes, 'retiring' | 'retired'> & {
  readonly of: readonly Retirement[];
  /** Before `until` and from `from` on no day of any of them passes. */
  readonly from: number;
  readonly until: number;
};

/** Pairs that are busy at one time; each holds two registrations that may be replaced already. */
const MOST_KEPT = 256;

export function recall({ kept }: Choices, key: string, grounds: Grounds): Outcome | null {
  const known = kept.get(key);
  return known !== undefined && isSame(known.grounds, grounds) ? known : null;
}

export function keepChoice({ kept }: Choices, key: string, outcome: Outcome): void {
  kept.delete(key); // so that it stands at the end
  kept.set(key, outcome);
  if (kept.size <= MOST_KEPT) return;
  const [oldest] = kept.keys();
  kept.delete(oldest!);
}

/** @param a  of what is kept */
const isSame = (a: Grounds, b: Grounds): boolean =>
  a.caller === b.caller &&
  a.callee === b.callee &&
  a.selection === b.selection &&
  a.retirements === b.retirements &&
  (a.messageBytes === null || a.messageBytes === b.messageBytes);

/** Looked through each time, which no change escapes: there are at most as many as the registry has patterns. */
export function retirementsNow(
  choices: Choices,
  retirements: ReadonlyMap<string, Retirement>,
  wall: EpochSeconds,
): Retirements {
  const known = choices.retirements;
  if (known !== null && stillStands(known, retirements, wall)) return known;
  const of = [...retirements.values()];
  const days = of.map(({ by }) => by);
  const now: Retirements = {
    ...retirementsAt(of, wall),
    of,
    from: Math.max(Number.NEGATIVE_INFINITY, ...days.filter((by) => by <= wall)),
    until: Math.min(Number.POSITIVE_INFINITY, ...days.filter((by) => by > wall)),
  };
  choices.retirements = now;
  return now;
}

function stillStands(
  { of, from, until }: Retirements,
  retirements: ReadonlyMap<string, Retirement>,
  wall: EpochSeconds,
): boolean {
  if (of.length !== retirements.size || wall < from || wall >= until) return false;
  let at = 0;
  for (const retirement of retirements.values()) if (of[at++] !== retirement) return false;
  return true;
}
