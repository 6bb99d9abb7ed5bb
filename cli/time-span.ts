/**
 * A length of time as people give it on the command line: `90s`, `10m`, `2h`, `7d`; a bare number is seconds.
 */
import { InvalidArgumentError } from 'commander';

const UNIT_SECONDS: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, h: 3600, d: 86_400 };

/** For options that take one; both ends, in seconds, included. @throws InvalidArgumentError otherwise */
export function timeSpan(min: number, max: number): (text: string) => number {
  return (text) => {
    const [, digits = '', unit = ''] = /^(\d{1,9})([smhd]?)$/.exec(text) ?? [];
    const value = Number(digits) * UNIT_SECONDS[unit]!;
    if (digits !== '' && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`It has to be a time such as 90s, 10m or 2h, from ${min} s to ${max} s.`);
  };
}
