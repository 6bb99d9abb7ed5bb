/**
 * OCSP answers bent in every way: none is believed that nobody signed, or that says something else. Requests: no exception.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ocspCodec } from '../../platform/ocsp-codec.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { createOcspResponder } from '../../verifier/ocsp-responder.ts';
import { freshNonce } from '../ocsp-forge.ts';
import { AT, device, root } from '../test-authority.ts';
import { bend } from './der-mutations.ts';
import { treeOf } from './der-tree.ts';
import { crypto, DONORS } from './mutation-house.ts';
import { assertSound, isLong, LONG, type Offence, runMutations } from './mutations.ts';
import { type AnswerJudge, answerStructure, HONEST, honestAnswerJudge } from './ocsp-mutants.ts';

const structure = answerStructure(honestAnswerJudge);
const SEED = 'answers 1';

test('the honest answers are believed, and the second judge agrees', () => {
  for (const [i, finding] of ['good', 'revoked'].entries()) {
    const mutant = { what: 'nothing', signedAnew: false, bytes: [HONEST[i]!] };
    assert.equal(structure.judge(mutant), finding);
    assert.equal(structure.objection(mutant, finding), null);
  }
});

test(
  '[5.6 parser differences] bent OCSP answers: read or refused with a reason, none believed unsigned, none beyond the work limit',
  LONG,
  (t) => {
    assertSound(t, runMutations(structure, SEED, isLong ? 24_000 : 2_000));
  },
);

/** Each skips one check, as a careless change could; the run has to notice. */
const CARELESS: Readonly<Record<string, readonly [Offence, AnswerJudge]>> = {
  'signatures are not checked': [
    'believed without signature',
    {
      ...honestAnswerJudge,
      check: (question) => honestAnswerJudge.check({ ...question, crypto: { ...crypto, verify: () => true } }),
    },
  ],
  'the nonce does not matter': [
    'second judge objects',
    {
      ...honestAnswerJudge,
      check: ({ answer, ...question }) =>
        honestAnswerJudge.check({
          ...question,
          answer: answer?.status === 'successful' ? { ...answer, nonce: question.nonce } : answer,
        }),
    },
  ],
  'all answers are about ours': [
    'second judge objects',
    {
      ...honestAnswerJudge,
      check: ({ answer, ...question }) => {
        if (answer?.status !== 'successful') return honestAnswerJudge.check({ answer, ...question });
        const certId = ours.status === 'successful' ? ours.singles[0]!.certId : answer.singles[0]!.certId;
        const singles = answer.singles.map((single) => ({ ...single, certId }));
        return honestAnswerJudge.check({ ...question, answer: { ...answer, singles } });
      },
    },
  ],
};
const ours = ocspCodec.readAnswer(HONEST[0]!)!;

for (const [what, [offence, judge]] of Object.entries(CARELESS)) {
  test(`the run catches a judge of OCSP answers so careless that ${what}`, (t) => {
    const { caught } = runMutations(answerStructure(judge), SEED, 600);
    const count = caught.filter((one) => one.offence === offence).length;
    t.diagnostic(`${what}: ${count} cases, ${offence}`);
    assert.ok(count > 0);
  });
}

test('[B6] bent OCSP requests: each is answered or refused as malformed or unauthorized', (t) => {
  const home = root();
  const signers = [{ issuer: home.certificate, certificate: home.certificate, key: home.key.key }];
  const responder = createOcspResponder({ codec: ocspCodec, signers, maxAgeSeconds: 60 }, () => ({
    status: 'unknown',
  }));
  const honest = [freshNonce(), null].map((nonce) =>
    ocspCodec.writeRequest(device(home).certificate, home.certificate, nonce, 'sha-256'),
  );
  const donors = [...DONORS, ...honest.map(treeOf)];
  const random = seededRandom('requests of OCSP 1');
  const counts = new Map<string, number>();
  for (let i = 0; i < (isLong ? 20_000 : 1_500); i++) {
    const { bytes } = bend(honest[i % 2]!, random.fork(String(i)), donors);
    const { outcome, der } = responder.answer(bytes, AT);
    assert.notEqual(ocspCodec.readAnswer(der), null);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  for (const [outcome, count] of counts) t.diagnostic(`OCSP request | ${outcome} | ${count}`);
  assert.deepEqual([...counts.keys()].sort(), ['malformedRequest', 'unauthorized', 'unknown']);
});
