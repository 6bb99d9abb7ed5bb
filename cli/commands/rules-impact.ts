/**
 * `kagimori rules impact FILE`
 */

import type { Command } from 'commander';
import { MAX_MESSAGE_BYTES } from '../../protocol/units.ts';
import { type CommonOptions, numberBetween, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { momentOf } from '../moment.ts';
import { createOutput } from '../output.ts';
import { countAll } from '../rules/impact-count.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

interface ImpactOptions extends CommonOptions, ManagerOptions {
  readonly limit: number;
  readonly failOnLoss?: boolean;
  readonly allowUnencrypted?: boolean;
  readonly messageBytes?: number;
  readonly at?: number;
}

export function rulesImpactVerb(): Command {
  return managerOptions(
    verb(
      'impact <file>',
      'tell what other rules would change for the devices registered now, before they are applied',
      'kagimori rules impact new-rules.yaml --fail-on-loss',
    ),
  )
    .option('--limit <n>', 'examples shown of each change', numberBetween(0, 10_000), 3)
    .option('--fail-on-loss', 'exit code 1 when a pair would lose its last common suite')
    .option('--allow-unencrypted', 'as if callers asked for suites that do not encrypt too')
    .option('--message-bytes <n>', 'as if callers named this size', numberBetween(1, MAX_MESSAGE_BYTES))
    .option('--at <time>', 'at which moment, such as 2026-01-05T23:00:00Z (default: now)', momentOf)
    .addHelpText(
      'after',
      '\nComputed here, not in the manager. Ctrl-C ends it with what is known so far, and exit code 1.',
    )
    .action(async (file: string, options: ImpactOptions) => {
      const { readRules, requirePassed } = await import('../rules/loaded-rules.ts');
      const { nodeCrypto } = await import('../../platform/crypto-node.ts');
      const { readRegistry } = await import('../rules/live-registry.ts');
      const { impactOf, rulesForNobody } = await import('../rules/impact.ts');
      const { impactText, impactValue } = await import('../rules/impact-text.ts');
      const { EpochSeconds } = await import('../../protocol/units.ts');
      const { rules, warnings } = requirePassed(readRules(file, nodeCrypto()));
      const registry = await readRegistry((after) => ask('manager', 'rules.registry', { after }, ofManager(options)));
      const question = {
        registry,
        rules,
        wishes: {
          allowUnencrypted: options.allowUnencrypted === true,
          messageBytes: options.messageBytes ?? null,
        },
        at: options.at === undefined ? registry.at : EpochSeconds(options.at),
        examples: options.limit,
      };
      const tally = await countAll(impactOf(question));
      const notes = [...warnings, ...rulesForNobody(rules, registry)];
      const impact = { file, at: question.at, devices: registry.devices.length, tally, warnings: notes };
      createOutput(options.json === true).result(impactValue(impact), impactText(impact));
      const lost = [...tally.turns.values()].some(({ to }) => to === null);
      if (tally.looked < tally.pairs || (options.failOnLoss === true && lost))
        process.exitCode = EXIT_CODES.refused.code;
    });
}
