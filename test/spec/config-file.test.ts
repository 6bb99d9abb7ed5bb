/**
 * Configuration files: every problem is told with file, line, column and key, and what may stand there instead.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { brokerConfig } from '../../broker/config.ts';
import { exampleApproval } from '../../cli/commands/approval.ts';
import { exampleConfig } from '../../cli/commands/daemon-verbs.ts';
import { exampleRules } from '../../cli/commands/rules.ts';
import { parseConfig, readConfigFile } from '../../cli/config-file.ts';
import { KINDS, schemaOf } from '../../cli/config-place.ts';
import { nearest } from '../../cli/config-problems.ts';
import { Failure } from '../../cli/failure.ts';
import { rulesSchema } from '../../cli/rules/rules-file.ts';
import { agentConfig, approvalConfig } from '../../device-agent/config.ts';
import { managerConfig } from '../../manager/config.ts';
import { verifierConfig } from '../../verifier/config.ts';

const problems = (text: string, schema: z.ZodType): readonly string[] => {
  try {
    parseConfig(text, 'k.yaml', schema);
  } catch (error) {
    assert.ok(error instanceof Failure, String(error));
    assert.equal(error.exit, 'usage');
    return error.lines;
  }
  return [];
};

const either = z.strictObject({
  addresses: z.union([z.literal('auto'), z.array(z.string())]).optional(),
  broker: z
    .union([z.strictObject({ url: z.string() }), z.strictObject({ embed: z.strictObject({ port: z.int() }) })])
    .optional(),
});

const BROKEN: ReadonlyArray<readonly [rule: string, text: string, schema: z.ZodType, expected: readonly string[]]> = [
  [
    'text that is no YAML',
    'root: km1\nlisten: [{kind: tcp}\n',
    brokerConfig,
    ['k.yaml:3:1: no valid YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  [
    'an unknown key, with the nearest one',
    'rot: km1\n',
    brokerConfig,
    ['k.yaml:1:1: rot: unknown key (did you mean root?), allowed: root, listen, tokens, integrators, limits'],
  ],
  [
    'an unknown key deeper down, spelt after another habit',
    'listen:\n  - kind: tls\n    key_file: a\n    certificateFile: b\n    keyFile: c\n',
    brokerConfig,
    [
      'k.yaml:3:5: listen.0.key_file: unknown key (did you mean keyFile?), allowed: kind, host, port, certificateFile, keyFile, clientAnchorsFile',
    ],
  ],
  [
    'a value of the wrong type',
    'listen:\n  - kind: tcp\n    port: "many"\n',
    brokerConfig,
    ['k.yaml:3:11: listen.0.port: is text, allowed: a whole number from 0 to 65535'],
  ],
  [
    'a value out of range',
    'limits:\n  loginTimeoutMs: 1\n',
    brokerConfig,
    ['k.yaml:2:19: limits.loginTimeoutMs: too small or too short, allowed: a whole number from 100 to 600000'],
  ],
  [
    'a value that is none of the choices',
    'listen: [{kind: udp}]\n',
    brokerConfig,
    ['k.yaml:1:17: listen.0.kind: no such value, allowed: tcp or tls or ws or wss'],
  ],
  [
    'text of the wrong form',
    'root: a b\n',
    brokerConfig,
    ['k.yaml:1:7: root: not of the right form, allowed: letters, digits, - and _ only'],
  ],
  ['a key given twice', 'root: a\nroot: b\n', brokerConfig, ['k.yaml:2:1: root: given twice: keep one of them']],
  [
    'an alias',
    'root: &r km1\ntokens: {managerFile: *r}\n',
    brokerConfig,
    ['k.yaml:2:23: *r: aliases are not read here: write the value itself'],
  ],
  [
    'missing keys',
    'broker: {url: "mqtt://h"}\ncertificateFile: c\ntrustAnchorFiles: [a]\n',
    verifierConfig,
    ['k.yaml:1:1: keyFile: missing, allowed: text of at least 1 characters'],
  ],
  [
    'a list instead of a map',
    '- root\n',
    brokerConfig,
    ['k.yaml:1:1: k.yaml: is a list, allowed: a map with root, listen, tokens, integrators, limits'],
  ],
  [
    'a value that fits no form',
    'addresses: 7\n',
    either,
    ['k.yaml:1:12: addresses: is a number, allowed: auto or a list'],
  ],
  [
    'a problem inside the form that was meant',
    'broker:\n  embed: {prot: 1}\n',
    either,
    [
      'k.yaml:2:10: broker.embed.port: missing, allowed: a whole number',
      'k.yaml:2:11: broker.embed.prot: unknown key (did you mean port?), allowed: port',
    ],
  ],
];

for (const [rule, text, schema, expected] of BROKEN) {
  test(`a configuration is refused with line and key: ${rule}`, () => {
    assert.deepEqual(problems(text, schema), expected);
  });
}

test('a configuration nested a hundred thousand deep is refused in words', () => {
  const deep = /^k\.yaml:1:\d+: nested too deeply: a configuration needs a few levels$/;
  for (const text of [
    '['.repeat(100_000),
    `x: ${'['.repeat(800)}${']'.repeat(800)}`,
    '{a: '.repeat(101) + '}'.repeat(101),
  ]) {
    const lines = problems(text, brokerConfig);
    assert.match(lines.join('\n'), deep, text.slice(0, 20));
  }
  assert.match(problems(`root: ${'['.repeat(20)}${']'.repeat(20)}`, brokerConfig)[0] ?? '', /: root: is a list/);
});

test('twenty thousand unknown keys, and one of them given twice, are told without comparing each with each', () => {
  const keys = Array.from({ length: 20_000 }, (_, number) => `k${number}: 1\n`).join('');
  const began = process.cpuUsage();
  assert.equal(problems(keys, brokerConfig).at(-1), 'and 19990 more');
  assert.deepEqual(problems(`${keys}k7: 2\n"k7": 3\n`, brokerConfig), [
    'k.yaml:20001:1: k7: given twice: keep one of them',
    'k.yaml:20002:1: "k7": given twice: keep one of them',
  ]);
  const { user, system } = process.cpuUsage(began);
  // by pairs it was ten times as much
  assert.ok((user + system) / 1e6 < 3, `${(user + system) / 1e6} s`);
});

test('of many problems the first ten are told, and how many are left', () => {
  const keys = Array.from({ length: 25 }, (_, number) => `key${number}: 1\n`).join('');
  const lines = problems(keys, brokerConfig);
  assert.equal(lines.length, 11);
  assert.equal(lines.at(-1), 'and 15 more');
});

test('a file beyond 256 KiB, a missing one and one that is no text are refused', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kagimori-config-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'k.yaml');
  assert.throws(() => readConfigFile(path, brokerConfig), { name: 'FileFault', fault: 'missing' });
  writeFileSync(path, `#${'x'.repeat(256 * 1024)}`);
  assert.throws(() => readConfigFile(path, brokerConfig), { name: 'FileFault', fault: 'too-large' });
  writeFileSync(path, new Uint8Array([0x72, 0xff, 0xfe]));
  assert.throws(() => readConfigFile(path, brokerConfig), { name: 'FileFault', fault: 'unreadable' });
});

test('relative paths are meant from the folder of the configuration, absolute ones stay', () => {
  const text = exampleConfig('manager').replace('keys/manager.key.pem', '/etc/keys/manager.pem');
  const config = parseConfig(text, '/srv/kagimori/manager.yaml', managerConfig);
  assert.equal(config.dataDirectory, '/srv/kagimori/data');
  const tokenFile = '/srv/kagimori/keys/manager.token';
  assert.deepEqual(config.broker, { url: 'mqtt://127.0.0.1:1883', kind: 'kagimori', tokenFile });
  assert.equal(config.keyFile, '/etc/keys/manager.pem');
  assert.equal(config.name, 'manager');
});

test('an empty file means the defaults', () => {
  assert.equal(parseConfig('', 'k.yaml', brokerConfig).root, 'km1');
});

test('a key is suggested only when it is near', () => {
  assert.equal(nearest('lisen', ['listen', 'limits']), 'listen');
  assert.equal(nearest('KEY-FILE', ['keyFile']), 'keyFile');
  assert.equal(nearest('colour', ['listen', 'root']), null);
});

// ── the examples ────────────────────────────────────────────────────────────────────────────────────────────────────

/** `#key: value` and `#  - item` are settings, `# Text` is prose. */
const uncommented = (text: string): string => text.replace(/^#(?! \S)/gm, '');

function keysOf(schema: z.core.JSONSchema.BaseSchema, into = new Set<string>()): Set<string> {
  for (const [key, member] of Object.entries(schema.properties ?? {})) {
    into.add(key);
    keysOf(member as z.core.JSONSchema.BaseSchema, into);
  }
  for (const form of [...(schema.oneOf ?? []), ...(schema.anyOf ?? []), schema.items, schema.additionalProperties]) {
    if (typeof form === 'object' && !Array.isArray(form)) keysOf(form as z.core.JSONSchema.BaseSchema, into);
  }
  return into;
}

const EXAMPLES = [
  ...KINDS.map((kind) => [`${kind} config`, exampleConfig(kind), () => schemaOf(kind)] as const),
  ['rules example', exampleRules(), async () => rulesSchema] as const,
  ['approval example', exampleApproval(), async () => approvalConfig] as const,
];

for (const [command, text, schemaFor] of EXAMPLES) {
  test(`the example of \`${command}\` is valid as it stands and with every setting uncommented, and names them all`, async () => {
    const schema: z.ZodType = await schemaFor();
    parseConfig(text, 'k.yaml', schema);
    parseConfig(uncommented(text), 'k.yaml', schema);
    for (const key of keysOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))) {
      // an alternative to another setting stands in prose: `key: value`; several on one line: { key: value }
      assert.match(
        text,
        new RegExp(`^#?[ -]*${key}:|\`${key}:|[{,] ${key}: `, 'm'),
        `the example does not name ${key}`,
      );
    }
  });
}

test('[P9] [P19] proposals of an agent that contradict themselves, or of which the cipher has nothing, are told with their place', () => {
  const base = exampleConfig('agent');
  const rows: [written: string, told: RegExp][] = [
    ['{ cipher: aes-gcm, keyBits: { min: 256, max: 128 } }', /:\d+:\d+: proposals\.0\.keyBits: .*min is above max/],
    ['{ cipher: aes-ccm, keyBits: 192 }', /proposals\.0\.keyBits: aes-ccm has none of these, allowed: 128, 256/],
    ['{ cipher: aes-gcm, keyBits: 128, tagBits: 64 }', /proposals\.0\.tagBits: aes-gcm has no such tag, allowed: 128/],
  ];
  for (const [written, told] of rows) {
    assert.throws(() => parseConfig(`${base}\nproposals: [${written}]\n`, 'agent.yaml', agentConfig), told);
  }
  parseConfig(`${base}\nproposals: [{ cipher: aes-ccm, keyBits: { min: 129 } }]\n`, 'agent.yaml', agentConfig);
});
