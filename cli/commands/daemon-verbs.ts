/**
 * The verbs that every daemon has: `run` and `config`.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { type Kind, placesOf } from '../config-place.ts';
import type { RunOptions } from '../daemon.ts';
import { createOutput } from '../output.ts';

/** `run`, with the options that every daemon has. @param run  imports what it needs by itself */
export function runVerb(kind: Kind, summary: string, run: (options: RunOptions) => Promise<void>): Command {
  return verb('run', summary, `kagimori ${kind} run --config kagimori-${kind}.yaml`)
    .option('--config <file>', `configuration (default: ${placesOf(kind).join(', then ')})`)
    .addOption(new Option('--log <form>', 'how log lines on stderr look').choices(['text', 'json']).default('text'))
    .addOption(
      new Option('--log-level <level>', 'what is logged').choices(['debug', 'info', 'warn', 'error']).default('info'),
    )
    .action(run);
}

/** `config`: prints the commented example. */
export function configVerb(kind: Kind): Command {
  return verb(
    'config',
    'print an example configuration with every setting',
    `kagimori ${kind} config > kagimori-${kind}.yaml`,
  ).action(({ json }: CommonOptions) => {
    const text = exampleConfig(kind);
    createOutput(json === true).result({ yaml: text }, text.trimEnd());
  });
}

export function exampleConfig(kind: Kind): string {
  return readFileSync(join(import.meta.dirname, '../examples', `kagimori-${kind}.yaml`), 'utf8');
}
