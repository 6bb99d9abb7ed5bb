/**
 * CPU of making a granted session durable, for each half of the store seam: the whole process is counted, since LMDB
 * writes in a thread of its own.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TABLES } from '../manager/registry.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { memoryStore, type Store } from '../platform/store.ts';
import { openLmdbStore } from '../platform/store-lmdb.ts';

/** What a session's record has, about. */
const RECORD_BYTES = 80;

export interface StoreCost {
  /** @returns µs of CPU for one commit, when `together` of them wait at once */
  measure(commits: number, together: number): Promise<number>;
  close(): Promise<void>;
}

export const memoryCost = (): StoreCost => costOf(memoryStore(), () => {});

export async function lmdbCost(): Promise<StoreCost> {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-bench-'));
  const crypto = nodeCrypto();
  const store = await openLmdbStore({ directory: join(directory, 'store'), key: crypto.random(32), crypto });
  return costOf(store, () => rmSync(directory, { recursive: true, force: true }));
}

function costOf(store: Store, after: () => void): StoreCost {
  let next = 0;
  const commit = (value: Uint8Array | null, key: number): Promise<void> =>
    store.commit([{ table: TABLES.sessions, key: key.toString(16).padStart(16, '0'), value }]);
  return {
    async measure(commits, together) {
      let micros = 0;
      for (let done = 0; done < commits; done += together) {
        const keys = Array.from({ length: together }, () => next++);
        const before = process.cpuUsage();
        await Promise.all(keys.map((key) => commit(new Uint8Array(RECORD_BYTES), key)));
        const { user, system } = process.cpuUsage(before);
        micros += user + system;
        await Promise.all(keys.map((key) => commit(null, key)));
      }
      return micros / commits;
    },
    async close() {
      await store.close();
      after();
    },
  };
}
