/**
 * The responder's side of EDHOC method 0, a chain of pure functions over plain data:
 * readMessage1 → writeMessage2 → readMessage3 → (the certificate is looked up and judged) → verifyMessage3 → writeMessage4.
 * A step that throws leaves its state usable, so that garbage does not end an exchange. No state holds a copy of a key that
 * another needs; whoever drops the last state wipes its `prk…` and the ephemeral key.
 * @spec RFC 9528 §5
 */
import { concat, EMPTY, equal, wipe } from '../bytes.ts';
import { encode } from '../cbor.ts';
import type { Crypto, EphemeralKey } from '../crypto.ts';
import { ProtocolError } from '../errors.ts';
import {
  type OwnCredential,
  type PeerCredential,
  type Statement,
  signStatement,
  verifyStatement,
} from './authentication.ts';
import { type CipherSuite, cipherSuite } from './cipher-suites.ts';
import { connectionIdItem } from './connection-id.ts';
import { encodeIdCred, type IdCred } from './credential.ts';
import { type EadItem, encodeEad } from './ead.ts';
import { applyKeystream2, MESSAGE_3, MESSAGE_4, openMessage, sealMessage } from './encryption.ts';
import { encodeError } from './error-message.ts';
import { type Exporter, extractPrk2e, finishExchange, KDF_LABEL } from './kdf.ts';
import { checkOwnSize, decodeOneByteString } from './limits.ts';
import { decodeMessage1 } from './message-1.ts';
import { decodePlaintext3, encodePlaintext, type Proof } from './plaintext.ts';
import { transcript2, transcript3, transcript4 } from './transcript.ts';

/** message_1 is read; nothing in it is proven. */
export interface ReadMessage1 {
  readonly suite: CipherSuite;
  readonly gX: Uint8Array;
  readonly cI: Uint8Array;
  readonly ead1: readonly EadItem[];
  readonly hashMessage1: Uint8Array;
}

export type Message1Outcome =
  | { readonly outcome: 'accepted'; readonly state: ReadMessage1 }
  /** The selected suite will not do; `error` is the EDHOC error message with SUITES_R, to be sent. */
  | { readonly outcome: 'wrongSuite'; readonly suitesI: readonly number[]; readonly error: Uint8Array };

export interface AwaitingMessage3 {
  readonly suite: CipherSuite;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly prk3e2m: Uint8Array;
  readonly th3: Uint8Array;
  /** CRED_R. */
  readonly ownCredential: Uint8Array;
}

/** message_3 is read; nothing in it is proven before `verifyMessage3`. */
export interface AwaitingVerification3 extends AwaitingMessage3 {
  readonly idCredI: IdCred;
  readonly ead3: readonly EadItem[];
  readonly plaintext3: Uint8Array;
  readonly proof: Proof;
}

/** The initiator is who its certificate says; whether that one is welcome is the caller's judgement. */
export interface Verified3 {
  readonly suite: CipherSuite;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly prk4e3m: Uint8Array;
  readonly th4: Uint8Array;
}

/**
 * @param supported  own suites in order of preference: those with an own certificate of their signature type
 * @throws ProtocolError malformed | tooLarge
 */
export function readMessage1(crypto: Crypto, message1: Uint8Array, supported: readonly number[]): Message1Outcome {
  const own = new Uint8Array(message1); // a copy: a Buffer's slice would share the receiver's memory
  const { suites, gX, cI, ead1 } = decodeMessage1(own);
  // The selected suite is the last; an earlier one that we support means that somebody bent the choice. [RFC 9528 §5.2.3]
  const selected = suites.at(-1)!;
  const suite = supported.includes(selected) ? cipherSuite(selected) : null;
  if (suite === null || suites.slice(0, -1).some((id) => supported.includes(id))) {
    return { outcome: 'wrongSuite', suitesI: suites, error: encodeError({ kind: 'wrongSuite', suites: supported }) };
  }
  return { outcome: 'accepted', state: { suite, gX, cI, ead1, hashMessage1: crypto.hash(suite.hash, own) } };
}

export interface Message2Parameters {
  /** Fresh for this exchange, of the suite's curve. */
  readonly ephemeral: EphemeralKey;
  readonly cR: Uint8Array;
  readonly own: OwnCredential;
  readonly ead2: readonly EadItem[];
}

/** @throws ProtocolError malformed when G_X is no good point | RangeError when key and suite do not fit: our bug */
export function writeMessage2(
  crypto: Crypto,
  { suite, gX, cI, hashMessage1 }: ReadMessage1,
  { ephemeral, cR, own, ead2 }: Message2Parameters,
): { message2: Uint8Array; state: AwaitingMessage3 } {
  if (ephemeral.curve !== suite.curve) throw new RangeError(`EDHOC suite ${suite.id} agrees on ${suite.curve}`);
  const gXY = crypto.agree(ephemeral, gX);
  if (gXY === null) throw new ProtocolError('malformed', `G_X is no good point of ${suite.curve}`);
  const th2 = transcript2(crypto, suite, ephemeral.publicKey, hashMessage1);
  const prk2e = extractPrk2e(crypto, suite, th2, gXY);
  wipe(gXY);
  const idCred = encodeIdCred(own.idCred);
  const ead = encodeEad(ead2);
  const prk3e2m = prk2e;
  const statement: Statement = {
    label: KDF_LABEL.mac2,
    prk: prk3e2m,
    cR: encode(connectionIdItem(cR)),
    idCred,
    th: th2,
    credential: own.credential,
    ead,
  };
  const signature = signStatement(crypto, suite, statement, own.signingKey);
  const plaintext2 = encodePlaintext(cR, idCred, signature, ead);
  checkOwnSize(plaintext2);
  const ciphertext2 = applyKeystream2(crypto, suite, prk2e, th2, plaintext2);
  const message2 = checkOwnSize(encode(concat(ephemeral.publicKey, ciphertext2)));
  const th3 = transcript3(crypto, suite, th2, plaintext2, own.credential);
  return { message2, state: { suite, cI, cR, prk3e2m, th3, ownCredential: own.credential } };
}

/** @throws ProtocolError malformed | tooLarge | badMac */
export function readMessage3(crypto: Crypto, state: AwaitingMessage3, message3: Uint8Array): AwaitingVerification3 {
  const ciphertext = decodeOneByteString(message3, 'message_3');
  const plaintext3 = openMessage(crypto, state.suite, MESSAGE_3, state.prk3e2m, state.th3, ciphertext);
  const proof = decodePlaintext3(plaintext3);
  return { ...state, idCredI: proof.idCred, ead3: proof.ead, plaintext3, proof };
}

/** What the initiator signed. */
export function statement3(state: AwaitingVerification3, credential: Uint8Array): Statement {
  const { prk3e2m: prk, th3: th, proof } = state;
  return { label: KDF_LABEL.mac3, prk, cR: EMPTY, idCred: proof.idCredBytes, th, credential, ead: proof.eadBytes };
}

/** @throws ProtocolError badCertificate | badSignature | unauthenticated when the peer shows our own certificate */
export function verifyMessage3(crypto: Crypto, state: AwaitingVerification3, peer: PeerCredential): Verified3 {
  const { suite, cI, cR, prk3e2m: prk4e3m, idCredI, proof } = state;
  if (equal(peer.credential, state.ownCredential)) {
    throw new ProtocolError('unauthenticated', 'the peer shows our own certificate');
  }
  verifyStatement(crypto, suite, statement3(state, peer.credential), idCredI, peer.publicKey, proof.signature);
  const th4 = transcript4(crypto, suite, state.th3, state.plaintext3, peer.credential);
  return { suite, cI, cR, prk4e3m, th4 };
}

/** The responder's exchange ends here; the initiator's with reading it. */
export function writeMessage4(
  crypto: Crypto,
  { suite, prk4e3m, th4 }: Verified3,
  ead4: readonly EadItem[],
): { message4: Uint8Array; exporter: Exporter } {
  const message4 = checkOwnSize(sealMessage(crypto, suite, MESSAGE_4, prk4e3m, th4, encodeEad(ead4)));
  return { message4, exporter: finishExchange(crypto, suite, prk4e3m, th4) };
}
