/**
 * What the simulator draws and computes with: numbers from a seed, the node half fed by them, and the model in its place.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey, newPublicKeyCounter, nodeCrypto } from '../../platform/crypto-node.ts';
import { concat, encodeUtf8, toHex } from '../../protocol/bytes.ts';
import { type Aead, type Crypto, type Curve, publicKeyOperations, type SigningKey } from '../../protocol/crypto.ts';
import { protect, unprotect } from '../../protocol/protection.ts';
import { suiteName } from '../../protocol/suites.ts';
import { modelCrypto, modelSigningKey } from '../../sim/model-crypto.ts';
import { ModelHash } from '../../sim/model-hash.ts';
import { seededCrypto } from '../../sim/seeded-crypto.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { EVERY_AEAD, EVERY_SUITE } from '../every-suite.ts';

const HASHES = ['sha-256', 'sha-384', 'sha-512'] as const;
const CURVES: readonly Curve[] = ['x25519', 'p256'];
/** Of the pinned outputs below. */
const AEADS: readonly Aead[] = [
  { cipher: 'aes-ccm', keyBytes: 16, nonceBytes: 13, tagBytes: 8 },
  { cipher: 'aes-ccm', keyBytes: 16, nonceBytes: 13, tagBytes: 16 },
  { cipher: 'aes-gcm', keyBytes: 16, nonceBytes: 12, tagBytes: 16 },
  { cipher: 'aes-gcm', keyBytes: 32, nonceBytes: 12, tagBytes: 16 },
  { cipher: 'chacha20-poly1305', keyBytes: 32, nonceBytes: 12, tagBytes: 16 },
];
const SIGNERS = [
  ['ed25519', 'ed25519'],
  ['p256', 'ecdsa-sha256'],
  ['p384', 'ecdsa-sha384'],
] as const;

const sha256 = (data: Uint8Array): string => toHex(nodeCrypto().hash('sha-256', data));

/** One of everything but signatures, in one fixed order. */
function everything(crypto: Crypto): Uint8Array[] {
  const data = crypto.random(77);
  const values = [data];
  for (const name of HASHES) {
    values.push(crypto.hash(name, data), crypto.hmac(name, data, data));
    values.push(crypto.hkdfExpand(name, crypto.hkdfExtract(name, data, data), data, 42));
  }
  for (const aead of AEADS) {
    const [key, nonce] = [crypto.random(aead.keyBytes), crypto.random(aead.nonceBytes)];
    const sealed = crypto.seal(aead, key, nonce, data, data);
    const opened = crypto.open(aead, key, nonce, data, sealed);
    assert.deepEqual(opened, data);
    values.push(sealed);
  }
  for (const curve of CURVES) {
    const [a, b] = [crypto.generateKey(curve), crypto.generateKey(curve)];
    const shared = crypto.agree(a, b.publicKey);
    assert.ok(shared);
    assert.deepEqual(crypto.agree(structuredClone(b), a.publicKey), shared);
    assert.deepEqual(crypto.ephemeralKey(curve, a.secretKey), a);
    values.push(a.publicKey, a.secretKey, b.publicKey, shared);
  }
  return values;
}

test('a seed gives the same numbers on every machine', () => {
  const random = seededRandom(7);
  // The same numbers come from an independent reading of the description in Python.
  assert.equal(toHex(random.bytes(16)), 'a12b7786a60dd9e7da68fc455cfba1da');
  assert.deepEqual([random.uint32(), random.fraction(), random.below(6)], [2_933_832_706, 0.8749485928565264, 5]);
  assert.equal(toHex(seededRandom('7').bytes(8)), '8ea2e1dbf052a5a4');
  assert.equal(toHex(seededRandom(7).fork('a').fork('b').bytes(8)), '405b4287b2c8acb7');
});

test('a fork depends on seed and name, not on what was drawn before', () => {
  const random = seededRandom(7);
  const early = random.fork('links').bytes(32);
  random.bytes(1000);
  assert.deepEqual(random.fork('links').bytes(32), early);
  const others = [random.fork('link'), random.fork(''), random, seededRandom(8).fork('links')];
  for (const other of others) assert.notDeepEqual(other.bytes(32), early);
});

test('seeded numbers are spread evenly, and `below` keeps its bounds', () => {
  const random = seededRandom('spread');
  const bits = new Array<number>(32).fill(0);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) {
    const word = random.uint32();
    for (let bit = 0; bit < 32; bit++) bits[bit]! += (word >>> bit) & 1;
  }
  // Four standard deviations of a fair coin: 4 · √(n/4).
  for (const count of bits) assert.ok(Math.abs(count - draws / 2) < 2 * Math.sqrt(draws), `${count} of ${draws}`);
  const faces = new Array<number>(6).fill(0);
  for (let i = 0; i < 6000; i++) faces[random.below(6)]!++;
  for (const count of faces) assert.ok(count > 850 && count < 1150, `${faces}`);
  assert.equal(random.below(1), 0);
  for (let i = 0; i < 1000; i++) {
    const drawn = random.fraction();
    assert.ok(drawn >= 0 && drawn < 1);
  }
  for (const n of [0, -1, 1.5, 2 ** 32 + 1, Number.NaN]) assert.throws(() => random.below(n), RangeError);
});

for (const [name, create, expected] of [
  ['node, seeded', seededCrypto, '176d148c623e5edba077625874316e41f97ef22f7177e3fd9ca59701a2c4acaf'],
  ['model', modelCrypto, '579aa673ec81b0d9bf5841d25b3809d8b8dbaf7be6fdf6d2aa2e76cecfe0c16d'],
] as const) {
  test(`${name}: a seed gives the same keys, nonces and outputs on every machine`, () => {
    const crypto = create(seededRandom(2027));
    assert.equal(crypto.name, name);
    assert.equal(sha256(concat(...everything(crypto))), expected);
    assert.notDeepEqual(everything(create(seededRandom(2028))), everything(create(seededRandom(2027))));
  });
}

test('the model: every output has the size of the node half', () => {
  const sizes = (crypto: Crypto): number[] => everything(crypto).map(({ length }) => length);
  assert.deepEqual(sizes(modelCrypto(seededRandom(1))), sizes(nodeCrypto()));
  for (const [type, algorithm] of SIGNERS) {
    const real = generateSigningKey(type);
    const model = modelSigningKey(type, new Uint8Array(32).fill(1), newPublicKeyCounter());
    assert.equal(model.algorithm, real.key.algorithm);
    assert.equal(model.publicSpki.length, real.publicSpki.length);
    const data = encodeUtf8('the exchanged information');
    assert.equal(model.sign(algorithm, data).length, real.key.sign(algorithm, data).length);
    assert.equal(
      modelCrypto(seededRandom(1)).publicKey(model.publicSpki)?.bits,
      nodeCrypto().publicKey(real.publicSpki)?.bits,
    );
  }
});

test('the model: opens what it sealed; any other key, nonce, text or byte gives null', () => {
  const crypto = modelCrypto(seededRandom('tamper'));
  for (const aead of EVERY_AEAD) {
    const [key, nonce, aad] = [crypto.random(aead.keyBytes), crypto.random(aead.nonceBytes), crypto.random(9)];
    for (const length of [0, 1, 15, 16, 17, 100, 1000]) {
      const plaintext = crypto.random(length);
      const sealed = crypto.seal(aead, key, nonce, aad, plaintext);
      if (length > 8) assert.notDeepEqual(sealed.slice(0, length), plaintext);
      assert.deepEqual(crypto.open(aead, key, nonce, aad, sealed), plaintext);
      for (const changed of flips(sealed)) assert.equal(crypto.open(aead, key, nonce, aad, changed), null);
      for (const changed of flips(key)) assert.equal(crypto.open(aead, changed, nonce, aad, sealed), null);
      for (const changed of flips(nonce)) assert.equal(crypto.open(aead, key, changed, aad, sealed), null);
      for (const changed of flips(aad)) assert.equal(crypto.open(aead, key, nonce, changed, sealed), null);
      assert.equal(crypto.open(aead, key, nonce, concat(aad, aad), sealed), null);
      assert.equal(crypto.open(aead, key, nonce, aad, sealed.slice(1)), null);
      assert.equal(crypto.open(aead, key, nonce, aad, concat(sealed, Uint8Array.of(0))), null);
    }
    assert.equal(crypto.open(aead, key, nonce, aad, new Uint8Array(aead.tagBytes - 1)), null);
    assert.throws(() => crypto.seal(aead, key.slice(1), nonce, aad, aad), RangeError);
    assert.throws(() => crypto.open(aead, key, nonce.slice(1), aad, aad), RangeError);
    for (const other of EVERY_AEAD) {
      if (other === aead || other.keyBytes !== aead.keyBytes || other.nonceBytes !== aead.nonceBytes) continue;
      assert.equal(crypto.open(other, key, nonce, aad, crypto.seal(aead, key, nonce, aad, aad)), null);
    }
  }
});

test('the model: AES-CTR has the size of its text, undoes itself, and depends on every bit of key and counter', () => {
  const crypto = modelCrypto(seededRandom('counter'));
  for (const keyBytes of [16, 24, 32]) {
    const [key, counter] = [crypto.random(keyBytes), crypto.random(16)];
    for (const length of [0, 1, 16, 17, 1000]) {
      const plaintext = crypto.random(length);
      const ciphertext = crypto.encipherAesCtr(key, counter, plaintext);
      assert.equal(ciphertext.length, length);
      assert.deepEqual(crypto.decipherAesCtr(key, counter, ciphertext), plaintext);
      if (length < 16) continue;
      assert.notDeepEqual(ciphertext, plaintext);
      for (const changed of flips(key))
        assert.notDeepEqual(crypto.encipherAesCtr(changed, counter, plaintext), ciphertext);
      for (const changed of flips(counter))
        assert.notDeepEqual(crypto.encipherAesCtr(key, changed, plaintext), ciphertext);
    }
    assert.throws(() => crypto.encipherAesCtr(key.slice(1), counter, key), RangeError);
    assert.throws(() => crypto.decipherAesCtr(key, counter.slice(1), key), RangeError);
  }
});

test('the model: every suite of the registry seals as long records as the node half, and opens nothing that was changed', () => {
  const [crypto, real] = [modelCrypto(seededRandom('suites')), nodeCrypto()];
  for (const algorithm of EVERY_SUITE) {
    const name = suiteName(algorithm.suite);
    const [key, nonce] = [crypto.random(algorithm.keyBytes), crypto.random(algorithm.nonceBytes)];
    const [aad, plaintext] = [crypto.random(59), crypto.random(40)];
    const sealed = protect(crypto, algorithm, key, nonce, aad, plaintext);
    const open = (body: Uint8Array, k = key, n = nonce, a = aad) => unprotect(crypto, algorithm, k, n, a, body);
    assert.equal(sealed.length, protect(real, algorithm, key, nonce, aad, plaintext).length, name);
    assert.deepEqual(open(sealed), plaintext, name);
    for (const changed of flips(sealed)) assert.equal(open(changed), null, name);
    for (const changed of flips(nonce)) assert.equal(open(sealed, key, changed), null, name);
    for (const changed of flips(aad)) assert.equal(open(sealed, key, nonce, changed), null, name);
    assert.equal(open(sealed, crypto.random(algorithm.keyBytes)), null, name);
    assert.equal(open(sealed.slice(0, -1)), null, name);
  }
});

test('the model: a signature holds for its key, data, algorithm and form alone', () => {
  const crypto = modelCrypto(seededRandom('signatures'));
  for (const [type, algorithm] of SIGNERS) {
    const signer: SigningKey & { publicSpki: Uint8Array } = modelSigningKey(type, crypto.random(32), crypto.counter);
    const key = crypto.publicKey(signer.publicSpki);
    assert.ok(key);
    const data = crypto.random(50);
    const signature = signer.sign(algorithm, data);
    assert.equal(crypto.verify(algorithm, key, signature, data, 'raw'), true);
    assert.equal(crypto.verify(algorithm, structuredClone(key), signature, data, 'raw'), true);
    for (const changed of flips(signature)) assert.equal(crypto.verify(algorithm, key, changed, data, 'raw'), false);
    for (const changed of flips(data)) assert.equal(crypto.verify(algorithm, key, signature, changed, 'raw'), false);
    const other = crypto.publicKey(modelSigningKey(type, crypto.random(32), crypto.counter).publicSpki);
    assert.ok(other);
    assert.equal(crypto.verify(algorithm, other, signature, data, 'raw'), false);
    for (const wrong of ['ed25519', 'ecdsa-sha512', 'rsa-pss-sha256', 'rsa-pkcs1-sha256'] as const) {
      if (wrong !== algorithm) assert.equal(crypto.verify(wrong, key, signature, data, 'raw'), false, wrong);
    }
    if (type !== 'ed25519') assert.equal(crypto.verify(algorithm, key, signature, data, 'der'), false);
    assert.throws(() => signer.sign('rsa-pss-sha256', data), RangeError);
  }
  assert.equal(crypto.publicKey(new Uint8Array(44)), null);
});

test('the model: agreement refuses what both real curves refuse', () => {
  const crypto = modelCrypto(seededRandom('agreement'));
  for (const curve of CURVES) {
    const own = crypto.generateKey(curve);
    for (const length of [0, 31, 32, 33]) assert.equal(crypto.agree(own, new Uint8Array(length)), null);
  }
  assert.equal(crypto.agree(crypto.generateKey('p256'), new Uint8Array(32).fill(0xff)), null);
});

test('[B5] the model and the seeded half count every public-key operation, and no symmetric one', () => {
  for (const create of [modelCrypto, seededCrypto]) {
    const counter = newPublicKeyCounter();
    const crypto = create(seededRandom(3), counter);
    everything(crypto);
    assert.deepEqual(counter, { generate: 6, agree: 4, sign: 0, verify: 0 });
  }
  const counter = newPublicKeyCounter();
  const crypto = modelCrypto(seededRandom(3), counter);
  const signer = modelSigningKey('p256', crypto.random(32), counter);
  const key = crypto.publicKey(signer.publicSpki);
  assert.ok(key);
  crypto.verify('ecdsa-sha256', key, signer.sign('ecdsa-sha256', key.spki), key.spki, 'raw');
  crypto.verify('ed25519', key, key.spki, key.spki, 'raw');
  assert.deepEqual(counter, { generate: 0, agree: 0, sign: 1, verify: 1 });
  assert.equal(publicKeyOperations(counter), 2);
});

test('the mixing hash: 200,000 short inputs that differ in little have no two 8-byte outputs alike', () => {
  const seen = new Set<string>();
  const input = new Uint8Array(20);
  for (let i = 0; i < 200_000; i++) {
    new DataView(input.buffer).setUint32(i & 15, i);
    seen.add(String.fromCharCode(...new ModelHash(1).absorb(input).squeeze(8)));
    input.fill(0);
  }
  const distinct = new Set(Array.from({ length: 200_000 }, (_, i) => placed(i))).size;
  assert.equal(seen.size, distinct);
  assert.notDeepEqual(new ModelHash(1).absorb(input).squeeze(8), new ModelHash(2).absorb(input).squeeze(8));
  const split = (a: number) => new ModelHash(1).absorb(input.subarray(0, a)).absorb(input.subarray(a)).squeeze(16);
  assert.notDeepEqual(split(3), split(4));
});

/** The input of number i above, as text. */
function placed(i: number): string {
  const input = new Uint8Array(20);
  new DataView(input.buffer).setUint32(i & 15, i);
  return String.fromCharCode(...input);
}

/** The bytes with one bit changed: in up to 24 places, the first and the last among them. */
function* flips(bytes: Uint8Array): Generator<Uint8Array> {
  const step = Math.max(1, Math.floor(bytes.length / 24));
  for (
    let at = 0;
    at < bytes.length;
    at = at === bytes.length - 1 ? bytes.length : Math.min(at + step, bytes.length - 1)
  ) {
    const changed = bytes.slice();
    changed[at]! ^= 1 << (at & 7);
    yield changed;
  }
}
