/**
 * The one cause of each refusal and of each choice, situation by situation. [B8] [patent 0151-0167, claim 5]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainMatch } from '../../protocol/match-explanation.ts';
import { refusalSentence } from '../../protocol/match-refusal.ts';
import { REQUIREMENTS, spellCause } from '../../protocol/match-replay.ts';
import { match, SETTINGS, TABLE_PLACES } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { offersOf } from '../../protocol/proposal.ts';
import { CIPHER_ORDER, CRITERIA } from '../../protocol/selection.ts';
import { ALL_HASHES, ANY, type Circumstances, given, of, ROWS, type Row } from '../match-situations.ts';

const explained = (caller: readonly Proposal[], callee: readonly Proposal[], more: Circumstances) => {
  const { selection, wishes } = given(more);
  const sides = [
    { name: 'lamp', proposals: caller },
    { name: 'tv', proposals: callee },
  ] as const;
  return explainMatch(...sides, selection, wishes);
};

for (const row of ROWS) {
  const [situation, caller, callee, more, cause, result] = row;
  test(`[B8] ${situation}: ${cause}`, () => {
    const found = explained(caller, callee, more);
    assert.equal(spellCause(found.cause), cause);
    const { selection, wishes } = given(more);
    assert.deepEqual(found.match, match(offersOf(caller), offersOf(callee), selection, wishes));
    const short = found.match.matched
      ? `${found.match.suite.cipher.replace('aes-', '').replace('20-poly1305', '')} ${found.match.suite.keyBits} ${found.match.suite.hash}`
      : null;
    assert.equal(short, result);
    assert.match(found.because[0]!, result === null ? /^No suite: .+\.$/ : / is chosen: .+\.$/);
  });
}

test('[B8] the table shows every cause that there is, and has at least sixty situations', () => {
  assert.ok(ROWS.length >= 60, `${ROWS.length} rows`);
  assert.equal(new Set(ROWS.map(([situation]) => situation)).size, ROWS.length, 'each situation once');
  const apart = SETTINGS.filter((one) => one !== 'rule' && one !== 'retired').map((one) => `apart ${one}`);
  const causes = [
    ...apart,
    ...REQUIREMENTS.map((one) => `requirement ${one}`),
    ...CRITERIA.map((one) => `criterion ${one}`),
    ...TABLE_PLACES.map((one) => `table ${one}`),
    ...['overlap key-length', 'overlap hash-order', 'retired', 'retiring', 'only'],
    ...['nothing offered by the caller', 'nothing offered by the callee'],
  ];
  assert.deepEqual([...new Set(ROWS.map(([, , , , cause]) => cause))].sort(), causes.sort());
  for (const requirement of REQUIREMENTS) {
    const results = ROWS.filter(([, , , , cause]) => cause === `requirement ${requirement}`).map((row) => row[5]);
    assert.ok(results.includes(null) && results.some((one) => one !== null), `${requirement}: refused, and left one`);
  }
});

const rowOf = (situation: string): Row => {
  const found = ROWS.find(([one]) => one === situation);
  assert.ok(found, situation);
  return found;
};
const explainedRow = (situation: string) => {
  const [, caller, callee, more] = rowOf(situation);
  return explained(caller, callee, more);
};
const sentences = (situation: string): string => explainedRow(situation).because.join('\n');

test('[B8] sentences name the setting, the requirement or the criterion with both values', () => {
  assert.match(
    sentences('two key lengths'),
    /lamp's proposal 1 and tv's 1 part at the key length: 128 bit against 256 bit/,
  );
  assert.match(sentences('too weak'), /rule office refuses all .* at least 192 bit, and aes-gcm-128 .* has 128 bit/);
  assert.match(
    sentences('the slower side decides'),
    /cost at 1024 B 12\.2 µs on tv \(measured\) against 60\.2 µs on tv \(measured\)/,
  );
  assert.match(sentences('nothing measured: the table stands in'), /cost at 16384 B .* on both \(assumed\) against/);
  assert.match(sentences("figure 13: the callee's first choice"), /the callee's priority 1 against 2 for aes-gcm-128/);
  assert.match(sentences('a priority before none'), /the callee's priority 1000 against none/);
  assert.match(
    sentences('costs within a tenth tie: the next criterion'),
    /cost: aes-gcm-256 .* is within 10 % of aes-gcm-128 .*: a tie/,
  );
  assert.match(
    sentences('a proposal of a later version beside'),
    /lamp's proposal 1 \(later-77 .*\) is passed over: its cipher is not known here/,
  );
  assert.match(sentences('one that retires, and nothing else'), /it retires, and nothing else is common/);
});

test('[B8] what would change it: the one setting, the requirement, the second best and what made it second', () => {
  const hints = (situation: string): string => explainedRow(situation).whatWouldChange.join('\n');
  assert.match(hints('two key lengths'), /^If lamp's proposal 1 also allowed 256 bit: aes-gcm-256 sha-256 tag 128\.$/m);
  assert.match(hints('two key lengths'), /^If tv's proposal 1 also allowed 128 bit: aes-gcm-128 sha-256 tag 128\.$/m);
  assert.match(hints('two tag lengths'), /lamp's proposal 1 had a tag of 128 bit/);
  assert.match(hints('one wants the key'), /lamp's proposal 1 wanted a seed/);
  assert.match(hints('two ciphers'), /lamp also registered tv's proposal 1/);
  assert.match(hints('not asked for without encryption'), /suites that do not encrypt were asked for: hmac-256/);
  assert.match(hints('too weak'), /rule office asked for a strength of at least 128 bit only: aes-gcm-128/);
  assert.match(hints('cipher forbidden'), /rule office also allowed aes-ccm: aes-ccm-128/);
  assert.match(hints('all retired'), /aes-ccm were not retired: aes-ccm-128/);
  assert.match(
    hints("figure 13: the callee's first choice"),
    /aes-gcm-256 .* were not there: aes-gcm-128 .*, which comes second \(callee-priority\)/,
  );
  assert.match(hints('long messages: the cost of a byte'), /messages had 64 B: aes-gcm-128/);
});

test('[B8] of very many suites twelve sentences are told and the rest counted', () => {
  const many = CIPHER_ORDER.filter((cipher) => cipher !== 'hmac').flatMap((cipher) =>
    ALL_HASHES.map((hash) => of(cipher)(cipher === 'chacha20-poly1305' ? 256 : ANY, { hash })),
  );
  const { because } = explained(many, many, { prefer: ['strength'] });
  assert.equal(because.length, 12);
  assert.match(because.at(-1)!, /^And \d+ more that came less far\.$/);
});

test('[B8] [P12] the refused caller reads its own values and the setting, and nothing that only the callee has', () => {
  const rows: readonly (readonly [string, RegExp])[] = [
    ['two ciphers', /^the two devices have no cipher in common; you registered aes-gcm$/],
    ['a set beside a range', /no key length in common; you registered 128, 192$/],
    ['two hashes', /no hash in common; you registered sha-256$/],
    ['two tag lengths', /no tag length in common; you registered 64$/],
    ['one wants the key', /one wants the key and the other a seed; you registered key$/],
    ['not asked for without encryption', /^only integrity-only suites are common, and they were not asked for$/],
    ['too weak', /^suites are common, and a rule of the manager refuses them$/],
    ['tag too short', /^suites are common, and a rule of the manager refuses them$/],
    ['cipher forbidden', /^suites are common, and a rule of the manager refuses them$/],
    ['hash forbidden', /^suites are common, and a rule of the manager refuses them$/],
    ['all retired', /^the suites in common are retired; of yours aes-ccm$/],
    ['an empty list of the caller', /no cipher in common: you registered none that is known here$/],
  ];
  for (const [situation, words] of rows) {
    const [, caller, callee, more] = rowOf(situation);
    const { selection, wishes } = given(more);
    const found = match(offersOf(caller), offersOf(callee), selection, wishes);
    assert.ok(!found.matched);
    assert.match(refusalSentence(offersOf(caller), found, wishes), words);
  }
});
