/**
 * The crypto seam: one suite over every half. RFC values where they exist, otherwise the rule of the interface.
 */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { generateSigningKey, nodeCrypto, SigningKeyError, signingKey } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { newPortableSigningKey, portableSigningKey } from '../../platform/crypto-portable-keys.ts';
import { concat, encodeUtf8, fromHex, toHex } from '../../protocol/bytes.ts';
import {
  type Crypto,
  type Curve,
  type PublicKeyCounter,
  publicKeyOperations,
  type SignatureAlgorithm,
  type SigningKey,
} from '../../protocol/crypto.ts';
import { EVERY_AEAD } from '../every-suite.ts';

const CURVES: readonly Curve[] = ['x25519', 'p256'];
/** The point of P-256 with x = 5, x ‖ y; and its x with the field's prime added, which has 32 bytes too. */
const SMALL_X_POINT = fromHex(
  `${'5'.padStart(64, '0')}459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc`,
);
const SMALL_X_BEYOND_FIELD = fromHex('ffffffff00000001000000000000000000000001000000000000000000000004');
const SIGNERS = [
  ['ed25519', 'ed25519'],
  ['p256', 'ecdsa-sha256'],
  ['p384', 'ecdsa-sha384'],
] as const;

type Signer = SigningKey & { readonly publicSpki: Uint8Array };

/** A half together with the keys in memory that belong to it. */
interface Half {
  readonly name: string;
  readonly rsa: boolean;
  create(): Crypto;
  newKey(type: 'ed25519' | 'p256' | 'p384', counter: PublicKeyCounter): { key: Signer; pkcs8: Uint8Array };
  readKey(pkcs8: Uint8Array, counter: PublicKeyCounter): Signer | null;
}

const HALVES: readonly Half[] = [
  {
    name: 'node',
    rsa: true,
    create: () => nodeCrypto(),
    newKey(type, counter) {
      const { key, privatePkcs8Pem } = generateSigningKey(type, counter);
      return { key, pkcs8: privatePkcs8Pem };
    },
    readKey: signingKey,
  },
  {
    name: 'portable',
    rsa: false,
    create: () => portableCrypto(),
    newKey: newPortableSigningKey,
    readKey: portableSigningKey,
  },
];

/** Adds one to a big-endian number. */
function countUp(number: Uint8Array): void {
  for (let at = number.length - 1; at >= 0; at--) {
    number[at]! += 1;
    if (number[at] !== 0) return;
  }
}

function cryptoSeam({ name: half, rsa, create, newKey, readKey }: Half): void {
  test(`${half}: hash, HMAC and HKDF give the published values`, () => {
    const crypto = create();
    // FIPS 180-4 example "abc"; RFC 4231 cases 1 and 6; RFC 5869 case 1.
    assert.equal(
      toHex(crypto.hash('sha-256', encodeUtf8('abc'))),
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    assert.equal(
      toHex(crypto.hmac('sha-256', new Uint8Array(20).fill(0x0b), encodeUtf8('Hi There'))),
      'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
    );
    assert.equal(
      toHex(crypto.hmac('sha-384', new Uint8Array(20).fill(0x0b), encodeUtf8('Hi There'))),
      'afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6',
    );
    const longKeyText = encodeUtf8('Test Using Larger Than Block-Size Key - Hash Key First');
    assert.equal(
      toHex(crypto.hmac('sha-256', new Uint8Array(131).fill(0xaa), longKeyText)),
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    );
    assert.equal(
      toHex(crypto.hmac('sha-512', new Uint8Array(131).fill(0xaa), longKeyText)).slice(0, 32),
      '80b24263c7c1a3ebb71493c1dd7be8b4',
    );
    const prk = crypto.hkdfExtract('sha-256', fromHex('000102030405060708090a0b0c'), new Uint8Array(22).fill(0x0b));
    assert.equal(toHex(prk), '077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5');
    assert.equal(
      toHex(crypto.hkdfExpand('sha-256', prk, fromHex('f0f1f2f3f4f5f6f7f8f9'), 42)),
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    );
  });

  test(`${half}: HKDF-Expand refuses lengths outside 1 to 255 hashes and is prefix-consistent inside`, () => {
    const crypto = create();
    const prk = crypto.random(32);
    const longest = crypto.hkdfExpand('sha-256', prk, prk, 255 * 32);
    for (const length of [1, 31, 32, 33, 64, 100]) {
      assert.deepEqual(crypto.hkdfExpand('sha-256', prk, prk, length), longest.slice(0, length));
    }
    for (const length of [0, -1, 1.5, 255 * 32 + 1]) {
      assert.throws(() => crypto.hkdfExpand('sha-256', prk, prk, length), RangeError);
    }
  });

  for (const aead of EVERY_AEAD) {
    const name = `${aead.cipher} ${8 * aead.keyBytes}, tag ${8 * aead.tagBytes}`;
    test(`${half}: ${name} opens what it sealed and nothing else`, () => {
      const crypto = create();
      const [key, nonce, aad] = [crypto.random(aead.keyBytes), crypto.random(aead.nonceBytes), crypto.random(9)];
      for (const length of [0, 1, 100, 4096]) {
        const plaintext = crypto.random(length);
        const sealed = crypto.seal(aead, key, nonce, aad, plaintext);
        assert.equal(sealed.length, length + aead.tagBytes);
        assert.deepEqual(crypto.open(aead, key, nonce, aad, sealed), plaintext);
        for (const at of [0, length, sealed.length - 1]) {
          const altered = sealed.slice();
          altered[at]! ^= 1;
          assert.equal(crypto.open(aead, key, nonce, aad, altered), null);
        }
        assert.equal(crypto.open(aead, key, nonce, concat(aad, aad), sealed), null);
        assert.equal(crypto.open(aead, crypto.random(aead.keyBytes), nonce, aad, sealed), null);
        assert.equal(crypto.open(aead, key, crypto.random(aead.nonceBytes), aad, sealed), null);
      }
      for (let length = 0; length < aead.tagBytes; length++) {
        assert.equal(crypto.open(aead, key, nonce, aad, new Uint8Array(length)), null);
      }
    });

    test(`${half}: ${name} refuses a key or nonce of another size as a fault of the program`, () => {
      const crypto = create();
      const [key, nonce] = [crypto.random(aead.keyBytes), crypto.random(aead.nonceBytes)];
      assert.throws(() => crypto.seal(aead, key.subarray(1), nonce, nonce, nonce), RangeError);
      assert.throws(() => crypto.open(aead, key, nonce.subarray(1), nonce, new Uint8Array(40)), RangeError);
    });
  }

  for (const keyBytes of [16, 24, 32]) {
    test(`${half}: AES-CTR ${8 * keyBytes} enciphers and deciphers alike, block by block under a counter that goes up by one`, () => {
      const crypto = create();
      const [key, counter, plaintext] = [crypto.random(keyBytes), crypto.random(16), crypto.random(1000)];
      counter.fill(0xff, 12);
      const copies = [key.slice(), counter.slice(), plaintext.slice()];
      const whole = crypto.encipherAesCtr(key, counter, plaintext);
      assert.notDeepEqual(whole, plaintext);
      assert.deepEqual(crypto.decipherAesCtr(key, counter, whole), plaintext);
      assert.deepEqual(crypto.encipherAesCtr(key, counter, whole), plaintext);
      // What begins at any byte of memory: a record's ciphertext stands behind its head.
      for (const length of [0, 1, 15, 16, 17, 63, 999]) {
        for (const from of [0, 1, 2, 3]) {
          const shifted = concat(new Uint8Array(from), plaintext).subarray(from, from + length);
          assert.deepEqual(crypto.encipherAesCtr(key, counter, shifted), whole.slice(0, length));
        }
      }
      const next = counter.slice();
      for (let block = 0; block < 5; block++) {
        assert.deepEqual(
          crypto.encipherAesCtr(key, next, plaintext.subarray(16 * block)),
          whole.slice(16 * block),
          `from block ${block}`,
        );
        countUp(next);
      }
      assert.deepEqual([key, counter, plaintext], copies, 'what was given stays as it is');
      assert.notDeepEqual(crypto.encipherAesCtr(crypto.random(keyBytes), counter, plaintext), whole);
      assert.notDeepEqual(crypto.encipherAesCtr(key, crypto.random(16), plaintext), whole);
    });
  }

  test(`${half}: AES-CTR refuses a key or counter of another size as a fault of the program`, () => {
    const crypto = create();
    const [key, counter] = [crypto.random(16), crypto.random(16)];
    for (const cipher of [crypto.encipherAesCtr, crypto.decipherAesCtr]) {
      for (const length of [0, 8, 15, 17, 20, 31, 33, 48]) {
        assert.throws(() => cipher(new Uint8Array(length), counter, key), RangeError, `key of ${length} bytes`);
      }
      for (const length of [0, 12, 13, 15, 17, 32]) {
        assert.throws(() => cipher(key, new Uint8Array(length), key), RangeError, `counter of ${length} bytes`);
      }
    }
  });

  for (const curve of CURVES) {
    test(`${half}: ${curve} agrees on one secret from 32-byte public values, also after a clone of the key`, () => {
      const crypto = create();
      for (let i = 0; i < 20; i++) {
        const [a, b] = [crypto.generateKey(curve), crypto.generateKey(curve)];
        assert.deepEqual([a.publicKey.length, a.secretKey.length], [32, 32]);
        const shared = crypto.agree(a, b.publicKey);
        assert.equal(shared?.length, 32);
        assert.deepEqual(crypto.agree(structuredClone(b), a.publicKey), shared);
        assert.deepEqual(crypto.ephemeralKey(curve, a.secretKey), a);
      }
    });
  }

  test(`${half}: agreement refuses low order, points off the curve and other lengths with null`, () => {
    const crypto = create();
    const x25519 = crypto.generateKey('x25519');
    assert.equal(crypto.agree(x25519, new Uint8Array(32)), null);
    assert.equal(crypto.agree(x25519, fromHex(`01${'00'.repeat(31)}`)), null);
    const p256 = crypto.generateKey('p256');
    assert.equal(crypto.agree(p256, new Uint8Array(32).fill(0xff)), null);
    let offCurve = 0;
    for (let x = 0; x < 32; x++) {
      if (crypto.agree(p256, fromHex(`${'00'.repeat(31)}${x.toString(16).padStart(2, '0')}`)) === null) offCurve++;
    }
    assert.ok(offCurve > 5 && offCurve < 27, `${offCurve} of 32 small x are off the curve, about half are`);
    for (const own of [x25519, p256]) {
      for (const length of [0, 31, 33, 65]) assert.equal(crypto.agree(own, new Uint8Array(length).fill(4)), null);
    }
  });

  for (const [type, algorithm] of SIGNERS) {
    test(`${half}: verifies ${algorithm} made by an own key and refuses every other reading of it`, () => {
      const crypto = create();
      const data = encodeUtf8('the exchanged information');
      const { key: signer, pkcs8 } = newKey(type, crypto.counter);
      const { publicSpki } = signer;
      const key = crypto.publicKey(publicSpki);
      assert.ok(key);
      assert.equal(key.algorithm, type);
      const signature = signer.sign(algorithm, data);
      assert.equal(crypto.verify(algorithm, key, signature, data, 'raw'), true);
      assert.equal(crypto.verify(algorithm, structuredClone(key), signature, data, 'raw'), true);
      assert.equal(crypto.verify(algorithm, key, signature, encodeUtf8('other'), 'raw'), false);
      if (type !== 'ed25519') assert.equal(crypto.verify(algorithm, key, signature, data, 'der'), false);
      for (const bad of [new Uint8Array(0), signature.slice(1), concat(signature, signature)]) {
        assert.equal(crypto.verify(algorithm, key, bad, data, 'raw'), false);
        assert.equal(crypto.verify(algorithm, key, bad, data, 'der'), false);
      }
      const others: readonly SignatureAlgorithm[] = ['ed25519', 'ecdsa-sha512', 'rsa-pss-sha256', 'rsa-pkcs1-sha256'];
      for (const other of others) {
        if (other !== algorithm) assert.equal(crypto.verify(other, key, signature, data, 'raw'), false, other);
      }
      const again = readKey(pkcs8, crypto.counter);
      assert.ok(again);
      assert.throws(() => again.sign('rsa-pss-sha256', data), RangeError);
      assert.deepEqual(again.publicSpki, publicSpki);
      assert.equal(crypto.verify(algorithm, key, again.sign(algorithm, data), data, 'raw'), true);
    });
  }

  test(`${half}: a public key has one spelling, and RSA below 2048 bits is none`, () => {
    const crypto = create();
    const { publicSpki } = newKey('p256', crypto.counter).key;
    assert.deepEqual(crypto.publicKey(publicSpki)?.spki, publicSpki);
    assert.equal(crypto.publicKey(concat(publicSpki, new Uint8Array(1))), null);
    for (let length = 0; length < publicSpki.length; length++) {
      assert.equal(crypto.publicKey(publicSpki.subarray(0, length)), null);
    }
    assert.equal(crypto.publicKey(rsaSpki(1024, 65537)), null);
    assert.equal(crypto.publicKey(rsaSpki(2048, 1)), null);
    assert.equal(crypto.publicKey(rsaSpki(16384, 65537)), null);
    const known = crypto.publicKey(rsaSpki(2048, 65537));
    assert.deepEqual(known && [known.algorithm, known.bits], rsa ? ['rsa', 2048] : null);
    const offCurve = publicSpki.slice();
    offCurve[offCurve.length - 1]! ^= 1;
    assert.equal(crypto.publicKey(offCurve), null);
    // The same key with its point compressed (02, 03) or hybrid (06, 07): x alone, or x ‖ y under another first byte.
    const y = publicSpki.at(-1)! & 1;
    const compressed = fromHex(`3039301306072a8648ce3d020106082a8648ce3d0301070322000${2 + y}`);
    assert.equal(crypto.publicKey(concat(compressed, publicSpki.slice(27, 59))), null);
    const hybrid = publicSpki.slice();
    hybrid[26] = 6 + y;
    assert.equal(crypto.publicKey(hybrid), null);
    const frame = publicSpki.subarray(0, 27);
    assert.notEqual(crypto.publicKey(concat(frame, SMALL_X_POINT)), null);
    assert.equal(crypto.publicKey(concat(frame, SMALL_X_BEYOND_FIELD, SMALL_X_POINT.subarray(32))), null);
  });

  test(`[B5] ${half}: every public-key operation passes the counter, symmetric ones do not`, () => {
    const crypto = create();
    const [x25519, p256] = [crypto.generateKey('x25519'), crypto.generateKey('p256')];
    assert.deepEqual(crypto.counter, { generate: 2, agree: 0, sign: 0, verify: 0 });
    crypto.ephemeralKey('x25519', x25519.secretKey);
    crypto.agree(x25519, x25519.publicKey);
    crypto.agree(p256, new Uint8Array(32));
    assert.deepEqual(crypto.counter, { generate: 3, agree: 2, sign: 0, verify: 0 });
    const made = newKey('ed25519', crypto.counter);
    const signature = made.key.sign('ed25519', x25519.publicKey);
    const key = crypto.publicKey(made.key.publicSpki);
    assert.ok(key);
    crypto.verify('ed25519', key, signature, x25519.publicKey, 'raw');
    crypto.verify('ed25519', key, signature, p256.publicKey, 'raw');
    const exact = { generate: 4, agree: 2, sign: 1, verify: 2 };
    assert.deepEqual(crypto.counter, exact);
    assert.equal(publicKeyOperations(crypto.counter), 9);
    const aead = EVERY_AEAD[0]!;
    const [secret, nonce] = [crypto.random(aead.keyBytes), crypto.random(aead.nonceBytes)];
    crypto.open(aead, secret, nonce, signature, crypto.seal(aead, secret, nonce, signature, signature));
    crypto.decipherAesCtr(secret, secret, crypto.encipherAesCtr(secret, secret, signature));
    crypto.hkdfExpand('sha-256', crypto.hkdfExtract('sha-256', signature, signature), signature, 64);
    crypto.hash('sha-384', crypto.hmac('sha-512', signature, signature));
    assert.deepEqual(crypto.counter, exact);
    assert.deepEqual(create().counter, { generate: 0, agree: 0, sign: 0, verify: 0 }, 'a counter per instance');
  });

  test(`${half}: random values have the length asked for and differ`, () => {
    const crypto = create();
    assert.equal(crypto.random(16).length, 16);
    assert.notDeepEqual(crypto.random(16), crypto.random(16));
  });
}

/** A SubjectPublicKeyInfo with a modulus of that many bits; its factors do not matter here. */
function rsaSpki(bits: number, exponent: number): Uint8Array {
  const der = (tag: number, ...parts: readonly Uint8Array[]): Uint8Array => {
    const body = concat(...parts);
    const size = body.length;
    const head = size < 128 ? [tag, size] : size < 256 ? [tag, 0x81, size] : [tag, 0x82, size >> 8, size & 0xff];
    return concat(new Uint8Array(head), body);
  };
  const modulus = concat(new Uint8Array(1), new Uint8Array(bits / 8).fill(0xcb));
  const e = exponent === 65537 ? fromHex('010001') : new Uint8Array([exponent]);
  const key = der(0x30, der(0x02, modulus), der(0x02, e));
  return der(0x30, fromHex('300d06092a864886f70d0101010500'), der(0x03, new Uint8Array(1), key));
}

for (const half of HALVES) cryptoSeam(half);

for (const [one, other] of [
  [HALVES[0]!, HALVES[1]!],
  [HALVES[1]!, HALVES[0]!],
] as const) {
  test(`what the ${one.name} half makes, the ${other.name} half takes`, () => {
    const [maker, taker] = [one.create(), other.create()];
    const data = maker.random(300);
    for (const name of ['sha-256', 'sha-384', 'sha-512'] as const) {
      assert.deepEqual(maker.hash(name, data), taker.hash(name, data));
      assert.deepEqual(maker.hmac(name, data, data), taker.hmac(name, data, data));
    }
    for (const aead of EVERY_AEAD) {
      const [key, nonce] = [maker.random(aead.keyBytes), maker.random(aead.nonceBytes)];
      // Around the ends of blocks, and the largest that a record may carry.
      for (const length of [0, 1, 15, 16, 17, 31, 32, 1000, 16_384]) {
        const plaintext = maker.random(length);
        for (const aad of [new Uint8Array(0), data.subarray(0, 14), data]) {
          const sealed = maker.seal(aead, key, nonce, aad, plaintext);
          assert.deepEqual(taker.seal(aead, key, nonce, aad, plaintext), sealed);
          assert.deepEqual(taker.open(aead, key, nonce, aad, sealed), plaintext);
        }
      }
    }
    for (const keyBytes of [16, 24, 32]) {
      const [key, counter, plaintext] = [maker.random(keyBytes), maker.random(16), maker.random(16_384)];
      const ciphertext = maker.encipherAesCtr(key, counter, plaintext);
      assert.deepEqual(taker.encipherAesCtr(key, counter, plaintext), ciphertext);
      assert.deepEqual(taker.decipherAesCtr(key, counter, ciphertext), plaintext);
    }
    for (const curve of CURVES) {
      for (let i = 0; i < 5; i++) {
        const [own, peer] = [maker.generateKey(curve), taker.generateKey(curve)];
        assert.deepEqual(taker.ephemeralKey(curve, own.secretKey), own);
        assert.deepEqual(maker.agree(own, peer.publicKey), taker.agree(peer, own.publicKey));
      }
    }
    for (const [type, algorithm] of SIGNERS) {
      const { key: signer } = one.newKey(type, maker.counter);
      const key = taker.publicKey(signer.publicSpki);
      assert.ok(key);
      // Half of all ECDSA signatures have a high s.
      for (let i = 0; i < 10; i++) {
        const message = maker.random(20 + i);
        assert.equal(taker.verify(algorithm, key, signer.sign(algorithm, message), message, 'raw'), true);
      }
    }
  });
}

test('the portable half reads private keys of the node half and of OpenSSL, and no others', () => {
  const counter = nodeCrypto().counter;
  const derOf = (pem: Uint8Array): Uint8Array =>
    new Uint8Array(Buffer.from(new TextDecoder().decode(pem).replace(/-----.*-----/g, ''), 'base64'));
  for (const type of ['ed25519', 'p256', 'p384'] as const) {
    const { privatePkcs8Pem, publicSpki } = generateSigningKey(type, counter);
    const pkcs8 = derOf(privatePkcs8Pem);
    assert.deepEqual(portableSigningKey(pkcs8, counter)?.publicSpki, publicSpki);
    assert.equal(portableSigningKey(concat(pkcs8, new Uint8Array(1)), counter), null);
    for (let length = 0; length < pkcs8.length; length++) {
      assert.equal(portableSigningKey(pkcs8.subarray(0, length), counter), null);
    }
    if (type === 'ed25519') continue;
    const foreign = pkcs8.slice();
    foreign[foreign.length - 1]! ^= 1; // the public key beside the secret
    assert.equal(portableSigningKey(foreign, counter), null);
    const { key, pkcs8: own } = newPortableSigningKey(type, counter);
    const scalar = own.subarray(own.length - (type === 'p256' ? 32 : 48));
    assert.deepEqual(signingKey(own, counter).publicSpki, key.publicSpki, 'OpenSSL computes the same public key');
    for (const bad of [0x00, 0xff]) {
      scalar.fill(bad);
      assert.equal(portableSigningKey(own, counter), null, 'zero and what is above the order are no scalars');
    }
  }
  assert.equal(portableSigningKey(derOf(generateRsaPem()), counter), null);
});

function generateRsaPem(): Uint8Array {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return encodeUtf8(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
}

test('a private key that is encrypted, garbage or of a foreign type is refused with its reason', () => {
  const counter = nodeCrypto().counter;
  const faultOf = (bytes: Uint8Array): string => {
    try {
      signingKey(bytes, counter);
    } catch (error) {
      assert.ok(error instanceof SigningKeyError, String(error));
      return error.fault;
    }
    return 'none';
  };
  // openssl genpkey -algorithm ed25519 -aes256 -pass pass:x
  const encrypted = `-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjNrX0ZQJNabgICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEJmSYrp4cLDDm9XimtHs1jUEQFq8
M8PAYvZpSeYEJF1hOHM8WaQvecpTW85/BUFI8SLAiy4DaR2Bx/fdnG76CwTXm0bm
JTfqciFoM+aGZOf1Dkw=
-----END ENCRYPTED PRIVATE KEY-----
`;
  const x25519 = concat(fromHex('302e020100300506032b656e04220420'), new Uint8Array(32).fill(7));
  const traditional = '-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END EC PRIVATE KEY-----\n';
  assert.equal(faultOf(encodeUtf8(encrypted)), 'encrypted');
  assert.equal(faultOf(encodeUtf8(traditional)), 'encrypted');
  assert.equal(faultOf(new Uint8Array(0)), 'unreadable');
  assert.equal(faultOf(encodeUtf8('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')), 'unreadable');
  assert.equal(faultOf(x25519), 'unsupported');
  const { privatePkcs8Pem } = generateSigningKey('p256');
  assert.throws(() => signingKey(privatePkcs8Pem, counter).sign('ed25519', x25519), RangeError);
});
