/**
 * What revocation lists say together: RFC 5280 §6.3 beyond PKITS, and never more than they say.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ParsedCertificate, ParsedCrl } from '../../protocol/certificate.ts';
import { findPath } from '../../protocol/path-building.ts';
import { type PathFinding, type PathQuestion, validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import * as H from '../hand-made.ts';
import { AT, crypto, DAY } from '../test-authority.ts';

const R = H.maker('Root');
const A = H.maker('A');
const EE = H.maker('EE');
const anchor = H.authorityCertificate(R, R);
const a = H.authorityCertificate(A, R, { serial: [2] });
const leafWith = (...extensions: readonly Uint8Array[]): ParsedCertificate =>
  H.certificate(EE, A, { serial: [3], extensions });
const leaf = leafWith();
const rootList = H.list(R);
const named: H.Entry = { serial: [3] };
const withReason = (code: number): H.Entry => ({ serial: [3], extensions: [H.reason(code)] });
const { hold, keyCompromise, removeFromCrl } = H.REASON;

interface Wishes extends Partial<PathQuestion> {
  readonly signers?: readonly ParsedCertificate[];
}

function find(lists: readonly ParsedCrl[], { signers = [], ...rest }: Wishes = {}): PathFinding {
  const revocation = crlSet([rootList, ...lists], signers);
  return validatePath({ crypto, chain: [leaf, a], anchors: [anchor], at: AT, purpose: 'any', revocation, ...rest });
}

/** The same for every order of the lists. */
function judge(lists: readonly ParsedCrl[], wishes: Wishes = {}): string {
  const outcomes = [lists, lists.toReversed()].map((order) => {
    const found = find(order, wishes);
    return found.ok ? 'good' : found.reason;
  });
  assert.equal(outcomes[0], outcomes[1], 'the order of the lists matters');
  return outcomes[0]!;
}

const under = (leafCertificate: ParsedCertificate): Wishes => ({ chain: [leafCertificate, a] });

// ── never open ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('whom a list of its issuer names is out, though another list clears it or the list cannot be judged', () => {
  const clears = H.list(A, [], { number: 9 });
  assert.equal(judge([clears]), 'good');
  const spoilt: readonly (readonly [string, H.ListWishes])[] = [
    ['an older list', { number: 1 }],
    ['out of date', { to: H.utcTime(AT - 1) }],
    ['from the future', { from: AT + 10 }],
    ['an unknown critical extension', { extensions: [H.unknownCritical] }],
    ['for other reasons', { scope: { reasons: [1] } }],
    ['for CAs alone', { scope: { only: 'ca' } }],
    ['kept elsewhere', { scope: { at: { full: [H.directory(H.under('elsewhere'))] } } }],
    ['a delta that fits nothing', { number: 50, extensions: [H.deltaOf(49)] }],
  ];
  for (const [what, wishes] of spoilt) {
    assert.equal(judge([clears, H.list(A, [named], wishes)]), 'revoked', what);
    assert.notEqual(judge([H.list(A, [], wishes)]), what === 'an older list' ? 'revoked' : 'good', what);
  }
});

test('a list with a critical extension that is not obeyed clears nobody; of an entry likewise', () => {
  assert.equal(judge([H.list(A, [], { extensions: [H.unknownCritical] })]), 'revocation-unknown');
  const other: H.Entry = { serial: [77], extensions: [H.unknownCritical] };
  assert.equal(judge([H.list(A, [other])]), 'revocation-unknown');
});

test('RFC 5280 §5.3.3: another issuer’s entry in a list that is not indirect makes the list useless', () => {
  const foreign: H.Entry = { serial: [3], extensions: [H.certificateIssuer(R.name)] };
  assert.equal(judge([H.list(A, [foreign])]), 'revocation-unknown');
});

test('a list without a date for the next one clears nobody', () => {
  const short = H.list(A);
  assert.equal(judge([{ ...short, nextUpdate: null }]), 'revocation-unknown');
});

// ── holds and deltas ────────────────────────────────────────────────────────────────────────────────────────────────

test('RFC 5280 §5.3.1: a hold counts while it lasts, and ends with a newer list of the same scope', () => {
  const held = H.list(A, [withReason(hold)], { number: 4 });
  assert.equal(judge([held]), 'revoked');
  assert.equal(judge([held, H.list(A, [], { number: 5 })]), 'good');
  assert.equal(judge([held, H.list(A, [], { number: 3 })]), 'revoked', 'an older list ends nothing');
  assert.equal(judge([held, H.list(A, [], { number: 5, to: H.utcTime(AT - 1) })]), 'revoked', 'nor one out of date');
  assert.equal(judge([held, H.list(A, [], { number: 5, scope: { only: 'user' } })]), 'revoked', 'nor another scope');
  const dead = H.list(A, [withReason(keyCompromise)], { number: 4 });
  assert.equal(judge([dead, H.list(A, [], { number: 5 })]), 'revoked', 'what is no hold never ends');
});

const delta = (entries: readonly H.Entry[], number: number, base: number, wishes: H.ListWishes = {}): ParsedCrl =>
  H.list(A, entries, { number, ...wishes, extensions: [H.deltaOf(base), ...(wishes.extensions ?? [])] });

test('RFC 5280 §5.2.4: a delta is applied to a list of its scope whose number lies between base and delta', () => {
  const held = (number: number, wishes: H.ListWishes = {}): ParsedCrl =>
    H.list(A, [withReason(hold)], { number, ...wishes });
  const removed = [withReason(removeFromCrl)];
  assert.equal(judge([held(4), delta(removed, 6, 4)]), 'good');
  assert.equal(judge([held(5), delta(removed, 6, 4)]), 'good');
  assert.equal(judge([held(3), delta(removed, 6, 4)]), 'revoked', 'base too old');
  assert.equal(judge([held(6), delta(removed, 6, 4)]), 'revoked', 'base as new as the delta');
  assert.equal(judge([held(4), delta(removed, 6, 4, { scope: { only: 'user' } })]), 'revoked', 'another scope');
  assert.equal(judge([held(4), delta(removed, 6, 4, { to: H.utcTime(AT - 1) })]), 'revoked', 'delta out of date');
  assert.equal(judge([held(4), delta(removed, 6, 4, { corrupt: true })]), 'revoked', 'delta forged');
  assert.equal(judge([held(4), delta(removed, 6, 4, { extensions: [H.unknownCritical] })]), 'revoked');
});

test('a delta alone decides nothing; it keeps a list alive that is out of date, while it is not', () => {
  const old = H.list(A, [], { number: 4, to: H.utcTime(AT - 50) });
  assert.equal(judge([delta([], 6, 4)]), 'revocation-unknown');
  assert.equal(judge([old]), 'revocation-unknown');
  assert.equal(judge([old, delta([], 6, 4)]), 'good');
  assert.equal(judge([old, delta([], 6, 5)]), 'revocation-unknown', 'it wants a newer one');
  assert.equal(judge([old, delta([], 6, 4, { to: H.utcTime(AT - 1) })]), 'revocation-unknown');
});

test('a list that complete and delta tell together holds as long as the delta', () => {
  const base = H.list(A, [], { number: 4, to: H.utcTime(AT + DAY) });
  const found = find([base, delta([], 6, 4, { to: H.utcTime(AT + 60) })]);
  assert.equal(found.ok && found.validUntil, AT + 60);
});

// ── several lists ───────────────────────────────────────────────────────────────────────────────────────────────────

test('RFC 5280 §6.3.3 (d): reasons add up over lists, the list that ends first says until when', () => {
  const half = (reasons: readonly number[], to: number): ParsedCrl =>
    H.list(A, [], { scope: { reasons }, to: H.utcTime(to) });
  const [first, second] = [half([1, 2, 3, 4], AT + 500), half([5, 6, 7, 8], AT + 90)];
  assert.equal(judge([first]), 'revocation-unknown');
  assert.equal(judge([first, first]), 'revocation-unknown');
  assert.equal(judge([first, second]), 'good');
  const found = find([first, second]);
  assert.equal(found.ok && found.validUntil, AT + 90);
  const both = find([first, second, H.list(A, [], { to: H.utcTime(AT + 200) })]);
  assert.equal(both.ok && both.validUntil, AT + 200, 'a list for all reasons holds longer');
});

// ── who may sign ────────────────────────────────────────────────────────────────────────────────────────────────────

const S = H.maker('Signer');
const signsLists = [H.keyUsage(true, H.CRL_SIGN)];
const point = H.distributionPoints({ crlIssuer: S.name });
const delegated = H.list(S, [], { scope: { indirect: true } });
const revokedByDelegate = H.list(S, [{ serial: [3], extensions: [H.certificateIssuer(A.name)] }], {
  scope: { indirect: true },
});

test('a delegated signer counts when a CA above the certificate certified it, and not under another one', () => {
  const byRoot = H.certificate(S, R, { serial: [8], extensions: signsLists });
  const byIssuer = H.certificate(S, A, { serial: [8], extensions: signsLists });
  const wishes = under(leafWith(point));
  const own = H.list(A, [], { scope: { only: 'ca' } });
  assert.equal(judge([delegated], { ...wishes, signers: [byRoot] }), 'good');
  assert.equal(judge([revokedByDelegate], { ...wishes, signers: [byRoot] }), 'revoked');
  assert.equal(judge([delegated], wishes), 'revocation-unknown', 'nobody proves its key');
  assert.equal(judge([delegated], { ...under(leaf), signers: [byRoot] }), 'revocation-unknown', 'not designated');
  // Its own standing is told by A's list, which is missing here and there.
  assert.equal(judge([delegated, own], { ...wishes, signers: [byIssuer] }), 'revocation-unknown');
  const B = H.maker('B');
  const sibling = [H.authorityCertificate(B, R, { serial: [9] }), H.certificate(S, B, { extensions: signsLists })];
  const lists = [delegated, H.list(B)];
  assert.equal(judge(lists, { ...wishes, signers: sibling }), 'revocation-unknown', 'certified by a sibling');
});

test('a delegated signer that is revoked, expired, or may not sign lists counts for nothing', () => {
  const wishes = under(leafWith(point));
  const spoilt = [
    H.certificate(S, R, { serial: [8], extensions: [H.keyUsage(true, 0)] }),
    H.certificate(S, R, { serial: [8] }),
    H.certificate(S, R, { serial: [8], extensions: signsLists, to: H.utcTime(AT - 1) }),
    H.certificate(S, R, { serial: [8], extensions: [...signsLists, H.unknownCritical] }),
    H.certificate(S, R, { serial: [8], extensions: signsLists, corrupt: true }),
  ];
  for (const signer of spoilt) assert.equal(judge([delegated], { ...wishes, signers: [signer] }), 'revocation-unknown');
  const good = H.certificate(S, R, { serial: [8], extensions: signsLists });
  const revoked = H.list(R, [{ serial: [8] }], { number: 2 });
  assert.equal(judge([delegated, revoked], { ...wishes, signers: [good] }), 'revocation-unknown');
});

test('a namesake of the issuer under another CA does not clear what the issuer certified', () => {
  const B = H.maker('B');
  const namesake = H.maker('A');
  const signers = [H.authorityCertificate(B, R, { serial: [9] }), H.authorityCertificate(namesake, B)];
  assert.equal(judge([H.list(namesake), H.list(B)], { signers }), 'revocation-unknown');
  // Certified where the issuer was, it is the issuer under another key.
  const renewed = H.authorityCertificate(namesake, R, { serial: [10] });
  assert.equal(judge([H.list(namesake)], { signers: [renewed] }), 'good');
});

test('a signer whose own standing only its own list tells counts where its certificate says so', () => {
  const wishes = under(leafWith(point));
  const told = H.certificate(S, A, { serial: [8], extensions: [...signsLists, point] });
  const untold = H.certificate(S, A, { serial: [8], extensions: signsLists });
  assert.equal(judge([delegated], { ...wishes, signers: [told] }), 'good');
  assert.equal(judge([delegated], { ...wishes, signers: [untold] }), 'revocation-unknown');
  const itself = H.list(S, [{ serial: [8], extensions: [H.certificateIssuer(A.name)] }], { scope: { indirect: true } });
  assert.equal(judge([itself], { ...wishes, signers: [told] }), 'revocation-unknown', 'its list names it');
});

test('signers that prove each other do not keep the question', () => {
  const T = H.maker('Other signer');
  const toT = H.distributionPoints({ crlIssuer: T.name });
  const signers = [
    H.certificate(S, A, { serial: [8], extensions: [...signsLists, toT] }),
    H.certificate(T, A, { serial: [9], extensions: [...signsLists, point] }),
  ];
  const lists = [delegated, H.list(T, [], { scope: { indirect: true } })];
  assert.equal(judge(lists, { ...under(leafWith(point)), signers }), 'revocation-unknown');
});

test('[5.6 malleated certificates] a certificate signed once more is as revoked, by delta and indirect list too', () => {
  // Signed once more: another hash, the same issuer, serial and key.
  const again = H.certificate(EE, A, { serial: [3] });
  assert.notDeepEqual(again.der, leaf.der);
  assert.equal(judge([H.list(A, [], { number: 4 }), delta([named], 6, 4)], under(again)), 'revoked');
  const bySerial = H.certificate(EE, A, { serial: [3], extensions: [point] });
  const signers = [H.certificate(S, R, { serial: [8], extensions: signsLists })];
  assert.equal(judge([revokedByDelegate], { ...under(bySerial), signers }), 'revoked');
  const searched = findPath({
    crypto,
    leaf: bySerial,
    intermediates: [a, ...signers],
    anchors: [anchor],
    at: AT,
    purpose: 'any',
    revocation: crlSet([rootList, revokedByDelegate]),
  });
  assert.equal(searched.ok ? 'good' : searched.reason, 'revoked');
});

// ── data out of date ────────────────────────────────────────────────────────────────────────────────────────────────

test('policy for stale data: closed by default, open for a bounded time, and it says so', () => {
  const old = H.list(A, [], { to: H.utcTime(AT - 50) });
  const revoking = H.list(A, [named], { to: H.utcTime(AT - 50) });
  const wishes = (seconds: number): Wishes => ({ staleSeconds: (top) => (top === anchor ? seconds : 0) });
  assert.equal(judge([old]), 'revocation-unknown');
  assert.equal(judge([old], wishes(49)), 'revocation-unknown');
  assert.equal(judge([revoking], wishes(60)), 'revoked');
  assert.equal(judge([], wishes(60)), 'revocation-unknown', 'no list is not an old list');
  assert.equal(
    judge([H.list(A, [], { to: H.utcTime(AT - 50), extensions: [H.unknownCritical] })], wishes(60)),
    'revocation-unknown',
  );
  const found = find([old], wishes(60));
  assert.ok(found.ok);
  assert.deepEqual(found.stale, { index: 0, since: AT - 50 });
  assert.equal(found.validUntil, EpochSeconds(AT + 10));
  const fresh = find([H.list(A)], wishes(60));
  assert.equal(fresh.ok && fresh.stale, undefined);
});
