/**
 * Certificates bent in every way, as leaf and as intermediate: none is believed that a second judge, or OpenSSL, refuses.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { equal, toHex } from '../../protocol/bytes.ts';
import { type ParsedCertificate, sameName } from '../../protocol/certificate.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { AT, inDirectory, opensslAbsent, parse } from '../test-authority.ts';
import { type CertificateJudge, certificateStructure, HONEST, honestJudge } from './certificate-mutants.ts';
import { secondsOf } from './certificate-oracle.ts';
import { firstOf, nodeAt, treeOf } from './der-tree.ts';
import { crypto, intermediateDer, rootDer } from './mutation-house.ts';
import { assertSound, isLong, LONG, type MutationReport, type Offence, runMutations } from './mutations.ts';
import { objectionsOfOpenssl } from './openssl-judge.ts';

const structure = certificateStructure(honestJudge);
const SEED = 'certificates 1';
let report: MutationReport | null = null;
const reported = (): MutationReport => {
  report ??= runMutations(structure, SEED, isLong ? 45_000 : 1_000);
  return report;
};

test('the honest chain is good, and the second judge agrees', () => {
  const mutant = { what: 'nothing', signedAnew: false, bytes: HONEST };
  assert.equal(structure.judge(mutant), 'good');
  assert.equal(structure.objection(mutant, 'good'), null);
});

test(
  '[5.6 parser differences] bent certificates: read or refused with a reason, none believed unsigned, none beyond the work limit',
  LONG,
  (t) => {
    assertSound(t, reported());
  },
);

/** Where OpenSSL goes beyond the profile, each to be seen in the bytes. */
const DIFFERENCES: readonly (readonly [RegExp, (bent: Uint8Array) => boolean])[] = [
  // The last second of a period belongs to it. [RFC 5280 §4.1.2.5]
  [/certificate has expired/, (bent) => lastSecond(bent) === AT],
  // The key identifier helps to search; a chain that comes in order is not searched. [RFC 5280 §4.2.1.1]
  [/unable to get local issuer/, namesAnotherKey],
];

test(
  '[5.6 parser differences] OpenSSL believes every bent certificate that we believe',
  { ...LONG, skip: opensslAbsent },
  (t) =>
    inDirectory((dir) => {
      const { believed } = reported();
      const bent = believed.map(({ mutant: { bytes } }) => bytes[bytes[1] === intermediateDer ? 0 : 1]!);
      const against = objectionsOfOpenssl(dir, bent).flatMap((text, i) => (text === null ? [] : [{ text, i }]));
      const open = against.filter(
        ({ text, i }) => !DIFFERENCES.some(([what, holds]) => what.test(text) && holds(bent[i]!)),
      );
      t.diagnostic(
        `${believed.length} believed, ${against.length} of them not by OpenSSL, ${open.length} without a known reason`,
      );
      assert.equal(
        open.length,
        0,
        open
          .slice(0, 5)
          .map(({ text, i }) => `${text}: case ${believed[i]!.number}, ${believed[i]!.mutant.what}, ${toHex(bent[i]!)}`)
          .join('\n'),
      );
    }),
);

/** Each skips one check, as a careless change could; the run has to notice. */
const CARELESS: Readonly<Record<string, readonly [Offence, CertificateJudge]>> = {
  'signatures are not checked': [
    'believed without signature',
    { ...honestJudge, question: { ...honestJudge.question, crypto: { ...crypto, verify: () => true } } },
  ],
  'bytes behind the end are passed over': [
    'believed without signature',
    { ...honestJudge, readCertificate: (bytes) => honestJudge.readCertificate(firstOf(bytes)) },
  ],
  'the purpose is not looked at': ['second judge objects', { ...honestJudge, question: asked({ purpose: 'any' }) }],
  'revocation is not looked at': ['second judge objects', { ...honestJudge, question: asked({ revocation: null }) }],
  'the period is not looked at': ['second judge objects', changed((one) => ({ ...one, notBefore: AT, notAfter: AT }))],
  'critical extensions are passed over': [
    'second judge objects',
    changed((one) => ({ ...one, extensions: { ...one.extensions, unknownCritical: [] } })),
  ],
  'an issuer need not be a CA': [
    'second judge objects',
    changed((one, i) => ({
      ...one,
      extensions: i === 0 ? one.extensions : { ...one.extensions, basicConstraints: { ca: true, pathLength: null } },
    })),
  ],
  'the reader throws': [
    'threw',
    {
      ...honestJudge,
      readCertificate(bytes) {
        const read = honestJudge.readCertificate(bytes);
        if (read?.extensions.subjectAltName === null) throw new TypeError('no names');
        return read;
      },
    },
  ],
  'one signature is checked again and again': [
    'too much work',
    { ...honestJudge, validate: (question) => [1, 2, 3].map(() => validatePath(question))[0]! },
  ],
};

for (const [what, [offence, judge]] of Object.entries(CARELESS)) {
  test(`the run catches a judge so careless that ${what}`, (t) => {
    const { caught } = runMutations(certificateStructure(judge), SEED, 400);
    const count = caught.filter((one) => one.offence === offence).length;
    t.diagnostic(`${what}: ${count} cases, ${offence}`);
    assert.ok(count > 0);
  });
}

function asked(other: Partial<CertificateJudge['question']>): CertificateJudge['question'] {
  return { ...honestJudge.question, ...other };
}

/** What was read is changed before it is judged. */
function changed(change: (one: ParsedCertificate, place: number) => ParsedCertificate): CertificateJudge {
  const validate: CertificateJudge['validate'] = (question) => {
    return validatePath({ ...question, chain: question.chain.map(change) });
  };
  return { ...honestJudge, validate };
}

const lastSecond = (bent: Uint8Array): number => secondsOf(nodeAt(treeOf(bent), 0, 4, 1));

function namesAnotherKey(bent: Uint8Array): boolean {
  const { issuer, extensions } = parse(bent);
  const honest = [rootDer, intermediateDer].map(parse).find(({ subject }) => sameName(subject, issuer))!;
  return extensions.authorityKeyId !== null && !equal(extensions.authorityKeyId, honest.extensions.subjectKeyId!);
}
