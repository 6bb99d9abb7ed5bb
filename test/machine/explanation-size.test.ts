/**
 * However long the lists and however many the rules: an explanation is short, and so is the search for what would change it. [B8]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainSession } from '../../manager/session-explanation.ts';
import { explainMatch, type MatchExplanation } from '../../protocol/match-explanation.ts';
import { MAX_PROPOSALS, type Proposal } from '../../protocol/messages.ts';
import {
  CIPHER_ORDER,
  CRITERIA,
  DEFAULT_SELECTION,
  HASH_ORDER,
  NO_REQUIREMENT,
  NO_WISHES,
  type Selection,
} from '../../protocol/selection.ts';
import type { SuitePattern } from '../../protocol/suite-pattern.ts';
import { CIPHERS } from '../../protocol/suites.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { connect, couple } from '../couple.ts';

/** Each pair of proposals meets in nine suites, the costs nearly tie, and none is never worse than another. */
const heaviest = (shift: number): readonly Proposal[] =>
  Array.from({ length: MAX_PROPOSALS }, (_, at) => ({
    cipher: 'aes-ctr-hmac',
    hashes: at % 2 === 0 ? HASH_ORDER : [...HASH_ORDER].reverse(),
    keyMode: 'seed',
    tagBits: 256,
    priority: MAX_PROPOSALS - at,
    cost: { picosPerOp: 1_000_000 + at * shift, picosPerByte: 1000 + at },
  }));
/** Every suite of the registry in both key modes, and for the rest what nobody knows. */
const widest: readonly Proposal[] = [
  ...CIPHER_ORDER.flatMap((cipher) =>
    CIPHERS[cipher].tagBits.flatMap((tagBits) =>
      (['key', 'seed'] as const).map((keyMode): Proposal => ({ cipher, hashes: HASH_ORDER, tagBits, keyMode })),
    ),
  ),
  ...Array.from({ length: 40 }, (_, at): Proposal => {
    const keyBits = Array.from({ length: 8 }, (_, place) => 1000 + at * 8 + place);
    return { cipher: `later-${60 + at}`, keyBits, hashes: ['later-99', ...HASH_ORDER], keyMode: 'seed' };
  }),
];
const all: Selection = { ...DEFAULT_SELECTION, name: 'all', prefer: ['strength', 'key-length', 'cost', ...CRITERIA] };
const LONG_NAME = `device-${'n'.repeat(240)}`;

const explain = (caller: readonly Proposal[], callee: readonly Proposal[], selection: Selection, more = {}) =>
  explainMatch({ name: LONG_NAME, proposals: caller }, { name: 'tv', proposals: callee, unordered: true }, selection, {
    ...NO_WISHES,
    allowUnencrypted: true,
    ...more,
  });

test('[B8] a sentence has at most 300 characters, whatever was registered and whatever the names', () => {
  const strict = { ...all, name: 'r'.repeat(400), require: { ...NO_REQUIREMENT, minStrengthBits: 300 } };
  const apart = heaviest(3).map((one) => ({ ...one, keyMode: 'key' as const }));
  const rows: readonly MatchExplanation[] = [
    explain(heaviest(1), heaviest(3), { ...all, prefer: ['cost'] }),
    explain(heaviest(1), heaviest(3), all),
    explain(widest, widest, all),
    explain(widest, widest, strict),
    explain(heaviest(1), apart, all),
    explain(widest.slice(-40), heaviest(1), all),
  ];
  let longest = 0;
  for (const { because, whatWouldChange } of rows) {
    assert.ok(because.length > 0 && because.length <= 12 && whatWouldChange.length <= 6);
    for (const sentence of [...because, ...whatWouldChange]) longest = Math.max(longest, sentence.length);
  }
  assert.equal(longest, 300, 'and some of these would be longer');
});

test('[B8] of suites that tie each is named once, and no more than five of them', () => {
  const tieOf = (list: readonly Proposal[]): string => {
    const { because } = explain(list, list, { ...all, prefer: ['cost'] });
    return because.find((one) => one.endsWith(': a tie.')) ?? 'no tie';
  };
  const narrow = heaviest(1).map((one) => ({ ...one, keyBits: [128] }));
  const named = tieOf(narrow).match(/aes-ctr-hmac-128 sha-\d+ tag 256/g) ?? [];
  assert.equal(named.length, 4, 'three, and the best of them');
  assert.match(tieOf(heaviest(1)), /^cost: (aes-ctr-hmac-\d+ sha-\d+ tag 256(, )?){5} and 4 more are within 10 % of/);
});

test('[B8] the longer the lists, the fewer changes are tried: the work is bounded, not the answer for short lists', () => {
  const retiring: SuitePattern[] = [128, 192].flatMap((keyBits) =>
    HASH_ORDER.map((hash) => ({ cipher: 'aes-ctr-hmac', keyBits, hash, tagBits: 256 })),
  );
  const matchesFor = (length: number): number => {
    let matches = 0;
    const selection: Selection = {
      ...all,
      get require() {
        matches++;
        return NO_REQUIREMENT;
      },
    };
    explain(heaviest(1).slice(0, length), heaviest(3).slice(0, length), selection, { retiring });
    return matches;
  };
  const [short, long] = [matchesFor(2), matchesFor(MAX_PROPOSALS)];
  assert.ok(long < short && long <= 30, `${short} looks at the rule for short lists, ${long} for the longest`);
});

test('[B8] session explain answers with less than 48 KB for the worst lists behind a thousand rules', () => {
  const groups = Array.from({ length: 6 }, (_, at) => `group-${at}-${'g'.repeat(50)}`);
  const rules = {
    rules: Array.from({ length: 1000 }, (_, at) => ({
      when: {
        caller: { class: 'c'.repeat(64), group: groups[at % 6]!, id: 'i'.repeat(64), user: `${'u'.repeat(200)}@x` },
      },
      selection: { ...all, name: `${at}-${'n'.repeat(59)}` },
    })),
    otherwise: all,
    digest: 'a'.repeat(64),
  };
  const listings = new Map([['tv' as DeviceId, { class: 'tv', groups, user: null }]]);
  for (const [caller, callee] of [
    [heaviest(1), heaviest(3)],
    [widest, widest],
  ] as const) {
    const pair = couple({
      town: { settings: { rules, listings } },
      caller: { proposals: caller },
      callee: { proposals: callee },
    });
    const sid = connect(pair);
    const { manager, world } = pair.town;
    const shown = explainSession(manager, sid, manager.sessions.get(sid)!, world());
    assert.equal(shown.agrees, true);
    const bytes = Buffer.byteLength(JSON.stringify(shown));
    assert.ok(bytes < 48 * 1024, `${bytes} bytes`);
    const { rules: looking, match } = shown.today as unknown as {
      readonly rules: { readonly before: number; readonly looked: readonly unknown[]; readonly left: number };
      readonly match: { readonly candidates: readonly unknown[] } & Readonly<
        Record<'candidatesLeftOut' | 'partingsLeftOut' | 'passedOverLeftOut', number>
      >;
    };
    assert.deepEqual([looking.before, looking.looked.length, looking.left], [984, 16, 0]);
    assert.equal(match.candidates.length, caller === widest ? 64 : 9);
    const left = match.candidatesLeftOut + match.partingsLeftOut + match.passedOverLeftOut;
    assert.ok(caller === widest ? left > 0 : left === 0, `${left} left out`);
  }
});
