/**
 * Two parties with fresh keys, an exchange between them, and a wire that may alter it.
 */
import assert from 'node:assert/strict';
import { generateSigningKey, nodeCrypto, signingKey } from '../../platform/crypto-node.ts';
import { concat, encodeUtf8, fromHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import type { OwnCredential, PeerCredential } from '../../protocol/edhoc/authentication.ts';
import type { CipherSuite } from '../../protocol/edhoc/cipher-suites.ts';
import { type IdCred, thumbprintOf } from '../../protocol/edhoc/credential.ts';
import { checkEad, type EadItem } from '../../protocol/edhoc/ead.ts';
import {
  type AwaitingVerification2,
  readMessage2,
  readMessage4,
  startInitiator,
  verifyMessage2,
  writeMessage3,
} from '../../protocol/edhoc/initiator.ts';
import type { Exporter } from '../../protocol/edhoc/kdf.ts';
import {
  type AwaitingVerification3,
  readMessage1,
  readMessage3,
  verifyMessage3,
  writeMessage2,
  writeMessage4,
} from '../../protocol/edhoc/responder.ts';
import { type ErrorCode, ProtocolError } from '../../protocol/errors.ts';

export const ead = (label: number, text: string): EadItem => ({ label, critical: true, value: encodeUtf8(text) });
const EADS = [1, 2, 3, 4].map((label) => [ead(label, `EAD_${label}`), { label: 900, critical: false, value: null }]);
const [EAD_1, EAD_2, EAD_3, EAD_4] = EADS as [EadItem[], EadItem[], EadItem[], EadItem[]];

export interface Party {
  readonly crypto: Crypto;
  readonly own: OwnCredential;
  readonly seen: PeerCredential;
}

/** A party whose "certificate" is a name and its public key: EDHOC itself does not look inside. */
export function party(suite: CipherSuite, name: string, naming: IdCred['kind'] = 'x5t'): Party {
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
export type Wire = (number: 1 | 2 | 3 | 4, message: Uint8Array) => Uint8Array;
export const untouched: Wire = (_number, message) => message;

interface Finished {
  readonly initiator: Exporter;
  readonly responder: Exporter;
  readonly read2: AwaitingVerification2;
  readonly read3: AwaitingVerification3;
  readonly messages: readonly Uint8Array[];
}

/** Runs the whole exchange; each side looks the other's certificate up as `seen`. States pass through a clone. */
export function exchange(suite: CipherSuite, i: Party, r: Party, wire: Wire, seenR = r.seen, seenI = i.seen): Finished {
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
export function refusal(run: () => unknown): ErrorCode | 'none' {
  try {
    run();
    return 'none';
  } catch (error) {
    if (error instanceof ProtocolError) return error.code;
    throw error;
  }
}
