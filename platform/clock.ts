/**
 * Clocks: one that never jumps and counts suspend, the wall clock, and the CPU time of this thread; and one for tests.
 *
 * Node has no CLOCK_BOOTTIME: `process.hrtime` stands still while the machine sleeps, `os.uptime` counts sleep but in
 * steps of 10 ms and costs 9 µs. So hrtime is read, and what it slept through is added, from the uptime, whenever wall
 * clock and hrtime have drifted apart, and every ten seconds.
 */
import { uptime } from 'node:os';
import { EpochSeconds, Millis } from '../protocol/units.ts';

export interface Clock {
  now(): Millis;
  wall(): EpochSeconds;
}

export interface SystemClock extends Clock {
  /** CPU time of the calling thread so far, user and system, in µs. */
  cpuMicros(): number;
}

export interface MemoryClock extends Clock {
  /** Moves both hands on. @throws RangeError for a step back */
  advance(milliseconds: number): void;
}

/** What the machine offers, all in milliseconds. */
export interface TimeSources {
  /** Even, but stands still in suspend. */
  monotonic(): number;
  /** Counts suspend, coarse. */
  uptime(): number;
  wall(): number;
}

const LOOK_EVERY_MS = 10_000;
/** Above the grain of the uptime, below anything a lifetime cares about. */
const TOLERANCE_MS = 100;

export function systemClock(): SystemClock {
  const sources: TimeSources = {
    monotonic: () => Number(process.hrtime.bigint() / 1000n) / 1000,
    uptime: () => uptime() * 1000,
    wall: () => Date.now(),
  };
  return {
    now: suspendCounting(sources),
    wall: () => EpochSeconds(Math.floor(sources.wall() / 1000)),
    cpuMicros: () => {
      const { user, system } = process.threadCpuUsage();
      return user + system;
    },
  };
}

/** @returns a clock that never goes back and includes the time the machine slept */
export function suspendCounting({ monotonic, uptime: bootTime, wall }: TimeSources): () => Millis {
  let lookedAt = monotonic();
  const baseline = bootTime() - lookedAt;
  let drift = wall() - lookedAt;
  let sleptMs = 0;
  return () => {
    const awake = monotonic();
    // A step of the wall clock alone also leads here, and then adds nothing.
    if (Math.abs(wall() - awake - drift) > TOLERANCE_MS || awake - lookedAt > LOOK_EVERY_MS) {
      drift = wall() - awake;
      lookedAt = awake;
      const slept = bootTime() - awake - baseline;
      if (slept > sleptMs + TOLERANCE_MS) sleptMs = slept;
    }
    return Millis(awake + sleptMs);
  };
}

/** A clock that only moves when told. @param start  its wall time; `now` begins at 0 */
export function memoryClock(start: EpochSeconds): MemoryClock {
  let elapsedMs = 0;
  return {
    now: () => Millis(elapsedMs),
    wall: () => EpochSeconds(start + Math.floor(elapsedMs / 1000)),
    advance: (milliseconds) => {
      if (!(milliseconds >= 0)) throw new RangeError('time does not go back');
      elapsedMs += milliseconds;
    },
  };
}
