/**
 * The house rules hold over every source file, and the checkers that say so find planted offences.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Complaint, checkFile, findCycles, findNodeUse, LAYERS } from './architecture-rules.ts';
import { findImports, maskLiterals } from './source-text.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const paths = globSync(`{${Object.keys(LAYERS).join(',')}}/**/*.ts`, { cwd: root }).sort();
const sources = new Map(paths.map((path) => [path, readFileSync(`${root}/${path}`, 'utf8')]));
const complaints = [
  ...[...sources].flatMap(([path, source]) => checkFile(path, source)),
  ...findCycles(sources),
  ...findNodeUse(sources),
];

const RULES: ReadonlyArray<readonly [Complaint['rule'], string]> = [
  ['import', 'every import is allowed by the table of folders'],
  ['cycle', 'no import cycles, type imports counted'],
  ['crypto', 'node:crypto and @noble appear in the crypto halves only'],
  ['name', 'files are nouns in kebab-case that say what is inside'],
  ['length', 'no source file has more than 500 lines'],
  ['purity', 'the protocol and the inside of every service know no clock, randomness, I/O or async'],
  ['state', 'no state at module level in the protocol and the services'],
  ['reexport', 'no barrels: a name is imported where it is defined'],
  ['portable', "the agent's machine and the portable halves load nothing of Node"],
];

test('the check has sources to look at', () => {
  assert.ok(paths.some((path) => path.startsWith('protocol/')) && paths.some((path) => path.startsWith('platform/')));
});

for (const [rule, name] of RULES) {
  test(name, () => {
    const broken = complaints.filter((complaint) => complaint.rule === rule).map((complaint) => complaint.text);
    assert.equal(broken.length, 0, `\n${broken.join('\n')}`);
  });
}

const PLANTED: ReadonlyArray<readonly [path: string, source: string, rule: Complaint['rule']]> = [
  ['protocol/a.ts', "import { readFileSync } from 'node:fs';", 'import'],
  ['protocol/a.ts', "import type { Socket } from 'node:net';", 'import'],
  ['protocol/a.ts', "import '../platform/store.ts';", 'import'],
  ['protocol/a.ts', "export type A = import('../manager/flow.ts').Flow;", 'import'],
  ['protocol/a.ts', "import { z } from 'zod';", 'import'],
  ['manager/a.ts', "import type {\n  Verdict,\n} from '../verifier/verdict.ts';", 'import'],
  ['verifier/a.ts', "import { flow } from '../manager/flow.ts';", 'import'],
  ['device-agent/a.ts', "import type { Aedes } from 'aedes';", 'import'],
  ['manager/flow.ts', "import { z } from 'zod';", 'import'],
  ['manager/flow.ts', "import { readFileSync } from 'node:fs';", 'import'],
  ['manager/service.ts', "import { parse } from 'yaml';", 'import'],
  ['platform/a.ts', "import { Command } from 'commander';", 'import'],
  ['platform/a.ts', "import { encodeConnect } from '../protocol/messages.ts';", 'import'],
  ['broker/a.ts', "import { decode } from '../protocol/messages.ts';", 'import'],
  ['hardware/a.ts', "import { run } from '../cli/run.ts';", 'import'],
  ['cli/a.ts', "import { fleet } from '../sim/fleet.ts';", 'import'],
  ['cli/commands/sim.ts', "import { runScenario } from '../../sim/scenarios.ts';", 'import'],
  ['cli/daemons/agent.ts', "const sim = await import('../../sim/scenarios.ts');", 'import'],
  ['sim/home.ts', "import { verb } from '../cli/command.ts';", 'import'],
  ['sim/home.ts', 'const began = performance.now();', 'purity'],
  ['cli/a.ts', 'const module = await import(name);', 'import'],
  ['cellar/a.ts', "import { a } from './b.ts';", 'import'],
  ['manager/service.ts', "import { randomBytes } from 'node:crypto';", 'crypto'],
  ['platform/store.ts', "import { x25519 } from '@noble/curves/ed25519';", 'crypto'],
  ['cli/a.ts', 'const id = crypto.randomUUID();', 'crypto'],
  ['protocol/utils.ts', '', 'name'],
  ['protocol/index.ts', '', 'name'],
  ['protocol/replayWindow.ts', '', 'name'],
  ['cli/a.ts', 'a();\n'.repeat(501), 'length'],
  ['protocol/a.ts', 'const now = Date.now();', 'purity'],
  ['protocol/a.ts', 'const now = new Date();', 'purity'],
  ['protocol/a.ts', 'const now = performance.now();', 'purity'],
  ['protocol/a.ts', 'const dice = Math.random();', 'purity'],
  ['protocol/a.ts', "const home = process.env['HOME'];", 'purity'],
  ['protocol/a.ts', 'setTimeout(retry, 10);', 'purity'],
  ['protocol/a.ts', `const text = \`\${await read()}\`;`, 'purity'],
  ['manager/flow.ts', 'export async function ask() {}', 'purity'],
  ['broker/links.ts', 'export function close(): Promise<void> {}', 'purity'],
  ['manager/flow.ts', "import { openStore } from '../platform/store.ts';", 'purity'],
  ['protocol/a.ts', 'let count = 0;', 'state'],
  ['manager/flow.ts', 'export let current: string | null = null;', 'state'],
  ['verifier/cache.ts', 'const cache = new Map<string, number>();', 'state'],
  ['protocol/a.ts', "export * from './b.ts';", 'reexport'],
  ['protocol/a.ts', "export { b } from './b.ts';", 'reexport'],
];

for (const [path, source, rule] of PLANTED) {
  test(`the check finds a planted offence against '${rule}': ${path}: ${source.slice(0, 60).replaceAll('\n', ' ')}`, () => {
    assert.ok(
      checkFile(path, source).some((complaint) => complaint.rule === rule),
      `not found in ${JSON.stringify(checkFile(path, source))}`,
    );
  });
}

test('the check finds a planted cycle, through a type import as well', () => {
  const cycle = new Map([
    ['protocol/a.ts', "import { b } from './b.ts';"],
    ['protocol/b.ts', "import type { C } from './edhoc/c.ts';"],
    ['protocol/edhoc/c.ts', "import { a } from '../a.ts';"],
  ]);
  assert.deepEqual(
    findCycles(cycle).map(({ rule }) => rule),
    ['cycle'],
  );
  assert.deepEqual(findCycles(new Map([...cycle].slice(0, 2))), []);
});

test('the check finds Node where a portable file loads it, itself or through another, and leaves types alone', () => {
  const house = (source: string, other = '') =>
    new Map([
      ['platform/a.ts', source],
      ['platform/b.ts', other],
    ]);
  const found = (source: string, other?: string) => findNodeUse(house(source, other), ['platform/a.ts']).length;
  assert.equal(found("import { hash } from 'node:crypto';"), 1);
  assert.equal(found("import './b.ts';", "import { hash } from 'node:crypto';"), 1);
  assert.equal(found("import './b.ts';", 'const bytes = Buffer.from(text);'), 1);
  assert.equal(found('const { platform } = process;'), 1);
  assert.equal(found("import { connect } from 'mqtt';"), 1);
  assert.equal(found("import './missing.ts';"), 1);
  assert.equal(
    found("import type { Hash } from 'node:crypto';\nimport type { B } from './b.ts';", 'Buffer.from([]);'),
    0,
  );
  assert.equal(found("import { p256 } from '@noble/curves/nist.js';\n// Buffer\nconst state = { process: 1 };"), 0);
});

const INNOCENT: ReadonlyArray<readonly [path: string, source: string]> = [
  ['protocol/a.ts', "// import { z } from 'zod'; Date.now()\nconst text = \"import 'node:fs'; await\";"],
  ['protocol/a.ts', "const quote = /['\"`]/;\nconst state = { kind: 'awaitingMessage2' };"],
  ['protocol/a.ts', `const text = \`Date.now() \${label} await\`;\nfunction f() {\n  let i = 0;\n}`],
  [
    'platform/a.ts',
    "import type { Message } from '../protocol/messages.ts';\nimport { concat } from '../protocol/bytes.ts';",
  ],
  ['platform/crypto-node.ts', "import { hkdfSync } from 'node:crypto';"],
  ['broker/aedes-host.ts', "import { brokerReports } from '../protocol/messages.ts';"],
  ['manager/config.ts', "import { readFileSync } from 'node:fs';\nimport { z } from 'zod';"],
  ['manager/service.ts', "import { openStore } from '../platform/store.ts';\nexport async function run() {}"],
  ['broker/aedes-host.ts', "import { Aedes } from 'aedes';\nimport { createServer } from 'node:tls';"],
];

for (const [path, source] of INNOCENT) {
  test(`the check leaves alone what is allowed: ${path}: ${source.slice(0, 50).replaceAll('\n', ' ')}`, () => {
    assert.deepEqual(checkFile(path, source), []);
  });
}

test('imports are found in every form, and told from types', () => {
  const source = [
    "import a, { b } from './1.ts';",
    "import type { C } from './2.ts';",
    "import { type D, type E } from './3.ts';",
    "import { type F, g } from './4.ts';",
    "import * as h from './5.ts';",
    "export type { I } from './6.ts';",
    "import './7.ts';",
    "const j = await import('./8.ts');",
    "import type from './9.ts';",
    'export const from = `./10.ts`;',
  ].join('\n');
  assert.deepEqual(
    findImports(source).map(({ specifier, typeOnly }) => `${specifier} ${typeOnly ? 'type' : 'value'}`),
    [
      './1.ts value',
      './2.ts type',
      './3.ts type',
      './4.ts value',
      './5.ts value',
      './6.ts type',
      './7.ts value',
      './9.ts value',
      './8.ts value',
    ],
  );
  assert.equal(maskLiterals(source).length, source.length);
});
