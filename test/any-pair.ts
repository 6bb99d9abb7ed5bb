/**
 * Random pairs of devices with a rule and wishes, for properties of the match: ranges, sets, hash lists, unknown ciphers,
 * costs near one another, priorities given twice.
 */
import fc from 'fast-check';
import type { Proposal } from '../protocol/messages.ts';
import {
  CIPHER_ORDER,
  CRITERIA,
  HASH_ORDER,
  NO_REQUIREMENT,
  type Selection,
  type Wishes,
} from '../protocol/selection.ts';
import type { SuitePattern } from '../protocol/suite-pattern.ts';
import { CIPHERS } from '../protocol/suites.ts';
import type { Given } from './matching-oracle.ts';

const perhaps = <T>(one: fc.Arbitrary<T>) => fc.option(one, { nil: undefined });
const lengths = fc.constantFrom(96, 128, 130, 192, 256, 512);

/** What of the key lengths is said: a value, a set, a range, both, or nothing. */
const keys: fc.Arbitrary<Pick<Proposal, 'keyBits' | 'minKeyBits' | 'maxKeyBits'>> = fc.oneof(
  fc.constantFrom(128, 192, 256).map((one) => ({ keyBits: [one] })),
  fc.uniqueArray(lengths, { minLength: 1, maxLength: 3 }).map((keyBits) => ({ keyBits })),
  fc.tuple(perhaps(lengths), perhaps(lengths)).map(([a, b]) => {
    const [min, max] = a !== undefined && b !== undefined && a > b ? [b, a] : [a, b];
    return { minKeyBits: min, maxKeyBits: max };
  }),
  fc.record({ keyBits: fc.uniqueArray(lengths, { minLength: 1, maxLength: 3 }), minKeyBits: lengths }),
);
const hash = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...HASH_ORDER) },
  { weight: 1, arbitrary: fc.constant('later-9' as const) },
);
/** Few, and near one another, so that ties come up. */
const cost = fc.record({
  picosPerOp: fc.constantFrom(1000, 1e6, 4e6, 4.3e6),
  picosPerByte: fc.constantFrom(0, 700, 740, 3000),
});

export const anyProposal: fc.Arbitrary<Proposal> = fc
  .record({
    cipher: fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(...CIPHER_ORDER) },
      { weight: 1, arbitrary: fc.constant('later-77' as const) },
    ),
    keys,
    hashes: fc.array(hash, { minLength: 1, maxLength: 4 }),
    tagBits: fc.oneof(
      { weight: 3, arbitrary: fc.constant(undefined) },
      { weight: 2, arbitrary: fc.constantFrom(64, 96, 128, 256) },
    ),
    keyMode: fc.oneof(
      { weight: 4, arbitrary: fc.constant('seed' as const) },
      { weight: 1, arbitrary: fc.constant('key' as const) },
    ),
    priority: perhaps(fc.integer({ min: 1, max: 4 })),
    cost: perhaps(cost),
  })
  .map(({ keys, ...rest }) => ({ ...rest, ...keys }));

/** Mostly long enough to meet another. */
export const anyList = fc.oneof(
  { weight: 9, arbitrary: fc.array(anyProposal, { minLength: 2, maxLength: 8, size: 'max' }) },
  { weight: 1, arbitrary: fc.array(anyProposal, { maxLength: 1 }) },
);

const most = <T>(all: readonly T[]) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(all) }, { weight: 1, arbitrary: fc.subarray([...all]) });

export const anySelection: fc.Arbitrary<Selection> = fc.record({
  name: fc.constant('some'),
  require: fc.oneof(
    { weight: 2, arbitrary: fc.constant(NO_REQUIREMENT) },
    {
      weight: 3,
      arbitrary: fc.record({
        minStrengthBits: fc.constantFrom(0, 0, 0, 128, 192, 256, 257),
        minTagBits: fc.constantFrom(0, 0, 0, 64, 128, 256),
        ciphers: most(CIPHER_ORDER),
        hashes: most(HASH_ORDER),
      }),
    },
  ),
  prefer: fc.shuffledSubarray([...CRITERIA]),
  messageBytes: fc.constantFrom(null, 16, 1024, 16_384),
});

const anyPattern: fc.Arbitrary<SuitePattern> = fc.constantFrom(...CIPHER_ORDER).chain((cipher) =>
  fc.record({
    cipher: fc.constant(cipher),
    keyBits: fc.option(fc.constantFrom(...CIPHERS[cipher].keyBits)),
    hash: fc.option(fc.constantFrom(...HASH_ORDER)),
    tagBits: fc.option(fc.constantFrom(...CIPHERS[cipher].tagBits)),
  }),
);

export const anyWishes: fc.Arbitrary<Wishes> = fc.record({
  allowUnencrypted: fc.boolean(),
  messageBytes: fc.constantFrom(null, 64, 4096),
  retiring: fc.array(anyPattern, { maxLength: 2 }),
  retired: fc.array(anyPattern, { maxLength: 1 }),
});

/** Taken over from the other list, with a word of its own on everything that only orders. */
const borrowed = fc.record({
  from: fc.nat(),
  priority: perhaps(fc.integer({ min: 1, max: 4 })),
  cost: perhaps(cost),
  reversed: fc.boolean(),
});

/** Two lists; some of the second are borrowed from the first, so that they meet. */
export const anyPair: fc.Arbitrary<Given> = fc.noBias(
  fc
    .record({
      caller: anyList,
      callee: anyList,
      shared: fc.array(borrowed, { maxLength: 4, size: 'max' }),
      selection: anySelection,
      wishes: anyWishes,
    })
    .map(({ caller, callee, shared, selection, wishes }) => {
      const more = shared.flatMap(({ from, priority, cost, reversed }) => {
        const one = caller[from % Math.max(1, caller.length)];
        if (one === undefined) return [];
        return [{ ...one, priority, cost, hashes: reversed ? one.hashes.toReversed() : one.hashes }];
      });
      return { caller, callee: [...callee, ...more], selection, wishes };
    }),
);
