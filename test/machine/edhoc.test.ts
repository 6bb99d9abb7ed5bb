/**
 * EDHOC method 0 between two parties with fresh keys: every suite, every bad message.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { concat, EMPTY, encodeUtf8, equal, fromHex } from '../../protocol/bytes.ts';
import { decodeSequence, encodeSequence } from '../../protocol/cbor.ts';
import { publicKeyOperations } from '../../protocol/crypto.ts';
import type { OwnCredential, PeerCredential } from '../../protocol/edhoc/authentication.ts';
import { CIPHER_SUITES, cipherSuite } from '../../protocol/edhoc/cipher-suites.ts';
import { decodeError, type EdhocError } from '../../protocol/edhoc/error-message.ts';
import {
  nextSuite,
  readMessage2,
  readMessage4,
  startInitiator,
  verifyMessage2,
  writeMessage3,
} from '../../protocol/edhoc/initiator.ts';
import { exportKey } from '../../protocol/edhoc/kdf.ts';
import {
  readMessage1,
  readMessage3,
  verifyMessage3,
  writeMessage2,
  writeMessage4,
} from '../../protocol/edhoc/responder.ts';
import { exchange, type Party, party, refusal, untouched, type Wire } from './edhoc-parties.ts';

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
