/**
 * The options by which a command finds the agent, and the verbs that are one question to it.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type CommonOptions, verb } from '../command.ts';
import { placesOf } from '../config-place.ts';
import { ask, type SocketOptions } from '../control-client.ts';
import { createOutput } from '../output.ts';

export interface AgentOptions extends CommonOptions {
  readonly state?: string;
  readonly config?: string;
}

/** The agent itself gives up on the manager before. */
export const AGENT_LIMIT_MS = 35_000;

export function agentOptions(command: Command): Command {
  return command
    .option('--state <directory>', "the agent's state directory, where its control socket is")
    .option('--config <file>', `the agent's configuration (default: ${placesOf('agent').join(', then ')})`);
}

export function ofAgent({ state, config }: AgentOptions): SocketOptions {
  return { ...(state === undefined ? {} : { directory: state }), ...(config === undefined ? {} : { config }) };
}

/** A verb without arguments that says one sentence when it is done. */
export function plainVerb(name: string, summary: string, done: string): Command {
  return agentOptions(verb(name, summary, `kagimori agent ${name}`)).action(async (options: AgentOptions) => {
    const result: JsonValue = await ask('agent', name, {}, { ...ofAgent(options), timeoutMs: AGENT_LIMIT_MS });
    createOutput(options.json === true).result(result, done);
  });
}
