/**
 * What rules would change, for programs and for people.
 */
import type { JsonValue } from '../../platform/control-socket.ts';
import { printable, table } from '../output.ts';
import { wrap } from './explanation-text.ts';
import type { Tally, Turn } from './impact.ts';

export interface Impact {
  readonly file: string;
  readonly at: number;
  readonly devices: number;
  readonly tally: Tally;
  readonly warnings: readonly string[];
}

/** The greatest first. */
const turnsOf = ({ turns }: Tally, kind: (turn: Turn) => boolean): readonly Turn[] =>
  [...turns.values()].filter(kind).sort((a, b) => b.pairs - a.pairs || nameOf(a).localeCompare(nameOf(b)));

const nameOf = ({ from, to }: Turn): string => `${from ?? ''} ${to ?? ''}`;
const loses = ({ to }: Turn): boolean => to === null;
const gains = ({ from }: Turn): boolean => from === null;
const moves = (turn: Turn): boolean => !loses(turn) && !gains(turn);
const sum = (turns: readonly Turn[]): number => turns.reduce((all, { pairs }) => all + pairs, 0);

export function impactValue({ file, at, devices, tally, warnings }: Impact): JsonValue {
  const shown = (kind: (turn: Turn) => boolean): JsonValue => {
    const turns = turnsOf(tally, kind);
    return { pairs: sum(turns), turns: turns.map(({ from, to, pairs, examples }) => ({ from, to, pairs, examples })) };
  };
  return {
    file,
    at: new Date(at * 1000).toISOString(),
    devices,
    pairs: tally.pairs,
    looked: tally.looked,
    whole: tally.looked === tally.pairs,
    forbidden: tally.forbidden,
    same: tally.same,
    changed: shown(moves),
    lost: shown(loses),
    gained: shown(gains),
    decides: [...tally.decided].map(([rule, pairs]) => ({ rule, pairs })),
    warnings,
  };
}

export function impactText({ devices, tally, warnings }: Impact): string {
  const [changed, lost, gained] = [moves, loses, gains].map((kind) => turnsOf(tally, kind)) as [
    readonly Turn[],
    readonly Turn[],
    readonly Turn[],
  ];
  const part =
    tally.looked === tally.pairs
      ? []
      : [
          `STOPPED after ${tally.looked} of ${tally.pairs} pairs (${percent(tally.looked, tally.pairs)}): what follows is of these.`,
          '',
        ];
  return [
    ...part,
    `${devices} registered devices, ${tally.looked} pairs of a caller and a callee:`,
    ...table(
      ['', ''],
      [
        [String(sum(changed)), 'would get another suite'],
        [
          String(sum(lost)),
          lost.length > 0 ? 'would LOSE THEIR LAST common suite' : 'would lose their last common suite',
        ],
        [String(sum(gained)), 'would gain one, where they have none now'],
        [String(tally.same), 'stay as they are'],
        [String(tally.forbidden), 'are forbidden by the connect policy'],
      ].map(([count, what]) => [count!.padStart(8), what!]),
    )
      .split('\n')
      .slice(1),
    ...block('Pairs without a suite from then on', lost),
    ...block('Pairs with another suite', changed),
    ...block('Pairs that gain one', gained),
    ...ruleBlock(tally),
    ...(warnings.length === 0 ? [] : ['', 'Warnings', ...warnings.flatMap((one) => wrap(one, '  ! '))]),
  ].join('\n');
}

const percent = (some: number, all: number): string => `${Math.floor((100 * some) / Math.max(1, all))} %`;

function block(title: string, turns: readonly Turn[]): readonly string[] {
  if (turns.length === 0) return [];
  const lines = turns.flatMap(({ from, to, pairs, examples }) => {
    const head = `${from ?? 'no suite'} → ${to ?? 'no suite'}`;
    const some = examples.map(([caller, callee]) => `${caller} → ${callee}`).join(', ');
    const more = examples.length > 0 && examples.length < pairs ? ', …' : '';
    const count = String(pairs).padStart(8);
    return [...wrap(head, `${count}  `), ...(some === '' ? [] : wrap(`${some}${more}`, '            '))];
  });
  return ['', title, ...lines];
}

function ruleBlock({ decided, looked, pairs }: Tally): readonly string[] {
  if (looked < pairs) return [];
  const rows = [...decided].map(([rule, count]) => `${String(count).padStart(8)}  ${printable(rule)}`);
  return ['', 'Pairs for which each of the new rules decides', ...rows];
}
