/**
 * What operators give with a command on the control socket, checked.
 */
import { ControlError, type JsonValue } from '../platform/control-socket.ts';
import type { EpochSeconds } from '../protocol/units.ts';

export function field(args: JsonValue, key: string): JsonValue | undefined {
  return args !== null && typeof args === 'object' && !Array.isArray(args)
    ? (args as Record<string, JsonValue>)[key]
    : undefined;
}

export function text(args: JsonValue, key: string): string {
  const value = field(args, key);
  if (typeof value !== 'string') throw new ControlError('usage', `${key} is missing`);
  return value;
}

export function number(args: JsonValue, key: string): number {
  const value = field(args, key);
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new ControlError('usage', `${key} is missing`);
  return value;
}

/** The store holds no later one. */
const LAST_MOMENT = 0xffff_ffff;

export function momentOf(args: JsonValue, key: string): EpochSeconds {
  const moment = number(args, key);
  if (moment > LAST_MOMENT) throw new ControlError('usage', `${key}: no later than the year 2106`);
  return moment as EpochSeconds;
}

export const optionalNumber = (args: JsonValue, key: string): number | null =>
  (field(args, key) ?? null) === null ? null : number(args, key);

export const flag = (args: JsonValue, key: string): boolean => field(args, key) === true;

export function texts(args: JsonValue, key: string, atMost: number): readonly string[] {
  const value = field(args, key) ?? [];
  const isFine = Array.isArray(value) && value.every((one) => typeof one === 'string' && one.length > 0);
  if (!isFine || value.length > atMost) throw new ControlError('usage', `${key}: up to ${atMost} texts`);
  return value as readonly string[];
}

export function optionalText(args: JsonValue, key: string): string | null {
  return (field(args, key) ?? null) === null ? null : text(args, key);
}
