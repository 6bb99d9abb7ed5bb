/**
 * Figures of a benchmark: rounds of one measurement, their median and spread, and how they stand to a yardstick of the
 * same run.
 */

export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** One measured thing; `rounds` are the raw values in the order of the run. */
export interface Figure extends Spread {
  readonly name: string;
  readonly unit: string;
  readonly rounds: readonly number[];
  /** The same round by round over a yardstick of this run. */
  readonly ratio: (Spread & { readonly to: string }) | null;
  /** What design and issue ask for, in words, and whether the median is there. */
  readonly aim: { readonly text: string; readonly met: boolean } | null;
}

/** A table whose cells are exact, such as bytes. */
export interface Ledger {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
  readonly notes: readonly string[];
}

export interface Section {
  readonly title: string;
  /** How it was measured, for whoever doubts it. */
  readonly how: readonly string[];
  readonly figures: readonly Figure[];
}

export interface Report {
  readonly sections: readonly Section[];
  readonly ledgers: readonly Ledger[];
}

/**
 * A quick report judges nothing: its rounds are too short to be warm. Its null manager cost twice what it costs in a full
 * run, which made the ratio to it look good.
 */
export function withoutAims(report: Report): Report {
  const sections = report.sections.map((section) => ({
    ...section,
    figures: section.figures.map((figure) => ({ ...figure, aim: null })),
  }));
  return { ...report, sections };
}

export function spreadOf(rounds: readonly number[]): Spread {
  const sorted = [...rounds].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  return { median, min: sorted[0]!, max: sorted.at(-1)! };
}

export interface Yardstick {
  readonly name: string;
  readonly rounds: readonly number[];
}

type Aim = { readonly most: number } | { readonly least: number } | { readonly mostRatio: number };

/** @param aim  `most` or `least` in the figure's unit, or `mostRatio` to the yardstick */
export function figure(
  name: string,
  unit: string,
  rounds: readonly number[],
  yardstick: Yardstick | null = null,
  aim: Aim | null = null,
): Figure {
  const spread = spreadOf(rounds);
  const ratios = yardstick === null ? null : rounds.map((round, i) => round / yardstick.rounds[i]!);
  const ratio = ratios === null || yardstick === null ? null : { ...spreadOf(ratios), to: yardstick.name };
  return { name, unit, ...spread, rounds, ratio, aim: judged(spread, ratio, unit, aim) };
}

function judged(spread: Spread, ratio: Spread | null, unit: string, aim: Aim | null): Figure['aim'] {
  if (aim === null) return null;
  if ('most' in aim) return { text: `≤ ${aim.most} ${unit}`, met: spread.median <= aim.most };
  if ('least' in aim) return { text: `≥ ${aim.least} ${unit}`, met: spread.median >= aim.least };
  return { text: `≤ ${ratioText(aim.mostRatio)}`, met: ratio !== null && ratio.median <= aim.mostRatio };
}

/** 0.04 is `1/25`, 1.5 is `1.50 ×`. */
export function ratioText(ratio: number): string {
  return ratio < 0.5 ? `1/${(1 / ratio).toFixed(1).replace(/\.0$/, '')}` : `${ratio.toFixed(2)} ×`;
}
