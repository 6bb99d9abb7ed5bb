/**
 * The machine's own clocks.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../platform/clock.ts';

test('the system clock gives whole seconds, fractions of milliseconds and CPU time that grows', () => {
  const clock = systemClock();
  const [first, cpu] = [clock.now(), clock.cpuMicros()];
  let sum = 0;
  for (let i = 0; i < 2_000_000; i++) sum += i;
  assert.ok(sum > 0 && clock.now() > first && clock.cpuMicros() > cpu);
  assert.ok(Number.isInteger(clock.wall()) && clock.wall() > 1_600_000_000);
});
