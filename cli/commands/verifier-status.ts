/**
 * `kagimori verifier status` and `kagimori verifier reload`: what a running verifier knows, and that it look again.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type CommonOptions, verb } from '../command.ts';
import { placesOf } from '../config-place.ts';
import { ask } from '../control-client.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { cell, createOutput, isObject, objects, outline, printable, table } from '../output.ts';

interface VerifierOptions extends CommonOptions {
  readonly data?: string;
  readonly config?: string;
}

/** Every URL is waited for. */
const RELOAD_MS = 30_000;

export function verifierStatusVerbs(): readonly Command[] {
  const status = verb(
    'status',
    'show what the verifier knows of revocation, how old that is, and what is wrong',
    'kagimori verifier status --data data-verifier',
  );
  const reload = verb(
    'reload',
    'have the verifier look again now at its lists, its URLs and its own key',
    'kagimori verifier reload --data data-verifier',
  );
  return [
    options(status, 'status'),
    options(reload, 'reload', RELOAD_MS).addHelpText(
      'after',
      '\nA verifier takes up changed files by itself, and looks at everything at once on SIGHUP as well.',
    ),
  ];
}

function options(command: Command, asked: string, timeoutMs?: number): Command {
  return command
    .option('--data <directory>', "the verifier's data directory, where its control socket is")
    .option('--config <file>', `the verifier's configuration (default: ${placesOf('verifier').join(', then ')})`)
    .addHelpText('after', '\nExit code 0 when all is well, 1 when a list is out of date or a source fails.')
    .action(async ({ json, data, config }: VerifierOptions) => {
      const answer = await ask(
        'verifier',
        asked,
        {},
        {
          ...(data === undefined ? {} : { directory: data }),
          ...(config === undefined ? {} : { config }),
          ...(timeoutMs === undefined ? {} : { timeoutMs }),
        },
      );
      createOutput(json === true).result(answer, screenOf(answer));
      if (problemsIn(answer).length > 0) process.exitCode = EXIT_CODES.refused.code;
    });
}

const problemsIn = (answer: JsonValue): readonly string[] =>
  isObject(answer) && Array.isArray(answer.problems) ? answer.problems.map(String) : [];

export function screenOf(answer: JsonValue): string {
  if (!isObject(answer)) return outline(answer);
  const { lists = [], places = [], ocsp = [], problems: _, ...rest } = answer;
  const [listRows, placeRows, ocspRows] = [objects(lists), objects(places), objects(ocsp)];
  const parts = [
    outline(rest),
    listRows.length === 0
      ? 'no revocation list is held'
      : table(
          ['LIST OF', 'SCOPE', 'NUMBER', 'AGE', 'NEXT UPDATE', 'ENTRIES', 'PROVEN'],
          listRows.map((row) => [
            cell(row, 'issuer'),
            cell(row, 'scope'),
            cell(row, 'number'),
            `${cell(row, 'ageSeconds')} s`,
            `${cell(row, 'nextUpdate')}${row.stale === true ? ' (past)' : ''}`,
            cell(row, 'entries'),
            cell(row, 'proven'),
          ]),
        ),
    ...(placeRows.length === 0 ? [] : [table(['FROM', 'LISTS', 'LAST', 'NEXT', 'FAULT'], placeRows.map(placeRow))]),
    ...(ocspRows.length === 0 ? [] : [table(['OCSP OF', 'ASKED', 'LAST', 'URL', 'FAULT'], ocspRows.map(ocspRow))]),
    problemsIn(answer)
      .map((one) => `✗ ${printable(one)}`)
      .join('\n'),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

const placeRow = (row: JsonValue): readonly string[] => [
  ...['where', 'lists', 'last', 'next'].map((key) => cell(row, key)),
  faultOf(row),
];

const ocspRow = (row: JsonValue): readonly string[] => [
  ...['issuer', 'asked', 'last', 'url'].map((key) => cell(row, key)),
  faultOf(row),
];

/** What it is stands below, among the problems: the table would be wider than any terminal. */
const faultOf = (row: JsonValue): string => (cell(row, 'fault') === '–' ? '–' : 'failing');
