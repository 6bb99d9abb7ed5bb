/**
 * Revocation lists and distribution points out of DER: every field of RFC 5280 §4.2.1.13 and §5, and what is none.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParsedCrl } from '../../protocol/certificate.ts';
import * as H from '../hand-made.ts';
import { AT, DAY } from '../test-authority.ts';
import { der, oid, sequence, TAG } from '../test-der.ts';

const A = H.maker('A');
const B = H.maker('B');
const point = dnOf('point');

function dnOf(text: string): Uint8Array {
  return H.under(text);
}

const reads = (make: () => ParsedCrl): boolean => {
  try {
    make();
    return true;
  } catch (error) {
    assert.match(String(error), /cannot be read/);
    return false;
  }
};
const context = (number: number, ...content: readonly Uint8Array[]): Uint8Array => der(0x80 | number, ...content);
const scoped =
  (...members: readonly Uint8Array[]): (() => ParsedCrl) =>
  () =>
    H.list(A, [], { extensions: [H.extension('2.5.29.28', true, sequence(...members))] });
const TRUE = Uint8Array.of(0xff);

test('RFC 5280 §5.2: number, key identifier, scope and delta base of a list', () => {
  const scope = { at: { full: [H.directory(point)] }, only: 'user', reasons: [1, 6], indirect: true } as const;
  const crl = H.list(A, [], { number: 7, scope, extensions: [H.deltaOf(5)] });
  assert.deepEqual([crl.number, crl.deltaBase, crl.authorityKeyId?.length], [7n, 5n, 20]);
  assert.deepEqual([crl.scope?.only, crl.scope?.reasons, crl.scope?.indirect], ['user', 0b100_0010, true]);
  assert.deepEqual(crl.unknownCritical, []);
  const name = crl.scope?.name;
  assert.ok(name !== null && name !== undefined && 'directories' in name);
  assert.deepEqual(name.directories[0]?.der, point);
});

test('RFC 5280 §5.3: reasons, and whose certificate an entry names', () => {
  const crl = H.list(
    A,
    [
      { serial: [1] },
      { serial: [2], extensions: [H.reason(H.REASON.hold)] },
      { serial: [3], extensions: [H.reason(7)] },
      { serial: [4], extensions: [H.certificateIssuer(B.name), H.reason(1)] },
      { serial: [5], extensions: [H.extension('2.5.29.24', false, H.generalizedTime(AT - DAY))] },
      { serial: [6], extensions: [H.certificateIssuer(A.name)] },
    ],
    { scope: { indirect: true } },
  );
  const groups = crl.revoked.map(({ issuer, entries }) => [issuer.commonName, [...entries]]);
  const [own, other] = [
    [
      ['01', 'unspecified'],
      ['02', 'certificateHold'],
      ['03', 'unspecified'],
      ['06', 'unspecified'],
    ],
    [
      ['04', 'keyCompromise'],
      ['05', 'unspecified'],
    ],
  ];
  assert.deepEqual(groups, [
    ['A', own],
    ['B', other],
  ]);
  assert.deepEqual(crl.unknownCritical, []);
});

test('of two entries for one serial the one counts that can less be taken back, whatever their order', () => {
  const codes = [H.REASON.removeFromCrl, H.REASON.hold, H.REASON.keyCompromise];
  for (const order of [codes, codes.toReversed()]) {
    const crl = H.list(
      A,
      order.map((code) => ({ serial: [1], extensions: [H.reason(code)] })),
    );
    assert.equal(crl.revoked[0]?.entries.get('01'), 'keyCompromise');
  }
});

test('RFC 5280 §4.2.1.13: distribution points of a certificate', () => {
  const { extensions } = H.certificate(H.maker('EE'), A, {
    extensions: [
      H.distributionPoints(
        { at: { full: [H.uri('http://x.example/a.crl'), H.directory(point)] }, reasons: [1] },
        { at: { relative: H.rdn(['CN', 'B crl']) }, crlIssuer: B.name },
      ),
    ],
  });
  const [first, second] = extensions.distributionPoints ?? [];
  assert.ok(first?.name !== null && first?.name !== undefined && 'others' in first.name);
  assert.deepEqual([first.name.others.length, first.name.directories.length, first.reasons], [1, 1, 2]);
  assert.deepEqual(second?.name, { relative: '2.5.4.3="b crl"' });
  assert.deepEqual(second?.crlIssuer?.[0]?.der, B.name);
});

test('what is no scope, no delta and no entry makes the list unreadable', () => {
  const [user, ca] = [context(1, TRUE), context(2, TRUE)];
  assert.ok(reads(scoped(user)));
  const wrong: Readonly<Record<string, () => ParsedCrl>> = {
    'for users and for CAs alone': scoped(user, ca),
    'members in another order': scoped(context(4, TRUE), user),
    'a default that is spelled out': scoped(context(1, Uint8Array.of(0))),
    'no boolean': scoped(context(1, Uint8Array.of(1))),
    'a place without a name': scoped(der(0xa0)),
    'a place with two names': scoped(der(0xa0, der(0xa0, H.uri('http://a')), der(0xa0, H.uri('http://b')))),
    'a place of no general name': scoped(der(0xa0, der(0xa0, der(TAG.null)))),
    'reasons with a tail of zeroes': scoped(context(3, Uint8Array.of(0, 0))),
    'a member too many': scoped(context(6, TRUE)),
    'a negative delta base': () =>
      H.list(A, [], { extensions: [H.extension('2.5.29.27', true, der(TAG.integer, Uint8Array.of(0x80)))] }),
    'two deltas': () => H.list(A, [], { extensions: [H.deltaOf(1), H.deltaOf(2)] }),
    'a reason of two bytes': () =>
      H.list(A, [{ serial: [1], extensions: [H.extension('2.5.29.21', false, der(0x0a, Uint8Array.of(1, 1)))] }]),
    'a reason twice': () => H.list(A, [{ serial: [1], extensions: [H.reason(1), H.reason(2)] }]),
    'an issuer of an entry that is no directory': () =>
      H.list(A, [{ serial: [1], extensions: [H.extension('2.5.29.29', true, sequence(H.dns('a.example')))] }], {
        scope: { indirect: true },
      }),
    'an entry’s extension without a value': () =>
      H.list(A, [{ serial: [1], extensions: [sequence(oid('2.5.29.21'))] }]),
  };
  for (const [what, make] of Object.entries(wrong)) assert.equal(reads(make), false, what);
});

test('an indirect list speaks about 1,000 issuers at most: each is a name to be read', () => {
  const entries = (count: number): H.Entry[] =>
    Array.from({ length: count }, (_, i) => ({ serial: [1], extensions: [H.certificateIssuer(dnOf(`Issuer ${i}`))] }));
  const scope = { indirect: true };
  assert.equal(H.list(A, entries(1000), { scope }).revoked.length, 1001);
  assert.equal(
    reads(() => H.list(A, entries(1001), { scope })),
    false,
  );
});
