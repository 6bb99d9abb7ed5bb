/**
 * Which suite is the lightest, on fixed tables of costs: a processor with AES instructions, one without, and both at once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { match } from '../../protocol/matching.ts';
import type { Cost, Proposal } from '../../protocol/messages.ts';
import { offersOf } from '../../protocol/proposal.ts';
import { DEFAULT_SELECTION, NO_WISHES, type Selection } from '../../protocol/selection.ts';
import { assumedCost, COST_TIE, costOf } from '../../protocol/suite-cost.ts';
import { CIPHERS, type Suite } from '../../protocol/suites.ts';
import { proposal } from '../town.ts';

const BY_COST: Selection = { ...DEFAULT_SELECTION, prefer: ['cost'] };
const GCM = proposal('aes-gcm', 128);
const CCM = proposal('aes-ccm', 128);
const CHACHA = proposal('chacha20-poly1305', 256);
const CTR = proposal('aes-ctr-hmac', 128);

/** Nanoseconds for each record and for each byte. */
const priced = (one: Proposal, nsPerOp: number, nsPerByte: number): Proposal => ({
  ...one,
  cost: { picosPerOp: nsPerOp * 1000, picosPerByte: nsPerByte * 1000 },
});

/** As Node's OpenSSL on x64 measures it, and the same with AES, SHA and carry-less products masked. */
const WITH_AES = [priced(GCM, 3500, 0.14), priced(CCM, 3400, 0.76), priced(CHACHA, 3700, 0.3), priced(CTR, 4900, 0.8)];
const WITHOUT_AES = [
  priced(GCM, 3900, 3.1),
  priced(CCM, 3800, 7.8),
  priced(CHACHA, 3700, 0.69),
  priced(CTR, 5400, 3.2),
];

function lightest(caller: readonly Proposal[], callee: readonly Proposal[], messageBytes: number | null): string {
  const found = match(offersOf(caller), offersOf(callee), BY_COST, { ...NO_WISHES, messageBytes });
  return found.matched ? found.suite.cipher : `none: ${found.failedOn}`;
}

test('[B4] [patent 0167] the ranking turns: AES-GCM where both have AES instructions, ChaCha20-Poly1305 where one has none', () => {
  const rows = [
    // a call costs what it costs: at 64 B no cipher stands out, and the suite table decides
    { bytes: 64, both: 'aes-gcm', one: 'aes-gcm', none: 'aes-gcm' },
    { bytes: 1024, both: 'aes-gcm', one: 'chacha20-poly1305', none: 'chacha20-poly1305' },
    { bytes: 16_384, both: 'aes-gcm', one: 'chacha20-poly1305', none: 'chacha20-poly1305' },
  ];
  for (const { bytes, both, one, none } of rows) {
    assert.equal(lightest(WITH_AES, WITH_AES, bytes), both, `${bytes} B, both have them`);
    assert.equal(lightest(WITH_AES, WITHOUT_AES, bytes), one, `${bytes} B, the callee has none`);
    assert.equal(lightest(WITHOUT_AES, WITH_AES, bytes), one, `${bytes} B, the caller has none`);
    assert.equal(lightest(WITHOUT_AES, WITHOUT_AES, bytes), none, `${bytes} B, neither has them`);
  }
});

test('[B4] with ChaCha20-Poly1305 out of the way, AES-GCM stays before CCM and CTR with HMAC, on either machine', () => {
  for (const machine of [WITH_AES, WITHOUT_AES]) {
    const others = machine.filter(({ cipher }) => cipher !== 'chacha20-poly1305');
    assert.equal(lightest(others, others.toReversed(), 16_384), 'aes-gcm');
    const heavy = others.filter(({ cipher }) => cipher !== 'aes-gcm');
    const light = machine === WITH_AES ? 'aes-ccm' : 'aes-ctr-hmac';
    assert.equal(
      lightest(heavy, heavy, 16_384),
      light,
      'CCM enciphers twice: without instructions that is the dearer way',
    );
  }
});

test("[B4] the slower side decides: what is light for one counts for nothing where the other's cost is higher", () => {
  const fast = [priced(GCM, 1000, 0.1), priced(CHACHA, 100_000, 9)];
  const slow = [priced(GCM, 1000, 40), priced(CHACHA, 1000, 20)];
  const sum = (one: readonly Proposal[], at: number): number => costOf(one[at]!.cost!, 16_384);
  assert.ok(sum(slow, 0) > Math.max(sum(fast, 1), sum(slow, 1)), 'by the slower side ChaCha20 is the lighter');
  assert.ok(50 * sum(fast, 0) < sum(fast, 1), 'for the fast side alone AES-GCM is');
  assert.equal(lightest(fast, slow, 16_384), 'chacha20-poly1305');
  assert.equal(lightest(slow, fast, 16_384), 'chacha20-poly1305');
});

test('[B4] costs within a tenth are a tie, which the next criterion or the suite table decides; more is none', () => {
  const table = (nsPerByte: number): Proposal[] => [priced(GCM, 0, nsPerByte), priced(CHACHA, 0, 1)];
  assert.equal(COST_TIE, 1.1);
  assert.equal(lightest(table(1.1), table(1.1), 1000), 'aes-gcm', 'a tie goes by the table, AES-GCM first');
  assert.equal(lightest(table(1.101), table(1.101), 1000), 'chacha20-poly1305', 'more than a tenth apart');
  const wishes = { ...NO_WISHES, messageBytes: 1000 };
  const prefer = ['cost', 'callee-priority'] as const;
  const callee = table(1.1).map((one) => ({ ...one, priority: one.cipher === 'aes-gcm' ? 2 : 1 }));
  const found = match(offersOf(table(1.1)), offersOf(callee), { ...BY_COST, prefer }, wishes);
  assert.ok(found.matched);
  assert.equal(found.suite.cipher, 'chacha20-poly1305', "the callee's first choice, of two that cost the same");
});

test("[B4] the size that the rule names goes before the caller's, and 1 KiB stands for neither", () => {
  const short = [priced(GCM, 100, 10), priced(CHACHA, 20_000, 1)];
  const turnsAt = (20_000 - 100) / (10 - 1);
  assert.ok(turnsAt > 1024 && turnsAt < 16_384);
  assert.equal(lightest(short, short, null), 'aes-gcm', '1 KiB is below the turn');
  assert.equal(lightest(short, short, 16_384), 'chacha20-poly1305');
  const rule = { ...BY_COST, messageBytes: 64 };
  const found = match(offersOf(short), offersOf(short), rule, { ...NO_WISHES, messageBytes: 16_384 });
  assert.equal(found.matched && found.suite.cipher, 'aes-gcm', 'the rule says 64 B');
});

test('[B4] who measured nothing counts by the table: a board without AES instructions', () => {
  assert.equal(lightest([GCM, CHACHA], [GCM, CHACHA], 16_384), 'chacha20-poly1305');
  assert.equal(lightest(WITH_AES, [GCM, CHACHA], 16_384), 'chacha20-poly1305', 'the assumed side is the slower one');
  const onlyOne = [priced(GCM, 3500, 0.14), CHACHA];
  assert.equal(lightest(onlyOne, onlyOne, 16_384), 'aes-gcm', 'measured AES-GCM is below assumed ChaCha20-Poly1305');
  assert.equal(lightest([GCM, CCM], [GCM, CCM], 16_384), 'aes-gcm');
});

test('[B4] the assumed table knows every suite of the registry, longer keys cost no less, and ChaCha20 is 4.5 times AES-GCM', () => {
  const perByte = (suite: Omit<Suite, 'tagBits'>): number => assumedCost(suite).picosPerByte;
  const hashes = ['sha-256', 'sha-384', 'sha-512'] as const;
  for (const [cipher, { keyBits }] of Object.entries(CIPHERS) as [Suite['cipher'], { keyBits: readonly number[] }][]) {
    for (const hash of hashes) {
      const costs: Cost[] = keyBits.map((bits) => assumedCost({ cipher, keyBits: bits, hash }));
      for (const [i, { picosPerOp, picosPerByte }] of costs.entries()) {
        assert.ok(picosPerOp >= 1e6 && picosPerOp <= 1e8, `${cipher} ${hash}: ${picosPerOp} ps a record`);
        assert.ok(picosPerByte >= 100 && picosPerByte <= 1e5, `${cipher} ${hash}: ${picosPerByte} ps a byte`);
        assert.ok(i === 0 || picosPerByte >= costs[i - 1]!.picosPerByte, `${cipher}: a longer key costs no less`);
      }
    }
  }
  const gcm = perByte({ cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256' });
  const chacha = perByte({ cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256' });
  assert.ok(Math.abs(gcm / chacha - 4.5) < 0.05, `${gcm} / ${chacha}`);
});
