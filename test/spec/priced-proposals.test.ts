/**
 * A proposal's cost: that of the dearest suite it stands for, and none where one of them is not known.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type MeasuredCosts, priceProposals } from '../../device-agent/priced-proposals.ts';
import type { Cost } from '../../protocol/messages.ts';
import { proposalOf, type WrittenProposal } from '../../protocol/proposal.ts';
import { type Suite, suiteName } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';

/** Which suites were asked for, and the costs that the proposals got. */
function price(written: readonly Omit<WrittenProposal, 'keyMode'>[], costOf: (suite: Suite) => Cost | null) {
  const asked: string[] = [];
  const proposals = written.map((one) => proposalOf({ ...one, keyMode: 'seed' }));
  const priced = priceProposals(proposals, (suites): MeasuredCosts => {
    asked.push(...suites.map(suiteName));
    const found = { measuredAt: EpochSeconds(7), instructions: null, openSslMask: '', measured: null };
    return { ...found, costs: suites.map(costOf) };
  });
  return { asked, costs: priced.proposals.map(({ cost }) => cost), ...priced };
}

/** By the key's length. */
const byKey = ({ keyBits }: Suite): Cost => ({ picosPerOp: keyBits * 1000, picosPerByte: keyBits });

test('[B4] of a range the longest key is measured that the cipher has and the range allows', () => {
  const { asked, costs } = price(
    [
      { cipher: 'aes-gcm', keyBits: { min: 64 }, hash: ['sha-384', 'sha-256'] },
      { cipher: 'aes-gcm', keyBits: { max: 200 }, hash: 'sha-256' },
      { cipher: 'aes-ccm', keyBits: [128, 256, 512], hash: 'sha-256', tagBits: 64 },
    ],
    byKey,
  );
  assert.deepEqual(asked, ['aes-gcm-256 sha-384 tag 128', 'aes-gcm-192 sha-256 tag 128', 'aes-ccm-256 sha-256 tag 64']);
  assert.deepEqual(
    costs.map((cost) => cost?.picosPerByte),
    [256, 192, 256],
  );
});

test('[B4] where the hash is part of each record, the dearest of the hashes counts, whichever it is', () => {
  const byHash = ({ hash }: Suite): Cost =>
    hash === 'sha-256' ? { picosPerOp: 9000, picosPerByte: 1 } : { picosPerOp: 5000, picosPerByte: 3 };
  const { asked, costs } = price(
    [
      { cipher: 'aes-ctr-hmac', keyBits: 128, hash: ['sha-256', 'sha-512'] },
      { cipher: 'hmac', keyBits: 256, hash: 'sha-512' },
    ],
    byHash,
  );
  assert.equal(asked.length, 3);
  assert.deepEqual(costs, [
    { picosPerOp: 9000, picosPerByte: 3 },
    { picosPerOp: 5000, picosPerByte: 3 },
  ]);
});

test('[B4] a proposal of which one suite is not known has no cost; nothing else of it changes', () => {
  const written = [
    { cipher: 'aes-ctr-hmac', keyBits: 128, hash: ['sha-256', 'sha-512'], priority: 3 },
    { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256' },
  ] as const;
  const { costs, proposals } = price(written, (suite) => (suite.hash === 'sha-512' ? null : byKey(suite)));
  assert.deepEqual(costs, [undefined, { picosPerOp: 256_000, picosPerByte: 256 }]);
  for (const [i, proposal] of proposals.entries()) {
    const expected = proposalOf({ ...written[i]!, keyMode: 'seed' });
    assert.deepEqual({ ...proposal, cost: undefined }, expected);
  }
});

test('[B4] the first choice is asked for first, so that it is measured where time is short', () => {
  const { asked } = price(
    [
      { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256' },
      { cipher: 'aes-ccm', keyBits: 128, hash: 'sha-256', priority: 2 },
      { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', priority: 1 },
    ],
    byKey,
  );
  assert.deepEqual(
    asked.map((one) => one.split(' ')[0]),
    ['chacha20-poly1305-256', 'aes-ccm-128', 'aes-gcm-128'],
  );
});
