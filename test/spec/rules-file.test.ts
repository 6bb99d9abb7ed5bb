/**
 * The rules file: each thing that can be wrong in it is told with line and key, and its own tests decide whether it is taken.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { exampleRules, linesOf } from '../../cli/commands/rules.ts';
import { Failure } from '../../cli/failure.ts';
import { type LoadedRules, parseRules, requirePassed } from '../../cli/rules/loaded-rules.ts';
import { covers, strangersOf, warningsOf } from '../../cli/rules/rules-warnings.ts';
import type { Subject } from '../../manager/policy.ts';
import { applies, BUILT_IN_RULES, decidingRule, type SubjectPattern, type When } from '../../manager/rules.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { CALLEE_FIRST, DEFAULT_SELECTION, NO_REQUIREMENT } from '../../protocol/selection.ts';
import { DAYS, localClock, timeWindow } from '../../protocol/time-window.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';

const crypto = nodeCrypto();
const load = (text: string): LoadedRules => parseRules(encodeUtf8(text), 'r.yaml', crypto);

function problems(text: string): readonly string[] {
  try {
    requirePassed(load(text));
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.exit, 'usage');
    return error.lines;
  }
  return [];
}

// ── Wrong files ─────────────────────────────────────────────────────────────────────────────────────────────────────

const DEVICE = '{ id: a, proposals: [{ cipher: aes-gcm, keyBits: 128, hash: sha-256 }] }';
const TEST = `default: {}\ntests: [{ name: t, caller: ${DEVICE}, callee: ${DEVICE}, expect: `;
/** Column of what follows. */
const EXPECT_AT = TEST.split('\n')[1]!.length + 1;

for (const [rule, text, expected] of [
  [
    'an empty file: perhaps one that is being written',
    '',
    ['r.yaml:1:1: r.yaml: no rules in it, allowed: rules, default, or both'],
  ],
  ['devices alone', 'devices: {}\n', ['r.yaml:1:1: r.yaml: no rules in it, allowed: rules, default, or both']],
  [
    'no YAML',
    'rules: [\n',
    ['r.yaml:2:1: no valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  [
    'an unknown key, with the nearest one',
    'rules:\n  - name: x\n    requires: {}\n',
    [
      'r.yaml:3:5: rules.0.requires: unknown key (did you mean require?), allowed: name, when, require, prefer, messageBytes',
    ],
  ],
  [
    'a rule without a name',
    'rules: [{ prefer: [cost] }]\n',
    ['r.yaml:1:9: rules.0.name: missing, allowed: text from 1 to 64 characters'],
  ],
  [
    'a name that stands twice',
    'rules: [{ name: x }, { name: y }, { name: x }]\n',
    ['r.yaml:1:43: rules.2.name: x is the name of rules.0 too: names are unique'],
  ],
  [
    'the name of the default',
    'rules: [{ name: default }]\n',
    ['r.yaml:1:17: rules.0.name: default is what the rule at the end is called: choose another name'],
  ],
  [
    'a name of 65 letters',
    `rules: [{ name: ${'x'.repeat(65)} }]\n`,
    ['r.yaml:1:17: rules.0.name: too large or too long, allowed: text from 1 to 64 characters'],
  ],
  [
    'a criterion that there is not',
    'default: { prefer: [cost, speed] }\n',
    [
      'r.yaml:1:27: default.prefer.1: no such value, allowed: strength, key-length, cipher-lightness, hash-lightness, cost, callee-priority, caller-priority',
    ],
  ],
  [
    'a criterion given twice',
    'default: { prefer: [cost, strength, cost] }\n',
    ['r.yaml:1:37: default.prefer.2: cost is given twice: keep one of them'],
  ],
  [
    'no criterion at all',
    'default: { prefer: [] }\n',
    ['r.yaml:1:20: default.prefer: too small or too short, allowed: a list from 1 to 7 entries'],
  ],
  [
    'a cipher that there is not',
    'default: { require: { ciphers: [des] } }\n',
    [
      'r.yaml:1:33: default.require.ciphers.0: no such value, allowed: aes-gcm, aes-ccm, chacha20-poly1305, aes-ctr-hmac, hmac',
    ],
  ],
  [
    'a cipher both allowed and forbidden',
    'default: { require: { ciphers: [aes-gcm, aes-ccm], forbidCiphers: [aes-ccm] } }\n',
    ['r.yaml:1:68: default.require.forbidCiphers.0: aes-ccm is both allowed and forbidden'],
  ],
  [
    'a hash both allowed and forbidden',
    'default: { require: { hashes: [sha-256], forbidHashes: [sha-512, sha-256] } }\n',
    ['r.yaml:1:66: default.require.forbidHashes.1: sha-256 is both allowed and forbidden'],
  ],
  [
    'a profile that there is not',
    'default: { require: { profile: nato } }\n',
    ['r.yaml:1:32: default.require.profile: no such value, allowed: fips, constrained, cnsa'],
  ],
  [
    'more strength than there is',
    'default: { require: { minStrengthBits: 512 } }\n',
    ['r.yaml:1:40: default.require.minStrengthBits: too large or too long, allowed: a whole number from 0 to 256'],
  ],
  [
    'a message of no bytes',
    'default: { messageBytes: 0 }\n',
    ['r.yaml:1:26: default.messageBytes: too small or too short, allowed: a whole number from 1 to 16777216'],
  ],
  [
    'a side that names nobody',
    'rules: [{ name: x, when: { either: {} } }]\n',
    [
      'r.yaml:1:36: rules.0.when.either: names nobody, allowed: a map with class, group, id, user, at least one of them',
    ],
  ],
  [
    'a condition that there is not',
    'rules: [{ name: x, when: { eihter: { class: a } } }]\n',
    [
      'r.yaml:1:28: rules.0.when.eihter: unknown key (did you mean either?), allowed: caller, callee, either, both, time',
    ],
  ],
  [
    'a time of day that there is not',
    'rules: [{ name: x, when: { time: { from: "24:00" } } }]\n',
    ['r.yaml:1:42: rules.0.when.time.from: not of the right form, allowed: a time of day such as "06:30", in quotes'],
  ],
  [
    'a day that there is not',
    'rules: [{ name: x, when: { time: { days: [monday] } } }]\n',
    ['r.yaml:1:43: rules.0.when.time.days.0: no such value, allowed: sun, mon, tue, wed, thu, fri, sat'],
  ],
  [
    'no day at all',
    'rules: [{ name: x, when: { time: { days: [] } } }]\n',
    ['r.yaml:1:42: rules.0.when.time.days: too small or too short, allowed: a list from 1 to 7 entries'],
  ],
  [
    'a time zone that there is not',
    'rules: [{ name: x, when: { time: { timeZone: Berlin } } }]\n',
    ['r.yaml:1:46: rules.0.when.time.timeZone: no such time zone, allowed: a name such as Europe/Berlin, or UTC'],
  ],
  [
    'a test of nothing',
    `${TEST}{} }]\n`,
    [
      `r.yaml:2:${EXPECT_AT}: tests.0.expect: expects nothing, allowed: none, or a map with cipher, keyBits, hash, tagBits, keyMode, rule`,
    ],
  ],
  [
    'a test of a device that stands nowhere',
    'default: {}\ndevices: { cam: { proposals: [{ cipher: hmac, keyBits: 256, hash: sha-256 }] } }\ntests: [{ name: t, caller: cam, callee: kam, expect: none }]\n',
    ['r.yaml:3:41: tests.0.callee: no such device (did you mean cam?), allowed: cam'],
  ],
  [
    'a test of a rule that stands nowhere',
    `rules: [{ name: cameras }]\n${TEST}{ rule: camera } }]\n`.replace('default: {}\n', ''),
    [
      `r.yaml:2:${EXPECT_AT + '{ rule: '.length}: tests.0.expect.rule: no such rule (did you mean cameras?), allowed: cameras, default`,
    ],
  ],
  [
    'a moment that is none',
    `${TEST}none, at: yesterday }]\n`,
    [
      `r.yaml:2:${EXPECT_AT + 'none, at: '.length}: tests.0.at: not of the right form, allowed: a moment such as 2026-01-05T23:00:00Z`,
    ],
  ],
  [
    'a range that contradicts itself, in a device',
    'default: {}\ndevices: { x: { proposals: [{ cipher: aes-gcm, keyBits: { min: 256, max: 128 }, hash: sha-256 }] } }\n',
    ['r.yaml:2:57: devices.x.proposals.0.keyBits: min 256 is above max 128: no key length is both'],
  ],
] as const) {
  test(`[B4] a rules file is refused with line and key: ${rule}`, () => {
    assert.deepEqual(problems(text), expected);
  });
}

// ── What it means ───────────────────────────────────────────────────────────────────────────────────────────────────

test('[P20] [B4] what a rule leaves out is as without rules: nothing required, the callee first, always', () => {
  const { rules, otherwise, digest } = load('rules: [{ name: x }]\n').rules;
  const nothing = { require: NO_REQUIREMENT, prefer: CALLEE_FIRST, messageBytes: null };
  assert.deepEqual(rules, [{ when: {}, selection: { name: 'x', ...nothing } }]);
  assert.deepEqual(otherwise, DEFAULT_SELECTION);
  assert.match(digest ?? '', /^[0-9a-f]{64}$/);
});

test('[P20] [B4] a rule and the default mean what they say, and take nothing over from each other', () => {
  const { rules, otherwise } = load(`rules:
  - name: night
    when:
      both: { group: home }
      time: { from: "22:00", to: "24:00", days: [sat], timeZone: Europe/Berlin }
    require: { minStrengthBits: 192, forbidCiphers: [aes-gcm], hashes: [sha-512, sha-384], profile: fips }
    prefer: [strength, cost]
    messageBytes: 64
default: { require: { minTagBits: 128 }, prefer: [caller-priority] }
`).rules;
  const [night] = rules;
  const { clock, ...bounds } = night!.when.time!;
  assert.deepEqual(bounds, { fromMinute: 1320, toMinute: 1440, days: ['sat'], timeZone: 'Europe/Berlin' });
  assert.equal(clock(EpochSeconds(Date.parse('2026-07-01T00:00:00Z') / 1000)).minute, 120);
  assert.deepEqual(night!.when.both, { group: 'home' });
  assert.deepEqual(night!.selection, {
    name: 'night',
    require: {
      minStrengthBits: 192,
      minTagBits: 0,
      ciphers: ['aes-ccm', 'aes-ctr-hmac', 'hmac'],
      hashes: ['sha-384', 'sha-512'],
    },
    prefer: ['strength', 'cost'],
    messageBytes: 64,
  });
  assert.deepEqual(otherwise.require, { ...NO_REQUIREMENT, minTagBits: 128 });
  assert.deepEqual(otherwise.prefer, ['caller-priority']);
});

test('[P20] rules of one time zone share its clock: fifty rules ask the tables of the zone once', () => {
  const rule = (at: number, zone: string) =>
    `  - { name: r${at}, when: { time: { from: "0${at}:00", timeZone: ${zone} } } }\n`;
  const { rules } = load(
    `rules:\n${rule(1, 'Europe/Berlin')}${rule(2, 'Asia/Tokyo')}${rule(3, 'Europe/Berlin')}`,
  ).rules;
  const [first, second, third] = rules.map(({ when }) => when.time!.clock);
  assert.equal(first, third);
  assert.notEqual(first, second);
});

// ── Warnings ────────────────────────────────────────────────────────────────────────────────────────────────────────

for (const [rule, text, expected] of [
  ['a good file has none', 'rules: [{ name: a, when: { caller: { class: x } } }, { name: b }]\n', []],
  [
    'a rule after one that always holds',
    'rules:\n  - name: all\n  - name: cameras\n    when: { either: { class: camera } }\n',
    ['r.yaml:3:5: rule cameras can never match: rule all stands before it and applies wherever this one would'],
  ],
  [
    'a narrower rule after a wider one',
    'rules:\n  - { name: wide, when: { either: { id: "cam-*" } } }\n  - { name: narrow, when: { callee: { id: "cam-porch-*", class: camera } } }\n',
    ['r.yaml:3:5: rule narrow can never match: rule wide stands before it and applies wherever this one would'],
  ],
  [
    'a narrower one before a wider one is as it should be',
    'rules:\n  - { name: narrow, when: { callee: { id: "cam-porch-*" } } }\n  - { name: wide, when: { either: { id: "cam-*" } } }\n',
    [],
  ],
  [
    'a time within another',
    'rules:\n  - { name: night, when: { time: { from: "22:00", to: "06:00" } } }\n  - { name: late, when: { time: { from: "23:00", to: "02:00", days: [fri] } } }\n',
    ['r.yaml:3:5: rule late can never match: rule night stands before it and applies wherever this one would'],
  ],
  [
    'the same time in another zone is another time',
    'rules:\n  - { name: here, when: { time: { from: "22:00", timeZone: Europe/Berlin } } }\n  - { name: there, when: { time: { from: "22:00" } } }\n',
    [],
  ],
  [
    'a time that ends where it begins',
    'rules:\n  - name: never\n    when: { time: { from: "06:00", to: "06:00" } }\n',
    [
      'r.yaml:3:19: rule never can never match: its time window ends where it begins; the whole day is from "00:00" to "24:00"',
    ],
  ],
  [
    'a device of two classes at once',
    'rules: [{ name: x, when: { caller: { class: lock }, both: { class: camera } } }]\n',
    ['r.yaml:1:26: rule x can never match: the caller would have to be of class lock and of class camera'],
  ],
  [
    'an id that the pattern beside it does not allow',
    'rules: [{ name: x, when: { callee: { id: "lock-*" }, both: { id: cam-1 } } }]\n',
    ['r.yaml:1:26: rule x can never match: the callee would have to be of id lock-* and of id cam-1'],
  ],
  ['two groups at once are possible', 'rules: [{ name: x, when: { caller: { group: a }, both: { group: b } } }]\n', []],
  [
    'a requirement that no suite meets',
    'rules: [{ name: x, require: { ciphers: [chacha20-poly1305], profile: fips } }]\n',
    ['r.yaml:1:29: rule x: no suite meets what it requires: whomever it decides for gets none'],
  ],
  [
    'a tag that the only cipher does not have',
    'default: { require: { ciphers: [aes-gcm], minTagBits: 256 } }\n',
    ['r.yaml:1:21: rule default: no suite meets what it requires: whomever it decides for gets none'],
  ],
  [
    'a test that says no time where time matters',
    `rules: [{ name: night, when: { time: { from: "22:00" } } }]\n${TEST}{ rule: default } }]\n`.replace(
      'default: {}\n',
      '',
    ),
    ['r.yaml:2:9: test t: it says no `at`: rule night, which holds at times only, was passed over'],
  ],
] as const) {
  test(`[B4] what is hardly meant is warned about, and taken all the same: ${rule}`, () => {
    assert.deepEqual(requirePassed(load(text)).warnings, expected);
  });
}

test('[B4] classes, groups and users that no device has are warned about where the registry is known', () => {
  const { rules } = load(`rules:
  - { name: a, when: { either: { class: camera, group: home } } }
  - { name: b, when: { caller: { user: "*@home.example" }, callee: { class: camrea } } }
`);
  const listing = { class: 'camera', groups: ['porch'], user: 'r@home.example' };
  const found = strangersOf(rules, [listing]).map(({ text }) => text.replace(/, which.*/, ''));
  assert.deepEqual(found, ['rule a names group home', 'rule b names class camrea']);
  assert.equal(strangersOf(rules, []).length, 4);
});

const anyPattern: fc.Arbitrary<SubjectPattern> = fc
  .record({
    class: fc.constantFrom('x', 'y', undefined),
    group: fc.constantFrom('g', 'h', undefined),
    id: fc.constantFrom('a', 'ab', 'a*', '*b', '*', 'a*b', undefined),
    user: fc.constantFrom('u', 'u*', '*', undefined),
  })
  .map((pattern) => pattern);
const clock = localClock('UTC');
const anyWhen: fc.Arbitrary<When> = fc.record({
  caller: fc.option(anyPattern, { nil: undefined, freq: 1 }),
  callee: fc.option(anyPattern, { nil: undefined, freq: 1 }),
  either: fc.option(anyPattern, { nil: undefined, freq: 1 }),
  both: fc.option(anyPattern, { nil: undefined, freq: 1 }),
  time: fc.option(
    fc
      .record({
        fromMinute: fc.constantFrom(0, 360, 1320),
        toMinute: fc.constantFrom(120, 360, 1440),
        days: fc.subarray([...DAYS], { minLength: 1 }),
      })
      .map((bounds) => timeWindow({ ...bounds, timeZone: 'UTC' }, clock)),
    { nil: undefined },
  ),
});
const anySubject: fc.Arbitrary<Subject> = fc.record({
  id: fc.constantFrom('a', 'ab', 'b', 'acb').map((id) => id as DeviceId),
  class: fc.constantFrom('x', 'y', null),
  groups: fc.subarray(['g', 'h']),
  user: fc.constantFrom('u', 'uv', null),
});
const anyMoment = fc.integer({ min: 0, max: 7 * 86_400 - 1 }).map(EpochSeconds);
const RUNS = process.env.KAGIMORI_LONG === '1' ? 20_000 : 1_000;

test('[B4] a rule that is said to be covered never applies where the one before it does not', () => {
  let covered = 0;
  fc.assert(
    fc.property(anyWhen, anyWhen, anySubject, anySubject, anyMoment, (first, second, caller, callee, moment) => {
      if (!covers(first, second)) return;
      covered++;
      assert.ok(!applies(second, caller, callee, moment) || applies(first, caller, callee, moment));
    }),
    { numRuns: RUNS, seed: 4 },
  );
  assert.ok(covered > RUNS / 100, `${covered} of ${RUNS} are covered`);
});

test('[B4] the same conditions cover themselves, and so do they with any of them left out', () => {
  fc.assert(
    fc.property(anyWhen, fc.constantFrom('caller', 'callee', 'either', 'both', 'time'), (when, left) => {
      assert.ok(covers(when, when));
      assert.ok(covers({ ...when, [left]: undefined }, when));
    }),
    { numRuns: RUNS, seed: 5 },
  );
});

test('[B4] a rule of which it is said that it can never match decides for nobody', () => {
  const lists = fc.array(anyWhen, { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(lists, anySubject, anySubject, anyMoment, (whens, caller, callee, moment) => {
      const rules = whens.map((when, at) => ({ when, selection: { ...DEFAULT_SELECTION, name: `r${at}` } }));
      const never = warningsOf({ ...BUILT_IN_RULES, rules }).map(({ key }) => `r${String(key[1])}`);
      assert.ok(!never.includes(decidingRule({ ...BUILT_IN_RULES, rules }, caller, callee, moment).name));
    }),
    { numRuns: RUNS, seed: 6 },
  );
});

// ── Its own tests ───────────────────────────────────────────────────────────────────────────────────────────────────

test('[B4] a file whose own test fails is refused: line, what was expected, what came, and why', () => {
  const text = `default: { require: { minStrengthBits: 256 } }
tests:
  - name: they get AES
    caller: { id: a, proposals: [{ cipher: aes-gcm, keyBits: [128, 256], hash: sha-256 }] }
    callee: { id: b, proposals: [{ cipher: aes-gcm, keyBits: [128, 256], hash: sha-256 }] }
    expect: { cipher: aes-gcm, keyBits: 128 }
`;
  const [line, ...more] = problems(text);
  assert.deepEqual(more, []);
  assert.match(
    line!,
    /^r\.yaml:3:5: test they get AES: expected cipher aes-gcm, keyBits 128; it came to cipher aes-gcm, keyBits 256, /,
  );
  assert.match(line!, /: aes-gcm-256 sha-256 tag 128 is chosen: rule default refuses the others/);
  assert.deepEqual(problems(text.replace('keyBits: 128 }\n', 'keyBits: 256 }\n')), []);
});

const PAIR = (expect: string, more = ''): string => `rules:
  - name: night
    when: { time: { from: "22:00", to: "06:00" } }
    require: { ciphers: [aes-ccm] }
default: { prefer: [cost] }
devices:
  a: { class: camera, proposals: [{ cipher: aes-gcm, keyBits: 128, hash: sha-256 }, { cipher: hmac, keyBits: 256, hash: sha-256 }] }
  b: { proposals: [{ cipher: aes-gcm, keyBits: 128, hash: sha-256, cost: { nsPerOp: 90000, nsPerByte: 1 } }, { cipher: hmac, keyBits: 256, hash: sha-256 }] }
tests: [{ name: t, caller: a, callee: b, expect: ${expect}${more} }]
`;

for (const [rule, expect, more, passes] of [
  ['any part of the suite', '{ hash: sha-256 }', '', true],
  ['every part has to fit', '{ hash: sha-256, tagBits: 64 }', '', false],
  ['the rule that decides', '{ rule: default }', '', true],
  ['by night another rule', '{ none: rule, rule: night }', ', at: "2026-01-05T23:00:00Z"', true],
  ['a moment with an offset', '{ none: rule }', ', at: "2026-01-05T05:30:00+06:00"', true],
  ['none, for whatever reason', 'none', ', at: "2026-01-05T23:00:00Z"', true],
  ['none for another reason', '{ none: keyBits }', ', at: "2026-01-05T23:00:00Z"', false],
  ['a suite where none was expected', 'none', '', false],
  ['none where a suite was expected', '{ cipher: aes-gcm }', ', at: "2026-01-05T23:00:00Z"', false],
  ['both list hmac, which is cheaper: it counts', '{ cipher: hmac }', '', true],
  ['unless the caller does not ask for it', '{ cipher: aes-gcm }', ', allowUnencrypted: false', true],
] as const) {
  test(`[B4] a test of a rules file: ${rule}: ${passes ? 'passes' : 'fails'}`, () => {
    const [outcome] = load(PAIR(expect, more)).tests;
    assert.equal(outcome?.passed, passes, `expected ${outcome?.expected}, got ${outcome?.got}`);
    assert.equal(outcome!.because.length > 0, !passes, 'what fails is explained');
  });
}

test('[B4] of many tests that fail the first are explained, all are told by `rules test`, and no control character of the file', () => {
  const pair = PAIR('none')
    .replace(/tests: .*\n/s, '')
    .replace('name: night', 'name: "night\\e[31m\\nfake"');
  const tests = Array.from({ length: 9 }, (_, at) => {
    return `  - { name: "t${at}\\a", caller: a, callee: b, expect: { rule: "night\\e[31m\\nfake" } }\n`;
  });
  const outcomes = load(`${pair}tests:\n${tests.join('')}`).tests;
  assert.deepEqual(
    outcomes.map(({ because }) => because.length > 0),
    outcomes.map((_, at) => at < 5),
  );
  const atNight = load(
    `${pair}tests:\n${tests.join('').replaceAll('a, callee', 'a, at: "2026-01-05T23:00:00Z", callee')}`,
  );
  assert.ok(atNight.tests.every(({ passed }) => passed));
  for (const outcome of [...outcomes, ...atNight.tests]) {
    const lines = linesOf(outcome);
    assert.match(lines[0]!, /night\\u\{1b\}\[31m\\u\{a\}fake/);
    assert.doesNotMatch(lines.join(''), /\p{Cc}/u);
  }
});

test('[B4] the tests of the example pass, warn about nothing, and hold each of its settings', () => {
  const text = exampleRules();
  const loaded = requirePassed(load(text));
  assert.deepEqual(loaded.warnings, []);
  assert.ok(loaded.tests.length >= 5);
  for (const [setting, other] of [
    ['either: { class: camera }', 'either: { class: canary }'],
    ['minStrengthBits: 256', 'minStrengthBits: 128'],
    ['prefer: [cost, strength]', 'prefer: [strength]'],
    ['from: "22:00", to: "06:00"', 'from: "22:00", to: "06:01"'],
    ['prefer: [cost, callee-priority, caller-priority]', 'prefer: [key-length]'],
  ] as const) {
    const changed = text.replace(setting, other);
    assert.notEqual(changed, text, setting);
    assert.ok(
      load(changed).tests.some(({ passed }) => !passed),
      `no test holds ${setting}`,
    );
  }
});
