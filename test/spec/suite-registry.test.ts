/**
 * Every suite that can be registered, on every crypto half: it seals and opens across the halves, refuses what was changed,
 * stands on published vectors, and has an algorithm number of its own.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { concat, EMPTY, fromHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import { keyModeSecretBytes } from '../../protocol/key-schedule.ts';
import { Grant } from '../../protocol/messages.ts';
import { protect, unprotect } from '../../protocol/protection.ts';
import {
  FIRST_ID,
  makeRecordContext,
  openRecord,
  type RecordContext,
  SECOND_ID,
  sealRecord,
} from '../../protocol/record.ts';
import { CIPHERS, type Cipher, type RecordAlgorithm, resolveSuite, suiteName } from '../../protocol/suites.ts';
import { EVERY_SUITE, flip } from '../every-suite.ts';
import { HMAC_CASES } from '../rfc4231.ts';
import { SFRAME_VECTORS } from '../rfc9605.ts';
import { CTR_CASES, CTR_COUNTER, CTR_PLAINTEXT } from '../sp800-38a.ts';

const HALVES: readonly Crypto[] = [nodeCrypto(), portableCrypto()];

test('[P9] [P16] the registry has 78 suites: each number written down here, so that none comes or goes unseen', (t) => {
  const count = (cipher: Cipher): number => EVERY_SUITE.filter(({ suite }) => suite.cipher === cipher).length;
  const counts = Object.fromEntries((Object.keys(CIPHERS) as Cipher[]).map((cipher) => [cipher, count(cipher)]));
  t.diagnostic(`${EVERY_SUITE.length} suites: ${JSON.stringify(counts)}`);
  assert.deepEqual(counts, { 'aes-gcm': 9, 'aes-ccm': 12, 'chacha20-poly1305': 3, 'aes-ctr-hmac': 27, hmac: 27 });
  assert.equal(new Set(EVERY_SUITE.map(({ suite }) => suiteName(suite))).size, 78);
});

for (const sealer of HALVES) {
  for (const opener of HALVES) {
    test(`[P8] [P16] every suite, sealed by ${sealer.name} and opened by ${opener.name}: the same bytes, and nothing that was changed`, () => {
      for (const algorithm of EVERY_SUITE) {
        const name = suiteName(algorithm.suite);
        const [key, nonce] = [sealer.random(algorithm.keyBytes), sealer.random(algorithm.nonceBytes)];
        const [aad, plaintext] = [sealer.random(59), sealer.random(21)];
        const sealed = protect(sealer, algorithm, key, nonce, aad, plaintext);
        const open = (body: Uint8Array, k = key, n = nonce, a = aad) => unprotect(opener, algorithm, k, n, a, body);
        assert.deepEqual(protect(opener, algorithm, key, nonce, aad, plaintext), sealed, name);
        assert.equal(sealed.length, plaintext.length + algorithm.tagBytes, name);
        assert.deepEqual(open(sealed), plaintext, name);
        for (let byte = 0; byte < sealed.length; byte++) {
          assert.equal(open(flip(sealed, 8 * byte + (byte & 7))), null, `${name}: byte ${byte} altered`);
          assert.equal(open(sealed.subarray(0, byte)), null, `${name}: cut to ${byte} bytes`);
          assert.equal(open(sealed.subarray(byte + 1)), null, `${name}: ${byte + 1} bytes lost in front`);
        }
        assert.equal(open(concat(sealed, Uint8Array.of(0))), null, `${name}: a byte more`);
        for (let byte = 0; byte < nonce.length; byte++)
          assert.equal(open(sealed, key, flip(nonce, 8 * byte)), null, name);
        for (let byte = 0; byte < aad.length; byte++)
          assert.equal(open(sealed, key, nonce, flip(aad, 8 * byte)), null, name);
        assert.equal(open(sealed, key, nonce, EMPTY), null, name);
        assert.equal(open(sealed, sealer.random(algorithm.keyBytes)), null, `${name}: another key`);
        assert.deepEqual(open(protect(sealer, algorithm, key, nonce, aad, EMPTY)), EMPTY, name);
      }
    });
  }
}

test('[P16] a record of one suite opens under no other, though the keys be the same bytes; only the KDF hash of an AEAD is not seen in it', () => {
  const [crypto] = HALVES as [Crypto];
  const bytes = crypto.random(128);
  const side = (algorithm: RecordAlgorithm, senderId: Uint8Array, recipientId: Uint8Array): RecordContext => {
    const key = bytes.slice(0, algorithm.keyBytes);
    const keys = { senderKey: key, recipientKey: key, commonIv: bytes.slice(0, algorithm.nonceBytes) };
    const transcript = bytes.slice(0, 32);
    return makeRecordContext({ algorithm, keys, senderId, recipientId, epochBit: 0, route: null, transcript });
  };
  let [same, refused] = [0, 0];
  for (const one of EVERY_SUITE) {
    const record = sealRecord(crypto, side(one, FIRST_ID, SECOND_ID), 'data', bytes);
    for (const other of EVERY_SUITE) {
      if (one === other || one.keyBytes !== other.keyBytes) continue;
      const receiver = side(other, SECOND_ID, FIRST_ID);
      const names = `${suiteName(one.suite)} and ${suiteName(other.suite)}`;
      if (one.coseAlgorithm === other.coseAlgorithm) {
        assert.deepEqual(openRecord(crypto, receiver, record).plaintext, bytes, names);
        same++;
      } else {
        assert.throws(() => openRecord(crypto, receiver, record), ProtocolError, names);
        refused++;
      }
    }
  }
  assert.equal(same, 8 * 3 * 2, 'eight AEADs under three hashes');
  assert.ok(refused > 900, `${refused} refused`);
});

test('[P16] a COSE algorithm number stands for one protection: cipher, key length, tag, and the hash where it makes the MAC', () => {
  const byNumber = new Map<number, string>();
  for (const { coseAlgorithm, kind, suite } of EVERY_SUITE) {
    assert.ok(Number.isSafeInteger(coseAlgorithm));
    const { cipher, keyBits, tagBits, hash } = suite;
    const protection = [cipher, keyBits, tagBits, ...(kind === 'aead' ? [] : [hash])].join(' ');
    assert.equal(byNumber.get(coseAlgorithm) ?? protection, protection, `number ${coseAlgorithm}`);
    byNumber.set(coseAlgorithm, protection);
  }
  assert.equal(new Set(byNumber.values()).size, byNumber.size, 'and no protection has two');
  assert.equal(byNumber.size, 3 + 4 + 1 + 27 + 27);
  // RFC 9053 §4.1 to §4.3: what is registered has its number; everything else is private use, below −65536.
  const registered = {
    1: 'aes-gcm 128',
    2: 'aes-gcm 192',
    3: 'aes-gcm 256',
    10: 'aes-ccm 128 64',
    11: 'aes-ccm 256 64',
  };
  const more = { 30: 'aes-ccm 128 128', 31: 'aes-ccm 256 128', 24: 'chacha20-poly1305 256' };
  for (const [number, protection] of Object.entries({ ...registered, ...more })) {
    assert.ok(byNumber.get(Number(number))?.startsWith(protection), `number ${number}`);
    byNumber.delete(Number(number));
  }
  for (const number of byNumber.keys()) assert.ok(number < -65_536, `${number} is not for private use`);
});

test('[P15] [claim 3] the keys of every suite fit into a grant', () => {
  let longest = 0;
  for (const algorithm of EVERY_SUITE) {
    const secret = HALVES[0]!.random(keyModeSecretBytes(algorithm));
    longest = Math.max(longest, secret.length);
    assert.deepEqual(Grant.fields.secret.type.fromItem(Grant.fields.secret.type.toItem(secret), 'secret'), secret);
  }
  assert.equal(longest, 2 * (32 + 64) + 12, 'AES-256 with HMAC-SHA-512 has the longest');
});

// ── Published vectors ───────────────────────────────────────────────────────────────────────────────────────────────

interface Sealed {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly sealed: Uint8Array;
}

/** Seals and opens a vector. @returns false when the registry has no such suite */
function agrees(crypto: Crypto, algorithm: RecordAlgorithm | null, vector: Sealed, source: string): boolean {
  const { key, nonce, aad, plaintext, sealed } = vector;
  if (algorithm === null || nonce.length !== algorithm.nonceBytes) return false;
  assert.deepEqual(protect(crypto, algorithm, key, nonce, aad, plaintext), sealed, source);
  assert.deepEqual(unprotect(crypto, algorithm, key, nonce, aad, sealed), plaintext, source);
  return true;
}

interface WycheproofGroup {
  readonly keySize: number;
  readonly tagSize: number;
  readonly tests: readonly (Readonly<Record<'key' | 'iv' | 'aad' | 'msg' | 'ct' | 'tag', string>> & {
    result: string;
  })[];
}

const folder = join(process.env.KAGIMORI_VECTORS ?? join(import.meta.dirname, '../../../shared/vectors'), 'wycheproof');
const FILES = { 'aes-gcm': 'aes_gcm', 'aes-ccm': 'aes_ccm', 'chacha20-poly1305': 'chacha20_poly1305' } as const;
const pathOf = (cipher: keyof typeof FILES): string => join(folder, `${FILES[cipher]}_test.json`);

/** The good ones with a nonce as long as records have it. */
function wycheproof(cipher: keyof typeof FILES, crypto: Crypto): string[] {
  const { testGroups }: { testGroups: readonly WycheproofGroup[] } = JSON.parse(readFileSync(pathOf(cipher), 'utf8'));
  const proven: string[] = [];
  for (const { keySize: keyBits, tagSize: tagBits, tests } of testGroups) {
    const algorithm = resolveSuite({ cipher, keyBits, hash: 'sha-256', tagBits });
    for (const { key, iv, aad, msg, ct, tag, result } of tests) {
      if (result !== 'valid') continue;
      const sealed = fromHex(ct + tag);
      const vector = { key: fromHex(key), nonce: fromHex(iv), aad: fromHex(aad), plaintext: fromHex(msg), sealed };
      if (agrees(crypto, algorithm, vector, `Wycheproof, ${cipher}`)) proven.push(aeadOf(cipher, keyBits, tagBits));
    }
  }
  return proven;
}

/** Tags of 8 bytes under nonces of 13, which Wycheproof has none of. */
const CCM_SHORT: readonly (Sealed & { readonly source: string; readonly keyBits: number })[] = [
  {
    source: 'RFC 3610 §8, packet vector 1',
    keyBits: 128,
    key: fromHex('c0c1c2c3c4c5c6c7c8c9cacbcccdcecf'),
    nonce: fromHex('00000003020100a0a1a2a3a4a5'),
    aad: fromHex('0001020304050607'),
    plaintext: fromHex('08090a0b0c0d0e0f101112131415161718191a1b1c1d1e'),
    sealed: fromHex('588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0'),
  },
  {
    source: 'NIST CAVS 11.0, VTT256.rsp, Tlen = 8, first case',
    keyBits: 256,
    key: fromHex('bae73483de27b581a7c13f178a6d7bda168c1b4a1cb9180512a13e3ab914eb61'),
    nonce: fromHex('daf54faef6e4fc7867624b76f2'),
    aad: fromHex('7022eaa52c9da821da72d2edd98f6b91dfe474999b75b34699aeb38465f70c1c'),
    plaintext: fromHex('28ef408d57930086011b167ac04b866e5b58fe6690a0b9c3'),
    sealed: fromHex('356367c6cee4453658418d9517f7c6faddcd7c65aef460138cf050f48c505151'),
  },
];

const ccmShort = (crypto: Crypto): string[] =>
  CCM_SHORT.map(({ keyBits, source, ...vector }) => {
    const algorithm = resolveSuite({ cipher: 'aes-ccm', keyBits, hash: 'sha-256', tagBits: 64 });
    assert.ok(agrees(crypto, algorithm, vector, source), source);
    return aeadOf('aes-ccm', keyBits, 64);
  });

const sframe = (crypto: Crypto): string[] =>
  SFRAME_VECTORS.map(({ algorithm, source, ...vector }) => {
    assert.ok(agrees(crypto, algorithm, vector, source), source);
    return 'encrypt-then-MAC';
  });

const counterMode = (crypto: Crypto): string[] =>
  CTR_CASES.map(({ name, key, ciphertext }) => {
    assert.deepEqual(crypto.encipherAesCtr(key, CTR_COUNTER, CTR_PLAINTEXT), ciphertext, name);
    return `AES-CTR ${8 * key.length}`;
  });

/** Through the suites: what is authenticated is authenticated data ‖ nonce ‖ plaintext, here the text of the case in three. */
const hmac = (crypto: Crypto): string[] =>
  EVERY_SUITE.flatMap((algorithm) => {
    const { kind, suite, tagBytes } = algorithm;
    if (kind !== 'integrity-only') return [];
    let ran = 0;
    for (const { number, key, data, macs } of HMAC_CASES) {
      assert.deepEqual(crypto.hmac(suite.hash, key, data).subarray(0, macs[suite.hash].length), macs[suite.hash]);
      if (macs[suite.hash].length < tagBytes) continue;
      const [aad, nonce, plaintext] = [data.subarray(0, 3), data.subarray(3, 7), data.slice(7)];
      const sealed = concat(plaintext, macs[suite.hash].subarray(0, tagBytes));
      assert.deepEqual(protect(crypto, algorithm, key, nonce, aad, plaintext), sealed, `case ${number}`);
      assert.deepEqual(unprotect(crypto, algorithm, key, nonce, aad, sealed), plaintext, `case ${number}`);
      ran++;
    }
    assert.ok(ran >= 6, `${ran} cases`);
    return [`HMAC ${suite.hash}`, `HMAC ${suite.hash} tag ${suite.tagBits}`];
  });

const aeadOf = (cipher: Cipher, keyBits: number, tagBits: number): string => `${cipher} ${keyBits} tag ${tagBits}`;
const aeadNeeds = ({ cipher, keyBits, tagBits }: RecordAlgorithm['suite']): string[] => [
  aeadOf(cipher, keyBits, tagBits),
];

/** What has to be proven for a suite, and the publications that prove it. A cipher without a row does not compile. */
const PUBLISHED: Readonly<
  Record<
    Cipher,
    {
      readonly sources: string;
      readonly needs: (suite: RecordAlgorithm['suite']) => readonly string[];
      readonly prove: (crypto: Crypto) => readonly string[];
    }
  >
> = {
  'aes-gcm': { sources: 'Wycheproof', needs: aeadNeeds, prove: (crypto) => wycheproof('aes-gcm', crypto) },
  'aes-ccm': {
    sources: 'Wycheproof, RFC 3610, NIST CAVS VTT256',
    needs: aeadNeeds,
    prove: (crypto) => [...wycheproof('aes-ccm', crypto), ...ccmShort(crypto)],
  },
  'chacha20-poly1305': {
    sources: 'Wycheproof',
    needs: aeadNeeds,
    prove: (crypto) => wycheproof('chacha20-poly1305', crypto),
  },
  'aes-ctr-hmac': {
    sources: 'RFC 9605, draft-barnes-sframe-iana-256, SP 800-38A F.5, RFC 4231',
    needs: ({ keyBits, hash }) => ['encrypt-then-MAC', `AES-CTR ${keyBits}`, `HMAC ${hash}`],
    prove: (crypto) => [...sframe(crypto), ...counterMode(crypto), ...hmac(crypto)],
  },
  hmac: {
    sources: 'RFC 4231',
    needs: ({ hash, tagBits }) => [`HMAC ${hash} tag ${tagBits}`],
    prove: hmac,
  },
};

const absent = (Object.keys(FILES) as (keyof typeof FILES)[]).map(pathOf).find((path) => !existsSync(path));
for (const cipher of Object.keys(CIPHERS) as Cipher[]) {
  for (const crypto of HALVES) {
    const { sources, needs, prove } = PUBLISHED[cipher];
    const skip = absent === undefined || !(cipher in FILES) ? false : `vectors absent: ${absent}`;
    test(`[P16] ${cipher}, ${crypto.name}: every suite of it stands on published vectors (${sources})`, {
      skip,
    }, (t) => {
      const ran = prove(crypto);
      const proven = new Set(ran);
      for (const { suite } of EVERY_SUITE) {
        if (suite.cipher !== cipher) continue;
        for (const need of needs(suite))
          assert.ok(proven.has(need), `${suiteName(suite)}: nothing published for ${need}`);
      }
      t.diagnostic(`${ran.length} vectors; proven: ${[...proven].join(', ')}`);
    });
  }
}
