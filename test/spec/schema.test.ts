/**
 * The schema kit and every message of the wire. Samples are drawn from the CDDL of each field, so that what the document
 * says is what the decoder accepts: at both bounds and nowhere beyond.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CborItem, decode, encode, encodeSequence, MESSAGE_LIMITS } from '../../protocol/cbor.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import {
  brokerReports,
  brokerRequests,
  channelMessages,
  Hello,
  sessionMessages,
  WIRE,
} from '../../protocol/messages.ts';
import { array, bool, choice, family, message, optional, required, text, uint } from '../../protocol/schema.ts';

interface Definition {
  readonly name: string;
  readonly number: number | null;
  readonly fields: Readonly<
    Record<string, { readonly label: number; readonly optional: boolean; readonly type: { readonly cddl: string } }>
  >;
  encode(value: never): Uint8Array;
  decode(bytes: Uint8Array): unknown;
}
type Sample = Readonly<Record<string, unknown>>;

const definitions = Object.values(WIRE).flatMap((section) => Object.values<Definition>(section));
const families = [channelMessages, sessionMessages, brokerRequests, brokerReports];
const byName = new Map(definitions.map((definition) => [definition.name, definition]));

const encodeSample = (definition: Definition, sample: Sample): Uint8Array => definition.encode(sample as never);
const refused = (error: unknown): boolean => error instanceof ProtocolError && error.code === 'malformed';

/** Everything that a CDDL type allows at its bounds, and what lies just beyond them. */
interface Cases {
  readonly inside: readonly unknown[];
  /** As items on the wire. */
  readonly beyond: readonly CborItem[];
}

function casesOf(cddl: string): Cases {
  const sizes = (from: number, to: number) => ({
    inside: [from, to],
    beyond: from > 0 ? [from - 1, to + 1] : [to + 1],
  });
  let match = /^bstr \.size \(?(\d+)(?:\.\.(\d+))?\)?$/.exec(cddl);
  if (match !== null) {
    const { inside, beyond } = sizes(Number(match[1]), Number(match[2] ?? match[1]));
    const make = (length: number) => new Uint8Array(length).fill(7);
    return { inside: inside.map(make), beyond: [...beyond.map(make), 'text', 5, null] };
  }
  match = /^tstr \.size \((\d+)\.\.(\d+)\)$/.exec(cddl);
  if (match !== null) {
    const [from, to] = [Number(match[1]), Number(match[2])];
    const { inside, beyond } = sizes(from, to);
    const make = (length: number) => 'x'.repeat(length);
    const euros = '€'.repeat(Math.floor(to / 3));
    const odd = [`${'x'.repeat(from - 1)}\u0000`, `${make(from)}e\u0301`, '€'.repeat(Math.floor(to / 3) + 1)];
    return { inside: [...inside.map(make), euros], beyond: [...beyond.map(make), ...odd, new Uint8Array(from), null] };
  }
  match = /^(\d+)(?:\.\.(\d+))?$/.exec(cddl);
  if (match !== null) {
    const [from, to] = [Number(match[1]), Number(match[2] ?? match[1])];
    return { inside: [from, to], beyond: [from - 1, BigInt(to) + 1n, BigInt(2 ** 53), 'text', true, null] };
  }
  match = /^\[(\d+)\*(\d+) (.*)\]$/.exec(cddl);
  if (match !== null) {
    const { inside, beyond } = sizes(Number(match[1]), Number(match[2]));
    const of = casesOf(match[3]!);
    const wire = wireItem(match[3]!, of.inside[0]);
    return {
      inside: inside.map((length) => Array.from({ length }, () => of.inside.at(-1))),
      beyond: [...beyond.map((length) => Array.from({ length }, () => wire)), [of.beyond[0]!], null, new Map()],
    };
  }
  if (cddl === 'bool') return { inside: [true, false], beyond: [0, 1, null, 'true'] };
  if (cddl.startsWith('&(')) {
    const words = [...cddl.matchAll(/([\w-]+): (\d+)/g)];
    const numbers = words.map(([, , number]) => Number(number));
    const [, most] = /\) \/ 0\.\.(\d+)$/.exec(cddl) ?? []; // later versions may add words
    const inside = words.map(([, word]) => word);
    if (most !== undefined)
      return { inside: [...inside, `later-${most}`], beyond: [Number(most) + 1, -1, inside[0]!, null] };
    return { inside, beyond: [Math.max(...numbers) + 1, -1, inside[0]!, null] };
  }
  const part = byName.get(cddl);
  assert.ok(part, `no samples for the type ${cddl}`);
  return { inside: [sampleOf(part, 0), sampleOf(part, -1)], beyond: [new Map(), 5, null, []] };
}

/** A value as it stands on the wire. */
function wireItem(cddl: string, value: unknown): CborItem {
  const part = byName.get(cddl);
  if (part !== undefined) return decode(encodeSample(part, value as Sample));
  const word = /^&\(/.test(cddl) ? new RegExp(`${String(value)}: (\\d+)`).exec(cddl) : null;
  return word === null ? (value as CborItem) : Number(word[1]);
}

/** @param at 0: every field at its lower bound, optional ones left out; −1: every field at its upper bound */
function sampleOf(definition: Definition, at: 0 | -1): Sample {
  const sample: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(definition.fields)) {
    if (at === 0 && field.optional) continue;
    sample[name] = casesOf(field.type.cddl).inside.at(at);
  }
  return sample;
}

const itemOf = (definition: Definition, sample: Sample) =>
  new Map(decode(encodeSample(definition, sample), { maxBytes: 65_536, maxDepth: 8 }) as Map<number, CborItem>);
const sorted = (map: ReadonlyMap<number, CborItem>) => encode(new Map([...map].sort(([a], [b]) => a - b)));

for (const definition of definitions) {
  const { name, fields } = definition;
  const least = sampleOf(definition, 0);

  test(`[B1] ${name}: every field comes back at both of its bounds`, () => {
    assert.deepEqual(definition.decode(encodeSample(definition, least)), least);
    for (const [field, { type }] of Object.entries(fields)) {
      for (const value of casesOf(type.cddl).inside) {
        const sample = { ...least, [field]: value };
        const encoded = encodeSample(definition, sample);
        if (encoded.length > MESSAGE_LIMITS.maxBytes) continue;
        assert.deepEqual(definition.decode(encoded), sample, `${field} = ${value}`);
      }
    }
  });

  test(`[B1] [5.6 parser] ${name}: a field beyond its bounds or of another type is refused, and not encoded`, () => {
    for (const [field, { label, type }] of Object.entries(fields)) {
      for (const item of casesOf(type.cddl).beyond) {
        const encoded = sorted(itemOf(definition, least).set(label, item));
        assert.throws(() => definition.decode(encoded), ProtocolError, `${field}: ${String(item)}`);
      }
      const { beyond } = casesOf(type.cddl);
      if (/^(bstr|tstr|\d)/.test(type.cddl)) {
        assert.throws(() => encodeSample(definition, { ...least, [field]: beyond[0] }), RangeError, field);
      }
    }
  });

  test(`[B1] [5.6 parser] ${name}: a missing field, an unknown label and another number are refused`, () => {
    for (const { label, optional } of Object.values(fields)) {
      const item = itemOf(definition, least);
      item.delete(label);
      if (!optional) assert.throws(() => definition.decode(encode(item)), refused, `without ${label}`);
    }
    const unknown = itemOf(definition, least).set(99, 0);
    assert.throws(() => definition.decode(encode(unknown)), refused);
    const worded = new Map<number | string, CborItem>([...itemOf(definition, least), ['x', 0]]);
    assert.throws(() => definition.decode(encode(worded)), refused);
    const renumbered = sorted(itemOf(definition, least).set(0, 200));
    assert.throws(() => definition.decode(renumbered), refused);
    for (const item of [null, 0, [], '', new Uint8Array(3)]) {
      assert.throws(() => definition.decode(encode(item)), refused);
    }
  });

  test(`[B1] [5.6 parser] ${name}: each truncation is refused; a flipped bit too, or it is another message with one spelling`, () => {
    const encoded = encodeSample(definition, least);
    for (let length = 0; length < encoded.length; length++) {
      assert.throws(() => definition.decode(encoded.subarray(0, length)), refused, `${length} bytes`);
    }
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const flipped = encoded.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      let value: unknown;
      try {
        value = definition.decode(flipped);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `bit ${bit}: ${error}`);
        continue;
      }
      assert.deepEqual(definition.encode(value as never), flipped, `bit ${bit}`);
    }
  });
}

/** Sent when a person comes or goes. */
const RARE = new Set(['RegisterUser', 'RemoveUser']);

test('[B1] message numbers are unique in each family, labels in each message, and label 0 is the number', () => {
  for (const { name, messages } of families) {
    const numbers = Object.values<Definition>(messages).map(({ number }) => number);
    assert.equal(new Set(numbers).size, numbers.length, name);
    for (const [kind, { number }] of Object.entries<Definition>(messages)) {
      const most = RARE.has(kind) ? 255 : 23;
      assert.ok(
        number !== null && number >= 1 && number <= most,
        `${name}: ${kind}: one byte each, two where it is rare`,
      );
    }
  }
  for (const { name, fields } of definitions) {
    const labels = Object.values(fields).map(({ label }) => label);
    assert.equal(new Set(labels).size, labels.length, name);
    assert.ok(
      labels.every((label) => Number.isInteger(label) && label >= 1 && label < 24),
      name,
    );
  }
  assert.throws(() => family('Twice', { Hello, Again: Hello }), /doubled/);
});

test('[B1] no two messages of the wire page have one name, and every family stands on it', () => {
  assert.equal(byName.size, definitions.length);
  for (const { messages } of families) {
    for (const [kind, { name }] of Object.entries<Definition>(messages)) {
      assert.equal(kind, name);
      assert.ok(byName.has(name), name);
    }
  }
});

test('[B1] a payload carries one to sixteen messages of a family, in order; more, and foreign numbers, are refused', () => {
  const permit = { kind: 'Permit' } as const;
  const closed = { kind: 'CloseOk', ask: true } as const;
  const { decodeAll, encodeAll } = channelMessages;
  assert.deepEqual(decodeAll(encodeAll([permit])), [permit]);
  assert.deepEqual(decodeAll(encodeAll([permit, closed, permit])), [permit, closed, permit]);
  assert.equal(decodeAll(encodeAll(Array.from({ length: 16 }, () => permit))).length, 16);
  assert.throws(() => encodeAll(Array.from({ length: 17 }, () => permit)), RangeError);
  assert.throws(() => decodeAll(encodeSequence(Array.from({ length: 17 }, () => new Map([[0, 1]])))), refused);
  for (const item of [new Map([[0, 200]]), new Map(), new Map([[1, 1]]), 1, null, []]) {
    assert.throws(() => channelMessages.decode(encode(item)), refused);
    assert.throws(() => decodeAll(encode(item)), refused);
  }
  assert.throws(() => channelMessages.decode(new Uint8Array(MESSAGE_LIMITS.maxBytes + 1)), ProtocolError);
});

test('a value that breaks a bound is our bug: RangeError, and nothing is encoded', () => {
  const Sample = message('Sample', 3, 'a sample', {
    count: required(1, uint(1, 5), 'a number'),
    name: optional(2, text(1, 4), 'a text'),
    flags: optional(3, array(bool, 1, 2), 'an array'),
    word: optional(4, choice({ yes: 1, no: 0 }), 'a word'),
  });
  assert.deepEqual(Sample.decode(Sample.encode({ count: 5, name: 'ab', flags: [true], word: 'no' })), {
    count: 5,
    name: 'ab',
    flags: [true],
    word: 'no',
  });
  const broken = [{ count: 0 }, { count: 6 }, { count: 1.5 }, { count: Number.NaN }, { count: 1, name: '€€' }];
  for (const value of [...broken, { count: 1, flags: [] }]) assert.throws(() => Sample.encode(value), RangeError);
  assert.throws(() => Sample.encode({ count: 1, word: 'maybe' as 'yes' }), RangeError);
  assert.throws(() => Sample.encode({} as { count: number }), RangeError);
});
