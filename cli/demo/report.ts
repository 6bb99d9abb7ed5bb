/**
 * What the demonstration reports: one JSON object, every figure from the counters of the processes.
 */
import type { JsonValue } from '../../platform/control-socket.ts';

export interface ChannelReport {
  readonly device: string;
  readonly opened: 'edhoc' | 'resume';
  readonly by: 'device' | 'manager';
  readonly publicKeyOps: number;
  readonly bytes: number;
}

export interface BothSides<T> {
  readonly caller: T;
  readonly callee: T;
}

export interface SessionReport {
  readonly sid: string | null;
  readonly caller: string;
  readonly callee: string;
  readonly outcome: 'open' | 'refused';
  readonly reason: string | null;
  readonly suite: string | null;
  readonly keyMode: 'key' | 'seed' | null;
  readonly messages: BothSides<{ readonly sent: number; readonly received: number }>;
  readonly bytes: BothSides<number>;
  readonly publicKeyOps: BothSides<number>;
  readonly deviceCpuMs: BothSides<number>;
  /** Both sides decrypted the other's message. */
  readonly delivered: boolean;
  readonly closedBy: 'caller' | 'callee' | 'manager' | 'timeout' | null;
}

export interface Report {
  readonly ok: boolean;
  readonly node: string;
  readonly devices: readonly { readonly id: string; readonly class: string }[];
  readonly channels: readonly ChannelReport[];
  readonly sessions: readonly SessionReport[];
}

/** What one side's agent counted from Connect until the session was open. */
export interface OpeningCost {
  readonly sent: number;
  readonly received: number;
  readonly bytes: number;
  readonly publicKeyOps: number;
  readonly cpuMs: number;
}

export const NO_COST: OpeningCost = { sent: 0, received: 0, bytes: 0, publicKeyOps: 0, cpuMs: 0 };

export function costs(caller: OpeningCost, callee: OpeningCost) {
  const both = <T>(of: (cost: OpeningCost) => T): BothSides<T> => ({ caller: of(caller), callee: of(callee) });
  return {
    messages: both(({ sent, received }) => ({ sent, received })),
    bytes: both(({ bytes }) => bytes),
    publicKeyOps: both(({ publicKeyOps }) => publicKeyOps),
    deviceCpuMs: both(({ cpuMs }) => cpuMs),
  };
}

/** From what an agent says of the openings of its channel. */
export function channelsOf(device: string, status: JsonValue): ChannelReport[] {
  const { openings } = status as unknown as { openings: (OpeningCost & Pick<ChannelReport, 'opened' | 'by'>)[] };
  return openings.map(({ opened, by, publicKeyOps, bytes }) => ({ device, opened, by, publicKeyOps, bytes }));
}
