/**
 * Reading and bending what passes in a town: packets by the first byte of their frame.
 */
import { decodeMemory, encodeMemory } from '../../device-agent/memory.ts';
import { TABLES } from '../../manager/registry.ts';
import type { Meddler, Packet, Town, TownDevice } from '../town-plan.ts';

export const E0 = 0xe0;
export const E1 = 0xe1;
export const E2 = 0xe2;
export const E3 = 0xe3;
export const E4 = 0xe4;
export const D0 = 0xd0;
export const D1 = 0xd1;
export const D2 = 0xd2;
export const RECORD = 0;
export type Kind = number;

const CHANNEL_TOPIC = /^km1\/[md]\//;

/** The first byte of a frame between device and manager, 0 for a record, null for a packet of another kind. */
export function kindOf({ topic, payload }: Packet): Kind | null {
  const first = payload[0];
  if (!CHANNEL_TOPIC.test(topic) || first === undefined) return null;
  return first < 0x80 ? RECORD : first;
}

/** What passed between the devices and the manager, by kind, from a place in the list on. */
export const kindsSince = (t: Town, from = 0): (Kind | null)[] =>
  t.packets
    .slice(from)
    .map(kindOf)
    .filter((kind) => kind !== null);

export const packetsOf = (t: Town, kind: Kind, from = 0): Packet[] =>
  t.packets.slice(from).filter((packet) => kindOf(packet) === kind);

/** Does something to the nth packet of a kind, counted from now on; the others pass. */
export function toNth(kind: Kind, nth: number, change: (packet: Packet) => readonly Uint8Array[]): Meddler {
  let seen = 0;
  return (packet) => (kindOf(packet) === kind && ++seen === nth ? change(packet) : 'pass');
}

/** Bends every packet of a kind. */
export const toEvery =
  (kind: Kind, change: (packet: Packet) => readonly Uint8Array[]): Meddler =>
  (packet) =>
    kindOf(packet) === kind ? change(packet) : 'pass';

export const dropped = (): readonly Uint8Array[] => [];
export const doubled = ({ payload }: Packet): readonly Uint8Array[] => [payload, payload];

export function flipped(payload: Uint8Array, at: number, bit = 0): Uint8Array {
  const copy = payload.slice();
  copy[at]! ^= 1 << bit;
  return copy;
}

/** Both sides have the same channel, and it works: what the device says opens at the manager. */
export function isIn(t: Town, device: TownDevice): boolean {
  const there = t.manager.channels.get(device.id);
  const here = device.state.channel;
  return there !== undefined && here !== null && there.how === here.opening.opened && there.by === here.opening.by;
}

/** The secret of the resumption chain is lost on the device's disk. */
export function forgetSecret(device: TownDevice): void {
  if (device.memory === null) return;
  device.memory = encodeMemory({ ...decodeMemory(device.memory), secret: null });
}

/** The manager's whole store is lost. */
export function loseStore(t: Town): void {
  for (const table of Object.values(TABLES)) {
    const changes = [...t.store.entries(table)].map(([key]) => ({ table, key, value: null }));
    void t.store.commit(changes);
  }
}
