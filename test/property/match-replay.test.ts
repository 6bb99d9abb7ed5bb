/**
 * The match keeps only the best so far; its replay keeps everything and sorts it out afterwards. Both come to the same.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { replay } from '../../protocol/match-replay.ts';
import { match } from '../../protocol/matching.ts';
import { MAX_PROPOSALS, type Proposal } from '../../protocol/messages.ts';
import { offersOf } from '../../protocol/proposal.ts';
import {
  CIPHER_ORDER,
  CRITERIA,
  HASH_ORDER,
  NO_REQUIREMENT,
  NO_WISHES,
  type Selection,
  type Wishes,
} from '../../protocol/selection.ts';
import type { SuitePattern } from '../../protocol/suite-pattern.ts';

const cost = fc.record({
  picosPerOp: fc.integer({ min: 0, max: 9 }),
  picosPerByte: fc.integer({ min: 1000, max: 1200 }),
});
const anyProposal: fc.Arbitrary<Proposal> = fc
  .record({
    cipher: fc.constantFrom(...CIPHER_ORDER),
    keys: fc.constantFrom<Partial<Proposal>>({}, { minKeyBits: 192 }, { maxKeyBits: 192 }, { keyBits: [128, 256] }),
    hashes: fc.shuffledSubarray([...HASH_ORDER], { minLength: 1 }),
    tagBits: fc.constantFrom(undefined, 64, 128),
    keyMode: fc.constantFrom('key', 'seed'),
    priority: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
    cost: fc.option(cost, { nil: undefined }),
  })
  .map(({ keys, ...rest }): Proposal => ({ ...keys, ...rest }));
const lists = fc.array(anyProposal, { minLength: 1, maxLength: 8 });
const anyPattern: fc.Arbitrary<SuitePattern> = fc.record({
  cipher: fc.constantFrom(...CIPHER_ORDER),
  keyBits: fc.constantFrom(null, 128, 256),
  hash: fc.constantFrom(null, ...HASH_ORDER),
  tagBits: fc.constant(null),
});
const anySelection: fc.Arbitrary<Selection> = fc.record({
  name: fc.constant('drawn'),
  require: fc.record({
    minStrengthBits: fc.constantFrom(0, 0, 192),
    minTagBits: fc.constantFrom(0, 0, 128),
    ciphers: fc.constant(CIPHER_ORDER),
    hashes: fc.constantFrom(HASH_ORDER, HASH_ORDER, HASH_ORDER.slice(1)),
  }),
  prefer: fc.shuffledSubarray([...CRITERIA]),
  messageBytes: fc.constantFrom(null, 16, 65_536),
});
const anyWishes: fc.Arbitrary<Wishes> = fc.record({
  allowUnencrypted: fc.boolean(),
  messageBytes: fc.constantFrom(null, 1024),
  retiring: fc.array(anyPattern, { maxLength: 2 }),
  retired: fc.array(anyPattern, { maxLength: 1 }),
});

test('[P18] [P19] [P20] [B8] the match and its replay choose the same, and refuse for the same setting', () => {
  const seen = { matched: 0, refused: 0, retiring: 0 };
  fc.assert(
    fc.property(lists, lists, anySelection, anyWishes, (caller, callee, selection, wishes) => {
      const found = match(offersOf(caller), offersOf(callee), selection, wishes);
      assert.deepEqual(found, replay(offersOf(caller), offersOf(callee), selection, wishes).match);
      seen[found.matched ? 'matched' : 'refused']++;
      if (found.matched && found.retiring) seen.retiring++;
    }),
    { numRuns: process.env.KAGIMORI_LONG === '1' ? 100_000 : 2000, seed: 18 },
  );
  for (const [kind, times] of Object.entries(seen)) assert.ok(times >= 10, `${kind}: only ${times} times`);
});

test('[P20] two registrations as heavy as they can be, with costs that nearly tie, come to the same too', () => {
  const device = (shift: number): readonly Proposal[] =>
    Array.from({ length: MAX_PROPOSALS }, (_, at) => ({
      cipher: 'aes-ctr-hmac',
      hashes: at % 2 === 0 ? HASH_ORDER : [...HASH_ORDER].reverse(),
      keyMode: 'seed',
      priority: at % 7 === 0 ? undefined : 1 + (at % 5),
      cost: at % 3 === 0 ? undefined : { picosPerOp: 5_000_000 + shift * at, picosPerByte: 2000 + ((at * 37) % 900) },
    }));
  const [caller, callee] = [offersOf(device(1000)), offersOf(device(1700))];
  const orders: readonly Selection['prefer'][] = [['cost'], ['cost', 'strength', 'callee-priority'], CRITERIA];
  for (const prefer of orders) {
    const selection = { name: 'heavy', require: NO_REQUIREMENT, prefer, messageBytes: null };
    const found = match(caller, callee, selection, NO_WISHES);
    assert.ok(found.matched);
    assert.deepEqual(found, replay(caller, callee, selection, NO_WISHES).match, prefer.join(', '));
  }
});
