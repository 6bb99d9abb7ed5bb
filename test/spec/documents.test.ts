/**
 * README and docs/: links lead somewhere, files that are named exist, commands that are shown can be typed.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../cli/program.ts';

const ROOT = join(import.meta.dirname, '../..');
const DOCUMENTS = globSync(['*.md', 'docs/**/*.md'], { cwd: ROOT }).sort();
/** Written by programs; their own tests hold them. */
const GENERATED = ['docs/cli.md', 'docs/traceability.md', 'docs/wire.md'];
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** As GitHub makes them. */
const anchorsOf = (markdown: string): Set<string> =>
  new Set(
    [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replace(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );

for (const path of DOCUMENTS) {
  test(`${path}: relative links lead to files and sections that exist`, () => {
    for (const [, target] of read(path).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [file = '', anchor] = target!.split('#');
      const full = file === '' ? path : join(dirname(path), file);
      assert.ok(existsSync(join(ROOT, full)), target);
      if (anchor !== undefined) assert.ok(anchorsOf(read(full)).has(anchor), target);
    }
  });

  test(`${path}: files of this repository that are named exist`, () => {
    const folders = 'bench|broker|cli|device-agent|docs|hardware|manager|platform|protocol|sim|test|verifier';
    for (const [, file] of read(path).matchAll(new RegExp(`\`((?:${folders})/[\\w./*-]+\\.(?:ts|js|md|svg))`, 'g'))) {
      assert.ok(globSync(file!, { cwd: ROOT }).length > 0, file);
    }
  });
}

/** @returns why it cannot be typed, or null. @param whole arguments have to be complete */
function faultOf(words: readonly string[], whole: boolean): string | null {
  let command: Command = createProgram();
  let given = 0;
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    const child = command.commands.find((one) => one.name() === word);
    if (child !== undefined && given === 0) command = child;
    else if (word.startsWith('--') && word !== '--help') {
      const option = command.options.find((one) => one.long === word);
      if (option === undefined) return `no option ${word}`;
      if (option.required) at++;
    } else if (command.commands.length > 0 && !word.startsWith('-')) return `no command ${word}`;
    else if (!word.startsWith('-')) given++;
  }
  const { registeredArguments: takes } = command;
  if (given > takes.length && takes.at(-1)?.variadic !== true) return `${given} arguments`;
  return whole && given < takes.filter(({ required }) => required).length ? 'an argument is missing' : null;
}

/** The command lines of a document: those in blocks whole, those in running text perhaps without their arguments. */
function commandsIn(markdown: string): { line: string; whole: boolean }[] {
  const blocks = [...markdown.matchAll(/^```.*\n([\s\S]*?)^```$/gm)].map(([, text]) => text!);
  const prose = markdown.replace(/^```[\s\S]*?^```$/gm, '');
  const spoken = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, line]) => ({ line: line!, whole: false }));
  return [...blocks.flatMap((text) => text.split('\n')).map((line) => ({ line, whole: true })), ...spoken].flatMap(
    ({ line, whole }) => {
      const found = /(?:^\s*|npx |\/)kagimori(?:\.js)? (?![=.…])(.*)$/.exec(line);
      return found === null || found[1]!.startsWith('…') ? [] : [{ line: found[1]!, whole }];
    },
  );
}

const wordsOf = (line: string): string[] => line.replace(/\s(?:[>|#]|&&).*$/, '').match(/"[^"]*"|\S+/g) ?? [];

for (const path of DOCUMENTS.filter((one) => !GENERATED.includes(one))) {
  test(`${path}: commands of kagimori that are shown can be typed`, () => {
    for (const { line, whole } of commandsIn(read(path))) {
      const words = wordsOf(line).filter((word) => word !== '…');
      assert.equal(faultOf(words, whole), null, line);
    }
  });
}

test('the check of commands finds planted faults, and finds the commands of the README', () => {
  for (const line of ['agent conect phone', 'agent connect', 'agent connect a b', 'ca init --nmae x', 'broker walk']) {
    assert.notEqual(faultOf(wordsOf(line), true), null, line);
  }
  assert.ok(commandsIn(read('README.md')).length > 15);
});

test('what the README shows of the demonstration is what the demonstration says', () => {
  const narration = read('cli/demo/narration.ts');
  const shown = [...read('README.md').matchAll(/^ +\d+ ms .*? → \S+ {2,}(.+?) {2,}\d+ B$/gm)].map(([, what]) => what!);
  assert.ok(shown.length > 10);
  for (const what of shown) assert.ok(narration.includes(`'${what}'`), what);
});
