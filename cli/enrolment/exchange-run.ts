/**
 * Runs the machine of an enrolment over a link to the broker, until it has ended, or patience has.
 */
import {
  createEnrolment,
  type EnrolmentEffect,
  type EnrolmentEvent,
  type EnrolmentNews,
  type EnrolmentSettings,
  stepEnrolment,
} from '../../device-agent/enrolment.ts';
import { drive } from '../../platform/driver.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { nextDeadline } from '../../protocol/deadlines.ts';
import type { EpochSeconds, Millis } from '../../protocol/units.ts';
import type { OpenLink } from '../daemons/broker-link.ts';

export interface ExchangeParts {
  readonly crypto: Crypto;
  readonly clock: { now(): Millis; wall(): EpochSeconds };
  readonly openTransport: OpenLink;
  /** So long nothing may come; null: for ever. */
  readonly patienceMs: number | null;
  readonly signal: AbortSignal;
  /** What happens on the way, and the reason while the broker is away. */
  readonly tell: (news: Passing) => void;
}

export type Passing =
  | Extract<EnrolmentNews, { news: 'managerProven' | 'waiting' | 'failed' }>
  | { readonly news: 'linkDown'; readonly why: string };

export type Ending =
  | Extract<EnrolmentNews, { news: 'enrolled' | 'refused' | 'untrusted' }>
  /** No link was ever there. */
  | { readonly news: 'unreachable'; readonly why: string }
  /** The broker is there, the manager says nothing, or nothing that leads further. */
  | { readonly news: 'silent'; readonly why: string | null }
  | { readonly news: 'stopped' };

/** The same complaint so many times in a row will come again. */
const SAME_COMPLAINTS = 3;

export async function runExchange(settings: EnrolmentSettings, parts: ExchangeParts): Promise<Ending> {
  const { crypto, clock, openTransport, patienceMs, signal, tell } = parts;
  const state = createEnrolment(settings);
  const ended = Promise.withResolvers<Ending>();
  const seen = { linked: false, resting: false, why: 'no answer yet', complaint: null as string | null, times: 0 };
  let patience: NodeJS.Timeout | null = null;
  const wait = (forMs: number | null): void => {
    if (patience !== null) clearTimeout(patience);
    if (forMs === null) return;
    patience = setTimeout(
      () =>
        ended.resolve(seen.linked ? { news: 'silent', why: seen.complaint } : { news: 'unreachable', why: seen.why }),
      forMs,
    );
  };
  const hear = (news: EnrolmentNews): void => {
    switch (news.news) {
      case 'enrolled':
      case 'refused':
      case 'untrusted':
        return ended.resolve(news);
      case 'failed':
        seen.times = news.why !== null && news.why === seen.complaint ? seen.times + 1 : 1;
        seen.complaint = news.why;
        if (patienceMs !== null && news.why !== null && seen.times >= SAME_COMPLAINTS) {
          return ended.resolve({ news: 'silent', why: news.why });
        }
        return tell(news);
      case 'waiting':
      case 'managerProven':
        // a person may take as long as it takes
        wait(news.news === 'waiting' && news.reason === 'held' ? null : patienceMs);
        return tell(news);
      default:
        news satisfies never;
    }
  };
  const loop = drive<EnrolmentEvent, EnrolmentEffect>({
    now: clock.now,
    step: (event) => stepEnrolment(state, event, { now: clock.now(), wall: clock.wall(), crypto }),
    perform(effect) {
      switch (effect.type) {
        case 'publish':
          return transport.publish(effect.topic, effect.payload, effect.qos);
        case 'rest':
          seen.resting = true;
          return transport.rest(effect.forMs);
        case 'tell':
          return hear(effect.news);
        default:
          effect satisfies never;
      }
    },
    nextDeadline: () => nextDeadline(state.deadlines),
    time: { type: 'time' },
  });
  const transport = openTransport({
    subscriptions: (link) => [settings.topics.toDevice({ kind: 'link', link })],
    observer: {
      up(link) {
        seen.linked = true;
        seen.resting = false;
        loop.feed({ type: 'linked', link });
      },
      down(reason) {
        if (!seen.resting) {
          seen.why = reason;
          tell({ news: 'linkDown', why: reason });
        }
        loop.feed({ type: 'unlinked' });
      },
      received: (topic, payload) => loop.feed({ type: 'received', topic, payload }),
    },
  });
  const stop = (): void => ended.resolve({ news: 'stopped' });
  signal.addEventListener('abort', stop);
  if (signal.aborted) stop();
  wait(patienceMs);
  try {
    return await ended.promise;
  } finally {
    if (patience !== null) clearTimeout(patience);
    signal.removeEventListener('abort', stop);
    loop.close();
    await transport.close();
  }
}
