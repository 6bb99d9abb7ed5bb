/**
 * An explanation of the manager as text for a terminal of 80 columns: the answer first, then why, then what would change it.
 */
import type { JsonValue } from '../../platform/control-socket.ts';
import { cell, isObject, objects, printable, table } from '../output.ts';

const WIDTH = 80;
/** Of a long list of candidates the first, who came furthest. */
const MAX_CANDIDATES = 16;

type Shown = JsonValue | undefined;

const fieldOf = (value: Shown, key: string): Shown => (isObject(value) ? value[key] : undefined);
const texts = (value: Shown): readonly string[] => (Array.isArray(value) ? value.map(String) : []);

/** Of `rules.explain`. */
export function connectText(found: JsonValue): string {
  const match = fieldOf(found, 'match');
  const head = `${cell(fieldOf(found, 'caller'), 'id')} → ${cell(fieldOf(found, 'callee'), 'id')}: ${resultOf(match)}`;
  return [
    ...wrap(head, ''),
    ...section('Devices', partyLines(found)),
    ...section('A connect now', wrap(reachText(found), '  ')),
    ...choiceLines(found),
  ].join('\n');
}

/** Of `session.explain`. */
export function sessionText(found: JsonValue): string {
  const [decision, again, today] = [fieldOf(found, 'decision'), fieldOf(found, 'replay'), fieldOf(found, 'today')];
  const head = `${cell(fieldOf(found, 'caller'), 'id')} → ${cell(fieldOf(found, 'callee'), 'id')}: ${cell(found, 'suite')}, as a ${cell(found, 'keyMode')}, by rule ${cell(found, 'rule')}`;
  const now = fieldOf(today, 'match');
  const same = fieldOf(found, 'sameToday') === true;
  return [
    ...wrap(head, ''),
    ...section('Devices', partyLines(found)),
    ...section('The choice of then', [
      ...(isObject(decision) ? wrap(decisionText(decision), '  ') : []),
      ...texts(fieldOf(found, 'findings')).flatMap((line) => wrap(line, '  ! ')),
      ...(fieldOf(found, 'agrees') === true ? wrap('Repeated, it comes to this suite again.', '  ✓ ') : []),
    ]),
    ...(isObject(again) ? choiceLines(again) : []),
    ...section('Today', wrap(same ? 'the same suite would be chosen' : `it would be ${resultOf(now)}`, '  ')),
    ...(same && isObject(again) ? [] : choiceLines(today ?? null)),
  ].join('\n');
}

function resultOf(match: Shown): string {
  if (!isObject(match)) return 'not to be said: one of the two has registered nothing';
  if (match.matched !== true) return `no suite, it fails on ${cell(match, 'failedOn')} (rule ${cell(match, 'rule')})`;
  const retiring = match.retiring === true ? ', which retires' : '';
  return `${cell(match, 'name')}, as a ${cell(match, 'keyMode')}, by rule ${cell(match, 'rule')}${retiring}`;
}

function decisionText(decision: JsonValue): string {
  const bytes = cell(decision, 'messageBytes');
  const wishes = [
    ...(fieldOf(decision, 'allowUnencrypted') === true ? ['suites that do not encrypt were asked for too'] : []),
    ...(bytes === '–' ? [] : [`for messages of ${bytes} B`]),
  ];
  const rules = fieldOf(decision, 'rules');
  const file = typeof rules === 'string' ? `rules file ${rules.slice(0, 12)}…` : 'the built-in rule';
  return [`made at ${cell(decision, 'at')} by ${file}`, ...wishes].join('; ');
}

function partyLines(found: JsonValue): readonly string[] {
  const rows = ['caller', 'callee'].map((role) => {
    const party = fieldOf(found, role);
    const linked = fieldOf(party, 'linked');
    return [
      role,
      cell(party, 'id'),
      cell(party, 'class'),
      cell(party, 'groups'),
      cell(party, 'user'),
      fieldOf(party, 'registered') === true ? cell(party, 'proposals') : 'none',
      linked === null ? '?' : linked === true ? 'yes' : 'no',
    ];
  });
  const head = ['', 'ID', 'CLASS', 'GROUPS', 'USER', 'PROPOSALS', 'LINKED'];
  return table(head, rows)
    .split('\n')
    .map((line) => `  ${line}`);
}

function reachText(found: JsonValue): string {
  const connect = fieldOf(found, 'connect');
  const because = fieldOf(connect, 'because');
  const reason = fieldOf(connect, 'refused');
  if (typeof reason === 'string') return `would be refused as ${reason}: ${String(because)}`;
  if (typeof because === 'string') return because;
  return fieldOf(fieldOf(found, 'match'), 'matched') === true
    ? `would ask ${cell(fieldOf(found, 'callee'), 'id')} for its approval`
    : 'would be refused as no-common-suite';
}

/** Rules, candidates, reasons, hints. */
function choiceLines(choice: JsonValue): readonly string[] {
  const match = fieldOf(choice, 'match');
  const rules = section(`Rules at ${cell(choice, 'moment')}`, ruleLines(fieldOf(choice, 'rules')));
  if (!isObject(match)) return rules;
  return [
    ...rules,
    ...section('Suites in common', candidateLines(match)),
    ...section(
      'Why',
      texts(match.because).flatMap((line) => wrap(line, '  - ')),
    ),
    ...section(
      'What would change it',
      texts(match.whatWouldChange).flatMap((line) => wrap(line, '  - ')),
    ),
  ];
}

const FAILED: Readonly<Record<string, string>> = {
  caller: 'the caller is not one of these',
  callee: 'the callee is not one of these',
  either: 'neither is one of these',
  both: 'not both are of these',
  time: 'not at this time',
};

function ruleLines(rules: Shown): readonly string[] {
  if (fieldOf(rules, 'asThen') === true) return [`  ✓ ${cell(rules ?? null, 'decided')}: decided, as it stood then`];
  const before = Number(fieldOf(rules, 'before') ?? 0);
  const shown = objects(fieldOf(rules, 'looked') ?? null).flatMap((rule) => {
    const applies = rule.applies === true;
    const why = applies ? 'decides' : (FAILED[String(rule.failed)] ?? 'does not hold');
    return wrap(`${cell(rule, 'rule')}: ${why} (${cell(rule, 'when')})`, applies ? '  ✓ ' : '  ✗ ');
  });
  const looked =
    before > 0 ? [`    ${before} before these that ${before === 1 ? 'does' : 'do'} not hold`, ...shown] : shown;
  const left = Number(fieldOf(rules, 'left') ?? 0);
  if (left > 0) return [...looked, `    and ${left} behind it that ${left === 1 ? 'is' : 'are'} not looked at`];
  const last = objects(fieldOf(rules, 'looked') ?? null).at(-1);
  if (last?.applies === true) return looked;
  const none = looked.length === 0 ? 'there are no others' : 'no other holds';
  return [...looked, `  ✓ ${cell(rules ?? null, 'decided')}: decides, ${none}`];
}

function candidateLines(match: JsonValue): readonly string[] {
  const all = objects(fieldOf(match, 'candidates') ?? null);
  if (all.length === 0) return ['  none'];
  const rows = all
    .slice(0, MAX_CANDIDATES)
    .map((one) => [one.fate === 'chosen' ? '✓' : '✗', cell(one, 'suite'), cell(one, 'keyMode'), cell(one, 'fate')]);
  const [, ...lines] = table(['', '', '', ''], rows).split('\n');
  const more = all.length - rows.length + Number(fieldOf(match, 'candidatesLeftOut') ?? 0);
  return [...lines.map((line) => `  ${line}`), ...(more > 0 ? [`    and ${more} more (--json shows up to 64)`] : [])];
}

const section = (title: string, lines: readonly string[]): readonly string[] =>
  lines.length === 0 ? [] : ['', title, ...lines];

/** Whole words, the lines after the first as far in as the text of the first. */
export function wrap(text: string, lead: string): readonly string[] {
  const lines: string[] = [];
  let line = lead;
  let empty = true;
  for (const word of printable(text).split(' ')) {
    if (!empty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = ' '.repeat(lead.length);
      empty = true;
    }
    line = empty ? `${line}${word}` : `${line} ${word}`;
    empty = false;
  }
  return [...lines, line];
}
