/**
 * The schema kit: a message is defined once (label, type, bounds, meaning); encoder, strict decoder, TypeScript type,
 * CDDL and the wire document all come from that definition.
 */
import { utf8Length } from './bytes.ts';
import { type CborItem, decode, decodeSequence, encode, encodeSequence } from './cbor.ts';
import { ProtocolError } from './errors.ts';

/** How one kind of value stands on the wire. */
export interface Type<T> {
  /** @throws RangeError when the value breaks a bound: our bug, never the peer's */
  toItem(value: T): CborItem;
  /** @throws ProtocolError malformed, with `where` in the detail */
  fromItem(item: CborItem, where: string): T;
  readonly cddl: string;
}

export type Value<X> = X extends Type<infer T> ? T : X extends { readonly type: Type<infer T> } ? T : never;

export interface Field<T, Optional extends boolean> {
  readonly label: number;
  readonly type: Type<T>;
  readonly optional: Optional;
  readonly meaning: string;
}

export type Fields = Readonly<Record<string, Field<never, boolean> | Field<unknown, boolean>>>;

type ValueOf<X> = X extends { readonly type: Type<infer T> } ? T : never;

type FieldValues<F extends Fields> = {
  readonly [K in keyof F as F[K]['optional'] extends true ? never : K]: ValueOf<F[K]>;
} & {
  readonly [K in keyof F as F[K]['optional'] extends true ? K : never]?: ValueOf<F[K]> | undefined;
};

export interface Message<F extends Fields> {
  readonly name: string;
  /** Number under label 0; null for a message whose kind is told by its place. */
  readonly number: number | null;
  readonly meaning: string;
  readonly fields: F;
  readonly type: Type<FieldValues<F>>;
  encode(value: FieldValues<F>): Uint8Array;
  /** @throws ProtocolError malformed | tooLarge */
  decode(bytes: Uint8Array): FieldValues<F>;
}

const malformed = (where: string, what: string): ProtocolError => new ProtocolError('malformed', `${where}: ${what}`);
const unfit = (what: string): RangeError => new RangeError(`cannot encode: ${what}`);

export function uint(min = 0, max = Number.MAX_SAFE_INTEGER): Type<number> {
  const fits = (n: unknown): n is number => typeof n === 'number' && Number.isSafeInteger(n) && n >= min && n <= max;
  return {
    toItem(value) {
      if (!fits(value)) throw unfit(`${value} is not in ${min}..${max}`);
      return value;
    },
    fromItem(item, where) {
      if (!fits(item)) throw malformed(where, `not an integer in ${min}..${max}`);
      return item;
    },
    cddl: min === max ? `${min}` : `${min}..${max}`,
  };
}

export const bool: Type<boolean> = {
  toItem: (value) => value,
  fromItem(item, where) {
    if (typeof item !== 'boolean') throw malformed(where, 'not true or false');
    return item;
  },
  cddl: 'bool',
};

/** A byte string; decoded as a view of the message. Lengths in bytes. */
export function bytes(min: number, max: number = min): Type<Uint8Array> {
  return {
    toItem(value) {
      if (value.length < min || value.length > max) throw unfit(`${value.length} bytes, wanted ${min}..${max}`);
      return value;
    },
    fromItem(item, where) {
      if (!(item instanceof Uint8Array)) throw malformed(where, 'not a byte string');
      if (item.length < min || item.length > max) throw malformed(where, `${item.length} bytes, wanted ${min}..${max}`);
      return item;
    },
    cddl: `bstr .size ${min === max ? min : `(${min}..${max})`}`,
  };
}

/** Text in NFC without control characters. Lengths in bytes of UTF-8, as CDDL counts them. */
export function text<T extends string = string>(min: number, max: number): Type<T> {
  const controls = /\p{Cc}/u;
  // A UTF-16 unit makes one to three bytes: most texts need no counting.
  const fits = (value: string): boolean => {
    if (value.length >= min && value.length * 3 <= max) return true;
    const length = utf8Length(value);
    return length >= min && length <= max;
  };
  return {
    toItem(value) {
      if (!fits(value)) throw unfit(`text of ${utf8Length(value)} bytes, wanted ${min}..${max}`);
      return value;
    },
    fromItem(item, where) {
      if (typeof item !== 'string') throw malformed(where, 'not text');
      if (!fits(item)) throw malformed(where, `text of ${utf8Length(item)} bytes, wanted ${min}..${max}`);
      if (controls.test(item) || item.normalize('NFC') !== item)
        throw malformed(where, 'control characters, or not NFC');
      return item as T;
    },
    cddl: `tstr .size (${min}..${max})`,
  };
}

/** A closed set of words, each a number on the wire. */
export function choice<Word extends string>(words: Readonly<Record<Word, number>>): Type<Word> & { words: Word[] } {
  const byNumber = new Map<number, Word>();
  for (const word of Object.keys(words) as Word[]) byNumber.set(words[word], word);
  return {
    words: Object.keys(words) as Word[],
    toItem(value) {
      const number = words[value];
      if (number === undefined) throw unfit(`unknown word ${value}`);
      return number;
    },
    fromItem(item, where) {
      const word = byNumber.get(item as number);
      if (word === undefined) throw malformed(where, 'not one of the closed set');
      return word;
    },
    cddl: `&(${(Object.entries(words) as [Word, number][]).map(([w, n]) => `${w}: ${n}`).join(', ')})`,
  };
}

/** A number of a set that grew since this program was made: kept as it came, so that a hash over it stays the same. */
export type Later = `later-${number}`;

/** A set of words that later versions add to. @param max  the highest number that may stand there */
export function openChoice<Word extends string>(
  words: Readonly<Record<Word, number>>,
  max: number,
): Type<Word | Later> & { words: Word[] } {
  const known = choice(words);
  const numbers = new Set<CborItem>(Object.values<number>(words));
  const others = uint(0, max);
  return {
    words: known.words,
    toItem: (value) =>
      value.startsWith('later-') ? others.toItem(Number(value.slice('later-'.length))) : known.toItem(value as Word),
    fromItem: (item, where) =>
      numbers.has(item) ? known.fromItem(item, where) : (`later-${others.fromItem(item, where)}` as const),
    cddl: `${known.cddl} / ${others.cddl}`,
  };
}

export function array<T>(of: Type<T>, min: number, max: number): Type<readonly T[]> {
  return {
    toItem(value) {
      if (value.length < min || value.length > max) throw unfit(`${value.length} elements, wanted ${min}..${max}`);
      return value.map((element) => of.toItem(element));
    },
    fromItem(item, where) {
      if (!Array.isArray(item)) throw malformed(where, 'not an array');
      if (item.length < min || item.length > max)
        throw malformed(where, `${item.length} elements, wanted ${min}..${max}`);
      return item.map((element: CborItem, i) => of.fromItem(element, `${where}[${i}]`));
    },
    cddl: `[${min}*${max} ${of.cddl}]`,
  };
}

export function required<T>(label: number, type: Type<T>, meaning: string): Field<T, false> {
  return { label, type, optional: false, meaning };
}

export function optional<T>(label: number, type: Type<T>, meaning: string): Field<T, true> {
  return { label, type, optional: true, meaning };
}

/**
 * Defines a message: a map of integer labels, in ascending order. `number` stands under label 0 and tells messages of a
 * family apart; null where the place tells.
 */
export function message<F extends Fields>(name: string, number: number | null, meaning: string, fields: F): Message<F> {
  const rows = Object.entries(fields)
    .map(([key, field]) => ({ key, ...(field as Field<unknown, boolean>) }))
    .sort((a, b) => a.label - b.label);
  const type: Type<FieldValues<F>> = {
    toItem(value) {
      const map = new Map<number, CborItem>();
      if (number !== null) map.set(0, number);
      for (const row of rows) {
        const given = (value as Record<string, unknown>)[row.key];
        if (given !== undefined) map.set(row.label, row.type.toItem(given));
        else if (!row.optional) throw unfit(`${name}.${row.key} is missing`);
      }
      return map;
    },
    fromItem(item, where) {
      if (!(item instanceof Map)) throw malformed(where, 'not a map');
      if (number !== null && item.get(0) !== number) throw malformed(where, `not a ${name}`);
      const value: Record<string, unknown> = {};
      let known = number === null ? 0 : 1;
      for (const row of rows) {
        const found = item.get(row.label);
        if (found !== undefined) {
          value[row.key] = row.type.fromItem(found, `${where}.${row.key}`);
          known++;
        } else if (!row.optional) throw malformed(where, `${row.key} is missing`);
      }
      if (known !== item.size) throw malformed(where, 'unknown labels');
      return value as FieldValues<F>;
    },
    cddl: name,
  };
  return {
    name,
    number,
    meaning,
    fields,
    type,
    encode: (value) => encode(type.toItem(value)),
    decode: (encoded) => type.fromItem(decode(encoded), name),
  };
}

type AnyMessage = Message<never> | Message<Fields>;

/** A decoded message of a family, told apart by `kind`. */
export type OneOf<M extends Readonly<Record<string, unknown>>> = {
  [K in keyof M & string]: { readonly kind: K } & Value<M[K]>;
}[keyof M & string];

export interface Family<M extends Readonly<Record<string, unknown>>> {
  readonly name: string;
  readonly messages: M;
  encode(message: OneOf<M>): Uint8Array;
  /** @throws ProtocolError malformed | tooLarge */
  decode(bytes: Uint8Array): OneOf<M>;
  /** Several messages in one payload. */
  /** @throws RangeError for more than 16 */
  encodeAll(messages: readonly OneOf<M>[]): Uint8Array;
  /** @throws ProtocolError malformed | tooLarge; at most 16 messages */
  decodeAll(bytes: Uint8Array): OneOf<M>[];
}

const MAX_MESSAGES_PER_PAYLOAD = 16;

/** Messages that share a place and are told apart by the number under label 0. */
export function family<M extends Readonly<Record<string, unknown>>>(name: string, messages: M): Family<M> {
  const byNumber = new Map<number, { kind: string; definition: Message<Fields> }>();
  const byKind = new Map<string, Message<Fields>>();
  for (const [kind, definition] of Object.entries(messages) as [string, AnyMessage][]) {
    const known = definition as Message<Fields>;
    if (known.number === null || byNumber.has(known.number))
      throw new Error(`${name}.${kind}: number missing or doubled`);
    byNumber.set(known.number, { kind, definition: known });
    byKind.set(kind, known);
  }
  const toItem = (value: OneOf<M>): CborItem => {
    const definition = byKind.get(value.kind);
    if (definition === undefined) throw unfit(`${name} has no ${value.kind}`);
    return definition.type.toItem(value as never);
  };
  const fromItem = (item: CborItem): OneOf<M> => {
    const number = item instanceof Map ? item.get(0) : undefined;
    const entry = byNumber.get(number as number);
    if (entry === undefined) throw malformed(name, 'unknown message number');
    const decoded = entry.definition.type.fromItem(item, entry.kind) as Record<string, unknown>;
    decoded.kind = entry.kind;
    return decoded as OneOf<M>;
  };
  return {
    name,
    messages,
    encode: (value) => encode(toItem(value)),
    decode: (encoded) => fromItem(decode(encoded)),
    encodeAll(values) {
      if (values.length > MAX_MESSAGES_PER_PAYLOAD) throw unfit(`${values.length} messages in one payload`);
      return values.length === 1 ? encode(toItem(values[0]!)) : encodeSequence(values.map(toItem));
    },
    decodeAll(encoded) {
      const items = decodeSequence(encoded);
      if (items.length > MAX_MESSAGES_PER_PAYLOAD) throw malformed(name, `${items.length} messages in one payload`);
      return items.map(fromItem);
    },
  };
}
