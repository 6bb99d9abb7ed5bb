/**
 * What a proposal allows: ranges cut to the cipher's key lengths, what the registry does not know passed over, contradictions
 * refused. [patent 0151, 0161]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Proposal } from '../../protocol/messages.ts';
import {
  allows,
  checkProposals,
  describeProposal,
  faultOf,
  NO_PRIORITY,
  offersOf,
  proposalOf,
  type WrittenProposal,
} from '../../protocol/proposal.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type Suite } from '../../protocol/suites.ts';

type Hash = Suite['hash'];
const SEED = { keyMode: 'seed' } as const;
const ranged = (more: Partial<Proposal>): Proposal => ({ cipher: 'aes-gcm', hashes: ['sha-256'], ...SEED, ...more });

/** Every suite of the registry. */
const ALL_SUITES: readonly Suite[] = (Object.keys(CIPHERS) as Cipher[]).flatMap((cipher) =>
  CIPHERS[cipher].keyBits.flatMap((keyBits) =>
    CIPHERS[cipher].tagBits.flatMap((tagBits) =>
      (Object.keys(HASH_WIRE) as Hash[]).map((hash): Suite => ({ cipher, keyBits, hash, tagBits })),
    ),
  ),
);
/** The key lengths that are left of a proposal. */
function lengthsOf(proposal: Proposal): readonly number[] {
  const [offer] = offersOf([proposal]).offers;
  if (offer === undefined) return [];
  return CIPHERS[offer.cipher].keyBits.filter((_, bit) => (offer.keys & (1 << bit)) !== 0);
}

test("[P19] [patent 0161] a range is cut to the cipher's key lengths; value, set and both ends count together", () => {
  const rows: [settings: Partial<Proposal>, lengths: readonly number[]][] = [
    [{}, [128, 192, 256]],
    [{ minKeyBits: 64 }, [128, 192, 256]],
    [{ minKeyBits: 129 }, [192, 256]],
    [{ minKeyBits: 256 }, [256]],
    [{ maxKeyBits: 200 }, [128, 192]],
    [{ minKeyBits: 192, maxKeyBits: 192 }, [192]],
    [{ keyBits: [256, 128, 128, 1000] }, [128, 256]],
    [{ keyBits: [256, 128], minKeyBits: 192 }, [256]],
    [{ cipher: 'aes-ccm', minKeyBits: 64 }, [128, 256]],
    [{ cipher: 'chacha20-poly1305', minKeyBits: 128 }, [256]],
    [{ cipher: 'hmac', minKeyBits: 200 }, [256, 512]],
  ];
  for (const [settings, lengths] of rows) {
    assert.deepEqual(lengthsOf(ranged(settings)), lengths, JSON.stringify(settings));
  }
});

test('[P18] [patent 0151] a proposal of which nothing is left is passed over, and the setting is told', () => {
  const list: readonly Proposal[] = [
    ranged({ cipher: 'later-77' }),
    ranged({ minKeyBits: 257 }),
    ranged({ keyBits: [130] }),
    ranged({ keyBits: [128], minKeyBits: 192 }),
    ranged({ cipher: 'aes-ccm', minKeyBits: 129, maxKeyBits: 255 }),
    ranged({ hashes: ['later-9'] }),
    ranged({ tagBits: 64 }),
    ranged({ cipher: 'aes-ccm', tagBits: 64 }),
  ];
  const { offers, passedOver } = offersOf(list);
  assert.deepEqual(
    passedOver.map(({ index, at }) => [index, at]),
    [
      [0, 'cipher'],
      [1, 'keyBits'],
      [2, 'keyBits'],
      [3, 'keyBits'],
      [4, 'keyBits'],
      [5, 'hash'],
      [6, 'tagBits'],
    ],
  );
  assert.deepEqual(
    offers.map(({ index, cipher, tagBits }) => [index, cipher, tagBits]),
    [[7, 'aes-ccm', 64]],
  );
  assert.deepEqual(offersOf([]), { offers: [], deciding: [], passedOver: [] });
});

test('[P19] hashes keep their order, each counts once, and those of a later version are left out', () => {
  const [offer] = offersOf([ranged({ hashes: ['sha-512', 'later-7', 'sha-256', 'sha-512', 'sha-256'] })]).offers;
  assert.deepEqual(offer?.hashes, ['sha-512', 'sha-256']);
  assert.deepEqual(offer?.hashNumbers, [HASH_WIRE['sha-512'], HASH_WIRE['sha-256']]);
  assert.equal(offer?.hashMask, (1 << HASH_WIRE['sha-512']) | (1 << HASH_WIRE['sha-256']));
});

test("[P18] [claim 5] absent settings: the cipher's longest tag, a priority after all given ones, no cost", () => {
  for (const [cipher, longest] of [
    ['aes-gcm', 128],
    ['aes-ccm', 128],
    ['aes-ctr-hmac', 256],
    ['hmac', 256],
  ] as const) {
    const [offer] = offersOf([ranged({ cipher })]).offers;
    assert.equal(offer?.tagBits, longest, cipher);
    assert.equal(offer?.priority, NO_PRIORITY);
    assert.equal(offer?.cost, null);
  }
  const [given] = offersOf([ranged({ priority: 1000, cost: { picosPerOp: 1, picosPerByte: 2 } })]).offers;
  assert.ok(given !== undefined && given.priority < NO_PRIORITY);
  assert.deepEqual(given.cost, { picosPerOp: 1, picosPerByte: 2 });
});

test('[P18] [P19] a device takes of all suites exactly those that its own list allows, range for range', () => {
  const list: readonly Proposal[] = [
    ranged({ minKeyBits: 192, hashes: ['sha-384', 'sha-256'] }),
    ranged({ cipher: 'aes-ccm', keyBits: [128], tagBits: 64, keyMode: 'key' }),
    ranged({ cipher: 'hmac', maxKeyBits: 256, hashes: ['sha-512'] }),
    ranged({ cipher: 'later-77', hashes: ['sha-256'] }),
  ];
  const taken = (['seed', 'key'] as const).flatMap((keyMode) =>
    ALL_SUITES.filter((suite) => allows(list, suite, keyMode)).map(
      ({ cipher, keyBits, hash, tagBits }) => `${cipher} ${keyBits} ${hash} ${tagBits} ${keyMode}`,
    ),
  );
  assert.deepEqual(taken.sort(), [
    'aes-ccm 128 sha-256 64 key',
    'aes-gcm 192 sha-256 128 seed',
    'aes-gcm 192 sha-384 128 seed',
    'aes-gcm 256 sha-256 128 seed',
    'aes-gcm 256 sha-384 128 seed',
    'hmac 128 sha-512 256 seed',
    'hmac 256 sha-512 256 seed',
  ]);
});

test('[P18] a device takes no suite outside the registry, whatever its list says', () => {
  const list = [ranged({ keyBits: [130, 128] }), ranged({ tagBits: 96 }), ranged({ cipher: 'aes-ccm' })];
  const suite: Suite = { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 };
  assert.ok(allows(list, suite, 'seed'));
  assert.ok(!allows(list, { ...suite, keyBits: 130 }, 'seed'));
  assert.ok(!allows(list, { ...suite, tagBits: 96 }, 'seed'));
  assert.ok(!allows(list, { ...suite, cipher: 'aes-ccm', keyBits: 192 }, 'seed'), 'CCM runs with 128 and 256 bit');
  assert.ok(!allows(list, { ...suite, cipher: 'aes-ccm', tagBits: 64 }, 'seed'), 'absent means the longest, 128');
  assert.ok(!allows([], suite, 'seed'));
});

test('[P18] what a device takes is what the manager reads in the same proposal', () => {
  const list: readonly Proposal[] = (Object.keys(CIPHERS) as Cipher[]).flatMap((cipher) =>
    [undefined, 64, 96, 128, 256].flatMap((tagBits) =>
      [{ minKeyBits: 192 }, { maxKeyBits: 192 }, { keyBits: [256, 300] }, {}].map((keys) =>
        ranged({ cipher, tagBits, hashes: ['sha-384', 'later-9', 'sha-256'], ...keys }),
      ),
    ),
  );
  let allowed = 0;
  for (const one of list) {
    const [offer] = offersOf([one]).offers;
    for (const suite of ALL_SUITES) {
      const stands =
        offer !== undefined &&
        offer.cipher === suite.cipher &&
        lengthsOf(one).includes(suite.keyBits) &&
        offer.hashes.includes(suite.hash) &&
        offer.tagBits === suite.tagBits;
      if (stands) allowed++;
      assert.equal(allows([one], suite, 'seed'), stands, `${describeProposal(one)} with ${JSON.stringify(suite)}`);
      assert.equal(allows([one], suite, 'key'), false);
    }
  }
  assert.ok(allowed > 50, `only ${allowed} were allowed at all`);
});

test('[P19] a least key length above the greatest is an input error that names proposal and both numbers', () => {
  assert.equal(faultOf(ranged({})), null);
  assert.equal(faultOf(ranged({ minKeyBits: 256, maxKeyBits: 256 })), null);
  assert.match(faultOf(ranged({ minKeyBits: 256, maxKeyBits: 128 })) ?? '', /256.*128.*min is above max/);
  const wrong = [ranged({}), ranged({ minKeyBits: 200, maxKeyBits: 199 })];
  assert.throws(() => checkProposals(wrong), {
    code: 'malformed',
    message: /proposal 2: .*200.*199.*min is above max/,
  });
  checkProposals([ranged({}), ranged({ minKeyBits: 128 })]);
});

test('[P9] [P19] what people write is what travels: value, set, range, one hash or several, nanoseconds', () => {
  const written = (more: Partial<WrittenProposal>): Proposal =>
    proposalOf({ cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', ...SEED, ...more });
  assert.deepEqual(written({}).keyBits, [128]);
  assert.deepEqual(written({ keyBits: [128, 256] }).keyBits, [128, 256]);
  const range = written({ keyBits: { min: 128 }, hash: ['sha-384', 'sha-256'], priority: 2 });
  assert.deepEqual([range.keyBits, range.minKeyBits, range.maxKeyBits], [undefined, 128, undefined]);
  assert.deepEqual([range.hashes, range.priority], [['sha-384', 'sha-256'], 2]);
  assert.equal(written({}).tagBits, undefined);
  assert.equal(written({}).cost, undefined);
  const costly = written({ cost: { nsPerOp: 4000.0004, nsPerByte: 1.2 } });
  assert.deepEqual(costly.cost, { picosPerOp: 4_000_000, picosPerByte: 1200 });
  for (const one of [range, costly]) assert.deepEqual(Proposal.decode(Proposal.encode(one)), withoutGaps(one));
});

const withoutGaps = (proposal: Proposal): Partial<Proposal> =>
  Object.fromEntries(Object.entries(proposal).filter(([, value]) => value !== undefined));

test('[P9] a proposal reads as a sentence, of a later version too', () => {
  const rows: [proposal: Proposal, text: string][] = [
    [
      ranged({ minKeyBits: 128, hashes: ['sha-256', 'sha-384'] }),
      'aes-gcm at least 128 bit, sha-256 or sha-384, tag 128, seed',
    ],
    [ranged({ keyBits: [128, 256] }), 'aes-gcm 128 or 256 bit, sha-256, tag 128, seed'],
    [ranged({ minKeyBits: 128, maxKeyBits: 192 }), 'aes-gcm at least 128 bit, at most 192 bit, sha-256, tag 128, seed'],
    [ranged({ cipher: 'aes-ccm', tagBits: 64, keyMode: 'key' }), 'aes-ccm any key length, sha-256, tag 64, key'],
    [ranged({ cipher: 'later-77' }), 'later-77 any key length, sha-256, tag longest, seed'],
  ];
  for (const [proposal, text] of rows) assert.equal(describeProposal(proposal), text);
});
