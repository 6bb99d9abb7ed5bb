/**
 * `kagimori manager …`
 */
import type { Command } from 'commander';
import { noun } from '../command.ts';
import type { RunOptions } from '../daemon.ts';
import { configVerb, runVerb } from './daemon-verbs.ts';
import { acknowledgeVerb, backupVerb, restoreVerb } from './manager-backup.ts';

interface ManagerRunOptions extends RunOptions {
  readonly acceptRollback?: boolean;
}

export function managerCommand(): Command {
  const run = runVerb('manager', 'run the manager until a signal comes', async (options: ManagerRunOptions) => {
    const { runDaemon } = await import('../daemon.ts');
    const { startManagerDaemon } = await import('../daemons/manager.ts');
    const accept = options.acceptRollback === true;
    await runDaemon('manager', options, (path, log) => startManagerDaemon(path, log, accept));
  }).option('--accept-rollback', 'start although `witnessFile` knows of a later store than there is');
  const verbs = [run, configVerb('manager'), backupVerb(), restoreVerb(), acknowledgeVerb()];
  return noun('manager', 'the manager: logins, registrations, sessions', verbs);
}
