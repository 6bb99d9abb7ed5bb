/**
 * What the agent and the process with a user's key tell each other over its standard input and output: CBOR, each message
 * with its length in four bytes before it. Neither PIN nor key is ever in it.
 */
import type { Readable, Writable } from 'node:stream';
import { type CborItem, decode, encode } from '../../protocol/cbor.ts';

/** Of the process with the key. */
export type Report =
  /** The medium is read; the PIN is waited for. */
  | { readonly kind: 'locked'; readonly user: string }
  | { readonly kind: 'trying' }
  | { readonly kind: 'wrong'; readonly left: number }
  | { readonly kind: 'unlocked'; readonly user: string; readonly chain: readonly Uint8Array[] }
  /** The medium is good for nothing. */
  | { readonly kind: 'useless'; readonly detail: string }
  | { readonly kind: 'signed'; readonly number: number; readonly signature: Uint8Array | null };

export interface SignRequest {
  readonly number: number;
  readonly toSign: Uint8Array;
}

const LENGTH_BYTES = 4;
const MAX_FRAME_BYTES = 64 * 1024;
const LIMITS = { maxBytes: MAX_FRAME_BYTES, maxDepth: 4 } as const;

export const sendReport = (to: Writable, report: Report): void => sendFrame(to, encode(itemsOf(report)));

function itemsOf(report: Report): CborItem {
  switch (report.kind) {
    case 'locked':
      return [report.kind, report.user];
    case 'trying':
      return [report.kind];
    case 'wrong':
      return [report.kind, report.left];
    case 'unlocked':
      return [report.kind, report.user, [...report.chain]];
    case 'useless':
      return [report.kind, report.detail];
    case 'signed':
      return [report.kind, report.number, report.signature];
    default:
      return report satisfies never;
  }
}

export const sendRequest = (to: Writable, { number, toSign }: SignRequest): void =>
  sendFrame(to, encode([number, toSign]));

function sendFrame(to: Writable, body: Uint8Array): void {
  const head = Buffer.alloc(LENGTH_BYTES);
  head.writeUInt32BE(body.length);
  to.write(Buffer.concat([head, body]));
}

/** @returns null for anything but a report */
export function readReport(body: Uint8Array): Report | null {
  const items = itemsIn(body);
  if (items === null) return null;
  const [kind, first, second] = items;
  switch (kind) {
    case 'locked':
      return typeof first === 'string' ? { kind, user: first } : null;
    case 'trying':
      return { kind };
    case 'wrong':
      return typeof first === 'number' ? { kind, left: first } : null;
    case 'unlocked': {
      const isChain = Array.isArray(second) && second.every((one) => one instanceof Uint8Array);
      return typeof first === 'string' && isChain ? { kind, user: first, chain: second } : null;
    }
    case 'useless':
      return typeof first === 'string' ? { kind, detail: first } : null;
    case 'signed': {
      const isAnswer = second === null || second instanceof Uint8Array;
      return typeof first === 'number' && isAnswer ? { kind, number: first, signature: second } : null;
    }
    default:
      return null;
  }
}

/** @returns null for anything but a request */
export function readRequest(body: Uint8Array): SignRequest | null {
  const [number, toSign] = itemsIn(body) ?? [];
  return typeof number === 'number' && toSign instanceof Uint8Array ? { number, toSign } : null;
}

function itemsIn(body: Uint8Array): readonly unknown[] | null {
  try {
    const items = decode(body, LIMITS);
    return Array.isArray(items) ? items : null;
  } catch {
    return null;
  }
}

/** Gives each whole body; `broken` once for a length that no message has, and nothing more. */
export function receiveFrames(from: Readable, receive: (body: Uint8Array) => void, broken: () => void): void {
  let held = Buffer.alloc(0);
  let over = false;
  from.on('data', (chunk: Buffer) => {
    if (over) return;
    held = Buffer.concat([held, chunk]);
    while (held.length >= LENGTH_BYTES) {
      const length = held.readUInt32BE(0);
      if (length > MAX_FRAME_BYTES) {
        over = true;
        return broken();
      }
      if (held.length < LENGTH_BYTES + length) return;
      const body = held.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
      held = held.subarray(LENGTH_BYTES + length);
      receive(new Uint8Array(body));
    }
  });
}
