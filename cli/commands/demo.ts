/**
 * `kagimori demo`: the whole exchange on this machine.
 */
import type { Command } from 'commander';
import { numberBetween, verb } from '../command.ts';

export function demoCommand(): Command {
  type Options = { once?: boolean; json?: boolean; port: number; state?: string };
  return verb(
    'demo',
    'run broker, verifier, manager and three devices here, and tell what they say to each other',
    'kagimori demo --once',
  )
    .option('--once', 'end after the exchange instead of staying up')
    .option('--port <number>', 'port of the broker; 0: any free one', numberBetween(0, 65_535), 0)
    .option('--state <directory>', 'where keys, configuration and state go; .kagimori/demo when absent')
    .action(async ({ once, json, port, state }: Options) => {
      const { runDemo } = await import('../demo/demo.ts');
      await runDemo({ once: once === true, json: json === true, port, ...(state === undefined ? {} : { state }) });
    });
}
