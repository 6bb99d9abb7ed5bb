/**
 * The store key: 32 random bytes in a file of their own, made at the first start.
 */
import { linkSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Crypto } from '../protocol/crypto.ts';
import { errnoOf, FileFault, readPrivate, syncDirectory, writeDurably, writeFault } from './files.ts';

const STORE_KEY_BYTES = 32;

/**
 * Reads the key, or makes it when there is none yet; of two processes that make it at once, both get the same.
 * @returns 32 bytes; the caller wipes them
 * @throws  FileFault: too-open when others may read the file or own it; io when it is not 32 bytes long; never overwrites
 */
export function loadOrCreateKeyFile(path: string, crypto: Pick<Crypto, 'random'>): Uint8Array {
  try {
    return load(path);
  } catch (error) {
    if (!(error instanceof FileFault && error.fault === 'missing')) throw error;
  }
  const key = crypto.random(STORE_KEY_BYTES);
  const fresh = `${path}.${process.pid}.new`;
  try {
    writeDurably(fresh, key, 0o600);
    linkSync(fresh, path);
    syncDirectory(dirname(path));
    return key;
  } catch (error) {
    key.fill(0);
    if (errnoOf(error) === 'EEXIST') return load(path);
    throw writeFault(path, error);
  } finally {
    rmSync(fresh, { force: true });
  }
}

function load(path: string): Uint8Array {
  const key = readPrivate(path, 4096);
  if (key.length !== STORE_KEY_BYTES) {
    const detail = `${key.length} bytes, a store key has ${STORE_KEY_BYTES}; put back the one the store was made with`;
    key.fill(0);
    throw new FileFault('io', path, detail);
  }
  return key;
}
