/**
 * Files that hold a secret of one machine, erased: overwritten, synced, removed. A flash disk or a journal may keep copies
 * out of reach; an end to that is only a disk that is encrypted as a whole.
 */
import { closeSync, constants, fstatSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { errnoOf, syncDirectory, writeFault } from '../../platform/files.ts';

const CHUNK_BYTES = 64 * 1024;

/** @returns false when there is no such file @throws FileFault */
export function eraseFile(path: string): boolean {
  try {
    overwrite(path);
    rmSync(path);
    syncDirectory(dirname(path));
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return false;
    throw writeFault(path, error);
  }
}

/** A regular file of one name alone: through a link the bytes of somebody else would go. */
function overwrite(path: string): void {
  let file: number;
  try {
    file = openSync(path, constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    // a link, a socket: there is nothing of ours to overwrite behind it
    if (['ELOOP', 'ENXIO', 'EACCES'].includes(errnoOf(error) ?? '')) return;
    throw error;
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile() || stats.nlink > 1) return;
    const { random } = nodeCrypto();
    for (let at = 0; at < stats.size; ) {
      at += writeSync(file, random(Math.min(CHUNK_BYTES, stats.size - at)), 0, null, at);
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
