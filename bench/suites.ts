/**
 * `bench suites`: what suites cost on this machine, and what the choice of one costs.
 */
import type { Report } from './figures.ts';
import type { Progress } from './progress.ts';
import { benchSuiteCosts } from './suite-costs.ts';
import { benchSuiteMatches } from './suite-matches.ts';

type Part = (quick: boolean, progress: Progress) => Promise<Report>;

/** With how much of the time each takes. */
const PARTS: readonly (readonly [part: Part, share: number])[] = [
  [benchSuiteMatches, 1],
  [benchSuiteCosts, 2],
];

export async function benchSuites(quick: boolean, progress: Progress): Promise<Report> {
  const whole = PARTS.reduce((sum, [, share]) => sum + share, 0);
  const reports: Report[] = [];
  let done = 0;
  for (const [part, share] of PARTS) {
    const before = done;
    const at: Progress['at'] = (inside, doing) => progress.at((before + share * inside) / whole, doing);
    reports.push(await part(quick, { at, done: () => {} }));
    done += share;
  }
  return {
    sections: reports.flatMap(({ sections }) => sections),
    ledgers: reports.flatMap(({ ledgers }) => ledgers),
  };
}
