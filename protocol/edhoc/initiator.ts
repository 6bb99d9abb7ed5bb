/**
 * The initiator's side of EDHOC method 0, a chain of pure functions over plain data:
 * startInitiator → readMessage2 → (the certificate is looked up and judged) → verifyMessage2 → writeMessage3 → readMessage4.
 * A step that throws leaves its state usable, so that garbage does not end an exchange. No state holds a copy of a key that
 * another needs; whoever drops the last state wipes its `prk…` and the ephemeral key.
 * @spec RFC 9528 §5
 */
import { EMPTY, equal, wipe } from '../bytes.ts';
import { decodeSequence, encode } from '../cbor.ts';
import type { Crypto, EphemeralKey } from '../crypto.ts';
import { ProtocolError } from '../errors.ts';
import {
  type OwnCredential,
  type PeerCredential,
  type Statement,
  signStatement,
  verifyStatement,
} from './authentication.ts';
import { type CipherSuite, cipherSuite, EPHEMERAL_BYTES } from './cipher-suites.ts';
import { connectionIdItem } from './connection-id.ts';
import { encodeIdCred, type IdCred } from './credential.ts';
import { type EadItem, encodeEad, parseEad } from './ead.ts';
import { applyKeystream2, MESSAGE_3, MESSAGE_4, openMessage, sealMessage } from './encryption.ts';
import { type Exporter, extractPrk2e, finishExchange, KDF_LABEL } from './kdf.ts';
import { checkOwnSize, decodeOneByteString, EDHOC_LIMITS } from './limits.ts';
import { encodeMessage1 } from './message-1.ts';
import { decodePlaintext2, encodePlaintext, type Proof } from './plaintext.ts';
import { transcript2, transcript3, transcript4 } from './transcript.ts';

export interface AwaitingMessage2 {
  readonly suite: CipherSuite;
  readonly ephemeral: EphemeralKey;
  readonly cI: Uint8Array;
  readonly hashMessage1: Uint8Array;
}

/** message_2 is read; nothing in it is proven before `verifyMessage2`. */
export interface AwaitingVerification2 {
  readonly suite: CipherSuite;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly idCredR: IdCred;
  readonly ead2: readonly EadItem[];
  readonly prk2e: Uint8Array;
  readonly th2: Uint8Array;
  readonly plaintext2: Uint8Array;
  readonly proof: Proof;
}

/** The responder is who its certificate says; whether that one is welcome is the caller's judgement. */
export interface Verified2 {
  readonly suite: CipherSuite;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly prk3e2m: Uint8Array;
  readonly th3: Uint8Array;
  /** CRED_R. */
  readonly peerCredential: Uint8Array;
}

export interface AwaitingMessage4 {
  readonly suite: CipherSuite;
  readonly cI: Uint8Array;
  readonly cR: Uint8Array;
  readonly prk4e3m: Uint8Array;
  readonly th4: Uint8Array;
}

export interface InitiatorStart {
  /** Own suites in order of preference, the same in every exchange. */
  readonly suites: readonly number[];
  /** One of `suites`; all before it are listed in SUITES_I, so that the responder can object. [RFC 9528 §5.2.2] */
  readonly selected: number;
  /** Fresh for this exchange, of the selected suite's curve. */
  readonly ephemeral: EphemeralKey;
  readonly cI: Uint8Array;
  readonly ead1: readonly EadItem[];
}

/** @throws RangeError when selected suite and key do not fit: our bug */
export function startInitiator(
  crypto: Crypto,
  { suites, selected, ephemeral, cI, ead1 }: InitiatorStart,
): { message1: Uint8Array; state: AwaitingMessage2 } {
  const suite = cipherSuite(selected);
  const at = suites.indexOf(selected);
  if (suite === null || at < 0) throw new RangeError(`EDHOC suite ${selected} is not on offer`);
  if (ephemeral.curve !== suite.curve) throw new RangeError(`EDHOC suite ${selected} agrees on ${suite.curve}`);
  const message1 = encodeMessage1({ suites: suites.slice(0, at + 1), gX: ephemeral.publicKey, cI, ead1 });
  return { message1, state: { suite, ephemeral, cI, hashMessage1: crypto.hash(suite.hash, message1) } };
}

/**
 * The suite to start again with after an error that carries SUITES_R; the error is not authenticated, but a responder
 * that sees SUITES_I with a better suite it supports refuses.
 * @param preference  own suites, most preferred first
 * @param offered     suites that were selected before in this attempt
 * @returns           null when no suite is common: give up
 * @spec RFC 9528 §5.2.2, §6.3
 */
export function nextSuite(
  preference: readonly number[],
  suitesR: readonly number[],
  offered: readonly number[],
): number | null {
  return preference.find((id) => suitesR.includes(id) && !offered.includes(id)) ?? null;
}

/** @throws ProtocolError malformed | tooLarge | unauthenticated */
export function readMessage2(crypto: Crypto, state: AwaitingMessage2, message2: Uint8Array): AwaitingVerification2 {
  const { suite, cI } = state;
  const bytes = decodeOneByteString(message2, 'message_2');
  if (bytes.length <= EPHEMERAL_BYTES) throw new ProtocolError('malformed', 'message_2 has no ciphertext');
  const gY = bytes.subarray(0, EPHEMERAL_BYTES);
  const gXY = crypto.agree(state.ephemeral, gY);
  if (gXY === null) throw new ProtocolError('malformed', `G_Y is no good point of ${suite.curve}`);
  const th2 = transcript2(crypto, suite, gY, state.hashMessage1);
  const prk2e = extractPrk2e(crypto, suite, th2, gXY);
  wipe(gXY);
  const plaintext2 = applyKeystream2(crypto, suite, prk2e, th2, bytes.subarray(EPHEMERAL_BYTES));
  const { cR, proof } = decodeUnproven(plaintext2);
  return { suite, cI, cR, idCredR: proof.idCred, ead2: proof.ead, prk2e, th2, plaintext2, proof };
}

/** The key stream has no tag, so an altered or foreign message shows as garbage: an authentication failure like others. */
function decodeUnproven(plaintext2: Uint8Array): { cR: Uint8Array; proof: Proof } {
  try {
    return decodePlaintext2(plaintext2);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError('unauthenticated', `message_2 does not decrypt to a message: ${error.message}`);
  }
}

/** What the responder signed. */
export function statement2(state: AwaitingVerification2, credential: Uint8Array): Statement {
  return {
    label: KDF_LABEL.mac2,
    prk: state.prk2e,
    cR: encode(connectionIdItem(state.cR)),
    idCred: state.proof.idCredBytes,
    th: state.th2,
    credential,
    ead: state.proof.eadBytes,
  };
}

/** @throws ProtocolError badCertificate | badSignature */
export function verifyMessage2(crypto: Crypto, state: AwaitingVerification2, peer: PeerCredential): Verified2 {
  const { suite, cI, cR, idCredR, proof } = state;
  verifyStatement(crypto, suite, statement2(state, peer.credential), idCredR, peer.publicKey, proof.signature);
  const th3 = transcript3(crypto, suite, state.th2, state.plaintext2, peer.credential);
  return { suite, cI, cR, prk3e2m: state.prk2e, th3, peerCredential: peer.credential };
}

/** @throws ProtocolError unauthenticated when the peer showed our own certificate [RFC 9528 §9.1, reflection] */
export function writeMessage3(
  crypto: Crypto,
  { suite, cI, cR, prk3e2m, th3, peerCredential }: Verified2,
  own: OwnCredential,
  ead3: readonly EadItem[],
): { message3: Uint8Array; state: AwaitingMessage4 } {
  if (equal(peerCredential, own.credential)) {
    throw new ProtocolError('unauthenticated', 'the peer shows our own certificate');
  }
  const idCred = encodeIdCred(own.idCred);
  const ead = encodeEad(ead3);
  const prk4e3m = prk3e2m;
  const statement: Statement = {
    label: KDF_LABEL.mac3,
    prk: prk4e3m,
    cR: EMPTY,
    idCred,
    th: th3,
    credential: own.credential,
    ead,
  };
  const signature = signStatement(crypto, suite, statement, own.signingKey);
  const plaintext3 = encodePlaintext(null, idCred, signature, ead);
  const message3 = checkOwnSize(sealMessage(crypto, suite, MESSAGE_3, prk3e2m, th3, plaintext3));
  const th4 = transcript4(crypto, suite, th3, plaintext3, own.credential);
  return { message3, state: { suite, cI, cR, prk4e3m, th4 } };
}

/** @throws ProtocolError malformed | tooLarge | badMac */
export function readMessage4(
  crypto: Crypto,
  { suite, prk4e3m, th4 }: AwaitingMessage4,
  message4: Uint8Array,
): { ead4: readonly EadItem[]; exporter: Exporter } {
  const ciphertext = decodeOneByteString(message4, 'message_4');
  const plaintext4 = openMessage(crypto, suite, MESSAGE_4, prk4e3m, th4, ciphertext);
  const ead4 = parseEad(decodeSequence(plaintext4, EDHOC_LIMITS));
  return { ead4, exporter: finishExchange(crypto, suite, prk4e3m, th4) };
}
