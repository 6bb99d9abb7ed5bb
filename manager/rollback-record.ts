/**
 * What the manager keeps of a store that turned out to be older than it was: one record, until an operator has seen it.
 */
import type { Change, Store } from '../platform/store.ts';
import { message, optional, required, text, uint, type Value } from '../protocol/schema.ts';
import type { DeviceId, EpochSeconds, Millis } from '../protocol/units.ts';

const TABLE = 'notices';
const KEY = 'rolled-back';
const epochSeconds = uint(0, 0xffff_ffff);

const RollbackRecord = message('RollbackRecord', null, 'a device has proven that the store is an older copy', {
  noticedAt: required(1, epochSeconds, 'when the first device proved it'),
  device: required(2, text<DeviceId>(1, 64), 'that device'),
  held: required(3, uint(0, 64), 'generation of its secret in the store'),
  shown: required(4, uint(0, 64), 'generation under which it came'),
  storedUntil: optional(5, epochSeconds, 'last commit of the copy before it was opened'),
});
export type RollbackRecord = Value<typeof RollbackRecord>;

/** Of the store at the start of this process. */
export interface StoreHistory {
  /** Its last commit before. */
  readonly storedUntil: EpochSeconds | null;
  /** Put there by `kagimori manager restore`. */
  readonly restored: Restored | null;
}

export interface Restored {
  /** When the backup was made. */
  readonly backupAt: EpochSeconds;
  readonly restoredAt: EpochSeconds;
}

export interface RollbackWatch {
  history: StoreHistory;
  notice: RollbackRecord | null;
  /** Who came under a later secret than the store holds, in this process. */
  readonly ahead: Set<DeviceId>;
  /** Seen by an operator: what else proves the same is not told again. */
  acknowledged: boolean;
  /** Far derivations in vain, and since when they are counted. */
  inVain: { readonly since: Millis; readonly count: number };
}

export const newRollbackWatch = (now: Millis): RollbackWatch => ({
  history: { storedUntil: null, restored: null },
  notice: null,
  ahead: new Set(),
  acknowledged: false,
  inVain: { since: now, count: 0 },
});

export const rollbackChange = (record: RollbackRecord | null): Change => ({
  table: TABLE,
  key: KEY,
  value: record === null ? null : RollbackRecord.encode(record),
});

/** @throws StoreError altered; ProtocolError malformed for a record of another version */
export function loadRollback(store: Store): RollbackRecord | null {
  const bytes = store.get(TABLE, KEY);
  return bytes === null ? null : RollbackRecord.decode(bytes.slice());
}
