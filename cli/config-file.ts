/**
 * Reads a YAML configuration file against its schema; every problem is told with file, line, column and key.
 */
import { basename, dirname, resolve } from 'node:path';
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { z } from 'zod';
import { isPkcs11Uri } from '../hardware/pkcs11-uri.ts';
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
  const { first, left } = firstOf(parsed.error.issues);
  const found = problemsOf(first, value, jsonSchema).map((problem) => {
    const offset = offsetOf(document, problem.path, problem.atKey);
    const key = problem.path.length === 0 ? basename(path) : problem.path.join('.');
    return { offset, text: `${placeOf(path, lines, offset)}: ${key}: ${problem.text}` };
  });
  const told = found.sort((a, b) => a.offset - b.offset).map((one) => one.text);
  throw failure(told, left);
}

/** To find the place of one takes as long as the file is: a file full of them would take that squared. */
const MAX_LOCATED = 200;

/** @returns the issues to look at, and how many problems are left out; each unknown key is one */
function firstOf(issues: readonly z.core.$ZodIssue[]) {
  const first: z.core.$ZodIssue[] = [];
  let room = MAX_LOCATED;
  let left = 0;
  for (const issue of issues) {
    const keys = issue.code === 'unrecognized_keys' ? issue.keys : null;
    const taken = Math.min(room, keys?.length ?? 1);
    if (taken > 0) first.push(keys === null ? issue : ({ ...issue, keys: keys.slice(0, taken) } as z.core.$ZodIssue));
    left += (keys?.length ?? 1) - taken;
    room -= taken;
  }
  return { first, left };
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
    document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false, logLevel: 'error' });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw tooDeep(`${path}:1:1`); // the parser's own stack
  }
  const broken = [...document.errors, ...document.warnings];
  // or its own stack again, told as an error of the text
  const deepest = broken.find(({ message }) => /call stack/i.test(message));
  if (deepest !== undefined) throw tooDeep(placeOf(path, lines, deepest.pos[0]));
  if (broken.length > 0) {
    throw failure(
      broken.map(({ message, pos: [from] }) => {
        return `${placeOf(path, lines, from)}: no valid YAML: ${message.replace(/\s+/g, ' ')}`;
      }),
    );
  }
  const twice: string[] = [];
  const checkDepth = ({ range }: Node, above: number): void => {
    if (above > MAX_DEPTH) throw tooDeep(placeOf(path, lines, range?.[0] ?? 0));
  };
  visit(document, {
    Seq: (_, list, above) => checkDepth(list, above.length),
    Map: (_, map, above) => {
      checkDepth(map, above.length);
      // the parser would compare each key with each other one: seconds for a long map
      const seen = new Set<string>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        const name = String(key.value);
        const from = key.range?.[0] ?? 0;
        if (seen.has(name))
          twice.push(`${placeOf(path, lines, from)}: ${keyAt(text, from)}: given twice: keep one of them`);
        seen.add(name);
      }
    },
    Alias: (_, alias) => {
      const place = placeOf(path, lines, alias.range?.[0] ?? 0);
      throw failure([`${place}: *${alias.source}: aliases are not read here: write the value itself`]);
    },
  });
  if (twice.length > 0) throw failure(twice);
  return document;
}

/** Maps, lists, and what pairs a key with its value: far more than any configuration has. */
const MAX_DEPTH = 100;

const tooDeep = (place: string): Failure =>
  failure([`${place}: nested too deeply: a configuration needs a few levels`]);

/** @param uncounted  how many there are beside these lines */
function failure(lines: readonly string[], uncounted = 0): Failure {
  const told = lines.slice(0, MAX_PROBLEMS);
  const left = lines.length - told.length + uncounted;
  return new Failure('usage', 'config', left > 0 ? [...told, `and ${left} more`] : told);
}

function placeOf(path: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${path}:${Math.max(1, line)}:${Math.max(1, col)}`;
}

function keyAt(text: string, from: number): string {
  return /^[^\s:]+/.exec(text.slice(from, from + 64))?.[0] ?? 'a key';
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

const PATH_KEY = /(?:^file|File|Files|Directory)$/;

function withAbsolutePaths(value: unknown, folder: string, key = ''): unknown {
  if (typeof value === 'string') {
    const isPath = PATH_KEY.test(key) && !(key === 'keyFile' && isPkcs11Uri(value));
    return isPath ? resolve(folder, value) : value;
  }
  if (Array.isArray(value)) return value.map((item) => withAbsolutePaths(item, folder, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withAbsolutePaths(item, folder, name)]));
}
