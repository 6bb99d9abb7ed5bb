/**
 * Files that a configuration names: there, readable, private where they hold a secret.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { holdsCertificate, SWAPPED, SWAPPED_REMEDY } from '../../hardware/key-store.ts';
import { isPkcs11Uri } from '../../hardware/pkcs11-uri.ts';
import { FileFault, readBounded, readPrivate } from '../../platform/files.ts';
import { TOKEN_RULE, tokenIn } from '../../platform/token.ts';
import { wipe } from '../../protocol/bytes.ts';
import { attempt, type Finding, ill, well } from './finding.ts';

const MAX_BYTES = 16 * 1024 * 1024;
const FILE_KEY = /(?:^file|Files?)$/;
const DIRECTORY_KEY = /Directory$/;
const TOKEN_KEY = /^(?:tokenFile|passwordFile|managerFile|verifierFile)$/;

/** @param config  with absolute paths */
export function checkFiles(config: unknown, key = ''): readonly Finding[] {
  if (typeof config === 'string') {
    if (DIRECTORY_KEY.test(key)) return [checkDirectory(key, config)];
    if (key === 'keyFile' && isPkcs11Uri(config)) return []; // the check of the certificate opens it
    return FILE_KEY.test(key) ? attempt(`${key} cannot be used`, () => [checkFile(key, config)]) : [];
  }
  if (Array.isArray(config)) return config.flatMap((item) => checkFiles(item, key));
  if (typeof config !== 'object' || config === null) return [];
  return Object.entries(config).flatMap(([name, value]) => checkFiles(value, name));
}

function checkFile(key: string, path: string): Finding {
  if (key === 'witnessFile' && !existsSync(path)) return well(`${key} ${path} will be made at the next start`);
  if (key === 'invitationFile' && !existsSync(path))
    return well(`${key} ${path} is not there: it was used, or is to come`);
  const token = TOKEN_KEY.test(key);
  if (!token && key !== 'keyFile') {
    readBounded(path, MAX_BYTES);
    return well(`${key} ${path} can be read`);
  }
  if (!token && holdsCertificate(path)) return ill(`${key} ${path} ${SWAPPED}`, SWAPPED_REMEDY);
  const contents = readPrivate(path, MAX_BYTES);
  const broken = token && tokenIn(contents) === null;
  wipe(contents);
  if (broken) return ill(`${key} ${path} ${TOKEN_RULE}`, 'make one with `openssl rand -base64 33`');
  return well(`${key} ${path} can be read by its owner alone`);
}

function checkDirectory(key: string, path: string): Finding {
  try {
    const { mode } = statSync(path);
    accessSync(path, constants.R_OK | constants.W_OK | constants.X_OK);
    if ((mode & 0o022) === 0) return well(`${key} ${path} belongs to this user alone`);
    return ill(`${key} ${path} can be written by others`, `run \`chmod 700 ${path}\``);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT') return well(`${key} ${path} will be made at the first start`);
    return ill(`${key} ${path} cannot be used`, 'make it a directory that this user may write');
  }
}

/** @returns the bytes, or null when another check tells what is wrong with the file */
export function readOrNull(path: string | undefined): Uint8Array | null {
  if (path === undefined) return null;
  try {
    return readBounded(path, MAX_BYTES);
  } catch (error) {
    if (error instanceof FileFault) return null;
    throw error;
  }
}
