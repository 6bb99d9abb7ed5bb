/**
 * The clock that counts suspend, over sources that are set by hand.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryClock, suspendCounting } from '../../platform/clock.ts';
import { EpochSeconds } from '../../protocol/units.ts';

function machine() {
  const at = { monotonic: 1000, uptime: 1940, wall: 1_700_000_000_000 };
  const looks = { uptime: 0 };
  const now = suspendCounting({
    monotonic: () => at.monotonic,
    uptime: () => {
      looks.uptime += 1;
      return Math.floor(at.uptime / 10) * 10;
    },
    wall: () => at.wall,
  });
  const run = (ms: number): void => {
    at.monotonic += ms;
    sleep(ms);
  };
  const sleep = (ms: number): void => {
    at.uptime += ms;
    at.wall += ms;
  };
  return { at, looks, now, run, sleep };
}

test('awake, the clock follows the even one, and looks at the coarse one every ten seconds only', () => {
  const { looks, now, run } = machine();
  const start = now();
  for (let i = 0; i < 3000; i++) {
    run(7.3);
    now();
  }
  assert.ok(Math.abs(now() - start - 21_900) < 1e-6);
  assert.equal(looks.uptime, 3);
});

test('time asleep counts at the first reading after it', () => {
  const { now, run, sleep } = machine();
  const start = now();
  run(500);
  sleep(3_600_000);
  run(500);
  assert.ok(Math.abs(now() - start - 3_601_000) <= 20);
  sleep(60_000);
  assert.ok(Math.abs(now() - start - 3_661_000) <= 20);
});

test('a step of the wall clock, either way, moves nothing', () => {
  const { at, now, run } = machine();
  const start = now();
  at.wall += 86_400_000;
  run(10);
  assert.equal(now() - start, 10);
  at.wall -= 2 * 86_400_000;
  run(10);
  assert.equal(now() - start, 20);
});

test('sleep behind a wall clock that was set back by as much is found within ten seconds awake', () => {
  const { at, now, run, sleep } = machine();
  const start = now();
  sleep(60_000);
  at.wall -= 60_000;
  run(10_001);
  assert.ok(Math.abs(now() - start - 70_001) <= 20);
});

test('the memory clock moves when told, both hands at once, and never back', () => {
  const clock = memoryClock(EpochSeconds(1_700_000_000));
  clock.advance(2500);
  assert.equal(clock.now(), 2500);
  assert.equal(clock.wall(), 1_700_000_002);
  assert.throws(() => clock.advance(-1), RangeError);
  assert.throws(() => clock.advance(Number.NaN), RangeError);
});
