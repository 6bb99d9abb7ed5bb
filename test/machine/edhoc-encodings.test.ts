/**
 * The parts of the EDHOC messages: what is read, what is refused.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { EMPTY, encodeUtf8, fromHex } from '../../protocol/bytes.ts';
import { decodeSequence, encodeSequence } from '../../protocol/cbor.ts';
import { cipherSuite } from '../../protocol/edhoc/cipher-suites.ts';
import { connectionIdItem, parseConnectionId } from '../../protocol/edhoc/connection-id.ts';
import { encodeIdCred, type IdCred, parseIdCred } from '../../protocol/edhoc/credential.ts';
import { checkEad, encodeEad, parseEad } from '../../protocol/edhoc/ead.ts';
import { decodeError, type EdhocError, encodeError } from '../../protocol/edhoc/error-message.ts';
import { readMessage1, writeMessage2 } from '../../protocol/edhoc/responder.ts';
import { ead, exchange, party, refusal, untouched } from './edhoc-parties.ts';

test('RFC 9528 §5.2.1: message_1 of another method, with a low-order or short G_X, or oversized, is refused', () => {
  const crypto = nodeCrypto();
  const suite = cipherSuite(0)!;
  const r = party(suite, 'manager');
  const read = (...items: Parameters<typeof encodeSequence>[0]) => readMessage1(crypto, encodeSequence(items), [0]);
  const gX = crypto.generateKey('x25519').publicKey;
  assert.equal(read(0, 0, gX, 0).outcome, 'accepted');
  for (const method of [1, 2, 3, -1, 'zero']) {
    assert.equal(
      refusal(() => read(method, 0, gX, 0)),
      'malformed',
    );
  }
  const bad = [
    [0, [0], gX, 0],
    [0, [], gX, 0],
    [0, ['0', 0], gX, 0],
    [0, new Array(17).fill(7), gX, 0],
    [0, 0, gX.subarray(1), 0],
    [0, 0, gX],
    [0, 0, gX, 24],
    [0, 0, gX, fromHex('00')],
    [0, 0, gX, new Uint8Array(33)],
    [0, 0, gX, 0, gX],
    [0, 0, gX, 0, 1, gX, gX],
    [0, 0, gX, 0, ...new Array(9).fill(0)],
  ];
  for (const items of bad) {
    assert.equal(
      refusal(() => read(...items)),
      'malformed',
      JSON.stringify(items),
    );
  }
  assert.equal(
    refusal(() => read(0, 0, gX, 0, 1, new Uint8Array(8192))),
    'tooLarge',
  );
  const lowOrder = read(0, 0, new Uint8Array(32), 0);
  assert.ok(lowOrder.outcome === 'accepted');
  const parameters = { ephemeral: crypto.generateKey('x25519'), cR: EMPTY, own: r.own, ead2: [] };
  assert.equal(
    refusal(() => writeMessage2(crypto, lowOrder.state, parameters)),
    'malformed',
  );
});

test('RFC 9528 §3.8: an unknown critical EAD item is refused, an unknown other one and padding are passed over', () => {
  const known = new Set([1]);
  const items = parseEad([0, fromHex('0000'), 1, fromHex('05'), 0, -1]);
  assert.deepEqual(items, [
    { label: 1, critical: false, value: fromHex('05') },
    { label: 1, critical: true, value: null },
  ]);
  assert.equal(
    refusal(() => checkEad(items, known)),
    'malformed',
    'doubled',
  );
  assert.doesNotThrow(() => checkEad([{ label: 7, critical: false, value: null }], known));
  assert.equal(
    refusal(() => checkEad([{ label: 7, critical: true, value: null }], known)),
    'malformed',
  );
  assert.throws(() => encodeEad([{ label: 0, critical: true, value: null }]), RangeError);
  assert.throws(() => encodeEad(new Array(9).fill(ead(1, 'x'))), RangeError);
  const suite = cipherSuite(6)!;
  const [i, r] = [party(suite, 'device'), party(suite, 'manager')];
  const { read2 } = exchange(suite, i, r, untouched);
  assert.equal(
    refusal(() => checkEad(read2.ead2, known)),
    'malformed',
    'a critical EAD_2 item that the application does not know',
  );
});

test('RFC 9528 §3.3.2: connection identifiers that are one-byte integers travel as such, and only so', () => {
  for (const [id, wire] of [
    ['00', '00'],
    ['17', '17'],
    ['18', '4118'],
    ['20', '20'],
    ['37', '37'],
    ['38', '4138'],
    ['', '40'],
    ['0001', '420001'],
  ] as const) {
    const encoded = encodeSequence([connectionIdItem(fromHex(id))]);
    assert.deepEqual(encoded, fromHex(wire));
    assert.deepEqual(parseConnectionId(decodeSequence(encoded)[0]), fromHex(id));
  }
});

test('[P2] RFC 9360: x5chain of 1 to 5 certificates and x5t are read, kid and every other form are refused', () => {
  const [leaf, issuer] = [encodeUtf8('leaf'), encodeUtf8('issuer')];
  const forms: readonly IdCred[] = [
    { kind: 'x5chain', certificates: [leaf] },
    { kind: 'x5chain', certificates: [leaf, issuer] },
    { kind: 'x5t', algorithm: -16, hash: new Uint8Array(32) },
    { kind: 'x5t', algorithm: -15, hash: new Uint8Array(8) },
  ];
  for (const form of forms) assert.deepEqual(parseIdCred(decodeSequence(encodeIdCred(form))[0]), form);
  const bad = [
    5,
    leaf,
    null,
    undefined,
    new Map([[4, leaf]]),
    new Map([[33, []]]),
    new Map([[33, [leaf]]]),
    new Map([[33, EMPTY]]),
    new Map([[33, [leaf, 1]]]),
    new Map([[33, new Array(6).fill(leaf)]]),
    new Map([[34, [-16, new Uint8Array(31)]]]),
    new Map([[34, [-43, new Uint8Array(48)]]]),
    new Map([[34, [-16]]]),
    new Map<number, Uint8Array | (number | Uint8Array)[]>([
      [33, leaf],
      [34, [-16, new Uint8Array(32)]],
    ]),
  ];
  for (const item of bad) {
    assert.equal(
      refusal(() => parseIdCred(item)),
      'malformed',
    );
  }
});

test('RFC 9528 §6: error messages survive the way, foreign codes are kept as such, the rest is refused', () => {
  const errors: readonly EdhocError[] = [
    { kind: 'unspecified', text: 'the exchange was refused' },
    { kind: 'wrongSuite', suites: [6] },
    { kind: 'wrongSuite', suites: [6, 2, 0] },
    { kind: 'unknownCredential' },
    { kind: 'other', code: 42 },
  ];
  for (const error of errors) assert.deepEqual(decodeError(encodeError(error)), error);
  for (const hex of ['', '01', '0102', '02', '0280', '0281', '0281f6', '03f6', '03f500', 'f500']) {
    assert.equal(
      refusal(() => decodeError(fromHex(hex))),
      'malformed',
      hex,
    );
  }
  assert.equal(
    refusal(() => decodeError(new Uint8Array(513))),
    'tooLarge',
  );
});
