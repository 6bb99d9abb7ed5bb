/**
 * A suite that is to go by a date: until then it is taken only when nothing else is common, and sessions move away from it;
 * from then on it is not taken at all.
 */
import { parseSuitePattern, type SuitePattern } from '../protocol/suite-pattern.ts';
import type { EpochSeconds } from '../protocol/units.ts';

export interface Retirement {
  readonly pattern: SuitePattern;
  readonly by: EpochSeconds;
}

/** From the store. @returns null for a suite that this version does not know, and so never takes */
export function readRetirement(suite: string, by: number): Retirement | null {
  const pattern = parseSuitePattern(suite);
  return 'fault' in pattern ? null : { pattern, by: by as EpochSeconds };
}

/** Those whose day has not come, and those whose day has. */
export function retirementsAt(
  retirements: Iterable<Retirement>,
  wall: EpochSeconds,
): { readonly retiring: readonly SuitePattern[]; readonly retired: readonly SuitePattern[] } {
  const retiring: SuitePattern[] = [];
  const retired: SuitePattern[] = [];
  for (const { pattern, by } of retirements) (wall < by ? retiring : retired).push(pattern);
  return { retiring, retired };
}
