/**
 * Which OCSP answers decide, and which do not: one row for each way in which an answer can be somebody else's, of another
 * time, or signed by whoever may not. @spec RFC 6960 §3.2, §4.2.2
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ocspCodec as codec } from '../../platform/ocsp-codec.ts';
import { equal } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { checkOcspAnswer, type OcspQuestion } from '../../protocol/ocsp-check.ts';
import type { Revocation } from '../../protocol/revocation.ts';
import { type AnswerWishes, certId, forgeAnswer, freshNonce, type SingleWishes } from '../ocsp-forge.ts';
import { AT, ca, certify, crypto, DAY, device, type Holder, OCSP_WISHES, root } from '../test-authority.ts';

const issuer = root('Home');
const stranger = root('Home'); // of the same name, with another key
const renamed = root('Home of old', { key: issuer.key });
const leaf = device(issuer);
const other = device(issuer, 'router-2');
const delegate = certify('ocsp', OCSP_WISHES, issuer);
const nonce = freshNonce();

const ofLeaf: SingleWishes = { certId: certId(issuer, leaf.certificate.serial) };
const honest: AnswerWishes = { singles: [ofLeaf], signer: delegate, nonce };

function judge(wishes: Partial<AnswerWishes>, question: Partial<OcspQuestion> = {}): Revocation {
  return checkOcspAnswer({
    crypto,
    codec,
    certificate: leaf.certificate,
    issuer: issuer.certificate,
    issuerKey: crypto.publicKey(issuer.certificate.spki)!,
    at: AT,
    answer: codec.readAnswer(forgeAnswer({ ...honest, ...wishes })),
    nonce,
    nonceRequired: true,
    ...question,
  });
}

const good: Revocation = { status: 'good', until: (AT + 600) as typeof AT };

const GOOD: readonly (readonly [string, Partial<AnswerWishes>, Partial<OcspQuestion>?])[] = [
  ['of a delegate, named by its key', {}],
  ['of a delegate, named by its name', { by: 'name' }],
  ['of the issuer itself', { signer: issuer, certificates: [] }],
  ['of the issuer itself, which sends its certificate along', { signer: issuer, by: 'name' }],
  ['of an Ed25519 delegate', { signer: certify('ocsp', { ...OCSP_WISHES, algorithm: 'ed25519' }, issuer) }],
  ['of a P-384 delegate', { signer: certify('ocsp', { ...OCSP_WISHES, algorithm: 'p384' }, issuer) }],
  ['among other certificates', { certificates: [other, stranger, delegate] }],
  [
    'among the answers about others',
    { singles: [{ certId: certId(issuer, other.certificate.serial), status: 'revoked' }, ofLeaf] },
  ],
  [
    'with an archive cutoff, even a critical one',
    { extensions: [{ oid: '1.3.6.1.5.5.7.48.1.6', critical: true, value: Uint8Array.of(5, 0) }] },
  ],
  ['with an unknown extension that is not critical', { extensions: [{ oid: '1.2.3.4', value: Uint8Array.of(5, 0) }] }],
  ['a minute ahead of our clock', { producedAt: AT + 60, singles: [{ ...ofLeaf, thisUpdate: AT + 60 }] }],
  ['in its last second', {}, { at: (AT + 600) as typeof AT }],
  ['without a nonce where none is required', { nonce: undefined as never }, { nonceRequired: false }],
  ...(['sha-1', 'sha-256', 'sha-384', 'sha-512'] as const).map(
    (hash) =>
      [
        `that names its issuer by ${hash}`,
        { singles: [{ certId: certId(issuer, leaf.certificate.serial, hash) }] },
      ] as const,
  ),
];

for (const [name, wishes, question] of GOOD) {
  test(`[P4] RFC 6960: good decides: an answer ${name}`, () => assert.deepEqual(judge(wishes, question), good));
}

const bad = (name: string, wishes: Parameters<typeof certify>[1]): Partial<AnswerWishes> => ({
  signer: certify(name, { ...OCSP_WISHES, ...wishes }, issuer),
});
const UNKNOWN: readonly (readonly [string, RegExp, Partial<AnswerWishes>, Partial<OcspQuestion>?])[] = [
  ['of a device of the same CA', /may not sign answers/, { signer: other }],
  ['of a signer with any purpose', /may not sign answers/, bad('ocsp', { extendedKeyUsage: [EXTENDED_KEY_USAGE.any] })],
  ['of a delegate without nocheck', /no nocheck/, bad('ocsp', { extra: [] })],
  ['of a delegate that ran out', /not valid now/, bad('ocsp', { notAfter: AT - 1 })],
  ['of a delegate that is not valid yet', /not valid now/, bad('ocsp', { notBefore: AT + 1 })],
  ['of a delegate whose key may not sign', /key that may not sign/, bad('ocsp', { keyUsage: ['keyAgreement'] })],
  [
    'of a delegate with an unknown critical extension',
    /critical extension 1\.2\.3\.4/,
    bad('ocsp', { extra: [...OCSP_WISHES.extra!, { oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] }),
  ],
  ['of a delegate of another CA', /another CA/, { signer: certify('ocsp', OCSP_WISHES, root('Elsewhere')) }],
  ['of a delegate of a CA below', /another CA/, { signer: certify('ocsp', OCSP_WISHES, ca(issuer)) }],
  [
    'of a delegate of a CA that has our name',
    /not signed by the issuer/,
    { signer: certify('ocsp', OCSP_WISHES, stranger) },
  ],
  ['of a CA that has our name, named by name', /not signed by its issuer/, { signer: stranger, by: 'name' }],
  [
    'of a delegate that was revoked',
    /signer is revoked/,
    {},
    { isDistrusted: ({ der }) => equal(der, delegate.certificate.der) },
  ],
  ['that lacks the certificate of its signer', /lacks/, { certificates: [] }],
  [
    'signed by somebody else than it names',
    /not signed by the signer/,
    { signer: other, named: delegate, certificates: [delegate] },
  ],
  [
    'about another certificate',
    /about another certificate/,
    { singles: [{ certId: certId(issuer, other.certificate.serial) }] },
  ],
  [
    'about the same number of another CA',
    /about another certificate/,
    { singles: [{ certId: certId(stranger, leaf.certificate.serial) }] },
  ],
  [
    'about the same number under another name of the CA',
    /about another certificate/,
    { singles: [{ certId: certId(renamed, leaf.certificate.serial) }] },
  ],
  ['about nobody', /about another certificate/, { singles: [] }],
  [
    'of yesterday',
    /out of date/,
    { producedAt: AT - DAY, singles: [{ ...ofLeaf, thisUpdate: AT - DAY, nextUpdate: AT - 1 }] },
  ],
  [
    'without an end, ten minutes old',
    /out of date/,
    { singles: [{ ...ofLeaf, thisUpdate: AT - 600, nextUpdate: null }] },
  ],
  ['of tomorrow', /from the future/, { singles: [{ ...ofLeaf, thisUpdate: AT + DAY, nextUpdate: AT + 2 * DAY }] }],
  ['made tomorrow', /from the future/, { producedAt: AT + DAY }],
  ['that ends before it begins', /ends before/, { singles: [{ ...ofLeaf, thisUpdate: AT + 50, nextUpdate: AT + 20 }] }],
  ['with the nonce of another request', /nonce of another request/, { nonce: freshNonce() }],
  [
    'with the nonce of another request, where none is required',
    /nonce of another/,
    { nonce: freshNonce() },
    { nonceRequired: false },
  ],
  ['without a nonce', /has no nonce/, { nonce: undefined as never }],
  ['with a nonce that nobody sent', /nobody sent/, {}, { nonce: null }],
  [
    'with an unknown critical extension',
    /critical extension 1\.2\.3/,
    { extensions: [{ oid: '1.2.3', critical: true, value: Uint8Array.of(5, 0) }] },
  ],
  [
    'with an unknown critical extension of its single part',
    /critical extension 1\.2\.3/,
    { singles: [{ ...ofLeaf, extensions: [{ oid: '1.2.3', critical: true, value: Uint8Array.of(5, 0) }] }] },
  ],
  ['of a responder that does not know it', /does not know/, { singles: [{ ...ofLeaf, status: 'unknown' }] }],
];

for (const [name, detail, wishes, question] of UNKNOWN) {
  test(`[P4] RFC 6960: nothing is decided by an answer ${name}`, () => {
    const found = judge(wishes, question);
    assert.equal(found.status, 'unknown');
    assert.match(found.status === 'unknown' ? found.detail : '', detail);
  });
}

test('[P4] an answer that was good and is merely old says since when', () => {
  const found = judge({ singles: [{ ...ofLeaf, nextUpdate: AT - 7 }] });
  assert.deepEqual(found, { status: 'unknown', detail: 'the OCSP answer is out of date', staleSince: AT - 7 });
});

test('[P5] revoked stands: beside a good one, in an old answer, and replayed', () => {
  const revoked: SingleWishes = { ...ofLeaf, status: 'revoked' };
  for (const wishes of [
    { singles: [revoked] },
    { singles: [ofLeaf, revoked] },
    { singles: [{ ...revoked, nextUpdate: AT - DAY }] },
    { nonce: freshNonce(), singles: [revoked] },
  ]) {
    assert.deepEqual(judge(wishes), { status: 'revoked' });
  }
});

test('[P5] revoked counts from nobody but the issuer and its delegates', () => {
  assert.equal(judge({ singles: [{ ...ofLeaf, status: 'revoked' }], signer: other }).status, 'unknown');
});

test('of two good ones the one that holds longest counts', () => {
  const short: SingleWishes = { ...ofLeaf, nextUpdate: AT + 5 };
  const old: SingleWishes = { ...ofLeaf, nextUpdate: AT - 5 };
  assert.deepEqual(judge({ singles: [short, ofLeaf, old] }), good);
});

test('no answer, an error and an unreadable one decide nothing', () => {
  for (const status of ['malformedRequest', 'internalError', 'tryLater', 'sigRequired', 'unauthorized'] as const) {
    const answer = codec.readAnswer(codec.writeError(status));
    assert.deepEqual(answer, { status });
    assert.equal(judge({}, { answer }).status, 'unknown');
  }
  assert.equal(judge({}, { answer: null }).status, 'unknown');
});

test('[B6] of the signers that an answer offers, two are tried', () => {
  const twins: Holder[] = Array.from({ length: 7 }, () => certify('ocsp', OCSP_WISHES, issuer));
  const before = crypto.counter.verify;
  const found = judge({ by: 'name', certificates: [...twins, delegate] });
  assert.equal(found.status, 'unknown');
  assert.equal(crypto.counter.verify - before, 4);
});
