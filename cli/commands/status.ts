/**
 * `kagimori status`: what runs here, on one screen.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type CommonOptions, verb } from '../command.ts';
import { type Daemon, findSocket, type SocketOptions } from '../control-client.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { Failure, shownFailure } from '../failure.ts';
import { createOutput, outline } from '../output.ts';

interface Options extends CommonOptions {
  readonly data?: string;
  readonly state?: string;
  readonly managerConfig?: string;
  readonly agentConfig?: string;
}

const TIMEOUT_MS = 3_000;

export function statusCommand(): Command {
  return verb('status', 'show whether the manager and the agent of this machine run', 'kagimori status --data data')
    .option('--data <directory>', "the manager's data directory")
    .option('--state <directory>', "the agent's state directory")
    .option('--manager-config <file>', "the manager's configuration")
    .option('--agent-config <file>', "the agent's configuration")
    .action(async ({ json, data, state, managerConfig, agentConfig }: Options) => {
      const found = [
        await look('manager', { ...within('directory', data), ...within('config', managerConfig) }),
        await look('agent', { ...within('directory', state), ...within('config', agentConfig) }),
      ].filter((one) => one !== null);
      if (found.length === 0) {
        const remedy = 'give --data or --state, or run this where a configuration lies';
        throw new Failure('usage', 'no-config', `neither a manager nor an agent is named: ${remedy}`);
      }
      const value = Object.fromEntries(found.map(({ daemon, running, answer }) => [daemon, { running, ...answer }]));
      createOutput(json === true).result(
        value,
        found
          .map((one) => `${one.daemon}: ${one.running ? 'running' : 'not running'}\n${outline(one.answer, '  ')}`)
          .join('\n'),
      );
      if (found.some(({ running }) => !running)) process.exitCode = EXIT_CODES.unreachable.code;
    });
}

function within(key: keyof SocketOptions, value: string | undefined): SocketOptions {
  return value === undefined ? {} : { [key]: value };
}

interface Look {
  readonly daemon: Daemon;
  readonly running: boolean;
  readonly answer: { readonly [key: string]: JsonValue };
}

/** @returns null when nothing says where that daemon would be */
async function look(daemon: Daemon, options: SocketOptions): Promise<Look | null> {
  const socket = await findSocket(daemon, options);
  if (socket === null) return null;
  const { callControl } = await import('../../platform/control-socket.ts');
  try {
    const answer = await callControl(socket, 'status', {}, { timeoutMs: TIMEOUT_MS });
    return { daemon, running: true, answer: answer as Look['answer'] };
  } catch (error) {
    const { lines } = shownFailure(error);
    return { daemon, running: false, answer: { reason: lines.join('; ') } };
  }
}
