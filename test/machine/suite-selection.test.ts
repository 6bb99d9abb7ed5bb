/**
 * The manager chooses by its rules, over what both registered and what the operator's registry says of them; the devices take
 * nothing outside their own lists. [P19] [P20] [B4]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { registrationHash } from '../../protocol/registration.ts';
import { DEFAULT_SELECTION, NO_REQUIREMENT, type Selection } from '../../protocol/selection.ts';
import { suiteName } from '../../protocol/suites.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { type Couple, couple, refusal, session } from '../couple.ts';
import { proposal } from '../town.ts';

const range = (cipher: Proposal['cipher'], minKeyBits: number, hashes: Proposal['hashes'], more = {}): Proposal => ({
  cipher,
  minKeyBits,
  hashes,
  keyMode: 'seed',
  ...more,
});
const selection = (name: string, more: Partial<Selection>): Selection => ({ ...DEFAULT_SELECTION, name, ...more });

function chosen(pair: Couple, wishes: { allowUnencrypted?: boolean; messageBytes?: number } = {}): string {
  const key = pair.caller.call('tv', wishes);
  pair.town.flush();
  const opened = pair.caller.news.find((news) => news.news === 'sessionOpened' && news.call === key);
  if (opened?.news !== 'sessionOpened') return refusal(pair.caller) ?? 'nothing';
  assert.deepEqual(session(pair.callee, opened.sid).suite, session(pair.caller, opened.sid).suite);
  return suiteName(session(pair.caller, opened.sid).suite);
}

test('[P19] [patent 0161] AES ≥ 64 bit, hash A|B meets AES ≥ 128 bit, hash B|C in AES 128, hash B, and the session runs', () => {
  const pair = couple({
    caller: { proposals: [range('aes-gcm', 64, ['sha-256', 'sha-384'])] },
    callee: { proposals: [range('aes-gcm', 128, ['sha-384', 'sha-512'])] },
  });
  assert.equal(chosen(pair), 'aes-gcm-128 sha-384 tag 128');
});

test('[P20] class and groups come from the registry of the operator: a rule for cameras holds for who is listed as one', () => {
  const strong = selection('cameras', { require: { ...NO_REQUIREMENT, minStrengthBits: 256 } });
  const rules = {
    rules: [{ when: { callee: { class: 'camera' } }, selection: strong }],
    otherwise: DEFAULT_SELECTION,
    digest: null,
  };
  const proposals = [range('aes-gcm', 128, ['sha-256'])];
  const listing = { class: 'camera', groups: [], user: null };
  for (const [listings, suite] of [
    [new Map([['tv' as DeviceId, listing]]), 'aes-gcm-256 sha-256 tag 128'],
    [new Map([['router' as DeviceId, listing]]), 'aes-gcm-128 sha-256 tag 128'],
    [new Map(), 'aes-gcm-128 sha-256 tag 128'],
  ] as const) {
    const pair = couple({ town: { settings: { rules, listings } }, caller: { proposals }, callee: { proposals } });
    assert.equal(chosen(pair), suite);
  }
});

test('[P20] [patent 0111] what is common and not as the rule requires is refused: the log names the rule and what it asks, the caller reads neither', () => {
  const rules = {
    rules: [],
    otherwise: selection('long keys', { require: { ...NO_REQUIREMENT, minStrengthBits: 192 } }),
    digest: null,
  };
  const only = [proposal('aes-gcm', 128)];
  const pair = couple({ town: { settings: { rules } }, caller: { proposals: only }, callee: { proposals: only } });
  assert.equal(chosen(pair), 'no-common-suite');
  const { detail } = pair.caller.latest('callFailed')!;
  assert.equal(detail, 'suites are common, and a rule of the manager refuses them');
  const line = pair.town.managerLogs.find((one) => one.startsWith('info connect.refused'))!;
  const logged = {
    reason: 'no-common-suite',
    detail,
    rule: 'long keys',
    requirement: 'a strength of at least 192 bit',
  };
  assert.deepEqual(JSON.parse(line.slice(line.indexOf('{'))), { caller: 'router', callee: 'tv', ...logged });
});

test('[B4] the lightest suite for the size that the caller names: what each side measured decides, the slower side counts', () => {
  const rules = { rules: [], otherwise: selection('light', { prefer: ['cost'] }), digest: null };
  const list = (gcm: [number, number], chacha: [number, number]): Proposal[] => [
    proposal('aes-gcm', 128, { cost: { picosPerOp: gcm[0] * 1000, picosPerByte: gcm[1] } }),
    proposal('chacha20-poly1305', 256, { cost: { picosPerOp: chacha[0] * 1000, picosPerByte: chacha[1] } }),
  ];
  const withAes = list([4000, 400], [6000, 900]);
  const withoutAes = list([5000, 9000], [7000, 2000]);
  const pair = (callee: Proposal[]) =>
    couple({ town: { settings: { rules } }, caller: { proposals: withAes }, callee: { proposals: callee } });
  assert.match(chosen(pair(withAes), { messageBytes: 16_384 }), /^aes-gcm-128/);
  assert.match(chosen(pair(withoutAes), { messageBytes: 16_384 }), /^chacha20/);
  assert.match(chosen(pair(withoutAes), { messageBytes: 16 }), /^aes-gcm-128/, 'for short messages the call counts');
});

test('[P9] [P19] a cipher and a hash of later versions are kept as they came: the hash of the registration is the same on both sides', () => {
  const later: Proposal = { cipher: 'later-77', keyBits: [333], hashes: ['later-9', 'sha-256'], keyMode: 'seed' };
  const proposals = [later, range('aes-gcm', 128, ['later-9', 'sha-512'])];
  const pair = couple({ caller: { proposals }, callee: { proposals } });
  const stored = pair.town.manager.registrations.get(pair.caller.id)!;
  assert.deepEqual(stored.proposals, proposals);
  const { addresses } = pair.caller.state.registration.wanted;
  assert.deepEqual(stored.hash, registrationHash(pair.caller.crypto, { addresses, proposals }));
  assert.equal(chosen(pair), 'aes-gcm-128 sha-512 tag 128');
});

test('[P9] a range whose min is above its max is refused, and what was registered before stays', () => {
  const pair = couple();
  const before = pair.town.manager.registrations.get(pair.caller.id)!;
  const wrong: Proposal = { cipher: 'aes-gcm', minKeyBits: 256, maxKeyBits: 128, hashes: ['sha-256'], keyMode: 'seed' };
  pair.caller.run((state, world) => register(state, { ...state.registration.wanted, proposals: [wrong] }, world));
  pair.town.flush();
  assert.equal(pair.town.manager.registrations.get(pair.caller.id), before);
  assert.ok(pair.town.managerLogs.some((line) => /min is above max/.test(line)));
});

test('[B7] [B8] on what a suite was chosen is stored with the session, and is there after the manager was restarted', () => {
  const pair = couple();
  chosen(pair, { messageBytes: 4096 });
  const { sid } = pair.caller.latest('sessionOpened')!;
  const before = pair.town.manager.sessions.get(sid)!.flow.terms.decision;
  assert.equal(before?.messageBytes, 4096);
  assert.deepEqual(before.callerRegistration, pair.town.manager.registrations.get(pair.caller.id)!.hash);
  pair.town.restartManager();
  assert.deepEqual(pair.town.manager.sessions.get(sid)!.flow.terms.decision, before);
});
