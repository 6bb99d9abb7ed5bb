/**
 * The options by which a command finds the manager.
 */
import type { Command } from 'commander';
import { placesOf } from '../config-place.ts';
import type { SocketOptions } from '../control-client.ts';

export interface ManagerOptions {
  readonly data?: string;
  readonly config?: string;
}

export function managerOptions(command: Command): Command {
  return command
    .option('--data <directory>', "the manager's data directory, where its control socket is")
    .option('--config <file>', `the manager's configuration (default: ${placesOf('manager').join(', then ')})`);
}

export function ofManager({ data, config }: ManagerOptions): SocketOptions {
  return { ...(data === undefined ? {} : { directory: data }), ...(config === undefined ? {} : { config }) };
}
