/**
 * `kagimori device reset | transfer | release`: a device that changes hands, or was seen as two machines.
 */
import { type Command, Option } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { type CommonOptions, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, type Output } from '../output.ts';
import { timeSpan } from '../time-span.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type Options = CommonOptions & ManagerOptions;

/** The disk and the CA may take their time. */
const PATIENCE_MS = 40_000;

const command = (usage: string, means: string, example: string): Command => managerOptions(verb(usage, means, example));
const act = (name: string, args: JsonValue, options: Options): Promise<JsonValue> =>
  ask('manager', name, args, { ...ofManager(options), timeoutMs: PATIENCE_MS });

export function resetCommand(): Command {
  return command(
    'reset <id>',
    'void everything that this device and its owner could use: sessions, resumption, registration, its key for good',
    'kagimori device reset thermostat',
  ).action(async (id: string, options: Options) => {
    const result = await act('device.reset', { id }, options);
    const output = createOutput(options.json === true);
    output.result(result, `${cell(result, 'id')} is reset: it has to be enrolled anew, with a new key`);
    remarkOnCertificate(output, result);
  });
}

export function transferCommand(): Command {
  return command(
    'transfer <id>',
    'reset a device, and invite whoever has it next under its name, class and groups',
    'kagimori device transfer thermostat --ttl 1h',
  )
    .addOption(
      new Option('--ttl <time>', 'how long the invitation is good: 30m, 2h, 7d')
        .argParser(timeSpan(1, 366 * 86_400))
        .default(3600, '1h'),
    )
    .action(async (id: string, options: Options & { readonly ttl: number }) => {
      const result = await act('device.transfer', { id, ttlSeconds: options.ttl }, options);
      const output = createOutput(options.json === true);
      output.result(result, cell(result, 'invitation'));
      output.remark(`${cell(result, 'name')} is reset. The line above enrols its new machine: kagimori agent enrol`);
      output.remark(`It is as good as a password, once, until ${cell(result, 'until')}.`);
      remarkOnCertificate(output, result);
    });
}

export function releaseCommand(): Command {
  return command(
    'release <id>',
    'let a device in again that was put out because two machines had its certificate',
    'kagimori device release thermostat',
  ).action(async (id: string, options: Options) => {
    const result = await act('device.release', { id }, options);
    const output = createOutput(options.json === true);
    output.result(result, `${cell(result, 'id')} may come in again`);
    output.remark('See that only one machine has its key: the other one is enrolled anew, or reset.');
  });
}

function remarkOnCertificate(output: Output, result: JsonValue): void {
  const { revoked, fault } = result as { readonly revoked: boolean | null; readonly fault: string | null };
  if (revoked === true) output.remark('Its certificate is revoked at the CA.');
  else if (revoked === null)
    output.remark('Here its key is void. For others, revoke it where it was issued: kagimori ca revoke');
  else output.remark(`Its certificate could not be revoked: ${fault}: give kagimori ca revoke; here its key is void`);
}
