/**
 * Requests for certificates bent in every way: none proves a key that its sender does not hold.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { toHex } from '../../protocol/bytes.ts';
import { inDirectory, opensslAbsent } from '../test-authority.ts';
import { firstOf } from './der-tree.ts';
import { crypto } from './mutation-house.ts';
import { assertSound, isLong, LONG, type MutationReport, type Offence, runMutations } from './mutations.ts';
import { runOpenssl } from './openssl-judge.ts';
import { HONEST, honestRequestJudge, type RequestJudge, requestStructure } from './request-mutants.ts';

const structure = requestStructure(honestRequestJudge);
const SEED = 'requests 1';
let report: MutationReport | null = null;
const reported = (): MutationReport => {
  report ??= runMutations(structure, SEED, isLong ? 12_000 : 600);
  return report;
};

test('the honest requests prove their key, and the second judge agrees', () => {
  for (const bytes of HONEST) {
    const mutant = { what: 'nothing', signedAnew: false, bytes: [bytes] };
    assert.equal(structure.judge(mutant), 'proven');
    assert.equal(structure.objection(mutant, 'proven'), null);
  }
});

test(
  '[5.6 parser differences] bent requests: read or refused with a reason, none believed unsigned, none beyond the work limit',
  LONG,
  (t) => {
    assertSound(t, reported());
  },
);

test(
  '[5.6 parser differences] OpenSSL verifies every bent request that we believe',
  { ...LONG, skip: opensslAbsent },
  (t) =>
    inDirectory((dir) => {
      const asked = reported().believed.slice(0, isLong ? 400 : 40);
      const open = asked.flatMap(({ finding, number, mutant }) => {
        writeFileSync(join(dir, 'request.der'), mutant.bytes[0]!);
        const { status, stderr } = runOpenssl(dir, 'req', '-in', 'request.der', '-inform', 'DER', '-verify', '-noout');
        if (status === 0 && /verify OK/.test(stderr)) return [];
        // A name whose value is no string names nobody here; the operator has to give one.
        if (finding === 'proven, without a name' && /Field=subject/.test(stderr)) return [];
        return [`${stderr.trim()}: case ${number}, ${mutant.what}, ${toHex(mutant.bytes[0]!)}`];
      });
      t.diagnostic(`${asked.length} asked, ${open.length} refused by OpenSSL`);
      assert.equal(open.length, 0, open.slice(0, 5).join('\n'));
    }),
);

/** Each skips one check, as a careless change could; the run has to notice. */
const CARELESS: Readonly<Record<string, readonly [Offence, RequestJudge]>> = {
  'signatures are not checked': [
    'believed without signature',
    {
      ...honestRequestJudge,
      check: (_, request) => honestRequestJudge.check({ ...crypto, verify: () => true }, request),
    },
  ],
  'any key may have signed': [
    'second judge objects',
    {
      ...honestRequestJudge,
      check: (own, request) => {
        const verify: typeof own.verify = (algorithm, _, ...rest) => own.verify(algorithm, signer, ...rest);
        return honestRequestJudge.check({ ...own, verify }, request);
      },
    },
  ],
  'bytes behind the end are passed over': [
    'believed without signature',
    { ...honestRequestJudge, read: (bytes) => honestRequestJudge.read(firstOf(bytes)) },
  ],
  'the reader throws': [
    'threw',
    {
      ...honestRequestJudge,
      read: (bytes) => {
        if (honestRequestJudge.read(bytes)?.wishes.keyUsage === null) throw new TypeError('no wishes');
        return honestRequestJudge.read(bytes);
      },
    },
  ],
};
const signer = crypto.publicKey(honestRequestJudge.read(HONEST[0]!)!.spki)!;

for (const [what, [offence, judge]] of Object.entries(CARELESS)) {
  test(`the run catches a judge of requests so careless that ${what}`, (t) => {
    const { caught } = runMutations(requestStructure(judge), SEED, 300);
    const count = caught.filter((one) => one.offence === offence).length;
    t.diagnostic(`${what}: ${count} cases, ${offence}`);
    assert.ok(count > 0);
  });
}
