/**
 * A time of day, on some days of the week, in a time zone: when a rule holds, at the manager or on a device. What the clocks there show decides, so a night
 * in which they are put back is an hour longer.
 */
import type { EpochSeconds } from './units.ts';

export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Day = (typeof DAYS)[number];

export const DAY_MINUTES = 1440;

export interface WindowBounds {
  /** Minutes after midnight, 0 to 1440. A window that ends before it begins ends on the next day. */
  readonly fromMinute: number;
  /** Does not belong to it; the same as `fromMinute`: the window is empty. */
  readonly toMinute: number;
  /** On which it begins. */
  readonly days: readonly Day[];
  /** Of the IANA database, `UTC` among them. */
  readonly timeZone: string;
}

export interface TimeWindow extends WindowBounds {
  /** Made once, for each match asks it. */
  readonly clock: LocalClock;
}

/** What clocks in some time zone show. */
export type LocalClock = (wall: EpochSeconds) => {
  /** 0: Sunday. */
  readonly day: number;
  readonly minute: number;
};

/** @param clock of that time zone; windows may share one */
export const timeWindow = (bounds: WindowBounds, clock: LocalClock = localClock(bounds.timeZone)): TimeWindow => ({
  ...bounds,
  clock,
});

/** Whether a moment lies within; the end does not belong to it. */
export const isWithin = (window: TimeWindow, wall: EpochSeconds): boolean => isShown(window, window.clock(wall));

/** Whether clocks that show this are within; the end does not belong to it. */
export function isShown(
  { fromMinute, toMinute, days }: Omit<WindowBounds, 'timeZone'>,
  { day, minute }: ReturnType<LocalClock>,
): boolean {
  if (fromMinute === toMinute) return false;
  if (fromMinute < toMinute) return minute >= fromMinute && minute < toMinute && days.includes(DAYS[day]!);
  return minute >= fromMinute ? days.includes(DAYS[day]!) : minute < toMinute && days.includes(DAYS[(day + 6) % 7]!);
}

export const isTimeZone = (name: string): boolean => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
};

/**
 * @param timeZone a known one
 * @returns a clock that looks into the tables of the time zone once a minute at most: no zone differs from UTC by a part of
 *          a minute since 1972
 */
export function localClock(timeZone: string): LocalClock {
  if (timeZone === 'UTC') {
    return (wall) => {
      const minutes = Math.floor(wall / 60);
      const days = Math.floor(minutes / DAY_MINUTES);
      // 1970 began on a Thursday; `--at` may ask for earlier times
      return { day: (((days + 4) % 7) + 7) % 7, minute: minutes - days * DAY_MINUTES };
    };
  }
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  let shownAt = Number.NaN;
  let shown = { day: 0, minute: 0 };
  return (wall) => {
    const minutes = Math.floor(wall / 60);
    if (minutes === shownAt) return shown;
    const parts = format.formatToParts(new Date(wall * 1000));
    const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
    shownAt = minutes;
    shown = {
      day: DAYS.indexOf(part('weekday').toLowerCase() as Day),
      minute: Number(part('hour')) * 60 + Number(part('minute')),
    };
    return shown;
  };
}
