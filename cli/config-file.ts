/**
 * Reads a YAML configuration file against its schema; every problem is told with file, line, column and key.
 */
import { basename, dirname, resolve } from 'node:path';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { FileFault, readBounded } from '../platform/files.ts';
import { decodeUtf8 } from '../protocol/bytes.ts';
import { type ConfigPath, problemsOf } from './config-problems.ts';
import { Failure } from './failure.ts';

export const MAX_CONFIG_BYTES = 256 * 1024;
/** A file that is wrong from top to bottom need not fill the screen. */
const MAX_PROBLEMS = 10;

/**
 * @returns the settings with their defaults; relative paths in keys that end in File, Files or Directory are resolved
 *          against the folder of the configuration file
 * @throws  Failure `config`, a line for each problem; FileFault when there is no file to read
 */
export function readConfigFile<Schema extends z.ZodType>(path: string, schema: Schema): z.output<Schema> {
  return parseConfig(readText(path), path, schema);
}

/** The same for the text of a file. @param path  for messages, and what relative paths are relative to */
export function parseConfig<Schema extends z.ZodType>(text: string, path: string, schema: Schema): z.output<Schema> {
  const lines = new LineCounter();
  const document = readDocument(text, path, lines);
  const value: unknown = document.toJS() ?? {};
  const parsed = schema.safeParse(value);
  if (parsed.success) return withAbsolutePaths(parsed.data, dirname(resolve(path))) as z.output<Schema>;
  const jsonSchema = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const found = problemsOf(parsed.error.issues, value, jsonSchema).map((problem) => {
    const offset = offsetOf(document, problem.path, problem.atKey);
    const key = problem.path.length === 0 ? basename(path) : problem.path.join('.');
    return { offset, text: `${placeOf(path, lines, offset)}: ${key}: ${problem.text}` };
  });
  throw failure(found.sort((a, b) => a.offset - b.offset).map((one) => one.text));
}

/** @returns the keys on the outermost level; none when it is no map @throws as `readConfigFile` */
export function outermostKeys(path: string): readonly string[] {
  const { contents } = readDocument(readText(path), path, new LineCounter());
  return isMap(contents) ? contents.items.map(({ key }) => (isScalar(key) ? String(key.value) : '')) : [];
}

/** For problems that no schema finds. @returns where in such a text the value of a key stands: `path:line:col` */
export function placesIn(text: string, path: string): (key: ConfigPath) => string {
  const lines = new LineCounter();
  const document = readDocument(text, path, lines);
  return (key) => placeOf(path, lines, offsetOf(document, key, false));
}

const readText = (path: string): string => textOf(readBounded(path, MAX_CONFIG_BYTES), path);

/** @throws FileFault when the bytes are no text */
export function textOf(bytes: Uint8Array, path: string): string {
  try {
    return decodeUtf8(bytes);
  } catch {
    throw new FileFault('unreadable', path, 'not UTF-8 text; save it as UTF-8');
  }
}

function readDocument(text: string, path: string, lines: LineCounter): Document.Parsed {
  let document: Document.Parsed;
  try {
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, logLevel: 'error' });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw failure([`${path}:1:1: nested too deeply: a configuration needs a few levels`]); // the parser's own stack
  }
  const broken = [...document.errors, ...document.warnings];
  if (broken.length > 0) {
    throw failure(
      broken.map(({ code, message, pos: [from, to] }) => {
        const place = placeOf(path, lines, from);
        if (code === 'DUPLICATE_KEY') return `${place}: ${keyAt(text, from, to)}: given twice: keep one of them`;
        return `${place}: no valid YAML: ${message.replace(/\s+/g, ' ')}`;
      }),
    );
  }
  visit(document, {
    Alias: (_, alias) => {
      const place = placeOf(path, lines, alias.range?.[0] ?? 0);
      throw failure([`${place}: *${alias.source}: aliases are not read here: write the value itself`]);
    },
  });
  return document;
}

function failure(lines: readonly string[]): Failure {
  const left = lines.length - MAX_PROBLEMS;
  return new Failure('usage', 'config', left > 0 ? [...lines.slice(0, MAX_PROBLEMS), `and ${left} more`] : lines);
}

function placeOf(path: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${path}:${Math.max(1, line)}:${Math.max(1, col)}`;
}

function keyAt(text: string, from: number, to: number): string {
  return /^[^\s:]+/.exec(text.slice(from, Math.max(to, from + 64)))?.[0] ?? 'a key';
}

/** @returns where the value of that path begins; of what is not there: its nearest parent. @param atKey its key instead */
function offsetOf(document: Document.Parsed, path: ConfigPath, atKey: boolean): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [depth, segment] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(segment));
      if (pair === undefined) return offset;
      const keyOffset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value as Node | null;
      offset = depth === path.length - 1 && atKey ? keyOffset : (node?.range?.[0] ?? keyOffset);
    } else if (isSeq(node)) {
      node = (node.items[Number(segment)] as Node | undefined) ?? null;
      if (node === null || isAlias(node)) return offset;
      offset = node.range?.[0] ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

const PATH_KEY = /(?:File|Files|Directory)$/;

function withAbsolutePaths(value: unknown, folder: string, key = ''): unknown {
  if (typeof value === 'string') return PATH_KEY.test(key) ? resolve(folder, value) : value;
  if (Array.isArray(value)) return value.map((item) => withAbsolutePaths(item, folder, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withAbsolutePaths(item, folder, name)]));
}
