/**
 * `kagimori enrolment …`: new devices that wait for an operator's yes.
 */
import type { Command } from 'commander';
import { type CommonOptions, noun, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { cell, createOutput, objects, table } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type Options = CommonOptions & ManagerOptions;

export function enrolmentCommand(): Command {
  const list = managerOptions(
    verb('list', 'list the new devices that wait for a yes', 'kagimori enrolment list'),
  ).action(async (options: Options) => {
    const held = await ask('manager', 'enrolment.list', {}, ofManager(options));
    const rows = objects(held).map((one) =>
      ['id', 'device', 'key', 'invitation', 'since', 'state'].map((key) => cell(one, key)),
    );
    const head = ['ID', 'DEVICE', 'KEY (SHA-256)', 'INVITATION', 'SINCE', 'STATE'];
    const output = createOutput(options.json === true);
    output.result(held, table(head, rows));
    if (rows.length > 0) output.remark('The device shows the same key: compare it before you allow it.');
  });
  const allow = managerOptions(
    verb('allow <id>', 'let a new device in', 'kagimori enrolment allow 9c11d07f52ab60e3'),
  ).action(async (id: string, options: Options) => {
    const allowed = await ask('manager', 'enrolment.allow', { id }, ofManager(options));
    createOutput(options.json === true).result(allowed, `${cell(allowed, 'device')} may come in`);
  });
  const refuse = managerOptions(
    verb('refuse <id>', 'keep a new device out', 'kagimori enrolment refuse 9c11d07f52ab60e3'),
  ).action(async (id: string, options: Options) => {
    const refused = await ask('manager', 'enrolment.refuse', { id }, ofManager(options));
    const output = createOutput(options.json === true);
    output.result(refused, `${cell(refused, 'device')} stays out`);
    const invitation = cell(refused, 'invitation');
    if (invitation !== '–')
      output.remark(`Its invitation is as good as before: kagimori invitation withdraw ${invitation}`);
  });
  return noun('enrolment', 'new devices that wait for a yes', [list, allow, refuse]);
}
