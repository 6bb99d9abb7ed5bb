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
import { isInSet, type SuitePattern, suiteFits, suiteSetOf } from '../../protocol/suite-pattern.ts';
import { CIPHERS, HASH_WIRE } from '../../protocol/suites.ts';

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

test('[P20] proposals that can decide nothing are left out, and the replay with all of them comes to the same', (t) => {
  const nearly = fc.record({
    picosPerOp: fc.constantFrom(0, 9000),
    picosPerByte: fc.constantFrom(1000, 1080, 1150),
  });
  const alike: fc.Arbitrary<Proposal> = fc.record({
    cipher: fc.constantFrom('aes-gcm', 'aes-ctr-hmac'),
    hashes: fc.constantFrom<Proposal['hashes'][]>(['sha-256', 'sha-384'], ['sha-384', 'sha-256']),
    keyMode: fc.constant('seed'),
    priority: fc.constantFrom(undefined, 1, 2),
    cost: fc.option(nearly, { nil: undefined, freq: 3 }),
  });
  const many = fc.array(alike, { minLength: 4, maxLength: 12 });
  const count = { proposals: 0, deciding: 0, matched: 0 };
  fc.assert(
    fc.property(many, many, anySelection, anyWishes, (caller, callee, selection, wishes) => {
      const [ours, theirs] = [offersOf(caller), offersOf(callee)];
      const found = match(ours, theirs, selection, wishes);
      assert.deepEqual(found, replay(ours, theirs, selection, wishes).match);
      count.proposals += caller.length;
      count.deciding += ours.deciding.length;
      if (found.matched) count.matched++;
    }),
    { numRuns: process.env.KAGIMORI_LONG === '1' ? 50_000 : 1000, seed: 19 },
  );
  t.diagnostic(`${count.deciding} of ${count.proposals} proposals can decide; ${count.matched} matched`);
  assert.ok(count.deciding < count.proposals * 0.75 && count.matched > 500);
});

test('[P20] a set of suites holds those of the registry that fit a pattern, and no others', () => {
  const pattern = fc.record({
    cipher: fc.constantFrom(...CIPHER_ORDER),
    keyBits: fc.constantFrom(null, 128, 192, 256, 512),
    hash: fc.constantFrom(null, ...HASH_ORDER),
    tagBits: fc.constantFrom(null, 64, 128, 256),
  });
  let held = 0;
  fc.assert(
    fc.property(fc.array(pattern, { maxLength: 4 }), (patterns) => {
      const set = suiteSetOf(patterns);
      for (const cipher of CIPHER_ORDER) {
        for (const [key, keyBits] of CIPHERS[cipher].keyBits.entries()) {
          for (const hash of HASH_ORDER) {
            for (const tagBits of CIPHERS[cipher].tagBits) {
              const fits = patterns.some((one) => suiteFits({ cipher, keyBits, hash, tagBits }, one));
              assert.equal(isInSet(set, cipher, key, HASH_WIRE[hash], tagBits), fits);
              if (fits) held++;
            }
          }
        }
      }
    }),
    { numRuns: 300, seed: 20 },
  );
  assert.ok(held > 500);
});

test('[P20] how often a retirement is looked at does not grow with the lists', () => {
  let looks = 0;
  const counted = (tagBits: number): SuitePattern => ({
    get cipher() {
      looks++;
      return 'aes-ctr-hmac' as const;
    },
    keyBits: 192,
    hash: 'sha-384',
    tagBits,
  });
  const list = (length: number): readonly Proposal[] =>
    Array.from({ length }, (_, at) => ({
      cipher: 'aes-ctr-hmac',
      hashes: HASH_ORDER,
      keyMode: 'seed',
      priority: length - at,
      cost: { picosPerOp: 1000 * at, picosPerByte: 1000 },
    }));
  const selection = { name: 'all', require: NO_REQUIREMENT, prefer: CRITERIA, messageBytes: null };
  const looksFor = (length: number): number => {
    looks = 0;
    const offers = offersOf(list(length));
    assert.equal(offers.deciding.length, length);
    const found = match(offers, offers, selection, { ...NO_WISHES, retiring: [counted(64)], retired: [counted(256)] });
    assert.ok(found.matched && found.suite.cipher === 'aes-ctr-hmac');
    return looks;
  };
  assert.equal(looksFor(MAX_PROPOSALS), looksFor(1));
  assert.ok(looksFor(1) > 0 && looks <= 4);
});
