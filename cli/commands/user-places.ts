/**
 * `kagimori user list`, `show`, `remove`: which users are at which devices, as the manager knows it.
 */
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, objects, outline, table } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type Options = CommonOptions & ManagerOptions;

export function userListVerb(): Command {
  return managerOptions(verb('list', 'list the users who are at devices', 'kagimori user list')).action(
    async (options: Options) => {
      const places = await ask('manager', 'user.list', {}, ofManager(options));
      const rows = objects(places).map((place) => [
        cell(place, 'user'),
        cell(place, 'device'),
        cell(place, 'since'),
        place.judged === true ? 'yes' : 'no',
        String(Array.isArray(place.sessions) ? place.sessions.length : 0),
      ]);
      const head = ['USER', 'DEVICE', 'SINCE', 'JUDGED', 'SESSIONS'];
      createOutput(options.json === true).result(places, table(head, rows));
    },
  );
}

export function userShowVerb(): Command {
  return managerOptions(verb('show <id>', 'show where one user is', 'kagimori user show anna')).action(
    async (id: string, options: Options) => {
      const user = await ask('manager', 'user.show', { id }, ofManager(options));
      createOutput(options.json === true).result(user, outline(user));
    },
  );
}

export function userRemoveVerb(): Command {
  return managerOptions(
    verb(
      'remove <id>',
      'end the presence of a user at every device, and what was made to the user',
      'kagimori user remove anna',
    ),
  ).action(async (id: string, options: Options) => {
    const removed = await ask('manager', 'user.remove', { id }, ofManager(options));
    const output = createOutput(options.json === true);
    output.result(removed, `${cell(removed, 'user')} is at no device any more`);
    output.remark(
      'A medium that is put in again brings the user back: revoke the certificate with `kagimori ca revoke`.',
    );
  });
}
