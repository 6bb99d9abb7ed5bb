/**
 * When lists are fetched: by schedule, sooner before they run out, ever later after failures, never all at once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EpochSeconds } from '../../protocol/units.ts';
import { type FetchMoment, nextFetchIn } from '../../verifier/fetch-schedule.ts';

const NOW = EpochSeconds(1_800_000_000);
const inSeconds = (left: number) => EpochSeconds(NOW + left);
const wait = (moment: Partial<FetchMoment>): number =>
  nextFetchIn({ everySeconds: 900, failures: 0, nextUpdate: inSeconds(86_400), now: NOW, dice: 0.999, ...moment });

test('by its schedule, give or take a tenth', () => {
  assert.ok(wait({}) > 899 && wait({}) <= 900);
  assert.equal(wait({ dice: 0 }), 810);
  assert.ok(wait({ nextUpdate: null }) > 899);
});

test('a list that runs out before its schedule is fetched in time, several times if need be', () => {
  let left = 7200;
  let fetches = 0;
  for (; left > 30; fetches++) left -= wait({ everySeconds: 86_400, nextUpdate: inSeconds(left) });
  assert.ok(fetches >= 6, `${fetches} fetches`);
  assert.ok(wait({ everySeconds: 86_400, nextUpdate: inSeconds(1) }) > 26, 'not ever denser');
  assert.ok(wait({ nextUpdate: inSeconds(-5) }) > 800, 'one that ran out goes by its schedule');
  assert.ok(wait({ everySeconds: 5, nextUpdate: inSeconds(10) }) <= 5, 'nor less often than its schedule says');
});

test('after failures soon, then ever later, and never much later than its schedule', () => {
  const waits = Array.from({ length: 12 }, (_, i) => wait({ failures: i + 1, dice: 0 }));
  assert.deepEqual(waits.slice(0, 4), [2.5, 5, 10, 20]);
  assert.equal(waits.at(-1), 450);
  assert.ok(wait({ failures: 1_000_000 }) <= 900);
  assert.ok(
    wait({ failures: 100, everySeconds: 5 }) <= 60,
    'a place that is away is asked less often than one that is up',
  );
  assert.ok(wait({ failures: 3, dice: 0 }) < wait({ failures: 3, dice: 0.9 }));
});
