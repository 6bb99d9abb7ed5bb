/**
 * Backups of the manager as a command sees them: every record of the copy read and every secret opened, before a backup
 * gets its name and before a restore replaces anything.
 */
import { join } from 'node:path';
import { loadRegistry, unsealResumption } from '../manager/registry.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { makePrivateDirectory, readPrivate } from '../platform/files.ts';
import { lockProcess } from '../platform/process-lock.ts';
import {
  BackupError,
  commitRestore,
  completeBackup,
  dropPart,
  dropStaged,
  finishRestore,
  KEY_FILES,
  partOf,
  readBackup,
  stageRestore,
} from '../platform/store-backup.ts';
import { storeError } from '../platform/store-fault.ts';
import { openLmdbStore } from '../platform/store-lmdb.ts';
import { wipe } from '../protocol/bytes.ts';

export interface Counts {
  readonly devices: number;
  readonly registrations: number;
  readonly sessions: number;
}

const KEY_BYTES = 4096;
const now = (): number => Math.floor(Date.now() / 1000);

/** @returns what is in it @throws StoreError, BackupError, FileFault: there is no backup of that name then */
export async function finishBackup(
  to: string,
  dataDirectory: string,
  withKeys: boolean,
  manager: string,
): Promise<Counts & { readonly to: string; readonly transaction: number; readonly keys: boolean }> {
  try {
    const { transaction, ...counts } = await examine(partOf(to), dataDirectory);
    completeBackup(to, dataDirectory, withKeys, { madeAt: now(), manager, transaction }, nodeCrypto());
    return { to, transaction, keys: withKeys, ...counts };
  } catch (error) {
    dropPart(to);
    throw error;
  }
}

/** @throws BackupError; StoreError, in-use when the manager runs; FileFault: nothing was replaced then */
export async function restoreBackup(
  from: string,
  dataDirectory: string,
  { force, keysFrom }: { readonly force: boolean; readonly keysFrom: string | null },
): Promise<Counts & { readonly from: string; readonly backupAt: number; readonly kept: string | null }> {
  const note = readBackup(from, nodeCrypto());
  makePrivateDirectory(dataDirectory);
  const lock = lockedBy(dataDirectory);
  try {
    finishRestore(dataDirectory);
    const staged = stageRestore(from, note, dataDirectory, force, keysFrom);
    const { transaction, ...counts } = await examine(staged, staged);
    if (transaction !== note.transaction) {
      throw new BackupError('damaged', `${from}: another commit is in it than its note says: take another backup`);
    }
    const kept = commitRestore(dataDirectory, { backupAt: note.madeAt, restoredAt: now() });
    return { from, backupAt: note.madeAt, kept, ...counts };
  } catch (error) {
    dropStaged(dataDirectory);
    throw error;
  } finally {
    lock.release();
  }
}

function lockedBy(dataDirectory: string) {
  try {
    return lockProcess(join(dataDirectory, 'store.lock'));
  } catch (error) {
    throw storeError(dataDirectory, error);
  }
}

/** Opens a store, which checks it, reads every record of it, and opens every secret. */
async function examine(directory: string, keys: string): Promise<Counts & { readonly transaction: number }> {
  const crypto = nodeCrypto();
  const [storeKey, sealingKey] = KEY_FILES.map((name) => readPrivate(join(keys, name), KEY_BYTES));
  const store = await openLmdbStore({ directory, key: storeKey!, crypto });
  try {
    const { devices, registrations, resumption, sessions } = loadRegistry(store);
    for (const [id, sealed] of resumption) {
      const held = unsealResumption(crypto, sealingKey!, id, sealed);
      if (held === null) {
        throw new BackupError(
          'damaged',
          `sealing.key does not open the secret of ${id}: it is not the key of this store`,
        );
      }
      wipe(held.secret);
    }
    return {
      devices: devices.size,
      registrations: registrations.size,
      sessions: sessions.size,
      transaction: store.status().transaction,
    };
  } finally {
    await store.close();
    wipe(storeKey!);
    wipe(sealingKey!);
  }
}
