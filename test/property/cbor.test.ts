/**
 * Properties of the CBOR codec over generated items and random bytes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CborItem, decode, encode } from '../../protocol/cbor.ts';
import { ProtocolError } from '../../protocol/errors.ts';

const runs = { seed: 20_070_802, numRuns: process.env.KAGIMORI_LONG ? 300_000 : 5_000 };

const key = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.string({ unit: 'binary', maxLength: 40 }));
const { item } = fc.letrec<{ item: CborItem }>((tie) => ({
  item: fc.oneof(
    { depthSize: 'small', maxDepth: 6 },
    fc.integer(),
    fc.maxSafeInteger(),
    fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
    fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(true, false, null),
    { weight: 4, arbitrary: fc.array(tie('item'), { maxLength: 5 }) },
    {
      weight: 4,
      arbitrary: fc
        .uniqueArray(fc.tuple(key, tie('item')), { selector: ([label]) => label, maxLength: 5 })
        .map(canonicalMap),
    },
  ),
}));

function canonicalMap(
  entries: readonly (readonly [number | string, CborItem])[],
): ReadonlyMap<number | string, CborItem> {
  return new Map([...entries].sort(([a], [b]) => Buffer.compare(encode(a), encode(b))));
}

test('decoding what was encoded gives the item again', () => {
  fc.assert(
    fc.property(item, (original) => {
      assert.deepEqual(decode(encode(original)), original);
    }),
    runs,
  );
});

test('[5.6 parser differences] whatever is accepted encodes to the very same bytes; all else throws ProtocolError', () => {
  const outcomes = { accepted: 0, refused: 0 };
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.uint8Array({ maxLength: 200 }),
    // One damaged byte in a valid message reaches deeper than noise.
    fc.tuple(item, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([original, place, byte]) => {
      const damaged = encode(original);
      damaged[place % damaged.length] = byte;
      return damaged;
    }),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      const decoded = tryDecode(input);
      if (decoded === undefined) {
        outcomes.refused++;
        return;
      }
      outcomes.accepted++;
      assert.deepEqual(encode(decoded), input);
    }),
    runs,
  );
  assert.ok(outcomes.accepted > 100 && outcomes.refused > 100, JSON.stringify(outcomes));
});

function tryDecode(input: Uint8Array): CborItem | undefined {
  try {
    return decode(input);
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}
