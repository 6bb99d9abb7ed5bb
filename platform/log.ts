/**
 * The log: stable event names with fields, one line each, to stderr; never the contents of a byte string or a secret.
 */
import { type DestinationStream, pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/** @param event  a name that stays the same for ever: `device.logged-in` */
type Write = (event: string, fields?: LogFields) => void;

export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
}

export interface LogOptions {
  /** Of the service; stands in JSON lines. */
  readonly name: string;
  readonly level: LogLevel | 'silent';
  /** JSON lines for collectors; otherwise lines for people: `HH:MM:SS level event key=value …`. */
  readonly json: boolean;
  /** Gets whole lines; stderr when absent. */
  readonly destination?: { write(line: string): unknown };
}

const MAX_DEPTH = 4;
const MAX_TEXT = 1000;
const OWN_KEYS = ['level', 'time', 'name', 'event'];

export function createLog({ name, level, json, destination = process.stderr }: LogOptions): Log {
  const stream: DestinationStream = {
    write: (line) => void destination.write(json ? line : readable(line)),
  };
  const logger = pino(
    {
      level,
      base: { name },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stream,
  );
  const at =
    (own: LogLevel): Write =>
    (event, fields = {}) => {
      if (logger.isLevelEnabled(own)) logger[own](shownFields(fields), event);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** @returns the fields as they may be printed; a field cannot pose as one of the log's own */
function shownFields(fields: LogFields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [OWN_KEYS.includes(key) ? `${key}_` : key, shown(value, 1)]),
  );
}

function shown(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (isSecret(value)) return '[secret]';
  if (value instanceof Error) return shown(value.message, depth);
  if (depth >= MAX_DEPTH) return '[…]';
  if (Array.isArray(value)) return value.map((item) => shown(item, depth + 1));
  if (value instanceof Map) return shown(Object.fromEntries(value), depth);
  if (value instanceof Set) return shown([...value], depth);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shown(item, depth + 1)]));
}

/** Whatever calls itself `[secret]` when printed is one, and nothing inside it is looked at. */
function isSecret(value: object): boolean {
  if (value.constructor?.name === 'Secret') return true;
  const printsItself = !Array.isArray(value) && value.toString !== Object.prototype.toString;
  return printsItself && typeof value.toString === 'function' && String(value) === '[secret]';
}

function readable(line: string): string {
  const { level, time, event, name: _, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(String(time)).toTimeString().slice(0, 8);
  const pairs = Object.entries(fields).map(([key, value]) => ` ${quoted(key)}=${quoted(value)}`);
  return `${clock} ${String(level).padEnd(5)} ${quoted(event)}${pairs.join('')}\n`;
}

/** Bare when it is one plain word. Everything that could steer a terminal or begin a line is escaped. */
function quoted(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (typeof value === 'string' && /^[\p{L}\p{N}_.:/@+,[\]%~-]+$/u.test(value)) return value;
  return JSON.stringify(value).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
