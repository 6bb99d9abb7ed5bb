/**
 * The CBOR profile against published vectors and hostile bytes. @spec RFC 8949 §4.2.1, appendix A
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import { type CborItem, decode, decodeSequence, encode, encodeSequence, MESSAGE_LIMITS } from '../../protocol/cbor.ts';
import { ProtocolError } from '../../protocol/errors.ts';

const folder = `${process.env.KAGIMORI_VECTORS ?? '../shared/vectors'}/cbor`;
const absent = existsSync(folder) ? {} : { skip: `vectors absent: ${folder}` };
const vectors = (file: string): unknown => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8'));

const refuses = (hex: string, reason: RegExp) =>
  assert.throws(
    () => decode(fromHex(hex)),
    (error) => error instanceof ProtocolError && error.code === 'malformed' && reason.test(error.message),
    hex,
  );

interface Vector {
  readonly hex: string;
  readonly roundtrip: boolean;
  readonly decoded?: unknown;
}

/** Outside the profile by the bytes alone: tags, major type 7 beyond false, true, null, and indefinite lengths. */
const OUTSIDE = /^(?:[cd]|f(?![456]$)|[579b]f)|^(?:83018202039f|83019f|826161bf)/;

describe('RFC 8949 appendix A', absent, () => {
  test('every value inside the profile decodes and encodes to the same bytes', () => {
    const inside = (vectors('appendix_a.json') as Vector[]).filter(({ hex }) => !OUTSIDE.test(hex));
    assert.equal(inside.length, 37);
    for (const { hex, decoded } of inside) {
      const item = decode(fromHex(hex));
      assert.equal(toHex(encode(item)), hex);
      if (decoded !== undefined && typeof item !== 'bigint') assert.deepEqual(plain(item), decoded, hex);
    }
  });

  test('every value outside the profile is refused', () => {
    const outside = (vectors('appendix_a.json') as Vector[]).filter(({ hex }) => OUTSIDE.test(hex));
    assert.equal(outside.length, 45);
    for (const { hex } of outside) refuses(hex, /tag|float|indefinite/);
  });
});

test('every item that another strict decoder must refuse is refused', absent, () => {
  const items = vectors('cbor2_decodeBad.json') as string[];
  assert.ok(items.length > 30);
  for (const hex of items) refuses(hex, /./);
});

test(
  '[5.6 parser differences] a corpus of awkward inputs decodes or is refused, each within 10 ms, and nothing else',
  absent,
  () => {
    const corpus = Object.entries(vectors('fxamacker_corpus.json') as Record<string, string>);
    const outcomes = { decoded: 0, refused: 0 };
    for (const [name, hex] of corpus) {
      const bytes = fromHex(hex);
      const began = performance.now();
      try {
        assert.deepEqual(encode(decode(bytes)), bytes, name);
        outcomes.decoded++;
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `${name}: ${error}`);
        outcomes.refused++;
      }
      assert.ok(performance.now() - began < 10, name);
    }
    assert.ok(outcomes.decoded > 0 && outcomes.refused > 0);
  },
);

describe('RFC 8949 §4.2.1: one value has one spelling', () => {
  test('an integer or length that fits a shorter form is refused', () => {
    for (const hex of [
      '1817',
      '190017',
      '1900ff',
      '1a0000ffff',
      '1b00000000ffffffff',
      '3817',
      '5801aa',
      '780161',
      '980100',
    ]) {
      refuses(hex, /shortest/);
    }
  });

  test('map keys out of order or doubled are refused', () => {
    refuses('a202000100', /order/);
    refuses('a201000100', /doubled/);
    refuses('a220000100', /order/);
    refuses('a2616200616100', /order/);
    refuses('a26161006161f5', /doubled/);
  });

  test('map keys other than integers below 2^53 and text are refused', () => {
    for (const hex of ['a14000', 'a18000', 'a1a000', 'a1f500', 'a1f600', 'a11bffffffffffffffff00'])
      refuses(hex, /map key/);
  });

  test('text that is not UTF-8 is refused, short and long', () => {
    for (const bad of ['ff', 'c0ae', 'eda080', 'f8808080', 'e697']) {
      refuses(`${(0x60 + bad.length / 2).toString(16)}${bad}`, /UTF-8/);
      refuses(`7828${'61'.repeat(40 - bad.length / 2)}${bad}`, /UTF-8/);
    }
  });

  test('a byte order mark is text like any other', () => {
    for (const text of ['\ufeff', `\ufeff${'a'.repeat(40)}`]) assert.equal(decode(encode(text)), text);
  });
});

describe('every input is bounded', () => {
  test('more bytes than the limit are refused before they are read', () => {
    const tooLong = new Uint8Array(MESSAGE_LIMITS.maxBytes + 1);
    for (const read of [decode, decodeSequence]) {
      assert.throws(
        () => read(tooLong),
        (error) => error instanceof ProtocolError && error.code === 'tooLarge',
      );
    }
  });

  test('the depth limit counts arrays and maps', () => {
    const nested = (depth: number) => `${'81'.repeat(depth - 1)}80`;
    const nestedMaps = (depth: number) => `${'a100'.repeat(depth - 1)}a0`;
    for (const shape of [nested, nestedMaps]) {
      assert.doesNotThrow(() => decode(fromHex(shape(MESSAGE_LIMITS.maxDepth - 1))));
      refuses(shape(MESSAGE_LIMITS.maxDepth), /deep/);
      refuses(shape(8000), /deep/);
    }
  });

  test('a length beyond the end of the input is refused at once', () => {
    for (const head of [
      '5a7fffffff',
      '7a7fffffff',
      '9a7fffffff',
      'ba7fffffff',
      '5bffffffffffffffff',
      '9bffffffffffffffff',
      'bb001fffffffffffff',
    ]) {
      const began = performance.now();
      refuses(head, /beyond the end/);
      assert.ok(performance.now() - began < 10, head);
    }
  });

  test('a bignum of 64 KiB is refused at once, whatever the size limit', () => {
    const bytes = new Uint8Array(65_540).fill(0xff);
    bytes.set(fromHex('c259ffff'));
    const began = performance.now();
    assert.throws(() => decode(bytes, { maxBytes: 1 << 20, maxDepth: 8 }), /a tag/);
    assert.ok(performance.now() - began < 10);
  });

  test('every truncation of a message is refused', () => {
    const whole = encode(
      new Map<number, CborItem>([
        [1, 'caller'],
        [2, [1, 70_000, null]],
        [3, new Uint8Array(30)],
      ]),
    );
    for (let length = 0; length < whole.length; length++) {
      assert.throws(() => decode(whole.subarray(0, length)), ProtocolError);
    }
  });

  test('bytes behind the item are refused; as a sequence they are further items', () => {
    refuses('0001', /1 bytes after/);
    assert.deepEqual(decodeSequence(fromHex('0001')), [0, 1]);
    assert.deepEqual(decodeSequence(new Uint8Array(0)), []);
    assert.deepEqual(decodeSequence(encodeSequence([1, 'a', null])), [1, 'a', null]);
  });
});

describe('integers', () => {
  test('every safe integer is written as an integer and comes back as a number', () => {
    const edges = [23, 24, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, 2 ** 40, 2 ** 53 - 1];
    for (const value of edges.flatMap((edge) => [edge, -edge, -edge - 1]).filter(Number.isSafeInteger)) {
      assert.equal(decode(encode(value)), value);
      assert.deepEqual(encode(BigInt(value)), encode(value));
    }
    assert.equal(toHex(encode(2 ** 32)), '1b0000000100000000');
    assert.equal(toHex(encode(-(2 ** 32) - 1)), '3b0000000100000000');
    assert.equal(toHex(encode(-0)), '00');
  });

  test('an integer beyond 2^53 − 1 comes back as a bigint', () => {
    for (const value of [2n ** 53n, -(2n ** 53n), 2n ** 64n - 1n, -(2n ** 64n)])
      assert.equal(decode(encode(value)), value);
  });

  test('what has no place on the wire is refused when writing: fractions, 65 bits, half pairs, keys out of order', () => {
    const wrong: unknown[] = [
      0.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      2 ** 53,
      2n ** 64n,
      -(2n ** 64n) - 1n,
      '\ud800',
      'a\udc00',
      undefined,
      {},
    ];
    wrong.push(
      new Map([
        [2, 0],
        [1, 0],
      ]),
      new Map<number | string, number>([
        ['a', 0],
        [1, 0],
      ]),
    );
    for (const item of wrong) assert.throws(() => encode(item as CborItem), RangeError);
  });
});

test('what encode returns is the only copy, so wiping it wipes the key', () => {
  const bytes = encode(new Uint8Array(32).fill(7));
  assert.equal(bytes.byteLength, bytes.buffer.byteLength);
});

/** Maps as objects, as the vectors write them; integer keys become decimal text there as well. */
function plain(item: CborItem): unknown {
  if (item instanceof Map) return Object.fromEntries([...item].map(([key, value]) => [key, plain(value)]));
  return Array.isArray(item) ? item.map(plain) : item;
}
