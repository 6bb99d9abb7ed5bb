/**
 * The verifier as an OCSP responder, without a network: what is said of whom, what is kept, and what is refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ocspCodec as codec } from '../../platform/ocsp-codec.ts';
import { concat, toHex } from '../../protocol/bytes.ts';
import type { BasicOcspAnswer } from '../../protocol/ocsp.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import {
  createOcspResponder,
  type OcspKnowledge,
  type OcspResponder,
  type OcspSigner,
} from '../../verifier/ocsp-responder.ts';
import { certId, freshNonce } from '../ocsp-forge.ts';
import { AT, ca, certify, crypto, device, type Holder, OCSP_WISHES, root } from '../test-authority.ts';
import { der, oid, sequence } from '../test-der.ts';

const home = root('Home');
const below = ca(home, 'Below');
const leaf = device(home);
const leafBelow = device(below);
const signerOf = (issuer: Holder, who: Holder = certify('ocsp', OCSP_WISHES, issuer)): OcspSigner => ({
  issuer: issuer.certificate,
  certificate: who.certificate,
  key: who.key.key,
});

const until = EpochSeconds(AT + 1000);
const GOOD: OcspKnowledge = { status: 'good', thisUpdate: EpochSeconds(AT - 50), nextUpdate: until };

interface Rig {
  readonly responder: OcspResponder;
  /** Serial numbers looked up. */
  readonly asked: string[];
  say(knowledge: OcspKnowledge): void;
}

function rig(signers: readonly OcspSigner[] = [signerOf(home)], maxAgeSeconds = 300): Rig {
  let knowledge = GOOD;
  const asked: string[] = [];
  const responder = createOcspResponder({ codec, signers, maxAgeSeconds }, (_issuer, serial) => {
    asked.push(toHex(serial));
    return knowledge;
  });
  return {
    responder,
    asked,
    say: (next) => {
      knowledge = next;
    },
  };
}

const request = (of: Holder = leaf, by: Holder = home, nonce: Uint8Array | null = null): Uint8Array =>
  codec.writeRequest(of.certificate, by.certificate, nonce, 'sha-256');

function read(bytes: Uint8Array): BasicOcspAnswer {
  const answer = codec.readAnswer(bytes);
  assert.equal(answer?.status, 'successful');
  return answer as BasicOcspAnswer;
}

test('an answer tells what is known, holds no longer than the data, and carries the nonce', () => {
  const { responder, say } = rig();
  const nonce = freshNonce();
  const { singles, nonce: back, producedAt, certificates } = read(responder.answer(request(leaf, home, nonce), AT).der);
  assert.deepEqual(back, nonce);
  assert.equal(producedAt, AT);
  assert.equal(certificates.length, 1);
  const [single] = singles;
  assert.equal(single!.status, 'good');
  assert.deepEqual([single!.thisUpdate, single!.nextUpdate], [AT - 50, AT + 300]);
  say({ ...GOOD, nextUpdate: EpochSeconds(AT + 7) } as OcspKnowledge);
  assert.equal(read(responder.answer(request(leaf, home, nonce), AT).der).singles[0]!.nextUpdate, AT + 7);
});

test('[P4] good is not said from data that is out of date; revoked is', () => {
  const { responder, say } = rig();
  say({ ...GOOD, nextUpdate: EpochSeconds(AT - 1) } as OcspKnowledge);
  assert.equal(responder.answer(request(leaf, home, freshNonce()), AT).outcome, 'unknown');
  say({ status: 'revoked', revokedAt: AT, reason: null, thisUpdate: AT, nextUpdate: EpochSeconds(AT - 1) });
  assert.equal(responder.answer(request(leaf, home, freshNonce()), AT).outcome, 'revoked');
});

test('[P5] an answer without nonce is signed once, kept for half of its time, and dropped when something changed', () => {
  const { responder, say } = rig();
  const { sign } = crypto.counter;
  const first = responder.answer(request(), AT);
  assert.equal(responder.answer(request(), EpochSeconds(AT + 149)), first);
  assert.equal(crypto.counter.sign, sign);
  assert.notEqual(responder.answer(request(), EpochSeconds(AT + 150)), first);
  say({ status: 'revoked', revokedAt: AT, reason: 1, thisUpdate: AT, nextUpdate: until });
  assert.equal(responder.answer(request(), EpochSeconds(AT + 151)).outcome, 'good');
  responder.dropHeld();
  assert.equal(responder.answer(request(), EpochSeconds(AT + 152)).outcome, 'revoked');
});

test('an answer with a nonce is never kept, and with a clock put back neither is another', () => {
  const { responder, asked } = rig();
  const withNonce = request(leaf, home, freshNonce());
  assert.equal(responder.answer(withNonce, AT).kept, null);
  responder.answer(withNonce, AT);
  assert.equal(asked.length, 2);
  responder.answer(request(), AT);
  responder.answer(request(), EpochSeconds(AT - 10));
  assert.equal(asked.length, 4);
});

test('an answer that is kept is not given to whoever sent a nonce', () => {
  const { responder } = rig();
  responder.answer(request(), AT);
  const nonce = freshNonce();
  assert.deepEqual(read(responder.answer(request(leaf, home, nonce), AT).der).nonce, nonce);
});

test('a CA is known by its name and its key together', () => {
  const { responder } = rig();
  const renamed = root('Home of old', { key: home.key });
  assert.equal(responder.answer(request(device(renamed), renamed), AT).outcome, 'unauthorized');
});

test('with a greatest age of nothing every answer is made anew', () => {
  const { responder, asked } = rig([signerOf(home)], 0);
  for (let i = 0; i < 3; i++) responder.answer(request(), AT);
  assert.equal(asked.length, 3);
});

test('each CA has its signer; the certificate of a CA that nobody signs for is unauthorized', () => {
  const { responder } = rig([signerOf(home), signerOf(below)]);
  const ofBelow = read(responder.answer(request(leafBelow, below), AT).der);
  assert.equal(ofBelow.certificates[0]!.issuer.commonName, 'Below');
  assert.equal(read(responder.answer(request(), AT).der).certificates[0]!.issuer.commonName, 'Home');
  const stranger = root('Home');
  assert.equal(responder.answer(request(device(stranger), stranger), AT).outcome, 'unauthorized');
  assert.deepEqual(codec.readAnswer(responder.answer(request(device(stranger), stranger), AT).der), {
    status: 'unauthorized',
  });
});

const EXPLICIT_2 = 0xa2;
const list = (...certIds: readonly Uint8Array[]): Uint8Array => sequence(...certIds.map((one) => sequence(one)));
const asking = (...certIds: readonly Uint8Array[]): Uint8Array => sequence(sequence(list(...certIds)));

test('one answer speaks for one CA: what another issued is unknown in it, and not looked up', () => {
  const { responder, asked } = rig([signerOf(home), signerOf(below)]);
  const ids = [certId(home, leaf.certificate.serial), certId(below, leafBelow.certificate.serial)];
  const { singles } = read(responder.answer(asking(...ids), AT).der);
  assert.deepEqual(
    singles.map(({ status }) => status),
    ['good', 'unknown'],
  );
  assert.deepEqual(asked, [toHex(leaf.certificate.serial)]);
});

test('[B6] sixteen certificates in one request, no more; none is too few', () => {
  const { responder } = rig();
  const ids = Array.from({ length: 17 }, (_, i) => certId(home, Uint8Array.of(1, i)));
  assert.equal(read(responder.answer(asking(...ids.slice(0, 16)), AT).der).singles.length, 16);
  assert.equal(responder.answer(asking(...ids), AT).outcome, 'malformedRequest');
  assert.equal(responder.answer(asking(), AT).outcome, 'malformedRequest');
});

const withExtension = (name: string, critical: boolean, value: Uint8Array): Uint8Array => {
  const flag = critical ? [Uint8Array.of(1, 1, 0xff)] : [];
  const extension = sequence(oid(name), ...flag, der(0x04, value));
  return sequence(sequence(list(certId(home, leaf.certificate.serial)), der(EXPLICIT_2, sequence(extension))));
};
const NONCE = '1.3.6.1.5.5.7.48.1.2';

for (const [what, bytes, outcome] of [
  ['nothing', new Uint8Array(0), 'malformedRequest'],
  ['bytes behind the end', concat(request(), Uint8Array.of(0)), 'malformedRequest'],
  ['more than 4 KiB', new Uint8Array(5000), 'malformedRequest'],
  ['an unknown critical extension', withExtension('1.2.3', true, Uint8Array.of(5, 0)), 'malformedRequest'],
  ['an unknown extension', withExtension('1.2.3', false, Uint8Array.of(5, 0)), 'good'],
  ['a nonce of 1 byte', withExtension(NONCE, false, der(0x04, Uint8Array.of(1))), 'good'],
  ['a nonce of 128 bytes', withExtension(NONCE, false, der(0x04, new Uint8Array(128))), 'good'],
  ['a nonce of no byte', withExtension(NONCE, false, der(0x04)), 'malformedRequest'],
  ['a nonce of 129 bytes', withExtension(NONCE, false, der(0x04, new Uint8Array(129))), 'malformedRequest'],
  ['a nonce that is no OCTET STRING', withExtension(NONCE, false, Uint8Array.of(5, 0)), 'malformedRequest'],
  ['a serial number of 21 bytes', asking(certId(home, new Uint8Array(21).fill(1))), 'malformedRequest'],
] as const) {
  test(`[B6] RFC 6960 §4.1, RFC 9654 §2.1: a request with ${what}: ${outcome}`, () => {
    assert.equal(rig().responder.answer(bytes, AT).outcome, outcome);
  });
}

test('[B6] ten thousand answers are kept, and no more', () => {
  const { responder, asked } = rig();
  const ask = (i: number): void => {
    responder.answer(asking(certId(home, Uint8Array.of(1, i >> 8, i & 0xff))), AT);
  };
  for (let i = 0; i <= 10_000; i++) ask(i);
  ask(10_000);
  assert.equal(asked.length, 10_001);
  ask(0);
  assert.equal(asked.length, 10_002);
});
