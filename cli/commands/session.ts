/**
 * `kagimori session …`: the sessions that the manager made.
 */
import type { Command } from 'commander';
import { type CommonOptions, noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, objects, outline, table } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';
import { sessionExplainVerb } from './session-explain.ts';

type Options = CommonOptions & ManagerOptions;

export function sessionCommand(): Command {
  const list = managerOptions(verb('list', 'list the sessions', 'kagimori session list')).action(
    async (options: Options) => {
      const sessions = await ask('manager', 'session.list', {}, ofManager(options));
      const keys = ['sid', 'caller', 'callee', 'suite', 'state', 'until'];
      const rows = objects(sessions).map((session) => keys.map((key) => cell(session, key)));
      const head = ['SESSION', 'CALLER', 'CALLEE', 'SUITE', 'STATE', 'UNTIL'];
      createOutput(options.json === true).result(sessions, table(head, rows));
    },
  );
  const show = managerOptions(verb('show <sid>', 'show one session', 'kagimori session show 3f2a…')).action(
    async (sid: string, options: Options) => {
      const session = await ask('manager', 'session.show', { sid }, ofManager(options));
      createOutput(options.json === true).result(session, outline(session));
    },
  );
  const end = managerOptions(verb('end <sid>', 'end a session at both devices', 'kagimori session end 3f2a…')).action(
    async (sid: string, options: Options) => {
      const ended = await ask('manager', 'session.end', { sid }, ofManager(options));
      createOutput(options.json === true).result(ended, `${sid} is being ended`);
    },
  );
  return noun('session', 'the sessions that the manager made', [list, show, sessionExplainVerb(), end]);
}
