/**
 * `kagimori broker …`
 */
import type { Command } from 'commander';
import { noun } from '../command.ts';
import { brokerExportCommand } from './broker-export.ts';
import { configVerb, runVerb } from './daemon-verbs.ts';

export function brokerCommand(): Command {
  const run = runVerb('broker', 'run the broker until a signal comes', async (options) => {
    const { runDaemon } = await import('../daemon.ts');
    const { startBrokerDaemon } = await import('../daemons/broker.ts');
    await runDaemon('broker', options, startBrokerDaemon);
  });
  return noun('broker', 'the broker: carries bytes between the parties', [
    run,
    configVerb('broker'),
    brokerExportCommand(),
  ]);
}
