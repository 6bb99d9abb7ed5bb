/**
 * Id patterns of policy and rules: `*` stands for any run of characters, every other character for itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { matchesGlob } from '../../protocol/id-pattern.ts';

const letters = fc.array(fc.constantFrom('a', 'b', '.'), { maxLength: 10 }).map((all) => all.join(''));
const patterns = fc.array(fc.constantFrom('a', 'b', '.', '*'), { maxLength: 8 }).map((all) => all.join(''));
/** The same rule as a regular expression, which takes its own way to the answer. */
const expression = (pattern: string): RegExp => new RegExp(`^${pattern.replaceAll('.', '[.]').replaceAll('*', '.*')}$`);

test('[claim 5] an id pattern means what the same regular expression means', () => {
  let fitting = 0;
  fc.assert(
    fc.property(patterns, letters, (pattern, text) => {
      const fits = expression(pattern).test(text);
      if (fits && pattern.includes('*')) fitting++;
      assert.equal(matchesGlob(pattern, text), fits, `${pattern} with ${text}`);
    }),
    { numRuns: 3000, seed: 20 },
  );
  assert.ok(fitting > 100, `only ${fitting} of the patterns drawn fit at all`);
});

test('[claim 5] the parts around the stars do not share a character', () => {
  const rows: [pattern: string, text: string, fits: boolean][] = [
    ['aba*aba', 'aba', false],
    ['aba*aba', 'abaaba', true],
    ['a*b*b', 'ab', false],
    ['a*b*b', 'abb', true],
    ['camera-*.hall.*', 'camera-7.hall.example', true],
    ['camera-*.hall.*', 'camera-7.attic.example', false],
    ['**', '', true],
    ['', '', true],
    ['', 'a', false],
  ];
  for (const [pattern, text, fits] of rows) assert.equal(matchesGlob(pattern, text), fits, `${pattern} with ${text}`);
});
