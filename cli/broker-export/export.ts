/**
 * Everything that Mosquitto needs to carry Kagimori, written into a directory: `broker/` for the broker's host, and under
 * `passwords/` what is handed out, one file for each party.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { makePrivateDirectory, readBounded, writeAtomically, writeFault } from '../../platform/files.ts';
import { decodeUtf8, encodeUtf8 } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { encodeId } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { Failure } from '../failure.ts';
import { deviceAccess, serviceAccess } from './access-list.ts';
import { FILES, type MosquittoSettings, mosquittoConf } from './mosquitto-settings.ts';
import { passwordList } from './password-list.ts';

export interface ExportOptions {
  readonly directory: string;
  readonly root: string;
  readonly settings: MosquittoSettings;
  /** Those that get a password; with certificates those whose id needs lines of its own. */
  readonly devices: readonly DeviceId[];
  /** Replaces what is there; users who stay keep their passwords. */
  readonly force: boolean;
}

export interface Exported {
  readonly files: readonly string[];
  /** Parties with a new password, by user name, and the file it is in. */
  readonly passwords: Readonly<Record<string, string>>;
  readonly removed: readonly string[];
}

/** As user names they are client ids too, and those Mosquitto has in common for all its listeners. */
export const SERVICES: readonly string[] = ['manager', 'verifier'];
const MAX_LIST_BYTES = 64 * 1024 * 1024;

/** @throws Failure `exists` without `force`, FileFault */
export function exportMosquitto(options: ExportOptions, crypto: Crypto): Exported {
  const { directory, root, settings, devices, force } = options;
  const broker = join(directory, 'broker');
  const passwords = join(directory, 'passwords');
  const taken = Object.values(FILES).find((name) => existsSync(join(broker, name)));
  if (taken !== undefined && !force) {
    const remedy = 'give another --out, or --force: users who stay keep their passwords, all others are out';
    throw new Failure('refused', 'exists', `${join(broker, taken)} is there already: ${remedy}`);
  }
  makeDirectory(directory);
  makePrivateDirectory(broker);
  makePrivateDirectory(passwords);

  const files: string[] = [];
  const write = (path: string, text: string, mode: number): void => {
    writeAtomically(path, encodeUtf8(text), mode);
    files.push(path);
  };
  const given: Record<string, string> = {};
  const gone: string[] = [];
  /** A password is handed out before the list names its user: what is interrupted in between is made anew. */
  const writeUsers = (name: string, users: readonly string[], ending: string): void => {
    const path = join(broker, name);
    const { text, added, removed } = passwordList(users, textOf(path), crypto);
    for (const [user, password] of added) {
      const file = join(passwords, `${user}.${ending}`);
      write(file, `${password}\n`, 0o600);
      given[user] = file;
    }
    for (const user of removed) rmSync(join(passwords, `${user}.${ending}`), { force: true });
    gone.push(...removed);
    if (users.length > 0) write(path, text, 0o600);
    else rmSync(path, { force: true });
  };

  const byPassword = settings.proof.by === 'password';
  const odd = byPassword ? [] : devices.filter((id) => encodeId(id) !== id);
  writeUsers(FILES.servicePasswords, SERVICES, 'token');
  writeUsers(FILES.devicePasswords, byPassword ? devices.map(encodeId) : [], 'password');
  write(join(broker, FILES.serviceAccess), serviceAccess(root), 0o600);
  write(join(broker, FILES.deviceAccess), deviceAccess(root, odd), 0o600);
  write(join(broker, FILES.settings), mosquittoConf(settings), 0o600);
  return { files, passwords: given, removed: gone };
}

/** Not private itself: the broker's user has to get through to `broker/`. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    throw writeFault(path, error);
  }
}

function textOf(path: string): string | null {
  return existsSync(path) ? decodeUtf8(readBounded(path, MAX_LIST_BYTES)) : null;
}
