/**
 * Where an enrolled device keeps its files: as its configuration says, or beside the one that is to be made.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { type AgentConfig, agentConfig } from '../../device-agent/config.ts';
import { readConfigFile } from '../config-file.ts';
import { findConfig, placesOf } from '../config-place.ts';

export interface Places {
  readonly configFile: string;
  /** null: it is to be made. */
  readonly config: AgentConfig | null;
  readonly stateDirectory: string;
  readonly certificateFile: string;
  readonly keyFile: string;
  readonly anchorsFile: string;
  /** null: the configuration pins no verifier. */
  readonly verifierFile: string | null;
}

/** @param given  `--config` @throws Failure `config`; FileFault */
export function enrolmentPlaces(given: string | undefined): Places {
  const [here] = placesOf('agent');
  const configFile = resolve(findConfig('agent', given) ?? here ?? '');
  if (existsSync(configFile)) return placesIn(configFile, readConfigFile(configFile, agentConfig));
  // Named after it: two devices of one folder do not share a key.
  const folder = join(dirname(configFile), basename(configFile).replace(/\.ya?ml$/, ''));
  const at = (name: string): string => join(folder === configFile ? `${folder}.d` : folder, name);
  return {
    configFile,
    config: null,
    stateDirectory: at('state'),
    certificateFile: at('device.chain.pem'),
    keyFile: at('device.key.pem'),
    anchorsFile: at('anchors.pem'),
    verifierFile: at('verifier.pem'),
  };
}

export function placesIn(configFile: string, config: AgentConfig): Places {
  const { stateDirectory, certificateFile, keyFile, trustAnchorFiles, verifierCertificateFile } = config;
  const anchorsFile = trustAnchorFiles[0] ?? '';
  return {
    configFile,
    config,
    stateDirectory,
    certificateFile,
    keyFile,
    anchorsFile,
    verifierFile: verifierCertificateFile ?? null,
  };
}
