/**
 * The rules at work: times of day where the clocks are put on and back, profiles, and which rule decides.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Subject } from '../../manager/policy.ts';
import { allOf, PROFILES, type ProfileName } from '../../manager/rule-profiles.ts';
import { decidingRule, describeWhen, type Rules, type When, whyNot } from '../../manager/rules.ts';
import { match } from '../../protocol/matching.ts';
import { offersOf } from '../../protocol/proposal.ts';
import { DEFAULT_SELECTION, NO_REQUIREMENT, NO_WISHES } from '../../protocol/selection.ts';
import { CIPHERS, type Cipher, HASH_WIRE, type Suite } from '../../protocol/suites.ts';
import { DAYS, type Day, isTimeZone, isWithin, localClock, timeWindow } from '../../protocol/time-window.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';
import { proposal } from '../town.ts';

const at = (iso: string): EpochSeconds => EpochSeconds(Date.parse(iso) / 1000);
const minutes = (time: string): number => {
  const [hour, minute] = time.split(':').map(Number);
  return hour! * 60 + minute!;
};
const window = (from: string, to: string, timeZone: string, days: readonly Day[] = DAYS) =>
  timeWindow({ fromMinute: minutes(from), toMinute: minutes(to), days, timeZone });

// ── Times ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const BERLIN_NIGHT = window('22:00', '06:00', 'Europe/Berlin', ['mon']);
const OFFICE = window('09:00', '17:00', 'UTC');

for (const [rule, given, moment, holds] of [
  ['the beginning belongs to it', OFFICE, '2026-01-05T09:00:00Z', true],
  ['the second before does not', OFFICE, '2026-01-05T08:59:59Z', false],
  ['the last second belongs to it', OFFICE, '2026-01-05T16:59:59Z', true],
  ['the end does not', OFFICE, '2026-01-05T17:00:00Z', false],
  ['its own evening', BERLIN_NIGHT, '2026-01-05T21:00:00Z', true],
  ['an hour too early in winter', BERLIN_NIGHT, '2026-01-05T20:30:00Z', false],
  ['that hour in summer, when the clocks are put on', BERLIN_NIGHT, '2026-07-06T20:30:00Z', true],
  ['past midnight it is still the night that began on Monday', BERLIN_NIGHT, '2026-01-06T04:59:59Z', true],
  ['until its end on Tuesday', BERLIN_NIGHT, '2026-01-06T05:00:00Z', false],
  ['the night that began on Sunday is another', BERLIN_NIGHT, '2026-01-05T04:00:00Z', false],
  ['so is the one that begins on Tuesday', BERLIN_NIGHT, '2026-01-06T21:30:00Z', false],
  ['Sunday is followed by Monday', window('22:00', '06:00', 'UTC', ['sun']), '2026-01-05T03:00:00Z', true],
  ['Saturday by Sunday', window('22:00', '06:00', 'UTC', ['sat']), '2026-01-04T03:00:00Z', true],
  ['up to midnight', window('22:00', '24:00', 'UTC', ['mon']), '2026-01-05T23:59:59Z', true],
  ['and no further', window('22:00', '24:00', 'UTC', ['mon']), '2026-01-06T00:00:00Z', false],
  ['from midnight to midnight', window('00:00', '24:00', 'Asia/Tokyo', ['tue']), '2026-01-05T15:00:00Z', true],
  ['it ends where it begins: never', window('06:00', '06:00', 'UTC'), '2026-01-05T06:00:00Z', false],
  ['a zone of quarters of an hour', window('05:45', '05:46', 'Asia/Kathmandu'), '2026-01-05T00:00:30Z', true],
  ['before 1970', window('23:59', '24:00', 'UTC', ['wed']), '1969-12-31T23:59:30Z', true],
] as const) {
  test(`[P20] a time of day: ${rule}`, () => {
    assert.equal(isWithin(given, at(moment)), holds);
  });
}

/** Minutes of the 36 hours from that noon on in which the window holds. */
function lengthFrom(noon: string, given: ReturnType<typeof window>): number {
  const all = Array.from({ length: 36 * 60 }, (_, minute) => EpochSeconds(at(noon) + minute * 60));
  return all.filter((one) => isWithin(given, one)).length;
}

test('[P20] a night in which the clocks are put on is an hour shorter, one in which they are put back an hour longer', () => {
  const night = window('22:00', '06:00', 'Europe/Berlin');
  assert.equal(lengthFrom('2026-01-05T06:00:00Z', night), 8 * 60);
  assert.equal(lengthFrom('2026-03-28T06:00:00Z', night), 7 * 60);
  assert.equal(lengthFrom('2026-10-24T06:00:00Z', night), 9 * 60);
  const half = window('22:00', '06:00', 'Australia/Lord_Howe');
  assert.equal(lengthFrom('2026-04-03T20:00:00Z', half), 8.5 * 60, 'there they are put back by half an hour');
});

test('[P20] an hour that the clocks skip never comes, one that they repeat comes twice', () => {
  const hour = window('02:00', '03:00', 'Europe/Berlin');
  assert.equal(lengthFrom('2026-03-27T12:00:00Z', hour), 60, 'the day before');
  assert.equal(lengthFrom('2026-03-28T12:00:00Z', hour), 0);
  assert.equal(lengthFrom('2026-10-24T12:00:00Z', hour), 120);
});

test('[P20] what clocks show in a zone is what the tables of that zone say, in whatever order moments are asked', () => {
  const zones = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Pacific/Apia'];
  const clocks = new Map(zones.map((zone) => [zone, localClock(zone)]));
  const moments = fc.integer({ min: at('1975-01-01T00:00:00Z'), max: at('2037-01-01T00:00:00Z') });
  fc.assert(
    fc.property(fc.constantFrom(...zones), fc.array(moments, { minLength: 1, maxLength: 4 }), (zone, asked) => {
      // each twice, and its neighbours within the minute
      for (const moment of asked.flatMap((one) => [one, one + 1, one, one - 61])) {
        const shown = new Date(moment * 1000).toLocaleString('sv-SE', { timeZone: zone });
        const asUtc = new Date(`${shown.replace(' ', 'T')}Z`);
        const { day, minute } = clocks.get(zone)!(EpochSeconds(moment));
        assert.deepEqual([day, minute], [asUtc.getUTCDay(), asUtc.getUTCHours() * 60 + asUtc.getUTCMinutes()]);
      }
    }),
    { numRuns: 300, seed: 20 },
  );
});

test('[P20] a time zone is one that the machine has tables of', () => {
  for (const zone of ['UTC', 'Europe/Berlin', 'Asia/Kathmandu']) assert.ok(isTimeZone(zone), zone);
  for (const zone of ['Mars/Olympus', 'Berlin', '', 'Europe/Berlin ']) assert.ok(!isTimeZone(zone), zone);
});

// ── Profiles ────────────────────────────────────────────────────────────────────────────────────────────────────────

const EVERY_SUITE: readonly Suite[] = (Object.keys(CIPHERS) as Cipher[]).flatMap((cipher) =>
  CIPHERS[cipher].keyBits.flatMap((keyBits) =>
    (Object.keys(HASH_WIRE) as Suite['hash'][]).flatMap((hash) =>
      CIPHERS[cipher].tagBits.map((tagBits) => ({ cipher, keyBits, hash, tagBits })),
    ),
  ),
);

/** Whether two devices that offer this suite alone get it. */
function passes(suite: Suite, require: typeof NO_REQUIREMENT): boolean {
  const offers = offersOf([proposal(suite.cipher, suite.keyBits, suite)]);
  const wishes = { ...NO_WISHES, allowUnencrypted: true };
  return match(offers, offers, { ...DEFAULT_SELECTION, require }, wishes).matched;
}

const ALLOWED: Readonly<Record<ProfileName, (suite: Suite) => boolean>> = {
  fips: ({ cipher }) => cipher !== 'chacha20-poly1305',
  constrained: ({ cipher, hash }) => cipher === 'aes-ccm' && hash === 'sha-256',
  cnsa: ({ cipher, keyBits, hash }) =>
    ['aes-gcm', 'aes-ccm', 'aes-ctr-hmac'].includes(cipher) && keyBits === 256 && hash !== 'sha-256',
};

for (const [name, allowed] of Object.entries(ALLOWED)) {
  test(`[P20] the profile ${name} lets pass what its standards name, and nothing else of the registry`, () => {
    const passed = EVERY_SUITE.filter((suite) => passes(suite, PROFILES[name as ProfileName]));
    assert.deepEqual(passed, EVERY_SUITE.filter(allowed));
    assert.ok(passed.length > 0 && passed.length < EVERY_SUITE.length);
  });
}

test('[P20] a profile and the other settings of a rule must both hold, whichever is stricter', () => {
  const own = { ...NO_REQUIREMENT, minTagBits: 128, minStrengthBits: 192, ciphers: ['aes-ccm', 'hmac'] as const };
  const both = allOf([own, PROFILES.fips]);
  for (const suite of EVERY_SUITE) {
    assert.equal(passes(suite, both), passes(suite, own) && passes(suite, PROFILES.fips), JSON.stringify(suite));
  }
  assert.deepEqual(allOf([PROFILES.constrained, PROFILES.cnsa]).hashes, [], 'these two have no hash in common');
  assert.deepEqual(allOf([]), NO_REQUIREMENT);
});

// ── Which rule decides ──────────────────────────────────────────────────────────────────────────────────────────────

const subject = (id: string, more: Partial<Subject> = {}): Subject => ({
  id: id as DeviceId,
  class: null,
  groups: [],
  user: null,
  ...more,
});
const CAMERA = subject('cam-1', { class: 'camera', groups: ['home', 'porch'], user: 'resident@home.example' });
const LOCK = subject('lock-1', { class: 'lock', groups: ['home'] });
const NOON = at('2026-01-05T12:00:00Z');

for (const [rule, when, caller, callee, fails] of [
  ['without conditions it always applies', {}, CAMERA, LOCK, null],
  ['of the caller', { caller: { class: 'camera' } }, CAMERA, LOCK, null],
  ['the callee is not the caller', { caller: { class: 'camera' } }, LOCK, CAMERA, 'caller'],
  ['of the callee', { callee: { class: 'camera' } }, LOCK, CAMERA, null],
  ['the caller is not the callee', { callee: { class: 'camera' } }, CAMERA, LOCK, 'callee'],
  ['either: the caller', { either: { class: 'lock' } }, LOCK, CAMERA, null],
  ['either: the callee', { either: { class: 'lock' } }, CAMERA, LOCK, null],
  ['either: none of the two', { either: { class: 'lamp' } }, CAMERA, LOCK, 'either'],
  ['both', { both: { group: 'home' } }, CAMERA, LOCK, null],
  ['both: one is not enough', { both: { group: 'porch' } }, CAMERA, LOCK, 'both'],
  ['an id with a star', { caller: { id: 'cam-*' } }, CAMERA, LOCK, null],
  ['a star that finds nothing', { caller: { id: 'dam-*' } }, CAMERA, LOCK, 'caller'],
  ['a user', { either: { user: '*@home.example' } }, LOCK, CAMERA, null],
  ['a device without a user is nobody', { callee: { user: '*' } }, CAMERA, LOCK, 'callee'],
  ['all that is said of one device', { caller: { class: 'camera', group: 'shed' } }, CAMERA, LOCK, 'caller'],
  ['either is one of the two, wholly', { either: { class: 'lock', group: 'porch' } }, CAMERA, LOCK, 'either'],
  ['a time that holds', { time: OFFICE }, CAMERA, LOCK, null],
  ['a time that does not', { time: BERLIN_NIGHT }, CAMERA, LOCK, 'time'],
  ['no class is no class', { caller: { class: 'null' } }, subject('x'), LOCK, 'caller'],
] as const satisfies ReadonlyArray<readonly [string, When, Subject, Subject, keyof When | null]>) {
  test(`[P20] [B4] a rule's conditions: ${rule}`, () => {
    assert.equal(whyNot(when, caller, callee, NOON), fails);
  });
}

test('[P20] [B4] the first rule that applies decides; when none does, the default', () => {
  const named = (name: string) => ({ ...DEFAULT_SELECTION, name });
  const rules: Rules = {
    rules: [
      { when: { caller: { class: 'lock' } }, selection: named('locks') },
      { when: { either: { class: 'camera' } }, selection: named('cameras') },
      { when: { either: { class: 'camera' } }, selection: named('too late') },
    ],
    otherwise: named('default'),
    digest: null,
  };
  const decides = (caller: Subject, callee: Subject) => decidingRule(rules, caller, callee, NOON).name;
  assert.equal(decides(LOCK, CAMERA), 'locks');
  assert.equal(decides(CAMERA, LOCK), 'cameras');
  assert.equal(decides(subject('x'), subject('y')), 'default');
});

test('[B8] the conditions of a rule are told in words', () => {
  assert.equal(describeWhen({}), 'always');
  const when = { callee: { class: 'camera', group: 'porch' }, time: BERLIN_NIGHT };
  assert.equal(describeWhen(when), 'callee of class camera and group porch; from 22:00 to 06:00 Europe/Berlin on mon');
  assert.equal(describeWhen({ time: window('00:00', '24:00', 'UTC') }), 'from 00:00 to 24:00 UTC');
});
