/**
 * What programs give with a command on the control socket, checked.
 */
import { ControlError, type JsonValue } from '../platform/control-socket.ts';

export type Args = { readonly [key: string]: JsonValue };

export function asObject(args: JsonValue): Args {
  return args !== null && typeof args === 'object' && !Array.isArray(args) ? (args as Args) : {};
}

/** @throws ControlError `usage` */
export function textOf(value: JsonValue | undefined, name: string): string {
  if (typeof value !== 'string' || value.length === 0) throw new ControlError('usage', `${name} is missing`);
  return value.normalize('NFC');
}

/** @returns null when it is not given @throws ControlError `usage` */
export function optionalText(value: JsonValue | undefined, name: string): string | null {
  return value === undefined || value === null ? null : textOf(value, name);
}

/** @throws ControlError `usage` */
export function numberOf(value: JsonValue, name: string, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new ControlError('usage', `${name}: a whole number from ${min} to ${max}`);
  }
  return value;
}
