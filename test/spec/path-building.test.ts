/**
 * The search for a path in a heap of certificates: RFC 4158's awkward graphs, and what it costs at most.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import { findPath, type PathSearch, type SearchFinding } from '../../protocol/path-building.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import * as H from '../hand-made.ts';
import { AT, crypto } from '../test-authority.ts';

const R = H.maker('Root');
const anchor = H.authorityCertificate(R, R);
const [A, B, C] = [H.maker('A'), H.maker('B'), H.maker('C')];
const a = H.authorityCertificate(A, R, { serial: [2] });
const b = H.authorityCertificate(B, A, { serial: [3] });
const c = H.authorityCertificate(C, B, { serial: [4] });
const EE = H.maker('EE');
const leaf = H.certificate(EE, C, { serial: [5] });

function find(intermediates: readonly ParsedCertificate[], wishes: Partial<PathSearch> = {}): SearchFinding {
  return findPath({
    crypto,
    leaf,
    intermediates,
    anchors: [anchor],
    revocation: null,
    at: AT,
    purpose: 'any',
    ...wishes,
  });
}

const outcome = (finding: SearchFinding): string => (finding.ok ? 'good' : finding.reason);

/** Strangers, doubles, the leaf, the anchor, a signer of lists. */
const junk = [
  leaf,
  anchor,
  a,
  H.certificate(H.maker('Signer'), R, { extensions: [H.keyUsage(true, H.CRL_SIGN)] }),
  ...Array.from({ length: 20 }, (_, i) => H.authorityCertificate(H.maker(`Stranger ${i}`), H.maker('Nobody'))),
];

test('RFC 4158: a path is found whatever the order of the heap and whatever else lies in it', () => {
  for (const heap of [
    [a, b, c],
    [c, a, b],
    [c, b, a, ...junk],
    [...junk, b, c, a, ...junk],
  ]) {
    const found = find(heap);
    assert.equal(outcome(found), 'good');
    assert.deepEqual(found.path, [leaf, c, b, a]);
  }
});

test('nothing that is needed may be missing, and the end of the longest path is told', () => {
  const found = find([b, c, ...junk.filter((one) => one !== a)]);
  assert.equal(outcome(found), 'unknown-issuer');
  assert.deepEqual(found.path, [leaf, c, b]);
});

test('the depth is limited: four intermediates, or fewer where asked for', () => {
  const makers = Array.from({ length: 6 }, (_, i) => H.maker(`Level ${i}`));
  const heap = makers.map((one, i) => H.authorityCertificate(one, makers[i - 1] ?? R));
  const under = (levels: number): ParsedCertificate => H.certificate(EE, makers[levels - 1]!);
  assert.equal(outcome(find(heap, { leaf: under(4) })), 'good');
  assert.equal(outcome(find(heap, { leaf: under(5) })), 'chain-too-long');
  assert.equal(outcome(find(heap, { leaf: under(5), maxDepth: 9 })), 'chain-too-long', 'the profile has the last word');
  assert.equal(outcome(find(heap, { leaf: under(2), maxDepth: 1 })), 'chain-too-long');
  assert.equal(outcome(find(heap, { leaf: H.certificate(EE, R), maxDepth: 0 })), 'good');
});

test('RFC 4158 §2.3: cross certificates, of which one leads to the anchor', () => {
  const other = H.maker('Other root');
  const dead = H.authorityCertificate(A, other, { serial: [9] });
  const expired = H.authorityCertificate(A, R, { serial: [8], to: H.utcTime(AT - 1) });
  assert.equal(outcome(find([dead, expired, a, b, c])), 'good');
  assert.equal(outcome(find([dead, expired, b, c])), 'expired');
});

test('two keys of one name: key identifiers say where to look first, and are no reason to refuse', () => {
  const twin = H.maker('C');
  const twinCertificate = H.authorityCertificate(twin, B, { serial: [40] });
  const before = crypto.counter.verify;
  assert.equal(outcome(find([a, b, twinCertificate, c])), 'good');
  assert.equal(crypto.counter.verify - before, 4, 'the twin is not tried');
  // A leaf whose key identifier points at the twin, though the other key signed it.
  const misled = H.certificate(EE, { name: C.name, key: C.key, idOf: twin.key }, { serial: [41] });
  assert.equal(outcome(find([a, b, twinCertificate, c], { leaf: misled })), 'good');
});

test('CAs that certify each other in a ring do not keep the search', () => {
  const ring = [H.authorityCertificate(A, C), H.authorityCertificate(A, B), H.authorityCertificate(C, A)];
  assert.equal(outcome(find([...ring, b, c])), 'unknown-issuer');
  assert.equal(outcome(find([...ring, a, b, c])), 'good');
});

test('self-issued certificates: a key that was rolled over twice', () => {
  const [second, third] = [H.maker('A'), H.maker('A')];
  const heap = [a, H.authorityCertificate(second, A), H.authorityCertificate(third, second)];
  assert.equal(outcome(find(heap, { leaf: H.certificate(EE, third) })), 'good');
});

test('two anchors of one name, and an anchor that was certified by another one', () => {
  const renewed = H.maker('Root');
  const renewedAnchor = H.authorityCertificate(renewed, renewed);
  const under = H.authorityCertificate(A, renewed, { serial: [20] });
  const anchors = [anchor, renewedAnchor];
  assert.equal(outcome(find([under, b, c], { anchors })), 'good');
  const cross = H.authorityCertificate(renewed, R, { serial: [21] });
  assert.equal(outcome(find([under, b, c])), 'bad-signature');
  assert.equal(outcome(find([under, b, c, cross], { maxDepth: 4 })), 'good');
});

test('the fault that tells most is told: a bad signature behind expired and unknown ones', () => {
  const forged = H.certificate(EE, C, { corrupt: true });
  assert.equal(outcome(find([a, b, c], { leaf: forged })), 'bad-signature');
  const old = H.certificate(EE, C, { to: H.utcTime(AT - 1) });
  assert.equal(outcome(find([a, b, c], { leaf: old })), 'expired');
  assert.equal(outcome(find([a, b, c], { leaf: anchor })), 'not-a-leaf');
});

test('a revoked CA is out on its path; another certificate of the same CA may do', () => {
  const again = H.authorityCertificate(A, R, { serial: [30] });
  const lists = [H.list(R, [{ serial: [2] }]), H.list(A), H.list(B), H.list(C)];
  const revocation = crlSet(lists);
  assert.equal(outcome(find([a, b, c], { revocation })), 'revoked');
  assert.equal(outcome(find([a, again, b, c], { revocation })), 'good');
});

test('[5.6 malleated certificates] a revoked key is out whatever certifies it, wherever in the path', () => {
  const again = H.authorityCertificate(A, R, { serial: [30] });
  for (const one of [EE, A, R]) {
    const revokedKeys = new Set([toHex(crypto.hash('sha-256', one.key.publicSpki))]);
    assert.equal(outcome(find([a, again, b, c], { revokedKeys })), 'revoked');
  }
});

// ── work limits ─────────────────────────────────────────────────────────────────────────────────────────────────────

test('at most 100 signature checks: namesakes of the issuer beyond that are not tried', () => {
  // Without key identifiers nothing says which is the right one.
  const namesakes = Array.from({ length: 150 }, (_, i) => H.authorityCertificate(H.maker('C'), B, { serial: [50, i] }));
  const before = crypto.counter.verify;
  assert.equal(outcome(find(namesakes)), 'work-limit');
  assert.ok(crypto.counter.verify - before <= 100);
});

test('cross certificates in layers, a path for each choice: the search ends', () => {
  const layers = [0, 1, 2, 3].map((i) => Array.from({ length: 4 }, () => H.maker(`Layer ${i}`)));
  const heap = layers.flatMap((layer, i) =>
    layer.flatMap((one) => (layers[i + 1] ?? []).map((above) => H.authorityCertificate(one, above))),
  );
  const under = H.certificate(EE, layers[0]![0]!);
  assert.equal(outcome(find(heap, { leaf: under })), 'unknown-issuer');
  const before = crypto.counter.verify;
  find(heap, { leaf: under });
  assert.ok(crypto.counter.verify - before <= 100);
});
