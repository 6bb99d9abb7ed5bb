/**
 * Rules of the match and of its explanation that hold for all lists, rules and wishes. [P18] [P19] [P20] [B8]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { explainMatch } from '../../protocol/match-explanation.ts';
import { refusalSentence } from '../../protocol/match-refusal.ts';
import { type Match, match } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { allows, offersOf } from '../../protocol/proposal.ts';
import { CIPHER_ORDER, type Criterion, DEFAULT_SELECTION, HASH_ORDER } from '../../protocol/selection.ts';
import { CIPHERS, longestTagBits, resolveSuite, strengthBits, suiteName } from '../../protocol/suites.ts';
import { anyList, anyPair } from '../any-pair.ts';
import { bestSuite, commonSuites, FAULTS, type Found, failures, fits, type Given } from '../matching-oracle.ts';

const PAIRS = process.env.KAGIMORI_LONG === '1' ? 100_000 : 1500;
const FEWER = Math.ceil(PAIRS / 5);
const SEED = 20_070_116;
const runs = (numRuns: number) => ({ numRuns, seed: SEED });

const matchOf = ({ caller, callee, selection, wishes }: Given): Match =>
  match(offersOf(caller), offersOf(callee), selection, wishes);
const spell = (found: Match): string => (found.matched ? spellFound(found) : `none: ${found.failedOn}`);
const spellFound = ({ suite, keyMode, retiring }: Found): string =>
  `${suiteName(suite)} ${keyMode}${retiring ? ' retiring' : ''}`;

test('[P18] [P19] [P20] [patent 0158-0167] [claim 5] a match is what a search through the whole registry finds, and is the best of it', (t) => {
  const count = { pairs: 0, matched: 0, retiring: 0 };
  fc.assert(
    fc.property(anyPair, (given) => {
      const found = matchOf(given);
      const best = bestSuite(given);
      assert.equal(found.matched ? spell(found) : null, best === null ? null : spellFound(best));
      count.pairs++;
      if (found.matched) count.matched++;
      if (found.matched && found.retiring) count.retiring++;
    }),
    runs(PAIRS),
  );
  t.diagnostic(`${count.pairs} pairs: ${count.matched} matched, ${count.retiring} of them in a suite that retires`);
  assert.ok(count.matched > count.pairs / 5 && count.matched < count.pairs * 0.9, 'matches and refusals, many of both');
  assert.ok(count.retiring > 0);
});

test('[P18] [P19] [patent 0160-0161] the result lies in both lists, is in the registry, and obeys every requirement of the rule', () => {
  fc.assert(
    fc.property(anyPair, (given) => {
      const found = matchOf(given);
      if (!found.matched) return;
      const { suite, keyMode } = found;
      const { caller, callee, wishes } = given;
      const { require } = given.selection;
      assert.ok(allows(caller, suite, keyMode) && allows(callee, suite, keyMode));
      assert.notEqual(resolveSuite(suite), null);
      assert.ok(strengthBits(suite) >= require.minStrengthBits && suite.tagBits >= require.minTagBits);
      assert.ok(require.ciphers.includes(suite.cipher) && require.hashes.includes(suite.hash));
      assert.ok(wishes.allowUnencrypted || CIPHERS[suite.cipher].encrypts);
      assert.ok(!wishes.retired.some((pattern) => fits(suite, pattern)));
    }),
    runs(PAIRS),
  );
});

test('[claim 5] proposals are a set: their order, and one that stands twice, mean nothing', () => {
  const shuffled = anyPair.chain((given) =>
    fc.record({
      given: fc.constant(given),
      caller: fc.shuffledSubarray([...given.caller], { minLength: given.caller.length }),
      callee: fc.shuffledSubarray([...given.callee], { minLength: given.callee.length }),
      twice: fc.nat(),
    }),
  );
  fc.assert(
    fc.property(shuffled, ({ given, caller, callee, twice }) => {
      const again = caller.length === 0 ? caller : [...caller, caller[twice % caller.length]!];
      assert.equal(spell(matchOf({ ...given, caller: again, callee })), spell(matchOf(given)));
    }),
    runs(PAIRS),
  );
});

const ROLES: Readonly<Partial<Record<Criterion, Criterion>>> = {
  'callee-priority': 'caller-priority',
  'caller-priority': 'callee-priority',
};
/** Each side keeps its place in the precedence when the roles are swapped. */
const swapped = ({ caller, callee, selection, wishes }: Given): Given => {
  const prefer = selection.prefer.map((one) => ROLES[one] ?? one);
  return { caller: callee, callee: caller, selection: { ...selection, prefer }, wishes };
};
const inOneOrder = (list: readonly Proposal[]): readonly Proposal[] =>
  list.map((one) => ({ ...one, hashes: one.hashes.toSorted() }));

test('[P20] [patent 0163-0164] with the precedence swapped too, swapped roles give the same where all order their hashes alike', () => {
  fc.assert(
    fc.property(anyPair, (given) => {
      const alike = { ...given, caller: inOneOrder(given.caller), callee: inOneOrder(given.callee) };
      assert.equal(spell(matchOf(swapped(alike))), spell(matchOf(alike)));
    }),
    runs(PAIRS),
  );
});

test('[P20] [patent 0162] in all other cases swapped roles change the hash and what comes after it in the suite table, never cipher, key or refusal', (t) => {
  let changed = 0;
  fc.assert(
    fc.property(anyPair, (given) => {
      const [straight, turned] = [matchOf(given), matchOf(swapped(given))];
      if (!straight.matched || !turned.matched) return assert.equal(spell(turned), spell(straight));
      assert.deepEqual(
        [turned.suite.cipher, turned.suite.keyBits, turned.retiring],
        [straight.suite.cipher, straight.suite.keyBits, straight.retiring],
      );
      if (spell(turned) !== spell(straight)) changed++;
    }),
    runs(PAIRS),
  );
  t.diagnostic(`the callee's order of hashes changed ${changed} of ${PAIRS} results`);
  assert.ok(changed > 0);
});

test('[B8] [P20] wrong matchers are found out: each planted mistake shows in some of the same pairs', (t) => {
  const pairs = fc.sample(anyPair, runs(PAIRS === 1500 ? 600 : 20_000));
  const right = pairs.map((given) => {
    const best = bestSuite(given);
    return best === null ? 'none' : spellFound(best);
  });
  const blind: string[] = [];
  for (const fault of FAULTS) {
    const caught = pairs.filter((given, at) => {
      const wrong = bestSuite(given, fault);
      return (wrong === null ? 'none' : spellFound(wrong)) !== right[at];
    }).length;
    t.diagnostic(`${fault}: caught in ${caught} of ${pairs.length} pairs`);
    if (caught === 0) blind.push(fault);
  }
  assert.deepEqual(blind, []);
});

test('[B8] the explanation comes to the same result as the match, and tells the fate of every suite that both have', () => {
  fc.assert(
    fc.property(anyPair, (given) => {
      const { selection, wishes } = given;
      const explained = explainMatch(
        { name: 'lamp', proposals: given.caller },
        { name: 'tv', proposals: given.callee },
        selection,
        wishes,
      );
      assert.deepEqual(explained.match, matchOf(given));
      const common = new Set(commonSuites(given).map(({ suite, keyMode }) => `${suiteName(suite)} ${keyMode}`));
      const told = explained.contenders.map(({ suite, keyMode }) => `${suiteName(suite)} ${keyMode}`);
      assert.deepEqual(told.toSorted(), [...common].toSorted(), 'each once');
      const chosen = explained.contenders.filter(({ fate }) => fate.step === 'chosen');
      assert.equal(chosen.length, explained.match.matched ? 1 : 0);
      for (const { suite, fate } of explained.contenders) {
        const failed = failures(suite, selection);
        assert.deepEqual(fate.step === 'requirement' ? fate.unmet : [], failed, suiteName(suite));
        if (fate.step === 'retired') assert.ok(wishes.retired.some((pattern) => fits(suite, pattern)));
        if (fate.step === 'retiring') assert.ok(wishes.retiring.some((pattern) => fits(suite, pattern)));
      }
      assert.ok(explained.because.length >= 1 && explained.because.length <= 12);
      for (const sentence of explained.because) assert.doesNotMatch(sentence, /undefined|null|NaN|Infinity|9007199/);
    }),
    runs(FEWER),
  );
});

test('[B8] every hint was tried: with that change made the result is the one that it tells, and another than before', (t) => {
  const count = { pairs: 0, hints: 0, withoutHint: 0 };
  fc.assert(
    fc.property(anyPair, (given) => {
      const { caller, callee, selection, wishes } = given;
      const explained = explainMatch(
        { name: 'lamp', proposals: caller },
        { name: 'tv', proposals: callee },
        selection,
        wishes,
      );
      const before = explained.match.matched ? spell({ ...explained.match, retiring: false }) : 'none';
      for (const { question, match: told } of explained.hints) {
        const now = matchOf({ ...question, caller: question.caller.proposals, callee: question.callee.proposals });
        assert.deepEqual(now, told);
        assert.notEqual(now.matched ? spell({ ...now, retiring: false }) : 'none', before);
        count.hints++;
      }
      count.pairs++;
      const refusable = !explained.match.matched && caller.length > 0 && callee.length > 0;
      if (refusable && explained.hints.length === 0) count.withoutHint++;
    }),
    runs(FEWER),
  );
  t.diagnostic(
    `${count.hints} hints for ${count.pairs} pairs; ${count.withoutHint} refusals need more than one change`,
  );
  assert.ok(count.hints > count.pairs / 2);
});

test('[B8] [P12] what a refused caller is told depends on its own list and on where it failed, not on what the callee has', (t) => {
  let compared = 0;
  const said = ({ caller, callee, selection, wishes }: Given): { failedOn: string; sentence: string } | null => {
    const found = matchOf({ caller, callee, selection, wishes });
    if (found.matched) return null;
    const sentence = refusalSentence(offersOf(caller), found, wishes);
    assert.ok(Buffer.byteLength(sentence) <= 255, sentence);
    return { failedOn: found.failedOn, sentence };
  };
  fc.assert(
    fc.property(anyPair, anyList, (given, other) => {
      const [one, two] = [said(given), said({ ...given, callee: other })];
      if (one === null || two === null || one.failedOn !== two.failedOn) return;
      assert.equal(one.sentence, two.sentence);
      compared++;
    }),
    runs(FEWER),
  );
  t.diagnostic(`${compared} pairs of callees compared`);
  assert.ok(compared > 20);
});

test('[B8] a refusal is one line of at most 255 bytes however much is retired, and counts what has no room', () => {
  const registered = CIPHER_ORDER.flatMap((cipher) =>
    (['seed', 'key'] as const).map((keyMode) => ({ cipher, hashes: [...HASH_ORDER], keyMode })),
  );
  const retired = CIPHER_ORDER.flatMap((cipher) =>
    CIPHERS[cipher].keyBits.flatMap((keyBits) =>
      HASH_ORDER.map((hash) => ({ cipher, keyBits, hash, tagBits: longestTagBits(cipher) })),
    ),
  );
  const caller = offersOf(registered);
  const wishes = { allowUnencrypted: true, messageBytes: null, retiring: [], retired };
  const found = match(caller, caller, DEFAULT_SELECTION, wishes);
  assert.ok(!found.matched && found.failedOn === 'retired');
  const sentence = refusalSentence(caller, found, wishes);
  assert.ok(Buffer.byteLength(sentence) <= 255 && sentence.length > 200, sentence);
  assert.match(sentence, /^the suites in common are retired; of yours aes-gcm\/128\/sha-256\/128, .*, and \d+ more$/);
});
