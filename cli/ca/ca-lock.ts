/**
 * One command at a time changes a CA: two that read the index at once would lose what the first one booked.
 */
import { join } from 'node:path';
import { writeFault } from '../../platform/files.ts';
import { LockHeld, lockProcess, type ProcessLock } from '../../platform/process-lock.ts';
import { CaError } from './ca-error.ts';

const PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 20;

/** @throws CaError in-use; FileFault; what `act` throws */
export function withLock<T>(dir: string, act: () => T): T {
  const lock = takeLock(dir, Date.now() + PATIENCE_MS);
  try {
    return act();
  } finally {
    lock.release();
  }
}

function takeLock(dir: string, giveUpAt: number): ProcessLock {
  const path = join(dir, 'index.lock');
  for (;;) {
    try {
      return lockProcess(path);
    } catch (error) {
      if (!(error instanceof LockHeld)) throw writeFault(path, error);
      if (Date.now() > giveUpAt) {
        throw new CaError(
          'in-use',
          `${dir} is in use by process ${error.pid}: nothing was done; try again when it has ended`,
        );
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_EVERY_MS);
    }
  }
}
