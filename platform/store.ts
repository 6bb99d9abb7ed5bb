/**
 * The store seam: small tables of bytes that survive power loss. Halves: `memoryStore` here, platform/store-lmdb.ts.
 */

export interface Change {
  readonly table: string;
  readonly key: string;
  /** null deletes */
  readonly value: Uint8Array | null;
}

export interface Store {
  /** @throws StoreError when the record was altered on disk */
  get(table: string, key: string): Uint8Array | null;
  /** All records of a table in key order. @throws StoreError on the first altered record */
  entries(table: string): Iterable<readonly [key: string, value: Uint8Array]>;
  /** All changes or none; resolved = they survive kill -9 and power loss. @throws StoreError when the disk refuses */
  commit(changes: readonly Change[]): Promise<void>;
  close(): Promise<void>;
}

export type StoreFault =
  | 'altered'
  | 'truncated'
  | 'in-use'
  | 'full'
  | 'unwritable'
  | 'wrong-key'
  | 'rolled-back'
  | 'io';

/** The remedy for every damage. */
export const RESTORE =
  'put back a backup (kagimori manager restore), or move the directory away and let the devices register again';

/** What went wrong with a data directory, and what the operator can do. */
export class StoreError extends Error {
  readonly fault: StoreFault;
  constructor(fault: StoreFault, detail: string) {
    super(detail);
    this.name = 'StoreError';
    this.fault = fault;
  }
}

export function memoryStore(): Store {
  const tables = new Map<string, Map<string, Uint8Array>>();
  const table = (name: string): Map<string, Uint8Array> => {
    let found = tables.get(name);
    if (found === undefined) {
      found = new Map();
      tables.set(name, found);
    }
    return found;
  };
  return {
    get: (name, key) => table(name).get(key) ?? null,
    entries: (name) => [...table(name)].sort(([a], [b]) => (a < b ? -1 : 1)),
    commit: async (changes) => {
      for (const { table: name, key, value } of changes) {
        if (value === null) table(name).delete(key);
        else table(name).set(key, new Uint8Array(value));
      }
    },
    close: async () => {},
  };
}
