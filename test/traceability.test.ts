/**
 * The traceability check itself: it must complain about planted gaps.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestResult } from './run-file.ts';
import { ROWS, type Row } from './traceability.ts';
import { checkRows, readTags } from './traceability-check.ts';

const row = (tag: string, due: Row['due'] = 'now'): Row => ({ tag, text: 'what', code: ['protocol'], due });
const result = (name: string, status: TestResult['status'] = 'passed'): TestResult => ({
  name,
  file: 'a',
  status,
  ms: 0,
});
const present = () => true;
/** Planted names must not count as tags of the tests below. */
const tagged = (tag: string) => `suite > [${tag}] the rule holds`;

test('a row due now counts only with a passed test that carries its tag', () => {
  assert.equal(checkRows([row('P4')], [], present).length, 1);
  assert.equal(checkRows([row('P4')], [result(tagged('P4'), 'skipped')], present).length, 1);
  assert.equal(checkRows([row('P4')], [result(tagged('P4'), 'failed')], present).length, 1);
  assert.deepEqual(checkRows([row('P4')], [result(tagged('P4'))], present), []);
  assert.deepEqual(checkRows([row('P4', 'later: users')], [], present), []);
});

test('P1 is not carried by P11, nor a step by a range beside it', () => {
  assert.equal(checkRows([row('P1'), row('P11')], [result(tagged('P11'))], present).length, 1);
  assert.equal(checkRows([row('1008'), row('1006')], [result(tagged('patent 1000-1006'))], present).length, 1);
  assert.deepEqual(checkRows([row('1004')], [result(tagged('patent 1000–1006'))], present), []);
});

test('code that does not exist is a complaint, for later rows as well', () => {
  assert.equal(checkRows([row('P21', 'later: users')], [], () => false).length, 1);
});

test('a tag that names no row is a complaint', () => {
  assert.equal(checkRows([row('P1', 'later: users')], [result(tagged('P99'))], present).length, 1);
});

test('tags are read in every form, and other brackets left alone', () => {
  const name = [
    tagged('P18'),
    tagged('patent 0158-0160, 0163'),
    tagged('claim 3'),
    tagged('5.6 replay'),
    '[2007]',
  ].join(' ');
  assert.deepEqual(
    readTags(name).map(({ from, to }) => `${from}-${to}`),
    ['P18-P18', '0158-0160', '0163-0163', 'claim 3-claim 3', '5.6 replay-5.6 replay'],
  );
});

test('every row has a tag of its own, and rows due now name their code', () => {
  assert.equal(new Set(ROWS.map(({ tag }) => tag)).size, ROWS.length);
  assert.deepEqual(
    ROWS.filter(({ due, code }) => due === 'now' && code.length === 0),
    [],
  );
});
