/**
 * The manager's data directory as `manager run` opens it: keys, store, witness; and what operators do with it while it
 * runs.
 */
import { existsSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import type { ManagerConfig } from '../../manager/config.ts';
import type { StoreHistory } from '../../manager/rollback-record.ts';
import { ControlError, type ControlHandler, type JsonValue } from '../../platform/control-socket.ts';
import { makePrivateDirectory } from '../../platform/files.ts';
import type { Log } from '../../platform/log.ts';
import {
  BackupError,
  copyStore,
  dropRestoredMark,
  finishRestore,
  KEY_FILES,
  type RestoredMark,
  readRestoredMark,
  STORE_FILE,
} from '../../platform/store-backup.ts';
import { loadOrCreateKeyFile } from '../../platform/store-key.ts';
import { type LmdbStore, openLmdbStore } from '../../platform/store-lmdb.ts';
import { checkWitness, readWitness, writeWitness } from '../../platform/store-witness.ts';
import { wipe } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { EpochSeconds } from '../../protocol/units.ts';

export interface OpenedStore {
  readonly store: LmdbStore;
  readonly sealingKey: Uint8Array;
  readonly history: StoreHistory;
  close(): Promise<void>;
}

const WITNESS_EVERY_MS = 5 * 60_000;

/** @throws FileFault, StoreError: rolled-back when the witness knows better and `acceptRollback` is not set */
export async function openManagerStore(
  { dataDirectory, witnessFile }: Pick<ManagerConfig, 'dataDirectory' | 'witnessFile'>,
  acceptRollback: boolean,
  crypto: Crypto,
  log: Log,
): Promise<OpenedStore> {
  makePrivateDirectory(dataDirectory);
  finishRestore(dataDirectory);
  const at = (name: string): string => join(dataDirectory, name);
  const orphaned = existsSync(at(KEY_FILES[0])) && !existsSync(at(STORE_FILE));
  const [storeKey, sealingKey] = [at(KEY_FILES[0]), at(KEY_FILES[1])].map((path) => loadOrCreateKeyFile(path, crypto));
  // Also the lock against a second manager on the same directory.
  const store = await openLmdbStore({ directory: dataDirectory, key: storeKey!, crypto });
  wipe(storeKey!);
  try {
    if (orphaned) {
      const remedy = 'if you did not remove it, put back a backup: kagimori manager restore';
      log.warn('store.made-anew', { path: at(STORE_FILE), detail: 'its keys were there, the store was not', remedy });
    }
    const { savedAt, transaction } = store.status();
    const mark = readRestoredMark(dataDirectory);
    const stopWitness = startWitness(witnessFile, acceptRollback, mark, at(STORE_FILE), store, transaction, log);
    const history: StoreHistory = {
      storedUntil: savedAt === null ? null : EpochSeconds(savedAt),
      restored:
        mark === null ? null : { backupAt: EpochSeconds(mark.backupAt), restoredAt: EpochSeconds(mark.restoredAt) },
    };
    const close = async (): Promise<void> => {
      await store.close();
      stopWitness();
      wipe(sealingKey!);
    };
    return { store, sealingKey: sealingKey!, history, close };
  } catch (error) {
    await store.close();
    wipe(sealingKey!);
    throw error;
  }
}

/** @returns what ends it, with a last word */
function startWitness(
  path: string | undefined,
  acceptRollback: boolean,
  mark: RestoredMark | null,
  storePath: string,
  store: LmdbStore,
  transaction: number,
  log: Log,
): () => void {
  if (path === undefined) return () => {};
  if (!acceptRollback) {
    const witnessed = readWitness(path);
    // an older store by our own command is no surprise
    const known = witnessed !== null && mark !== null && mark.restoredAt >= witnessed.at;
    if (!known) checkWitness(path, witnessed, transaction, storePath);
  }
  const tell = (): void => {
    const detail = writeWitness(path, { transaction: store.status().transaction, at: Math.floor(Date.now() / 1000) });
    if (detail !== null) log.warn('witness.not-written', { detail });
  };
  tell();
  const timer = setInterval(tell, WITNESS_EVERY_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    tell();
  };
}

/** The manager's own control, with what concerns its store. */
export function withStore(
  control: Readonly<Record<string, ControlHandler>>,
  store: LmdbStore,
  { name, dataDirectory }: Pick<ManagerConfig, 'name' | 'dataDirectory'>,
  log: Log,
): Readonly<Record<string, ControlHandler>> {
  const asked = (command: string): ControlHandler => {
    const handler = control[command];
    if (handler === undefined) throw new RangeError(`the manager answers no ${command}`);
    return handler;
  };
  return {
    ...control,
    status: async (...given) => ({ ...((await asked('status')(...given)) as object), store: statusOf(store) }),
    'store.acknowledge': async (...given) => {
      const known = await asked('store.acknowledge')(...given);
      dropRestoredMark(dataDirectory);
      return known;
    },
    'store.backup': async (args) => {
      const to = args !== null && typeof args === 'object' && 'to' in args ? args.to : null;
      if (typeof to !== 'string' || !isAbsolute(to)) throw new ControlError('usage', 'to: a whole path is missing');
      try {
        await copyStore(to, store.copyTo);
      } catch (error) {
        if (error instanceof BackupError) throw new ControlError(error.code, error.message);
        throw error;
      }
      log.info('store.copied', { to });
      return { manager: name, to };
    },
  };
}

function statusOf(store: LmdbStore): { readonly [key: string]: JsonValue } {
  const { fault, detail, since, refused, transaction, savedAt } = store.status();
  const iso = (milliseconds: number | null): string | null =>
    milliseconds === null ? null : new Date(milliseconds).toISOString();
  return {
    state: fault ?? 'good',
    ...(fault === null ? {} : { detail, since: iso(since), refusedCommits: refused }),
    commits: transaction,
    lastCommit: iso(savedAt === null ? null : savedAt * 1000),
  };
}
