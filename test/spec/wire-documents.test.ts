/**
 * The documents of the wire format are what the definitions say today.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { wireCddl, wireMarkdown } from '../../docs/wire-document.ts';
import { WIRE } from '../../protocol/messages.ts';

const committed = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
const messages = Object.values(WIRE).flatMap((section) => Object.values<{ readonly name: string }>(section));

for (const [name, generate] of [
  ['wire.md', wireMarkdown],
  ['wire.cddl', wireCddl],
] as const) {
  test(`[B1] docs/${name} is what the message definitions say: otherwise run npm run docs`, () => {
    assert.equal(committed(name), generate());
  });
}

test('[B1] every message has a section in wire.md and a rule in wire.cddl, with the same name', () => {
  const markdown = wireMarkdown();
  const cddl = wireCddl();
  for (const { name } of messages) {
    assert.ok(markdown.includes(`\n### ${name}\n`), `wire.md: ${name}`);
    assert.ok(cddl.includes(`\n${name} = {\n`), `wire.cddl: ${name}`);
  }
});

/** The part of the RFC 8610 grammar that the document uses, in the names of its appendix B. */
const TOKEN = /\s*("[^"]*"|\.\.|\.[a-z]+|-?\d+|[A-Za-z_](?:[-.]*[A-Za-z0-9_])*|[=/:?,*&()[\]{}])/y;

function tokensOf(cddl: string): string[] {
  const text = cddl.replace(/;.*$/gm, '').trimEnd();
  const tokens: string[] = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length; ) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    assert.ok(match, `no CDDL token at: ${text.slice(from, from + 40)}`);
    tokens.push(match[1]!);
  }
  return tokens;
}

/** @returns the rules defined and the type names used, in order; an assertion fails where the text leaves the grammar */
function readCddl(cddl: string): { defined: string[]; used: string[] } {
  const tokens = tokensOf(cddl);
  const defined: string[] = [];
  const used: string[] = [];
  let at = 0;
  const take = (pattern: RegExp, what: string): string => {
    const token = tokens[at++] ?? '';
    assert.match(token, pattern, `${what} expected after ${tokens.slice(Math.max(0, at - 8), at - 1).join(' ')}`);
    return token;
  };
  const name = /^[A-Za-z_]/;
  // type2 = value / typename / "(" type ")" / "{" group "}" / "[" group "]" / "&" "(" group ")"
  const readType2 = (): void => {
    if (tokens[at] === '&') take(/^&$/, '&');
    const opening = tokens[at] ?? '';
    const closing = { '(': /^\)$/, '[': /^\]$/, '{': /^\}$/ }[opening];
    if (closing === undefined) {
      const token = take(/^(?:"|-?\d|[A-Za-z_])/, 'a type');
      if (name.test(token)) used.push(token);
      return;
    }
    at++;
    while (!closing.test(tokens[at] ?? '')) readEntry();
    take(closing, 'the end of the group');
  };
  // type1 = type2 [(".." / ctlop) type2], type = type1 *("/" type1)
  const readType = (): void => {
    readType2();
    if (/^\.\.$|^\.(?:size|cbor|cborseq)$/.test(tokens[at] ?? '')) {
      at++;
      readType2();
    }
    if (tokens[at] === '/') {
      at++;
      readType();
    }
  };
  // grpent = [occur] [memberkey] type, optcom
  const readEntry = (): void => {
    if (tokens[at] === '?') at++;
    else if (tokens[at + 1] === '*') {
      take(/^\d+$/, 'a least number');
      at++;
      take(/^\d+$/, 'a most number');
    }
    if (tokens[at + 1] === ':') at += 2;
    readType();
    if (tokens[at] === ',') at++;
  };
  while (at < tokens.length) {
    defined.push(take(name, 'a rule name'));
    take(/^=$/, '=');
    readType();
  }
  return { defined, used };
}

test('[B1] wire.cddl keeps to the grammar of RFC 8610, defines each rule once and every rule that it uses', () => {
  const { defined, used } = readCddl(wireCddl());
  assert.ok(defined.length > messages.length);
  assert.equal(new Set(defined).size, defined.length, 'a rule is defined twice');
  const prelude = ['bstr', 'tstr', 'int', 'bool'];
  assert.deepEqual(
    used.filter((rule) => !defined.includes(rule) && !prelude.includes(rule)),
    [],
  );
});

test('the grammar check finds planted faults', () => {
  for (const fault of [
    'A = {1: bstr .size }',
    'A = [1*8 0..23',
    'A = &(a: 0',
    'A = bstr .siz 5',
    'A == 5',
    '= 5',
    'A = 5 %',
  ]) {
    assert.throws(() => readCddl(fault), assert.AssertionError, fault);
  }
});

test('links inside wire.md lead to sections that exist', () => {
  const markdown = wireMarkdown();
  const anchors = new Set([...markdown.matchAll(/^#+ (.*)$/gm)].map((m) => m[1]!.toLowerCase().replaceAll(' ', '-')));
  for (const [, anchor] of markdown.matchAll(/\]\(#([^)]+)\)/g)) assert.ok(anchors.has(anchor!), anchor);
});
