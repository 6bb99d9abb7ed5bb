/**
 * The record layer over every suite of the registry: what opens, what does not, and that no nonce is ever used twice.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { concat, EMPTY, encodeUtf8, toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { type ErrorCode, ProtocolError } from '../../protocol/errors.ts';
import { deriveContext, givenKeys, keyModeSecretBytes } from '../../protocol/key-schedule.ts';
import { MAX_SEQUENCE } from '../../protocol/oscore.ts';
import {
  FIRST_ID,
  MAX_FAILED_OPENS,
  makeRecordContext,
  maxPlaintextBytes,
  openRecord,
  REKEY_AFTER_RECORDS,
  type RecordContext,
  recordContextState,
  SECOND_ID,
  sealRecord,
  wipeContext,
} from '../../protocol/record.ts';
import { type RecordType, readRecordHead } from '../../protocol/record-head.ts';
import { CIPHERS, type RecordAlgorithm, resolveSuite, suiteName } from '../../protocol/suites.ts';
import { EVERY_SUITE, flip } from '../every-suite.ts';

const crypto = nodeCrypto();
const ccm8 = resolveSuite({ cipher: 'aes-ccm', keyBits: 128, hash: 'sha-256', tagBits: 64 })!;
const gcm = resolveSuite({ cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 })!;
const mac8 = resolveSuite({ cipher: 'hmac', keyBits: 256, hash: 'sha-256', tagBits: 64 })!;
const ctr8 = resolveSuite({ cipher: 'aes-ctr-hmac', keyBits: 128, hash: 'sha-256', tagBits: 64 })!;
/** One of each kind with a short tag, and one with a long. */
const KINDS = [ccm8, ctr8, mac8, gcm];

const masterSecret = crypto.hash('sha-256', encodeUtf8('master secret of the record tests'));
const T = crypto.hash('sha-256', encodeUtf8('transcript'));
const otherT = crypto.hash('sha-256', encodeUtf8('another transcript'));
const payload = encodeUtf8('the kitchen is warm');

interface Place {
  readonly epochBit?: 0 | 1;
  readonly route?: number | null;
  readonly transcript?: Uint8Array | null;
}

/** Both ends of one epoch: caller or initiator first. */
function pair(algorithm: RecordAlgorithm, place: Place = {}): [RecordContext, RecordContext] {
  const { epochBit = 0, route = null, transcript = T } = place;
  const side = (senderId: Uint8Array, recipientId: Uint8Array) => {
    const ids = { algorithm, senderId, recipientId };
    const keys = deriveContext(crypto, { ...ids, masterSecret, masterSalt: EMPTY, idContext: transcript });
    return makeRecordContext({ ...ids, keys, epochBit, route, transcript });
  };
  return [side(FIRST_ID, SECOND_ID), side(SECOND_ID, FIRST_ID)];
}

const seal = (context: RecordContext, plaintext: Uint8Array = payload, type: RecordType = 'data') =>
  sealRecord(crypto, context, type, plaintext);
const open = (context: RecordContext, record: Uint8Array) => openRecord(crypto, context, record);
const fails = (code: ErrorCode) => (error: unknown) => error instanceof ProtocolError && error.code === code;
const assertRefused = (context: RecordContext, record: Uint8Array, code: ErrorCode) =>
  assert.throws(() => open(context, record), fails(code));

for (const algorithm of EVERY_SUITE) {
  const name = suiteName(algorithm.suite);

  test(`[P16] ${name}: both directions open what the other sealed, on channels and on routed sessions`, () => {
    const places: Place[] = [{ transcript: null }, { transcript: T }, { transcript: T, route: 7, epochBit: 1 }];
    for (const place of places) {
      const [caller, callee] = pair(algorithm, place);
      for (const plaintext of [payload, EMPTY, new Uint8Array(1000).fill(9)]) {
        assert.deepEqual(open(callee, seal(caller, plaintext)), { type: 'data', plaintext });
        assert.deepEqual(open(caller, seal(callee, plaintext, 'control')), { type: 'control', plaintext });
      }
    }
  });

  test(`[P16] ${name}: a record with any one bit flipped is refused, and the true one still opens`, () => {
    const [caller, callee] = pair(algorithm, { route: 1 });
    const record = seal(caller);
    for (let bit = 0; bit < record.length * 8; bit++) {
      assert.throws(() => open(callee, flip(record, bit)), ProtocolError, `bit ${bit}`);
    }
    assert.deepEqual(open(callee, record).plaintext, payload);
  });

  test(`[P16] ${name}: the overhead is two bytes and the tag, for the first 256 records`, () => {
    const [caller] = pair(algorithm);
    assert.equal(seal(caller).length - payload.length, 2 + algorithm.tagBytes);
    for (const [sequence, head] of [
      [255, 2],
      [256, 3],
      [65_535, 3],
      [65_536, 4],
      [2 ** 24, 5],
      [2 ** 32 - 1, 5],
      [2 ** 32, 6],
      [MAX_SEQUENCE, 6],
    ] as const) {
      caller.nextSequence = sequence;
      assert.equal(seal(caller).length - payload.length, head + algorithm.tagBytes, `record ${sequence}`);
    }
  });

  test(`[P15] ${name}: keys given as they are open on the other side`, () => {
    const secret = crypto.random(keyModeSecretBytes(algorithm));
    const side = (role: 'caller' | 'callee', senderId: Uint8Array, recipientId: Uint8Array) => {
      const keys = givenKeys(algorithm, secret, role);
      return makeRecordContext({ algorithm, keys, senderId, recipientId, epochBit: 0, route: null, transcript: T });
    };
    const caller = side('caller', FIRST_ID, SECOND_ID);
    const callee = side('callee', SECOND_ID, FIRST_ID);
    assert.deepEqual(open(callee, seal(caller)).plaintext, payload);
    assert.deepEqual(open(caller, seal(callee)).plaintext, payload);
    assert.throws(() => givenKeys(algorithm, secret.subarray(1), 'caller'), fails('malformed'));
    assert.throws(() => givenKeys(algorithm, concat(secret, Uint8Array.of(0)), 'callee'), ProtocolError);
  });
}

test('[P16] a record adds 10 bytes with an 8-byte tag and 18 with a 16-byte tag, later at most 4 more', () => {
  for (const [algorithm, overhead] of [
    [ccm8, 10],
    [gcm, 18],
  ] as const) {
    const [caller] = pair(algorithm);
    assert.equal(seal(caller, new Uint8Array(64)).length, 64 + overhead);
    caller.nextSequence = MAX_SEQUENCE;
    assert.equal(seal(caller, new Uint8Array(64)).length, 64 + overhead + 4);
  }
});

test('[P8] an integrity-only record shows its plaintext; an encrypting one does not', () => {
  const shows = (algorithm: RecordAlgorithm) => toHex(seal(pair(algorithm)[0])).includes(toHex(payload));
  assert.ok(shows(mac8));
  for (const algorithm of EVERY_SUITE) {
    assert.equal(shows(algorithm), algorithm.kind === 'integrity-only', suiteName(algorithm.suite));
    assert.equal(CIPHERS[algorithm.suite.cipher].encrypts, algorithm.kind !== 'integrity-only');
  }
});

test('[P8] one secret gives an integrity-only suite other keys than an encrypting one', () => {
  const mac = pair(resolveSuite({ cipher: 'hmac', keyBits: 128, hash: 'sha-256', tagBits: 64 })!)[0].keys.senderKey;
  const aead = pair(ccm8)[0].keys.senderKey;
  assert.equal(mac.length, aead.length);
  assert.notDeepEqual(mac, aead);
});

test('[5.6 replay] a record opens once', () => {
  const [caller, callee] = pair(ccm8);
  const record = seal(caller);
  open(callee, record);
  assertRefused(callee, record, 'replayed');
  assert.equal(callee.failedOpens, 0, 'a replay is told before the cipher runs');
});

test('[5.6 reordered] records open in any order inside the window, and not when older than it', () => {
  const [caller, callee] = pair(ccm8);
  const records = Array.from({ length: 65 }, () => seal(caller));
  for (const i of [63, 0, 62, 1, 31, 32]) assert.deepEqual(open(callee, records[i]!).plaintext, payload);
  open(callee, records[64]!);
  assert.deepEqual(open(callee, records[2]!).plaintext, payload);
  const [late, lateCallee] = pair(ccm8);
  const first = seal(late);
  late.nextSequence = 64;
  open(lateCallee, seal(late));
  assertRefused(lateCallee, first, 'replayed');
});

test('[5.6 replay] a forged record with a high number does not move the window', () => {
  const [caller, callee] = pair(gcm);
  const record = seal(caller);
  caller.nextSequence = 5000;
  const ahead = seal(caller);
  assertRefused(callee, flip(ahead, ahead.length * 8 - 1), 'badMac');
  assert.equal(callee.window.highest, -1);
  assert.deepEqual(open(callee, record).plaintext, payload);
});

test('[5.6 unknown key share] given keys and another transcript: refused, though the keys are the same', () => {
  for (const algorithm of EVERY_SUITE) {
    const [caller, callee] = pair(algorithm);
    const keys = { ...callee.keys };
    const misled = makeRecordContext({ ...callee, keys, transcript: otherT });
    const unbound = makeRecordContext({ ...callee, keys, transcript: null });
    const record = seal(caller);
    assertRefused(misled, record, 'badMac');
    assertRefused(unbound, record, 'badMac');
    open(callee, record);
  }
});

test('[P16] a record of another route or epoch is refused, also when its head is rewritten', () => {
  const [caller, callee] = pair(gcm, { route: 3 });
  const record = seal(caller);
  const other = (place: Pick<Place, 'route' | 'epochBit'>) => makeRecordContext({ ...callee, ...place });
  assertRefused(other({ route: 4 }), record, 'badMac');
  assertRefused(other({ route: null }), record, 'badMac');
  assertRefused(other({ epochBit: 1 }), record, 'badMac');
  const rerouted = record.slice();
  rerouted[2] = 4;
  assertRefused(other({ route: 4 }), rerouted, 'badMac');
  const unrouted = concat(Uint8Array.of(record[0]! & ~0x08, record[1]!), record.subarray(3));
  assertRefused(other({ route: null }), unrouted, 'badMac');
  const nextEpoch = record.slice();
  nextEpoch[0]! ^= 0x10;
  assertRefused(other({ epochBit: 1 }), nextEpoch, 'badMac');
  open(callee, record);
});

test('[P16] a record cannot be passed off as one of the other type', () => {
  const [caller, callee] = pair(ccm8);
  const record = seal(caller, payload, 'data');
  const retyped = record.slice();
  retyped[0]! ^= 0x20;
  assert.equal(readRecordHead(retyped).type, 'control');
  assertRefused(callee, retyped, 'badMac');
});

test('[5.6 reflection] a side refuses its own records, with derived and with given keys', () => {
  for (const algorithm of EVERY_SUITE) {
    const [caller, callee] = pair(algorithm);
    assertRefused(caller, seal(caller), 'badMac');
    assertRefused(callee, seal(callee), 'badMac');
    // Even when a faulty manager gives one key for both directions, the ids keep the directions apart.
    const key = crypto.random(algorithm.keyBytes);
    const keys = { senderKey: key, recipientKey: key, commonIv: crypto.random(algorithm.nonceBytes) };
    const mirrored = makeRecordContext({ ...caller, keys });
    assertRefused(mirrored, seal(mirrored), 'badMac');
  }
});

test('[5.6 reflection] a context with one id for both sides is not made', () => {
  const [caller] = pair(ccm8);
  assert.throws(() => makeRecordContext({ ...caller, recipientId: FIRST_ID }), RangeError);
});

test('[P16] a context with an 8-byte tag closes after 2^14 failed opens; one with 16 bytes does not', () => {
  for (const algorithm of KINDS) {
    const [caller, callee] = pair(algorithm);
    const forged = flip(seal(caller), 100);
    for (let i = 0; i < MAX_FAILED_OPENS; i++) {
      assert.notEqual(recordContextState(callee), 'exhausted');
      assertRefused(callee, forged, 'badMac');
    }
    if (algorithm.tagBytes > 8) {
      open(callee, seal(caller));
      continue;
    }
    assert.equal(recordContextState(callee), 'exhausted');
    assert.throws(() => open(callee, seal(caller)), /exhausted: 16384 records failed to open/);
    assert.throws(() => seal(callee), fails('unexpected'));
  }
});

test('[P16] of every suite the failed opens are counted, and exactly those with an 8-byte tag close by it', () => {
  let short = 0;
  for (const algorithm of EVERY_SUITE) {
    const [caller, callee] = pair(algorithm);
    const name = suiteName(algorithm.suite);
    callee.failedOpens = MAX_FAILED_OPENS - 1;
    open(callee, seal(caller));
    assert.equal(recordContextState(callee), 'usable', name);
    assertRefused(callee, flip(seal(caller), 100), 'badMac');
    assert.equal(callee.failedOpens, MAX_FAILED_OPENS, name);
    assert.equal(recordContextState(callee), algorithm.suite.tagBits === 64 ? 'exhausted' : 'usable', name);
    if (algorithm.suite.tagBits === 64) short++;
  }
  assert.equal(short, 3 * 2 + 9 + 9, 'of AES-CCM, of AES-CTR with HMAC, of HMAC');
});

test('[5.6 nonce reuse] no key and nonce come together twice, over both directions and all lengths of the partial IV', () => {
  const used = new Set<string>();
  let calls = 0;
  const note = (key: Uint8Array, nonce: Uint8Array): void => {
    calls++;
    used.add(`${toHex(key)} ${toHex(nonce)}`);
  };
  const watching: Crypto = {
    ...crypto,
    seal(aead, key, nonce, aad, plaintext) {
      note(key, nonce);
      return crypto.seal(aead, key, nonce, aad, plaintext);
    },
    encipherAesCtr(key, counter, plaintext) {
      note(key, counter.subarray(0, 12));
      return crypto.encipherAesCtr(key, counter, plaintext);
    },
  };
  for (const algorithm of [ccm8, gcm, ctr8]) {
    const sides = pair(algorithm);
    for (const start of [0, 250, 65_530, 2 ** 24 - 5, 2 ** 32 - 5, MAX_SEQUENCE - 9]) {
      for (const side of sides) {
        side.nextSequence = Math.max(side.nextSequence, start);
        for (let i = 0; i < 10; i++) sealRecord(watching, side, i % 2 === 0 ? 'data' : 'control', payload);
      }
    }
  }
  assert.equal(calls, 360);
  assert.equal(used.size, calls);
});

test('[5.6 nonce reuse] a cipher that fails has used up its sequence number all the same', () => {
  const gone = (): never => {
    throw new Error('the engine is gone');
  };
  const broken: Crypto = { ...crypto, seal: gone, hmac: gone };
  for (const algorithm of KINDS) {
    const [caller, callee] = pair(algorithm);
    assert.throws(() => sealRecord(broken, caller, 'data', payload), /engine/);
    assert.equal(readRecordHead(seal(caller)).sequence, 1);
    assert.equal(callee.nextSequence, 0);
  }
});

test('[5.6 nonce reuse] sequence numbers end at 2^40 − 1: nothing is sealed after', () => {
  const [caller] = pair(ccm8);
  caller.nextSequence = MAX_SEQUENCE;
  seal(caller);
  assert.equal(recordContextState(caller), 'exhausted');
  assert.throws(() => seal(caller), fails('unexpected'));
});

test('a new epoch is due after 2^20 records, whichever side sent them', () => {
  const [caller, callee] = pair(ccm8);
  caller.nextSequence = REKEY_AFTER_RECORDS - 1;
  assert.equal(recordContextState(caller), 'usable');
  const last = seal(caller);
  assert.equal(recordContextState(caller), 'mustRekey');
  assert.equal(recordContextState(callee), 'usable');
  open(callee, last);
  assert.equal(recordContextState(callee), 'mustRekey');
  open(callee, seal(caller));
});

test('a wiped context holds no key, and neither seals nor opens', () => {
  for (const algorithm of KINDS) {
    const [caller, callee] = pair(algorithm);
    const record = seal(caller);
    seal(callee);
    const { keys, sending, receiving } = callee;
    const secrets = [keys.senderKey, keys.recipientKey, keys.commonIv, sending.nonceBase, receiving.nonceBase];
    for (const secret of secrets) assert.ok(secret.some((byte) => byte !== 0));
    wipeContext(callee);
    for (const secret of secrets) assert.ok(secret.every((byte) => byte === 0));
    assert.equal(recordContextState(callee), 'wiped');
    assertRefused(callee, record, 'unexpected');
    assert.throws(() => seal(callee), fails('unexpected'));
  }
});

test('what protects a record keeps no key: every key that the crypto half gets is the context itself, and is wiped with it', () => {
  for (const algorithm of EVERY_SUITE) {
    const [caller, callee] = pair(algorithm);
    const given: Uint8Array[] = [];
    const watching: Crypto = {
      ...crypto,
      seal: (aead, key, ...rest) => crypto.seal(aead, noted(key), ...rest),
      open: (aead, key, ...rest) => crypto.open(aead, noted(key), ...rest),
      encipherAesCtr: (key, ...rest) => crypto.encipherAesCtr(noted(key), ...rest),
      decipherAesCtr: (key, ...rest) => crypto.decipherAesCtr(noted(key), ...rest),
      hmac: (name, key, data) => crypto.hmac(name, noted(key), data),
    };
    const noted = (key: Uint8Array): Uint8Array => {
      given.push(key);
      return key;
    };
    openRecord(watching, callee, sealRecord(watching, caller, 'data', payload));
    assert.equal(given.length, algorithm.kind === 'encrypt-then-mac' ? 4 : 2);
    wipeContext(caller);
    wipeContext(callee);
    for (const key of given) assert.ok(key.length > 0 && key.every((byte) => byte === 0), suiteName(algorithm.suite));
  }
});

test('a context is plain data', () => {
  const [caller, callee] = pair(gcm, { route: 9 });
  open(callee, seal(caller));
  const copy = structuredClone(callee);
  assert.deepEqual(copy, callee);
  assert.deepEqual(open(copy, seal(caller)).plaintext, payload);
});

const HEADS: ReadonlyArray<readonly [string, number[]]> = [
  ['nothing at all', []],
  ['bit 7 of the flags', [0x81, 0]],
  ['type 2', [0x41, 0]],
  ['type 3', [0x61, 0]],
  ['no partial IV', [0x00]],
  ['a partial IV of 6 bytes', [0x06, 1, 2, 3, 4, 5, 6]],
  ['a partial IV of 7 bytes', [0x07, 1, 2, 3, 4, 5, 6, 7]],
  ['a partial IV with a leading zero', [0x02, 0, 5]],
  ['a partial IV of 5 bytes with a leading zero', [0x05, 0, 1, 1, 1, 1]],
  ['a partial IV cut off', [0x03, 1, 2]],
  ['a route cut off', [0x09, 1]],
];
for (const [what, head] of HEADS) {
  test(`[5.6 parser] a record with ${what} is malformed`, () => {
    assert.throws(() => readRecordHead(Uint8Array.from(head)), fails('malformed'));
  });
}

test('a head is read without a key: type, epoch, route, sequence number', () => {
  const { flags: _, partialIv, ...head } = readRecordHead(Uint8Array.of(0x3a, 1, 2, 9, 0xff));
  assert.deepEqual(head, { type: 'control', epochBit: 1, route: 9, sequence: 258, bytes: 4 });
  assert.deepEqual(partialIv, Uint8Array.of(1, 2));
});

test('[5.6 parser] each truncation of a record is refused', () => {
  for (const algorithm of EVERY_SUITE) {
    const [caller, callee] = pair(algorithm, { route: 1 });
    const record = seal(caller);
    for (let length = 0; length < record.length; length++) {
      assert.throws(() => open(callee, record.subarray(0, length)), ProtocolError, `${length} bytes`);
    }
  }
});

test('a plaintext over the limit is not sealed, a record over it not opened; the longest passes', () => {
  for (const algorithm of KINDS) {
    const [caller, callee] = pair(algorithm);
    const longest = new Uint8Array(maxPlaintextBytes(algorithm));
    assert.equal(open(callee, seal(caller, longest)).plaintext.length, longest.length);
    const tooLong = new Uint8Array(longest.length + 1);
    assert.throws(() => seal(caller, tooLong), RangeError);
    assertRefused(callee, concat(Uint8Array.of(1, 9), tooLong, new Uint8Array(algorithm.tagBytes)), 'tooLarge');
  }
});
