/**
 * Asking OCSP responders: each has its own share of what is under way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ocspCodec as codec } from '../../platform/ocsp-codec.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { ocspSource } from '../../verifier/ocsp-answers.ts';
import { type OcspPlace, placeFor, startOcspAsking } from '../../verifier/ocsp-asking.ts';
import { AT, crypto, device, type Holder, root } from '../test-authority.ts';
import { startListServer } from '../verifier-stage.ts';

test('[B6] a responder that hangs holds up nobody whose certificate another one answers for', async (t) => {
  const server = await startListServer(t);
  const [slow, swift] = [root('Slow'), root('Swift')];
  let hanging = 0;
  server.at.set('/slow', () => {
    hanging++;
  });
  server.at.set('/swift', Uint8Array.of(0x30, 0));
  const placeOf = (issuer: Holder, path: string): OcspPlace => {
    return { issuer: issuer.certificate, url: server.url(path), inside: true, nonceRequired: true };
  };
  const places = [placeOf(slow, '/slow'), placeOf(swift, '/swift')];
  const source = ocspSource({ crypto, codec, responderOf: (issuer) => placeFor(places, issuer) });
  const { promise, resolve } = Promise.withResolvers<string | null>();
  const asking = startOcspAsking(places, {
    crypto,
    codec,
    source,
    clock: { wall: () => AT },
    settled: ({ issuer }) => resolve(issuer.subject.commonName),
    observe: () => {},
  });
  t.after(() => asking.close());
  const want = (by: Holder): void => {
    source.status({
      crypto,
      certificate: device(by).certificate,
      issuer: by.certificate,
      issuerKey: crypto.publicKey(by.certificate.spki)!,
      candidates: [],
      at: EpochSeconds(AT),
      proveListSigner: () => null,
    });
    asking.begin();
  };
  for (let i = 0; i < 40; i++) want(slow);
  want(swift);
  assert.equal(await promise, 'Swift');
  assert.ok(hanging <= 16, `${hanging} at once at one responder`);
});
