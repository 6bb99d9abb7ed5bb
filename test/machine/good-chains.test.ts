/**
 * What the verifier remembers of chains that it found good, and when it must not use it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import type { PublicKey } from '../../protocol/crypto.ts';
import type { Revocation, RevocationSource } from '../../protocol/revocation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { keyMark } from '../../protocol/revocation-mark.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { type GoodChain, goodChains } from '../../verifier/good-chains.ts';
import { knownAuthorities } from '../../verifier/known-authorities.ts';
import type { Verifier } from '../../verifier/verifier.ts';
import { AT, ca, certify, crlOf, crypto, DAY, DEVICE_WISHES, device, root } from '../test-authority.ts';
import { anchor, ask, ders, middle, policy, reasonOf, router, start, world } from '../verifier-desk.ts';

let nonces = 0;
const nonce = (): Uint8Array => new Uint8Array(16).fill(++nonces);
/** Public-key checks that a question costs. */
function checksOf(act: () => void): number {
  const before = crypto.counter.verify;
  act();
  return crypto.counter.verify - before - 1; // one is the asker's own, of the verdict
}
const chain = ders([router, middle]);

// ── found good before ───────────────────────────────────────────────────────────────────────────────────────────────

test('a question about a chain that was found good costs no check, and its nonce is signed anew', () => {
  const verifier = start();
  assert.equal(checksOf(() => ask(verifier, { nonce: nonce() })) > 1, true);
  for (const seconds of [0, 1, 1800]) {
    const fresh = nonce();
    assert.equal(
      checksOf(() => assert.deepEqual(ask(verifier, { nonce: fresh, seconds })!.verdict.nonce, fresh)),
      0,
    );
  }
  assert.equal(verifier.counters.known, 3);
  assert.equal(ask(verifier, { seconds: 1800 })!.verdict.nonce, undefined);
  assert.deepEqual([verifier.counters.known, verifier.counters.cached], [4, 0]);
});

test('a verdict from what is remembered says what a verdict found anew says', () => {
  const [verifier, other] = [start(), start()];
  ask(verifier);
  for (const seconds of [0, 1000]) {
    const asked = { nonce: nonce(), seconds };
    assert.deepEqual(ask(verifier, asked)!.verdict, ask(other, asked)!.verdict);
    other.adopt(policy()); // forgets
  }
});

test('what is remembered is forgotten with every new policy: list, revoked key, anchors', () => {
  const revokedKeys = new Set([keyMark(crypto, router.certificate.spki)]);
  const cases = [
    ['revoked', policy([router])],
    ['revoked', policy([], { revokedKeys })],
    ['unknown-issuer', policy([], { anchors: [] })],
    ['bad-signature', policy([], { anchors: [root().certificate] })],
    ['revocation-unknown', policy([], { revocation: crlSet([]) })],
  ] as const;
  for (const [reason, next] of cases) {
    for (const withNonce of [true, false]) {
      const verifier = start();
      const asked = () => (withNonce ? { nonce: nonce() } : {});
      assert.equal(reasonOf(verifier, asked()), 'good');
      assert.equal(reasonOf(verifier, asked()), 'good');
      verifier.adopt(next);
      assert.equal(reasonOf(verifier, asked()), reason);
      verifier.adopt(policy());
      assert.equal(reasonOf(verifier, asked()), 'good');
    }
  }
});

test('a CA that is revoked takes the leaves with it, though it is known', () => {
  const verifier = start();
  assert.equal(reasonOf(verifier), 'good');
  const lists = crlSet([crlOf(anchor, [middle]), crlOf(middle, [])]);
  verifier.adopt(policy([], { revocation: lists }));
  assert.equal(reasonOf(verifier, { nonce: nonce() }), 'revoked');
});

test('nothing is remembered beyond the end of a period or of a list, and no verdict from it reaches further', () => {
  const short = device(middle, 'router-2', { notAfter: AT + 100 });
  const lists = crlSet([crlOf(anchor, [], { nextUpdate: AT + 100 }), crlOf(middle, [])]);
  const cases = [
    ['expired', start(), ders([short, middle])],
    ['revocation-unknown', start(policy([], { revocation: lists })), chain],
  ] as const;
  for (const [reason, verifier, asked] of cases) {
    const at = (seconds: number) => ask(verifier, { chain: asked, nonce: nonce(), seconds })!.verdict;
    for (const seconds of [0, 30, 50, 51, 90, 100]) {
      const { reason: found, maxAge } = at(seconds);
      assert.deepEqual([found, maxAge], ['good', Math.max(1, 100 - seconds)]);
    }
    assert.equal(at(101).reason, reason);
    assert.equal(at(100 + DAY).reason, reason === 'expired' ? reason : 'revocation-unknown');
  }
});

test('a clock that is set back does not reach what was remembered later', () => {
  const young = device(middle, 'router-2', { notBefore: AT });
  const verifier = start();
  const at = (seconds: number) => reasonOf(verifier, { chain: ders([young, middle]), nonce: nonce(), seconds });
  assert.equal(at(0), 'good');
  assert.equal(at(-1), 'not-yet-valid');
  assert.equal(at(0), 'good');
});

test('another purpose, another issuer, another leaf: each is found by itself', () => {
  const verifier = start();
  assert.equal(reasonOf(verifier), 'good');
  const namesake = ca(anchor); // another key
  const renewed = ca(anchor, 'Test CA', { key: middle.key, notAfter: AT - 1 });
  const forged = device(namesake);
  const cases = [
    ['wrong-purpose', { purpose: 'manager' as const }],
    ['bad-signature', { chain: ders([router, namesake]) }],
    ['expired', { chain: ders([router, renewed]) }],
    ['bad-signature', { chain: ders([forged, middle]) }],
    ['unknown-issuer', { chain: ders([router]) }],
    ['not-a-leaf', { chain: ders([middle]) }],
    ['malformed', { chain: [chain[0]!, chain[1]!.subarray(1)] }],
  ] as const;
  for (const [reason, asked] of cases) {
    assert.equal(reasonOf(verifier, asked), reason);
    assert.equal(reasonOf(verifier, { ...asked, nonce: nonce() }), reason);
    assert.equal(reasonOf(verifier, { nonce: nonce() }), 'good');
  }
});

// ── what is not remembered ──────────────────────────────────────────────────────────────────────────────────────────

/** A source that says of every certificate what stands in `said`. */
function changingSource(said: { now: Revocation; asked: number }): RevocationSource {
  return {
    status() {
      said.asked++;
      return said.now;
    },
  };
}

test('a bad finding is not remembered: what was missing may come at any time', () => {
  const said = { now: { status: 'unknown', detail: 'not asked yet' } as Revocation, asked: 0 };
  const verifier = start(policy([], { revocation: changingSource(said) }));
  for (const withNonce of [true, false]) {
    const asked = () => (withNonce ? { nonce: nonce() } : {});
    said.now = { status: 'unknown', detail: 'not asked yet' };
    assert.equal(reasonOf(verifier, asked()), 'revocation-unknown');
    said.now = { status: 'good', until: EpochSeconds(AT + DAY) };
    assert.equal(reasonOf(verifier, asked()), 'good');
    verifier.adopt(policy([], { revocation: changingSource(said) }));
  }
});

test('a good finding on data that is out of date is not remembered: it is told each time', () => {
  const said = { now: { status: 'unknown', detail: '', staleSince: EpochSeconds(AT - 5) } as Revocation, asked: 0 };
  const verifier = start(policy([], { revocation: changingSource(said), staleSeconds: () => 60 }));
  for (let i = 1; i <= 3; i++) {
    assert.equal(reasonOf(verifier), 'good');
    assert.equal(said.asked, 2 * i);
  }
});

test('a source is asked again when half of the time is over for which its data holds', () => {
  const said = { now: { status: 'good', until: EpochSeconds(AT + 1000) } as Revocation, asked: 0 };
  const verifier = start(policy([], { revocation: changingSource(said) }));
  for (const seconds of [0, 500]) reasonOf(verifier, { nonce: nonce(), seconds });
  assert.equal(said.asked, 2);
  said.now = { status: 'revoked' };
  assert.equal(reasonOf(verifier, { nonce: nonce(), seconds: 501 }), 'revoked');
});

test('[5.6 handshake floods] bad chains put out nothing that is good', () => {
  const verifier = start();
  assert.equal(reasonOf(verifier), 'good');
  const strange = device(ca(root('Stranger'), 'Strange CA'));
  for (let i = 0; i < 100; i++) {
    const bad = strange.certificate.der.slice();
    bad[bad.length - 1 - i]! ^= 1;
    assert.notEqual(reasonOf(verifier, { chain: [bad, chain[1]!], seconds: i }), 'good');
  }
  assert.equal(
    checksOf(() => assert.equal(reasonOf(verifier, { nonce: nonce(), seconds: 100 }), 'good')),
    0,
  );
});

test('the number of chains is bounded; what was not asked for longest goes', () => {
  const chains = goodChains();
  const one: GoodChain = {
    subject: null,
    issuerAndSerial: chain[0]!,
    leafSha256: chain[0]!,
    validUntil: AT,
    verdict: null,
  };
  for (let i = 0; i < 10_000; i++) chains.keep(`${i}`, one, AT, AT);
  assert.notEqual(chains.find('0', AT), null);
  chains.keep('10000', one, AT, AT);
  assert.deepEqual(
    ['0', '1', '2', '10000'].map((key) => chains.find(key, AT) !== null),
    [true, false, true, true],
  );
});

// ── known CAs ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('a new leaf of a known CA costs its own check and no other', () => {
  const verifier = start(policy([], { revocation: null }));
  const checks = (name: string): number => {
    const asked = { chain: ders([device(middle, name), middle]), nonce: nonce() };
    return checksOf(() => assert.equal(reasonOf(verifier, asked), 'good'));
  };
  assert.deepEqual([checks('router-2'), checks('router-3')], [2, 1]);
  verifier.adopt(policy([], { revocation: null, anchors: [anchor.certificate] }));
  assert.deepEqual([checks('router-4'), checks('router-5')], [1, 1]);
});

test('a CA that is known under one anchor is not proven under a namesake with another key', () => {
  const verifier = start();
  assert.equal(reasonOf(verifier), 'good');
  verifier.adopt(policy([], { anchors: [root().certificate] }));
  for (let i = 0; i < 2; i++) assert.equal(reasonOf(verifier), 'bad-signature');
  verifier.adopt(policy());
  assert.equal(reasonOf(verifier), 'good');
});

test('a CA’s own end is looked at though it is known; another spelling of its signature is another certificate', () => {
  const brief = ca(anchor, 'Brief CA', { notAfter: AT + 10 });
  const leaf = (name: string) => ders([certify(name, DEVICE_WISHES, brief), brief]);
  const verifier = start(policy([], { revocation: null }));
  assert.equal(reasonOf(verifier, { chain: leaf('router-2'), seconds: 10 }), 'good');
  assert.equal(reasonOf(verifier, { chain: leaf('router-3'), seconds: 11 }), 'expired');
  const [own, der] = leaf('router-4') as [Uint8Array, Uint8Array];
  const bent = der.slice();
  bent[bent.length - 1]! ^= 1;
  assert.equal(reasonOf(verifier, { chain: [own, bent], seconds: 10 }), 'bad-signature');
});

test('what is known of a CA’s signature is known of those bytes, that algorithm and that key alone', () => {
  const authorities = knownAuthorities();
  const { certificate } = middle;
  const { signature, tbs } = certificate;
  authorities.learn(crypto, [router.certificate, certificate], anchor.certificate);
  const over = authorities.over(crypto);
  const [key, other] = [anchor, middle].map((one) => crypto.publicKey(one.certificate.spki)!) as [PublicKey, PublicKey];
  const before = crypto.counter.verify;
  assert.equal(over.verify('ecdsa-sha256', key, signature, tbs, 'der'), true);
  assert.equal(crypto.counter.verify, before);
  assert.equal(over.verify('ecdsa-sha256', key, signature, router.certificate.tbs, 'der'), false);
  assert.equal(over.verify('ecdsa-sha384', key, signature, tbs, 'der'), false);
  assert.equal(over.verify('ecdsa-sha256', other, signature, tbs, 'der'), false);
  assert.equal(over.verify('ecdsa-sha256', key, signature, tbs, 'raw'), false);
});

test('only CAs of chains that were found good are kept, and so many of them', () => {
  const authorities = knownAuthorities();
  const key = generateSigningKey('p256');
  const cas = Array.from({ length: 257 }, (_, i) => ca(anchor, `CA ${i}`, { key }).certificate);
  const isKnown = (certificate: ParsedCertificate): boolean => authorities.find(crypto, certificate.der) !== null;
  const learn = (certificate: ParsedCertificate): void =>
    authorities.learn(crypto, [router.certificate, certificate], anchor.certificate);
  for (const one of cas.slice(0, 256)) learn(one);
  assert.equal(isKnown(cas[0]!), true);
  learn(cas[256]!);
  assert.deepEqual(
    [0, 1, 2, 256].map((i) => isKnown(cas[i]!)),
    [true, false, true, true],
  );
  assert.equal(isKnown(router.certificate), false);

  const verifier: Verifier = start();
  const stranger = ca(root('Stranger'));
  for (let i = 0; i < 2; i++) {
    const asked = { chain: ders([device(stranger), stranger]), nonce: nonce() };
    assert.equal(verifier.answer('x' as never, new Uint8Array(0), world()).kind, 'ignored');
    assert.equal(reasonOf(verifier, asked), 'unknown-issuer');
  }
});
