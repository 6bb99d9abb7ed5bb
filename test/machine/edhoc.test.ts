/**
 * EDHOC method 0 between two parties with fresh keys: every suite, every bad message.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey, nodeCrypto, signingKey } from '../../platform/crypto-node.ts';
import { concat, EMPTY, encodeUtf8, equal, fromHex } from '../../protocol/bytes.ts';
import { decodeSequence, encodeSequence } from '../../protocol/cbor.ts';
import { type Crypto, publicKeyOperations } from '../../protocol/crypto.ts';
import type { OwnCredential, PeerCredential } from '../../protocol/edhoc/authentication.ts';
import { CIPHER_SUITES, type CipherSuite, cipherSuite } from '../../protocol/edhoc/cipher-suites.ts';
import { connectionIdItem, parseConnectionId } from '../../protocol/edhoc/connection-id.ts';
import { encodeIdCred, type IdCred, parseIdCred, thumbprintOf } from '../../protocol/edhoc/credential.ts';
import { checkEad, type EadItem, encodeEad, parseEad } from '../../protocol/edhoc/ead.ts';
import { decodeError, type EdhocError, encodeError } from '../../protocol/edhoc/error-message.ts';
import {
  type AwaitingVerification2,
  nextSuite,
  readMessage2,
  readMessage4,
  startInitiator,
  verifyMessage2,
  writeMessage3,
} from '../../protocol/edhoc/initiator.ts';
import { type Exporter, exportKey } from '../../protocol/edhoc/kdf.ts';
import {
  type AwaitingVerification3,
  readMessage1,
  readMessage3,
  verifyMessage3,
  writeMessage2,
  writeMessage4,
} from '../../protocol/edhoc/responder.ts';
import { type ErrorCode, ProtocolError } from '../../protocol/errors.ts';

const ead = (label: number, text: string): EadItem => ({ label, critical: true, value: encodeUtf8(text) });
const EADS = [1, 2, 3, 4].map((label) => [ead(label, `EAD_${label}`), { label: 900, critical: false, value: null }]);
const [EAD_1, EAD_2, EAD_3, EAD_4] = EADS as [EadItem[], EadItem[], EadItem[], EadItem[]];

interface Party {
  readonly crypto: Crypto;
  readonly own: OwnCredential;
  readonly seen: PeerCredential;
}

/** A party whose "certificate" is a name and its public key: EDHOC itself does not look inside. */
function party(suite: CipherSuite, name: string, naming: IdCred['kind'] = 'x5t'): Party {
  const crypto = nodeCrypto();
  const type = suite.key === 'ed25519' ? 'ed25519' : 'p256';
  const { privatePkcs8Pem, publicSpki } = generateSigningKey(type);
  const ownKey = signingKey(privatePkcs8Pem, crypto.counter);
  const credential = concat(encodeUtf8(name), publicSpki);
  const publicKey = crypto.publicKey(publicSpki);
  assert.ok(publicKey);
  const idCred: IdCred =
    naming === 'x5t'
      ? thumbprintOf(crypto, credential)
      : { kind: 'x5chain', certificates: [credential, encodeUtf8('issuer')] };
  return { crypto, own: { idCred, credential, signingKey: ownKey }, seen: { credential, publicKey } };
}

/** What lies between two parties: may alter message n. */
type Wire = (number: 1 | 2 | 3 | 4, message: Uint8Array) => Uint8Array;
const untouched: Wire = (_number, message) => message;

interface Finished {
  readonly initiator: Exporter;
  readonly responder: Exporter;
  readonly read2: AwaitingVerification2;
  readonly read3: AwaitingVerification3;
  readonly messages: readonly Uint8Array[];
}

/** Runs the whole exchange; each side looks the other's certificate up as `seen`. States pass through a clone. */
function exchange(suite: CipherSuite, i: Party, r: Party, wire: Wire, seenR = r.seen, seenI = i.seen): Finished {
  const ephemeral = i.crypto.generateKey(suite.curve);
  const cI = fromHex('07');
  const start = startInitiator(i.crypto, { suites: [suite.id], selected: suite.id, ephemeral, cI, ead1: EAD_1 });
  const first = readMessage1(r.crypto, wire(1, start.message1), [suite.id]);
  if (first.outcome !== 'accepted') throw new ProtocolError('noCommonSuite', 'the responder refused the suite');
  checkEad(first.state.ead1, new Set([1]));
  const second = writeMessage2(r.crypto, structuredClone(first.state), {
    ephemeral: r.crypto.generateKey(suite.curve),
    cR: fromHex('c0ffee'),
    own: r.own,
    ead2: EAD_2,
  });
  const read2 = readMessage2(i.crypto, structuredClone(start.state), wire(2, second.message2));
  const verified2 = verifyMessage2(i.crypto, structuredClone(read2), seenR);
  checkEad(read2.ead2, new Set([2]));
  const third = writeMessage3(i.crypto, structuredClone(verified2), i.own, EAD_3);
  const read3 = readMessage3(r.crypto, structuredClone(second.state), wire(3, third.message3));
  const verified3 = verifyMessage3(r.crypto, structuredClone(read3), seenI);
  checkEad(read3.ead3, new Set([3]));
  const fourth = writeMessage4(r.crypto, structuredClone(verified3), EAD_4);
  const done = readMessage4(i.crypto, structuredClone(third.state), wire(4, fourth.message4));
  checkEad(done.ead4, new Set([4]));
  assert.deepEqual([first.state.ead1, read2.ead2, read3.ead3, done.ead4], [EAD_1, EAD_2, EAD_3, EAD_4]);
  return {
    initiator: done.exporter,
    responder: fourth.exporter,
    read2,
    read3,
    messages: [start.message1, second.message2, third.message3, fourth.message4],
  };
}

/** @returns the code of the refusal; anything but a ProtocolError fails the test */
function refusal(run: () => unknown): ErrorCode | 'none' {
  try {
    run();
    return 'none';
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}

for (const suite of CIPHER_SUITES) {
  for (const naming of ['x5chain', 'x5t'] as const) {
    test(`[P1] [P2] [P6] [patent 1200-1218] suite ${suite.id}, ${naming}: both sides derive the same keys`, () => {
      const [i, r] = [party(suite, 'device', naming), party(suite, 'manager', naming)];
      const finished = exchange(suite, i, r, untouched);
      assert.deepEqual(finished.initiator, finished.responder);
      const [label, context] = [0x8000, encodeUtf8('context')];
      const key = exportKey(i.crypto, finished.initiator, label, context, 48);
      assert.equal(key.length, 48);
      assert.deepEqual(exportKey(r.crypto, finished.responder, label, context, 48), key);
      assert.notDeepEqual(exportKey(r.crypto, finished.responder, label, EMPTY, 48), key);
      assert.deepEqual([finished.read2.idCredR, finished.read3.idCredI], [r.own.idCred, i.own.idCred]);
      assert.throws(() => exportKey(i.crypto, finished.initiator, 65536, EMPTY, 16), RangeError);
    });
  }
}

test('[B5] a login costs each side exactly one key, one agreement, one signature and one verification', () => {
  for (const suite of CIPHER_SUITES) {
    const [i, r] = [party(suite, 'device'), party(suite, 'manager')];
    exchange(suite, i, r, untouched);
    for (const { crypto } of [i, r]) {
      assert.deepEqual(crypto.counter, { generate: 1, agree: 1, sign: 1, verify: 1 });
      assert.equal(publicKeyOperations(crypto.counter), 4);
    }
  }
});

test('RFC 9529 §2: with 8-byte tags and no EAD the messages are 37, 116 and 90 bytes, message_4 is 9', () => {
  const suite = cipherSuite(0)!;
  const [i, r] = [party(suite, 'device'), party(suite, 'manager')];
  const short = (one: Party): OwnCredential => {
    const hash = one.crypto.hash('sha-256', one.own.credential).slice(0, 8);
    return { ...one.own, idCred: { kind: 'x5t', algorithm: -15, hash } };
  };
  const ephemeral = i.crypto.generateKey('x25519');
  const start = startInitiator(i.crypto, { suites: [0], selected: 0, ephemeral, cI: fromHex('2d'), ead1: [] });
  const first = readMessage1(r.crypto, start.message1, [0]);
  assert.ok(first.outcome === 'accepted');
  const parameters = { ephemeral: r.crypto.generateKey('x25519'), cR: fromHex('18'), own: short(r), ead2: [] };
  const second = writeMessage2(r.crypto, first.state, parameters);
  const verified2 = verifyMessage2(i.crypto, readMessage2(i.crypto, start.state, second.message2), r.seen);
  const third = writeMessage3(i.crypto, verified2, short(i), []);
  const verified3 = verifyMessage3(r.crypto, readMessage3(r.crypto, second.state, third.message3), i.seen);
  const { message4 } = writeMessage4(r.crypto, verified3, []);
  const lengths = [start.message1, second.message2, third.message3, message4].map((message) => message.length);
  assert.deepEqual(lengths, [37, 116, 90, 9]);
});

test('[5.6 downgrade] RFC 9528 §5.2.3: a responder that supports an earlier suite of SUITES_I refuses the later one', () => {
  const crypto = nodeCrypto();
  const answer = (suitesI: readonly number[], supported: readonly number[]): EdhocError | 'accepted' => {
    const selected = suitesI.at(-1)!;
    const ephemeral = crypto.generateKey(cipherSuite(selected)!.curve);
    const start = startInitiator(crypto, { suites: suitesI, selected, ephemeral, cI: fromHex('00'), ead1: [] });
    const outcome = readMessage1(crypto, start.message1, supported);
    return outcome.outcome === 'accepted' ? 'accepted' : decodeError(outcome.error);
  };
  assert.deepEqual(answer([6, 0], [0, 6]), { kind: 'wrongSuite', suites: [0, 6] });
  assert.deepEqual(answer([6, 2, 0], [2, 0]), { kind: 'wrongSuite', suites: [2, 0] });
  assert.deepEqual(answer([6], [0]), { kind: 'wrongSuite', suites: [0] });
  assert.deepEqual(answer([0, 6], [6]), 'accepted');
  assert.deepEqual(answer([6], [0, 6]), 'accepted');
});

test('RFC 9528 §6.3: after error 2 the initiator takes its best common suite and lists all that it likes better', () => {
  const crypto = nodeCrypto();
  const preference = [6, 2, 3, 0, 4, 5];
  const supported = [4, 0];
  const offered: number[] = [];
  let selected: number | null = preference[0]!;
  for (let round = 0; selected !== null && round < 5; round++) {
    offered.push(selected);
    const ephemeral = crypto.generateKey(cipherSuite(selected)!.curve);
    const start = startInitiator(crypto, { suites: preference, selected, ephemeral, cI: EMPTY, ead1: [] });
    const outcome = readMessage1(crypto, start.message1, supported);
    if (outcome.outcome === 'accepted') {
      assert.equal(outcome.state.suite.id, 0);
      assert.deepEqual(decodeSequence(start.message1)[1], [6, 2, 3, 0]);
      break;
    }
    const error = decodeError(outcome.error);
    assert.ok(error.kind === 'wrongSuite');
    selected = nextSuite(preference, error.suites, offered);
  }
  assert.deepEqual(offered, [6, 0]);
  assert.equal(nextSuite([6, 2], [0, 4], [6]), null, 'no common suite');
  assert.equal(nextSuite([6, 2], [6], [6]), null, 'a lying error does not make a loop');
});

test('[5.6 downgrade] SUITES_I that was altered on the way makes both transcripts differ', () => {
  const suite = cipherSuite(0)!;
  const [i, r] = [party(suite, 'device'), party(suite, 'manager')];
  const shortened: Wire = (number, message) => {
    if (number !== 1) return message;
    const items = decodeSequence(message);
    return encodeSequence([0, [6, 0], ...items.slice(2)]);
  };
  assert.notEqual(
    refusal(() => exchange(suite, i, r, shortened)),
    'none',
  );
});

for (const id of [6, 2, 0]) {
  const suite = cipherSuite(id)!;
  const [i, r] = [party(suite, 'device'), party(suite, 'manager')];
  const { messages } = exchange(suite, i, r, untouched);

  test(`[5.6 lost, doubled, reordered] suite ${id}: a message that is cut anywhere or lengthened is refused`, () => {
    for (const number of [1, 2, 3, 4] as const) {
      const length = messages[number - 1]!.length;
      for (let cut = 0; cut < length; cut++) {
        const code = refusal(() => exchange(suite, i, r, (n, m) => (n === number ? m.subarray(0, cut) : m)));
        assert.notEqual(code, 'none', `message_${number} cut to ${cut} of ${length}`);
      }
      const longer = refusal(() => exchange(suite, i, r, (n, m) => (n === number ? concat(m, fromHex('f6')) : m)));
      assert.notEqual(longer, 'none', `message_${number} with a byte more`);
    }
  });

  test(`suite ${id}: a message with any byte altered is refused by an error of the protocol and by no other`, () => {
    for (const number of [1, 2, 3, 4] as const) {
      for (let at = 0; at < messages[number - 1]!.length; at++) {
        const flip: Wire = (n, m) => {
          if (n !== number) return m;
          const altered = m.slice();
          altered[at]! ^= 1 << (at % 8);
          return altered;
        };
        const code = refusal(() => {
          const { initiator, responder } = exchange(suite, i, r, flip);
          assert.ok(equal(initiator.prkExporter, responder.prkExporter), 'completed with differing keys');
        });
        assert.notEqual(code, 'none', `message_${number}, byte ${at}`);
      }
    }
  });

  test(`[5.6 replay] [5.6 reflection] suite ${id}: old, reflected and swapped messages are refused`, () => {
    for (const number of [1, 2, 3, 4] as const) {
      for (const [from, other] of messages.entries()) {
        // An old message_1 is welcome (nothing protects it) but the exchange cannot end with it.
        const code = refusal(() => exchange(suite, i, r, (n, m) => (n === number ? other : m)));
        assert.notEqual(code, 'none', `message_${from + 1} of another exchange in place of message_${number}`);
      }
      let last: Uint8Array = EMPTY;
      const reflect: Wire = (n, m) => {
        const out = n === number ? last : m;
        last = m;
        return out;
      };
      assert.notEqual(
        refusal(() => exchange(suite, i, r, reflect)),
        'none',
      );
    }
  });

  test(`[P6] suite ${id}: a signature by another key, or a certificate other than the one named, is refused`, () => {
    const thief = party(suite, 'thief');
    const stolen = (one: Party): Party => ({ ...one, own: { ...one.own, signingKey: thief.own.signingKey } });
    assert.equal(
      refusal(() => exchange(suite, i, stolen(r), untouched)),
      'badSignature',
    );
    assert.equal(
      refusal(() => exchange(suite, stolen(i), r, untouched)),
      'badSignature',
    );
    assert.equal(
      refusal(() => exchange(suite, i, r, untouched, thief.seen)),
      'badCertificate',
    );
    assert.equal(
      refusal(() => exchange(suite, i, r, untouched, r.seen, thief.seen)),
      'badCertificate',
    );
    const renamed: PeerCredential = { ...r.seen, publicKey: thief.seen.publicKey };
    assert.equal(
      refusal(() => exchange(suite, i, r, untouched, renamed)),
      'badSignature',
    );
    const foreign = party(cipherSuite(suite.key === 'p256' ? 0 : 6)!, 'foreign');
    const wrongType: PeerCredential = { ...r.seen, publicKey: foreign.seen.publicKey };
    assert.equal(
      refusal(() => exchange(suite, i, r, untouched, wrongType)),
      'badCertificate',
    );
    assert.throws(
      () => exchange(suite, foreign, r, untouched),
      RangeError,
      'an own key of the wrong type is our fault',
    );
  });

  test(`[5.6 selfie] suite ${id}: a party does not talk to its own certificate`, () => {
    assert.equal(
      refusal(() => exchange(suite, i, i, untouched)),
      'unauthenticated',
    );
  });

  test(`suite ${id}: garbage leaves the state usable; the right message still finishes`, () => {
    const ephemeral = i.crypto.generateKey(suite.curve);
    const start = startInitiator(i.crypto, { suites: [id], selected: id, ephemeral, cI: EMPTY, ead1: [] });
    const first = readMessage1(r.crypto, start.message1, [id]);
    assert.ok(first.outcome === 'accepted');
    const parameters = { ephemeral: r.crypto.generateKey(suite.curve), cR: EMPTY, own: r.own, ead2: [] };
    const second = writeMessage2(r.crypto, first.state, parameters);
    for (const bad of [EMPTY, messages[1]!, messages[0]!]) {
      assert.notEqual(
        refusal(() => verifyMessage2(i.crypto, readMessage2(i.crypto, start.state, bad), r.seen)),
        'none',
      );
    }
    const verified2 = verifyMessage2(i.crypto, readMessage2(i.crypto, start.state, second.message2), r.seen);
    const third = writeMessage3(i.crypto, verified2, i.own, []);
    for (const bad of [EMPTY, messages[2]!]) {
      assert.notEqual(
        refusal(() => readMessage3(r.crypto, second.state, bad)),
        'none',
      );
    }
    const verified3 = verifyMessage3(r.crypto, readMessage3(r.crypto, second.state, third.message3), i.seen);
    const fourth = writeMessage4(r.crypto, verified3, []);
    assert.equal(
      refusal(() => readMessage4(i.crypto, third.state, messages[3]!)),
      'badMac',
    );
    assert.deepEqual(readMessage4(i.crypto, third.state, fourth.message4).exporter, fourth.exporter);
  });
}

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
