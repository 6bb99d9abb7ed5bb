/**
 * RFC 8613 appendix C, value by value, through the functions that seal and open records.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { portableCrypto } from '../../platform/crypto-portable.ts';
import { EMPTY, fromHex, toHex } from '../../protocol/bytes.ts';
import { deriveContext, keyInfo } from '../../protocol/key-schedule.ts';
import { aadPrefix, authenticatedData, makeNonce, nonceBase } from '../../protocol/oscore.ts';
import { protect, unprotect } from '../../protocol/protection.ts';
import { writeRecordHead } from '../../protocol/record-head.ts';
import { resolveSuite } from '../../protocol/suites.ts';

type Values = Readonly<Record<string, string | number>>;

const folder = process.env.KAGIMORI_VECTORS ?? join(import.meta.dirname, '../../../shared/vectors');
const path = join(folder, 'rfc8613-appendix-c.json');
const skip = existsSync(path) ? false : `vectors absent: ${path}`;
const vectors: Readonly<Record<string, Values>> = skip === false ? JSON.parse(readFileSync(path, 'utf8')) : {};

const halves = [nodeCrypto(), portableCrypto()];
// AES-CCM-16-64-128 with HKDF SHA-256, the mandatory algorithms of RFC 8613 §3.2
const algorithm = resolveSuite({ cipher: 'aes-ccm', keyBits: 128, hash: 'sha-256', tagBits: 64 })!;

/** The values of one section, each to be compared exactly once; what is left over is told at the end. */
function section(name: string) {
  const values = vectors[name]!;
  const open = new Set(Object.keys(values));
  const take = (key: string): string => {
    open.delete(key);
    return String(values[key] ?? '');
  };
  return {
    open,
    bytes: (key: string) => fromHex(take(key)),
    has: (key: string) => key in values,
    check: (key: string, actual: Uint8Array) => assert.equal(toHex(actual), take(key), `${name}: ${key}`),
  };
}

const derivations = ['C.1.1', 'C.1.2', 'C.2.1', 'C.2.2', 'C.3.1', 'C.3.2'];
for (const [crypto, name] of halves.flatMap((half) => derivations.map((name) => [half, name] as const))) {
  test(`[P16] RFC 8613 ${name}: keys, common IV and nonces are as published, half ${crypto.name}`, { skip }, () => {
    const s = section(name);
    const senderId = s.bytes('Sender ID');
    const recipientId = s.bytes('Recipient ID');
    const idContext = s.has('ID Context') ? s.bytes('ID Context') : null;
    const info = (id: Uint8Array, purpose: 'Key' | 'IV', length: number) => keyInfo(id, idContext, 10, purpose, length);
    s.check('info (for Sender Key)', info(senderId, 'Key', 16));
    s.check('info (for Recipient Key)', info(recipientId, 'Key', 16));
    s.check('info (for Common IV)', info(EMPTY, 'IV', 13));

    const masterSecret = s.bytes('Master Secret');
    const masterSalt = s.bytes('Master Salt');
    const keys = deriveContext(crypto, { algorithm, masterSecret, masterSalt, idContext, senderId, recipientId });
    s.check('Sender Key', keys.senderKey);
    s.check('Recipient Key', keys.recipientKey);
    s.check('Common IV', keys.commonIv);
    const zero = Uint8Array.of(0);
    s.check('sender nonce', makeNonce(nonceBase(keys.commonIv, senderId), zero));
    s.check('recipient nonce', makeNonce(nonceBase(keys.commonIv, recipientId), zero));
    assert.deepEqual([...s.open], [], 'every published value was compared');
  });
}

const CLIENT = { C4: '', C5: '00', C6: '' };
/** Whose id and sequence number stand in AAD and nonce: in a response without a partial IV they are the request's. */
const messages = [
  { name: 'C.4', kid: CLIENT.C4, idPiv: CLIENT.C4, requestPiv: 20, noncePiv: 20 },
  { name: 'C.5', kid: CLIENT.C5, idPiv: CLIENT.C5, requestPiv: 20, noncePiv: 20 },
  { name: 'C.6', kid: CLIENT.C6, idPiv: CLIENT.C6, requestPiv: 20, noncePiv: 20 },
  { name: 'C.7', kid: CLIENT.C4, idPiv: CLIENT.C4, requestPiv: 20, noncePiv: 20 },
  { name: 'C.8', kid: CLIENT.C4, idPiv: '01', requestPiv: 20, noncePiv: 0 },
];
// CoAP around the ciphertext is not ours: its bytes must end with what we seal.
const NOT_OURS = [
  'OSCORE option value',
  'Protected CoAP request (OSCORE message)',
  'kid context',
  'unprotected',
  'ssn',
];

for (const [crypto, message] of halves.flatMap((half) => messages.map((message) => [half, message] as const))) {
  const { name, kid, idPiv, requestPiv, noncePiv } = message;
  test(`[P16] RFC 8613 ${name}: nonce, AAD and ciphertext are as published, half ${crypto.name}`, { skip }, () => {
    const s = section(name);
    const partialIv = (sequence: number) => writeRecordHead(new Uint8Array(8), 'data', 0, sequence, null);
    const prefix = aadPrefix('Encrypt0', algorithm.coseAlgorithm, fromHex(kid));
    const aad = authenticatedData(prefix, partialIv(requestPiv), EMPTY);
    s.check('AAD', aad);
    s.check('aad_array', aad.subarray(prefix.outer.length + 1));
    const nonce = makeNonce(nonceBase(s.bytes('Common IV'), fromHex(idPiv)), partialIv(noncePiv));
    s.check('nonce', nonce);
    if (s.has('Partial IV')) s.check('Partial IV', partialIv(noncePiv));
    if (s.has('kid')) s.check('kid', fromHex(kid));

    const key = s.bytes('encryption key');
    s.check('Sender Key', key);
    const plaintext = s.bytes('plaintext');
    const sealed = protect(crypto, algorithm, key, nonce, aad, plaintext);
    s.check('ciphertext', sealed);
    assert.deepEqual(unprotect(crypto, algorithm, key, nonce, aad, sealed), plaintext);

    const direction = s.has('Protected CoAP request (OSCORE message)') ? 'request' : 'response';
    const coap = s.bytes(`Protected CoAP ${direction} (OSCORE message)`);
    assert.deepEqual(coap.slice(-sealed.length), sealed, 'the published CoAP message carries it');
    for (const key of NOT_OURS) s.open.delete(key);
    for (const key of ['Sender ID', 'ID Context']) s.open.delete(key);
    assert.deepEqual([...s.open], [], 'every published value was compared');
  });
}

test('RFC 8613 appendix C is replayed wholly: 6 derivations and 5 messages', { skip }, (t) => {
  const filled = Object.keys(vectors).filter((name) => Object.keys(Object(vectors[name])).length > 0);
  const published = filled.filter((name) => name.startsWith('C.'));
  assert.deepEqual(published.sort(), [...derivations, ...messages.map(({ name }) => name)].sort());
  t.diagnostic(`${published.length} sections`);
});
