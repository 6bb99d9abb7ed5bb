/**
 * What is told of the link to the broker: every loss, every new reason, and the same again once a minute.
 */
import type { Log, LogFields } from './log.ts';

/** While the broker is away, attempts come every second or two, all night. */
const SAME_AGAIN_MS = 60_000;

export interface LinkLog {
  up(fields?: LogFields): void;
  /** A link was lost, or an attempt came to nothing. */
  down(reason: string, hint?: string): void;
}

/** @param now  ms of a clock that never goes back */
export function linkLog(log: Log, now: () => number): LinkLog {
  let told: { readonly reason: string; readonly at: number; untold: number } | null = null;
  return {
    up(fields) {
      told = null;
      log.info('broker.up', fields);
    },
    down(reason, hint) {
      const again = told?.reason === reason ? told : null;
      if (again !== null && now() - again.at < SAME_AGAIN_MS) {
        again.untold++;
        return;
      }
      log.warn('broker.down', { reason, hint, attempts: again === null ? undefined : again.untold + 1 });
      told = { reason, at: now(), untold: 0 };
    },
  };
}
