/**
 * A report as people read it: figures with spread, ratio and aim; ledgers of exact values.
 */
import type { Environment } from './environment.ts';
import { type Figure, type Ledger, type Report, ratioText, type Section } from './figures.ts';

export function reportTable(name: string, environment: Environment, report: Report): string {
  const { cpu, cores, node, openssl, date, load } = environment;
  const head = `bench ${name}: ${cpu}, ${cores} cores, Node ${node}, OpenSSL ${openssl}, load ${load}, ${date}`;
  return `${[head, ...report.sections.map(sectionTable), ...report.ledgers.map(ledgerTable)].join('\n\n')}\n`;
}

function sectionTable({ title, how, figures }: Section): string {
  const columns = ['', 'median', 'min–max', 'ratio', 'aim', ''];
  return [title, grid(columns, figures.map(figureRow)), ...how.map((line) => `  ${line}`)].join('\n');
}

function figureRow({ name, unit, median, min, max, ratio, aim }: Figure): string[] {
  return [
    name,
    `${short(median)} ${unit}`,
    `${short(min)}–${short(max)}`,
    ratio === null ? '' : `${ratioText(ratio.median)} (${ratioText(ratio.min)}–${ratioText(ratio.max)}) of ${ratio.to}`,
    aim?.text ?? '',
    aim === null ? '' : aim.met ? 'met' : 'missed',
  ];
}

function ledgerTable({ title, columns, rows, notes }: Ledger): string {
  return [
    title,
    grid(
      columns,
      rows.map((row) => row.map(String)),
    ),
    ...notes.map((note) => `  ${note}`),
  ].join('\n');
}

const short = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

/** First column to the left, the others to the right. */
function grid(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = columns.map((column, i) => Math.max(column.length, ...rows.map((row) => (row[i] ?? '').length)));
  const line = (cells: readonly string[]): string =>
    `  ${widths.map((width, i) => (i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width))).join('  ')}`.trimEnd();
  return [line(columns), ...rows.map(line)].join('\n');
}
