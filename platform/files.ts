/**
 * Files: bounded reads, private reads, atomic writes; every failure a typed fault that names the path and the remedy.
 */
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';

export type FileFaultKind = 'missing' | 'unreadable' | 'too-large' | 'too-open' | 'unwritable' | 'full' | 'io';

/** What went wrong with a file; the message carries the path and what the operator can do. */
export class FileFault extends Error {
  readonly fault: FileFaultKind;
  readonly path: string;
  constructor(fault: FileFaultKind, path: string, detail: string) {
    super(`${path}: ${detail}`);
    this.name = 'FileFault';
    this.fault = fault;
    this.path = path;
  }
}

/**
 * Reads a whole regular file.
 * @param maxBytes  the file may have exactly so many, not one more
 * @throws          FileFault missing, unreadable, too-large, io
 */
export function readBounded(path: string, maxBytes: number): Uint8Array {
  return read(path, maxBytes, () => {});
}

/**
 * The same, with who may change the file.
 * @returns `anyone`: every user of this machine may write to it
 */
export function readGuarded(path: string, maxBytes: number): { readonly bytes: Uint8Array; readonly anyone: boolean } {
  let anyone = false;
  const bytes = read(path, maxBytes, ({ mode }) => {
    anyone = (mode & 0o002) !== 0;
  });
  return { bytes, anyone };
}

/**
 * Reads a file that holds a secret: only its owner may read it, and the owner is this user or root.
 * @throws FileFault too-open, and those of `readBounded`
 */
export function readPrivate(path: string, maxBytes: number): Uint8Array {
  return read(path, maxBytes, (stats) => requirePrivate(path, stats));
}

/** @throws FileFault too-open when another user could read the file or owns it */
function requirePrivate(path: string, stats: Stats): void {
  if ((stats.mode & 0o077) !== 0) {
    const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
    throw new FileFault('too-open', path, `mode ${mode} lets others at a secret; run \`chmod 600 ${path}\``);
  }
  const user = process.geteuid?.();
  if (user !== undefined && stats.uid !== user && stats.uid !== 0) {
    throw new FileFault(
      'too-open',
      path,
      `owned by uid ${stats.uid}, not by uid ${user}; run \`chown ${user} ${path}\``,
    );
  }
}

/**
 * Replaces a file: readers see the old bytes or the new ones, also after power loss.
 * @param mode  permission bits of the new file, whatever the umask
 * @throws      FileFault unwritable, full, io; the old file is untouched then
 */
export function writeAtomically(path: string, bytes: Uint8Array, mode: number): void {
  const fresh = `${path}.${process.pid}.new`;
  try {
    writeDurably(fresh, bytes, mode);
    renameSync(fresh, path);
    syncDirectory(dirname(path));
  } catch (error) {
    rmSync(fresh, { force: true });
    throw writeFault(path, error);
  }
}

/** Makes a directory for its owner alone, with its parents, unless it is there. @throws FileFault unwritable, full, io */
export function makePrivateDirectory(path: string): void {
  try {
    makeWithParents(resolve(path));
  } catch (error) {
    throw writeFault(path, error);
  }
}

/** Node's own recursion says ENOENT for every reason, and never ends where no directory can be made (/proc). */
export function makeWithParents(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  const parent = dirname(path);
  if (parent !== path) makeWithParents(parent);
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    const isThere = errnoOf(error) === 'EEXIST' && statSync(path).isDirectory();
    if (!isThere) throw error; // somebody else made it in the same moment
  }
}

/** Creates a file that must not exist and syncs it. Node's own errors pass through. */
export function writeDurably(path: string, bytes: Uint8Array, mode: number): void {
  rmSync(path, { force: true });
  const file = openSync(path, 'wx', mode);
  try {
    fchmodSync(file, mode);
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes created and renamed entries of a directory survive power loss. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** @returns the errno name of an error that Node's file functions threw, or null */
export function errnoOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

function read(path: string, maxBytes: number, check: (stats: Stats) => void): Uint8Array {
  let file: number | null = null;
  try {
    // without O_NONBLOCK a FIFO holds up the whole process until somebody writes to it
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // The open file is asked, not the path, which may point elsewhere by now.
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new FileFault('unreadable', path, 'not a regular file');
    check(stats);
    const buffer = new Uint8Array(Math.min(stats.size, maxBytes) + 1);
    let length = 0;
    for (;;) {
      const count = readSync(file, buffer, length, buffer.length - length, null);
      length += count;
      if (count === 0) return buffer.slice(0, length);
      if (length > maxBytes) throw new FileFault('too-large', path, `more than ${maxBytes} bytes`);
      if (length === buffer.length) throw new FileFault('io', path, 'grew while it was read; try again');
    }
  } catch (error) {
    throw readFault(path, error);
  } finally {
    if (file !== null) closeSync(file);
  }
}

/** @returns the typed fault for what Node threw while `path` was read */
export function readFault(path: string, error: unknown): Error {
  switch (errnoOf(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new FileFault('missing', path, 'no such file');
    case 'EACCES':
    case 'EPERM':
      return new FileFault('unreadable', path, 'this user may not read it');
    case 'EISDIR':
      return new FileFault('unreadable', path, 'a directory, not a file');
    case 'ENXIO':
    case 'ENODEV':
      return new FileFault('unreadable', path, 'not a regular file'); // a socket, or a device without a driver
    case null:
      return error instanceof Error ? error : new Error(String(error));
    default:
      return new FileFault('io', path, `cannot be read: ${errnoOf(error)}`);
  }
}

/** @returns the typed fault for what Node threw while `path` was written */
export function writeFault(path: string, error: unknown): Error {
  switch (errnoOf(error)) {
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new FileFault('unwritable', path, 'this user may not write here');
    case 'ENOENT':
    case 'ENOTDIR':
      return new FileFault('unwritable', path, 'its directory does not exist');
    case 'EISDIR':
      return new FileFault('unwritable', path, 'a directory is in the way');
    case 'EEXIST':
      return new FileFault('unwritable', path, 'a file is in the way');
    case 'ENOSPC':
    case 'EDQUOT':
      return new FileFault('full', path, 'the disk is full; free some space');
    case null:
      return error instanceof Error ? error : new Error(String(error));
    default:
      return new FileFault('io', path, `cannot be written: ${errnoOf(error)}`);
  }
}
