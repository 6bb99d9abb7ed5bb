/**
 * What one link may say for now: packets, messages to manager or verifier, bytes. Whoever says more is not read any
 * further until there is room; nothing of it is lost, TCP holds back its sender. Services are not held back.
 */
import type { Millis } from '../protocol/units.ts';
import type { Limits } from './limits.ts';
import type { Allowance, PacketMeter } from './packet-limit.ts';
import { type Bucket, fullBucket, look, waitForOne } from './token-bucket.ts';

export interface NewFlow {
  readonly kind: 'new';
  readonly packets: Bucket;
  /** Whether it has its turn in the waiting room (broker/waiting-room.ts) for one message. */
  turn: 'none' | 'waiting' | 'come';
}

export interface DeviceFlow {
  readonly kind: 'device';
  readonly packets: Bucket;
  readonly toManager: Bucket;
  readonly bytes: Bucket;
}

export type LinkFlow = NewFlow | DeviceFlow | { readonly kind: 'service' };

/** Reading waits, because of this limit. `waitMs` is infinite when a turn will come. */
export interface Held {
  readonly waitMs: number;
  readonly limit: keyof Limits;
}

export const SERVICE_FLOW: LinkFlow = { kind: 'service' };
const UNLIMITED: Allowance = { packets: Number.POSITIVE_INFINITY, publishes: Number.POSITIVE_INFINITY };

export function newFlow(limits: Limits, now: Millis): NewFlow {
  return { kind: 'new', packets: fullBucket(limits.messagesBeforeLogin, now), turn: 'none' };
}

export function deviceFlow(limits: Limits, now: Millis): DeviceFlow {
  return {
    kind: 'device',
    packets: fullBucket(limits.messagesPerSecond, now),
    toManager: fullBucket(limits.toManagerPerSecond, now),
    bytes: fullBucket(limits.bytesPerSecond, now),
  };
}

export function allowed(flow: LinkFlow, limits: Limits, now: Millis): Allowance | Held {
  switch (flow.kind) {
    case 'service':
      return UNLIMITED;
    case 'new': {
      if (flow.turn === 'waiting') return { waitMs: Number.POSITIVE_INFINITY, limit: 'loginMessagesPerSecond' };
      const packets = Math.floor(look(flow.packets, limits.messagesBeforeLogin, now));
      if (packets < 1) {
        return { waitMs: waitForOne(flow.packets, limits.messagesBeforeLogin), limit: 'messagesBeforeLogin' };
      }
      return { packets: Math.min(packets, limits.inFlight), publishes: flow.turn === 'come' ? 1 : 0 };
    }
    case 'device': {
      let packets = limits.inFlight;
      const rates = [
        [flow.packets, 'messagesPerSecond'],
        [flow.toManager, 'toManagerPerSecond'],
        [flow.bytes, 'bytesPerSecond'],
      ] as const;
      for (const [bucket, limit] of rates) {
        const tokens = Math.floor(look(bucket, limits[limit], now));
        if (tokens < 1) return { waitMs: waitForOne(bucket, limits[limit]), limit };
        packets = Math.min(packets, tokens);
      }
      return { packets, publishes: packets };
    }
    default:
      return flow satisfies never;
  }
}

/** Pays for what has passed. @returns true when a link that has not logged in wants a turn for its next message */
export function took(flow: LinkFlow, { packets, publishes, bytes, stoppedBy }: PacketMeter['passed']): boolean {
  if (flow.kind === 'service') return false;
  flow.packets.tokens -= packets;
  if (flow.kind === 'device') {
    flow.bytes.tokens -= bytes;
    return false;
  }
  if (publishes > 0) flow.turn = 'none';
  return stoppedBy === 'publishes';
}

/** The message was one to manager or verifier. */
export function tookToManager(flow: LinkFlow): void {
  if (flow.kind === 'device') flow.toManager.tokens--;
}
