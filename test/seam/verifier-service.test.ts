/**
 * The verifier with its files on disk and its questions from a hub in memory.
 */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { openKeyStore } from '../../hardware/key-store.ts';
import { KeyStoreError } from '../../hardware/key-store-error.ts';
import { writePem } from '../../platform/certificates.ts';
import { FileFault } from '../../platform/files.ts';
import type { ParsedCrl } from '../../protocol/certificate.ts';
import { MANAGER, topicsUnder } from '../../protocol/topics.ts';
import { Millis, Topic } from '../../protocol/units.ts';
import { type VerifierConfig, verifierConfig } from '../../verifier/config.ts';
import { startVerifier } from '../../verifier/service.ts';
import { VerifierError } from '../../verifier/verifier-error.ts';
import { AT, crlOf, crypto, DAY, type Holder, root } from '../test-authority.ts';
import { anchor, houseFor, middle, own, router, startStage, writePair } from '../verifier-stage.ts';

type At = (name: string) => string;

function writeLists(at: At, number: number, revoked: readonly Holder[], rest: readonly ParsedCrl[] = []): void {
  const lists = [crlOf(anchor, [], { number }), crlOf(middle, revoked, { number }), ...rest];
  writeFileSync(at('crl.pem'), writePem('X509 CRL', ...lists.map(({ der }) => der)));
  writeFileSync(at('keys.txt'), '# none\n');
}

/** Both lists in one file. */
function house(t: TestContext) {
  const { dir, at, configWith } = houseFor(t);
  writeLists(at, 1, []);
  const config = configWith({ crlFiles: [at('crl.pem')], revokedKeysFile: at('keys.txt') });
  return { dir, at, config, crl: at('crl.pem') };
}

test('[P4] [patent 1100-1112] a question on the asker’s topic is answered on the asker’s topic, signed', async (t) => {
  const { ask, events, service } = await startStage(t, house(t).config);
  assert.equal(await ask(), 'good');
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['up', 'answered'],
  );
  assert.equal(service.counters.good, 1);
});

test('[P4] garbage on any topic leaves the verifier up', async (t) => {
  const { ask, send, service } = await startStage(t, house(t).config);
  send(topicsUnder('km1').verifierQuestion(MANAGER), new Uint8Array(300).fill(0xff));
  send(Topic('km1/v/q/%zz'), new Uint8Array(1));
  assert.equal(service.counters.garbage, 1);
  assert.equal(await ask(), 'good');
});

test('[P4] a newer list is adopted, a broken, forged or older one refused and the held one stays', async (t) => {
  const { at, config, crl } = house(t);
  const { ask, service, events } = await startStage(t, config);
  assert.equal(await ask(), 'good');
  writeLists(at, 3, [router]);
  service.reload(crl);
  assert.equal(await ask(), 'revoked');
  const refused = async (write: () => void, why: RegExp): Promise<void> => {
    write();
    service.reload(crl);
    const last = events.at(-1)!;
    assert.ok(last.kind === 'refused' && why.test(last.reason), JSON.stringify(last));
    assert.equal(await ask(), 'revoked');
  };
  await refused(() => writeLists(at, 2, []), /older than number 3/);
  await refused(() => writeFileSync(crl, 'no list'), /neither PEM nor DER/);
  await refused(
    () => writeFileSync(crl, writePem('X509 CRL', crlOf(anchor, [], { number: 4 }).der)),
    /list of Test CA is missing/,
  );
  await refused(() => writeLists(at, 4, [], [crlOf(root(), [], { number: 9 })]), /not signed by its issuer/);
  await refused(
    () => writeFileSync(crl, writePem('X509 CRL', crlOf(anchor, []).der.subarray(0, 90))),
    /neither PEM nor DER/,
  );
  writeLists(at, 4, []);
  service.reload(crl);
  assert.equal(await ask(), 'good');
});

test('a revoked public key is out whatever the lists say', async (t) => {
  const { config } = house(t);
  const { ask, service } = await startStage(t, config);
  const path = config.revokedKeysFile!;
  writeFileSync(path, `${Buffer.from(crypto.hash('sha-256', router.certificate.spki)).toString('hex')} # router\n`);
  service.reload(path);
  assert.equal(await ask(), 'revoked');
  writeFileSync(path, 'not hex\n');
  service.reload(path);
  assert.equal(await ask(), 'revoked');
});

test('a list out of date is adopted with a warning, and its certificates are refused', async (t) => {
  const { config, crl } = house(t);
  const { ask, service, events } = await startStage(t, config);
  const lists = [
    crlOf(anchor, [], { number: 2 }),
    crlOf(middle, [], { number: 2, thisUpdate: AT - 2 * DAY, nextUpdate: AT - DAY }),
  ];
  writeFileSync(crl, writePem('X509 CRL', ...lists.map(({ der }) => der)));
  service.reload(crl);
  assert.ok(events.some(({ kind }) => kind === 'warning'));
  assert.equal(await ask(), 'revocation-unknown');
});

test('a start with a file that cannot be used fails and names the file', async (t) => {
  const { dir, at, config } = house(t);
  const parts = {
    crypto,
    clock: { now: () => Millis(0), wall: () => AT },
    openKey: (keyFile: string) => openKeyStore(keyFile, crypto.counter),
    openTransport: () => assert.fail('no transport before the files are good'),
  };
  const fails = async (changed: Partial<VerifierConfig>, path: string): Promise<void> => {
    const names = (error: unknown): boolean =>
      (error instanceof VerifierError || error instanceof FileFault || error instanceof KeyStoreError) &&
      error.message.includes(path);
    await assert.rejects(startVerifier({ ...config, ...changed }, parts), names);
  };
  await fails({ trustAnchorFiles: [at('absent.pem')] }, 'absent.pem');
  await fails({ trustAnchorFiles: [config.keyFile] }, 'own.key');
  await fails({ crlFiles: [config.certificateFile] }, 'own.pem');
  chmodSync(config.keyFile, 0o644);
  await fails({}, 'own.key');
  writePair(dir, { ...own, key: router.key });
  chmodSync(config.keyFile, 0o600);
  await fails({}, 'does not belong to the certificate');
});

test('an unknown key in the configuration is refused', () => {
  assert.throws(() => verifierConfig.parse({ brokers: {} }), /brokers/);
});
