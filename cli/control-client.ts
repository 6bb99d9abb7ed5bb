/**
 * Finds the control socket of a manager, an agent or a verifier on this machine, and asks it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ControlError, callControl, type JsonValue } from '../platform/control-socket.ts';
import { findConfig, placesOf } from './config-place.ts';
import { Failure } from './failure.ts';

/** How the operator says which one is meant. */
export interface SocketOptions {
  readonly config?: string;
  /** The manager's or the verifier's data directory, or the agent's state directory. */
  readonly directory?: string;
}

export type Daemon = 'manager' | 'agent' | 'verifier';

const OPTION = { manager: '--data', agent: '--state', verifier: '--data' } as const;

/** @returns null when no option and no usual place says where it is, or that it has none @throws Failure when the configuration is broken */
export async function findSocket(daemon: Daemon, { config, directory }: SocketOptions): Promise<string | null> {
  if (directory !== undefined) return join(directory, `${daemon}.sock`);
  const path = findConfig(daemon, config);
  if (path === null) return null;
  const { readConfigFile } = await import('./config-file.ts');
  if (daemon === 'manager') {
    const { managerConfig } = await import('../manager/config.ts');
    return join(readConfigFile(path, managerConfig).dataDirectory, 'manager.sock');
  }
  if (daemon === 'verifier') {
    const { verifierConfig } = await import('../verifier/config.ts');
    const { dataDirectory } = readConfigFile(path, verifierConfig);
    return dataDirectory === undefined ? null : join(dataDirectory, 'verifier.sock');
  }
  const { agentConfig } = await import('../device-agent/config.ts');
  return join(readConfigFile(path, agentConfig).stateDirectory, 'agent.sock');
}

export interface AskOptions extends SocketOptions {
  readonly timeoutMs?: number;
  readonly onEvent?: (event: JsonValue) => void;
}

const ANSWER_TIMEOUT_MS = 10_000;

/**
 * @param options.timeoutMs  10 s when absent; 0: as long as it takes
 * @throws Failure `no-config`; ControlError
 */
export async function ask(daemon: Daemon, command: string, args: JsonValue, options: AskOptions): Promise<JsonValue> {
  const socket = await findSocket(daemon, options);
  if (socket === null) {
    const needed = daemon === 'verifier' ? ' with a dataDirectory' : '';
    const enrol = daemon === 'agent' ? '; a new device begins with `kagimori agent enrol`' : '';
    const remedy = `give ${OPTION[daemon]} or --config, or run this where ${placesOf(daemon)[0]}${needed} lies${enrol}`;
    throw new Failure('usage', 'no-config', `which ${daemon} is not said: ${remedy}`);
  }
  const { timeoutMs = ANSWER_TIMEOUT_MS, onEvent } = options;
  try {
    return await askSocket(daemon, socket, command, args, {
      ...(timeoutMs === 0 ? {} : { timeoutMs }),
      ...(onEvent === undefined ? {} : { onEvent }),
    });
  } catch (error) {
    if (!(error instanceof ControlError) || error.code !== 'not-running' || daemon !== 'agent') throw error;
    throw (await notEnrolled(options)) ?? error;
  }
}

/** An agent that cannot run has nothing to be started for. @returns null when it has a certificate, or nobody knows */
async function notEnrolled({ config }: SocketOptions): Promise<Failure | null> {
  const path = findConfig('agent', config);
  if (path === null || !existsSync(path)) return null;
  const { readConfigFile } = await import('./config-file.ts');
  const { agentConfig } = await import('../device-agent/config.ts');
  const { certificateFile, invitationFile } = readConfigFile(path, agentConfig);
  if (existsSync(certificateFile)) return null;
  const remedy =
    invitationFile !== undefined && existsSync(invitationFile)
      ? `start it with \`kagimori agent run --config ${path}\`: it enrols by itself`
      : `run \`kagimori agent enrol - --config ${path}\` with an invitation of the operator`;
  return new Failure('unreachable', 'not-enrolled', `this device has no certificate yet: ${remedy}`);
}

/** @throws ControlError, with the remedy when the daemon is not there */
export async function askSocket(
  daemon: Daemon,
  socket: string,
  command: string,
  args: JsonValue,
  options: Parameters<typeof callControl>[3],
): Promise<JsonValue> {
  try {
    return await callControl(socket, command, args, options);
  } catch (error) {
    if (!(error instanceof ControlError)) throw error;
    const remedy = remedyFor(daemon, error.code);
    throw remedy === null ? error : new ControlError(error.code, `${error.message}: ${remedy}`);
  }
}

function remedyFor(daemon: Daemon, code: string): string | null {
  if (code === 'no-socket') return 'it may be starting: ask again; if that stays, restart it';
  if (code !== 'not-running') return null;
  return `start it with \`kagimori ${daemon} run\`, or say with ${OPTION[daemon]} where it runs`;
}
