/**
 * What is wrong with a configuration, in words: zod's findings beside what the schema allows at that place.
 */
import type { z } from 'zod';

export type ConfigPath = readonly PropertyKey[];

export interface Problem {
  readonly path: ConfigPath;
  /** `what, allowed: …` */
  readonly text: string;
  /** The key itself is what is wrong, not its value. */
  readonly atKey: boolean;
}

type Issue = z.core.$ZodIssue;
type JsonSchema = z.core.JSONSchema.BaseSchema;

/** @param value  what was read @param schema  of the whole file, as JSON Schema of the input */
export function problemsOf(issues: readonly Issue[], value: unknown, schema: JsonSchema): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, value, schema));
}

function problemsOfIssue(issue: Issue, value: unknown, schema: JsonSchema): Problem[] {
  const { path } = issue;
  const here = schemaAt(schema, path, value);
  const one = (what: string, allowed: string = allowedBy(here)): Problem[] => [
    { path, text: `${what}, allowed: ${allowed}`, atKey: false },
  ];
  const found = valueAt(value, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(key, path, keysOf(here, found)));
    case 'invalid_type':
      return found === undefined ? one('missing') : one(`is ${kindOf(found)}`);
    case 'invalid_value':
      return found === undefined ? one('missing') : one('no such value');
    case 'invalid_union': {
      if (found === undefined) return one('missing');
      if (issue.errors.length === 0) return one('no such value', choicesOf(issue));
      const [meant] = issue.errors
        .filter((inner) => !inner.some(({ code, path: { length } }) => WHOLLY.includes(code) && length === 0))
        .sort((a, b) => strangeness(a) - strangeness(b));
      if (meant === undefined) return one(`is ${kindOf(found)}`);
      const lifted = meant.map((each) => ({ ...each, path: [...path, ...each.path] }));
      return problemsOf(lifted, value, schema);
    }
    case 'too_small':
      return one('too small or too short');
    case 'too_big':
      return one('too large or too long');
    case 'not_multiple_of':
      return one('no whole multiple');
    case 'invalid_format':
      return one('not of the right form', issue.message.startsWith('Invalid') ? allowedBy(here) : issue.message);
    case 'invalid_key':
      return one('no such key');
    default:
      return [{ path, text: issue.message, atKey: false }];
  }
}

/** At the root of a form: it is another kind of value altogether. */
const WHOLLY: readonly string[] = ['invalid_type', 'invalid_value'];

/** Of several forms the one was probably meant whose problems are few and deep down. */
function strangeness(issues: readonly Issue[]): number {
  return issues.reduce((sum, { path }) => sum + 1 / (1 + path.length), 0);
}

function unknownKey(key: string, path: ConfigPath, known: readonly string[]): Problem {
  const near = nearest(key, known);
  const question = near === null ? '' : ` (did you mean ${near}?)`;
  return { path: [...path, key], text: `unknown key${question}, allowed: ${known.join(', ')}`, atKey: true };
}

function choicesOf(issue: Issue & { code: 'invalid_union' }): string {
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options : [];
  return options.map(String).join(' or ');
}

// ── the schema ──────────────────────────────────────────────────────────────────────────────────────────────────────

function formsOf(schema: JsonSchema | undefined, value: unknown): readonly JsonSchema[] {
  if (schema === undefined) return [];
  const forms = (schema.anyOf ?? schema.oneOf ?? [schema]) as readonly JsonSchema[];
  const fitting = forms.filter((form) => consistent(form, value));
  return fitting.length === 0 ? forms : fitting;
}

/** Whether nothing that the form demands literally is contradicted. */
function consistent(form: JsonSchema, value: unknown): boolean {
  const properties = Object.entries(form.properties ?? {}) as [string, JsonSchema][];
  return properties.every(([key, { const: literal }]) => {
    const found = valueAt(value, [key]);
    return literal === undefined || found === undefined || found === literal;
  });
}

function schemaAt(schema: JsonSchema, path: ConfigPath, value: unknown): JsonSchema | undefined {
  let here: JsonSchema | undefined = schema;
  for (const [depth, segment] of path.entries()) {
    const forms = formsOf(here, valueAt(value, path.slice(0, depth)));
    here = forms.map((form) => memberOf(form, segment)).find((member) => member !== undefined);
  }
  return here;
}

function memberOf(form: JsonSchema, segment: PropertyKey): JsonSchema | undefined {
  const member = form.properties?.[String(segment)] ?? form.additionalProperties ?? form.items;
  return typeof member === 'object' && !Array.isArray(member) ? (member as JsonSchema) : undefined;
}

function keysOf(schema: JsonSchema | undefined, value: unknown): readonly string[] {
  return [...new Set(formsOf(schema, value).flatMap((form) => Object.keys(form.properties ?? {})))];
}

/** What may stand there, in a few words. */
function allowedBy(schema: JsonSchema | undefined): string {
  if (schema === undefined) return 'see the example that `config` prints';
  const forms = (schema.anyOf ?? schema.oneOf) as readonly JsonSchema[] | undefined;
  if (forms !== undefined) return [...new Set(forms.map(allowedBy))].join(' or ');
  if (schema.enum !== undefined) return schema.enum.join(', ');
  if (schema.const !== undefined) return String(schema.const);
  switch (schema.type) {
    case 'integer':
      return `a whole number${rangeOf(schema.minimum, schema.maximum)}`;
    case 'number':
      return `a number${rangeOf(schema.minimum, schema.maximum)}`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return `text${rangeOf(schema.minLength, schema.maxLength, ' characters')}`;
    case 'array':
      return `a list${rangeOf(schema.minItems, schema.maxItems, ' entries')}`;
    case 'object': {
      const keys = Object.keys(schema.properties ?? {});
      return keys.length === 0 ? 'a map' : `a map with ${keys.join(', ')}`;
    }
    case 'null':
      return 'null';
    default:
      return 'see the example that `config` prints';
  }
}

function rangeOf(from: number | undefined, to: number | undefined, unit = ''): string {
  const top = to === undefined || to >= Number.MAX_SAFE_INTEGER ? null : to;
  const bottom = from === undefined || from <= Number.MIN_SAFE_INTEGER ? null : from;
  if (bottom !== null && top !== null) return ` from ${bottom} to ${top}${unit}`;
  if (bottom !== null) return ` of at least ${bottom}${unit}`;
  return top === null ? '' : ` of at most ${top}${unit}`;
}

// ── the value ───────────────────────────────────────────────────────────────────────────────────────────────────────

function valueAt(value: unknown, path: ConfigPath): unknown {
  let here: unknown = value;
  for (const segment of path) {
    if (typeof here !== 'object' || here === null || !Object.hasOwn(here, segment)) return undefined;
    here = (here as Record<PropertyKey, unknown>)[segment];
  }
  return here;
}

function kindOf(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return 'text';
    case 'number':
    case 'bigint':
      return 'a number';
    case 'boolean':
      return 'true or false';
    default:
      return 'a map';
  }
}

/** @returns the known key that differs least, spelling habits (`key_file`) aside; null when none is near */
export function nearest(key: string, known: readonly string[]): string | null {
  const plain = (text: string): string => text.toLowerCase().replace(/[-_]/g, '');
  const ranked = known
    .map((one) => ({ one, steps: distance(plain(key), plain(one)) }))
    .sort((a, b) => a.steps - b.steps);
  const [best] = ranked;
  return best !== undefined && best.steps <= Math.max(1, Math.floor(best.one.length / 3)) ? best.one : null;
}

/** Letters changed, left out, added, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  if (a.length > 64) return a.length;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
          ? before[j - 2]! + 1
          : Number.POSITIVE_INFINITY;
      next.push(Math.min(changed, swapped, row[j]! + 1, next[j - 1]! + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
