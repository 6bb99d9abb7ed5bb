/**
 * Rules are read and checked beside the process that needs them: it goes on meanwhile, and what takes too long is refused.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { checkRules } from '../../cli/doctor/rules-checks.ts';
import { Failure } from '../../cli/failure.ts';
import { parseRules } from '../../cli/rules/loaded-rules.ts';
import { type LoadingTask, loadRules } from '../../cli/rules/rules-loading.ts';
import type { Subject } from '../../manager/policy.ts';
import { decidingRule } from '../../manager/rules.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { type DeviceId, EpochSeconds } from '../../protocol/units.ts';

const folder = mkdtempSync(join(tmpdir(), 'km-rules-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string, mode = 0o644): LoadingTask {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return { path, listings: null, maxWarnings: 10 };
}

async function refusal(loading: Promise<unknown>): Promise<Failure> {
  const error = await loading.then(
    () => assert.fail('it was taken'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

const TIMED = `rules:
  - name: night
    when: { caller: { class: camera }, time: { from: "22:00", to: "06:00", timeZone: Asia/Tokyo } }
    require: { ciphers: [aes-ccm] }
`;

/** Legal, and as dear as a file can be: 64 × 64 proposals that meet in everything, each test another match. */
function dear(tests: number): string {
  const proposal = (at: number): string =>
    `{cipher: aes-ctr-hmac, keyBits: {min: 128}, hash: [sha-256,sha-384,sha-512], tagBits: 256, priority: ${at + 1}, cost: {nsPerOp: ${1000 + at}, nsPerByte: 1}}`;
  const device = (name: string, step: number): string =>
    `  ${name}: {proposals: [${Array.from({ length: 64 }, (_, at) => proposal(at * step)).join(', ')}]}\n`;
  const each = (at: number): string =>
    `- {name: t${at}, caller: a, callee: b, messageBytes: ${at + 1}, expect: {cipher: aes-ctr-hmac}}\n`;
  const list = Array.from({ length: tests }, (_, at) => each(at)).join('');
  return `default: {prefer: [strength, key-length, cost]}\ndevices:\n${device('a', 1)}${device('b', 3)}tests:\n${list}`;
}

test('[P20] [B4] rules that come from the thread are those of the file, with their time windows', async () => {
  const { rules, tests, warnings } = await loadRules(file('timed.yaml', TIMED));
  const here = parseRules(encodeUtf8(TIMED), 'timed.yaml', nodeCrypto()).rules;
  assert.equal(rules.digest, here.digest);
  assert.deepEqual([tests, warnings], [0, []]);
  const camera: Subject = { id: 'c' as DeviceId, class: 'camera', groups: [], user: null };
  // 23:00 and 12:00 in Tokyo
  for (const [moment, name] of [['14:00', 'night'] as const, ['03:00', 'default'] as const]) {
    const wall = EpochSeconds(Date.parse(`2026-01-05T${moment}:00Z`) / 1000);
    assert.deepEqual(decidingRule(rules, camera, camera, wall), decidingRule(here, camera, camera, wall));
    assert.equal(decidingRule(rules, camera, camera, wall).name, name);
  }
});

test('[P20] the process goes on while the dearest of files is checked', async () => {
  const task = file('dear.yaml', dear(300));
  let turns = 0;
  const loading = loadRules(task).finally(() => clearInterval(turning));
  const turning = setInterval(() => turns++, 2);
  assert.equal((await loading).tests, 300);
  const beside = turns;
  assert.ok(beside > 20, `${beside} turns`);
  // in the process itself it would not turn at all
  const held = setInterval(() => turns++, 2);
  parseRules(encodeUtf8(dear(300)), 'dear.yaml', nodeCrypto());
  clearInterval(held);
  assert.equal(turns, beside);
});

test('[P20] a file that takes too long to check is refused, with the limit and the remedy; so is one that is given up', async () => {
  const task = file('dear.yaml', dear(300));
  const [late, left] = await Promise.all([
    refusal(loadRules(task, { limitMs: 20 })),
    refusal(loadRules(task, { signal: AbortSignal.timeout(20) })),
  ]);
  assert.deepEqual([late.exit, late.code], ['usage', 'too-costly']);
  assert.equal(
    late.message,
    `${task.path}: checking it takes more than 0.02 s: give it fewer tests, with fewer proposals each`,
  );
  assert.equal(left.code, 'ended');
});

test('[P20] what cannot be used is refused as without a thread: missing, wrong, untrue, a FIFO', async () => {
  const fifo = join(folder, 'fifo.yaml');
  execFileSync('mkfifo', [fifo]);
  const device = '{ id: a, proposals: [{ cipher: aes-gcm, keyBits: 128, hash: sha-256 }] }';
  const failing = Array.from(
    { length: 30 },
    (_, at) => `  - { name: t${at}, caller: ${device}, callee: ${device}, expect: none }\n`,
  );
  const [missing, wrong, untrue, waiting] = await Promise.all([
    refusal(loadRules({ ...file('x', ''), path: join(folder, 'nowhere.yaml') })),
    refusal(loadRules(file('wrong.yaml', 'defualt: {}\n'))),
    refusal(loadRules(file('untrue.yaml', `default: {}\ntests:\n${failing.join('')}`))),
    refusal(loadRules({ ...file('x', ''), path: fifo })),
  ]);
  assert.deepEqual(
    [missing, wrong, untrue, waiting].map(({ exit, code }) => [exit, code]),
    [
      ['usage', 'missing'],
      ['usage', 'config'],
      ['usage', 'tests-failed'],
      ['usage', 'unreadable'],
    ],
  );
  assert.match(wrong.lines[0]!, /wrong\.yaml:1:1: defualt: unknown key \(did you mean default\?\)/);
  assert.match(
    untrue.lines[0]!,
    /untrue\.yaml:3:5: test t0: expected none; it came to cipher aes-gcm, .*: aes-gcm-128/,
  );
  assert.deepEqual([untrue.lines.length, untrue.lines.at(-1)], [11, 'and 20 more tests fail']);
  assert.match(waiting.message, /not a regular file/);
});

test('[P20] warnings: strangers, as many as are asked for; and whoever may change the file', async () => {
  const rules = Array.from({ length: 5 }, (_, at) => `  - { name: r${at}, when: { caller: { class: c${at} } } }\n`);
  const task = file('open.yaml', `rules:\n${rules.join('')}`, 0o666);
  const listings = [{ class: 'c0', groups: [], user: null }];
  const { warnings, moreWarnings } = await loadRules({ ...task, listings, maxWarnings: 3 });
  assert.equal(warnings[0], `${task.path}: every user of this machine may change these rules: chmod o-w ${task.path}`);
  assert.match(warnings[1]!, /rule r1 names class c1/);
  assert.deepEqual([warnings.length, moreWarnings], [3, 2]);
  const told = await checkRules(task.path);
  assert.ok(
    told.some(({ ok, what }) => ok && /every user of this machine/.test(what)),
    'the doctor says so',
  );
  chmodSync(task.path, 0o644);
  assert.deepEqual((await loadRules(task)).warnings, []);
});
