/**
 * The state that the verifier's events carry: the same for everybody who calls the same things revoked, however they came to it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../protocol/bytes.ts';
import { eventStream, type Revoked } from '../../verifier/event-stream.ts';
import { crypto, root } from '../test-authority.ts';
import { world } from '../verifier-desk.ts';

const ANCHORS = [root().certificate, root('Other root').certificate];
const mark = (number: number): string => toHex(crypto.hash('sha-256', Uint8Array.of(number)));
const setOf = fc.uniqueArray(fc.nat(20), { maxLength: 12 }).map((numbers) => new Set(numbers.map(mark)));
const revoked = fc.record({
  anchors: fc.subarray(ANCHORS, { minLength: 1 }),
  revokedMarks: setOf,
  revokedKeys: setOf,
});

function stateAfter(history: readonly Revoked[]): Uint8Array {
  const [first, ...later] = history as [Revoked, ...Revoked[]];
  const stream = eventStream(first);
  let state = stream.next(world()).at(-1)!.state;
  for (const one of later) {
    stream.adopt(one);
    state = stream.next(world()).at(-1)!.state;
  }
  return state;
}

test('the state depends on what is revoked now, not on what was before, nor on any order', () => {
  fc.assert(
    fc.property(fc.array(revoked, { minLength: 1, maxLength: 6 }), (history) => {
      const last = history.at(-1)!;
      const turned = {
        anchors: last.anchors,
        revokedMarks: new Set([...last.revokedMarks].reverse()),
        revokedKeys: new Set([...last.revokedKeys].reverse()),
      };
      assert.deepEqual(stateAfter(history), stateAfter([turned]));
      assert.deepEqual(stateAfter([...history, last]), stateAfter([turned]));
    }),
    { seed: 5, numRuns: process.env.KAGIMORI_LONG === '1' ? 10_000 : 200 },
  );
});

test('one mark more, one less, or one in the other list is another state', () => {
  const none = { anchors: ANCHORS, revokedMarks: new Set<string>(), revokedKeys: new Set<string>() };
  const states = [
    none,
    { ...none, revokedMarks: new Set([mark(1)]) },
    { ...none, revokedMarks: new Set([mark(1), mark(2)]) },
    { ...none, revokedKeys: new Set([mark(1)]) },
    { ...none, anchors: ANCHORS.slice(1) },
  ].map((one) => toHex(stateAfter([none, one])));
  assert.equal(new Set(states).size, states.length);
});
