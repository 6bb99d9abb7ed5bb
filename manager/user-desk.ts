/**
 * Who is where: the users at devices, each by the certificate on the medium that is in (P21). A certificate counts at one
 * device at a time; a user may have several of them.
 */
import type { Channel } from '../protocol/channel.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId, Millis } from '../protocol/units.ts';
import { noRefusals, type Refusals } from './refusals.ts';
import type { UserRecord } from './registry.ts';

/** A user whose signature was good, until the verifier has judged and the place is free. */
export interface PendingUser {
  readonly device: DeviceId;
  readonly requestId: Uint8Array;
  /** What was signed counts on this one alone. */
  readonly channel: Channel;
  readonly user: string;
  readonly chain: readonly Uint8Array[];
  /** SHA-256 of the leaf, in hex. */
  readonly leaf: string;
  /** Where the medium was, and is not any more. */
  readonly left: DeviceId | null;
}

/** A Connect that waits for a user who is nowhere. */
export interface ParkedCall {
  readonly caller: DeviceId;
  readonly user: string;
  readonly connect: MessageOf<'Connect'>;
  readonly until: Millis;
}

export interface UserDesk {
  /** By SHA-256 of the certificate in hex; who came last stands last. */
  readonly at: Map<string, UserRecord>;
  readonly byDevice: Map<DeviceId, Set<string>>;
  readonly byUser: Map<string, Set<string>>;
  /** Those whose signature over the present channel of their device was seen. */
  readonly proven: Set<string>;
  /** Of those who were proven before and are not now: since when. */
  readonly unprovenSince: Map<string, Millis>;
  /** Requests under way, by device and request id. */
  readonly pending: Map<string, PendingUser>;
  /** How often devices asked in the second under way. */
  readonly requests: Refusals;
  /** Connects that wait for a user, by caller and nonce. */
  readonly parked: Map<string, ParkedCall>;
}

export function newUserDesk(stored: ReadonlyMap<string, UserRecord>, now: Millis): UserDesk {
  const desk: UserDesk = {
    at: new Map(),
    byDevice: new Map(),
    byUser: new Map(),
    proven: new Set(),
    unprovenSince: new Map(),
    pending: new Map(),
    requests: noRefusals(now),
    parked: new Map(),
  };
  const inOrder = [...stored].sort(([, a], [, b]) => a.since - b.since);
  for (const [leaf, record] of inOrder) placeUser(desk, leaf, record);
  return desk;
}

/** Who is placed where he was keeps his turn. */
export function placeUser(desk: UserDesk, leaf: string, record: UserRecord): void {
  const before = desk.at.get(leaf);
  if (before !== undefined && before.device !== record.device) unplaceUser(desk, leaf);
  desk.at.set(leaf, record);
  addTo(desk.byDevice, record.device, leaf);
  addTo(desk.byUser, record.user, leaf);
}

export function unplaceUser(desk: UserDesk, leaf: string): void {
  const record = desk.at.get(leaf);
  if (record === undefined) return;
  desk.at.delete(leaf);
  desk.proven.delete(leaf);
  desk.unprovenSince.delete(leaf);
  takeFrom(desk.byDevice, record.device, leaf);
  takeFrom(desk.byUser, record.user, leaf);
}

function addTo<K>(index: Map<K, Set<string>>, key: K, leaf: string): void {
  const found = index.get(key);
  if (found === undefined) index.set(key, new Set([leaf]));
  else found.add(leaf);
}

function takeFrom<K>(index: Map<K, Set<string>>, key: K, leaf: string): void {
  const found = index.get(key);
  found?.delete(leaf);
  if (found?.size === 0) index.delete(key);
}

/** A user at a device. */
export interface UserPlace {
  readonly leaf: string;
  readonly record: UserRecord;
}

const placesOf = (desk: UserDesk, leaves: Iterable<string>): UserPlace[] =>
  [...leaves].map((leaf) => ({ leaf, record: desk.at.get(leaf)! }));

/** One place a device, whichever of the user's certificates came there last; the most recent first. */
export function placesOfUser(desk: UserDesk, user: string): UserPlace[] {
  const places = placesOf(desk, desk.byUser.get(user) ?? []).reverse();
  // in the order of the index by user; certificates that moved were taken out and put in again
  const seen = new Set<DeviceId>();
  return places.filter(({ record }) => !seen.has(record.device) && seen.add(record.device));
}

/** The most recent first. */
export const usersAt = (desk: UserDesk, device: DeviceId): UserPlace[] =>
  placesOf(desk, desk.byDevice.get(device) ?? []).reverse();

/** Who is at the device, the most recent of several; null: nobody. */
export const userAt = (desk: UserDesk, device: DeviceId): string | null =>
  usersAt(desk, device)[0]?.record.user ?? null;

/** Whether this user is there now, by this very certificate. */
export const isAt = (desk: Pick<UserDesk, 'at'>, leaf: string, user: string, device: DeviceId): boolean => {
  const record = desk.at.get(leaf);
  return record !== undefined && record.device === device && record.user === user;
};
