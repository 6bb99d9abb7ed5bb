/**
 * `kagimori manager backup`, `restore` and `acknowledge`.
 */
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { findConfig, placesOf } from '../config-place.ts';
import { ask, findSocket } from '../control-client.ts';
import { Failure } from '../failure.ts';
import { cell, createOutput, date } from '../output.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

type BackupOptions = CommonOptions & ManagerOptions & { readonly to: string; readonly keys: boolean };

export function backupVerb(): Command {
  const command = verb(
    'backup',
    'save the registry of a running manager in a new directory',
    'kagimori manager backup --to /var/backups/kagimori/2026-03-01',
  )
    .requiredOption('--to <directory>', 'a directory that does not exist yet')
    .option('--no-keys', 'leave store.key and sealing.key out; keep them apart, a restore needs both');
  return managerOptions(command).action(async (options: BackupOptions) => {
    const to = resolve(options.to);
    const socket = await findSocket('manager', ofManager(options));
    if (socket === null) throw notSaid();
    const about = await ask('manager', 'store.backup', { to }, { ...ofManager(options), timeoutMs: 0 });
    const { finishBackup } = await import('../manager-restore.ts');
    const saved = await finishBackup(to, dirname(socket), options.keys, cell(about, 'manager'));
    const output = createOutput(options.json === true);
    const counts = `${saved.devices} devices, ${saved.registrations} registrations, ${saved.sessions} sessions`;
    output.result(saved, `${to}: ${counts}, checked`);
    output.remark(
      options.keys
        ? 'It holds store.key and sealing.key: keep it as you keep the private key of the manager.'
        : 'It holds no keys: without store.key and sealing.key of the data directory it cannot be restored.',
    );
  });
}

type RestoreOptions = CommonOptions &
  ManagerOptions & { readonly from: string; readonly force?: boolean; readonly keys?: string };

export function restoreVerb(): Command {
  const command = verb(
    'restore',
    'put a backup into the data directory of a manager that does not run',
    'kagimori manager restore --from /var/backups/kagimori/2026-03-01 --data data',
  )
    .requiredOption('--from <directory>', 'what `manager backup` made')
    .option('--keys <directory>', 'where store.key and sealing.key are kept, for a backup made without them')
    .option('--force', 'take the place of a store that is there; it is kept beside, as before-restore.<time>');
  return managerOptions(command).action(async (options: RestoreOptions) => {
    const dataDirectory = await dataDirectoryOf(options);
    const { restoreBackup } = await import('../manager-restore.ts');
    const restored = await restoreBackup(resolve(options.from), dataDirectory, {
      force: options.force === true,
      keysFrom: options.keys === undefined ? null : resolve(options.keys),
    });
    const output = createOutput(options.json === true);
    const counts = `${restored.devices} devices, ${restored.registrations} registrations, ${restored.sessions} sessions`;
    output.result(restored, `${dataDirectory}: ${counts}, as of ${date(restored.backupAt)} UTC`);
    if (restored.kept !== null)
      output.remark(`What was there before is in ${restored.kept}: remove it when all is well.`);
    output.remark(
      'Start the manager. Devices that were removed since the backup are back: see `kagimori device list`.',
    );
  });
}

export function acknowledgeVerb(): Command {
  const command = verb(
    'acknowledge',
    'say that you know of the older store that `status` and `doctor` warn of',
    'kagimori manager acknowledge',
  );
  return managerOptions(command).action(async (options: CommonOptions & ManagerOptions) => {
    const known = await ask('manager', 'store.acknowledge', {}, ofManager(options));
    const text = known === null ? 'there is nothing to acknowledge' : `${cell(known, 'what')}: acknowledged`;
    createOutput(options.json === true).result(known, text);
  });
}

async function dataDirectoryOf({ data, config }: ManagerOptions): Promise<string> {
  if (data !== undefined) return resolve(data);
  const path = findConfig('manager', config);
  if (path === null) throw notSaid();
  const { readConfigFile } = await import('../config-file.ts');
  const { managerConfig } = await import('../../manager/config.ts');
  return readConfigFile(path, managerConfig).dataDirectory;
}

function notSaid(): Failure {
  const remedy = `give --data or --config, or run this where ${placesOf('manager')[0]} lies`;
  return new Failure('usage', 'no-config', `which manager is not said: ${remedy}`);
}
