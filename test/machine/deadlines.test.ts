/** Deadlines of a machine: order, moving, cancelling, and what stays behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancel, nextDeadline, noDeadlines, schedule, takeDue } from '../../protocol/deadlines.ts';
import { Millis } from '../../protocol/units.ts';

test('deadlines come up earliest first, each once, and a moved one at its last time alone', () => {
  const deadlines = noDeadlines();
  schedule(deadlines, 'b', Millis(20));
  schedule(deadlines, 'a', Millis(10));
  schedule(deadlines, 'c', Millis(5));
  schedule(deadlines, 'c', Millis(30));
  assert.equal(nextDeadline(deadlines), 10);
  assert.deepEqual(takeDue(deadlines, Millis(20)), ['a', 'b']);
  assert.deepEqual(takeDue(deadlines, Millis(20)), []);
  assert.deepEqual(takeDue(deadlines, Millis(30)), ['c']);
  assert.equal(nextDeadline(deadlines), null);
});

test('a cancelled deadline never comes up, also when it is set again', () => {
  const deadlines = noDeadlines();
  schedule(deadlines, 'a', Millis(10));
  cancel(deadlines, 'a');
  assert.equal(nextDeadline(deadlines), null);
  schedule(deadlines, 'a', Millis(15));
  assert.deepEqual(takeDue(deadlines, Millis(10)), []);
  assert.deepEqual(takeDue(deadlines, Millis(15)), ['a']);
});

test('a million sessions that ended early leave no more behind than what lives', () => {
  const deadlines = noDeadlines();
  for (let i = 0; i < 100; i++) schedule(deadlines, `lives:${i}`, Millis(1_000_000 - i));
  for (let i = 0; i < 1_000_000; i++) {
    schedule(deadlines, `session:${i}`, Millis(2_000_000 + i));
    cancel(deadlines, `session:${i}`);
  }
  assert.ok(deadlines.heap.length <= 2 * 101 + 1, `${deadlines.heap.length} entries`);
  const due = takeDue(deadlines, Millis(3_000_000));
  assert.equal(due.length, 100);
  assert.equal(due[0], 'lives:99');
});

test('the order holds over random moves, beside a plain list', () => {
  const deadlines = noDeadlines();
  const plain = new Map<string, number>();
  let seed = 1;
  const draw = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647;
    return seed % below;
  };
  for (let now = 0; now < 3000; now++) {
    const key = `k${draw(200)}`;
    if (draw(3) === 0) {
      cancel(deadlines, key);
      plain.delete(key);
    } else {
      const at = now + draw(500);
      schedule(deadlines, key, Millis(at));
      plain.set(key, at);
    }
    const expected = [...plain].filter(([, at]) => at <= now).map(([due]) => due);
    for (const due of expected) plain.delete(due);
    assert.deepEqual(takeDue(deadlines, Millis(now)).sort(), expected.sort());
  }
});
