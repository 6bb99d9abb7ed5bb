/**
 * Stands between a socket and Aedes: checks announced packet sizes on the way in, and keeps one slow reader from holding
 * up anybody else on the way out. It replaces `read` and `write` of that one socket, for a Duplex in between would cost
 * two more stream hops per message.
 */
import type { Socket } from 'node:net';
import type { PacketFault, PacketMeter } from './packet-limit.ts';

export interface Backlog {
  /** Above this many waiting bytes nothing that can be left out should be written. */
  readonly bytes: number;
  /** A reader that takes nothing for so long is closed. */
  readonly stallTimeoutMs: number;
}

/** The socket is closed when this many times `Backlog.bytes` wait. */
const CLOSE_FACTOR = 4;

export type GuardFault = PacketFault | 'slow-reader';

/** @param fault  told once, just before the socket is destroyed */
export function guard(socket: Socket, meter: PacketMeter, backlog: Backlog, fault: (fault: GuardFault) => void): void {
  const refuse = (reason: GuardFault) => {
    if (socket.destroyed) return;
    fault(reason);
    socket.destroy();
  };

  const read = socket.read.bind(socket);
  socket.read = (size?: number) => {
    const chunk: Buffer | null = read(size);
    if (chunk === null) return null;
    const found = meter.pass(chunk);
    if (found === null) return chunk;
    refuse(found);
    return null;
  };

  const write = socket.write.bind(socket) as (...args: readonly unknown[]) => boolean;
  let stall: NodeJS.Timeout | null = null;
  const clear = () => {
    if (stall !== null) clearTimeout(stall);
    stall = null;
  };
  socket.once('close', clear);
  // Always true: told to wait, Aedes makes the sender of a message wait for its slowest reader.
  socket.write = ((...args: readonly unknown[]) => {
    if (write(...args)) return true;
    if (socket.writableLength > CLOSE_FACTOR * backlog.bytes) refuse('slow-reader');
    else if (stall === null) {
      stall = setTimeout(refuse, backlog.stallTimeoutMs, 'slow-reader');
      socket.once('drain', clear);
    }
    return true;
  }) as typeof socket.write;
}
