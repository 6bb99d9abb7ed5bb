/**
 * `kagimori session explain SID`
 */
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { createOutput } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

export function sessionExplainVerb(): Command {
  return managerOptions(
    verb(
      'explain <sid>',
      'tell why a session got its suite: its choice repeated, and what would be chosen today',
      'kagimori session explain 3f2a…',
    ),
  ).action(async (sid: string, { json, ...options }: CommonOptions & ManagerOptions) => {
    const found = await ask('manager', 'session.explain', { sid }, ofManager(options));
    const { sessionText } = await import('../rules/explanation-text.ts');
    createOutput(json === true).result(found, sessionText(found));
  });
}
