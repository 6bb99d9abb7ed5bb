/**
 * The command line as it is declared: every command documented, every failure with its exit code.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { Command } from 'commander';
import { CaError } from '../../cli/ca/ca-error.ts';
import { exampleOf } from '../../cli/command.ts';
import { closedSentence } from '../../cli/commands/agent.ts';
import { forPeople } from '../../cli/commands/status.ts';
import { EXIT_CODES } from '../../cli/exit-codes.ts';
import { Failure, NAMED_ERRORS, shownFailure } from '../../cli/failure.ts';
import { outline, printable, table } from '../../cli/output.ts';
import { createProgram } from '../../cli/program.ts';
import { cliMarkdown } from '../../cli/reference.ts';
import { ControlError } from '../../platform/control-socket.ts';
import { FileFault } from '../../platform/files.ts';
import { StoreError } from '../../platform/store.ts';
import { tokenIn } from '../../platform/token.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

const root = join(import.meta.dirname, '../..');

function leavesOf(command: Command, parents: readonly string[] = []): readonly (readonly [string, Command])[] {
  const path = [...parents, command.name()];
  if (command.commands.length === 0) return [[path.join(' '), command]];
  return command.commands.flatMap((child) => leavesOf(child, path));
}

test('docs/cli.md is what the commands say: otherwise run npm run docs', () => {
  assert.equal(readFileSync(join(root, 'docs/cli.md'), 'utf8'), cliMarkdown());
});

test('every command has --json, a summary, and an example that begins with its own name', () => {
  for (const [path, command] of leavesOf(createProgram())) {
    assert.ok(
      command.options.some(({ long }) => long === '--json'),
      path,
    );
    assert.ok(command.summary().length > 10, path);
    assert.ok(exampleOf(command)?.startsWith(path), path);
    for (const option of command.options) assert.ok(option.description.length > 0, `${path} ${option.flags}`);
  }
});

test('what every command loads before it does anything is little: neither keys nor certificates nor a daemon', () => {
  const script = `import { registerHooks } from 'node:module';
    const urls = [];
    registerHooks({ load: (url, context, next) => { urls.push(url); return next(url, context); } });
    const { createProgram } = await import(${JSON.stringify(pathToFileURL(join(root, 'cli/program.ts')).href)});
    createProgram();
    console.log(JSON.stringify(urls));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  const urls = JSON.parse(stdout) as string[];
  assert.ok(
    urls.some((url) => url.endsWith('/cli/commands/agent.ts')),
    'the commands are there',
  );
  const heavy = /\/(?:zod|yaml|asn1js|pkijs|koffi|mqtt|aedes|lmdb|uqr)\/|platform\/crypto-|hardware\/|cli\/daemons\//;
  assert.deepEqual(
    urls.filter((url) => heavy.test(url)),
    [],
  );
});

test('every exit code stands for one thing', () => {
  const codes = Object.values(EXIT_CODES).map(({ code }) => code);
  assert.equal(new Set(codes).size, codes.length);
});

/** They never reach the command line: caught where the bytes are read, or turned into another. */
const INNER = ['DerFault', 'ProtocolError', 'ControlError', 'Failure'];

test('every class of error has its exit code', () => {
  const files = globSync('{broker,manager,verifier,device-agent,platform,hardware,cli,protocol}/**/*.ts', {
    cwd: root,
  });
  const names = files.flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/this\.name = '(\w+)'/g)].map((match) => match[1]!),
  );
  assert.deepEqual(
    names.filter((name) => !INNER.includes(name)).sort(),
    NAMED_ERRORS.filter((name) => names.includes(name)).sort(),
  );
});

for (const [error, exitCode] of [
  [new ControlError('not-running', 'x'), 3],
  [new ControlError('no-socket', 'x'), 3],
  [new ControlError('timeout', 'x'), 5],
  [new ControlError('not-found', 'x'), 4],
  [new ControlError('no-session', 'x'), 4],
  [new ControlError('no-common-suite', 'x'), 1],
  [new ControlError('forbidden', 'x'), 1],
  [new CaError('unknown-certificate', 'x'), 4],
  [new CaError('name-taken', 'x'), 1],
  [new FileFault('too-open', 'p', 'x'), 2],
  [new FileFault('full', 'p', 'x'), 1],
  [new StoreError('in-use', 'x'), 1],
  [new Failure('usage', 'config', ['a', 'b']), 2],
] as const) {
  const { code } = shownFailure(error);
  test(`${error.name} ${code} ends with exit code ${exitCode}`, () => {
    const shown = shownFailure(error);
    assert.equal(shown.exitCode, exitCode);
    assert.equal(shown.bug, false);
  });
}

test('what nobody foresaw is called a bug, in one line', () => {
  const shown = shownFailure(new TypeError('x is not a function'));
  assert.equal(shown.exitCode, 1);
  assert.equal(shown.code, 'bug');
  assert.match(shown.lines.join('\n'), /^this is a bug: x is not a function: please report it/);
  assert.equal(shown.lines.length, 1);
});

test("somebody else's text cannot steer the terminal, nor turn or break a line", () => {
  assert.equal(printable('a\u001b[2Jb\n\u202ec\u2028'), 'a\\u{1b}[2Jb\\u{a}\\u{202e}c\\u{2028}');
  assert.equal(table(['A', 'B'], [['x\ny', '1']]), 'A        B\nx\\u{a}y  1');
  assert.equal(
    outline({ id: 'a\u0007', list: ['x', 'y'], none: null, deep: { on: true } }),
    ['id    a\\u{7}', 'list  x, y', 'none  –', 'deep', '  on  yes'].join('\n'),
  );
});

test('a closed session is told by its id and peer, with the number of those that stay open', () => {
  assert.equal(closedSentence({ sid: 'a891', reason: 'done' }), 'session a891 is closed');
  assert.equal(closedSentence({ sid: 'a891', peer: 'lamp', others: 0 }), 'session a891 with lamp is closed');
  const one = closedSentence({ sid: 'a891', peer: 'lamp', others: 1 });
  assert.equal(one, 'session a891 with lamp is closed; 1 other with lamp stays open');
  const six = closedSentence({ sid: 'a891', peer: 'lamp', others: 6 });
  assert.equal(six, 'session a891 with lamp is closed; 6 others with lamp stay open');
});

test('while the link of the manager is down, its status says why and nothing of the verifier', () => {
  const up = { link: { state: 'up', reason: null }, verifier: 'answers', devices: 3 };
  assert.deepEqual(forPeople(up), { link: 'up', verifier: 'answers', devices: 3 });
  const down = { link: { state: 'down', reason: 'connection refused' }, verifier: 'silent', devices: 3 };
  assert.deepEqual(forPeople(down), { link: 'down: connection refused', devices: 3 });
  assert.deepEqual(forPeople({ link: 'up', id: 'lamp' }), { link: 'up', id: 'lamp' });
});

for (const [rule, text, token] of [
  ['one line', '0123456789abcdef\n', '0123456789abcdef'],
  ['fifteen characters', '0123456789abcde\n', null],
  ['two lines', '0123456789abcdef\nx\n', null],
  ['nothing', '', null],
] as const) {
  test(`a token file with ${rule} is ${token === null ? 'refused' : 'taken'}, by the broker as by its services`, () => {
    assert.equal(tokenIn(encodeUtf8(text)), token);
  });
}
