/**
 * `kagimori sim` as a process: one seed, one hash, also in another process; faults that name themselves.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { runHome } from '../../sim/home.ts';
import { SCENARIOS } from '../../sim/scenarios.ts';

const ROOT = join(import.meta.dirname, '../..');
const LONG = process.env.KAGIMORI_LONG === '1';

function node(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 600_000 });
  return { status, stdout, stderr };
}
const sim = (...args: readonly string[]) => node(join(ROOT, 'cli/kagimori.js'), 'sim', 'run', ...args);
const reportOf = (...args: readonly string[]) => {
  const { status, stdout, stderr } = sim(...args, '--json');
  assert.equal(status, 0, stderr);
  assert.equal(stderr, '', 'quiet where nobody looks on');
  return JSON.parse(stdout);
};

test('[B3] sim run home: the same seed gives the same traceHash in every process; real cryptography unless there are many', () => {
  for (const crypto of ['real', 'model'] as const) {
    const here = runHome({ devices: 12, seed: 7, crypto, keepTrace: true }).world.trace.hash();
    const report = reportOf('home', '--seed', '7', '--crypto', crypto);
    assert.equal(report.traceHash, here);
    assert.equal(report.crypto, crypto);
    assert.equal(report.publicKeyOperations.sessions, 0);
  }
  assert.equal(reportOf('home', '--seed', '7').crypto, 'real');
  assert.notEqual(reportOf('home', '--seed', '8').traceHash, reportOf('home', '--seed', '7').traceHash);
});

test('sim run home --diagram draws a call by number and by names, and puts its messages into the JSON', () => {
  const { diagram } = reportOf('home', '--seed', '1', '--diagram', '2');
  const { caller, callee } = diagram.call;
  assert.ok(diagram.messages.length >= 8);
  const drawn = sim('home', '--seed', '1', '--diagram', `${caller}:${callee}`);
  assert.equal(drawn.status, 0);
  assert.match(drawn.stdout, new RegExp(`\\n\\ncall 2: ${caller} → ${callee}, session [0-9a-f]{16} open after`));
  const arrows = drawn.stdout.split('\n').filter((line) => /[▶◀]/.test(line));
  assert.equal(arrows.length, diagram.messages.length);
});

test('[B3] sim run tells a story, as text and as JSON, and its help names every one that there is', () => {
  const { status, stdout } = sim('clock-1970', '--seed', '3');
  assert.equal(status, 0);
  assert.match(stdout, /✓ the sensor, which believes in 1970, is registered/);
  assert.match(stdout, /10 of 10 facts hold, 0 laws broken/);
  const { holds, lines, findings, scenario } = reportOf('clock-1970', '--seed', '3');
  assert.deepEqual({ holds, findings, scenario }, { holds: true, findings: [], scenario: 'clock-1970' });
  assert.ok(lines.length >= 10);
  const help = sim('--help').stdout;
  for (const name of SCENARIOS.keys()) assert.match(help, new RegExp(`^  ${name} `, 'm'));
});

for (const [what, args, status, line] of [
  [
    'an unknown scenario',
    ['house'],
    2,
    /^kagimori: there is no scenario house: known are: home, clock-1970, cloned-card, /m,
  ],
  ['an unknown kind of cryptography', ['home', '--crypto', 'fast'], 2, /--crypto <kind>.*'fast'.*real or model/],
  ['too few devices', ['home', '--devices', '1'], 2, /--devices <number>.*'1'.*whole number from 2 to 100000/],
  ['a seed that is none', ['home', '--seed', 'x'], 2, /--seed <number>.*'x'.*whole number from 0 to 4294967295/],
  [
    'a call that there was not',
    ['home', '--diagram', '99'],
    4,
    /no call 99: give a number from 1 to 12, or caller:callee: [a-z]+-\d:[a-z]+-\d, /,
  ],
  ['no scenario', [], 2, /missing required argument 'scenario'/],
] as const) {
  test(`sim run: ${what} is named, with what can stand there`, () => {
    const ended = sim(...args);
    assert.equal(ended.status, status);
    assert.equal(ended.stdout, '');
    assert.match(ended.stderr, line);
  });
}

test('no daemon loads the simulator', () => {
  const loaded = node(
    '--input-type=module',
    '--eval',
    `import { registerHooks } from 'node:module';
     const urls = [];
     registerHooks({ load: (url, context, next) => { urls.push(url); return next(url, context); } });
     await import(${JSON.stringify(pathToFileURL(join(ROOT, 'cli/program.ts')).href)}).then(({ createProgram }) => createProgram());
     for (const name of ['agent', 'manager', 'verifier', 'broker']) {
       await import(${JSON.stringify(pathToFileURL(join(ROOT, 'cli/daemons')).href)} + '/' + name + '.ts');
     }
     console.log(urls.length, urls.filter((url) => url.includes('/sim/')).length);`,
  );
  assert.equal(loaded.status, 0, loaded.stderr);
  const [all, simulator] = loaded.stdout.trim().split(' ').map(Number);
  assert.ok(all! > 100, loaded.stdout);
  assert.equal(simulator, 0);
});

test('the call that docs/simulator.md draws is there', () => {
  const shown = readFileSync(join(ROOT, 'docs/simulator.md'), 'utf8');
  const args = /^kagimori sim run (.* --diagram .*)$/m.exec(shown)![1]!;
  const { status, stdout, stderr } = sim(...args.split(' '));
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^call \d+: .* → .*, session [0-9a-f]{16} open after /m);
});

test('the program in docs/simulator.md runs', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kagimori-sim-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const shown = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'docs/simulator.md'), 'utf8'))![1]!;
  const file = join(folder, 'shown.ts');
  writeFileSync(file, shown.replaceAll("'../sim/", `'${join(ROOT, 'sim')}/`));
  const { status, stdout, stderr } = node(file);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^phone registered$/m);
  assert.match(stdout, /^fridge sessionOpened$/m);
});

const MANY = LONG ? 10_000 : 1_100;
test(`sim run home with ${MANY} devices: all register and connect${LONG ? ', in under a minute' : ''}`, () => {
  const report = reportOf('home', '--devices', String(MANY), '--seed', '1');
  assert.equal(report.crypto, 'model');
  assert.equal(report.registered, MANY);
  assert.deepEqual(report.connects, { asked: MANY, opened: MANY, failed: {} });
  assert.equal(report.publicKeyOperations.sessions, 0);
  if (LONG) assert.ok(report.wallSeconds < 60, `${report.wallSeconds} s`);
});
