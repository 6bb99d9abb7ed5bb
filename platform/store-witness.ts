/**
 * A witness of how far the store has come, in a file that is not part of the data directory: on another disk, say. It
 * holds the number of the last commit that it heard of. A store that has fewer was replaced by an older copy.
 */
import { existsSync } from 'node:fs';
import { FileFault, readBounded, writeAtomically } from './files.ts';
import { StoreError } from './store.ts';

export interface Witnessed {
  readonly transaction: number;
  /** Seconds since 1970. */
  readonly at: number;
}

const MAX_BYTES = 1024;

/** @returns null when there is no such file yet @throws FileFault; StoreError 'rolled-back' when it cannot be understood */
export function readWitness(path: string): Witnessed | null {
  if (!existsSync(path)) return null;
  const [, transaction, at] =
    /^(\d{1,15}) (\d{1,12})\n$/.exec(new TextDecoder().decode(readBounded(path, MAX_BYTES))) ?? [];
  if (transaction === undefined || at === undefined) {
    const remedy = 'if that is well known, remove the file, or start with --accept-rollback';
    throw new StoreError('rolled-back', `${path} says nothing of the store any more: ${remedy}`);
  }
  return { transaction: Number(transaction), at: Number(at) };
}

/** @throws StoreError 'rolled-back' when the witness knows of a later commit than the store has */
export function checkWitness(path: string, witnessed: Witnessed | null, transaction: number, store: string): void {
  if (witnessed === null || transaction >= witnessed.transaction) return;
  const when = new Date(witnessed.at * 1000).toISOString();
  throw new StoreError(
    'rolled-back',
    `${store} is an older copy: its last commit is number ${transaction}, ${path} knows of number ${witnessed.transaction} ` +
      `(${when}): put the newer one back, or start with --accept-rollback`,
  );
}

/** @returns null, or why it could not be written: that must not stop the manager */
export function writeWitness(path: string, witnessed: Witnessed): string | null {
  try {
    writeAtomically(path, new TextEncoder().encode(`${witnessed.transaction} ${witnessed.at}\n`), 0o600);
    return null;
  } catch (error) {
    if (error instanceof FileFault) return error.message;
    throw error;
  }
}
