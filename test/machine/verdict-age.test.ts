/**
 * A verdict's age under clocks that jump: by the monotonic clock where it was heard in this process.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceRecord } from '../../manager/registry.ts';
import { newRevocationWatch } from '../../manager/revocation-watch.ts';
import { hearVerdict, verdictSecondsLeft } from '../../manager/verdict-age.ts';
import { type DeviceId, EpochSeconds, Millis } from '../../protocol/units.ts';

const LAMP = 'lamp' as DeviceId;
const NOW = 1_800_000_000;
const HOUR = 3600;
const YEAR = 365 * 24 * HOUR;

const world = (elapsedS: number, wall: number) => ({ now: Millis(elapsedS * 1000), wall: EpochSeconds(wall) });
const recordUntil = (until: number): DeviceRecord => ({
  chain: [],
  leaf: new Uint8Array(32),
  names: [],
  verdictUntil: EpochSeconds(until),
  instance: undefined,
});

test('[P4] a verdict heard in this process holds for its age, wherever the wall clock jumps meanwhile', () => {
  const state = {
    devices: new Map([[LAMP, recordUntil(NOW + HOUR)]]),
    verdictEnds: new Map<DeviceId, Millis>(),
    users: { at: new Map() },
    revocation: newRevocationWatch(null),
  };
  hearVerdict(state, LAMP, EpochSeconds(NOW + HOUR), world(0, NOW));
  for (const jump of [0, HOUR, -HOUR, YEAR, -YEAR]) {
    assert.equal(verdictSecondsLeft(state, LAMP, world(HOUR - 1, NOW + jump)), 1, `${jump} s`);
    assert.equal(verdictSecondsLeft(state, LAMP, world(HOUR, NOW + jump)), 0, `${jump} s`);
  }
});

test('[P4] a verdict of an earlier process holds by the wall clock, and not at all when that went back', () => {
  const state = {
    devices: new Map([[LAMP, recordUntil(NOW + HOUR)]]),
    verdictEnds: new Map<DeviceId, Millis>(),
    users: { at: new Map() },
    revocation: newRevocationWatch(null),
  };
  assert.equal(verdictSecondsLeft(state, LAMP, world(5, NOW)), HOUR);
  assert.ok(verdictSecondsLeft(state, LAMP, world(5, NOW + HOUR)) <= 0);
  assert.ok(verdictSecondsLeft(state, LAMP, world(5, NOW - YEAR)) <= 0, 'no verdict is made for so long');
  assert.ok(verdictSecondsLeft(state, 'nobody' as DeviceId, world(5, NOW)) <= 0);
});
