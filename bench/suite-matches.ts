/**
 * `bench suites`, the choice: how many a second, with ranges and rules, how long the slowest take, and how the cost grows with
 * lists and rules. Beside it the equal-match that the patent begins with (0160): a scan for the same string.
 */
import { decidingRule } from '../manager/rules.ts';
import { match, meet, scopeOf } from '../protocol/matching.ts';
import { describeProposal } from '../protocol/proposal.ts';
import { CALLEE_FIRST, DEFAULT_SELECTION, NO_WISHES, type Selection } from '../protocol/selection.ts';
import { type Call, sideBySide } from './call-cost.ts';
import { type Figure, figure, type Ledger, type Report, type Section, spreadOf } from './figures.ts';
import { type Couple, couples, heaviestCouple, rulesOf, WALL } from './match-load.ts';
import type { Progress } from './progress.ts';

const FULL = { rounds: 9, batches: 20, samples: 40_000 };
const QUICK = { rounds: 5, batches: 5, samples: 5000 };
const LENGTHS = [4, 16, 64] as const;
const RULE_COUNTS = [0, 10, 50, 200] as const;
/**
 * Proposals of all callers of a length: as many in memory for short lists as for long ones, or the short ones would be the
 * faster for the processor's caches alone. Each call takes the next couple.
 */
const PROPOSALS = 2048;
const RULES = 50;
const AIM_PER_SECOND = 200_000;
const MOST_HEAVY_MICROS = 2000;

const preferring = (...prefer: Selection['prefer']): Selection => ({ ...DEFAULT_SELECTION, prefer });
const PREFERENCES: Readonly<Record<string, Selection>> = {
  priorities: preferring(...CALLEE_FIRST),
  cost: preferring('cost'),
  'strength, then hash-lightness': preferring('strength', 'hash-lightness'),
};
const DEFAULT = PREFERENCES.priorities!;
const EVERYTHING = preferring('strength', 'hash-lightness', 'cost', ...CALLEE_FIRST);

export async function benchSuiteMatches(quick: boolean, progress: Progress): Promise<Report> {
  const scale = quick ? QUICK : FULL;
  const field = LENGTHS.map((length) => ({ length, pairs: couples(PROPOSALS / length, length) }));
  const measured = measureAll(callsFor(field), scale, (part, doing) => progress.at(0.8 * part, doing));
  progress.at(0.8, 'single matches');
  const slowest = tails(field, scale);
  return {
    sections: [rates(measured), growth(measured), rulesAlone(measured), slowest, heaviest(measured)],
    ledgers: [fieldLedger(field)],
  };
}

type Field = readonly { readonly length: number; readonly pairs: readonly Couple[] }[];

// ── Calls ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Microseconds of one call, round by round, by name. */
type Measured = (name: string) => readonly number[];

function measureAll(calls: readonly Call[], scale: typeof FULL, at: (part: number, doing: string) => void): Measured {
  const costs = sideBySide(calls, scale, (part, { name }) => at(part, name));
  const byName = new Map(calls.map((call) => [call.name, costs.get(call)!]));
  return (name) => {
    const found = byName.get(name);
    if (found === undefined) throw new RangeError(`nothing was measured as ${name}`);
    return found;
  };
}

const size = (length: number): string => `${length}×${length}`;

function callsFor(field: Field): Call[] {
  const calls: Call[] = field.flatMap(({ length, pairs }) => {
    const over = (name: string, run: (couple: Couple) => unknown): Call => ({
      name: `${size(length)}, ${name}`,
      run: (i) => kept(run(pairs[i % pairs.length]!)),
    });
    const scans = new Map(pairs.map((couple) => [couple, equalMatch(couple)]));
    return [
      over('equal strings', (couple) => scans.get(couple)!()),
      ...Object.entries(PREFERENCES).map(([name, selection]) => over(name, (couple) => choose(couple, selection))),
      ...RULE_COUNTS.slice(1).map((count) => over(`${count} rules`, chooseByRules(count))),
      over(`${RULES} rules, by cost`, chooseByRules(RULES, PREFERENCES.cost!)),
    ];
  });
  const [{ pairs }] = field as readonly [Field[number]];
  const rules: Call[] = RULE_COUNTS.map((count) => {
    const file = rulesOf(count, DEFAULT);
    const run = (i: number): void => {
      const { caller, callee } = pairs[i % pairs.length]!;
      kept(decidingRule(file, caller.subject, callee.subject, WALL));
    };
    return { name: `rule of ${count}`, run };
  });
  const heavy = heaviestCouple(64);
  const heavies: Call[] = Object.entries({ ...PREFERENCES, everything: EVERYTHING }).map(([name, selection]) => ({
    name: `heaviest, ${name}`,
    run: () => kept(choose(heavy, selection)),
  }));
  return [...calls, ...rules, ...heavies];
}

const choose = ({ caller, callee }: Couple, selection: Selection): boolean =>
  match(caller.offers, callee.offers, selection, NO_WISHES).matched;

/** What the manager does at each Connect: the deciding rule, then the match by it. */
function chooseByRules(count: number, selection = DEFAULT): (couple: Couple) => boolean {
  const file = rulesOf(count, selection);
  return (couple) => choose(couple, decidingRule(file, couple.caller.subject, couple.callee.subject, WALL));
}

/** [patent 0160] The callee's list in its order, looked for in the caller's; the last one is there, as in no early hit. */
function equalMatch({ caller, callee }: Couple): () => boolean {
  const theirs = callee.proposals.map(describeProposal);
  const missing = (text: string): string => `${text} `;
  const ours = [...caller.proposals.map(describeProposal).map(missing).slice(1), theirs.at(-1)!];
  return () => theirs.some((one) => ours.includes(one));
}

/** A result that nobody looks at may be left out by the compiler. */
function kept(result: unknown): void {
  if (result === undefined || result === false) throw new Error('a couple that should meet does not');
}

// ── What is shown ───────────────────────────────────────────────────────────────────────────────────────────────────

const perSecond = (micros: readonly number[]): number[] => micros.map((one) => 1e6 / one);

function rates(measured: Measured): Section {
  const rows = LENGTHS.flatMap((length): Figure[] => {
    const of = (name: string) => perSecond(measured(`${size(length)}, ${name}`));
    const plain = { name: 'equal strings', rounds: of('equal strings') };
    const aim = length === 4 ? { least: AIM_PER_SECOND } : null;
    return [
      figure(`${size(length)}, equal strings`, '/s', plain.rounds),
      ...Object.keys(PREFERENCES).map((name) => figure(`  ranges, by ${name}`, '/s', of(name), plain)),
      figure(`  ranges and ${RULES} rules, by priorities`, '/s', of(`${RULES} rules`), plain, aim),
      figure(`  ranges and ${RULES} rules, by cost`, '/s', of(`${RULES} rules, by cost`), plain, aim),
    ];
  });
  return {
    title: 'Matches a second on one core, of lists with ranges, lists of hashes, priorities and costs',
    how: [
      `Couples in turn, drawn with a fixed seed; their lists are read once, as at registration. Of ${RULES} rules the last one`,
      'applies: by class, group and id with *, and one by time of day. Equal strings: the least that anything could do, a',
      "scan of one side's list for each entry of the other, the last of which is there.",
    ],
    figures: rows,
  };
}

/** Cost of the longer list over the shorter's, over the product of the lengths. */
function growth(measured: Measured): Section {
  const figures = Object.keys(PREFERENCES).flatMap((name) =>
    [1, 2].map((at) => {
      const [from, to] = [LENGTHS[at - 1]!, LENGTHS[at]!];
      const product = (to / from) ** 2;
      const shorter = measured(`${size(from)}, ${name}`);
      const rounds = measured(`${size(to)}, ${name}`).map((one, i) => one / shorter[i]! / product);
      return figure(`${size(from)} to ${size(to)}, by ${name}`, '× product', rounds, null, { most: 1 });
    }),
  );
  return {
    title: 'Growth of one match, over the growth of the product of the two lists',
    how: ['1 is a cost that grows as the product does; less, one that grows slower.'],
    figures,
  };
}

function rulesAlone(measured: Measured): Section {
  return {
    title: 'The deciding rule alone, when the last one decides',
    how: ['Without rules the default decides. One rule asks the time of day in Europe/Berlin.'],
    figures: [
      ...RULE_COUNTS.map((count) => figure(`${count} rules`, 'µs', measured(`rule of ${count}`))),
      ...RULE_COUNTS.slice(1).map((count) =>
        figure(`${size(4)} and ${count} rules`, '/s', perSecond(measured(`${size(4)}, ${count} rules`))),
      ),
    ],
  };
}

function heaviest(measured: Measured): Section {
  const figures = [...Object.keys(PREFERENCES), 'everything'].map((name) =>
    figure(`by ${name}`, 'µs', measured(`heaviest, ${name}`), null, { most: MOST_HEAVY_MICROS }),
  );
  return {
    title:
      'The heaviest match that two registrations can ask for: 64×64, each pair meets in three key lengths and three hashes',
    how: ['A caller may ask for it as often as the broker lets it speak. Everything: five criteria, cost among them.'],
    figures,
  };
}

/** Percentiles of single matches. */
function tails(field: Field, { rounds, samples }: typeof FULL): Section {
  const figures = field.flatMap(({ length, pairs }): Figure[] => {
    const byRules = chooseByRules(RULES);
    const one = (i: number): void => kept(byRules(pairs[i % pairs.length]!));
    const count = Math.max(1000, Math.floor(samples / (length / 4)));
    singles(count, one); // compiles it
    const sorted = Array.from({ length: rounds }, () => singles(count, one));
    const at = (part: number): number[] => sorted.map((times) => times[Math.floor(part * times.length)]!);
    return [0.5, 0.99, 0.999].map((part) => figure(`${size(length)}, p${100 * part}`, 'µs', at(part)));
  });
  return {
    title: `Single matches with ranges and ${RULES} rules, by priorities`,
    how: [
      'Each timed alone by process.hrtime.bigint, less the median of as many readings with nothing between them; the collector',
      'and whatever else runs on the machine are in the last percentiles.',
    ],
    figures,
  };
}

/** @returns µs, the shortest first */
function singles(count: number, run: (i: number) => void): readonly number[] {
  const timed = (act: (i: number) => void): number[] => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const began = process.hrtime.bigint();
      act(i);
      times.push(Number(process.hrtime.bigint() - began) / 1000);
    }
    return times;
  };
  const empty = spreadOf(timed(() => {})).median;
  return timed(run)
    .map((time) => Math.max(0, time - empty))
    .sort((a, b) => a - b);
}

/** How much of the lists meets: a match whose pairs all part at the cipher would be cheap. */
function fieldLedger(field: Field): Ledger {
  const everything = scopeOf(EVERYTHING, NO_WISHES);
  const rows = [...field, { length: 64, pairs: [heaviestCouple(64)], heavy: true }].map((row) => {
    let [meeting, suites] = [0, 0];
    for (const { caller, callee } of row.pairs) {
      for (const ours of caller.offers.offers) {
        for (const theirs of callee.offers.offers) {
          const met = meet(ours, theirs, everything);
          if (!('candidates' in met)) continue;
          meeting++;
          suites += met.candidates.length;
        }
      }
    }
    const couplesCount = row.pairs.length;
    const share = Math.round((100 * meeting) / couplesCount / row.length ** 2);
    const name = 'heavy' in row ? `${size(row.length)}, the heaviest` : size(row.length);
    return [name, couplesCount, row.length ** 2, `${share} %`, Math.round(suites / couplesCount)];
  });
  return {
    title: 'What the lists have in common',
    columns: ['', 'couples', 'pairs of proposals', 'that meet', 'suites common, each pair for itself'],
    rows,
    notes: [],
  };
}
