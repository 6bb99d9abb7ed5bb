/**
 * The file key store: what it takes, and what it says about what it does not take.
 */
import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { chmodSync, chownSync, linkSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createKeyStore, openKeyStore } from '../../hardware/key-store.ts';
import { KeyStoreError } from '../../hardware/key-store-error.ts';
import { generateSigningKey, newPublicKeyCounter, nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

function keyFile(t: TestContext, contents: string | Uint8Array, mode = 0o600): string {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-key-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'device.key');
  writeFileSync(path, contents, { mode });
  return path;
}

const refused =
  (text: RegExp) =>
  (error: unknown): true => {
    assert.ok(error instanceof KeyStoreError, String(error));
    assert.match(error.message, text);
    assert.match(error.message, /device\.key/);
    assert.doesNotMatch(error.message, /BEGIN|\n/);
    return true;
  };

test('keys of both signature types sign, and every signature is counted', (t) => {
  for (const [kind, algorithm] of [
    ['p256', 'ecdsa-sha256'],
    ['ed25519', 'ed25519'],
  ] as const) {
    const { privatePkcs8Pem, publicSpki } = generateSigningKey(kind);
    const counter = newPublicKeyCounter();
    const store = openKeyStore(keyFile(t, privatePkcs8Pem), counter);
    assert.deepEqual(store.publicSpki, publicSpki);
    const data = encodeUtf8('data');
    const signature = store.sign(algorithm, data);
    assert.equal(counter.sign, 1);
    const crypto = nodeCrypto();
    assert.ok(crypto.verify(algorithm, crypto.publicKey(publicSpki)!, signature, data, 'raw'));
  }
});

test('the traditional EC form (SEC1), as `openssl ecparam -genkey` writes it, is taken as well', (t) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const sec1 = createPrivateKey(privateKey.export({ type: 'pkcs8', format: 'pem' })).export({
    type: 'sec1',
    format: 'pem',
  });
  assert.equal(openKeyStore(keyFile(t, sec1), newPublicKeyCounter()).algorithm, 'p256');
});

test('a key that others can read, that is encrypted, missing or no key is refused with what to run', (t) => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
  const open = (path: string) => () => openKeyStore(path, newPublicKeyCounter());
  assert.throws(open(keyFile(t, privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o644)), refused(/chmod 600/));
  assert.throws(open(keyFile(t, encrypted)), refused(/encrypted.*openssl pkey/));
  const chain = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  for (const mode of [0o600, 0o644]) {
    assert.throws(open(keyFile(t, chain, mode)), refused(/: holds a certificate, not a private key: .*swapped\?$/));
  }
  assert.throws(open(keyFile(t, 'no key')), refused(/openssl pkey/));
  assert.throws(open(`${keyFile(t, '')}.other`), refused(/no such file.*belongs to the certificate/));
});

test('the file has to belong to the user that runs, or to root', {
  skip: process.geteuid?.() === 0 ? false : 'not root: gives no file away',
}, (t) => {
  const path = keyFile(t, generateSigningKey('p256').privatePkcs8Pem);
  chownSync(path, 12_345, 0);
  assert.throws(
    () => openKeyStore(path, newPublicKeyCounter()),
    refused(/owned by uid 12345, not by uid 0; run `chown 0/),
  );
  chownSync(path, 0, 12_345); // the group may do nothing with it, whoever it is
  assert.equal(openKeyStore(path, newPublicKeyCounter()).algorithm, 'p256');
});

test('links are followed: mode and owner are those of the file behind them, under every name it has', (t) => {
  const path = keyFile(t, generateSigningKey('p256').privatePkcs8Pem);
  const open = (name: string) => () => openKeyStore(`${path}.${name}`, newPublicKeyCounter());
  symlinkSync(path, `${path}.soft`);
  linkSync(path, `${path}.hard`);
  symlinkSync(`${path}.nowhere`, `${path}.dangling`);
  for (const name of ['soft', 'hard']) assert.equal(open(name)().algorithm, 'p256');
  assert.throws(open('dangling'), refused(/no such file/));
  chmodSync(path, 0o640);
  for (const name of ['soft', 'hard']) assert.throws(open(name), refused(/mode 0640.*chmod 600/));
});

test('a key is made where there is none, for its owner alone, and never over another', (t) => {
  const path = `${keyFile(t, 'something')}.new`;
  const made = createKeyStore(path, 'ed25519', newPublicKeyCounter());
  assert.deepEqual(openKeyStore(path, newPublicKeyCounter()).publicSpki, made.publicSpki);
  assert.throws(() => createKeyStore(path, 'ed25519', newPublicKeyCounter()), refused(/is there already/));
});
