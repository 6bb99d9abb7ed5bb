/**
 * `kagimori invitation …`: those that were made. They are made by `kagimori device invite`.
 */
import type { Command } from 'commander';
import { type CommonOptions, noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, objects, table } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type Options = CommonOptions & ManagerOptions;

export function invitationCommand(): Command {
  const list = managerOptions(verb('list', 'list invitations; never their secrets', 'kagimori invitation list')).action(
    async (options: Options) => {
      const invitations = await ask('manager', 'invitation.list', {}, ofManager(options));
      const rows = objects(invitations).map((one) =>
        ['id', 'name', 'class', 'groups', 'left', 'uses', 'until', 'state'].map((key) => cell(one, key)),
      );
      const head = ['INVITATION', 'NAME', 'CLASS', 'GROUPS', 'LEFT', 'OF', 'UNTIL', 'STATE'];
      createOutput(options.json === true).result(invitations, table(head, rows));
    },
  );
  const withdraw = managerOptions(
    verb(
      'withdraw <id>',
      'let nobody in by it any more; who is in stays',
      'kagimori invitation withdraw 4be2a1907c33d5f0',
    ),
  ).action(async (id: string, options: Options) => {
    const withdrawn = await ask('manager', 'invitation.withdraw', { id }, ofManager(options));
    createOutput(options.json === true).result(withdrawn, `the invitation of ${cell(withdrawn, 'name')} is withdrawn`);
  });
  return noun('invitation', 'invitations for new devices', [list, withdraw]);
}
