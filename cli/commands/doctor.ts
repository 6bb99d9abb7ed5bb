/**
 * `kagimori doctor`: what is well and what is not, each with its remedy.
 */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { KINDS, placesOf } from '../config-place.ts';
import type { Finding } from '../doctor/finding.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { createOutput, printable } from '../output.ts';

export function doctorCommand(): Command {
  return verb(
    'doctor [config...]',
    'check this machine and configurations: files, keys, certificates, clock, broker, daemons',
    'kagimori doctor kagimori-manager.yaml',
  )
    .description(
      'check this machine and configurations: files, keys, certificates, clock, broker, daemons. ' +
        'Without a name: each `kagimori-<kind>.yaml` of this folder (not of the folders below) and each `/etc/kagimori/<kind>.yaml`',
    )
    .action(async (configs: readonly string[], { json }: CommonOptions) => {
      const { examineConfig, examineMachine } = await import('../doctor/examination.ts');
      const places = KINDS.flatMap((kind) => placesOf(kind));
      const paths = configs.length > 0 ? configs : places.filter((path) => existsSync(path));
      const now = Math.floor(Date.now() / 1000);
      const findings: Finding[] = [...examineMachine()];
      if (paths.length === 0) findings.push(nothingFound(places));
      for (const path of paths) findings.push(...(await examineConfig(path, now)));
      const lines = findings.map(({ ok, what, remedy }) =>
        remedy === null ? `✓ ${printable(what)}` : `${ok ? '!' : '✗'} ${printable(what)}: ${printable(remedy)}`,
      );
      createOutput(json === true).result({ ok: findings.every(({ ok }) => ok), findings }, lines.join('\n'));
      if (findings.some(({ ok }) => !ok)) process.exitCode = EXIT_CODES.refused.code;
    });
}

function nothingFound(places: readonly string[]): Finding {
  return {
    ok: false,
    what: 'no configuration here and none in /etc/kagimori',
    remedy: `name one, or go to its folder (looked for ${places.join(', ')}; not in folders below)`,
  };
}
