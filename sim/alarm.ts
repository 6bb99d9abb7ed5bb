/**
 * One alarm for a machine: rings when its next deadline has come. A deadline that moved away leaves the alarm where it
 * is; it looks again then.
 */
import { type Deadlines, nextDeadline } from '../protocol/deadlines.ts';
import { type EventQueue, MICROS_PER_MS, type Micros } from './event-queue.ts';

export interface Alarm {
  /** After every step. */
  set(): void;
  off(): void;
}

/** @param deadlines  of the machine as it is now */
export function alarm(queue: EventQueue, now: () => Micros, deadlines: () => Deadlines, ring: () => void): Alarm {
  let setTo: Micros | null = null;
  let rangAt: Micros | null = null;
  const self: Alarm = {
    set() {
      const next = nextDeadline(deadlines());
      if (next === null) return;
      // as with every timer, time has passed when it rings again: who was woken a rounding error early and set the same
      // deadline once more would otherwise be woken for ever
      const at = Math.max(now() === rangAt ? rangAt + 1 : now(), notBefore(next));
      if (setTo !== null && setTo <= at) return;
      setTo = at;
      queue.push(at, () => {
        if (setTo !== at) return; // an earlier one took its place, or the machine has ended
        setTo = null;
        const due = nextDeadline(deadlines());
        if (due !== null && due <= now() / MICROS_PER_MS) {
          rangAt = now();
          ring();
        }
        self.set();
      });
    },
    off() {
      setTo = null;
    },
  };
  return self;
}

/** The first whole microsecond at which a machine sees that `deadline`, in milliseconds, has come. */
function notBefore(deadline: number): Micros {
  const at = Math.ceil(deadline * MICROS_PER_MS);
  return at / MICROS_PER_MS < deadline ? at + 1 : at;
}
