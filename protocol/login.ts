/**
 * The full login: EDHOC method 0 whose EAD items carry what the patent exchanges beside it (steps 1000–1310). Pure
 * steps for both roles; who is welcome is judged by the caller between *read* and *verify*, and after it.
 * @spec RFC 9528, design §5.2
 */
import { EMPTY } from './bytes.ts';
import type { ChannelKeys } from './channel.ts';
import type { Crypto, PublicKey, SigningKey } from './crypto.ts';
import { cipherSuite } from './edhoc/cipher-suites.ts';
import { type IdCred, thumbprintOf } from './edhoc/credential.ts';
import { checkEad, type EadItem } from './edhoc/ead.ts';
import {
  type AwaitingMessage2,
  type AwaitingMessage4,
  type AwaitingVerification2,
  readMessage2,
  readMessage4,
  startInitiator,
  type Verified2,
  verifyMessage2,
  writeMessage3,
} from './edhoc/initiator.ts';
import { type Exporter, exportKey } from './edhoc/kdf.ts';
import {
  type AwaitingMessage3,
  type AwaitingVerification3,
  type ReadMessage1,
  readMessage1,
  readMessage3,
  type Verified3,
  verifyMessage3,
  writeMessage2,
  writeMessage4,
} from './edhoc/responder.ts';
import { ProtocolError } from './errors.ts';
import { EAD_LABELS, LoginAnswer, LoginChoice, LoginOffer, LoginRequest } from './messages.ts';
import { FIRST_SECRET_CONTEXT, SECRET_BYTES } from './resumption.ts';
import { CHANNEL_SUITES } from './suites.ts';

/** Who we are in a login. */
export interface LoginIdentity {
  /** DER, leaf first, without the anchor. */
  readonly chain: readonly Uint8Array[];
  readonly signingKey: SigningKey;
  /** EDHOC suites that go with the key, in order of preference, the same in every exchange. */
  readonly cipherSuites: readonly number[];
  /** Numbers in the channel suite table, in order of preference. */
  readonly channelSuites: readonly number[];
}

/** What the other side's certificate gave: its leaf (DER) and the key in it. */
export interface PeerLeaf {
  readonly der: Uint8Array;
  readonly publicKey: PublicKey;
}

/** What both sides hold after a login. */
export interface LoginKeys {
  readonly channel: ChannelKeys;
  /** 32 bytes, generation 0 of the resumption chain. */
  readonly resumptionSecret: Uint8Array;
}

const CONNECTION_ID_I = Uint8Array.of(0);
const CONNECTION_ID_R = Uint8Array.of(1);
/** EDHOC_Exporter labels: OSCORE master secret and salt (RFC 9528 appendix A.1), and one for private use. */
const EXPORT = { masterSecret: 0, masterSalt: 1, resumption: 32_769 } as const;
const MASTER_SECRET_BYTES = 32;
const MASTER_SALT_BYTES = 8;

const SUITE_PREFERENCE = [6, 2, 3, 0, 4, 5];

/** EDHOC suites that a key of this type can sign in, in our order of preference. */
export function suitesFor(key: Pick<SigningKey, 'algorithm'>): number[] {
  return SUITE_PREFERENCE.filter((id) => cipherSuite(id)?.key === key.algorithm);
}

/** EDHOC suites of several identities, in our order of preference: a suite counts only with a certificate of its type. */
export function suitesOf(identities: readonly LoginIdentity[]): number[] {
  return SUITE_PREFERENCE.filter((id) => identities.some((identity) => identity.cipherSuites.includes(id)));
}

// ── Initiator ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface LoginStarted {
  readonly edhoc: AwaitingMessage2;
  readonly offer: LoginOffer;
}

/** message_1 with EAD_1. @param selected one of the identity's EDHOC suites; the preferred ones before it are listed */
export function startLogin(
  crypto: Crypto,
  identity: LoginIdentity,
  offer: LoginOffer,
  selected: number,
): { readonly message1: Uint8Array; readonly state: LoginStarted } {
  const suite = cipherSuite(selected);
  if (suite === null) throw new RangeError(`EDHOC suite ${selected}`);
  const { message1, state } = startInitiator(crypto, {
    suites: identity.cipherSuites,
    selected,
    ephemeral: crypto.generateKey(suite.curve),
    cI: CONNECTION_ID_I,
    ead1: [ead(EAD_LABELS.offer, LoginOffer.encode(offer))],
  });
  return { message1, state: { edhoc: state, offer } };
}

/** The hash that a fresh verdict is bound to: SHA-256(G_X). */
export function ownFreshness(crypto: Crypto, state: LoginStarted): Uint8Array {
  return crypto.hash('sha-256', state.edhoc.ephemeral.publicKey);
}

export interface LoginChoiceRead {
  readonly edhoc: AwaitingVerification2;
  readonly offer: LoginOffer;
  readonly choice: LoginChoice;
  readonly peer: IdCred;
}

/** @throws ProtocolError malformed | unauthenticated; unexpected when the choice was not on offer */
export function readChoice(crypto: Crypto, state: LoginStarted, message2: Uint8Array): LoginChoiceRead {
  const edhoc = readMessage2(crypto, state.edhoc, message2);
  const choice = LoginChoice.decode(eadValue(edhoc.ead2, EAD_LABELS.choice));
  return { edhoc, offer: state.offer, choice, peer: edhoc.idCredR };
}

export interface LoginChoiceVerified {
  readonly edhoc: Verified2;
  readonly choice: LoginChoice;
}

/** Proves the signature. @throws ProtocolError badSignature; unexpected when the choice was not on offer */
export function verifyChoice(crypto: Crypto, read: LoginChoiceRead, leaf: PeerLeaf): LoginChoiceVerified {
  const edhoc = verifyMessage2(crypto, read.edhoc, { credential: leaf.der, publicKey: leaf.publicKey });
  const { offer, choice } = read;
  if (!offer.suites.includes(choice.suite))
    throw new ProtocolError('unexpected', 'a channel suite that was not on offer');
  // (P8) an explicit choice of both, or neither
  if ((offer.authenticateOnly ?? false) !== (choice.authenticateOnly ?? false)) {
    throw new ProtocolError('unexpected', 'encryption of the channel: the two sides do not want the same');
  }
  return { edhoc, choice };
}

export interface LoginRequested {
  readonly edhoc: AwaitingMessage4;
  readonly choice: LoginChoice;
}

/** message_3 with EAD_3. @param sendChain false once the peer said that it holds our leaf; it may ask for it all the same */
export function requestLogin(
  crypto: Crypto,
  identity: LoginIdentity,
  verified: LoginChoiceVerified,
  request: LoginRequest,
  sendChain: boolean,
): { readonly message3: Uint8Array; readonly state: LoginRequested } {
  const own = ownCredential(crypto, identity, sendChain || verified.choice.sendChain === true);
  const ead3 = [ead(EAD_LABELS.request, LoginRequest.encode(request))];
  const { message3, state } = writeMessage3(crypto, verified.edhoc, own, ead3);
  return { message3, state: { edhoc: state, choice: verified.choice } };
}

/** message_4: keys only when the login is permitted. @throws ProtocolError badMac | malformed */
export function readLoginAnswer(
  crypto: Crypto,
  state: LoginRequested,
  message4: Uint8Array,
): { readonly answer: LoginAnswer; readonly keys: LoginKeys | null } {
  const { ead4, exporter } = readMessage4(crypto, state.edhoc, message4);
  const answer = LoginAnswer.decode(eadValue(ead4, EAD_LABELS.answer));
  return { answer, keys: answer.permitted ? loginKeys(crypto, exporter, state.choice, 'initiator') : null };
}

// ── Responder ───────────────────────────────────────────────────────────────────────────────────────────────────────

export interface LoginOfferRead {
  readonly edhoc: ReadMessage1;
  readonly offer: LoginOffer;
}

/**
 * @returns the EDHOC error message to send when the selected suite will not do
 * @throws ProtocolError malformed | tooLarge
 */
export function readOffer(
  crypto: Crypto,
  identity: Pick<LoginIdentity, 'cipherSuites'>,
  message1: Uint8Array,
): LoginOfferRead | { error: Uint8Array } {
  const read = readMessage1(crypto, message1, identity.cipherSuites);
  if (read.outcome === 'wrongSuite') return { error: read.error };
  return { edhoc: read.state, offer: LoginOffer.decode(eadValue(read.state.ead1, EAD_LABELS.offer)) };
}

/** The hash that a fresh verdict is bound to: SHA-256(G_X). */
export function peerFreshness(crypto: Crypto, read: LoginOfferRead): Uint8Array {
  return crypto.hash('sha-256', read.edhoc.gX);
}

/** [patent 1004] @returns the first of our channel suites that is on offer, or null */
export function pickChannelSuite(identity: LoginIdentity, offer: LoginOffer): number | null {
  return identity.channelSuites.find((id) => offer.suites.includes(id) && CHANNEL_SUITES[id] !== undefined) ?? null;
}

export interface LoginChosen {
  readonly edhoc: AwaitingMessage3;
  readonly choice: LoginChoice;
}

/** message_2 with EAD_2. @throws ProtocolError malformed when G_X is no good point */
export function chooseLogin(
  crypto: Crypto,
  identity: LoginIdentity,
  read: LoginOfferRead,
  choice: LoginChoice,
): { readonly message2: Uint8Array; readonly state: LoginChosen } {
  const { message2, state } = writeMessage2(crypto, read.edhoc, {
    ephemeral: crypto.generateKey(read.edhoc.suite.curve),
    cR: CONNECTION_ID_R,
    own: ownCredential(crypto, identity, read.offer.sendChain ?? false),
    ead2: [ead(EAD_LABELS.choice, LoginChoice.encode(choice))],
  });
  return { message2, state: { edhoc: state, choice } };
}

export interface LoginRequestRead {
  readonly edhoc: AwaitingVerification3;
  readonly choice: LoginChoice;
  readonly request: LoginRequest;
  readonly peer: IdCred;
}

/** @throws ProtocolError badMac | malformed */
export function readRequest(crypto: Crypto, state: LoginChosen, message3: Uint8Array): LoginRequestRead {
  const edhoc = readMessage3(crypto, state.edhoc, message3);
  const request = LoginRequest.decode(eadValue(edhoc.ead3, EAD_LABELS.request));
  return { edhoc, choice: state.choice, request, peer: edhoc.idCredI };
}

export interface LoginVerified {
  readonly edhoc: Verified3;
  readonly choice: LoginChoice;
}

/** Proves the signature with the leaf that was sent. @throws ProtocolError badSignature | unauthenticated */
export function verifyRequest(crypto: Crypto, read: LoginRequestRead, leaf: PeerLeaf): LoginVerified {
  const edhoc = verifyMessage3(crypto, read.edhoc, { credential: leaf.der, publicKey: leaf.publicKey });
  return { edhoc, choice: read.choice };
}

/** message_4 with EAD_4; keys only when it permits. */
export function answerLogin(
  crypto: Crypto,
  state: LoginVerified,
  answer: LoginAnswer,
): { readonly message4: Uint8Array; readonly keys: LoginKeys | null } {
  const ead4 = [ead(EAD_LABELS.answer, LoginAnswer.encode(answer))];
  const { message4, exporter } = writeMessage4(crypto, state.edhoc, ead4);
  return { message4, keys: answer.permitted ? loginKeys(crypto, exporter, state.choice, 'responder') : null };
}

// ── Both ────────────────────────────────────────────────────────────────────────────────────────────────────────────

function loginKeys(
  crypto: Crypto,
  exporter: Exporter,
  choice: LoginChoice,
  role: 'initiator' | 'responder',
): LoginKeys {
  const keys: LoginKeys = {
    channel: {
      masterSecret: exportKey(crypto, exporter, EXPORT.masterSecret, EMPTY, MASTER_SECRET_BYTES),
      masterSalt: exportKey(crypto, exporter, EXPORT.masterSalt, EMPTY, MASTER_SALT_BYTES),
      suite: choice.suite,
      authenticateOnly: choice.authenticateOnly ?? false,
      role,
      generation: 0,
    },
    resumptionSecret: exportKey(crypto, exporter, EXPORT.resumption, FIRST_SECRET_CONTEXT, SECRET_BYTES),
  };
  exporter.prkExporter.fill(0);
  return keys;
}

function ownCredential(crypto: Crypto, identity: LoginIdentity, sendChain: boolean) {
  const leaf = identity.chain[0]!;
  const idCred: IdCred = sendChain ? { kind: 'x5chain', certificates: identity.chain } : thumbprintOf(crypto, leaf);
  return { idCred, credential: leaf, signingKey: identity.signingKey };
}

const ead = (label: number, value: Uint8Array): EadItem => ({ label, critical: true, value });

/** @throws ProtocolError malformed when the one item that belongs here is missing, or another critical one is there */
function eadValue(items: readonly EadItem[], label: number): Uint8Array {
  checkEad(items, new Set([label]));
  const value = items.find((item) => item.label === label)?.value;
  if (value === null || value === undefined) throw new ProtocolError('malformed', `EAD item ${label} is missing`);
  return value;
}
