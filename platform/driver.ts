/**
 * The loop between a machine and the outside: events in, effects performed, one timer at the machine's next deadline.
 * Events that arrive while a step is performed wait their turn.
 */
import type { Millis } from '../protocol/units.ts';

export interface Driven<Event, Effect> {
  now(): Millis;
  step(event: Event): readonly Effect[];
  perform(effect: Effect, feed: (event: Event) => void): void;
  /** null: none */
  nextDeadline(): Millis | null;
  /** The event that says that a deadline may have come. */
  readonly time: Event;
}

export interface Loop<Event, Effect> {
  feed(event: Event): void;
  /** Runs something that is no event inside the loop's turn. */
  run(act: () => readonly Effect[]): void;
  close(): void;
}

const LONGEST_SLEEP_MS = 60_000;

export function drive<Event, Effect>(driven: Driven<Event, Effect>): Loop<Event, Effect> {
  const waiting: (() => readonly Effect[])[] = [];
  let running = false;
  let closed = false;
  let timer: NodeJS.Timeout | null = null;
  let timerAt = Number.POSITIVE_INFINITY;

  const run = (act: () => readonly Effect[]): void => {
    if (closed) return;
    waiting.push(act);
    if (running) return;
    running = true;
    try {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        for (const effect of next()) driven.perform(effect, feed);
      }
    } finally {
      running = false;
    }
    arm();
  };
  const feed = (event: Event): void => run(() => driven.step(event));

  /** The clock may count suspend while timers do not, so no sleep is longer than a minute. */
  const arm = (): void => {
    const at = driven.nextDeadline() ?? Number.POSITIVE_INFINITY;
    if (closed || (timer !== null && at >= timerAt)) return;
    if (timer !== null) clearTimeout(timer);
    timer = null;
    timerAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(wake, Math.min(LONGEST_SLEEP_MS, Math.max(0, at - driven.now()) + 1));
  };
  const wake = (): void => {
    timer = null;
    timerAt = Number.POSITIVE_INFINITY;
    feed(driven.time);
  };
  return {
    feed,
    run,
    close() {
      closed = true;
      waiting.length = 0;
      if (timer !== null) clearTimeout(timer);
    },
  };
}
