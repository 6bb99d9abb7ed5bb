/**
 * `kagimori approval standing …`: callers that are approved beforehand.
 */
import type { Command } from 'commander';
import { noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, objects, table } from '../output.ts';
import { timeSpan } from '../time-span.ts';
import { type AgentOptions, agentOptions, ofAgent } from './agent-options.ts';

const LONGEST_LIFETIME = 86_400;

export function standingNoun(): Command {
  return noun('standing', 'callers that are approved beforehand', [listVerb(), addVerb(), withdrawVerb()]);
}

function listVerb(): Command {
  return agentOptions(verb('list', 'show the standing approvals', 'kagimori approval standing list')).action(
    async (options: AgentOptions) => {
      const list = await ask('agent', 'approval.standing', {}, ofAgent(options));
      const rows = objects(list).map((one) => [
        cell(one, 'caller'),
        cell(one, 'lifetimeSeconds'),
        cell(one, 'from'),
        one.withdrawn === true ? 'withdrawn' : 'counts',
      ]);
      const text = rows.length === 0 ? 'none' : table(['CALLER', 'LONGEST SECONDS', 'GIVEN BY', 'STATE'], rows);
      createOutput(options.json === true).result(list, text);
    },
  );
}

function addVerb(): Command {
  type Options = AgentOptions & { lifetime: number };
  return agentOptions(
    verb('add <caller>', 'approve a caller beforehand', 'kagimori approval standing add boiler --lifetime 1h'),
  )
    .requiredOption('--lifetime <time>', 'longest life of its sessions: 10m, 1h', timeSpan(1, LONGEST_LIFETIME))
    .action(async (caller: string, { lifetime, ...options }: Options) => {
      const args = { caller, lifetimeSeconds: lifetime };
      const result = await ask('agent', 'approval.standing.add', args, ofAgent(options));
      createOutput(options.json === true).result(result, `${cell(result, 'caller')} is approved beforehand`);
    });
}

function withdrawVerb(): Command {
  return agentOptions(
    verb('withdraw <caller>', 'take a standing approval back', 'kagimori approval standing withdraw boiler'),
  )
    .description(
      'take a standing approval back, at once and for good: one of the configuration as well, until it is added again. ' +
        'Sessions that are open go on: kagimori agent close ends them',
    )
    .action(async (caller: string, options: AgentOptions) => {
      const result = await ask('agent', 'approval.standing.withdraw', { caller }, ofAgent(options));
      createOutput(options.json === true).result(result, `${cell(result, 'caller')} is asked about from now on`);
    });
}
