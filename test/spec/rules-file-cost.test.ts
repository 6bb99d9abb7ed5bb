/**
 * What a rules file costs that is legal, and larger or more repetitive than anybody needs.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Failure } from '../../cli/failure.ts';
import { parseRules, requirePassed } from '../../cli/rules/loaded-rules.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

const DEVICE = '{ proposals: [{ cipher: aes-gcm, keyBits: 128, hash: sha-256 }] }';
const load = (text: string) => parseRules(encodeUtf8(text), 'r.yaml', nodeCrypto());

/** Legal files that held up a manager for so many seconds. */
const DEAR: readonly (readonly [rule: string, text: string, tests: number, warnings: number])[] = [
  [
    '109 s: a thousand tests of two devices with 64 proposals each',
    `default: {prefer: [strength, key-length, cost]}\ndevices:\n${['a', 'b']
      .map((name, at) => `  ${name}: {proposals: [${dearProposals(at * 2 + 1)}]}\n`)
      .join(
        '',
      )}tests:\n${numbered(1000, (at) => `- {name: t${at}, caller: a, callee: b, expect: {cipher: aes-ctr-hmac}}\n`)}`,
    1000,
    0,
  ],
  [
    '13 s: a thousand rules with a time window',
    `rules:\n${numbered(1000, (at) => `- {name: r${at}, when: {time: {from: "00:00", to: "23:5${at % 10}"}}}\n`)}`,
    0,
    990,
  ],
  [
    'a thousand tests that pass over a thousand rules',
    `rules:\n${numbered(1000, (at) => `- {name: r${at}, when: {caller: {id: a}, time: {from: "00:00", to: "00:00"}}}\n`)}devices: {a: ${DEVICE}}\ntests:\n${numbered(1000, (at) => `- {name: t${at}, caller: a, callee: a, expect: {cipher: aes-gcm}}\n`)}`,
    1000,
    1000 + 1000 * 4,
  ],
];

function dearProposals(step: number): string {
  return numbered(64, (at) => {
    const cost = `{nsPerOp: ${1000 + at * step}, nsPerByte: 1}`;
    return `{cipher: aes-ctr-hmac, keyBits: {min: 128}, hash: [sha-256,sha-384,sha-512], tagBits: 256, priority: ${at * step + 1}, cost: ${cost}},`;
  });
}

function numbered(count: number, one: (at: number) => string): string {
  return Array.from({ length: count }, (_, at) => one(at)).join('');
}

for (const [rule, text, tests, warnings] of DEAR) {
  test(`[B4] a legal file is checked in a moment: it took ${rule}`, () => {
    const began = process.cpuUsage();
    const loaded = requirePassed(load(text));
    const { user, system } = process.cpuUsage(began);
    assert.deepEqual([loaded.tests.length, loaded.warnings.length], [tests, warnings]);
    assert.ok((user + system) / 1e6 < 4, `${(user + system) / 1e6} s`);
  });
}

test('[B4] of names that are unknown the first are looked for among the known ones, of which some are told', () => {
  const rules = numbered(1000, (at) => `- {name: ${'x'.repeat(50)}${at}}\n`);
  const tests = numbered(
    1000,
    (at) => `- {name: t${at}, caller: a, callee: a, expect: {rule: ${'y'.repeat(60)}${at}}}\n`,
  );
  const began = process.cpuUsage();
  const text = `rules:\n${rules}devices: {a: ${DEVICE}}\ntests:\n${tests}`;
  const lines = problemsIn(text);
  const { user, system } = process.cpuUsage(began);
  assert.match(lines[0]!, /tests\.0\.expect\.rule: no such rule, allowed: x+0, .*, and 981 more$/);
  assert.deepEqual([lines.length, lines.at(-1)], [11, 'and 990 more']);
  assert.ok((user + system) / 1e6 < 4, `${(user + system) / 1e6} s`);
});

function problemsIn(text: string): readonly string[] {
  try {
    load(text);
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    return error.lines;
  }
  return [];
}
