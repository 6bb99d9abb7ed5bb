/**
 * Asks the OCSP responders of the configuration what the OCSP source wants to know: some at a time, each about one
 * certificate once, within a few seconds.
 */
import { fetchBytes, type HttpPlace } from '../platform/http-fetch.ts';
import { equal } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { OcspCodec } from '../protocol/ocsp.ts';
import type { Revocation } from '../protocol/revocation.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { OcspFetched, OcspSource, OcspWanted } from './ocsp-answers.ts';

export interface OcspPlace extends HttpPlace {
  readonly issuer: ParsedCertificate;
  readonly nonceRequired: boolean;
}

export interface OcspAskingParts {
  readonly crypto: Crypto;
  readonly codec: OcspCodec;
  readonly clock: { wall(): EpochSeconds };
  readonly source: OcspSource;
  readonly settled: (wanted: OcspWanted, found: Revocation) => void;
  /** Told when a responder begins to fail, fails otherwise than before, or is well again (null). */
  readonly observe: (url: string, fault: string | null) => void;
}

export interface ResponderState {
  readonly url: string;
  readonly issuer: ParsedCertificate;
  readonly asked: number;
  readonly lastAt: EpochSeconds | null;
  readonly fault: string | null;
}

export interface OcspAsking {
  /** Begins with whatever the source wants. */
  begin(): void;
  /** @returns resolves when that certificate's answer is there or has failed; null when nobody is asked about it */
  pending(mark: string): Promise<void> | null;
  states(): readonly ResponderState[];
  close(): Promise<void>;
}

const TIMEOUT_MS = 4_000;
const MAX_ANSWER_BYTES = 64 * 1024;
/** Of one responder: who hangs holds up nobody else's certificates. */
const MAX_PARALLEL = 16;
const NONCE_BYTES = 32;

/** @returns the responder for certificates of that CA: the same name and key, whoever certified it */
export function placeFor(places: readonly OcspPlace[], { subject, spki }: ParsedCertificate): OcspPlace | null {
  return places.find(({ issuer }) => equal(issuer.spki, spki) && equal(issuer.subject.der, subject.der)) ?? null;
}

export function startOcspAsking(places: readonly OcspPlace[], parts: OcspAskingParts): OcspAsking {
  const { crypto, codec, clock, source, settled, observe } = parts;
  const closing = new AbortController();
  const { signal } = closing;
  const states = new Map(
    places.map((place) => [place, { asked: 0, lastAt: null as EpochSeconds | null, fault: null as string | null }]),
  );
  const open = new Map<string, { readonly done: Promise<void>; readonly settle: () => void }>();
  const queues = new Map<OcspPlace | null, { readonly waiting: OcspWanted[]; running: number }>();

  const exchange = async (place: OcspPlace, { certificate, issuer }: OcspWanted): Promise<OcspFetched> => {
    const nonce = crypto.random(NONCE_BYTES);
    const bytes = codec.writeRequest(certificate, issuer, nonce, 'sha-1');
    const body = { type: 'application/ocsp-request', bytes };
    try {
      const der = await fetchBytes(place, { body, maxBytes: MAX_ANSWER_BYTES, timeoutMs: TIMEOUT_MS, signal });
      return { der, nonce };
    } catch (error) {
      return { fault: error instanceof Error ? error.message : String(error) };
    }
  };
  /** A fault of ours that an answer brings out costs that answer, not the verifier. */
  const settleOne = (wanted: OcspWanted, fetched: OcspFetched, at: EpochSeconds): Revocation => {
    try {
      return source.settle(wanted, fetched, at);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return source.settle(wanted, { fault: `its answer cannot be judged: ${why}` }, at);
    }
  };
  const askOne = async (wanted: OcspWanted): Promise<void> => {
    const place = placeFor(places, wanted.issuer);
    const fetched = place === null ? { fault: 'no OCSP responder of its issuer' } : await exchange(place, wanted);
    if (signal.aborted) return;
    const at = clock.wall();
    const found = settleOne(wanted, fetched, at);
    const state = place === null ? undefined : states.get(place);
    if (place !== null && state !== undefined) {
      const fault = 'fault' in fetched ? fetched.fault : null;
      if (fault !== state.fault) observe(place.url, fault);
      Object.assign(state, { asked: state.asked + 1, lastAt: at, fault });
    }
    settled(wanted, found);
  };
  const queueOf = ({ issuer }: OcspWanted) => {
    const place = placeFor(places, issuer);
    const queue = queues.get(place) ?? { waiting: [], running: 0 };
    queues.set(place, queue);
    return queue;
  };
  const advance = (queue: ReturnType<typeof queueOf>): void => {
    while (queue.running < MAX_PARALLEL) {
      const wanted = queue.waiting.shift();
      if (wanted === undefined) return;
      queue.running++;
      void askOne(wanted).finally(() => {
        queue.running--;
        open.get(wanted.mark)?.settle();
        open.delete(wanted.mark);
        advance(queue);
      });
    }
  };

  return {
    begin() {
      for (const wanted of source.takeWanted()) {
        const { promise, resolve } = Promise.withResolvers<void>();
        open.set(wanted.mark, { done: promise, settle: resolve });
        const queue = queueOf(wanted);
        queue.waiting.push(wanted);
        advance(queue);
      }
    },
    pending: (mark) => open.get(mark)?.done ?? null,
    states: () => places.map((place) => ({ url: place.url, issuer: place.issuer, ...states.get(place)! })),
    async close() {
      closing.abort();
      for (const { waiting } of queues.values()) waiting.length = 0;
      for (const { settle } of open.values()) settle();
      open.clear();
    },
  };
}
