/**
 * Revocation lists bent in every way: none clears or condemns that a second judge, or OpenSSL, takes otherwise.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equal, toHex } from '../../protocol/bytes.ts';
import type { ParsedCrl } from '../../protocol/certificate.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { AT, inDirectory, opensslAbsent, parse } from '../test-authority.ts';
import { firstOf } from './der-tree.ts';
import { HONEST, honestListJudge, type ListJudge, listStructure } from './list-mutants.ts';
import { intermediateDer, SERIALS } from './mutation-house.ts';
import { assertSound, isLong, LONG, type MutationReport, type Offence, runMutations } from './mutations.ts';
import { opensslByList } from './openssl-judge.ts';

const structure = listStructure(honestListJudge);
const SEED = 'lists 1';
let report: MutationReport | null = null;
const reported = (): MutationReport => {
  report ??= runMutations(structure, SEED, isLong ? 18_000 : 1_500);
  return report;
};

test('the honest lists clear the device, and the second judge agrees', () => {
  for (const bytes of HONEST) {
    const mutant = { what: 'nothing', signedAnew: false, bytes: [bytes] };
    assert.equal(structure.judge(mutant), 'good');
    assert.equal(structure.objection(mutant, 'good'), null);
  }
});

test(
  '[5.6 parser differences] bent revocation lists: read or refused with a reason, none believed unsigned, none beyond the work limit',
  LONG,
  (t) => {
    assertSound(t, reported());
  },
);

/** Where OpenSSL takes a list otherwise, each to be seen in the bytes. */
const DIFFERENCES: readonly (readonly [finding: RegExp, said: RegExp, holds: (list: Uint8Array) => boolean])[] = [
  // The last second of a list belongs to it.
  [/good/, /CRL has expired/, (list) => honestListJudge.readCrl(list)?.nextUpdate === AT],
  // Its key identifier helps to find a signer; whose signature holds is found.
  [
    /good|revoked/,
    /unable to get certificate CRL/,
    (list) => !equal(honestListJudge.readCrl(list)?.authorityKeyId ?? CA_KEY, CA_KEY),
  ],
  // Whom an issuer names is out, whatever else its list says.
  [/revoked/, /unhandled critical CRL extension/, () => true],
  // An entry that lifts a hold means something in a delta alone. [RFC 5280 §5.3.1]
  [/revoked/, /^OK$/, (list) => reasonOfDevice(list) === 'removeFromCRL'],
];

const CA_KEY = parse(intermediateDer).extensions.subjectKeyId!;

function reasonOfDevice(list: Uint8Array): string | null {
  const groups = honestListJudge.readCrl(list)?.revoked ?? [];
  return groups.map(({ entries }) => entries.get(toHex(SERIALS.leaf))).find((reason) => reason !== undefined) ?? null;
}

test(
  '[5.6 parser differences] OpenSSL clears or condemns by every bent list as we do',
  { ...LONG, skip: opensslAbsent },
  (t) =>
    inDirectory((dir) => {
      const asked = reported()
        .believed.filter(({ finding }) => finding === 'good' || finding === 'revoked')
        .slice(0, isLong ? 400 : 60);
      const open = asked.flatMap(({ finding, number, mutant }) => {
        const list = mutant.bytes[0]!;
        const said = opensslByList(dir, list);
        const agrees = finding === 'good' ? said === 'OK' : /certificate revoked/.test(said);
        if (agrees || DIFFERENCES.some(([found, what, holds]) => found.test(finding) && what.test(said) && holds(list)))
          return [];
        return [`${finding}, but OpenSSL: ${said}: case ${number}, ${mutant.what}, ${toHex(list)}`];
      });
      t.diagnostic(`${asked.length} asked, ${open.length} taken otherwise without a known reason`);
      assert.equal(open.length, 0, open.slice(0, 5).join('\n'));
    }),
);

const read = (change: (list: ParsedCrl) => ParsedCrl): ListJudge => ({
  ...honestListJudge,
  readCrl(bytes) {
    const list = honestListJudge.readCrl(bytes);
    return list === null ? null : change(list);
  },
});

/** Each skips one check, as a careless change could; the run has to notice. */
const CARELESS: Readonly<Record<string, readonly [Offence, ListJudge]>> = {
  'signatures are not checked': ['believed without signature', { ...honestListJudge, verify: () => true }],
  'bytes behind the end are passed over': [
    'believed without signature',
    { ...honestListJudge, readCrl: (bytes) => honestListJudge.readCrl(firstOf(bytes)) },
  ],
  'its clock is an hour ahead': ['second judge objects', { ...honestListJudge, at: EpochSeconds(AT + 3600) }],
  'a delta is taken for a whole list': ['second judge objects', read((list) => ({ ...list, deltaBase: null }))],
  'its scope is not looked at': ['second judge objects', read((list) => ({ ...list, scope: null }))],
  'critical extensions are passed over': ['second judge objects', read((list) => ({ ...list, unknownCritical: [] }))],
  'entries are not looked at': ['second judge objects', read((list) => ({ ...list, revoked: [] }))],
};

for (const [what, [offence, judge]] of Object.entries(CARELESS)) {
  test(`the run catches a judge of lists so careless that ${what}`, (t) => {
    const { caught } = runMutations(listStructure(judge), SEED, 600);
    const count = caught.filter((one) => one.offence === offence).length;
    t.diagnostic(`${what}: ${count} cases, ${offence}`);
    assert.ok(count > 0);
  });
}
