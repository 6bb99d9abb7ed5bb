/**
 * The verifier keys that somebody pins, followed as their file changes: so a new key is pinned beside the old one before
 * it signs, and nobody has to be started again.
 */
import type { Crypto, PublicKey } from '../protocol/crypto.ts';
import { readPinnedKeys } from './certificate-file.ts';
import { watchFiles } from './file-watch.ts';
import { FileFault } from './files.ts';
import type { Log } from './log.ts';

export interface PinnedKeysWatch {
  close(): void;
}

/** @param take  is given the new keys; a file that is no good changes nothing, and is told to the log */
export function followPinnedKeys(
  path: string,
  crypto: Crypto,
  log: Log,
  take: (keys: readonly PublicKey[]) => void,
): PinnedKeysWatch {
  return watchFiles([path], () => {
    try {
      const keys = readPinnedKeys(path, crypto);
      take(keys);
      log.info('verifier-keys.in-force', { file: path, keys: keys.length });
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      log.warn('verifier-keys.refused', {
        reason: error.message,
        remedy: 'the keys before stay pinned: mend the file',
      });
    }
  });
}
