/**
 * The promise that no chain and no set of lists costs more than 50 ms of CPU: the worst ones that we could think of. Each
 * is judged several times; the cheapest run counts, since what the machine does beside is not the question's cost.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParsedCertificate, ParsedCrl } from '../../protocol/certificate.ts';
import { findPath } from '../../protocol/path-building.ts';
import { type PathFinding, validatePath } from '../../protocol/path-validation.ts';
import type { RevocationSource } from '../../protocol/revocation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import * as H from '../hand-made.ts';
import { AT, CA_WISHES, ca, certify, crypto, device, root } from '../test-authority.ts';

/** Twice the promise: machines differ, and a run never takes less than it needs. */
const MAX_CPU_MS = 100;
const RUNS = 5;

const R = H.maker('Root');
const anchor = H.authorityCertificate(R, R);
const A = H.maker('A');
const a = H.authorityCertificate(A, R, { serial: [2] });
const leaf = H.certificate(H.maker('EE'), A, { serial: [3] });
const common = { crypto, at: AT, purpose: 'any', anchors: [anchor], revocation: null } as const;
const rootList = H.list(R);

const many = <T>(count: number, make: (i: number) => T): T[] => Array.from({ length: count }, (_, i) => make(i));
const search = (
  given: ParsedCertificate,
  heap: readonly ParsedCertificate[],
  revocation: RevocationSource | null = null,
) => findPath({ ...common, leaf: given, intermediates: heap, revocation });
const judge = (lists: readonly ParsedCrl[], given = leaf): PathFinding =>
  validatePath({ ...common, chain: [given, a], revocation: crlSet([rootList, ...lists]) });

/** Layers of namesakes, each certified by each of the layer above. */
function mesh(width: number, depth: number, top: H.Maker, extensions: readonly Uint8Array[]): ParsedCertificate[] {
  const layers = many(depth, (i) => many(width, () => H.maker(`Layer ${i}`)));
  const heap = layers.flatMap((layer, i) =>
    layer.flatMap((one) => (layers[i + 1] ?? [top]).map((above) => H.authorityCertificate(one, above, { extensions }))),
  );
  const names = many(40, (i) => H.dns(`m${i}.example`));
  // The last name is wrong: every path fails, and the next one is tried.
  const last = H.alternativeNames(...names, H.dns('n1.example.test'));
  return [H.certificate(H.maker('EE'), layers[0]![0]!, { extensions: [last] }), ...heap];
}

/** The same without key identifiers that fit: nothing says which namesake is the right one. */
function namesakes(
  algorithm: 'p256' | 'p384',
  count: number,
): readonly [ParsedCertificate, readonly ParsedCertificate[]] {
  const top = root('Root of many');
  const right = ca(top, 'Many', { algorithm });
  const heap = many(count, () => certify('Many', { ...CA_WISHES, algorithm }, top).certificate);
  return [device(right).certificate, heap];
}

const subtrees = H.nameConstraints({ excluded: many(90, (i) => H.dns(`n${i}.example.test`)) });
const [meshLeaf, ...meshHeap] = mesh(4, 4, H.maker('Nobody'), []);
const [strictLeaf, ...strictHeap] = mesh(4, 4, R, [subtrees]);
const [manyLeaf, manyHeap] = namesakes('p384', 80);

const B = H.maker('B');
const wide = [
  H.authorityCertificate(B, R, {
    extensions: [H.nameConstraints({ excluded: many(140, (i) => H.dns(`n${i}.example.test`)) })],
  }),
];
const wideLeaf = H.certificate(H.maker('EE'), B, {
  extensions: [H.alternativeNames(...many(138, (i) => H.dns(`m${i}.example`)))],
});
const scattered = H.distributionPoints(...many(60, (i) => ({ at: { full: [H.uri(`http://x/${i}`)] }, reasons: [1] })));
const scatteredLeaf = H.certificate(H.maker('EE'), A, { serial: [3], extensions: [scattered] });
const forged = many(120, (i) => H.list(A, [], { number: i + 1, corrupt: true }));
const held = many(120, (i) => H.list(A, [{ serial: [3], extensions: [H.reason(H.REASON.hold)] }], { number: i + 1 }));
const placed = H.list(A, [], { scope: { at: { full: [H.uri('http://x/y')] } } });
const partitions = many(5000, () => ({ ...placed }));
const signers = many(60, (i) => H.maker(`Signer ${i % 2}`));
const toSigners = H.distributionPoints(...[0, 1].map((i) => ({ crlIssuer: H.under(`Signer ${i}`) })));
const signed = [H.keyUsage(true, H.KEY_CERT_SIGN, H.CRL_SIGN), H.basicConstraints(true), toSigners];
const ring = signers.map((one, i) => H.certificate(one, signers[(i + 1) % signers.length]!, { extensions: signed }));
const ringLists = signers.map((one) => H.list(one, [], { scope: { indirect: true } }));
const ringLeaf = H.certificate(H.maker('EE'), A, { serial: [3], extensions: [toSigners] });

const CASES: readonly (readonly [what: string, run: () => PathFinding])[] = [
  ['80 namesakes of the issuer on P-384', () => search(manyLeaf, manyHeap)],
  ['cross certificates in 4 layers of 4', () => search(meshLeaf!, meshHeap)],
  ['the same under name constraints', () => search(strictLeaf!, strictHeap)],
  ['138 names under 140 subtrees', () => validatePath({ ...common, chain: [wideLeaf, ...wide] })],
  ['60 distribution points, 5,000 partitioned lists', () => judge(partitions, scatteredLeaf)],
  ['120 forged lists', () => judge(forged)],
  ['120 lists that hold it', () => judge(held)],
  [
    '60 signers of lists that certify each other',
    () => search(ringLeaf, [a, ...ring], crlSet([rootList, ...ringLists])),
  ],
];

/** CPU milliseconds of the cheapest run. */
function costOf(run: () => PathFinding): { readonly ms: number; readonly finding: PathFinding } {
  let ms = Number.POSITIVE_INFINITY;
  let finding = run();
  for (let i = 0; i < RUNS; i++) {
    const before = process.cpuUsage();
    finding = run();
    const { user, system } = process.cpuUsage(before);
    ms = Math.min(ms, (user + system) / 1000);
  }
  return { ms, finding };
}

for (const [what, run] of CASES) {
  test(`[P3] [P4] a question costs at most 50 ms of CPU: ${what}`, (t) => {
    const { ms, finding } = costOf(run);
    t.diagnostic(`${ms.toFixed(1)} ms of CPU: ${finding.ok ? 'good' : `${finding.reason}, ${finding.detail}`}`);
    assert.ok(ms < MAX_CPU_MS, `${ms} ms`);
  });
}

test('the measure sees what costs too much', () => {
  const slow = (): PathFinding => {
    for (let i = 0; i < 400; i++) search(leaf, [a]);
    return search(leaf, [a]);
  };
  const { ms } = costOf(slow);
  assert.ok(ms > MAX_CPU_MS / 4, `${ms} ms`);
});
