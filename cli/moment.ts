/**
 * A moment as people give it on the command line.
 */
import { InvalidArgumentError } from 'commander';

/** Seconds since 1970. @throws InvalidArgumentError for anything but a date with time and zone */
export function momentOf(text: string): number {
  const whole = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(text);
  const moment = whole && isDay(text.slice(0, 10)) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(moment)) throw new InvalidArgumentError('It has to be a moment such as 2026-01-05T23:00:00Z.');
  return Math.floor(moment / 1000);
}

/** Whether the month has that day: `Date.parse` takes the 30th of February for the 2nd of March. */
function isDay(text: string): boolean {
  const day = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(day) && new Date(day).toISOString().startsWith(text);
}
