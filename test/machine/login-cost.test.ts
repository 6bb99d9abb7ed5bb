/**
 * What a login and a resumption cost in messages, bytes and public-key operations, counted where `bench login` counts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EdhocSuite, type Entry, type Gate, gate, type Layout, type Passage } from '../../bench/gate.ts';

const LAYOUTS: readonly Layout[] = [
  { device: 'node', manager: 'node' },
  { device: 'portable', manager: 'node' },
];
const NONE = { generate: 0, agree: 0, sign: 0, verify: 0 };
const FRAMES: Readonly<Record<Entry, readonly number[]>> = {
  first: [0xe1, 0xe2, 0xe3, 0xe4],
  later: [0xe1, 0xe2, 0xe3, 0xe4],
  resumption: [0xd1, 0xd2],
};

/** Sizes of the exchange's frames, which stand before the first record of the link. */
function frames({ packets }: Passage, entry: Entry): number[] {
  const onLink = packets.filter(({ topic }) => /\/[md]\//.test(topic));
  const exchange = onLink.slice(0, FRAMES[entry].length);
  assert.deepEqual(
    exchange.map(({ payload }) => payload[0]),
    FRAMES[entry],
  );
  assert.ok(
    onLink.slice(exchange.length).every(({ payload }) => payload[0]! <= 0x7f),
    'after it records alone',
  );
  return exchange.map(({ payload }) => payload.length);
}

for (const suite of [0, 2] as const satisfies readonly EdhocSuite[]) {
  for (const layout of LAYOUTS) {
    const place: Gate = gate(layout, suite);

    test(`[B5] [P6] EDHOC suite ${suite}, device ${layout.device}: public-key work is for logins, none for a resumption`, () => {
      const { first, later, resumption } = place.visit();
      for (const login of [first, later]) {
        assert.deepEqual(login.operations.device, { generate: 1, agree: 1, sign: 1, verify: 3 });
      }
      assert.deepEqual(first.operations.manager, { generate: 1, agree: 1, sign: 1, verify: 2 });
      assert.deepEqual(first.operations.verifier, { ...NONE, sign: 1, verify: 1 }, 'their CA is known to it');
      assert.deepEqual(later.operations.manager, { generate: 1, agree: 1, sign: 1, verify: 1 }, 'no verdict to check');
      assert.deepEqual(later.operations.verifier, NONE);
      assert.deepEqual(resumption.operations, { device: NONE, manager: NONE, verifier: NONE });
    });

    test(`[P2] EDHOC suite ${suite}, device ${layout.device}: chains travel at the first login alone`, () => {
      const { first, later, resumption } = place.visit();
      const [whole, short] = [frames(first, 'first'), frames(later, 'later')];
      // two certificates of more than 300 B each stand in message_2 and message_3, and nowhere else
      assert.ok(whole[1]! - short[1]! > 600 && whole[2]! - short[2]! > 600, `${whole} beside ${short}`);
      assert.ok(Math.abs(whole[0]! - short[0]!) <= 2 && whole[3] === short[3], `${whole} beside ${short}`);
      assert.ok(short.every((size) => size < 256) && frames(resumption, 'resumption').every((size) => size < 128));
    });

    test(`[P4] EDHOC suite ${suite}, device ${layout.device}: the first login asks the verifier; its verdict holds for the next and for a resumption`, () => {
      const visit = place.visit();
      const asked = ({ packets }: Passage) => packets.filter(({ from }) => from === 'verifier').length;
      assert.deepEqual([visit.first, visit.later, visit.resumption].map(asked), [1, 0, 0]);
    });
  }
}
