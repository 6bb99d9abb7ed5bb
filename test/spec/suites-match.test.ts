/**
 * `suites match`: two device files in, the suite and the reasons out, without any server.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { exampleRules } from '../../cli/commands/rules.ts';
import { shownFailure } from '../../cli/failure.ts';
import { type Device, deviceOf, deviceSchema } from '../../cli/rules/device-file.ts';
import { type DeviceFilesMatch, matchDeviceFiles, matchOf } from '../../cli/rules/device-files-match.ts';
import { parseRules } from '../../cli/rules/loaded-rules.ts';
import { BUILT_IN_RULES } from '../../manager/rules.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { CIPHERS, HASH_WIRE } from '../../protocol/suites.ts';
import { runCommand } from '../real-process.ts';

const folder = mkdtempSync(join(tmpdir(), 'kagimori-match-'));
after(() => rmSync(folder, { recursive: true }));

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content, null, '\t'));
  return path;
}

const NOW = Date.parse('2026-01-05T12:00:00Z') / 1000;
type WrittenProposal = Readonly<Record<string, unknown>>;
const device = (id: string, proposals: readonly WrittenProposal[], more: object = {}): object => ({
  id,
  proposals,
  ...more,
});
const read = (written: object): Device => deviceOf(deviceSchema.parse(written), '');

const matched = (caller: readonly WrittenProposal[], callee: readonly WrittenProposal[]): DeviceFilesMatch =>
  matchOf(read(device('a', caller)), read(device('b', callee)), BUILT_IN_RULES, { at: NOW });
const spell = ({ suite, failedOn }: DeviceFilesMatch): string =>
  suite === null ? `none: ${failedOn}` : `${suite.cipher} ${suite.keyBits} ${suite.hash} ${suite.tagBits}`;

// ── What comes out ──────────────────────────────────────────────────────────────────────────────────────────────────

const gcm = { cipher: 'aes-gcm', keyBits: { min: 128 }, hash: 'sha-256' };
for (const [rule, caller, callee, expected] of [
  [
    '[P19] [patent 0161-0162] at least 64 bit, A or B, with at least 128 bit, B or C, gives 128 bit and B',
    [{ ...gcm, keyBits: { min: 64 }, hash: ['sha-256', 'sha-384'] }],
    [{ ...gcm, keyBits: { min: 128 }, hash: ['sha-384', 'sha-512'] }],
    'aes-gcm 128 sha-384 128',
  ],
  ['[P18] [patent 0160] equal in every setting', [gcm], [gcm], 'aes-gcm 128 sha-256 128'],
  [
    '[P19] a list of lengths',
    [{ ...gcm, keyBits: [192, 256] }],
    [{ ...gcm, keyBits: [128, 256] }],
    'aes-gcm 256 sha-256 128',
  ],
  [
    "[P19] the callee's first common hash",
    [{ ...gcm, hash: ['sha-256', 'sha-384'] }],
    [{ ...gcm, hash: ['sha-512', 'sha-384', 'sha-256'] }],
    'aes-gcm 128 sha-384 128',
  ],
  [
    '[patent 0164] the first choice of the callee',
    [
      { ...gcm, priority: 1 },
      { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', priority: 2 },
    ],
    [
      { ...gcm, priority: 2 },
      { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', priority: 1 },
    ],
    'chacha20-poly1305 256 sha-256 128',
  ],
  [
    'absent tagBits: the longest',
    [{ cipher: 'aes-ctr-hmac', keyBits: 128, hash: 'sha-512' }],
    [{ cipher: 'aes-ctr-hmac', keyBits: 128, hash: 'sha-512', tagBits: 256 }],
    'aes-ctr-hmac 128 sha-512 256',
  ],
  [
    'both list hmac',
    [{ cipher: 'hmac', keyBits: 256, hash: 'sha-256' }],
    [{ cipher: 'hmac', keyBits: 256, hash: 'sha-256' }],
    'hmac 256 sha-256 256',
  ],
  [
    'unknown ciphers and hashes are passed over',
    [
      { ...gcm, cipher: 'kuznyechik' },
      { ...gcm, hash: ['streebog', 'sha-256'] },
    ],
    [
      { ...gcm, cipher: 'kuznyechik' },
      { ...gcm, hash: ['streebog', 'sha-256'] },
    ],
    'aes-gcm 128 sha-256 128',
  ],
  ['[patent 0111] no cipher in common', [gcm], [{ ...gcm, cipher: 'aes-ccm' }], 'none: cipher'],
  [
    '[patent 0111] no length in common',
    [{ ...gcm, keyBits: 128 }],
    [{ ...gcm, keyBits: { min: 129 } }],
    'none: keyBits',
  ],
  ['[patent 0111] no hash in common', [gcm], [{ ...gcm, hash: 'sha-384' }], 'none: hash'],
  [
    '[patent 0111] no tag in common',
    [{ ...gcm, cipher: 'aes-ccm', tagBits: 64 }],
    [{ ...gcm, cipher: 'aes-ccm' }],
    'none: tagBits',
  ],
  ['[patent 0111] no key mode in common', [{ ...gcm, keyMode: 'key' }], [gcm], 'none: keyMode'],
  ['nothing that is known', [{ ...gcm, cipher: 'kuznyechik' }], [gcm], 'none: cipher'],
] as const) {
  test(`two device files: ${rule}: ${expected}`, () => {
    const found = matched(caller, callee);
    assert.equal(spell(found), expected);
    assert.equal(found.matched, !expected.startsWith('none'));
    assert.equal(found.keyMode, found.matched ? 'seed' : null);
    assert.ok(found.because.length > 0 && found.because.every((line) => line.length > 0));
  });
}

test('[B8] what was passed over is told, and so is a priority that several proposals have', () => {
  const found = matched(
    [
      { ...gcm, cipher: 'des' },
      { ...gcm, priority: 1, hash: ['md5', 'sha-256'] },
      { ...gcm, priority: 1 },
    ],
    [gcm],
  );
  assert.deepEqual(found.warnings, [
    'a: hash md5: no such hash: passed over',
    'a: priority 1 is given to several proposals: among these it decides nothing',
    'a: proposal des at least 128 bit, sha-256, tag longest, seed: no such cipher: passed over',
  ]);
});

test('[B8] that suites without encryption count because both list them is told, and not otherwise', () => {
  const mac = { cipher: 'hmac', keyBits: 256, hash: 'sha-256' };
  const told = (found: DeviceFilesMatch): boolean => found.because.some((line) => line.includes('Both list hmac'));
  assert.ok(told(matched([mac, gcm], [gcm, mac])));
  assert.ok(!told(matched([mac, gcm], [gcm])));
});

test('[P20] [B4] the rules decide, by what the files say of the devices and by the moment', () => {
  const rules = file('rules.yaml', exampleRules());
  const door = file('door.json', device('door', [{ ...gcm, keyBits: [128, 256] }], { class: 'lock' }));
  const phone = file('phone.json', device('phone', [gcm]));
  const at = (moment: string) => matchDeviceFiles(phone, door, { rules, at: Date.parse(moment) / 1000 });
  assert.deepEqual(
    [at('2026-01-05T23:00:00Z').rule, at('2026-01-05T23:00:00Z').suite?.keyBits],
    ['locks at night', 256],
  );
  assert.deepEqual([at('2026-01-05T12:00:00Z').rule, at('2026-01-05T12:00:00Z').suite?.keyBits], ['default', 128]);
  assert.match(
    at('2026-01-05T23:00:00Z').because.join(' '),
    /Rule locks at night decides: callee of class lock; from 22:00 to 06:00 Europe\/Berlin/,
  );
});

test('[B4] the size of the messages turns the ranking where one suite is dear a call and the other a byte', () => {
  const dearCall = { ...gcm, cost: { nsPerOp: 10_000, nsPerByte: 0.1 } };
  const dearByte = {
    cipher: 'chacha20-poly1305',
    keyBits: 256,
    hash: 'sha-256',
    cost: { nsPerOp: 100, nsPerByte: 10 },
  };
  const one = read(device('a', [dearCall, dearByte]));
  const rules = parseRules(encodeUtf8('default: { prefer: [cost] }\n'), 'r.yaml', nodeCrypto()).rules;
  const at = (messageBytes: number) => matchOf(one, one, rules, { at: NOW, messageBytes }).suite?.cipher;
  assert.equal(at(64), 'chacha20-poly1305');
  assert.equal(at(16_384), 'aes-gcm');
});

// ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const anyProposal = fc.record({
  cipher: fc.constantFrom(...Object.keys(CIPHERS), 'kuznyechik'),
  keyBits: fc.constantFrom<unknown>(128, 256, [128, 256], { min: 128 }, { min: 192, max: 256 }, 512),
  hash: fc.subarray([...Object.keys(HASH_WIRE), 'md5'], { minLength: 1 }),
  tagBits: fc.constantFrom(64, 128, undefined),
  keyMode: fc.constantFrom('seed', 'key'),
  priority: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  cost: fc.option(
    fc.record({ nsPerOp: fc.integer({ min: 0, max: 9 }), nsPerByte: fc.double({ min: 0, max: 3, noNaN: true }) }),
    { nil: undefined },
  ),
});
const lists = fc.array(anyProposal, { minLength: 1, maxLength: 6 });
const RULES = [
  BUILT_IN_RULES,
  ...['cost, strength', 'hash-lightness, caller-priority', 'strength, key-length'].map(
    (prefer) => parseRules(encodeUtf8(`default: { prefer: [${prefer}] }\n`), 'r.yaml', nodeCrypto()).rules,
  ),
];
const RUNS = process.env.KAGIMORI_LONG === '1' ? 20_000 : 400;

test('[P20] the order of the proposals changes nothing of what is answered, no reason and no warning', () => {
  let found = 0;
  fc.assert(
    fc.property(lists, lists, fc.constantFrom(...RULES), fc.infiniteStream(fc.nat()), (ours, theirs, rules, dice) => {
      const answer = (caller: typeof ours, callee: typeof theirs): DeviceFilesMatch =>
        matchOf(read(device('a', caller)), read(device('b', callee)), rules, { at: NOW });
      const shuffled = <T>(list: readonly T[]): T[] =>
        list
          .map((one) => [dice.next().value!, one] as const)
          .sort(([a], [b]) => a - b)
          .map(([, one]) => one);
      const straight = answer(ours, theirs);
      if (straight.matched) found++;
      assert.deepEqual(answer(shuffled(ours), shuffled(theirs)), straight);
    }),
    { numRuns: RUNS, seed: 18 },
  );
  assert.ok(found > RUNS / 20 && found < RUNS, `${found} of ${RUNS} match`);
});

// ── What cannot be used ─────────────────────────────────────────────────────────────────────────────────────────────

const written = (proposal: object): string => JSON.stringify({ id: 'x', proposals: [{ ...gcm, ...proposal }] });
for (const [rule, text, expected] of [
  ['nothing', '', /no valid JSON/],
  ['half of it', '{ "id": "x", "proposals": [\n', /bad\.json.*: no valid JSON/],
  ['a comma too many', '{\n  "id": "x",\n}', /bad\.json:3:1: no valid JSON/],
  ['a key given twice', '{ "id": "x", "id": "y", "proposals": [] }', /"id": given twice/],
  ['a list', '[]', /is a list, allowed: a map with id, class, groups, user, proposals/],
  ['no id', '{ "proposals": [] }', /id: missing/],
  ['no device id', '{ "id": "~x", "proposals": [] }', /id: no device id/],
  ['an unknown key', '{ "id": "x", "proposal": [] }', /unknown key \(did you mean proposals\?\)/],
  ['no proposals', '{ "id": "x", "proposals": [] }', /allowed: a list from 1 to 64 entries/],
  [
    'a setting that is unknown',
    written({ keybits: 128 }),
    /proposals\.0\.keybits: unknown key \(did you mean keyBits\?\)/,
  ],
  ['no hash', written({ hash: [] }), /proposals\.0\.hash: too small or too short, .*a list from 1 to 8 entries/],
  ['no key length', written({ keyBits: [] }), /proposals\.0\.keyBits: too small or too short/],
  ['a length in letters', written({ keyBits: '128' }), /proposals\.0\.keyBits: is text, allowed: a whole number/],
  ['min above max', written({ keyBits: { min: 256, max: 128 } }), /proposals\.0\.keyBits: min 256 is above max 128/],
  ['priority 0', written({ priority: 0 }), /proposals\.0\.priority: .*from 1 to 1000/],
  ['half a priority', written({ priority: 1.5 }), /proposals\.0\.priority: is a number, allowed: a whole number/],
  ['a negative cost', written({ cost: { nsPerOp: -1, nsPerByte: 1 } }), /proposals\.0\.cost\.nsPerOp: too small/],
  ['half a cost', written({ cost: { nsPerOp: 1 } }), /proposals\.0\.cost\.nsPerByte: missing/],
  [
    '65 proposals',
    JSON.stringify({ id: 'x', proposals: Array.from({ length: 65 }, () => gcm) }),
    /65 of them are too many, allowed: a list from 1 to 64/,
  ],
  [
    '10,000 proposals',
    JSON.stringify({ id: 'x', proposals: Array.from({ length: 10_000 }, () => gcm) }),
    /10000 of them are too many/,
  ],
  [
    '300 KB in one word: too much for the parser that knows places',
    JSON.stringify({ id: 'x'.repeat(300_000), proposals: [gcm] }),
    /bad\.json: more than 262144 bytes/,
  ],
  [
    'lists in lists, 800 deep',
    `{ "id": "x", "proposals": ${'['.repeat(800)}${']'.repeat(800)} }`,
    /bad\.json:1:\d+: nested too deeply/,
  ],
] as const) {
  test(`[P9] a device file that cannot be used is told with its place: ${rule}`, () => {
    const bad = file('bad.json', text);
    const good = file('good.json', device('g', [gcm]));
    assert.throws(
      () => matchDeviceFiles(good, bad, { at: NOW }),
      (error) => {
        const { exitCode, bug, lines } = shownFailure(error);
        assert.deepEqual([exitCode, bug], [2, false]);
        assert.match(lines.join('\n'), expected);
        return true;
      },
    );
  });
}

test('[P9] 64 proposals, a file in YAML, JSON with tabs, and the same file for both sides are fine', () => {
  const many = file(
    'many.json',
    device(
      'm',
      Array.from({ length: 64 }, () => gcm),
    ),
  );
  const yaml = file('device.yaml', 'id: y\nproposals:\n  - { cipher: aes-gcm, keyBits: 256, hash: [sha-256] }\n');
  assert.equal(spell(matchDeviceFiles(many, many, { at: NOW })), 'aes-gcm 128 sha-256 128');
  assert.equal(spell(matchDeviceFiles(many, yaml, { at: NOW })), 'aes-gcm 256 sha-256 128');
});

// ── The command ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P18] the command ends with 0 on a match, 3 on none, 2 on what cannot be used, with one JSON value each', async () => {
  const a = file('a.json', device('a', [gcm]));
  const b = file('b.json', device('b', [{ ...gcm, keyBits: 256 }]));
  const c = file('c.json', device('c', [{ ...gcm, cipher: 'aes-ccm' }]));
  const run = (...args: string[]) => runCommand(['suites', 'match', ...args, '--json']);
  const wrongRules = file('wrong.yaml', 'rules: [{ name: x, prefer: [cost, cost] }]\n');
  const [match, none, missing, rules, time] = await Promise.all([
    run(a, b),
    run(a, c),
    run(a, join(folder, 'nowhere.json')),
    run(a, b, '--rules', wrongRules),
    run(a, b, '--at', 'noon'),
  ]);
  assert.deepEqual(
    [match, none, missing, rules, time].map(({ code }) => code),
    [0, 3, 2, 2, 2],
  );
  const { suite, matched: isMatched, rule, because } = JSON.parse(match.stdout);
  assert.deepEqual(
    { suite, isMatched, rule },
    { suite: { cipher: 'aes-gcm', keyBits: 256, hash: 'sha-256', tagBits: 128 }, isMatched: true, rule: 'default' },
  );
  assert.ok(because.length >= 2);
  const nothing = JSON.parse(none.stdout);
  assert.deepEqual([nothing.matched, nothing.suite, nothing.keyMode, nothing.failedOn], [false, null, null, 'cipher']);
  for (const { stdout } of [missing, rules, time]) assert.ok(JSON.parse(stdout).error.message.length > 0);
  assert.match(rules.stderr, /wrong\.yaml:1:35: rules\.0\.prefer\.1: cost is given twice/);
});

test('[B4] `rules check` ends with 0 or 2, `rules test` with 0, 1 or 2', async () => {
  const good = file('good.yaml', exampleRules());
  const failing = file('failing.yaml', exampleRules().replace('class: camera }', 'class: canary }'));
  const wrong = file('broken.yaml', 'rules: 7\n');
  const run = (...args: string[]) => runCommand(['rules', ...args, '--json']);
  const ended = await Promise.all([
    run('check', good),
    run('check', failing),
    run('check', wrong),
    run('test', good),
    run('test', failing),
    run('test', wrong),
  ]);
  assert.deepEqual(
    ended.map(({ code }) => code),
    [0, 2, 2, 0, 1, 2],
  );
  const { failed, tests } = JSON.parse(ended[4]!.stdout);
  assert.ok(failed > 0);
  assert.equal(tests.filter(({ passed }: { passed: boolean }) => !passed).length, failed);
});
