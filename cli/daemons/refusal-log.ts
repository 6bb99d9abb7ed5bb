/**
 * The broker's refusals in the log: whoever knocks in vain must be seen, and must not fill the disk. The first of a
 * kind from an address is told with its limit and the key of that limit; what comes after it in the same minute is
 * counted, and told as one sum.
 */
import type { BrokerEvent } from '../../broker/broker-events.ts';
import type { Log } from '../../platform/log.ts';

/** Lines of a minute, beside the sum. */
const TOLD = 60;
const MINUTE_MS = 60_000;

type Hindrance = Extract<BrokerEvent, { kind: 'refused' | 'slowed' }>;

export function refusalLog(log: Log, minuteMs: number = MINUTE_MS): (event: BrokerEvent) => void {
  const told = new Set<string>();
  let counted: Record<string, number> = {};
  let minute: NodeJS.Timeout | null = null;

  const sum = (): void => {
    minute = null;
    told.clear();
    if (Object.keys(counted).length > 0) log.warn('link.refused-more', { counts: counted });
    counted = {};
  };
  const tell = (event: Hindrance): void => {
    if (minute === null) minute = setTimeout(sum, minuteMs).unref();
    const { kind, ...fields } = event;
    const what = event.kind === 'refused' ? event.reason : `slowed ${event.key}`;
    const who = `${what} ${event.address}`;
    if (told.size >= TOLD || told.has(who)) {
      counted[what] = (counted[what] ?? 0) + 1;
      return;
    }
    told.add(who);
    log.warn(`link.${kind}`, fields);
  };

  return (event) => {
    if (event.kind === 'refused' || event.kind === 'slowed') tell(event);
    else {
      const { kind, ...fields } = event;
      log.debug(`link.${kind}`, fields);
    }
  };
}
