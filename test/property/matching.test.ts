/**
 * Rules of the match that hold for all lists. [P18] [claim 5]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CALLEE_FIRST, CALLER_FIRST, DEFAULT_SELECTION, match, NO_WISHES } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { allows, offersOf } from '../../protocol/proposal.ts';
import { CIPHERS, type Cipher, type KeyMode, resolveSuite, type Suite } from '../../protocol/suites.ts';
import { suiteOf } from '../town.ts';

const anyProposal: fc.Arbitrary<Proposal> = fc.record({
  cipher: fc.constantFrom(...(Object.keys(CIPHERS) as Cipher[])),
  keyBits: fc.constantFrom(128, 192, 256).map((bits) => [bits]),
  hashes: fc.constantFrom('sha-256' as const, 'sha-384' as const).map((hash) => [hash]),
  tagBits: fc.constantFrom(64, 128),
  keyMode: fc.constantFrom('key', 'seed'),
  priority: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
});
const lists = fc.array(anyProposal, { maxLength: 8 });
const rules = fc.record({
  prefer: fc.constantFrom(CALLEE_FIRST, CALLER_FIRST),
  allowUnencrypted: fc.boolean(),
});
type Wanted = { readonly prefer: typeof CALLEE_FIRST; readonly allowUnencrypted: boolean };
const DEFAULT: Wanted = { prefer: CALLEE_FIRST, allowUnencrypted: false };
const matched = (caller: readonly Proposal[], callee: readonly Proposal[], { prefer, allowUnencrypted }: Wanted) =>
  match(offersOf(caller), offersOf(callee), { ...DEFAULT_SELECTION, prefer }, { ...NO_WISHES, allowUnencrypted });
const stands = (list: readonly Proposal[], found: { readonly suite: Suite; readonly keyMode: KeyMode }) =>
  allows(list, found.suite, found.keyMode);
const exact = (entry: Proposal) => ({ suite: suiteOf(entry), keyMode: entry.keyMode });

test('[P18] [patent 0160] what matches stands in both lists, letter by letter, and in the registry', () => {
  fc.assert(
    fc.property(lists, lists, rules, (caller, callee, rule) => {
      const found = matched(caller, callee, rule);
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
        (entry) =>
          CIPHERS[entry.cipher as Cipher].encrypts &&
          resolveSuite(suiteOf(entry)) !== null &&
          stands(callee, exact(entry)),
      );
      assert.equal(matched(caller, callee, DEFAULT).matched, common.length > 0);
    }),
    { numRuns: 300 },
  );
});

test('[claim 5] the order of a list means nothing', () => {
  fc.assert(
    fc.property(lists, lists, rules, (caller, callee, rule) => {
      const straight = matched(caller, callee, rule);
      assert.deepEqual(matched([...caller].reverse(), [...callee].reverse(), rule), straight);
    }),
    { numRuns: 300 },
  );
});

test('[patent 0163-0164] no agreement has a better priority at the callee than the one chosen', () => {
  fc.assert(
    fc.property(lists, lists, (caller, callee) => {
      const found = matched(caller, callee, DEFAULT);
      if (!found.matched) return;
      const rank = (entry: Proposal) => entry.priority ?? Number.POSITIVE_INFINITY;
      const agreed = callee.filter((entry) => resolveSuite(suiteOf(entry)) !== null && stands(caller, exact(entry)));
      const encrypting = agreed.filter((entry) => CIPHERS[entry.cipher as Cipher].encrypts);
      const chosen = encrypting.filter((entry) => stands([entry], found)).map(rank);
      assert.equal(Math.min(...chosen), Math.min(...encrypting.map(rank)));
    }),
    { numRuns: 300 },
  );
});
