/**
 * Takes from a device what is its own: so that its disk can be copied, or so that it can be given away.
 */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { AgentConfig } from '../../device-agent/config.ts';
import { shownKeyPlace } from '../../hardware/key-store.ts';
import { isPkcs11Uri } from '../../hardware/pkcs11-uri.ts';
import { readCertificateFile } from '../../platform/certificate-file.ts';
import { FileFault, readFault } from '../../platform/files.ts';
import { lockHolder } from '../../platform/process-lock.ts';
import { deviceNames } from '../../protocol/certificate.ts';
import { Failure } from '../failure.ts';
import { eraseFile } from './erasing.ts';
import { isStateFile } from './state-files.ts';

export interface Clearing {
  /** Who it was; null: it had no certificate. */
  readonly device: string | null;
  readonly removed: readonly string[];
  readonly kept: readonly string[];
  /** What nobody here knows, and what cannot be erased from here. */
  readonly left: readonly string[];
}

/**
 * @param purpose  `image`: what all copies share stays (anchors, verifier, invitation); `reset`: it goes too
 * @throws Failure `running`; FileFault
 */
export function clearDevice(
  configFile: string,
  config: AgentConfig,
  purpose: 'image' | 'reset',
  dryRun: boolean,
): Clearing {
  const { stateDirectory, certificateFile, keyFile } = config;
  const holder = lockHolder(join(stateDirectory, 'agent.lock'));
  if (holder !== null) {
    throw new Failure('refused', 'running', `the agent of ${stateDirectory} runs, as process ${holder}: stop it first`);
  }
  const device = nameIn(certificateFile);
  const { own, shared } = filesOf(config);
  // The key goes first: whatever comes between, this machine is nobody any more.
  const inFiles = isPkcs11Uri(keyFile) ? own : [keyFile, ...own];
  const wanted = purpose === 'reset' ? [...inFiles, ...shared] : inFiles;
  const inState = entriesOf(stateDirectory);
  const state = inState.filter(isStateFile).map((name) => join(stateDirectory, name));
  const named = new Set([configFile, ...wanted, ...shared]);
  const unknown = inState
    .map((name) => join(stateDirectory, name))
    .filter((path) => !state.includes(path) && !named.has(path));
  const going = [...new Set([...wanted.flatMap(withLeftovers), ...state])].filter(existsSync);
  if (!dryRun) for (const path of going) eraseFile(path);
  return {
    device,
    removed: going,
    kept: [configFile, ...(purpose === 'image' ? shared.filter(existsSync) : [])],
    left: [...(isPkcs11Uri(keyFile) ? [shownKeyPlace(keyFile)] : []), ...unknown],
  };
}

function filesOf(config: AgentConfig): { readonly own: readonly string[]; readonly shared: readonly string[] } {
  const { certificateFile, trustAnchorFiles, verifierCertificateFile, invitationFile, broker } = config;
  const isFile = (path: string | undefined): path is string => path !== undefined;
  return {
    own: [certificateFile, ...[broker.passwordFile, broker.certificateFile, broker.keyFile].filter(isFile)],
    shared: [...trustAnchorFiles, ...[verifierCertificateFile, invitationFile].filter(isFile)],
  };
}

/** And what an end in the middle of its writing left beside it. */
function withLeftovers(path: string): readonly string[] {
  const beside = entriesOf(dirname(path)).filter((name) => {
    return name.startsWith(`${basename(path)}.`) && /^\.\d+\.new$/.test(name.slice(basename(path).length));
  });
  return [path, ...beside.map((name) => join(dirname(path), name))];
}

function entriesOf(directory: string): readonly string[] {
  if (statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== true) return [];
  try {
    return readdirSync(directory);
  } catch (error) {
    throw readFault(directory, error);
  }
}

function nameIn(certificateFile: string): string | null {
  try {
    return deviceNames(readCertificateFile(certificateFile)[0])?.id ?? null;
  } catch (error) {
    if (error instanceof FileFault) return null;
    throw error;
  }
}
