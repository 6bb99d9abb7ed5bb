/**
 * Backup and restore of the manager's data directory: the store with the two keys that belong to it.
 *
 * A backup is a directory: `store.mdb`, `store.key`, `sealing.key` and `backup.json` with the time and the SHA-256 of
 * each. A restore first makes `restore.part` inside the data directory, checks everything in it, and renames it to
 * `restore.ready`: from that moment on it is done, and whoever comes next, the manager too, moves its files into place.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { toHex } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { errnoOf, readBounded, readPrivate, syncDirectory, writeDurably, writeFault } from './files.ts';

export const STORE_FILE = 'store.mdb';
export const KEY_FILES = ['store.key', 'sealing.key'] as const;
const NOTE_FILE = 'backup.json';
const MARK_FILE = 'restored.json';
const PART = 'restore.part';
const READY = 'restore.ready';
const MAX_STORE_BYTES = 2 ** 31 - 1;
const MAX_NOTE_BYTES = 64 * 1024;

/** Seconds since 1970. */
export interface BackupNote {
  readonly madeAt: number;
  readonly manager: string;
  /** Number of the last commit in it. */
  readonly transaction: number;
  readonly sha256: Readonly<Record<string, string>>;
}

/** Seconds since 1970. */
export interface RestoredMark {
  readonly backupAt: number;
  readonly restoredAt: number;
}

/** Something is wrong with a backup or with where it should go; nothing was changed. */
export class BackupError extends Error {
  readonly code: 'exists' | 'not-empty' | 'damaged' | 'no-keys' | 'no-backup' | 'unwritable';
  constructor(code: BackupError['code'], detail: string) {
    super(detail);
    this.name = 'BackupError';
    this.code = code;
  }
}

// ── Backup ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What stands beside a backup until it is whole. */
export const partOf = (backup: string): string => `${backup}.part`;

/**
 * The manager's half: a consistent copy of the store in a new directory of mode 0700, synced.
 * @param copy  writes the copy under the path it is given
 * @throws BackupError exists, unwritable; StoreError
 */
export async function copyStore(backup: string, copy: (path: string) => Promise<void>): Promise<void> {
  const part = partOf(backup);
  for (const taken of [backup, part]) {
    if (existsSync(taken))
      throw new BackupError('exists', `${taken} exists: a backup overwrites nothing, name another`);
  }
  try {
    mkdirSync(part, { mode: 0o700 });
  } catch (error) {
    const cause = writeFault(part, error).message;
    const remedy = 'the manager writes it: name a place that its user may write (under systemd: one of ReadWritePaths)';
    throw new BackupError('unwritable', `${cause}: ${remedy}`);
  }
  try {
    await copy(join(part, STORE_FILE));
    syncFile(join(part, STORE_FILE));
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    throw error;
  }
}

/**
 * The command's half: keys, sums and time beside the copy; then the backup has its name.
 * @param withKeys  whether the two keys of `dataDirectory` go into it
 */
export function completeBackup(
  backup: string,
  dataDirectory: string,
  withKeys: boolean,
  about: Omit<BackupNote, 'sha256'>,
  crypto: Pick<Crypto, 'hash'>,
): void {
  const part = partOf(backup);
  if (withKeys) for (const name of KEY_FILES) copyPrivate(join(dataDirectory, name), join(part, name));
  for (const name of readdirSync(part)) {
    if (name !== STORE_FILE && !KEY_FILES.some((key) => key === name)) rmSync(join(part, name), { recursive: true });
  }
  const names = readdirSync(part).sort();
  const sha256 = Object.fromEntries(names.map((name) => [name, sumOf(join(part, name), crypto)]));
  const note: BackupNote = { ...about, sha256 };
  writeDurably(join(part, NOTE_FILE), new TextEncoder().encode(`${JSON.stringify(note, null, 2)}\n`), 0o600);
  syncDirectory(part);
  renameSync(part, backup);
  syncDirectory(join(backup, '..'));
}

/** After a failure: nothing is left of it. */
export function dropPart(backup: string): void {
  rmSync(partOf(backup), { recursive: true, force: true });
}

// ── Restore ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @throws BackupError no-backup, damaged when a file is not the one that was saved */
export function readBackup(backup: string, crypto: Pick<Crypto, 'hash'>): BackupNote {
  if (!existsSync(join(backup, NOTE_FILE))) {
    throw new BackupError(
      'no-backup',
      `${backup} is no backup: it has no ${NOTE_FILE}; name the directory given to --to`,
    );
  }
  const note = parseNote(join(backup, NOTE_FILE));
  for (const [name, sum] of Object.entries(note.sha256)) {
    if (name !== STORE_FILE && !KEY_FILES.some((key) => key === name)) throw noteBroken(backup);
    if (sumOf(join(backup, name), crypto) !== sum) {
      throw new BackupError('damaged', `${join(backup, name)} is not the file that was saved: take another backup`);
    }
  }
  if (note.sha256[STORE_FILE] === undefined) throw noteBroken(backup);
  return note;
}

/**
 * Puts the files of a backup into `restore.part` of the data directory, where they can be opened and checked.
 * @param keysFrom  a directory with the two keys, for a backup without; the data directory itself when null
 * @returns         that directory
 * @throws          BackupError not-empty, no-keys; FileFault
 */
export function stageRestore(
  backup: string,
  note: BackupNote,
  dataDirectory: string,
  force: boolean,
  keysFrom: string | null,
): string {
  if (!force && existsSync(join(dataDirectory, STORE_FILE))) {
    const remedy = '--force takes its place and keeps it beside';
    throw new BackupError('not-empty', `${dataDirectory} holds a store already: ${remedy}`);
  }
  const part = join(dataDirectory, PART);
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { mode: 0o700 });
  copyLarge(join(backup, STORE_FILE), join(part, STORE_FILE));
  for (const name of KEY_FILES) {
    const from = note.sha256[name] !== undefined && keysFrom === null ? backup : (keysFrom ?? dataDirectory);
    if (!existsSync(join(from, name))) {
      rmSync(part, { recursive: true });
      const remedy = 'the backup was made without keys: say with --keys where they are kept';
      throw new BackupError('no-keys', `${join(from, name)} is missing: ${remedy}`);
    }
    copyPrivate(join(from, name), join(part, name));
  }
  return part;
}

export function dropStaged(dataDirectory: string): void {
  rmSync(join(dataDirectory, PART), { recursive: true, force: true });
}

/**
 * What was staged, and found good, becomes the store.
 * @returns where the store before it is kept, or null when there was none
 */
export function commitRestore(dataDirectory: string, mark: RestoredMark): string | null {
  const part = join(dataDirectory, PART);
  for (const name of readdirSync(part)) {
    if (name !== STORE_FILE && !KEY_FILES.some((key) => key === name)) rmSync(join(part, name), { recursive: true });
  }
  writeDurably(join(part, MARK_FILE), new TextEncoder().encode(`${JSON.stringify(mark)}\n`), 0o600);
  syncDirectory(part);
  const kept = keepFormer(dataDirectory, mark);
  renameSync(part, join(dataDirectory, READY));
  syncDirectory(dataDirectory);
  finishRestore(dataDirectory);
  return kept;
}

/** Carries out what a restore that was interrupted had decided; does nothing when there is none. */
export function finishRestore(dataDirectory: string): void {
  const ready = join(dataDirectory, READY);
  if (!existsSync(ready)) return;
  rmSync(join(dataDirectory, `${STORE_FILE}-lock`), { force: true });
  for (const name of [...KEY_FILES, STORE_FILE, MARK_FILE]) {
    try {
      renameSync(join(ready, name), join(dataDirectory, name));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw writeFault(join(dataDirectory, name), error);
    }
  }
  syncDirectory(dataDirectory);
  rmSync(ready, { recursive: true, force: true });
}

/** @returns null when the store is not from a backup, or an operator has acknowledged that it is */
export function readRestoredMark(dataDirectory: string): RestoredMark | null {
  const path = join(dataDirectory, MARK_FILE);
  if (!existsSync(path)) return null;
  const { backupAt, restoredAt } = parseJson(path) as Partial<RestoredMark>;
  if (typeof backupAt !== 'number' || typeof restoredAt !== 'number') return null;
  return { backupAt, restoredAt };
}

export function dropRestoredMark(dataDirectory: string): void {
  rmSync(join(dataDirectory, MARK_FILE), { force: true });
}

// ── Files ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** By further names of the same files: no second copy, and the names in use are replaced by renaming. */
function keepFormer(dataDirectory: string, { restoredAt }: RestoredMark): string | null {
  if (!existsSync(join(dataDirectory, STORE_FILE))) return null;
  const kept = join(dataDirectory, `before-restore.${restoredAt}`);
  mkdirSync(kept, { mode: 0o700 });
  for (const name of [STORE_FILE, ...KEY_FILES]) {
    if (existsSync(join(dataDirectory, name))) linkSync(join(dataDirectory, name), join(kept, name));
  }
  syncDirectory(kept);
  return kept;
}

function copyPrivate(from: string, to: string): void {
  const bytes = readPrivate(from, 4096);
  try {
    writeDurably(to, bytes, 0o600);
  } catch (error) {
    throw writeFault(to, error);
  } finally {
    bytes.fill(0);
  }
}

function copyLarge(from: string, to: string): void {
  try {
    writeDurably(to, readBounded(from, MAX_STORE_BYTES), 0o600);
  } catch (error) {
    throw writeFault(to, error);
  }
}

function syncFile(path: string): void {
  const file = openSync(path, 'r+');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

const sumOf = (path: string, crypto: Pick<Crypto, 'hash'>): string =>
  toHex(crypto.hash('sha-256', readBounded(path, MAX_STORE_BYTES)));

function parseNote(path: string): BackupNote {
  const { madeAt, manager, transaction, sha256 } = parseJson(path) as Partial<BackupNote>;
  const sound =
    Number.isSafeInteger(madeAt) &&
    Number.isSafeInteger(transaction) &&
    typeof manager === 'string' &&
    typeof sha256 === 'object' &&
    Object.values(sha256 ?? {}).every((sum) => typeof sum === 'string');
  if (!sound) throw noteBroken(path);
  return { madeAt, manager, transaction, sha256 } as BackupNote;
}

function parseJson(path: string): object {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(readBounded(path, MAX_NOTE_BYTES)));
    if (typeof value === 'object' && value !== null) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw noteBroken(path);
}

const noteBroken = (path: string): BackupError =>
  new BackupError('damaged', `${path}: ${NOTE_FILE} is not as it was written: take another backup`);
