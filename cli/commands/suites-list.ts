/**
 * `kagimori suites list`: which suites there are, what they are worth, and what they cost on this machine.
 */
import type { Command } from 'commander';
import { type CommonOptions, numberBetween, verb } from '../command.ts';
import { createOutput } from '../output.ts';

export function suitesListVerb(): Command {
  return verb(
    'list',
    'show every suite: strength, sizes, crypto halves, and its cost measured on this machine',
    'kagimori suites list --measure-ms 500',
  )
    .option('--measure-ms <ms>', 'CPU time for measuring, 0 for none', numberBetween(0, 60_000), 300)
    .action(async ({ json, measureMs }: CommonOptions & { measureMs: number }) => {
      const { everySuite, legend, listSuites, suiteTable } = await import('../suites/suite-listing.ts');
      const { costKey, measureSuites } = await import('../../hardware/suite-cost.ts');
      const { readCpuFeatures } = await import('../../hardware/cpu-features.ts');
      const { nodeCrypto } = await import('../../platform/crypto-node.ts');
      const { portableCrypto } = await import('../../platform/crypto-portable.ts');
      const { openSslMask } = await import('../openssl-mask.ts');
      const [node, portable] = [nodeCrypto(), portableCrypto()];
      const { costs, spentMs } = measureSuites(node, measureMs === 0 ? [] : everySuite(), measureMs);
      const suites = listSuites([node, portable], (suite) => costs.get(costKey(suite)) ?? null);
      const { model, instructions } = readCpuFeatures();
      const mask = openSslMask();
      const machine = { model, instructions, openSslMask: mask === '' ? null : mask };
      const text = `${suiteTable(suites)}\n\n${legend(instructions, mask, spentMs)}`;
      createOutput(json === true).result({ machine, measuredMs: Math.round(spentMs), suites }, text);
    });
}
