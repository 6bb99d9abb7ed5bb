/**
 * Stands between a socket and Aedes: checks announced packet sizes on the way in and stops reading where a link has said
 * more than it may for now, and keeps one slow reader from holding up anybody else on the way out. It replaces `read` and
 * `write` of that one socket, for a Duplex in between would cost two more stream hops per message.
 */
import type { Duplex } from 'node:stream';
import type { Allowance, PacketFault, PacketMeter } from './packet-limit.ts';

export interface Backlog {
  /** Above this many waiting bytes nothing that can be left out should be written. */
  bytes: number;
  /** A reader that takes nothing for so long is closed. */
  readonly drainTimeoutMs: number;
}

/** What a link may say, and when; TCP then holds back its sender. */
export interface Flow {
  /** @returns what may pass now, or the milliseconds to wait; infinite when `Guard.wake` will come */
  allow(): Allowance | number;
  /** Told what has passed. */
  took(meter: PacketMeter): void;
}

export interface Guard {
  /** Asks `Flow.allow` again, now. */
  wake(): void;
}

/** The socket is closed when this many times `Backlog.bytes` wait. */
const CLOSE_FACTOR = 4;

export type GuardFault = PacketFault | 'slow-reader' | 'stalled-reader';

/** @param fault  told once, just before the socket is destroyed */
export function guard(
  socket: Duplex,
  meter: PacketMeter,
  flow: Flow,
  backlog: Backlog,
  fault: (fault: GuardFault) => void,
): Guard {
  const refuse = (reason: GuardFault) => {
    if (socket.destroyed) return;
    fault(reason);
    socket.destroy();
  };

  const read = socket.read.bind(socket);
  /** Read from the socket, not passed on yet. */
  let held: Buffer | null = null;
  /** While reading rests: what ends the timer of it. */
  let resting: (() => void) | null = null;
  const rise = () => {
    resting = null;
    if (!socket.destroyed) socket.emit('readable');
  };
  const rest = (ms: number) => {
    resting = () => {};
    if (ms === Number.POSITIVE_INFINITY) return;
    if (ms === 0) {
      const next = setImmediate(rise);
      resting = () => clearImmediate(next);
    } else {
      const later = setTimeout(rise, Math.ceil(ms));
      resting = () => clearTimeout(later);
    }
  };
  socket.read = (size?: number) => {
    if (resting !== null) return null;
    const chunk: Buffer | null = held ?? read(size);
    if (chunk === null) return null;
    held = null;
    const allowance = flow.allow();
    if (typeof allowance === 'number') {
      held = chunk;
      rest(allowance);
      return null;
    }
    const found = meter.pass(chunk, allowance);
    if (found !== null) {
      refuse(found);
      return null;
    }
    const { bytes } = meter.passed;
    flow.took(meter);
    if (bytes === chunk.length) return chunk;
    // The others get their turn of the event loop before this link's next packets.
    held = chunk.subarray(bytes);
    rest(0);
    return bytes === 0 ? null : chunk.subarray(0, bytes);
  };

  const write = socket.write.bind(socket) as (...args: readonly unknown[]) => boolean;
  let stall: NodeJS.Timeout | null = null;
  const clear = () => {
    if (stall !== null) clearTimeout(stall);
    stall = null;
  };
  socket.once('close', () => {
    clear();
    resting?.();
    held = null;
  });
  // Always true: told to wait, Aedes makes the sender of a message wait for its slowest reader.
  socket.write = ((...args: readonly unknown[]) => {
    if (write(...args)) return true;
    if (socket.writableLength > CLOSE_FACTOR * backlog.bytes) refuse('slow-reader');
    else if (stall === null) {
      stall = setTimeout(refuse, backlog.drainTimeoutMs, 'stalled-reader');
      socket.once('drain', clear);
    }
    return true;
  }) as typeof socket.write;

  return {
    wake() {
      if (resting === null) return;
      resting();
      rise();
    },
  };
}
