/**
 * Watches the addresses of this machine, so that the agent registers again when they may have changed. [patent 0101]
 * Node reports no such event, so they are polled; a flapping interface is reported once, when it has come to rest.
 */
import { networkInterfaces } from 'node:os';
import { systemClock } from '../platform/clock.ts';

/** `resumed`: the machine slept, and the network may be another one behind the same addresses. */
export type NetworkReason = 'changed' | 'resumed';

export interface NetworkReport {
  readonly addresses: readonly string[];
  readonly reason: NetworkReason;
}

export interface NetworkWatch {
  /** The addresses reported last, at first those found at the start. */
  addresses(): readonly string[];
  stop(): void;
}

export interface NetworkWatchOptions {
  readonly everyMs: number;
  /** For tests; the machine's interfaces when absent. */
  readonly read?: () => readonly string[];
}

/** What is known: settled on addresses that were reported, or settling on ones that were seen in the last poll only. */
export type NetworkState =
  | { readonly kind: 'settled'; readonly reported: readonly string[] }
  | {
      readonly kind: 'settling';
      readonly reported: readonly string[];
      readonly seen: readonly string[];
      readonly slept: boolean;
    };

/**
 * Decides about one poll.
 * @param addresses  sorted, each once
 * @param slept      whether the machine was suspended since the last poll
 */
export function decideNetwork(
  state: NetworkState,
  addresses: readonly string[],
  slept: boolean,
): readonly [NetworkState, NetworkReport | null] {
  const { reported } = state;
  const sleptBefore = state.kind === 'settling' && state.slept;
  const settling: NetworkState = { kind: 'settling', reported, seen: addresses, slept: slept || sleptBefore };
  if (slept) return [settling, null];
  if (state.kind === 'settled') return same(reported, addresses) ? [state, null] : [settling, null];
  if (!same(state.seen, addresses)) return [settling, null];
  const settled: NetworkState = { kind: 'settled', reported: addresses };
  if (!same(reported, addresses)) return [settled, { addresses, reason: 'changed' }];
  return [settled, sleptBefore ? { addresses, reason: 'resumed' } : null];
}

/** Polls until it is stopped; its timer keeps no process alive. */
export function watchNetwork(
  { everyMs, read = machineAddresses }: NetworkWatchOptions,
  onChange: (report: NetworkReport) => void,
): NetworkWatch {
  const clock = systemClock();
  let state: NetworkState = { kind: 'settled', reported: canonical(read()) };
  let polledAt = clock.now();
  const poll = (): void => {
    const now = clock.now();
    // The timer stands still in suspend, the clock does not; a busy process is late by less than this.
    const slept = now - polledAt > 2 * everyMs + 5_000;
    polledAt = now;
    const [next, report] = decideNetwork(state, canonical(read()), slept);
    state = next;
    if (report !== null) onChange(report);
  };
  const timer = setInterval(poll, everyMs).unref();
  return { addresses: () => state.reported, stop: () => clearInterval(timer) };
}

/** @returns addresses that others can reach: neither loopback nor link-local */
export function machineAddresses(): string[] {
  const found = Object.values(networkInterfaces()).flatMap((rows) => rows ?? []);
  return canonical(
    found.filter(({ internal, address }) => !internal && !isLinkLocal(address)).map((row) => row.address),
  );
}

/** 169.254.0.0/16 and fe80::/10. @spec RFC 3927, RFC 4291 §2.5.6 */
export function isLinkLocal(address: string): boolean {
  return /^(169\.254\.|fe[89ab][0-9a-f]:)/i.test(address);
}

function canonical(addresses: readonly string[]): string[] {
  return [...new Set(addresses)].sort();
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((address, i) => address === b[i]);
}
