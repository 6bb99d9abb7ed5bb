/**
 * What a command prints: its result on stdout, as JSON or for people; remarks only where a person looks on.
 */
import type { JsonValue } from '../platform/control-socket.ts';

export interface Output {
  readonly json: boolean;
  /** The one result. @param text  the same for people, without the last line break */
  result(value: unknown, text: string): void;
  /** One of many results, as they come. */
  item(value: unknown, text: string): void;
  /** A remark for the person at the terminal: what to do next. */
  remark(text: string): void;
}

export function createOutput(json: boolean, stdout: NodeJS.WriteStream = process.stdout): Output {
  const print = (value: unknown, text: string): void => {
    stdout.write(json ? `${JSON.stringify(value)}\n` : text === '' ? '' : `${text}\n`);
  };
  return {
    json,
    result: print,
    item: print,
    remark: (text) => {
      if (!json && stdout.isTTY) stdout.write(`${text}\n`);
    },
  };
}

/** Control characters, and those that turn or hide text. */
const STEERING = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Text of somebody else, with everything escaped that could steer a terminal or begin a line. */
export function printable(text: string): string {
  return text.replace(STEERING, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
}

/** A table for people; columns as wide as their longest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd();
  return all.map(line).join('\n');
}

/** Any JSON value as indented `key  value` lines. */
export function outline(value: JsonValue, indent = ''): string {
  if (!isObject(value) && !Array.isArray(value)) return `${indent}${scalar(value)}`;
  const entries: readonly (readonly [string, JsonValue])[] = Array.isArray(value)
    ? value.map((item) => ['-', item] as const)
    : Object.entries(value);
  const width = Math.max(0, ...entries.filter(([, item]) => isPlain(item)).map(([key]) => printable(key).length));
  return entries
    .map(([key, item]) =>
      isPlain(item)
        ? `${indent}${printable(key).padEnd(width)}  ${scalar(item)}`
        : `${indent}${printable(key)}\n${outline(item, `${indent}  `)}`,
    )
    .join('\n');
}

/** `2026-03-01 12:00` in UTC. @param epochSeconds since 1970 */
export function date(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toISOString().slice(0, 16).replace('T', ' ');
}

type JsonObject = { readonly [key: string]: JsonValue };

export function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field of an object, as text for a table; `–` when there is none. */
export function cell(value: JsonValue | undefined, key: string): string {
  return isObject(value) ? scalar(value[key] ?? null) : '–';
}

/** The items of what should be a list of objects. */
export function objects(value: JsonValue): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function isPlain(value: JsonValue): boolean {
  if (Array.isArray(value)) return value.every((item) => !isObject(item) && !Array.isArray(item));
  return !isObject(value) || Object.keys(value).length === 0;
}

function scalar(value: JsonValue): string {
  if (value === null) return '–';
  if (value === true) return 'yes';
  if (value === false) return 'no';
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.length === 0 ? '–' : value.map(scalar).join(', ');
  if (isObject(value)) return Object.keys(value).length === 0 ? '–' : JSON.stringify(value);
  return String(value);
}
