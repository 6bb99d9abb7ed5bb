/**
 * Where the messages of links that have not logged in wait for the manager: so many in a second for all of them, given
 * out in turns, first among addresses, then among the links of one. Who floods waits behind himself. [5.6 handshake
 * floods]
 */
import type { Millis } from '../protocol/units.ts';
import { type Bucket, fullBucket, look, takeOne, waitForOne } from './token-bucket.ts';

export interface WaitingRoom<L> {
  readonly perSecond: number;
  readonly bucket: Bucket;
  /** Who waits, by address; the order of both is the order of the turns. */
  readonly queues: Map<string, Set<L>>;
}

export function waitingRoom<L>(perSecond: number, now: Millis): WaitingRoom<L> {
  return { perSecond, bucket: fullBucket(perSecond, now), queues: new Map() };
}

/** @returns true when nobody waits and there is room: a message may pass at once. Else the link should enter. */
export function passTurn<L>(room: WaitingRoom<L>, now: Millis): boolean {
  return room.queues.size === 0 && takeOne(room.bucket, room.perSecond, now);
}

/** The link waits from now on, and is named by `nextTurns`. */
export function enterRoom<L>({ queues }: WaitingRoom<L>, link: L, address: string): void {
  const queue = queues.get(address);
  if (queue === undefined) queues.set(address, new Set([link]));
  else queue.add(link);
}

/** @returns the links whose turn has come, at most so many; they wait no longer */
export function nextTurns<L>(room: WaitingRoom<L>, now: Millis, most: number = Number.POSITIVE_INFINITY): L[] {
  const turns: L[] = [];
  look(room.bucket, room.perSecond, now);
  for (const [address, queue] of room.queues) {
    if (room.bucket.tokens < 1 || turns.length >= most) break;
    for (const link of queue) {
      room.bucket.tokens--;
      turns.push(link);
      queue.delete(link);
      break;
    }
    // the map's iterator comes to what is put at its end
    room.queues.delete(address);
    if (queue.size > 0) room.queues.set(address, queue);
  }
  return turns;
}

/** @returns milliseconds to the next turn; null when nobody waits */
export function untilNextTurn<L>({ queues, bucket, perSecond }: WaitingRoom<L>): number | null {
  return queues.size === 0 ? null : waitForOne(bucket, perSecond);
}

/** The link is logged in, or gone. */
export function leaveRoom<L>({ queues }: WaitingRoom<L>, link: L, address: string): void {
  const queue = queues.get(address);
  if (queue?.delete(link) === true && queue.size === 0) queues.delete(address);
}
