/**
 * Counts an impact while a person looks on: how far it is, how fast, how long it takes yet.
 */
import { printable } from '../output.ts';
import type { Tally } from './impact.ts';

const PROGRESS_EVERY_MS = 250;

/** To the end, or until Ctrl-C; a terminal sees how far it is. */
export async function countAll(slices: Generator<Tally, Tally>): Promise<Tally> {
  const { stderr } = process;
  const began = performance.now();
  let told = began;
  let stopped = false;
  const stop = (): void => {
    stopped = true;
  };
  process.once('SIGINT', stop);
  try {
    for (;;) {
      const { value, done } = slices.next();
      if (done === true || stopped) return value;
      const now = performance.now();
      if (now - told < PROGRESS_EVERY_MS) continue;
      told = now;
      if (stderr.isTTY) stderr.write(`\r\x1b[K${printable(progressText(value, (now - began) / 1000))}`);
      await new Promise((resolve) => setImmediate(resolve)); // a signal is only heard between two turns of the loop
    }
  } finally {
    process.off('SIGINT', stop);
    if (stderr.isTTY && told > began) stderr.write('\r\x1b[K');
  }
}

function progressText({ looked, pairs }: Tally, seconds: number): string {
  const rate = looked / seconds;
  const left = rate > 0 ? `${Math.ceil((pairs - looked) / rate)} s left` : 'just begun';
  return `${looked} of ${pairs} pairs, ${Math.round(rate)} a second, ${left}`;
}
