/**
 * `kagimori doctor`: what is well and what is not, each with its remedy.
 */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { KINDS, placesOf } from '../config-place.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { createOutput, printable } from '../output.ts';

export function doctorCommand(): Command {
  return verb(
    'doctor [config...]',
    'check this machine and configurations: files, keys, certificates, clock, broker, daemons',
    'kagimori doctor kagimori-manager.yaml',
  ).action(async (configs: readonly string[], { json }: CommonOptions) => {
    const { examineConfig, examineMachine } = await import('../doctor/examination.ts');
    const usual = KINDS.flatMap((kind) => placesOf(kind)).filter((path) => existsSync(path));
    const now = Math.floor(Date.now() / 1000);
    const findings = [...examineMachine()];
    for (const path of configs.length > 0 ? configs : usual) findings.push(...(await examineConfig(path, now)));
    const lines = findings.map(({ ok, what, remedy }) =>
      ok ? `✓ ${printable(what)}` : `✗ ${printable(what)}: ${printable(remedy ?? '')}`,
    );
    createOutput(json === true).result({ ok: findings.every(({ ok }) => ok), findings }, lines.join('\n'));
    if (findings.some(({ ok }) => !ok)) process.exitCode = EXIT_CODES.refused.code;
  });
}
