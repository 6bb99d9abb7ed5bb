/**
 * The match by the letters of the patent: which entries agree, and which of several agreements wins. [patent 0156-0167]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CborItem, encode } from '../../protocol/cbor.ts';
import type { HashName } from '../../protocol/crypto.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import { explainMatch } from '../../protocol/match-explanation.ts';
import { spellCause } from '../../protocol/match-replay.ts';
import { match, type Setting } from '../../protocol/matching.ts';
import { Proposal, Register } from '../../protocol/messages.ts';
import { checkProposals, offersOf, proposalOf } from '../../protocol/proposal.ts';
import {
  CALLER_FIRST,
  type Criterion,
  DEFAULT_SELECTION,
  NO_WISHES,
  type Selection,
  type Wishes,
} from '../../protocol/selection.ts';
import { proposal } from '../town.ts';

const UNENCRYPTED = { ...NO_WISHES, allowUnencrypted: true };
const BY_CALLER = { ...DEFAULT_SELECTION, prefer: CALLER_FIRST };

const spell = (
  caller: readonly Proposal[],
  callee: readonly Proposal[],
  selection: Selection = DEFAULT_SELECTION,
  wishes: Wishes = NO_WISHES,
): string => {
  const found = match(offersOf(caller), offersOf(callee), selection, wishes);
  if (!found.matched) return `none: ${found.failedOn}`;
  const { cipher, keyBits, hash, tagBits } = found.suite;
  return `${cipher} ${keyBits} ${hash} ${tagBits} ${found.keyMode}`;
};

test('[P18] [patent 0158-0160] an entry matches only when every setting is equal; the one that differs is named', () => {
  const ours = proposal('aes-ccm', 128, { tagBits: 64, hash: 'sha-256', keyMode: 'seed' });
  const rows: [differs: Setting, theirs: Proposal][] = [
    ['cipher', proposal('aes-gcm', 128, { tagBits: 128 })],
    ['keyBits', proposal('aes-ccm', 256, { tagBits: 64 })],
    ['hash', proposal('aes-ccm', 128, { tagBits: 64, hash: 'sha-384' })],
    ['tagBits', proposal('aes-ccm', 128, { tagBits: 128 })],
    ['keyMode', proposal('aes-ccm', 128, { tagBits: 64, keyMode: 'key' })],
  ];
  assert.equal(spell([ours], [ours]), 'aes-ccm 128 sha-256 64 seed');
  for (const [differs, theirs] of rows) {
    assert.equal(spell([ours], [theirs]), `none: ${differs}`);
    assert.equal(spell([theirs], [ours]), `none: ${differs}`, 'the same from the other side');
  }
});

test('[patent 0111, 0159] of several that do not match, the setting that kept the closest two apart is named', () => {
  const far = proposal('chacha20-poly1305', 256);
  const close = proposal('aes-gcm', 128, { keyMode: 'key' });
  assert.equal(spell([far, proposal('aes-gcm', 128)], [proposal('aes-gcm', 256), close]), 'none: keyMode');
  assert.equal(spell([], [close]), 'none: cipher');
  assert.equal(spell([far], []), 'none: cipher');
});

test("[patent 0163-0164] [claim 5] figure 13: both A and B match, and the callee's first choice B wins", () => {
  const caller = [proposal('aes-gcm', 128, { priority: 1 }), proposal('aes-gcm', 256, { priority: 2 })];
  const callee = [proposal('aes-gcm', 128, { priority: 2 }), proposal('aes-gcm', 256, { priority: 1 })];
  assert.equal(spell(caller, callee), 'aes-gcm 256 sha-256 128 seed');
  assert.equal(spell(caller, callee, BY_CALLER), 'aes-gcm 128 sha-256 128 seed', 'the precedence is a rule');
});

test('[P20] [patent 0158, 0163-0164] [claim 5] figure 13 by its letters: 802 with 814, 804 with 812; terminal 40 before terminal 30 gives B', () => {
  const [a, b, c, d] = (['aes-gcm', 'aes-ccm', 'chacha20-poly1305', 'aes-ctr-hmac'] as const).map(
    (cipher) => (priority: number) => proposal(cipher, 256, { priority }),
  ) as [Lettered, Lettered, Lettered, Lettered];
  const table800 = [a(1), b(2), c(3)];
  const table810 = [b(1), a(2), d(3)];
  const explained = explainMatch({ name: '30', proposals: table800 }, { name: '40', proposals: table810 });
  const agreed = explained.contenders.map(({ suite, caller, callee }) => [suite.cipher, caller.index, callee.index]);
  assert.deepEqual(agreed, [
    ['aes-ccm', 1, 0],
    ['aes-gcm', 0, 1],
  ]);
  assert.equal(spell(table800, table810), 'aes-ccm 256 sha-256 128 seed', 'B, the first choice of 40');
  assert.equal(spellCause(explained.cause), 'criterion callee-priority');
  assert.equal(spell(table800, table810, BY_CALLER), 'aes-gcm 256 sha-256 128 seed', 'A, the first choice of 30');
});
type Lettered = (priority: number) => Proposal;

const ranged = (keyBits: { min?: number; max?: number }, hash: readonly HashName[], more = {}): Proposal =>
  proposalOf({ cipher: 'aes-gcm', keyBits, hash, keyMode: 'seed', ...more });

test('[P19] [patent 0161] algorithm A, at least 64 bit, function A or B meets algorithm A, at least 128 bit, function B or C: A, 128, B', () => {
  const ours = ranged({ min: 64 }, ['sha-256', 'sha-384']);
  const theirs = ranged({ min: 128 }, ['sha-384', 'sha-512']);
  assert.equal(spell([ours], [theirs]), 'aes-gcm 128 sha-384 128 seed');
  assert.equal(spell([theirs], [ours]), 'aes-gcm 128 sha-384 128 seed', 'whoever asks');
  const shorter = ranged({ max: 127 }, ['sha-384']);
  assert.equal(spell([shorter], [theirs]), 'none: keyBits', 'nothing is left of it: it is passed over');
});

test('[P19] [patent 0162] several overlaps: the shortest key that both allow, then the first common hash of the callee', () => {
  const ours = ranged({ min: 128, max: 256 }, ['sha-256', 'sha-384', 'sha-512']);
  assert.equal(spell([ours], [ranged({ min: 192 }, ['sha-512', 'sha-256'])]), 'aes-gcm 192 sha-512 128 seed');
  assert.equal(
    spell([ranged({}, ['sha-256'])], [ranged({}, ['sha-256'])]),
    'aes-gcm 128 sha-256 128 seed',
    'any length',
  );
});

test('[P20] [patent 0165-0167] a criterion of the manager needs no priorities: strength, key length, lightness of cipher and of hash', () => {
  const list = [
    ranged({ min: 128 }, ['sha-512', 'sha-256']),
    proposalOf({ cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-512', keyMode: 'seed' }),
    proposalOf({ cipher: 'hmac', keyBits: [128, 512], hash: 'sha-384', keyMode: 'seed' }),
  ];
  const rows: [Criterion, string][] = [
    ['strength', 'aes-gcm 256 sha-512'],
    ['key-length', 'hmac 512 sha-384'],
    ['cipher-lightness', 'chacha20-poly1305 256 sha-512'],
    ['hash-lightness', 'aes-gcm 128 sha-256'],
  ];
  for (const [criterion, wanted] of rows) {
    const wishes = criterion === 'key-length' ? UNENCRYPTED : NO_WISHES;
    const found = spell(list, list, { ...DEFAULT_SELECTION, prefer: [criterion] }, wishes);
    assert.ok(found.startsWith(wanted), `${criterion}: ${found}`);
  }
});

const CTR = { cipher: 'aes-ctr-hmac', keyMode: 'seed' } as const;

test('[P20] a retirement of one key with one hash keeps neither a longer key nor another hash from a criterion', () => {
  const list = [proposalOf({ ...CTR, keyBits: [128, 192], hash: ['sha-256', 'sha-384'] })];
  const retired = [{ cipher: 'aes-ctr-hmac', keyBits: 128, hash: 'sha-256', tagBits: null } as const];
  const byHash = { ...DEFAULT_SELECTION, prefer: ['hash-lightness'] } as const;
  assert.equal(spell(list, list, byHash, { ...NO_WISHES, retired }), 'aes-ctr-hmac 192 sha-256 256 seed');
  assert.equal(spell(list, list, DEFAULT_SELECTION, { ...NO_WISHES, retired }), 'aes-ctr-hmac 128 sha-384 256 seed');
});

test('[P20] [patent 0167] the lightness of a cipher leaves the hash to its own criterion, and to the order of the callee', () => {
  const list = [proposalOf({ ...CTR, keyBits: 128, hash: ['sha-256', 'sha-512'] })];
  const light = { ...DEFAULT_SELECTION, prefer: ['cipher-lightness'] } as const;
  const retiring = [{ cipher: 'aes-ccm', keyBits: null, hash: null, tagBits: null } as const];
  assert.equal(spell(list, list, light), 'aes-ctr-hmac 128 sha-256 256 seed');
  assert.equal(spell(list, list, light, { ...NO_WISHES, retiring }), 'aes-ctr-hmac 128 sha-256 256 seed');
  const other = [proposalOf({ ...CTR, keyBits: 128, hash: ['sha-512', 'sha-256'] })];
  assert.equal(spell(list, other, light), 'aes-ctr-hmac 128 sha-512 256 seed');
});

test('[P19] [patent 0159] where all that a side has is cut away, it fails on the setting of which nothing was left', () => {
  const good = proposal('aes-gcm', 128);
  const rows: [Setting, Proposal][] = [
    ['cipher', { cipher: 'later-9', hashes: ['sha-256'], keyMode: 'seed' }],
    ['keyBits', proposal('aes-ccm', 192)],
    ['hash', { cipher: 'aes-gcm', hashes: ['later-7'], keyMode: 'seed' }],
    ['tagBits', proposal('aes-gcm', 128, { tagBits: 96 })],
  ];
  for (const [setting, cut] of rows) {
    assert.equal(spell([cut], [good]), `none: ${setting}`);
    assert.equal(spell([good], [cut]), `none: ${setting}`);
    assert.equal(spell([rows[0]![1], cut], [good]), `none: ${setting}`, 'of several the one that came furthest');
  }
  assert.equal(spell([], [good]), 'none: cipher');
});
test("[claim 5] where the callee has no preference the caller's priority decides, then the suite table", () => {
  const first = proposal('chacha20-poly1305', 256, { priority: 1 });
  const callee = [proposal('aes-gcm', 128), proposal('chacha20-poly1305', 256)];
  assert.equal(spell([proposal('aes-gcm', 128), first], callee), 'chacha20-poly1305 256 sha-256 128 seed');
  const even = [proposal('chacha20-poly1305', 256), proposal('aes-ccm', 128), proposal('aes-gcm', 256)];
  assert.equal(spell(even, even), 'aes-gcm 256 sha-256 128 seed', 'the table: GCM, CCM, ChaCha20');
  const sizes = [proposal('aes-ccm', 256), proposal('aes-ccm', 128, { tagBits: 64 }), proposal('aes-ccm', 128)];
  assert.equal(spell(sizes, sizes), 'aes-ccm 128 sha-256 128 seed', 'shorter keys, then longer tags');
  const modes = [proposal('aes-gcm', 128, { keyMode: 'key' }), proposal('aes-gcm', 128)];
  assert.equal(spell(modes, modes), 'aes-gcm 128 sha-256 128 seed', 'a seed before a key');
});

test('[claim 5] an entry with a priority goes before one without', () => {
  const caller = [proposal('aes-gcm', 128), proposal('aes-ccm', 256)];
  const callee = [proposal('aes-gcm', 128), proposal('aes-ccm', 256, { priority: 1000 })];
  assert.equal(spell(caller, callee), 'aes-ccm 256 sha-256 128 seed');
});

test('[P18] an entry outside the registry is passed over, on whichever side it stands', () => {
  const odd = [proposal('aes-gcm', 130, { priority: 1 }), proposal('aes-ccm', 192, { priority: 1 })];
  const good = proposal('aes-gcm', 128, { priority: 9 });
  assert.equal(spell([...odd, good], [...odd, good]), 'aes-gcm 128 sha-256 128 seed');
  assert.match(spell(odd, odd), /^none/, 'two sides that agree on it do not make it one of the registry');
});

test('[P18] integrity-only is chosen only when it is asked for and both registered it', () => {
  const mac = proposal('hmac', 256, { priority: 1 });
  const gcm = proposal('aes-gcm', 128, { priority: 2 });
  assert.equal(spell([mac], [mac]), 'none: encryption');
  assert.equal(
    spell([mac, gcm], [mac, gcm]),
    'aes-gcm 128 sha-256 128 seed',
    'first choice of both, yet not asked for',
  );
  assert.equal(spell([mac], [mac], DEFAULT_SELECTION, UNENCRYPTED), 'hmac 256 sha-256 256 seed');
  assert.equal(spell([gcm], [mac], DEFAULT_SELECTION, UNENCRYPTED), 'none: cipher');
  assert.equal(spell([mac], [gcm], DEFAULT_SELECTION, UNENCRYPTED), 'none: cipher');
});

// ── Bad input ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('[patent 0159] empty lists are no match, and no fault', () => {
  const one = proposal('aes-gcm', 128);
  for (const [caller, callee] of [
    [[], []],
    [[one], []],
    [[], [one]],
  ] as const) {
    assert.equal(spell(caller, callee), 'none: cipher');
  }
});

test('[P19] a least length above the greatest is an input error that names the proposal and both', () => {
  const good = ranged({ min: 128 }, ['sha-256']);
  const bad = ranged({ min: 256, max: 128 }, ['sha-256']);
  assert.throws(
    () => checkProposals([good, bad]),
    (error: unknown) =>
      error instanceof ProtocolError &&
      error.code === 'malformed' &&
      /proposal 2: .*at least 256 and at most 128 bits: min is above max/.test(error.message),
  );
  checkProposals([good, ranged({ min: 128, max: 128 }, ['sha-256'])]);
  assert.equal(spell([bad], [good]), 'none: keyBits', 'and what came in all the same allows nothing');
});

test('[claim 5] a priority given twice decides nothing between the two; the other side, then the table does', () => {
  const twice = [proposal('aes-ccm', 128, { priority: 1 }), proposal('chacha20-poly1305', 256, { priority: 1 })];
  assert.equal(spell(twice, twice), 'aes-ccm 128 sha-256 128 seed');
  const other = [proposal('aes-ccm', 128, { priority: 2 }), proposal('chacha20-poly1305', 256, { priority: 1 })];
  assert.equal(spell(other, twice), 'chacha20-poly1305 256 sha-256 128 seed');
});

test('[P9] [patent 0151] a Register has 1 to 64 proposals: with none, and with one more, it is refused', () => {
  const registering = (count: number) => () => {
    const proposals = Array.from({ length: count }, (_, at) => proposal('aes-gcm', 128, { priority: at + 1 }));
    const items = new Map<number, CborItem>([
      [0, Register.number!],
      [1, new Uint8Array(16)],
      [2, []],
      [3, proposals.map((one) => Proposal.type.toItem(one))],
    ]);
    return Register.decode(encode(items));
  };
  assert.equal(registering(1)().proposals.length, 1);
  assert.equal(registering(64)().proposals.length, 64);
  for (const count of [0, 65, 200]) {
    assert.throws(registering(count), (error: unknown) => error instanceof ProtocolError, `${count} proposals`);
  }
});
