/**
 * Rules of the match that hold for all lists. [P18] [claim 5]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DEFAULT_RULE, match } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { CIPHERS, type Cipher, resolveSuite, sameSuite } from '../../protocol/suites.ts';

const anyProposal: fc.Arbitrary<Proposal> = fc.record({
  suite: fc.record({
    cipher: fc.constantFrom(...(Object.keys(CIPHERS) as Cipher[])),
    keyBits: fc.constantFrom(128, 192, 256),
    hash: fc.constantFrom('sha-256', 'sha-384'),
    tagBits: fc.constantFrom(64, 128),
  }),
  keyMode: fc.constantFrom('key', 'seed'),
  priority: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
});
const lists = fc.array(anyProposal, { maxLength: 8 });
const rules = fc.record({
  name: fc.constant('any'),
  precedence: fc.constantFrom('callee', 'caller'),
  allowUnencrypted: fc.boolean(),
});
const stands = (list: readonly Proposal[], found: Pick<Proposal, 'suite' | 'keyMode'>) =>
  list.some(({ suite, keyMode }) => keyMode === found.keyMode && sameSuite(suite, found.suite));

test('[P18] [patent 0160] what matches stands in both lists, letter by letter, and in the registry', () => {
  fc.assert(
    fc.property(lists, lists, rules, (caller, callee, rule) => {
      const found = match(caller, callee, rule);
      if (!found.matched) return;
      assert.ok(stands(caller, found) && stands(callee, found));
      assert.notEqual(resolveSuite(found.suite), null);
      assert.ok(rule.allowUnencrypted || CIPHERS[found.suite.cipher].encrypts);
    }),
    { numRuns: 300 },
  );
});

test('[P18] [patent 0159] nothing matches only when no encrypting entry of the registry stands in both lists', () => {
  fc.assert(
    fc.property(lists, lists, (caller, callee) => {
      const common = caller.filter(
        (entry) => CIPHERS[entry.suite.cipher].encrypts && resolveSuite(entry.suite) !== null && stands(callee, entry),
      );
      assert.equal(match(caller, callee).matched, common.length > 0);
    }),
    { numRuns: 300 },
  );
});

test('[claim 5] the order of a list means nothing', () => {
  fc.assert(
    fc.property(lists, lists, rules, (caller, callee, rule) => {
      const straight = match(caller, callee, rule);
      assert.deepEqual(match([...caller].reverse(), [...callee].reverse(), rule), straight);
    }),
    { numRuns: 300 },
  );
});

test('[patent 0163-0164] no agreement has a better priority at the callee than the one chosen', () => {
  fc.assert(
    fc.property(lists, lists, (caller, callee) => {
      const found = match(caller, callee, DEFAULT_RULE);
      if (!found.matched) return;
      const rank = (entry: Proposal) => entry.priority ?? Number.POSITIVE_INFINITY;
      const agreed = callee.filter((entry) => resolveSuite(entry.suite) !== null && stands(caller, entry));
      const encrypting = agreed.filter((entry) => CIPHERS[entry.suite.cipher].encrypts);
      const chosen = encrypting.filter((entry) => stands([entry], found)).map(rank);
      assert.equal(Math.min(...chosen), Math.min(...encrypting.map(rank)));
    }),
    { numRuns: 300 },
  );
});
