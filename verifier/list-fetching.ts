/**
 * Fetches revocation lists from the URLs of the configuration, each by its own schedule, one fetch at a time of each.
 */
import { MAX_CRL_BYTES } from '../platform/certificates.ts';
import { fetchBytes, type HttpPlace } from '../platform/http-fetch.ts';

import type { Crypto } from '../protocol/crypto.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import { nextFetchIn } from './fetch-schedule.ts';

export interface ListUrl extends HttpPlace {
  readonly everySeconds: number;
}

/** What became of what was fetched: why it is refused, or until when it holds. */
export type FetchedOutcome = { readonly fault: string } | { readonly nextUpdate: EpochSeconds | null };

export interface ListFetchingParts {
  readonly crypto: Crypto;
  readonly clock: { wall(): EpochSeconds };
  readonly take: (url: string, bytes: Uint8Array) => FetchedOutcome;
  /** Told when a URL begins to fail, fails otherwise than before, or is well again (null). */
  readonly observe: (url: string, fault: string | null) => void;
}

export interface FetchState {
  readonly url: string;
  readonly lastAt: EpochSeconds | null;
  /** null: the last fetch went well, or there was none. */
  readonly fault: string | null;
  readonly nextAt: EpochSeconds | null;
}

export interface ListFetching {
  states(): readonly FetchState[];
  /** Fetches all now; resolves when that is done. */
  now(): Promise<void>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 10_000;

export function startListFetching(urls: readonly ListUrl[], parts: ListFetchingParts): ListFetching {
  const closing = new AbortController();
  const followed = urls.map((one) => followUrl(one, parts, closing.signal));
  return {
    states: () => followed.map(({ state }) => state()),
    now: async () => {
      await Promise.all(followed.map(({ now }) => now()));
    },
    async close() {
      closing.abort();
      await Promise.all(followed.map(({ stop }) => stop()));
    },
  };
}

function followUrl(place: ListUrl, { crypto, clock, take, observe }: ListFetchingParts, signal: AbortSignal) {
  const { url, everySeconds } = place;
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | null = null;
  let failures = 0;
  let last: { readonly at: EpochSeconds; readonly fault: string | null } | null = null;
  let nextAt: EpochSeconds | null = null;

  const attempt = async (): Promise<FetchedOutcome> => {
    try {
      return take(url, await fetchBytes(place, { maxBytes: MAX_CRL_BYTES, timeoutMs: TIMEOUT_MS, signal }));
    } catch (error) {
      return { fault: error instanceof Error ? error.message : String(error) };
    }
  };
  const fetchOnce = async (): Promise<void> => {
    const outcome = await attempt();
    if (signal.aborted) return;
    const now = clock.wall();
    const fault = 'fault' in outcome ? outcome.fault : null;
    failures = fault === null ? 0 : failures + 1;
    if (fault !== (last?.fault ?? null)) observe(url, fault);
    last = { at: now, fault };
    const nextUpdate = 'fault' in outcome ? null : outcome.nextUpdate;
    const dice = crypto.random(1)[0]! / 256;
    const seconds = nextFetchIn({ everySeconds, failures, nextUpdate, now, dice });
    nextAt = Math.round(now + seconds) as EpochSeconds;
    timer = setTimeout(begin, seconds * 1000).unref();
  };
  /** What is under way is waited for instead: one fetch at a time. */
  const begin = (): Promise<void> => {
    clearTimeout(timer);
    underWay ??= fetchOnce().finally(() => {
      underWay = null;
    });
    return underWay;
  };
  void begin();
  return {
    now: begin,
    state: (): FetchState => ({ url, lastAt: last?.at ?? null, fault: last?.fault ?? null, nextAt }),
    async stop() {
      clearTimeout(timer);
      await underWay;
    },
  };
}
