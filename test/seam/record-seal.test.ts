/**
 * The seal over stored records, apart from any disk.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { decodeHead, differingTables, encodeHead, recordSealer, withRecord } from '../../platform/record-seal.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

const sealer = recordSealer(new Uint8Array(32).fill(7), nodeCrypto());
const value = encodeUtf8('value');

test('a record opens in its own place only: not in another table, under another key, or with the border moved', () => {
  const record = sealer.seal('ab', 'c', value);
  assert.deepEqual(sealer.open('ab', 'c', record), value);
  for (const [table, key] of [
    ['a', 'bc'],
    ['abc', ''],
    ['ab', 'd'],
    ['ab', 'cv'],
  ] as const) {
    assert.equal(sealer.open(table, key, record), null);
  }
  assert.equal(sealer.open('ab', 'c', record.subarray(1)), null);
  assert.equal(sealer.open('ab', 'c', record.subarray(0, 15)), null);
});

test('the sum of a table tells a dropped record, an older version and a swapped pair from the signed state', () => {
  const [a1, a2, b] = [
    sealer.seal('t', 'a', value),
    sealer.seal('t', 'a', encodeUtf8('older')),
    sealer.seal('t', 'b', value),
  ];
  const signed = new Map([['t', withRecord(withRecord(undefined, null, a1), null, b)]]);
  const dropped = new Map([['t', withRecord(signed.get('t'), b, null)]]);
  const older = new Map([['t', withRecord(signed.get('t'), a1, a2)]]);
  const otherOrder = new Map([['t', withRecord(withRecord(undefined, null, b), null, a1)]]);
  assert.deepEqual(differingTables(signed, otherOrder), []);
  assert.deepEqual(differingTables(signed, dropped), ['t']);
  assert.deepEqual(differingTables(signed, older), ['t']);
  assert.deepEqual(differingTables(signed, new Map()), ['t']);
  assert.deepEqual(decodeHead(encodeHead({ transaction: 9n, savedAt: 7, sums: signed })), {
    transaction: 9n,
    savedAt: 7,
    sums: signed,
  });
});
