/**
 * `kagimori device …`: what the manager knows of the devices.
 */
import type { Command } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type CommonOptions, noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, objects, outline, table } from '../output.ts';
import { inviteVerb } from './device-invite.ts';
import { releaseCommand, resetCommand, transferCommand } from './device-life.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type Options = CommonOptions & ManagerOptions;

export function deviceCommand(): Command {
  const list = managerOptions(verb('list', 'list the devices that the manager knows', 'kagimori device list')).action(
    async (options: Options) => {
      const devices = await ask('manager', 'device.list', {}, ofManager(options));
      const rows = objects(devices).map((device) => [
        cell(device, 'id'),
        cell(device, 'class'),
        cell(device, 'linked'),
        device.channel === null ? 'no' : 'open',
        registered(device),
        String(Array.isArray(device.sessions) ? device.sessions.length : 0),
      ]);
      const head = ['DEVICE', 'CLASS', 'LINKED', 'CHANNEL', 'REGISTERED', 'SESSIONS'];
      createOutput(options.json === true).result(devices, table(head, rows));
    },
  );
  const show = managerOptions(verb('show <id>', 'show one device', 'kagimori device show thermostat')).action(
    async (id: string, options: Options) => {
      const device = await ask('manager', 'device.show', { id }, ofManager(options));
      createOutput(options.json === true).result(device, outline(device));
    },
  );
  const remove = managerOptions(
    verb(
      'remove <id>',
      'forget a device: sessions ended, its name free for another certificate',
      'kagimori device remove thermostat',
    ),
  ).action(async (id: string, options: Options) => {
    const removed = await ask('manager', 'device.remove', { id }, ofManager(options));
    const output = createOutput(options.json === true);
    output.result(removed, `${cell(removed, 'id')} is removed`);
    output.remark('Its certificate lets it in again as long as it is good; `kagimori device reset` voids that too.');
  });
  return noun('device', 'the devices that the manager knows', [
    inviteVerb(),
    list,
    show,
    remove,
    resetCommand(),
    transferCommand(),
    releaseCommand(),
  ]);
}

function registered({ revokedAt, quarantinedAt, registration }: { readonly [key: string]: JsonValue }): string {
  if (typeof revokedAt === 'string') return 'revoked';
  if (typeof quarantinedAt === 'string') return 'quarantined';
  return registration === null ? 'no' : 'yes';
}
