/**
 * Which revocation lists are in force: what may replace what, what is only held, and whom it all names.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParsedCertificate, ParsedCrl } from '../../protocol/certificate.ts';
import { certificateMark } from '../../protocol/revocation-mark.ts';
import { knownSigners } from '../../verifier/known-signers.ts';
import { type ListKeeping, listKeeping, type SeenList } from '../../verifier/list-keeping.ts';
import { listMarks } from '../../verifier/list-marks.ts';
import {
  authorityCertificate,
  certificateIssuer,
  deltaOf,
  list,
  type Maker,
  maker,
  REASON,
  reason,
  uri,
} from '../hand-made.ts';
import { AT, crypto } from '../test-authority.ts';

const rootMaker = maker('Root');
const caMaker = maker('Factory');
const anchor = authorityCertificate(rootMaker, rootMaker);
const middle = authorityCertificate(caMaker, rootMaker);
const entries = (...serials: readonly number[]) => serials.map((serial) => ({ serial: [serial] }));
const markOf = (issuer: ParsedCertificate, serial: number): string =>
  certificateMark(crypto, issuer.subject, Uint8Array.of(serial));

function keep(seen: readonly SeenList[] = [], intermediates: readonly ParsedCertificate[] = [middle]) {
  const signers = knownSigners(crypto, [anchor]);
  signers.prove(intermediates, AT);
  return { signers, keeping: listKeeping(crypto, signers, seen) };
}
const take = (keeping: ListKeeping, fresh: readonly ParsedCrl[], whole = false, place = 'a.crl') =>
  keeping.take(place, fresh, { at: AT, whole });

test('a newer list replaces an older one of its issuer and scope, whatever place it comes from; an older one is refused', () => {
  const { keeping } = keep();
  assert.equal(take(keeping, [list(rootMaker, entries(1), { number: 5 })]).changed, true);
  assert.match(take(keeping, [list(rootMaker, [], { number: 4 })], false, 'other.crl').fault!, /older than number 5/);
  assert.deepEqual([...keeping.marks()], [markOf(anchor, 1)]);
  const next = take(keeping, [list(rootMaker, entries(2), { number: 6 })], false, 'other.crl');
  assert.deepEqual([next.fault, next.changed, next.proven.length], [null, true, 1]);
  assert.deepEqual([...keeping.marks()], [markOf(anchor, 2)]);
});

test('the same number with other content is refused, the same list again changes nothing', () => {
  const { keeping } = keep();
  const five = list(rootMaker, entries(1), { number: 5 });
  take(keeping, [five]);
  assert.deepEqual(take(keeping, [five]), { fault: null, changed: false, proven: [] });
  assert.match(take(keeping, [list(rootMaker, [], { number: 5 })]).fault!, /has number 5 again, with other content/);
  assert.equal(keeping.marks().size, 1);
});

test('of lists without a number the later one counts', () => {
  const { keeping } = keep();
  take(keeping, [list(rootMaker, entries(1), { number: null, from: AT - 100 })]);
  assert.match(take(keeping, [list(rootMaker, [], { number: null, from: AT - 101 })]).fault!, /older than that of 20/);
  assert.equal(take(keeping, [list(rootMaker, [], { number: null, from: AT - 99 })]).fault, null);
  assert.equal(keeping.marks().size, 0);
});

test('a list from the future is refused: with it in force nothing would be known now', () => {
  const { keeping } = keep();
  assert.match(take(keeping, [list(rootMaker, [], { from: AT + 301 })]).fault!, /from the future/);
  assert.equal(take(keeping, [list(rootMaker, [], { from: AT + 299 })]).fault, null);
});

test('what was seen before a restart counts: an older list is refused, the same one taken', () => {
  const five = list(rootMaker, entries(1), { number: 5 });
  const before = keep();
  const [proven] = take(before.keeping, [five]).proven;
  const { keeping } = keep([proven!]);
  assert.match(take(keeping, [list(rootMaker, [], { number: 4 })]).fault!, /older than number 5/);
  assert.equal(take(keeping, [five]).fault, null);
  assert.equal(keeping.marks().size, 1);
});

test('a part of the certificates has numbers of its own, and so has a second key of the same name', () => {
  const { keeping, signers } = keep();
  take(keeping, [list(rootMaker, entries(1), { number: 9 })]);
  assert.equal(take(keeping, [list(rootMaker, entries(2), { number: 2, scope: { only: 'user' } })]).fault, null);
  const again: Maker = maker('Factory');
  take(keeping, [list(caMaker, entries(3), { number: 7 })]);
  signers.learn([authorityCertificate(maker('Leaf'), again), authorityCertificate(again, rootMaker)]);
  assert.equal(take(keeping, [list(again, entries(4), { number: 1 })], false, 'b.crl').fault, null);
  const named = [markOf(anchor, 1), markOf(anchor, 2), markOf(middle, 3), markOf(middle, 4)];
  assert.deepEqual([...keeping.marks()].sort(), named.sort());
});

test('a forged list is refused where an anchor has that name, and whole with all that came with it', () => {
  const { keeping } = keep();
  const forger = maker('Root');
  const both = [list(caMaker, entries(1)), list(forger, entries(2), { number: 99 })];
  assert.match(take(keeping, both).fault!, /not signed by its issuer/);
  assert.match(take(keeping, [list(rootMaker, [], { corrupt: true })]).fault!, /not signed by its issuer/);
  assert.equal(keeping.lists().length, 0);
});

test('a list of a CA that is not known is held, names nobody and hinders nobody; once the CA is known it is in force', () => {
  const { keeping, signers } = keep([], []);
  const forged = list(maker('Factory'), entries(8), { number: 100 });
  assert.equal(take(keeping, [forged], false, 'forged.crl').fault, null);
  const real = list(caMaker, entries(1), { number: 3 });
  assert.deepEqual(take(keeping, [real]), { fault: null, changed: true, proven: [] });
  assert.deepEqual([keeping.lists().length, keeping.marks().size, keeping.proven().length], [2, 0, 0]);
  assert.equal(signers.learn([authorityCertificate(maker('Leaf'), caMaker), middle, anchor]), true);
  const { changed, proven } = keeping.provenNow();
  assert.deepEqual([changed, proven.map(({ crl }) => crl === real)], [true, [true]]);
  assert.deepEqual([...keeping.marks()], [markOf(middle, 1)]);
  // the forged one with its high number has blocked nothing
  assert.equal(take(keeping, [list(caMaker, [], { number: 4 })]).fault, null);
  assert.equal(keeping.marks().size, 0);
});

test('a held list that is older than what came meanwhile is let go', () => {
  const { keeping, signers } = keep([], []);
  take(keeping, [list(caMaker, entries(1), { number: 3 })], false, 'mirror.crl');
  signers.prove([middle], AT);
  take(keeping, [list(caMaker, [], { number: 4 })]);
  assert.deepEqual(keeping.provenNow(), { changed: true, proven: [] });
  assert.equal(keeping.marks().size, 0);
  assert.equal(keeping.lists().length, 1);
});

test('a file has to hold what it held before; a URL may change', () => {
  const { keeping } = keep();
  take(keeping, [list(rootMaker), list(caMaker, entries(1))], true);
  assert.match(take(keeping, [list(rootMaker, [], { number: 2 })], true).fault!, /the list of Factory is missing/);
  assert.equal(take(keeping, [list(rootMaker, [], { number: 2 })], false).fault, null);
  assert.equal(keeping.marks().size, 1, 'what is missing is in force still');
});

test('a delta adds to what is named, takes off what its list named, and does so for that list alone', () => {
  const { keeping } = keep();
  const off = { serial: [1], extensions: [reason(REASON.removeFromCrl)] };
  const held = { serial: [1], extensions: [reason(REASON.hold)] };
  take(keeping, [list(rootMaker, [held, ...entries(2)], { number: 5 })]);
  assert.equal(keeping.marks().size, 2);
  take(keeping, [list(rootMaker, [off, ...entries(3)], { number: 6, extensions: [deltaOf(5)] })], false, 'delta.crl');
  assert.deepEqual([...keeping.marks()].sort(), [markOf(anchor, 2), markOf(anchor, 3)].sort());
  // a full list that is newer than the delta speaks for itself
  take(keeping, [list(rootMaker, [held, ...entries(2)], { number: 7 })]);
  assert.ok(keeping.marks().has(markOf(anchor, 1)));
  // and a delta to a later list takes nothing off this one
  take(keeping, [list(rootMaker, [off], { number: 9, extensions: [deltaOf(8)] })], false, 'delta.crl');
  assert.ok(keeping.marks().has(markOf(anchor, 1)));
});

test('who is under no anchor proves nothing, in whatever order intermediates are given', () => {
  const low = maker('Low');
  const lowCertificate = authorityCertificate(low, caMaker);
  const stranger = authorityCertificate(maker('Factory'), maker('Elsewhere'));
  const { signers } = keep([], []);
  assert.deepEqual(signers.prove([lowCertificate, stranger, middle], AT), [stranger]);
  assert.equal(signers.learnt.length, 2);
  assert.equal(signers.signerOf(list(low)), lowCertificate);
  assert.equal(signers.signerOf(list(low, [], { corrupt: true })), null);
  assert.equal(signers.prove([authorityCertificate(maker('X'), rootMaker)], AT).length, 0);
});

test('marks of the same certificates are the same set, and of a next edition only what is new is made', () => {
  const marksOf = listMarks(crypto, () => true);
  let made = 0;
  const hash: typeof crypto.hash = (name, data) => {
    made++;
    return crypto.hash(name, data);
  };
  const counting = listMarks({ ...crypto, hash }, () => true);
  const row = (crl: ParsedCrl) => [{ key: 'k', baseKey: 'k', crl, signer: anchor }];
  const first = marksOf(row(list(rootMaker, entries(1, 2))));
  assert.equal(marksOf(row(list(rootMaker, entries(2, 1), { number: 2 }))), first);
  assert.notEqual(marksOf(row(list(rootMaker, entries(1), { number: 3 }))), first);
  counting(row(list(rootMaker, entries(1, 2, 3))));
  assert.equal(made, 3);
  counting(row(list(rootMaker, entries(1, 2, 3, 4), { number: 2 })));
  assert.equal(made, 4);
});

test('[B6] a heap of lists under the name of a CA, signed by nobody known, is refused: each would cost every question a check', () => {
  const { keeping } = keep();
  const namesakes = (count: number) =>
    Array.from({ length: count }, (_, i) => list(maker('Factory'), [], { number: i }));
  assert.match(take(keeping, namesakes(9)).fault!, /more than 8 lists of Factory that nobody known signed/);
  assert.equal(keeping.lists().length, 0);
  assert.equal(take(keeping, namesakes(8)).fault, null);
});

test('[B6] a CA that issues ever new lists takes no place from the first list of another one', () => {
  const { keeping } = keep();
  const parts = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) =>
      list(caMaker, [], { scope: { at: { full: [uri(`http://x/${from + i}`)] } } }),
    );
  assert.equal(take(keeping, parts(0, 256)).fault, null);
  assert.match(take(keeping, parts(256, 1)).fault!, /more than 256 lists of Factory/);
  assert.equal(take(keeping, [list(rootMaker)]).fault, null);
});

test('[B6] an indirect list names nobody under another anchor, as no verdict would count it; of CAs not known yet it does', () => {
  const other = maker('Other root');
  const otherAnchor = authorityCertificate(other, other);
  const signers = knownSigners(crypto, [anchor, otherAnchor]);
  const keeping = listKeeping(crypto, signers, []);
  const indirect = (by: Maker) => {
    const named = [{ serial: [3], extensions: [certificateIssuer(caMaker.name)] }, { serial: [4] }];
    return list(by, named, { scope: { indirect: true } });
  };
  assert.equal(take(keeping, [indirect(other)]).fault, null);
  assert.ok(keeping.marks().has(markOf(middle, 3)), 'nobody knows yet whose that is');
  signers.prove([middle], AT);
  assert.equal(keeping.marks().size, 0);
  take(keeping, [indirect(rootMaker)]);
  assert.deepEqual([...keeping.marks()].sort(), [markOf(middle, 3), markOf(middle, 4)].sort());
});
