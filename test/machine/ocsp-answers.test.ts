/**
 * OCSP as a source for a machine that does not wait: what it lacks it notes, and what was fetched it holds for its time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ocspCodec as codec } from '../../platform/ocsp-codec.ts';
import { equal } from '../../protocol/bytes.ts';
import type { Revocation } from '../../protocol/revocation.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { type OcspSource, ocspSource } from '../../verifier/ocsp-answers.ts';
import { type AnswerWishes, certId, forgeAnswer, freshNonce } from '../ocsp-forge.ts';
import { AT, certify, crypto, DAY, device, type Holder, OCSP_WISHES, root } from '../test-authority.ts';

const home = root('Home');
const stranger = root('Home'); // of the same name, with another key
const homeKey = crypto.publicKey(home.certificate.spki)!;
const leaf = device(home);
const delegate = certify('ocsp', OCSP_WISHES, home);
const UNTIL = EpochSeconds(AT + 600);

const source = (): OcspSource => ocspSource({ crypto, codec, responderOf: () => ({ nonceRequired: true }) });

const ask = (held: OcspSource, of: Holder = leaf, at: number = AT, by: Holder = home): Revocation =>
  held.status({
    crypto,
    certificate: of.certificate,
    issuer: by.certificate,
    issuerKey: by === home ? homeKey : crypto.publicKey(by.certificate.spki)!,
    candidates: [],
    at: EpochSeconds(at),
    proveListSigner: () => null,
  });

/** What the service does: fetches all that is wanted. */
function fetchAll(held: OcspSource, at: number = AT, wishes: Partial<AnswerWishes> = {}): Revocation[] {
  return held.takeWanted().map((wanted) => {
    const nonce = freshNonce();
    const singles = [{ certId: certId(home, wanted.certificate.serial), nextUpdate: at + 600, thisUpdate: at }];
    const der = forgeAnswer({ singles, signer: home, nonce, producedAt: at, ...wishes });
    return held.settle(wanted, { der, nonce }, EpochSeconds(at));
  });
}

test('[P4] nothing is known before it was asked; then until the answer ends; then since when it is old', () => {
  const held = source();
  assert.deepEqual(ask(held), { status: 'unknown', detail: 'its OCSP responder was not asked yet' });
  assert.deepEqual(fetchAll(held), [{ status: 'good', until: UNTIL }]);
  assert.deepEqual(ask(held), { status: 'good', until: UNTIL });
  assert.deepEqual(ask(held, leaf, UNTIL), { status: 'good', until: UNTIL });
  const old = ask(held, leaf, UNTIL + 1);
  assert.deepEqual(old, { status: 'unknown', detail: 'the OCSP answer is out of date', staleSince: UNTIL });
});

test('each certificate is wanted once, however often it is asked about and while it is under way', () => {
  const held = source();
  ask(held);
  ask(held);
  const [wanted, ...more] = held.takeWanted();
  assert.equal(more.length, 0);
  ask(held);
  assert.deepEqual(held.takeWanted(), []);
  held.settle(wanted!, { fault: 'the responder cannot be reached' }, AT);
  assert.deepEqual(ask(held), { status: 'unknown', detail: 'the responder cannot be reached' });
  assert.deepEqual(held.takeWanted(), []);
  ask(held, leaf, AT + 10);
  assert.equal(held.takeWanted().length, 1);
});

test('an answer in use is wanted anew at half of its time', () => {
  const held = source();
  ask(held);
  fetchAll(held);
  ask(held, leaf, AT + 299);
  assert.deepEqual(held.takeWanted(), []);
  ask(held, leaf, AT + 300);
  assert.deepEqual(fetchAll(held, AT + 300), [{ status: 'good', until: AT + 900 }]);
});

test('what is to be refreshed counts on, and is wanted when it is asked about', () => {
  const held = source();
  ask(held);
  fetchAll(held);
  held.refreshHeld();
  assert.deepEqual(held.takeWanted(), []);
  assert.equal(ask(held).status, 'good');
  assert.equal(held.takeWanted().length, 1);
});

test('[P4] whoever hinders an answer does not undo the one that is held; revoked does', () => {
  const held = source();
  ask(held);
  fetchAll(held);
  ask(held, leaf, AT + 300);
  assert.deepEqual(fetchAll(held, AT + 300, { nonce: freshNonce() }), [{ status: 'good', until: UNTIL }]);
  ask(held, leaf, AT + 400);
  const revoked = [{ certId: certId(home, leaf.certificate.serial), status: 'revoked' as const }];
  assert.deepEqual(fetchAll(held, AT + 400, { singles: revoked }), [{ status: 'revoked' }]);
  assert.deepEqual(ask(held, leaf, AT + 10_000), { status: 'revoked' });
});

test('[P4] an answer counts under the key that it was checked with: a CA of the same name has none', () => {
  const held = source();
  ask(held);
  fetchAll(held);
  const twin = { ...leaf, certificate: { ...device(stranger).certificate, serial: leaf.certificate.serial } };
  assert.equal(ask(held, twin, AT, stranger).status, 'unknown');
});

test('a CA without a responder is not asked about', () => {
  const held = ocspSource({ crypto, codec, responderOf: () => null });
  assert.deepEqual(ask(held), { status: 'unknown', detail: 'no OCSP responder of its issuer' });
  assert.deepEqual(held.takeWanted(), []);
});

test('[P4] answers of a delegate that is revoked since are asked for anew; no others are', () => {
  let isOut = false;
  const held = ocspSource({
    crypto,
    codec,
    responderOf: () => ({ nonceRequired: true }),
    isDistrusted: ({ serial }) => isOut && equal(serial, delegate.certificate.serial),
  });
  const other = device(home, 'router-2');
  ask(held);
  assert.deepEqual(fetchAll(held, AT, { signer: delegate, certificates: [delegate] }), [
    { status: 'good', until: UNTIL },
  ]);
  ask(held, other);
  fetchAll(held);
  held.dropDistrusted();
  assert.deepEqual([ask(held).status, ask(held, other).status], ['good', 'good']);
  assert.deepEqual(held.takeWanted(), []);
  isOut = true;
  held.dropDistrusted();
  assert.deepEqual([ask(held).status, ask(held, other).status], ['unknown', 'good']);
  assert.deepEqual(
    held.takeWanted().map(({ certificate }) => certificate.der),
    [leaf.certificate.der],
  );
});

test('[B6] ten thousand answers are held and a thousand wanted, no more', () => {
  const held = source();
  const serials = (i: number): Holder => ({
    ...leaf,
    certificate: { ...leaf.certificate, serial: Uint8Array.of(1, i >> 8, i & 0xff) },
  });
  for (let i = 0; i < 12_000; i++) {
    ask(held, serials(i));
    for (const wanted of held.takeWanted()) held.settle(wanted, { fault: 'no answer' }, AT);
  }
  assert.equal(held.size, 10_000);
  for (let i = 12_000; i < 13_100; i++) ask(held, serials(i));
  assert.equal(held.takeWanted().length, 1000);
});

test('[P4] an older good answer that is sent again takes no revocation back, not even when it was pushed out by others', () => {
  const held = ocspSource({ crypto, codec, responderOf: () => ({ nonceRequired: false }) });
  const give = (at: number, status: 'good' | 'revoked', made: number): Revocation | undefined => {
    ask(held, leaf, at);
    const singles = [
      { certId: certId(home, leaf.certificate.serial), status, thisUpdate: made, nextUpdate: made + DAY },
    ];
    const der = forgeAnswer({ singles, signer: home, producedAt: made });
    return held.takeWanted().map((wanted) => held.settle(wanted, { der, nonce: freshNonce() }, EpochSeconds(at)))[0];
  };
  assert.equal(give(AT, 'good', AT)?.status, 'good');
  assert.equal(give(AT + DAY / 2, 'revoked', AT + DAY / 2)?.status, 'revoked');
  assert.equal(give(AT + DAY / 2 + 400, 'good', AT)?.status, 'revoked');
  for (let i = 0; i <= 10_000; i++) {
    const serial = Uint8Array.of(1, i >> 8, i & 0xff);
    ask(held, { ...leaf, certificate: { ...leaf.certificate, serial } }, AT + DAY / 2);
    for (const wanted of held.takeWanted()) held.settle(wanted, { fault: 'no answer' }, AT);
  }
  assert.equal(give(AT + DAY / 2 + 800, 'good', AT)?.status, 'unknown');
  // a hold that ended: a newer answer says so
  assert.equal(give(AT + DAY / 2 + 1200, 'good', AT + DAY / 2 + 1100)?.status, 'good');
});
