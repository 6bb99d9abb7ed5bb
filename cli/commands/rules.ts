/**
 * `kagimori rules …`: the operator's rules for the choice of suites.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type CommonOptions, noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { Failure } from '../failure.ts';
import { createOutput, isObject, outline, printable } from '../output.ts';
import type { LoadedRules, PlacedOutcome } from '../rules/loaded-rules.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';
import { rulesExplainVerb } from './rules-explain.ts';
import { rulesImpactVerb } from './rules-impact.ts';
import { retireVerbs } from './rules-retire.ts';

export function rulesCommand(): Command {
  const own = [checkVerb(), testVerb(), exampleVerb(), reloadVerb()];
  const verbs = [...own, rulesExplainVerb(), rulesImpactVerb(), ...retireVerbs()];
  return noun('rules', "the operator's rules: which suites a pair may have, and which of several it gets", verbs);
}

function checkVerb(): Command {
  return verb(
    'check <file>',
    'check a rules file as the manager would: form, contradictions, its own tests',
    'kagimori rules check kagimori-rules.yaml',
  )
    .addHelpText('after', '\nExit code 0 when the manager would take the file, 2 when not. Warnings refuse nothing.')
    .action(async (file: string, { json }: CommonOptions) => {
      const { loadRules } = await import('../rules/rules-loading.ts');
      const task = { path: file, listings: null, maxWarnings: Number.POSITIVE_INFINITY };
      const { rules, tests, warnings } = await loadRules(task);
      const result = { file, digest: rules.digest, rules: rules.rules.length, tests, warnings };
      const lines = warnings.map((one) => `! ${printable(one)}`);
      const good = `✓ ${printable(file)}: ${count(rules.rules.length, 'rule')}, ${count(tests, 'test')}, all passed`;
      createOutput(json === true).result(result, [...lines, good].join('\n'));
    });
}

function testVerb(): Command {
  return verb(
    'test <file>',
    'run the tests that stand in a rules file, and show each',
    'kagimori rules test kagimori-rules.yaml',
  )
    .addHelpText('after', '\nExit code 0 when all pass, 1 when one fails, 2 when the file cannot be used.')
    .action(async (file: string, { json }: CommonOptions) => {
      const { tests } = await load(file);
      const failed = tests.filter(({ passed }) => !passed).length;
      const result = { file, passed: tests.length - failed, failed, tests };
      const summary = `${tests.length - failed} passed, ${failed} failed`;
      createOutput(json === true).result(result, [...tests.flatMap(linesOf), summary].join('\n'));
      if (failed > 0) process.exitCode = EXIT_CODES.refused.code;
    });
}

/** For a terminal: what stands in a file shows none of its control characters. */
export function linesOf({ place, name, passed, expected, got, because, remarks }: PlacedOutcome): readonly string[] {
  const more = remarks.map((one) => `    ! ${printable(one)}`);
  if (passed) return [`✓ ${printable(name)}: ${printable(got)}`, ...more];
  const why = because.map((one) => `    ${printable(one)}`);
  const head = printable(`${place}: ${name}: expected ${expected}; it came to ${got}`);
  return [`✗ ${head}`, ...why, ...more];
}

function exampleVerb(): Command {
  return verb(
    'example',
    'print an example of a rules file, with tests',
    'kagimori rules example > kagimori-rules.yaml',
  ).action(({ json }: CommonOptions) => {
    const text = exampleRules();
    createOutput(json === true).result({ yaml: text }, text.trimEnd());
  });
}

export function exampleRules(): string {
  return readFileSync(join(import.meta.dirname, '../examples/kagimori-rules.yaml'), 'utf8');
}

/** Room for two that are as dear as the manager bears, one after the other. */
const RELOAD_MS = 30_000;

function reloadVerb(): Command {
  return managerOptions(
    verb(
      'reload',
      'have the manager read its rules file again now, and say what is wrong with it',
      'kagimori rules reload',
    ),
  )
    .addHelpText(
      'after',
      '\nA manager takes up a changed file by itself, and reads it at once on SIGHUP as well; a file that is wrong leaves the\nold rules in force.',
    )
    .action(async (options: CommonOptions & ManagerOptions) => {
      const answer = await ask('manager', 'rules.reload', {}, { ...ofManager(options), timeoutMs: RELOAD_MS });
      const problems = isObject(answer) && Array.isArray(answer.problems) ? answer.problems : [];
      if (problems.length > 0) {
        const rest = 'the rules that were in force stay';
        throw new Failure('usage', 'config', [...problems.map(String), rest]);
      }
      createOutput(options.json === true).result(answer, outline(answer));
    });
}

async function load(file: string): Promise<LoadedRules> {
  const { readRules } = await import('../rules/loaded-rules.ts');
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  return readRules(file, nodeCrypto());
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;
