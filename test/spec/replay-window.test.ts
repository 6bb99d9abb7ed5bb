/**
 * The replay window as a table: what is accepted after what.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_SEQUENCE } from '../../protocol/oscore.ts';
import { accept, accepts, EMPTY_WINDOW, type ReplayWindow, WINDOW_WIDTH } from '../../protocol/replay-window.ts';

const after = (...seen: readonly number[]): ReplayWindow => seen.reduce(accept, EMPTY_WINDOW);

const TABLE: ReadonlyArray<readonly [rule: string, seen: readonly number[], next: number, accepted: boolean]> = [
  ['the first record, number 0', [], 0, true],
  ['a first record with any number', [], 1000, true],
  ['the same number twice', [0], 0, false],
  ['the next number', [0], 1, true],
  ['a number left out before', [0, 2], 1, true],
  ['a number left out before, twice', [0, 2, 1], 1, false],
  ['the oldest inside the window', [63], 0, true],
  ['the oldest inside the window, seen', [0, 63], 0, false],
  ['one older than the window', [64], 0, false],
  ['the edge between the two words, unseen', [32], 0, true],
  ['the edge between the two words, seen', [0, 32], 0, false],
  ['the other edge between the two words', [0, 31], 0, false],
  ['a jump of 32 keeps what was seen', [5, 37], 5, false],
  ['a jump of 33 keeps what was seen', [5, 38], 5, false],
  ['a jump of 63 keeps what was seen', [5, 68], 5, false],
  ['a jump of 64 forgets, and everything old is refused', [5, 69], 5, false],
  ['after a jump of 64 the numbers between are new', [5, 69], 6, true],
  ['after a jump beyond the window the numbers just below are new', [5, 5000], 4999, true],
  ['the last number there is', [MAX_SEQUENCE - 1], MAX_SEQUENCE, true],
  ['the last number there is, twice', [MAX_SEQUENCE], MAX_SEQUENCE, false],
  ['64 below the last number', [MAX_SEQUENCE], MAX_SEQUENCE - 64, false],
  ['63 below the last number', [MAX_SEQUENCE], MAX_SEQUENCE - 63, true],
];

for (const [rule, seen, next, accepted] of TABLE) {
  test(`[5.6 replay] RFC 6479: ${rule} is ${accepted ? 'accepted' : 'refused'}`, () => {
    const window = after(...seen);
    assert.equal(accepts(window, next), accepted);
    if (accepted) assert.equal(accepts(accept(window, next), next), false);
    else assert.throws(() => accept(window, next), RangeError);
  });
}

test('[5.6 replay] each of 64 numbers is accepted once, in whatever order', () => {
  let window = EMPTY_WINDOW;
  const order = Array.from({ length: WINDOW_WIDTH }, (_, i) => (i * 37) % WINDOW_WIDTH);
  for (const sequence of order) window = accept(window, sequence);
  for (const sequence of order) assert.equal(accepts(window, sequence), false);
});

test('a window is plain data that is never changed in place', () => {
  const window = Object.freeze(after(1, 2));
  accept(window, 3);
  assert.deepEqual(structuredClone(window), after(1, 2));
});
