/**
 * The certificate that comes with an OCSP answer, bent in every way: no signer is believed that the CA did not certify for it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOcspAnswer } from '../../protocol/ocsp-check.ts';
import { crypto } from './mutation-house.ts';
import { assertSound, isLong, LONG, type Offence, runMutations } from './mutations.ts';
import { type SignerJudge, signerStructure } from './ocsp-signer-mutants.ts';

const SEED = 'signers 1';

test(
  '[5.6 parser differences] bent signers of OCSP answers: refused with a reason, none believed unsigned, none beyond the work limit',
  LONG,
  (t) => {
    assertSound(t, runMutations(signerStructure(checkOcspAnswer), SEED, isLong ? 9_000 : 500));
  },
);

/** What was read is changed before it is judged. */
const blind =
  (own: Partial<Parameters<SignerJudge>[0]>): SignerJudge =>
  (question) =>
    checkOcspAnswer({ ...question, ...own });

/** Each skips one check, as a careless change could; the run has to notice. */
const CARELESS: Readonly<Record<string, readonly [Offence, SignerJudge]>> = {
  'signatures are not checked': ['believed without signature', blind({ crypto: { ...crypto, verify: () => true } })],
  'revoked signers are believed': ['second judge objects', blind({ isDistrusted: () => false })],
  'nocheck is not looked for': [
    'second judge objects',
    ({ answer, ...question }) => {
      if (answer?.status !== 'successful') return checkOcspAnswer({ ...question, answer });
      const certificates = answer.certificates.map((one) => ({
        ...one,
        extensions: { ...one.extensions, ocspNoCheck: true },
      }));
      return checkOcspAnswer({ ...question, answer: { ...answer, certificates } });
    },
  ],
  'an unreadable signer is an exception': [
    'threw',
    (question) => {
      if (question.answer?.status === 'successful' && question.answer.certificates.length === 0)
        throw new Error('none');
      return checkOcspAnswer(question);
    },
  ],
};

for (const [what, [offence, judge]] of Object.entries(CARELESS)) {
  test(`the run catches a judge of OCSP signers so careless that ${what}`, (t) => {
    const { caught } = runMutations(signerStructure(judge), SEED, 300);
    const count = caught.filter((one) => one.offence === offence).length;
    t.diagnostic(`${what}: ${count} cases, ${offence}`);
    assert.ok(count > 0);
  });
}
