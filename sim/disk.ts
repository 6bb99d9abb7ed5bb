/**
 * A disk in virtual time: what is written is durable after a while, in order, and only then is the writer told. Between
 * the two a process may be killed. It may refuse, or take everything and say nothing.
 */
import { type EventQueue, MICROS_PER_MS, type Micros } from './event-queue.ts';
import type { SeededRandom } from './seeded-random.ts';

/** `frozen`: nothing becomes durable any more, and nobody is told. */
export type DiskState = 'good' | 'refusing' | 'frozen';

export interface Disk {
  state: DiskState;
  /**
   * @param durable  the moment at which it is safe; not called when the disk refuses
   * @param told     the writer hears of it, or that the disk refused
   * @param alive    whether the writer still lives; what was not durable dies with it
   */
  write(durable: () => void, told: (kept: boolean) => void, alive: () => boolean): void;
}

const TELLING_MICROS = 50;

export function disk(
  queue: EventQueue,
  now: () => Micros,
  random: SeededRandom,
  [leastMs, mostMs]: readonly [least: number, most: number],
): Disk {
  let lastDurable: Micros = 0;
  const self: Disk = {
    state: 'good',
    write(durable, told, alive) {
      const took = leastMs + (mostMs - leastMs) * random.fraction();
      const at = Math.max(lastDurable, now() + Math.round(took * MICROS_PER_MS));
      lastDurable = at;
      queue.push(at, () => {
        if (!alive() || self.state === 'frozen') return;
        const kept = self.state === 'good';
        if (kept) durable();
        queue.push(now() + TELLING_MICROS, () => {
          if (alive()) told(kept);
        });
      });
    },
  };
  return self;
}
