/**
 * Keys that count for nothing any more: of devices that were reset or went to another owner. A certificate over such a key
 * lets nobody in, and none is issued over it.
 */
import type { Change, Store } from '../platform/store.ts';
import { message, required, text, uint, type Value } from '../protocol/schema.ts';
import type { DeviceId, EpochSeconds } from '../protocol/units.ts';

export const VOID_TABLE = { void: 'void' } as const;

const VoidRecord = message('VoidRecord', null, 'a key that is void; its key is the SHA-256 of the SPKI in hex', {
  device: required(1, text<DeviceId>(1, 64), 'whose it was'),
  since: required(2, uint(0, 0xffff_ffff), 'when it was reset or transferred'),
});
export type VoidRecord = Value<typeof VoidRecord>;

/** @throws StoreError altered; ProtocolError malformed for a record of another version */
export const loadVoid = (store: Store): Map<string, VoidRecord> =>
  new Map([...store.entries(VOID_TABLE.void)].map(([key, value]) => [key, VoidRecord.decode(value)]));

export const voidChange = (key: string, device: DeviceId, since: EpochSeconds): Change => ({
  table: VOID_TABLE.void,
  key,
  value: VoidRecord.encode({ device, since }),
});

/** A device on its way out. */
export interface Voiding {
  readonly device: DeviceId;
  /** SHA-256 of the SPKI of its certificate, in hex. */
  readonly key: string;
  /** Everything that becomes of it on disk. */
  readonly changes: readonly Change[];
  readonly since: EpochSeconds;
}

export interface VoidDesk {
  /** By SHA-256 of the SPKI, in hex. */
  readonly keys: Map<string, VoidRecord>;
  /** Being written: nothing of them is heard meanwhile. */
  readonly underWay: Map<DeviceId, Voiding>;
  /** In force here, and refused by the disk: written again until they are on it. By key. */
  readonly unwritten: Map<string, Voiding>;
}

export const newVoidDesk = (keys: Map<string, VoidRecord>): VoidDesk => ({
  keys,
  underWay: new Map(),
  unwritten: new Map(),
});
