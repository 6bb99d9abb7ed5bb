/**
 * The replay window against a model that remembers everything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { accept, accepts, EMPTY_WINDOW, WINDOW_WIDTH } from '../../protocol/replay-window.ts';

const runs = { seed: 2_007_184_993, numRuns: process.env.KAGIMORI_LONG ? 100_000 : 2_000 };

/** Steps around where the window stands: backwards, forwards, and over the edges of words and window. */
const steps = fc.array(fc.oneof(fc.integer({ min: -70, max: 70 }), fc.constantFrom(-64, -63, 31, 32, 33, 63, 64, 65)), {
  maxLength: 200,
});
const starts = fc.constantFrom(0, 100, 2 ** 31 - 10, 2 ** 32 - 10, 2 ** 40 - 20_000);

test('[5.6 replay] the window accepts exactly what a set of all numbers seen would, no more than 63 behind', () => {
  fc.assert(
    fc.property(starts, steps, (start, moves) => {
      const seen = new Set<number>();
      let highest = -1;
      let window = EMPTY_WINDOW;
      for (const move of moves) {
        const sequence = Math.max(0, (highest < 0 ? start : highest) + move);
        const expected = !seen.has(sequence) && sequence > highest - WINDOW_WIDTH;
        assert.equal(accepts(window, sequence), expected, `${sequence} after ${highest}`);
        if (!expected) continue;
        window = accept(window, sequence);
        seen.add(sequence);
        highest = Math.max(highest, sequence);
      }
    }),
    runs,
  );
});
