/**
 * Keys in PKCS#11 tokens, against SoftHSM2: they sign, they never come out, and every way in which one can be missing is told.
 * pkcs11-spy of OpenSC counts the calls.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { createKeyStore, describeKey, openKeyStore } from '../../hardware/key-store.ts';
import { KeyStoreError, type KeyStoreFault } from '../../hardware/key-store-error.ts';
import { parsePkcs11Uri } from '../../hardware/pkcs11-uri.ts';
import { generateSigningKey, newPublicKeyCounter, nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeUtf8, toHex } from '../../protocol/bytes.ts';
import { makeSoftToken, PIN, type SoftToken, softTokenAbsent, spyAbsent } from '../soft-token.ts';

const DATA = encodeUtf8('what is signed');
const crypto = nodeCrypto();
const SPY_LOG = join(mkdtempSync(join(tmpdir(), 'km-spy-')), 'calls.log');
after(() => rmSync(dirname(SPY_LOG), { recursive: true }));

/** The module reads its environment when it starts: the token is this process's from then on. */
function tokenFor(t: TestContext, label = 'home'): SoftToken {
  const directory = mkdtempSync(join(tmpdir(), 'km-token-'));
  const ends: (() => Promise<void>)[] = [];
  t.after(async () => {
    for (const end of ends) await end();
    rmSync(directory, { recursive: true, force: true });
  });
  const token = makeSoftToken(directory, label, (end) => ends.push(end), SPY_LOG);
  Object.assign(process.env, token.environment);
  return token;
}

const open = (uri: string) => openKeyStore(uri, newPublicKeyCounter());

function refusal(act: () => unknown): KeyStoreError {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof KeyStoreError, String(error));
    assert.doesNotMatch(error.message, new RegExp(`${PIN}|\\n`));
    return error;
  }
  return assert.fail('nothing was refused');
}

function refuses(act: () => unknown, fault: KeyStoreFault, text: RegExp): void {
  const error = refusal(act);
  assert.equal(error.fault, fault, error.message);
  assert.match(error.message, text);
  assert.ok(error.what.startsWith(error.place) && error.remedy !== '', error.message);
}

/** A file with a key of OpenSSL's making. */
function keyFile(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'km-key-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'key.pem');
  writeFileSync(path, generateSigningKey('p256').privatePkcs8Pem, { mode: 0o600 });
  return path;
}

test('a key made in a token signs what others verify, is counted, and never comes out', {
  skip: softTokenAbsent,
}, (t) => {
  const token = tokenFor(t);
  for (const [kind, algorithm] of [
    ['p256', 'ecdsa-sha256'],
    ['p384', 'ecdsa-sha384'],
    ['ed25519', 'ed25519'],
  ] as const) {
    const counter = newPublicKeyCounter();
    const key = createKeyStore(token.uri(kind), kind, counter);
    assert.equal(key.algorithm, kind);
    const publicKey = crypto.publicKey(key.publicSpki)!;
    for (let i = 1; i <= 20; i++) {
      const signature = key.sign(algorithm, DATA);
      assert.ok(crypto.verify(algorithm, publicKey, signature, DATA, 'raw'), kind);
      assert.ok(!crypto.verify(algorithm, publicKey, signature, encodeUtf8('another'), 'raw'));
      assert.deepEqual(counter, { generate: 1, agree: 0, sign: i, verify: 0 });
    }
    key.close();
    assert.throws(() => key.sign(algorithm, DATA), RangeError);
    assert.equal(describeKey(token.uri(kind), counter).isExtractable, false);
    refuses(() => createKeyStore(token.uri(kind), kind, counter), 'exists', /give another/);
    const again = open(token.uri(kind));
    assert.deepEqual(again.publicSpki, key.publicSpki);
    again.close();
  }
});

test('a key of a file that a token took in is the same key', { skip: softTokenAbsent }, (t) => {
  const token = tokenFor(t);
  const path = keyFile(t);
  token.take(path, 'lamp');
  const [there, here] = [open(token.uri('lamp')), open(path)];
  assert.deepEqual(there.publicSpki, here.publicSpki);
  there.close();
});

test('one login and one session for all signatures, and the module ends with its last key', {
  skip: softTokenAbsent || spyAbsent,
}, (t) => {
  const token = tokenFor(t);
  const { modulePath, calls } = token.spied();
  for (const name of ['lamp', 'switch']) createKeyStore(token.uri(name), 'p256', newPublicKeyCounter()).close();
  const keys = ['lamp', 'switch'].map((name) => open(token.uri(name, { modulePath })));
  for (let i = 0; i < 5; i++) for (const key of keys) key.sign('ecdsa-sha256', DATA);
  assert.deepEqual(
    (['C_Initialize', 'C_Login', 'C_OpenSession', 'C_Sign', 'C_Finalize'] as const).map(calls),
    [1, 1, 2, 10, 0],
  );
  keys[0]!.close();
  keys[1]!.sign('ecdsa-sha256', DATA);
  assert.equal(calls('C_Finalize'), 0);
  keys[1]!.close();
  assert.equal(calls('C_Finalize'), 1);
});

test('a PIN that the token refused is told once in this process, also when the file has another by then', {
  skip: softTokenAbsent || spyAbsent,
}, (t) => {
  const token = tokenFor(t, 'wrong');
  const { modulePath, calls } = token.spied();
  createKeyStore(token.uri('lamp'), 'p256', newPublicKeyCounter()).close();
  const pinFile = `${token.pinFile}.wrong`;
  writeFileSync(pinFile, '0000', { mode: 0o600 });
  const uri = token.uri('lamp', { modulePath, pinFile });
  refuses(() => open(uri), 'pin', /refuses the PIN in .*pin\.wrong \(C_Login: CKR_PIN_INCORRECT\)/);
  writeFileSync(pinFile, PIN, { mode: 0o600 });
  for (let i = 0; i < 3; i++) refuses(() => open(uri), 'pin', /not asked again: correct it and start again/);
  assert.equal(calls('C_Login'), 1);
  open(token.uri('lamp')).close(); // the token itself has nothing against it
});

test('what is missing or wrong is told by kind, with what to do', { skip: softTokenAbsent }, (t) => {
  const token = tokenFor(t);
  createKeyStore(token.uri('lamp'), 'p256', newPublicKeyCounter()).close();
  const at = (name: string): string => `${token.pinFile}.${name}`;
  refuses(() => open(token.uri('lamp', { modulePath: at('absent.so') })), 'module', /is not there: install/);
  refuses(() => open(token.uri('lamp', { modulePath: process.execPath })), 'module', /is no PKCS#11 module/);
  copyFileSync(parsePkcs11Uri(token.uri('lamp')).modulePath, at('open.so'));
  chmodSync(at('open.so'), 0o777);
  refuses(() => open(token.uri('lamp', { modulePath: at('open.so') })), 'module', /every user: run `chmod o-w/);
  refuses(
    () => open(token.uri('lamp').replace('token=home', 'token=away')),
    'token',
    /no such token, there are 'home'/,
  );
  refuses(() => open(token.uri('lamp').replace('token=', 'manufacturer=')), 'token', /no such token/);
  refuses(() => open(token.uri('lantern')), 'object', /no such private key: .*`kagimori key create`/);
  refuses(() => open(token.uri('lamp', { pinFile: null })), 'pin', /wants a PIN: add pin-source=/);
  refuses(() => open(token.uri('lamp', { pinFile: at('absent') })), 'pin', /no such file/);
  writeFileSync(at('open'), PIN, { mode: 0o644 });
  refuses(() => open(token.uri('lamp', { pinFile: at('open') })), 'pin', /chmod 600/);
  writeFileSync(at('empty'), '\n', { mode: 0o600 });
  refuses(() => open(token.uri('lamp', { pinFile: at('empty') })), 'pin', /first line of .* is empty/);
  for (const name of ['twin.pem', 'twin']) token.take(keyFile(t), name.slice(0, 4));
  refuses(() => open(token.uri('twin')), 'object', /2 private keys fit: add id=/);
  execFileSync('softhsm2-util', ['--init-token', '--free', '--label', 'home', '--pin', PIN, '--so-pin', PIN], {
    stdio: 'pipe',
  });
  refuses(() => open(token.uri('lamp')), 'token', /2 tokens fit: add serial=/);
});

test('a key that can be read out of its token is shown, and signs nothing', {
  skip: softTokenAbsent || spyAbsent,
}, (t) => {
  const token = tokenFor(t);
  const { modulePath } = parsePkcs11Uri(token.uri('loose'));
  const make = ['--keypairgen', '--key-type', 'EC:prime256v1', '--label', 'loose', '--id', '01', '--extractable'];
  execFileSync('pkcs11-tool', ['--module', modulePath, '--login', '--pin', PIN, '--token-label', 'home', ...make], {
    stdio: 'pipe',
  });
  assert.equal(describeKey(token.uri('loose'), newPublicKeyCounter()).isExtractable, true);
  refuses(() => open(token.uri('loose')), 'extractable', /can be read out of its token: make one that cannot/);
});

test('a token that was pulled does not sign; put back it does, and nobody need open it again', {
  skip: softTokenAbsent,
}, (t) => {
  const token = tokenFor(t);
  const key = createKeyStore(token.uri('lamp'), 'p256', newPublicKeyCounter());
  const signs = (): boolean => {
    const signature = key.sign('ecdsa-sha256', DATA);
    return crypto.verify('ecdsa-sha256', crypto.publicKey(key.publicSpki)!, signature, DATA, 'raw');
  };
  assert.ok(signs());
  token.pull();
  for (let i = 0; i < 2; i++) refuses(() => key.sign('ecdsa-sha256', DATA), 'token', /put the token in/);
  token.putBack();
  assert.ok(signs());
  key.close();
});

test('another key under the name of the one that was pulled is not signed with', { skip: softTokenAbsent }, (t) => {
  const token = tokenFor(t);
  token.take(keyFile(t), 'lamp');
  const key = open(token.uri('lamp'));
  token.pull();
  refusal(() => key.sign('ecdsa-sha256', DATA));
  const other = tokenFor(t);
  other.take(keyFile(t), 'lamp');
  refuses(() => key.sign('ecdsa-sha256', DATA), 'object', /another key stands there now/);
  key.close();
});

test('RFC 7512: a URI names module, token, key and PIN file, with its escapes; a PIN in it is refused and not repeated', () => {
  const uri = parsePkcs11Uri(
    'pkcs11:token=The%20Token;serial=4b;manufacturer=Snake%20Oil;object=l%C3%A4mp;id=%00%ffA;type=private?module-path=/lib/p.so&pin-source=file:///etc/p%20in',
  );
  assert.deepEqual(uri.token, { token: 'The Token', serial: '4b', manufacturer: 'Snake Oil' });
  assert.equal(uri.object, 'lämp');
  assert.equal(toHex(uri.id!), '00ff41');
  assert.deepEqual([uri.modulePath, uri.pinFile], ['/lib/p.so', '/etc/p in']);
  assert.equal(parsePkcs11Uri('pkcs11:slot-id=7;id=a?module-path=/p&pin-source=/etc/pin').slot, 7n);
  const good = 'pkcs11:token=t;object=o?module-path=/lib/p.so';
  for (const [text, why] of [
    [`${good}&pin-value=${PIN}`, /a PIN among the settings is none: put it into a file/],
    [`${good}&pin-source=|cat%20/etc/pin`, /pin-source is no absolute path/],
    [`${good}&pin-source=pin`, /no absolute path/],
    ['pkcs11:token=t;object=o', /names no module/],
    ['pkcs11:token=t;object=o?module-path=p.so', /no absolute path/],
    ['pkcs11:object=o?module-path=/p', /names no token/],
    ['pkcs11:token=t?module-path=/p', /names no key/],
    ['pkcs11:token=t;token=u;object=o?module-path=/p', /given twice/],
    ['pkcs11:token=t;objekt=o?module-path=/p', /'objekt' is not understood/],
    [`${good}&module-name=p`, /'module-name' is not understood/],
    ['pkcs11:token=t;object=%4?module-path=/p', /no two hex digits/],
    ['pkcs11:token=%ff;object=o?module-path=/p', /no UTF-8/],
    ['pkcs11:token=t;object=o;type=cert?module-path=/p', /type=private/],
    ['pkcs11:slot-id=x;object=o?module-path=/p', /give its number/],
    [`pkcs11:token=${'t'.repeat(3000)};object=o?module-path=/p`, /too long/],
    ['pkcs11:', /names no token/],
  ] as const) {
    refuses(() => parsePkcs11Uri(text), 'uri', why);
  }
});
