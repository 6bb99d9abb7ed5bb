/**
 * A time of day, on some days of the week, in a time zone: when a rule holds.
 */
import type { EpochSeconds } from '../protocol/units.ts';

export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Day = (typeof DAYS)[number];

export interface TimeWindow {
  /** Minutes after midnight; a window that ends before it begins ends on the next day. */
  readonly fromMinute: number;
  readonly toMinute: number;
  /** On which it begins. */
  readonly days: readonly Day[];
  /** Of the IANA database, `UTC` among them. */
  readonly timeZone: string;
}

const DAY_MINUTES = 1440;

/** Whether a moment lies within; the end does not belong to it. */
export function isWithin({ fromMinute, toMinute, days, timeZone }: TimeWindow, wall: EpochSeconds): boolean {
  const { day, minute } = localTime(wall, timeZone);
  const before = (day + 6) % 7;
  if (fromMinute < toMinute) return days.includes(DAYS[day]!) && minute >= fromMinute && minute < toMinute;
  return (days.includes(DAYS[day]!) && minute >= fromMinute) || (days.includes(DAYS[before]!) && minute < toMinute);
}

export const isTimeZone = (name: string): boolean => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
};

/** @param timeZone a known one */
function localTime(wall: EpochSeconds, timeZone: string): { readonly day: number; readonly minute: number } {
  if (timeZone === 'UTC') {
    const minutes = Math.floor(wall / 60);
    return { day: (Math.floor(minutes / DAY_MINUTES) + 4) % 7, minute: minutes % DAY_MINUTES }; // 1970 began on a Thursday
  }
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(new Date(wall * 1000));
  const part = (type: string): string => parts.find((one) => one.type === type)?.value ?? '';
  return {
    day: DAYS.indexOf(part('weekday').toLowerCase() as Day),
    minute: Number(part('hour')) * 60 + Number(part('minute')),
  };
}
