/**
 * `kagimori manager …`
 */
import type { Command } from 'commander';
import { noun } from '../command.ts';
import { configVerb, runVerb } from './daemon-verbs.ts';

export function managerCommand(): Command {
  const run = runVerb('manager', 'run the manager until a signal comes', async (options) => {
    const { runDaemon } = await import('../daemon.ts');
    const { startManagerDaemon } = await import('../daemons/manager.ts');
    await runDaemon('manager', options, startManagerDaemon);
  });
  return noun('manager', 'the manager: logins, registrations, sessions', [run, configVerb('manager')]);
}
