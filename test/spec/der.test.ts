/**
 * X.690 as the scan in front of the library holds it: one spelling per object, within bounds.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DerFault, scanDer } from '../../platform/der.ts';
import { concat, fromHex } from '../../protocol/bytes.ts';
import { der, sequence } from '../test-der.ts';

const scan = (bytes: Uint8Array, maxElements = 100): Uint8Array => scanDer(bytes, maxElements).raw;

function nest(levels: number): Uint8Array {
  let inner: Uint8Array = sequence();
  for (let i = 1; i < levels; i++) inner = sequence(inner);
  return inner;
}

const DER: readonly (readonly [string, string])[] = [
  ['§8.2, §11.1 TRUE', '0101ff'],
  ['§8.3 integers in shortest form', '300e 020100 02017f 02020080 0202ff7f'],
  ['§8.6, §11.2 a bit string with three unused bits, zero', '030203a8'],
  ['§8.6 an empty bit string', '030100'],
  ['§8.19 an object identifier of a long arc', '0604 6983ff00'],
  ['§11.6 a set in order, the shorter one first', '3109 020101 020102 0401ff'],
  ['§8.14 context tags, constructed and primitive', '3007 a003020100 8000'],
  ['an empty sequence', '3000'],
];

for (const [rule, hex] of DER) {
  test(`X.690 ${rule}: passed as it stands`, () => {
    const bytes = fromHex(hex.replaceAll(' ', ''));
    assert.deepEqual(scan(bytes), bytes);
  });
}

const BER: readonly (readonly [string, string])[] = [
  ['nothing', ''],
  ['a tag alone', '30'],
  ['§8.1.3.6 an indefinite length', '3080 020100 0000'],
  ['§10.1 a length of one byte in two', '308103 020100'],
  ['§10.1 a length with a leading zero', '30820003 020100'],
  ['a length beyond the end', '3004 020100'],
  ['a length beyond its parent', '3005 3004 020100 0500'],
  ['bytes behind the end', '020100 00'],
  ['a second object', '020100 020100'],
  ['§8.1.2.4 a tag of several bytes', '3f1f00'],
  ['§8.1.5 end of contents as an element', '3002 0000'],
  ['§8.2 a boolean of two bytes', '0102ffff'],
  ['§11.1 TRUE as 1', '010101'],
  ['§8.3 an empty integer', '0200'],
  ['§8.3.2 an integer with a needless zero', '0202007f'],
  ['§8.3.2 a negative integer with needless ones', '0202ff80'],
  ['§8.3.2 an enumerated with a needless zero', '0a020001'],
  ['§8.6.2 eight unused bits', '030208ff'],
  ['§8.6.2 unused bits of nothing', '030101'],
  ['§8.6.2 a bit string without its first byte', '0300'],
  ['§11.2.1 an unused bit that is one', '030203a9'],
  ['§8.8 NULL with a content', '050100'],
  ['§8.19 an empty object identifier', '0600'],
  ['§8.19.2 an arc with a leading zero', '0603 2a8001'],
  ['§8.19.2 a first arc with a leading zero', '0602 8001'],
  ['§8.19 an arc that does not end', '0602 2a86'],
  ['§10.2 a string in parts', '2405 0403 616263'],
  ['§10.2 a bit string in parts', '2304 03020001'],
  ['a primitive sequence', '1000'],
  ['§11.6 a set out of order', '3106 020102 020101'],
  ['§11.6 a set with an element twice', '3106 020101 020101'],
  ['a real, which no certificate has', '0900'],
];

for (const [rule, hex] of BER) {
  test(`[5.6 parser differences] X.690 ${rule}: refused`, () => {
    assert.throws(() => scan(fromHex(hex.replaceAll(' ', ''))), DerFault);
  });
}

test('a nest of 16 passes, of 17 not', () => {
  assert.ok(scan(nest(16)));
  assert.throws(() => scan(concat(nest(17))), DerFault);
});

test('as many elements as asked for pass, one more does not', () => {
  const bytes = sequence(...Array.from({ length: 9 }, () => der(0x04)));
  assert.ok(scan(bytes, 10));
  assert.throws(() => scan(bytes, 9), DerFault);
});

test('an object identifier of more than 64 bytes is refused', () => {
  assert.ok(scan(der(0x06, new Uint8Array(64).fill(0x2a))));
  assert.throws(() => scan(der(0x06, new Uint8Array(65).fill(0x2a))), DerFault);
});
