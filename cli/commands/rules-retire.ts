/**
 * `kagimori rules retire | reinstate | retirements`: suites that are to go.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { parseSuitePattern, type SuitePattern } from '../../protocol/suite-pattern.ts';
import { type CommonOptions, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { Failure } from '../failure.ts';
import { cell, createOutput, isObject, objects, printable, table } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type Options = CommonOptions & ManagerOptions;

export function retireVerbs(): readonly Command[] {
  const retire = managerOptions(
    verb(
      'retire <suite>',
      'let a suite go by a date: tells who depends on it, moves live sessions to another',
      'kagimori rules retire aes-ccm/128 --by 2027-01-31',
    ),
  )
    .requiredOption(
      '--by <date>',
      '2027-01-31 or 2027-01-31T12:00:00Z (UTC), or `now`: not taken any more from then on',
    )
    .option('--dry-run', 'only tell who depends on it')
    .action(async (suite: string, options: Options & { readonly by: string; readonly dryRun?: boolean }) => {
      const pattern = patternOf(suite);
      const by = dateOf(options.by);
      // before it is in force: what it leaves without a suite has one now
      const pairs = await pairsWithout(pattern, options);
      const args = { suite, by, dryRun: options.dryRun === true };
      const found = await ask('manager', 'rules.retire', args, ofManager(options));
      const output = createOutput(options.json === true);
      output.result(isObject(found) ? { ...found, pairs } : found, reportOf(found, pairs, options.dryRun === true));
      if (options.dryRun !== true) {
        output.remark('`kagimori rules reinstate` takes it back; `rules retirements` shows how far it is.');
      }
    });
  const reinstate = managerOptions(
    verb('reinstate <suite>', 'take a retirement back', 'kagimori rules reinstate aes-ccm/128'),
  ).action(async (suite: string, options: Options) => {
    patternOf(suite);
    const found = await ask('manager', 'rules.reinstate', { suite }, ofManager(options));
    createOutput(options.json === true).result(found, `${cell(found, 'suite')} may be chosen again`);
  });
  const list = managerOptions(
    verb('retirements', 'suites that are to go, and the sessions still on them', 'kagimori rules retirements'),
  ).action(async (options: Options) => {
    const found = await ask('manager', 'rules.retirements', {}, ofManager(options));
    const keys = ['suite', 'by', 'state', 'sessions'];
    const rows = objects(found).map((row) => keys.map((key) => cell(row, key)));
    const text = rows.length === 0 ? 'no suite is being retired' : table(['SUITE', 'BY', 'STATE', 'SESSIONS'], rows);
    createOutput(options.json === true).result(found, text);
  });
  return [retire, reinstate, list];
}

/** Spelled wrong, it is told before anybody is asked. */
function patternOf(suite: string): SuitePattern {
  const pattern = parseSuitePattern(suite);
  if ('fault' in pattern) throw new Failure('usage', 'bad-suite', `${suite}: ${pattern.fault}`);
  return pattern;
}

interface LostPairs {
  /** Of all pairs of registered devices, as far as it was counted. */
  readonly looked: number;
  readonly all: number;
  readonly withNothingElse: number;
  readonly examples: readonly (readonly [caller: string, callee: string])[];
}

const EXAMPLES = 20;

/** Pairs that have a suite in common now, and none without this one. */
async function pairsWithout(pattern: SuitePattern, options: Options): Promise<LostPairs> {
  const { readRegistry } = await import('../rules/live-registry.ts');
  const { impactOf } = await import('../rules/impact.ts');
  const { countAll } = await import('../rules/impact-count.ts');
  const registry = await readRegistry((after) => ask('manager', 'rules.registry', { after }, ofManager(options)));
  const wishes = { allowUnencrypted: false, messageBytes: null };
  const question = { registry, rules: registry.rules, wishes, at: registry.at, examples: EXAMPLES, without: [pattern] };
  const { looked, pairs, turns } = await countAll(impactOf(question));
  const lost = [...turns.values()].filter(({ to }) => to === null);
  return {
    looked,
    all: pairs,
    withNothingElse: lost.reduce((sum, turn) => sum + turn.pairs, 0),
    examples: lost.flatMap((turn) => turn.examples).slice(0, EXAMPLES),
  };
}

const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z)?$/;

/** @returns seconds since 1970 @throws Failure for what is no date to come */
export function dateOf(text: string, now: number = Date.now()): number {
  if (text === 'now') return Math.floor(now / 1000);
  const at = DATE.test(text) ? Date.parse(text.length === 10 ? `${text}T00:00:00Z` : text) : Number.NaN;
  const exact = !Number.isNaN(at) && new Date(at).toISOString().startsWith(text.slice(0, 10));
  if (!exact)
    throw new Failure('usage', 'bad-date', `--by ${text}: no date, allowed: 2027-01-31, 2027-01-31T12:00:00Z, now`);
  if (at / 1000 > 0xffff_ffff) throw new Failure('usage', 'bad-date', `--by ${text}: no later than the year 2106`);
  if (at < now) throw new Failure('usage', 'past-date', `--by ${text}: is over: give a day to come, or \`now\``);
  return at / 1000;
}

function reportOf(found: JsonValue, { looked, all, withNothingElse, examples }: LostPairs, dryRun: boolean): string {
  const of = (key: string): string => cell(found, key);
  const suite = of('suite');
  const head = dryRun ? `${suite} would be retired` : `${suite} is retired by ${of('by')}`;
  const stuck = isObject(found) ? objects(found.stuck ?? null) : [];
  const alone = of('devicesWithNothingElse') === '0' ? 'none of them alone' : `of them nothing else: ${of('devices')}`;
  return [
    head,
    `devices that offer it: ${of('devicesOffering')}; ${alone}`,
    `live sessions on it: ${of('sessions')}; looked at: ${of('sessionsExamined')}; of these nothing else in common: ${of('sessionsWithNothingElse')}`,
    ...stuck.map((one) => `  ${cell(one, 'sid')}  ${cell(one, 'caller')} → ${cell(one, 'callee')}`),
    `pairs, with a session or without, that have nothing else in common: ${withNothingElse} of ${looked}${looked < all ? ` looked at, ${all} in all` : ''}`,
    ...examples.map(([caller, callee]) => `  ${printable(caller)} → ${printable(callee)}`),
    ...(withNothingElse > examples.length ? [`  and ${withNothingElse - examples.length} more`] : []),
  ].join('\n');
}
