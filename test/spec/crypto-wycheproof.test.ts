/**
 * The crypto halves against C2SP/wycheproof: what must be accepted gives the published bytes, what must be refused is.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { concat, equal, fromHex } from '../../protocol/bytes.ts';
import type { Aead, Crypto } from '../../protocol/crypto.ts';

const folder = join(process.env.KAGIMORI_VECTORS ?? join(import.meta.dirname, '../../../shared/vectors'), 'wycheproof');
const halves: readonly Crypto[] = [nodeCrypto(), portableCrypto()];

interface Case {
  readonly tcId: number;
  readonly comment: string;
  readonly result: 'valid' | 'invalid' | 'acceptable';
  readonly [field: string]: unknown;
}
interface Group {
  readonly tests: readonly Case[];
  readonly [field: string]: unknown;
}

const hex = (from: { readonly [field: string]: unknown }, field: string): Uint8Array => {
  const text = from[field];
  assert.equal(typeof text, 'string', `the vector has no ${field}`);
  return fromHex(String(text));
};

/** What the half did with a case: the bytes came out right, the input was refused, or the case is not one we offer. */
type Outcome = 'accepted' | 'refused' | 'not offered';

/** Runs a file over every half; an "acceptable" case may go either way, but never with wrong bytes. */
function replay(file: string, run: (crypto: Crypto, group: Group, vector: Case) => Outcome): void {
  const path = join(folder, file);
  const skip = existsSync(path) ? false : `vectors absent: ${path}`;
  for (const crypto of halves) {
    test(`Wycheproof ${file} holds for the half ${crypto.name}`, { skip }, (t) => {
      const { testGroups }: { testGroups: readonly Group[] } = JSON.parse(readFileSync(path, 'utf8'));
      const count = { accepted: 0, refused: 0, 'not offered': 0 };
      for (const group of testGroups) {
        for (const vector of group.tests) {
          const outcome = run(crypto, group, vector);
          count[outcome]++;
          if (outcome === 'not offered' || vector.result === 'acceptable') continue;
          const due = vector.result === 'valid' ? 'accepted' : 'refused';
          assert.equal(outcome, due, `case ${vector.tcId} (${vector.comment})`);
        }
      }
      const ran = count.accepted + count.refused;
      t.diagnostic(
        `${ran} cases: ${count.accepted} accepted, ${count.refused} refused; ${count['not offered']} not offered`,
      );
      assert.ok(count.accepted > 0, 'no case was accepted');
      assert.ok(count.refused > 0, 'no case was refused');
    });
  }
}

const offered = (group: Group, cipher: Aead['cipher']): Aead | null => {
  const keyBytes = Number(group.keySize) / 8;
  const nonceBytes = Number(group.ivSize) / 8;
  const tagBytes = Number(group.tagSize) / 8;
  if (keyBytes !== 16 && keyBytes !== 24 && keyBytes !== 32) return null;
  if (nonceBytes !== 12 && nonceBytes !== 13) return null;
  if (tagBytes !== 8 && tagBytes !== 16) return null;
  return { cipher, keyBytes, nonceBytes, tagBytes };
};

for (const [file, cipher] of [
  ['aes_gcm_test.json', 'aes-gcm'],
  ['aes_ccm_test.json', 'aes-ccm'],
  ['chacha20_poly1305_test.json', 'chacha20-poly1305'],
] as const) {
  replay(file, (crypto, group, vector) => {
    const aead = offered(group, cipher);
    if (aead === null) return 'not offered';
    const [key, nonce, aad, message] = [hex(vector, 'key'), hex(vector, 'iv'), hex(vector, 'aad'), hex(vector, 'msg')];
    const sealed = concat(hex(vector, 'ct'), hex(vector, 'tag'));
    const opened = crypto.open(aead, key, nonce, aad, sealed);
    if (opened === null) return 'refused';
    assert.deepEqual(opened, message, `case ${vector.tcId}: opened`);
    assert.deepEqual(crypto.seal(aead, key, nonce, aad, message), sealed, `case ${vector.tcId}: sealed`);
    return 'accepted';
  });
}

replay('x25519_test.json', (crypto, _group, vector) => {
  const own = crypto.ephemeralKey('x25519', hex(vector, 'private'));
  const shared = crypto.agree(own, hex(vector, 'public'));
  if (shared === null) return 'refused';
  assert.ok(
    shared.some((byte) => byte !== 0),
    `case ${vector.tcId}: a point of low order was taken`,
  );
  assert.deepEqual(shared, hex(vector, 'shared'), `case ${vector.tcId}`);
  return 'accepted';
});

replay('ecdsa_secp256r1_sha256_test.json', (crypto, group, vector) => {
  const key = crypto.publicKey(hex(group, 'publicKeyDer'));
  assert.ok(key, 'the public key of the group');
  const accepted = crypto.verify('ecdsa-sha256', key, hex(vector, 'sig'), hex(vector, 'msg'), 'der');
  return accepted ? 'accepted' : 'refused';
});

replay('ed25519_test.json', (crypto, group, vector) => {
  const key = crypto.publicKey(hex(group, 'publicKeyDer'));
  assert.ok(key, 'the public key of the group');
  const accepted = crypto.verify('ed25519', key, hex(vector, 'sig'), hex(vector, 'msg'), 'raw');
  return accepted ? 'accepted' : 'refused';
});

replay('hkdf_sha256_test.json', (crypto, _group, vector) => {
  const prk = crypto.hkdfExtract('sha-256', hex(vector, 'salt'), hex(vector, 'ikm'));
  let okm: Uint8Array;
  try {
    okm = crypto.hkdfExpand('sha-256', prk, hex(vector, 'info'), Number(vector.size));
  } catch (error) {
    assert.ok(error instanceof RangeError, String(error));
    return 'refused';
  }
  assert.ok(equal(okm, hex(vector, 'okm')), `case ${vector.tcId}`);
  return 'accepted';
});
