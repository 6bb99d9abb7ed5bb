/**
 * AES-CCM as written here: the first packet of RFC 3610, the ends of its ranges beside OpenSSL, and what it refuses.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { EMPTY, fromHex, toHex } from '../../protocol/bytes.ts';
import type { Aead } from '../../protocol/crypto.ts';

const CCM_8: Aead = { cipher: 'aes-ccm', keyBytes: 16, nonceBytes: 13, tagBytes: 8 };
const portable = portableCrypto();
const openssl = nodeCrypto();

test('RFC 3610 §8, packet vector 1', () => {
  const key = fromHex('c0c1c2c3c4c5c6c7c8c9cacbcccdcecf');
  const nonce = fromHex('00000003020100a0a1a2a3a4a5');
  const aad = fromHex('0001020304050607');
  const plaintext = fromHex('08090a0b0c0d0e0f101112131415161718191a1b1c1d1e');
  const sealed = portable.seal(CCM_8, key, nonce, aad, plaintext);
  assert.equal(toHex(sealed), '588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0');
  assert.deepEqual(portable.open(CCM_8, key, nonce, aad, sealed), plaintext);
});

test('RFC 3610 §2.2: additional data and plaintext of every length around a block give what OpenSSL gives', () => {
  for (const keyBytes of [16, 24, 32] as const) {
    for (const nonceBytes of [12, 13] as const) {
      for (const tagBytes of [8, 16] as const) {
        const aead: Aead = { cipher: 'aes-ccm', keyBytes, nonceBytes, tagBytes };
        const [key, nonce, text] = [portable.random(keyBytes), portable.random(nonceBytes), portable.random(64)];
        for (let length = 0; length <= 33; length++) {
          const plaintext = text.subarray(0, length);
          for (const aad of [EMPTY, text.subarray(0, length), text.subarray(0, 14)]) {
            const sealed = openssl.seal(aead, key, nonce, aad, plaintext);
            assert.deepEqual(portable.seal(aead, key, nonce, aad, plaintext), sealed);
            assert.deepEqual(portable.open(aead, key, nonce, aad, sealed), new Uint8Array(plaintext));
          }
        }
      }
    }
  }
});

test('RFC 3610 §2.1: the longest message of a 13-byte nonce, and one that needs the third byte of a 12-byte nonce', () => {
  const [key, text] = [portable.random(16), portable.random(65_537)];
  const longAad = text.subarray(0, 0xfeff);
  for (const [nonceBytes, length] of [
    [13, 65_535],
    [12, 65_537],
  ] as const) {
    const aead: Aead = { cipher: 'aes-ccm', keyBytes: 16, nonceBytes, tagBytes: 16 };
    const nonce = portable.random(nonceBytes);
    const plaintext = text.subarray(0, length);
    const sealed = openssl.seal(aead, key, nonce, longAad, plaintext);
    assert.deepEqual(portable.seal(aead, key, nonce, longAad, plaintext), sealed);
  }
});

test('AES-CCM refuses what its length fields cannot hold, rather than wrapping round', () => {
  const [key, nonce] = [portable.random(16), portable.random(13)];
  assert.throws(() => portable.seal(CCM_8, key, nonce, EMPTY, new Uint8Array(65_536)), RangeError);
  assert.throws(() => portable.open(CCM_8, key, nonce, EMPTY, new Uint8Array(65_536 + 8)), RangeError);
  assert.throws(() => portable.seal(CCM_8, key, nonce, new Uint8Array(0xff00), EMPTY), RangeError);
});
