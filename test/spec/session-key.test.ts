/**
 * From a grant to the two record contexts of a session: transcript, keys as they are, keys from a seed.
 * @spec design §5.4, RFC 8613 §3.2
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { concat, encodeUtf8 } from '../../protocol/bytes.ts';
import { encode } from '../../protocol/cbor.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import { openRecord, sealRecord } from '../../protocol/record.ts';
import {
  type Agreement,
  type Identity,
  sessionContext,
  sessionSecretBytes,
  sessionTranscript,
} from '../../protocol/session-key.ts';
import { CIPHERS, type Cipher, type KeyMode, resolveSuite, type Suite } from '../../protocol/suites.ts';
import type { DeviceId } from '../../protocol/units.ts';

const crypto = nodeCrypto();
const fill = (length: number, byte: number) => new Uint8Array(length).fill(byte);
const party = (id: string, byte: number): Identity => ({
  id: id as DeviceId,
  leaf: fill(32, byte),
  registration: fill(32, byte + 1),
});
const GCM: Suite = { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 };
const AGREED: Agreement = {
  sid: fill(8, 1),
  epoch: 0,
  caller: party('router', 10),
  callee: party('tv', 20),
  user: null,
  name: 'tv.home.example',
  suite: GCM,
  keyMode: 'seed',
  nonceA: fill(16, 2),
  nonceB: fill(16, 3),
  lifetimeSeconds: 3600,
};
const secretFor = ({ suite, keyMode }: Agreement) =>
  Uint8Array.from({ length: sessionSecretBytes(suite, keyMode) }, (_, i) => i + 1);

/** Whether the callee reads what the caller says, when each holds this agreement. */
function understood(caller: Agreement, callee: Agreement, secret = secretFor(caller)): boolean {
  const one = sessionContext(crypto, caller, secret.slice(), 'caller', null);
  const other = sessionContext(crypto, callee, secret.slice(), 'callee', null);
  try {
    const record = sealRecord(crypto, one, 'data', encodeUtf8('hello'));
    return Buffer.from(openRecord(crypto, other, record).plaintext).toString() === 'hello';
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'badMac') return false;
    throw error;
  }
}

function* suites(): Generator<Suite> {
  for (const [cipher, row] of Object.entries(CIPHERS) as [Cipher, (typeof CIPHERS)[Cipher]][])
    for (const keyBits of row.keyBits)
      for (const tagBits of row.tagBits)
        for (const hash of ['sha-256', 'sha-384', 'sha-512'] as const) yield { cipher, keyBits, hash, tagBits };
}

test('T = SHA-256 over CBOR [label, mode, sid, epoch, caller, callee, name, user, suite, nonces, lifetime]', () => {
  const { sid, caller, callee, nonceA, nonceB } = AGREED;
  const suite = new Map<number, number>([
    [1, 1],
    [2, 128],
    [3, 1],
    [4, 128],
  ]);
  const written = encode([
    'kagimori session 1',
    'seed',
    sid,
    0,
    [caller.id, caller.leaf, caller.registration],
    [callee.id, callee.leaf, callee.registration],
    'tv.home.example',
    null,
    suite,
    nonceA,
    nonceB,
    3600,
  ]);
  assert.deepEqual(sessionTranscript(crypto, AGREED), crypto.hash('sha-256', written));
});

test('[P15] [patent 2134] [claim 3] [claim 4] every suite of the registry makes keys of its lengths in both modes', () => {
  let count = 0;
  for (const suite of suites()) {
    for (const keyMode of ['key', 'seed'] as const satisfies KeyMode[]) {
      const agreed = { ...AGREED, suite, keyMode };
      const { keyBytes, nonceBytes } = resolveSuite(suite)!;
      assert.equal(sessionSecretBytes(suite, keyMode), keyMode === 'seed' ? 32 : 2 * keyBytes + nonceBytes);
      const { keys } = sessionContext(crypto, agreed, secretFor(agreed), 'caller', null);
      const lengths = [keys.senderKey.length, keys.recipientKey.length, keys.commonIv.length];
      assert.deepEqual(lengths, [keyBytes, keyBytes, nonceBytes]);
      assert.ok(understood(agreed, agreed));
      count++;
    }
  }
  assert.equal(count, 156);
});

test('[claim 3] in key mode the keys come as they are: caller key ‖ callee key ‖ common IV', () => {
  const agreed = { ...AGREED, keyMode: 'key' as const };
  const secret = concat(fill(16, 1), fill(16, 2), fill(12, 3));
  const { keys } = sessionContext(crypto, agreed, secret, 'callee', null);
  assert.deepEqual([keys.senderKey, keys.recipientKey, keys.commonIv], [fill(16, 2), fill(16, 1), fill(12, 3)]);
});

test('[claim 4] in seed mode no part of the seed is a key, and the two directions have different ones', () => {
  const secret = secretFor(AGREED);
  const { keys } = sessionContext(crypto, AGREED, secret, 'caller', null);
  assert.notDeepEqual(keys.senderKey, keys.recipientKey);
  for (const key of [keys.senderKey, keys.recipientKey]) assert.equal(Buffer.from(secret).indexOf(key), -1);
});

/** The same agreement with one field changed. */
const CHANGES: [field: string, change: Partial<Agreement>][] = [
  ['sid', { sid: fill(8, 9) }],
  ['epoch', { epoch: 2 }],
  ["the caller's id", { caller: { ...AGREED.caller, id: 'router2' as DeviceId } }],
  ["the caller's leaf", { caller: { ...AGREED.caller, leaf: fill(32, 9) } }],
  ["the caller's registration", { caller: { ...AGREED.caller, registration: fill(32, 9) } }],
  ["the callee's id", { callee: { ...AGREED.callee, id: 'tv2' as DeviceId } }],
  ["the callee's leaf", { callee: { ...AGREED.callee, leaf: fill(32, 9) } }],
  ["the callee's registration", { callee: { ...AGREED.callee, registration: fill(32, 9) } }],
  ['both parties swapped', { caller: AGREED.callee, callee: AGREED.caller }],
  ['the name', { name: 'tv' }],
  ['the hash of the suite', { suite: { ...GCM, hash: 'sha-384' } }],
  ['the nonce of the caller', { nonceA: fill(16, 9) }],
  ['the nonce of the callee', { nonceB: fill(16, 9) }],
  ['the lifetime', { lifetimeSeconds: 3601 }],
];

for (const keyMode of ['key', 'seed'] as const) {
  test(`[5.6 unknown key share, reflection, selfie] ${keyMode} mode: a field that differs on one side makes two sessions`, () => {
    const agreed = { ...AGREED, keyMode };
    assert.ok(understood(agreed, { ...agreed }));
    for (const [field, change] of CHANGES) {
      assert.equal(understood(agreed, { ...agreed, ...change }), false, field);
      assert.equal(understood({ ...agreed, ...change }, agreed), false, `${field}, on the other side`);
    }
  });
}

test('[5.6 unknown key share, reflection, selfie] the mode stands in the transcript', () => {
  const other = sessionTranscript(crypto, { ...AGREED, keyMode: 'key' });
  assert.notDeepEqual(sessionTranscript(crypto, AGREED), other);
});

test('[P15] a secret that does not fit the suite, and a suite outside the registry, make no session', () => {
  const fault = { name: 'ProtocolError', code: 'malformed' };
  for (const length of [16, 31, 33, 44]) {
    assert.throws(() => sessionContext(crypto, AGREED, fill(length, 1), 'caller', null), fault, `seed of ${length}`);
  }
  const keyed = { ...AGREED, keyMode: 'key' as const };
  for (const length of [43, 45, 32]) {
    assert.throws(() => sessionContext(crypto, keyed, fill(length, 1), 'caller', null), fault, `keys of ${length}`);
  }
  const odd = { ...GCM, keyBits: 130 };
  assert.throws(() => sessionContext(crypto, { ...AGREED, suite: odd }, fill(32, 1), 'caller', null), fault);
  assert.throws(() => sessionSecretBytes(odd, 'seed'), RangeError);
});
