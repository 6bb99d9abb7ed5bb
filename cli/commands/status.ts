/**
 * `kagimori status`: what runs here, on one screen.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type CommonOptions, verb } from '../command.ts';
import { askSocket, type Daemon, findSocket, type SocketOptions } from '../control-client.ts';
import { Failure, shownFailure } from '../failure.ts';
import { cell, createOutput, isObject, outline } from '../output.ts';
import { screenOf } from './verifier-status.ts';

interface Options extends CommonOptions {
  readonly data?: string;
  readonly state?: string;
  readonly managerConfig?: string;
  readonly agentConfig?: string;
  readonly verifierData?: string;
  readonly verifierConfig?: string;
}

const TIMEOUT_MS = 3_000;

export function statusCommand(): Command {
  return verb(
    'status',
    'show whether the manager, the agent and the verifier of this machine run',
    'kagimori status --data data',
  )
    .option('--data <directory>', "the manager's data directory")
    .option('--state <directory>', "the agent's state directory")
    .option('--manager-config <file>', "the manager's configuration")
    .option('--agent-config <file>', "the agent's configuration")
    .option('--verifier-data <directory>', "the verifier's data directory")
    .option('--verifier-config <file>', "the verifier's configuration")
    .action(async ({ json, data, state, managerConfig, agentConfig, verifierData, verifierConfig }: Options) => {
      const found = [
        await look('manager', { ...within('directory', data), ...within('config', managerConfig) }),
        await look('agent', { ...within('directory', state), ...within('config', agentConfig) }),
        await look('verifier', { ...within('directory', verifierData), ...within('config', verifierConfig) }),
      ].filter((one) => one !== null);
      if (found.length === 0) {
        const remedy = 'give --data or --state, or run this where a configuration lies';
        throw new Failure('usage', 'no-config', `neither a manager, an agent nor a verifier is named: ${remedy}`);
      }
      const value = Object.fromEntries(
        found.map(({ daemon, running, answers, answer }) => [daemon, { running, answers, ...answer }]),
      );
      createOutput(json === true).result(
        value,
        found.map((one) => `${one.daemon}: ${stateOf(one)}\n${textOf(one)}`).join('\n'),
      );
      const failed = found.find(({ exitCode }) => exitCode !== 0);
      if (failed !== undefined) process.exitCode = failed.exitCode;
    });
}

function within(key: keyof SocketOptions, value: string | undefined): SocketOptions {
  return value === undefined ? {} : { [key]: value };
}

type Answer = { readonly [key: string]: JsonValue };

interface Look {
  readonly daemon: Daemon;
  /** null when that cannot be told. */
  readonly running: boolean | null;
  readonly answers: boolean;
  readonly exitCode: number;
  readonly answer: Answer;
}

function textOf({ daemon, answers, answer }: Look): string {
  if (daemon === 'verifier' && answers) return screenOf(answer).replace(/^(?=.)/gm, '  ');
  return outline(forPeople(answer), '  ');
}

function stateOf({ running, answers }: Look): string {
  if (answers) return 'running';
  return running === null ? 'cannot be asked' : running ? 'does not answer' : 'not running';
}

/** The manager's link on one line, and nothing of the verifier while there is no link to hear it by. */
export function forPeople(whole: Answer): Answer {
  const answer = storeForPeople(whole);
  const { link } = answer;
  if (!isObject(link)) return answer;
  const state = cell(link, 'state');
  const told = typeof link.reason === 'string' && state !== 'up' ? `${state}: ${cell(link, 'reason')}` : state;
  const lines = Object.entries({ ...answer, link: told });
  return Object.fromEntries(lines.filter(([key]) => state === 'up' || key !== 'verifier'));
}

/** A store that is well needs one word, and what is not the case none. */
function storeForPeople({ store, rollback, ...rest }: Answer): Answer {
  const good = isObject(store) && store.state === 'good';
  return {
    ...rest,
    ...(store === undefined ? {} : { store: good ? 'good' : store }),
    ...(isObject(rollback) ? { [cell(rollback, 'what')]: rollback } : {}),
  };
}

/** @returns null when nothing says where that daemon would be */
async function look(daemon: Daemon, options: SocketOptions): Promise<Look | null> {
  const socket = await findSocket(daemon, options);
  if (socket === null) return null;
  try {
    const answer = await askSocket(daemon, socket, 'status', {}, { timeoutMs: TIMEOUT_MS });
    return { daemon, running: true, answers: true, exitCode: 0, answer: answer as Answer };
  } catch (error) {
    const { code, exitCode, lines } = shownFailure(error);
    return { daemon, running: runsWith(code), answers: false, exitCode, answer: { reason: lines.join('; ') } };
  }
}

/** Whether a daemon that fails to answer in that way is there. */
function runsWith(code: string): boolean | null {
  if (code === 'not-running') return false;
  return code === 'timeout' || code === 'no-socket' ? true : null;
}
