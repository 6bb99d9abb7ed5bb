/**
 * What a device costs the manager by asking again and again: the same question is not matched twice, and who is refused too
 * often is not listened to for the rest of the second. [P12]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import { REFUSALS_PER_SECOND } from '../../manager/refusals.ts';
import type { Retirement } from '../../manager/retirement.ts';
import { chooseSuite } from '../../manager/selection.ts';
import type { ManagerState } from '../../manager/state.ts';
import { DEFAULT_SELECTION, NO_REQUIREMENT, type Selection } from '../../protocol/selection.ts';
import { suiteName } from '../../protocol/suites.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';
import { type Couple, couple, refusal } from '../couple.ts';
import { proposal, town } from '../town.ts';

const LISTS = [proposal('aes-ccm', 128), proposal('aes-gcm', 128), proposal('hmac', 256)];
const PAIR = { caller: { proposals: LISTS }, callee: { proposals: LISTS } };
const PLAIN = { allowUnencrypted: false, messageBytes: null };
const DAY = 86_400;
const retirement = (cipher: 'aes-gcm' | 'aes-ccm', by: number): Retirement => ({
  pattern: { cipher, keyBits: null, hash: null, tagBits: null },
  by: EpochSeconds(by),
});
const rulesOf = (more: Partial<Selection>) => ({
  rules: [],
  otherwise: { ...DEFAULT_SELECTION, ...more },
  digest: null,
});

const choose = (
  { town: { manager, world }, caller, callee }: Couple,
  wishes: Parameters<typeof chooseSuite>[3] = PLAIN,
) => chooseSuite(manager, caller.id, callee.id, wishes, world());
const chosen = (pair: Couple): string => {
  const found = choose(pair).match;
  return found.matched ? suiteName(found.suite) : found.failedOn;
};

test('[P12] the same question on the same grounds is answered without another match', () => {
  const pair = couple(PAIR);
  const first = choose(pair);
  assert.equal(choose(pair).match, first.match);
  pair.town.advance(60_000);
  assert.equal(choose(pair).match, first.match, 'a minute later');
  assert.equal(choose(pair, { ...PLAIN, messageBytes: 7 }).match, first.match, 'no rule asks for the size');
  assert.ok(choose(pair).decision.at > first.decision.at, 'and yet the decision is of now');
  assert.notEqual(choose(pair, { ...PLAIN, allowUnencrypted: true }).match, first.match);
  const back = chooseSuite(pair.town.manager, pair.callee.id, pair.caller.id, PLAIN, pair.town.world());
  assert.notEqual(back.match, first.match, 'nor is the other way round the same question');
});

test('[P12] [P20] the size of messages is part of the question where a rule goes by cost, and of no refusal', () => {
  const town = { settings: { rules: rulesOf({ prefer: ['cost'] }) } };
  const priced = (gcm: number, ccm: number) => [
    proposal('aes-gcm', 128, { cost: { picosPerOp: 9_000_000, picosPerByte: gcm } }),
    proposal('aes-ccm', 128, { cost: { picosPerOp: 1_000_000, picosPerByte: ccm } }),
  ];
  const pair = couple({ town, caller: { proposals: priced(10, 9000) }, callee: { proposals: priced(10, 9000) } });
  const by = (messageBytes: number): string => {
    const found = choose(pair, { ...PLAIN, messageBytes }).match;
    return found.matched ? found.suite.cipher : found.failedOn;
  };
  assert.deepEqual([by(16), by(16_384), by(16)], ['aes-ccm', 'aes-gcm', 'aes-ccm']);
  pair.town.manager.rules = rulesOf({ prefer: ['cost'], require: { ...NO_REQUIREMENT, minStrengthBits: 256 } });
  const refused = choose(pair, { ...PLAIN, messageBytes: 16 });
  assert.equal(choose(pair, { ...PLAIN, messageBytes: 17 }).refused, refused.refused);
  assert.equal(refused.refused?.requirement, 'a strength of at least 256 bit');
});

test('[P12] another list, other rules, a retirement, its withdrawal and the coming of its day are all heeded at once', () => {
  const pair = couple(PAIR);
  const { manager } = pair.town;
  assert.equal(chosen(pair), 'aes-gcm-128 sha-256 tag 128');
  manager.retirements.set('aes-gcm', retirement('aes-gcm', pair.town.world().wall + DAY));
  assert.equal(chosen(pair), 'aes-ccm-128 sha-256 tag 128');
  manager.retirements.set('aes-gcm', retirement('aes-ccm', pair.town.world().wall + DAY));
  assert.equal(chosen(pair), 'aes-gcm-128 sha-256 tag 128', 'another one, and as many as before');
  manager.retirements.delete('aes-gcm');
  assert.equal(chosen(pair), 'aes-gcm-128 sha-256 tag 128');
  manager.retirements.set('aes-ccm', retirement('aes-ccm', pair.town.world().wall + 10));
  manager.retirements.set('aes-gcm', retirement('aes-gcm', pair.town.world().wall + DAY));
  const retiring = choose(pair).match;
  assert.ok(retiring.matched && retiring.retiring, 'both are to go');
  assert.equal(choose(pair).match, retiring);
  pair.town.advance(11_000);
  assert.equal(chosen(pair), 'aes-gcm-128 sha-256 tag 128', 'the day of one has come');
  pair.town.advance(DAY * 1000);
  assert.equal(chosen(pair), 'retired');
  assert.equal(choose(pair).refused?.detail, 'the suites in common are retired; of yours aes-ccm, aes-gcm');
  manager.retirements.clear();
  manager.rules = rulesOf({ name: 'new', require: { ...NO_REQUIREMENT, ciphers: ['aes-ccm'] } });
  assert.equal(chosen(pair), 'aes-ccm-128 sha-256 tag 128');
  pair.callee.run((state, world) =>
    register(state, { ...state.registration.wanted, proposals: [proposal('aes-gcm', 128)] }, world),
  );
  pair.town.flush();
  assert.equal(chosen(pair), 'rule');
  assert.equal(choose(pair).match.rule, 'new');
  pair.caller.run((state, world) =>
    register(state, { ...state.registration.wanted, proposals: [proposal('chacha20-poly1305', 256)] }, world),
  );
  pair.town.flush();
  assert.equal(chosen(pair), 'cipher');
});

test('[P12] what is remembered has a bound, however many pairs ask', () => {
  const place = town();
  const record = { version: 1, requestId: new Uint8Array(16), hash: new Uint8Array(32), addresses: [] };
  const ids = Array.from({ length: 30 }, (_, at) => `d-${at}` as DeviceId);
  for (const id of ids) place.manager.registrations.set(id, { ...record, proposals: LISTS });
  const ask = (caller: DeviceId, callee: DeviceId) => chooseSuite(place.manager, caller, callee, PLAIN, place.world());
  const [first, second, third] = ids as [DeviceId, DeviceId, DeviceId];
  const lasting = ask(first, second).match;
  const forgotten = ask(first, third).match;
  for (const caller of ids.slice(3)) {
    for (const callee of ids) if (caller !== callee) ask(caller, callee);
    assert.equal(ask(first, second).match, lasting, 'who asks now and then is not forgotten');
    assert.ok(place.manager.choices.kept.size <= 256);
  }
  assert.equal(place.manager.choices.kept.size, 256);
  assert.notEqual(ask(first, third).match, forgotten, 'and who asks no more is');
});

/** Refused for want of a common suite; `radio` would be reached. */
function strangers() {
  const pair = couple({ caller: { proposals: LISTS }, callee: { proposals: [proposal('chacha20-poly1305', 256)] } });
  pair.town.add('radio', { proposals: LISTS });
  const ask = (name: string): string | undefined => {
    pair.caller.call(name);
    pair.town.flush();
    return refusal(pair.caller);
  };
  return { ...pair, ask };
}
const refusedLines = ({ town: place }: Couple): number =>
  place.managerLogs.filter((line) => line.startsWith('info connect.refused')).length;
const questions = ({ choices }: ManagerState): number => choices.kept.size;

test('[P12] beyond twenty refused connects in a second a caller is answered too-many and nothing is looked up for it', () => {
  const pair = strangers();
  const { caller, callee, ask } = pair;
  const { manager, advance } = pair.town;
  for (let at = 0; at < REFUSALS_PER_SECOND; at++) assert.equal(ask('tv'), 'no-common-suite');
  const before = questions(manager);
  assert.equal(ask('radio'), 'too-many', 'even one that would be reached');
  assert.match(caller.latest('callFailed')?.detail ?? '', /^20 connects were refused within a second: wait/);
  assert.equal(questions(manager), before, 'no match was made');
  for (let at = 0; at < 30; at++) ask('tv');
  assert.equal(refusedLines(pair), REFUSALS_PER_SECOND + 1, 'nor is the log flooded');
  callee.call('router');
  pair.town.flush();
  assert.equal(refusal(callee), 'no-common-suite', 'others are listened to');
  advance(1000);
  assert.equal(ask('tv'), 'no-common-suite', 'and it is again in the next second');
  caller.call('radio');
  pair.town.flush();
  assert.equal(caller.latest('sessionOpened')?.peer, 'radio');
});

test('[P12] connects that succeed do not count, and what is forbidden or unknown does', () => {
  const pair = strangers();
  for (let at = 0; at < 25; at++) {
    pair.caller.call('radio');
    pair.town.flush();
  }
  assert.equal(refusal(pair.caller), undefined);
  for (let at = 0; at < REFUSALS_PER_SECOND; at++) assert.equal(pair.ask(`nobody-${at}`), 'forbidden');
  assert.equal(pair.ask('nobody'), 'too-many');
});

test('[P12] what a rule refuses reads the same to the caller whatever the callee is and whatever that rule is called', () => {
  const strong = {
    ...DEFAULT_SELECTION,
    name: 'safes-of-the-vault',
    require: { ...NO_REQUIREMENT, minStrengthBits: 256 },
  };
  const hashed = { ...DEFAULT_SELECTION, name: 'toys', require: { ...NO_REQUIREMENT, hashes: ['sha-512'] } } as const;
  const rules = {
    rules: [
      { when: { callee: { class: 'vault' } }, selection: strong },
      { when: { callee: { class: 'toy' } }, selection: hashed },
    ],
    otherwise: DEFAULT_SELECTION,
    digest: null,
  };
  const said = ['vault', 'toy'].map((kind) => {
    const listings = new Map([['tv' as DeviceId, { class: kind, groups: [], user: null }]]);
    const pair = couple({ ...PAIR, town: { settings: { rules, listings } } });
    pair.caller.call('tv');
    pair.town.flush();
    const { reason, detail } = pair.caller.latest('callFailed')!;
    const line = pair.town.managerLogs.find((one) => one.startsWith('info connect.refused'))!;
    return { told: `${reason}: ${detail}`, logged: JSON.parse(line.slice(line.indexOf('{'))) };
  });
  assert.equal(said[0]!.told, 'no-common-suite: suites are common, and a rule of the manager refuses them');
  assert.equal(said[1]!.told, said[0]!.told);
  assert.deepEqual(
    said.map(({ logged: { rule, requirement } }) => [rule, requirement]),
    [
      ['safes-of-the-vault', 'a strength of at least 256 bit'],
      ['toys', 'the hash has to be sha-512'],
    ],
  );
});
