/**
 * The exact match: which entries agree, which of several agreements wins. [patent 0156-0164]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CALLER_FIRST, DEFAULT_SELECTION, match, NO_WISHES, type Setting } from '../../protocol/matching.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { offersOf } from '../../protocol/proposal.ts';
import { proposal } from '../town.ts';

const UNENCRYPTED = { ...NO_WISHES, allowUnencrypted: true };
const BY_CALLER = { ...DEFAULT_SELECTION, prefer: CALLER_FIRST };

const spell = (
  caller: readonly Proposal[],
  callee: readonly Proposal[],
  selection = DEFAULT_SELECTION,
  wishes = NO_WISHES,
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
