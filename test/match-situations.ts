/**
 * Situations of two devices, each with the one cause of its refusal or choice. @see test/spec/match-explanation.test.ts
 */
import assert from 'node:assert/strict';
import type { Proposal } from '../protocol/messages.ts';
import { proposalOf, type WrittenProposal } from '../protocol/proposal.ts';
import {
  CALLER_FIRST,
  type Criterion,
  DEFAULT_SELECTION,
  NO_REQUIREMENT,
  NO_WISHES,
  type Requirement,
  type Selection,
  type Wishes,
} from '../protocol/selection.ts';
import { parseSuitePattern, type SuitePattern } from '../protocol/suite-pattern.ts';

type More = Partial<Omit<WrittenProposal, 'cipher' | 'keyBits'>> & { readonly ns?: readonly [number, number] };
export const of =
  (cipher: WrittenProposal['cipher']) =>
  (keyBits: WrittenProposal['keyBits'], { ns, ...more }: More = {}): Proposal =>
    proposalOf({
      cipher,
      keyBits,
      hash: 'sha-256',
      keyMode: 'seed',
      ...(ns === undefined ? {} : { cost: { nsPerOp: ns[0], nsPerByte: ns[1] } }),
      ...more,
    });
const [gcm, ccm, chacha, ctr, hmac] = (
  ['aes-gcm', 'aes-ccm', 'chacha20-poly1305', 'aes-ctr-hmac', 'hmac'] as const
).map(of) as [Make, Make, Make, Make, Make];
type Make = ReturnType<typeof of>;

const later: Proposal = { cipher: 'later-77', keyBits: [128], hashes: ['sha-256'], keyMode: 'seed' };
const laterHash: Proposal = { cipher: 'aes-gcm', keyBits: [128], hashes: ['later-9'], keyMode: 'seed' };
export const ANY = { min: 128 };
export const ALL_HASHES = ['sha-256', 'sha-384', 'sha-512'] as const;

export interface Circumstances
  extends Partial<Omit<Selection, 'require'>>,
    Partial<Omit<Wishes, 'messageBytes' | 'retiring' | 'retired'>> {
  readonly require?: Partial<Requirement>;
  /** Of the caller. */
  readonly wish?: number;
  readonly retiring?: readonly string[];
  readonly retired?: readonly string[];
}
export type Row = readonly [
  situation: string,
  caller: readonly Proposal[],
  callee: readonly Proposal[],
  more: Circumstances,
  cause: string,
  /** `gcm 128 sha-256`, or nothing. */
  result: string | null,
];

const by = (...prefer: readonly Criterion[]): Circumstances => ({ prefer });
const FIPS = { ciphers: ['aes-gcm', 'aes-ccm', 'aes-ctr-hmac', 'hmac'] } as const;

export const ROWS: readonly Row[] = [
  // Settings that keep two proposals apart
  ['two ciphers', [gcm(128)], [ccm(128)], {}, 'apart cipher', null],
  ['many ciphers, none common', [gcm(ANY), ctr(ANY)], [ccm(ANY), chacha(256)], {}, 'apart cipher', null],
  ['two key lengths', [gcm(128)], [gcm(256)], {}, 'apart keyBits', null],
  ['ranges that do not meet', [gcm({ max: 128 })], [gcm({ min: 192 })], {}, 'apart keyBits', null],
  ['a set beside a range', [gcm([128, 192])], [gcm({ min: 256 })], {}, 'apart keyBits', null],
  ['ranges that meet where the cipher has no key', [ccm({ max: 192 })], [ccm({ min: 192 })], {}, 'apart keyBits', null],
  ['two hashes', [gcm(128)], [gcm(128, { hash: 'sha-384' })], {}, 'apart hash', null],
  ['lists of hashes, none common', [gcm(128, { hash: ['sha-384', 'sha-512'] })], [gcm(128)], {}, 'apart hash', null],
  ['two tag lengths', [ccm(128, { tagBits: 64 })], [ccm(128, { tagBits: 128 })], {}, 'apart tagBits', null],
  ['an absent tag is the longest', [ctr(128)], [ctr(128, { tagBits: 128 })], {}, 'apart tagBits', null],
  ['one wants the key', [gcm(128, { keyMode: 'key' })], [gcm(128)], {}, 'apart keyMode', null],
  ['not asked for without encryption', [hmac(256)], [hmac(256)], {}, 'apart encryption', null],
  [
    'the closest of several counts',
    [gcm(128), ccm(128)],
    [gcm(256), ccm(128, { keyMode: 'key' })],
    {},
    'apart keyMode',
    null,
  ],
  ['a far pair beside a close one', [chacha(256), gcm(128)], [gcm(128, { hash: 'sha-512' })], {}, 'apart hash', null],
  // Nothing there to be matched
  ['an empty list of the caller', [], [gcm(128)], {}, 'nothing offered by the caller', null],
  ['an empty list of the callee', [gcm(128)], [], {}, 'nothing offered by the callee', null],
  ['only a cipher of a later version', [later], [gcm(128)], {}, 'nothing offered by the caller', null],
  ['only a hash of a later version', [gcm(128)], [laterHash], {}, 'nothing offered by the callee', null],
  ['only a key length that there is not', [gcm(130)], [gcm(130)], {}, 'nothing offered by the caller', null],
  [
    'only a tag that the cipher has not',
    [gcm(128)],
    [gcm(128, { tagBits: 64 })],
    {},
    'nothing offered by the callee',
    null,
  ],
  // One suite in common
  ['the same on both sides', [gcm(128)], [gcm(128)], {}, 'only', 'gcm 128 sha-256'],
  [
    'patent 0161: A|B meets B|C',
    [gcm({ min: 64, max: 128 }, { hash: ['sha-256', 'sha-384'] })],
    [gcm({ min: 128 }, { hash: ['sha-384', 'sha-512'] })],
    {},
    'only',
    'gcm 128 sha-384',
  ],
  ['a range cut to the lengths of the cipher', [ccm({ min: 129 })], [ccm(ANY)], {}, 'only', 'ccm 256 sha-256'],
  ['a set and a range meet in one', [gcm([128, 256])], [gcm({ min: 200 })], {}, 'only', 'gcm 256 sha-256'],
  ['asked for without encryption', [hmac(256)], [hmac(256)], { allowUnencrypted: true }, 'only', 'hmac 256 sha-256'],
  ['a proposal of a later version beside', [later, gcm(128)], [gcm(128), laterHash], {}, 'only', 'gcm 128 sha-256'],
  ['one that retires, and nothing else', [gcm(128)], [gcm(128)], { retiring: ['aes-gcm'] }, 'only', 'gcm 128 sha-256'],
  ['both want the key', [gcm(128, { keyMode: 'key' })], [gcm(128, { keyMode: 'key' })], {}, 'only', 'gcm 128 sha-256'],
  // Several in one overlap
  ['the shortest key of an overlap', [gcm(ANY)], [gcm(ANY)], {}, 'overlap key-length', 'gcm 128 sha-256'],
  ['the shortest key that both allow', [gcm(ANY)], [gcm({ min: 192 })], {}, 'overlap key-length', 'gcm 192 sha-256'],
  [
    "the callee's first hash",
    [gcm(128, { hash: ALL_HASHES })],
    [gcm(128, { hash: ['sha-512', 'sha-256'] })],
    {},
    'overlap hash-order',
    'gcm 128 sha-512',
  ],
  [
    "the callee's first common hash",
    [gcm(128, { hash: ['sha-256', 'sha-384'] })],
    [gcm(128, { hash: ['sha-512', 'sha-384', 'sha-256'] })],
    {},
    'overlap hash-order',
    'gcm 128 sha-384',
  ],
  [
    'key, then hash',
    [gcm(ANY, { hash: ALL_HASHES })],
    [gcm(ANY, { hash: ['sha-384', 'sha-256'] })],
    {},
    'overlap hash-order',
    'gcm 128 sha-384',
  ],
  // The rule refuses
  ['too weak', [gcm(128)], [gcm(128)], { require: { minStrengthBits: 192 } }, 'requirement strength', null],
  [
    'no suite is so strong',
    [hmac(512)],
    [hmac(512)],
    { allowUnencrypted: true, require: { minStrengthBits: 257 } },
    'requirement strength',
    null,
  ],
  [
    'tag too short',
    [ccm(128, { tagBits: 64 })],
    [ccm(128, { tagBits: 64 })],
    { require: { minTagBits: 128 } },
    'requirement tag',
    null,
  ],
  ['cipher forbidden', [ccm(128)], [ccm(128)], { require: { ciphers: ['aes-gcm'] } }, 'requirement cipher', null],
  ['a profile as fips', [chacha(256)], [chacha(256)], { require: FIPS }, 'requirement cipher', null],
  ['hash forbidden', [gcm(128)], [gcm(128)], { require: { hashes: ['sha-384'] } }, 'requirement hash', null],
  [
    'one cipher forbidden, one suite too weak',
    [gcm(128), ccm(128)],
    [gcm(128), ccm(128)],
    { require: { ciphers: ['aes-gcm'], minStrengthBits: 256 } },
    'requirement strength',
    null,
  ],
  [
    'unencrypted comes before the rule',
    [hmac(256)],
    [hmac(256)],
    { require: { ciphers: [] } },
    'apart encryption',
    null,
  ],
  // The rule leaves one
  [
    'the rule wants more strength than the shortest key',
    [gcm(ANY)],
    [gcm(ANY)],
    { require: { minStrengthBits: 256 } },
    'requirement strength',
    'gcm 256 sha-256',
  ],
  [
    'the rule wants a longer tag',
    [ccm(128, { tagBits: 64 }), ccm(128)],
    [ccm(128, { tagBits: 64 }), ccm(128)],
    { require: { minTagBits: 128 } },
    'requirement tag',
    'ccm 128 sha-256',
  ],
  [
    'the rule forbids the first choice',
    [chacha(256), gcm(128)],
    [chacha(256, { priority: 1 }), gcm(128)],
    { require: FIPS },
    'requirement cipher',
    'gcm 128 sha-256',
  ],
  [
    "the rule forbids the callee's first hash",
    [gcm(128, { hash: ALL_HASHES })],
    [gcm(128, { hash: ['sha-512', 'sha-384'] })],
    { require: { hashes: ['sha-256', 'sha-384'] } },
    'requirement hash',
    'gcm 128 sha-384',
  ],
  // Retirement
  ['all retired', [ccm(ANY)], [ccm(ANY)], { retired: ['aes-ccm'] }, 'retired', null],
  ['one key length retired', [ccm(128)], [ccm(128)], { retired: ['aes-ccm/128'] }, 'retired', null],
  [
    'another is left',
    [gcm(128), chacha(256)],
    [gcm(128, { priority: 1 }), chacha(256)],
    { retired: ['aes-gcm'] },
    'retired',
    'chacha 256 sha-256',
  ],
  [
    'the shorter key is retired',
    [gcm([128, 256])],
    [gcm([128, 256])],
    { retired: ['aes-gcm/128'] },
    'retired',
    'gcm 256 sha-256',
  ],
  [
    'first choice retires',
    [gcm(128), ccm(128)],
    [gcm(128, { priority: 1 }), ccm(128)],
    { retiring: ['aes-gcm'] },
    'retiring',
    'ccm 128 sha-256',
  ],
  [
    'the shorter key retires',
    [gcm([128, 256])],
    [gcm([128, 256])],
    { retiring: ['aes-gcm/128'] },
    'retiring',
    'gcm 256 sha-256',
  ],
  [
    'only what is retired and what is refused',
    [gcm(128), ccm(128)],
    [gcm(128), ccm(128)],
    { retired: ['aes-gcm'], require: { ciphers: ['aes-gcm'] } },
    'retired',
    null,
  ],
  // Criteria
  [
    "figure 13: the callee's first choice",
    [gcm(128, { priority: 1 }), gcm(256, { priority: 2 })],
    [gcm(128, { priority: 2 }), gcm(256, { priority: 1 })],
    {},
    'criterion callee-priority',
    'gcm 256 sha-256',
  ],
  [
    'the other precedence',
    [gcm(128, { priority: 1 }), gcm(256, { priority: 2 })],
    [gcm(128, { priority: 2 }), gcm(256, { priority: 1 })],
    { prefer: CALLER_FIRST },
    'criterion caller-priority',
    'gcm 128 sha-256',
  ],
  [
    "the callee has none: the caller's priority",
    [gcm(128), chacha(256, { priority: 5 })],
    [gcm(128), chacha(256)],
    {},
    'criterion caller-priority',
    'chacha 256 sha-256',
  ],
  [
    'a priority before none',
    [gcm(128), ccm(256)],
    [gcm(128), ccm(256, { priority: 1000 })],
    {},
    'criterion callee-priority',
    'ccm 256 sha-256',
  ],
  [
    "equal priorities of the callee: the caller's",
    [gcm(128, { priority: 2 }), ccm(128, { priority: 1 })],
    [gcm(128, { priority: 1 }), ccm(128, { priority: 1 })],
    {},
    'criterion caller-priority',
    'ccm 128 sha-256',
  ],
  [
    'the strongest',
    [gcm(ANY), ccm(128)],
    [gcm(ANY), ccm(128)],
    by('strength'),
    'criterion strength',
    'gcm 256 sha-256',
  ],
  [
    'the longest key',
    [hmac(ANY)],
    [hmac(ANY)],
    { allowUnencrypted: true, prefer: ['key-length'] },
    'criterion key-length',
    'hmac 512 sha-256',
  ],
  [
    'strength ends at 256, then the key length',
    [hmac(ANY)],
    [hmac([256, 512])],
    { allowUnencrypted: true, prefer: ['strength', 'key-length'] },
    'criterion key-length',
    'hmac 512 sha-256',
  ],
  [
    'the lightest cipher',
    [gcm(128), chacha(256), ccm(128)],
    [gcm(128), chacha(256), ccm(128)],
    by('cipher-lightness'),
    'criterion cipher-lightness',
    'chacha 256 sha-256',
  ],
  [
    'the lightest hash',
    [gcm(128, { hash: ALL_HASHES })],
    [gcm(128, { hash: ['sha-512', 'sha-384', 'sha-256'] })],
    by('hash-lightness'),
    'criterion hash-lightness',
    'gcm 128 sha-256',
  ],
  [
    'the cheapest, as measured: AES with instructions',
    [gcm(128, { ns: [1000, 0.3] }), chacha(256, { ns: [1000, 1.2] })],
    [gcm(128, { ns: [1500, 0.4] }), chacha(256, { ns: [1200, 1.5] })],
    by('cost'),
    'criterion cost',
    'gcm 128 sha-256',
  ],
  [
    'the slower side decides',
    [gcm(128, { ns: [1000, 0.3] }), chacha(256, { ns: [1000, 1.2] })],
    [gcm(128, { ns: [9000, 50] }), chacha(256, { ns: [2000, 10] })],
    by('cost'),
    'criterion cost',
    'chacha 256 sha-256',
  ],
  [
    'nothing measured: the table stands in',
    [gcm(128), chacha(256)],
    [gcm(128), chacha(256)],
    { prefer: ['cost'], messageBytes: 16_384 },
    'criterion cost',
    'chacha 256 sha-256',
  ],
  [
    'short messages: the cost of a call',
    [gcm(128, { ns: [1000, 9] }), chacha(256, { ns: [4000, 1] })],
    [gcm(128, { ns: [1000, 9] }), chacha(256, { ns: [4000, 1] })],
    { prefer: ['cost'], wish: 64 },
    'criterion cost',
    'gcm 128 sha-256',
  ],
  [
    'long messages: the cost of a byte',
    [gcm(128, { ns: [1000, 9] }), chacha(256, { ns: [4000, 1] })],
    [gcm(128, { ns: [1000, 9] }), chacha(256, { ns: [4000, 1] })],
    { prefer: ['cost'], wish: 16_384 },
    'criterion cost',
    'chacha 256 sha-256',
  ],
  [
    'the size of the rule goes before that of the caller',
    [gcm(128, { ns: [1000, 9] }), chacha(256, { ns: [4000, 1] })],
    [gcm(128, { ns: [1000, 9] }), chacha(256, { ns: [4000, 1] })],
    { prefer: ['cost'], wish: 16_384, messageBytes: 64 },
    'criterion cost',
    'gcm 128 sha-256',
  ],
  [
    'costs within a tenth tie: the next criterion',
    [gcm(128, { ns: [1000, 1] }), gcm(256, { ns: [1050, 1.05] })],
    [gcm(128, { ns: [1000, 1] }), gcm(256, { ns: [1050, 1.05] })],
    by('cost', 'strength'),
    'criterion strength',
    'gcm 256 sha-256',
  ],
  [
    'costs beyond a tenth do not',
    [gcm(128, { ns: [1000, 1] }), gcm(256, { ns: [1200, 1.2] })],
    [gcm(128, { ns: [1000, 1] }), gcm(256, { ns: [1200, 1.2] })],
    by('cost', 'strength'),
    'criterion cost',
    'gcm 128 sha-256',
  ],
  [
    'the second criterion where the first ties',
    [gcm(128), ccm(128), chacha(256)],
    [gcm(128), ccm(128), chacha(256)],
    by('hash-lightness', 'strength'),
    'criterion strength',
    'chacha 256 sha-256',
  ],
  // The suite table
  [
    'no priorities: the order of ciphers',
    [ccm(128), gcm(128)],
    [ccm(128), gcm(128)],
    {},
    'table cipher',
    'gcm 128 sha-256',
  ],
  ['no criteria at all', [chacha(256), ccm(256)], [chacha(256), ccm(256)], by(), 'table cipher', 'ccm 256 sha-256'],
  ['the shorter key', [gcm(256), gcm(128)], [gcm(128), gcm(256)], {}, 'table key-length', 'gcm 128 sha-256'],
  [
    'two hashes as light: the order of the callee',
    [gcm(128, { hash: ['sha-384', 'sha-512'] })],
    [gcm(128, { hash: ['sha-512', 'sha-384'] })],
    by('hash-lightness'),
    'table hash-order',
    'gcm 128 sha-512',
  ],
  [
    'hashes of two proposals: the order of the table',
    [gcm(128, { hash: 'sha-384' }), gcm(128)],
    [gcm(128, { hash: 'sha-384' }), gcm(128)],
    {},
    'table hash',
    'gcm 128 sha-256',
  ],
  [
    'the longer tag',
    [ccm(128, { tagBits: 64 }), ccm(128)],
    [ccm(128), ccm(128, { tagBits: 64 })],
    {},
    'table tag',
    'ccm 128 sha-256',
  ],
  [
    'a seed before a key',
    [gcm(128, { keyMode: 'key' }), gcm(128)],
    [gcm(128, { keyMode: 'key' }), gcm(128)],
    {},
    'table key-mode',
    'gcm 128 sha-256',
  ],
  [
    'a cost within a tenth, and no other criterion',
    [gcm(128, { ns: [1000, 1] }), ccm(128, { ns: [950, 0.95] })],
    [gcm(128, { ns: [1000, 1] }), ccm(128, { ns: [950, 0.95] })],
    by('cost'),
    'table cipher',
    'gcm 128 sha-256',
  ],
];

const pattern = (text: string): SuitePattern => {
  const parsed = parseSuitePattern(text);
  assert.ok(!('fault' in parsed), text);
  return parsed;
};

export function given({
  require = {},
  wish,
  retiring = [],
  retired = [],
  allowUnencrypted = false,
  ...more
}: Circumstances) {
  const selection: Selection = {
    ...DEFAULT_SELECTION,
    name: 'office',
    ...more,
    require: { ...NO_REQUIREMENT, ...require },
  };
  const wishes: Wishes = {
    ...NO_WISHES,
    allowUnencrypted,
    messageBytes: wish ?? null,
    retiring: retiring.map(pattern),
    retired: retired.map(pattern),
  };
  return { selection, wishes };
}
