/**
 * `kagimori agent prepare-image` and `kagimori agent reset`: a device without what is its own.
 */
import { dirname, relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { placesOf, requireConfig } from '../config-place.ts';
import type { Clearing } from '../enrolment/clearing.ts';
import { createOutput, type Output, printable, table } from '../output.ts';

interface Options extends CommonOptions {
  readonly config?: string;
  readonly dryRun?: boolean;
}

const shared = (command: Command): Command =>
  command
    .option('--config <file>', `the agent's configuration (default: ${placesOf('agent').join(', then ')})`)
    .option('--dry-run', 'show what would go, and touch nothing');

export function prepareImageVerb(): Command {
  return shared(
    verb('prepare-image', 'take from this device what no copy of its disk may have', 'kagimori agent prepare-image'),
  )
    .description(
      'take from this device what no copy of its disk may have: key, certificate, what it remembers. Configuration, trust ' +
        'anchors and the certificate of the verifier stay. With an invitation for several devices (a name with *) each ' +
        'copy enrols by itself at its first start',
    )
    .option('--invitation <file>', 'the file with the invitation that each copy enrols with')
    .action(async (options: Options & { invitation?: string }) => {
      const { invitation, dryRun = false, json } = options;
      const { configFile, config, clearDevice } = await parts(options);
      const invited =
        invitation === undefined ? null : await setInvitation(configFile, config.invitationFile, invitation, dryRun);
      const clearing = clearDevice(configFile, config, 'image', dryRun);
      const output = createOutput(json === true);
      show(output, clearing, dryRun, { invitation: invited });
      if (invited !== null && invited.name?.includes('*') !== true) {
        output.remark(
          `This invitation is for one device (${invited.name ?? 'it says its name'}): copies need one with a *.`,
        );
      }
      if (invited === null && config.invitationFile === undefined) {
        output.remark('Each copy has to be enrolled by hand: kagimori agent enrol. Or give --invitation.');
      }
      const again = invited !== null || clearing.kept.some((path) => path === config.invitationFile);
      output.remark(
        again
          ? 'Now stop this machine and copy its disk: the next start of the agent would make it somebody again.'
          : 'Now stop this machine and copy its disk.',
      );
    });
}

export function resetVerb(): Command {
  return shared(verb('reset', 'take from this device all that its next owner must not have', 'kagimori agent reset'))
    .description(
      'take from this device all that its next owner must not have: key, certificate, trust anchors, invitation, what it ' +
        'remembers, overwritten as far as the disk allows. The configuration stays; the next enrolment corrects it',
    )
    .action(async (options: Options) => {
      const { dryRun = false, json } = options;
      const { configFile, config, clearDevice } = await parts(options);
      const clearing = clearDevice(configFile, config, 'reset', dryRun);
      const output = createOutput(json === true);
      show(output, clearing, dryRun, {});
      if (clearing.device !== null) {
        output.remark(
          `At the manager, so that nothing of it counts any more: kagimori device reset ${printable(clearing.device)}`,
        );
      }
      output.remark('A flash disk may keep old copies out of reach: what is worth it is on an encrypted disk.');
    });
}

async function parts({ config: given }: Options) {
  const { readConfigFile } = await import('../config-file.ts');
  const { agentConfig } = await import('../../device-agent/config.ts');
  const { clearDevice } = await import('../enrolment/clearing.ts');
  const configFile = resolve(requireConfig('agent', given));
  return { configFile, config: readConfigFile(configFile, agentConfig), clearDevice };
}

function show(output: Output, clearing: Clearing, dryRun: boolean, more: Readonly<Record<string, unknown>>): void {
  const near = (path: string): string => {
    const short = relative(process.cwd(), path);
    return path.startsWith('pkcs11:') || short.startsWith('..') ? path : short;
  };
  const { removed, kept, left } = clearing;
  const rows = [
    ...removed.map((path) => [dryRun ? 'would go' : 'erased', near(path)]),
    ...kept.map((path) => ['stays', near(path)]),
    ...left.map((path) => ['look at it', `${near(path)} (not the agent's, or out of its reach: left as it is)`]),
  ];
  output.result({ ...clearing, ...more, dryRun }, table(['WHAT', 'FILE'], rows));
}

/** @returns what the invitation says beside its token */
async function setInvitation(configFile: string, before: string | undefined, file: string, dryRun: boolean) {
  const { nodeCrypto } = await import('../../platform/crypto-node.ts');
  const { readBounded, writeAtomically } = await import('../../platform/files.ts');
  const { encodeUtf8 } = await import('../../protocol/bytes.ts');
  const { MAX_CONFIG_BYTES, textOf } = await import('../config-file.ts');
  const { withSetting } = await import('../enrolment/config-writing.ts');
  const { readInvitationFile } = await import('../enrolment/invitation-source.ts');
  const { token: _, anchor: __, ...said } = readInvitationFile(file, nodeCrypto());
  const path = resolve(file);
  if (path !== before && !dryRun) {
    const text = textOf(readBounded(configFile, MAX_CONFIG_BYTES), configFile);
    writeAtomically(
      configFile,
      encodeUtf8(withSetting(text, 'invitationFile', relative(dirname(configFile), path))),
      0o644,
    );
  }
  return { ...said, file: path };
}
