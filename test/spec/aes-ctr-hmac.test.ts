/**
 * AES-CTR with HMAC: the counter mode against SP 800-38A, the construction against RFC 9605, and what stands between them
 * beside node:crypto, straight from the formulas.
 * @spec RFC 9605 §4.5.1, NIST SP 800-38A §6.5
 */
import assert from 'node:assert/strict';
import { createCipheriv, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { concat, EMPTY, fromHex, toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { MAX_RECORD_BYTES } from '../../protocol/frame.ts';
import { protect, unprotect } from '../../protocol/protection.ts';
import { suiteName } from '../../protocol/suites.ts';
import { EVERY_SUITE, flip } from '../every-suite.ts';
import { SFRAME_VECTORS, type SframeVector } from '../rfc9605.ts';
import { CTR_CASES, CTR_COUNTER, CTR_PLAINTEXT } from '../sp800-38a.ts';

const HALVES: readonly Crypto[] = [nodeCrypto(), portableCrypto()];
const NODE_HASH = { 'sha-256': 'sha256', 'sha-384': 'sha384', 'sha-512': 'sha512' } as const;
type Algorithm = SframeVector['algorithm'];
const ALGORITHMS = EVERY_SUITE.filter((one): one is Algorithm => one.kind === 'encrypt-then-mac');

const bigEndian = (value: bigint, bytes: number): Uint8Array => fromHex(value.toString(16).padStart(2 * bytes, '0'));

/** AES-CTR.Encrypt from nothing but the block function: block i = AES(key, counter + i mod 2^128). */
function blockByBlock(key: Uint8Array, counter: Uint8Array, data: Uint8Array): Uint8Array {
  const ecb = createCipheriv(`aes-${8 * key.length}-ecb`, key, null).setAutoPadding(false);
  const first = BigInt(`0x${toHex(counter)}`);
  const result = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += 16) {
    const block = ecb.update(bigEndian((first + BigInt(at / 16)) % 2n ** 128n, 16));
    for (let i = at; i < Math.min(at + 16, data.length); i++) result[i] = data[i]! ^ block[i - at]!;
  }
  return result;
}

/** AEAD.Encrypt of RFC 9605 §4.5.1, line by line. @param lengths  what stands in front of nonce, aad and ct */
function formula(
  { cipherKeyBytes, tagBytes, suite }: Algorithm,
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
  lengths: readonly number[] = [aad.length, plaintext.length, tagBytes],
): Uint8Array {
  const [encKey, authKey] = [key.subarray(0, cipherKeyBytes), key.subarray(cipherKeyBytes)];
  const ct = blockByBlock(encKey, concat(nonce, fromHex('00000000')), plaintext);
  const authData = concat(...lengths.map((length) => bigEndian(BigInt(length), 8)), nonce, aad, ct);
  const tag = createHmac(NODE_HASH[suite.hash], authKey).update(authData).digest();
  return concat(ct, tag.subarray(0, tagBytes));
}

for (const crypto of HALVES) {
  for (const { name, key, ciphertext } of CTR_CASES) {
    test(`[P16] SP 800-38A ${name}, ${crypto.name}: enciphered and deciphered, whole and cut`, () => {
      for (let length = 0; length <= CTR_PLAINTEXT.length; length++) {
        const [plain, cipher] = [CTR_PLAINTEXT.slice(0, length), ciphertext.slice(0, length)];
        assert.deepEqual(crypto.encipherAesCtr(key, CTR_COUNTER, plain), cipher);
        assert.deepEqual(crypto.decipherAesCtr(key, CTR_COUNTER, cipher), plain);
      }
    });
  }

  test(`[P16] SP 800-38A §6.5, ${crypto.name}: the counter is one number of 128 bits, and begins again at zero`, () => {
    const data = crypto.random(100);
    for (const keyBytes of [16, 24, 32]) {
      const key = crypto.random(keyBytes);
      for (const ones of [0, 1, 4, 5, 8, 11, 15, 16]) {
        const counter = concat(crypto.random(16 - ones), new Uint8Array(ones).fill(0xff));
        for (const less of [0, 2]) {
          counter[15]! -= less;
          assert.deepEqual(
            crypto.encipherAesCtr(key, counter, data),
            blockByBlock(key, counter, data),
            `${keyBytes} bytes, ${toHex(counter)}`,
          );
        }
      }
    }
  });

  for (const { source, algorithm, key, nonce, aad, plaintext, sealed } of SFRAME_VECTORS) {
    test(`[P16] ${source}, ${crypto.name}: sealed as published, and opened`, () => {
      assert.equal(toHex(protect(crypto, algorithm, key, nonce, aad, plaintext)), toHex(sealed));
      assert.deepEqual(unprotect(crypto, algorithm, key, nonce, aad, sealed), plaintext);
      for (let bit = 0; bit < 8 * sealed.length; bit++) {
        assert.equal(unprotect(crypto, algorithm, key, nonce, aad, flip(sealed, bit)), null, `bit ${bit}`);
      }
    });
  }

  test(`[P16] RFC 9605 §4.5.1, ${crypto.name}: every suite of it gives what the formula gives, at every length around a block`, () => {
    for (const algorithm of ALGORITHMS) {
      const [key, nonce, text] = [crypto.random(algorithm.keyBytes), crypto.random(12), crypto.random(300)];
      for (const length of [0, 1, 15, 16, 17, 31, 32, 33, 300]) {
        const plaintext = text.subarray(0, length);
        for (const aad of [EMPTY, text.subarray(7, 66), text]) {
          const sealed = formula(algorithm, key, nonce, aad, plaintext);
          const name = `${suiteName(algorithm.suite)}, ${length} bytes`;
          assert.deepEqual(protect(crypto, algorithm, key, nonce, aad, plaintext), sealed, name);
          assert.deepEqual(unprotect(crypto, algorithm, key, nonce, aad, sealed), new Uint8Array(plaintext), name);
        }
      }
    }
    assert.equal(ALGORITHMS.length, 27);
  });

  test(`[P16] ${crypto.name}: nothing is deciphered before its tag has proved good`, () => {
    let deciphered = 0;
    const counting: Crypto = {
      ...crypto,
      decipherAesCtr(key, counter, ciphertext) {
        deciphered++;
        return crypto.decipherAesCtr(key, counter, ciphertext);
      },
    };
    for (const algorithm of ALGORITHMS) {
      const [key, nonce, aad] = [crypto.random(algorithm.keyBytes), crypto.random(12), crypto.random(20)];
      const sealed = protect(crypto, algorithm, key, nonce, aad, aad);
      for (let byte = 0; byte < sealed.length; byte++) {
        assert.equal(unprotect(counting, algorithm, key, nonce, aad, flip(sealed, 8 * byte + (byte & 7))), null);
        assert.equal(unprotect(counting, algorithm, key, nonce, aad, sealed.subarray(0, byte)), null);
      }
      assert.equal(deciphered, 0);
      assert.deepEqual(unprotect(counting, algorithm, key, nonce, aad, sealed), aad);
      assert.equal(deciphered, 1);
      deciphered = 0;
    }
  });

  test(`[P16] ${crypto.name}: what opens is decided by the MAC key; the cipher key has its own part and proves nothing`, () => {
    for (const algorithm of ALGORITHMS) {
      const [key, nonce, aad] = [crypto.random(algorithm.keyBytes), crypto.random(12), crypto.random(20)];
      const sealed = protect(crypto, algorithm, key, nonce, aad, aad);
      for (let byte = 0; byte < key.length; byte++) {
        const opened = unprotect(crypto, algorithm, flip(key, 8 * byte), nonce, aad, sealed);
        if (byte < algorithm.cipherKeyBytes) assert.notDeepEqual(opened, aad);
        else assert.equal(opened, null, `byte ${byte} of the key`);
      }
    }
  });
}

test('RFC 9605 §4.5.1: the published values are of the RFC: with another head of what is authenticated they come out otherwise', () => {
  for (const { source, algorithm, key, nonce, aad, plaintext, sealed } of SFRAME_VECTORS) {
    assert.deepEqual(formula(algorithm, key, nonce, aad, plaintext), sealed, source);
    for (const lengths of [[], [aad.length], [aad.length, plaintext.length], [plaintext.length, aad.length, 8]]) {
      assert.notDeepEqual(formula(algorithm, key, nonce, aad, plaintext, lengths), sealed, `${source}, as ${lengths}`);
    }
  }
});

test('[5.6 nonce reuse] the blocks of the longest record are counted in the 32 bits behind the nonce: no nonce runs into the next', () => {
  assert.ok(MAX_RECORD_BYTES / 16 < 2 ** 32);
  const counters: string[] = [];
  const [crypto] = HALVES as [Crypto];
  const watching: Crypto = {
    ...crypto,
    encipherAesCtr(key, counter, plaintext) {
      counters.push(toHex(counter));
      return crypto.encipherAesCtr(key, counter, plaintext);
    },
  };
  for (const algorithm of ALGORITHMS) {
    protect(watching, algorithm, crypto.random(algorithm.keyBytes), crypto.random(12), EMPTY, crypto.random(40));
  }
  assert.equal(counters.length, ALGORITHMS.length);
  for (const counter of counters) assert.match(counter, /^[0-9a-f]{24}00000000$/);
});
