/**
 * `kagimori rules explain CALLER CALLEE`
 */

import type { Command } from 'commander';
import { MAX_MESSAGE_BYTES } from '../../protocol/units.ts';
import { type CommonOptions, numberBetween, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { momentOf } from '../moment.ts';
import { createOutput } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

interface ExplainOptions extends CommonOptions, ManagerOptions {
  readonly allowUnencrypted?: boolean;
  readonly messageBytes?: number;
  readonly at?: number;
}

export function rulesExplainVerb(): Command {
  return managerOptions(
    verb(
      'explain <caller> <callee>',
      'tell which suite two devices of the running manager get, by which rule, and why',
      'kagimori rules explain lamp tv.home.example',
    ),
  )
    .option('--allow-unencrypted', 'as if the caller asked for suites that do not encrypt too')
    .option('--message-bytes <n>', 'as if the caller named this size', numberBetween(1, MAX_MESSAGE_BYTES))
    .option('--at <time>', 'at which moment, such as 2026-01-05T23:00:00Z (default: now)', momentOf)
    .addHelpText('after', '\nBoth are named as in a connect: id, FQDN, mail address, SIP URI, MAC address.')
    .action(async (caller: string, callee: string, options: ExplainOptions) => {
      const { allowUnencrypted = false, messageBytes = null, at = null } = options;
      const question = { caller, callee, allowUnencrypted, messageBytes, at };
      const found = await ask('manager', 'rules.explain', question, ofManager(options));
      const { connectText } = await import('../rules/explanation-text.ts');
      createOutput(options.json === true).result(found, connectText(found));
    });
}
