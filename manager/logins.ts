/**
 * Full logins that a device starts (patent 1000–1310): offer, choice, signature, verdict, answer.
 */

import type { Change } from '../platform/store.ts';
import { EMPTY } from '../protocol/bytes.ts';
import { encodeError } from '../protocol/edhoc/error-message.ts';
import { ProtocolError } from '../protocol/errors.ts';
import {
  answerLogin,
  chooseLogin,
  type LoginOfferRead,
  peerFreshness,
  pickChannelSuite,
  readOffer,
  readRequest,
  suitesOf,
  verifyRequest,
} from '../protocol/login.ts';
import type { VerdictReason } from '../protocol/message-values.ts';
import { type ChannelMessage, channelMessages, type LoginAnswer } from '../protocol/messages.ts';
import type { Party } from '../protocol/topics.ts';
import { EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { adoptChannel, evict } from './channels.ts';
import { admission, admit, chainOf, readLeaf } from './credentials.ts';
import { enrolByCertificate, receiveToken } from './enrolment.ts';
import { beginHandshake, endHandshake, mayGoOn, reply, turnAwayFull } from './half-open.ts';
import { type Handshake, type Proven, partyKey } from './handshake.ts';
import { commit, log, sendExchange } from './outbox.ts';
import { askVerifier, currentOwnVerdict, type Ruling } from './questions.ts';
import { prepareRegistration } from './registrations.ts';
import { mayRenewExpired, type Renewed, renewFirst, warnOfEnd } from './renewing.ts';
import { bearsFreshMark, hearsVerifier, sameChain } from './revocation-watch.ts';
import { identitiesOf, identityFor, type ManagerState } from './state.ts';
import { leaving, wasOutrun, whenAlone } from './twins.ts';
import { carryVerdict, hearVerdict, isJudged, verdictSecondsLeft } from './verdict-age.ts';
import { isVoid } from './voiding.ts';

const AUTHENTICATION_FAILED = encodeError({ kind: 'unspecified', text: 'authentication failed' });
const OUTRUN = encodeError({ kind: 'unspecified', text: 'another machine with this certificate has just come in' });
const NOT_STORED = encodeError({ kind: 'unspecified', text: 'the manager cannot store a login now' });

/** [patent 1002–1004] */
export function receiveMessage1(
  state: ManagerState,
  party: Party,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  const read = readOffer(world.crypto, { cipherSuites: suitesOf(identitiesOf(state)) }, body);
  if ('error' in read) {
    sendExchange(state, party, 'error', exchange, read.error);
    return;
  }
  const handshake = beginHandshake(state, party, exchange, { name: 'awaitingOwnVerdict', offer: read }, world);
  if (handshake === null) return turnAwayFull(state, party, exchange, world);
  handshake.last = { received: frame.slice(), sent: new Uint8Array(0) };
  if (mayGoOn(state, handshake, 'login', partyKey(party), world)) loginInTurn(state, handshake, world);
}

/** The turn of a message_1 has come. */
export function loginInTurn(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'awaitingOwnVerdict') return;
  const read = step.offer;
  if (read.offer.verdict === 'fresh') {
    const subject = { for: 'selfForExchange', party: partyKey(party), handshake: handshake.id } as const;
    const { chain } = identityFor(state, read.edhoc.suite.id);
    askVerifier(state, subject, 'manager', chain, world, peerFreshness(world.crypto, read));
    return;
  }
  const stapled =
    read.offer.verdict === 'cached' ? currentOwnVerdict(state, identityFor(state, read.edhoc.suite.id), world) : null;
  sendChoice(state, handshake, read, stapled, world);
}

/** The verdict on our own certificate that the device wanted bound to its key has come, or has not. */
export function ownVerdictForExchange(state: ManagerState, handshake: Handshake, ruling: Ruling, world: World): void {
  if (handshake.step.name !== 'awaitingOwnVerdict') return;
  sendChoice(state, handshake, handshake.step.offer, ruling.outcome === 'good' ? ruling.bytes : null, world);
}

function sendChoice(
  state: ManagerState,
  handshake: Handshake,
  read: LoginOfferRead,
  verdict: Uint8Array | null,
  world: World,
): void {
  const { party, exchange } = handshake;
  const identity = identityFor(state, read.edhoc.suite.id);
  const suite = pickChannelSuite(identity, read.offer);
  if (suite === null) {
    endHandshake(state, party);
    sendExchange(
      state,
      party,
      'error',
      exchange,
      encodeError({ kind: 'unspecified', text: 'no channel suite in common' }),
    );
    return;
  }
  const granted = read.offer.authenticateOnly === true && state.settings.authenticateOnly;
  const choice = {
    suite,
    verdict: verdict ?? undefined,
    authenticateOnly: granted ? true : undefined,
    instance: state.instance,
    anchors: read.offer.enrol === true ? state.settings.enrolment?.anchors : undefined,
  };
  const { message2, state: login } = chooseLogin(world.crypto, identity, read, choice);
  handshake.step = { name: 'awaitingMessage3', login };
  reply(state, handshake, 'message2', message2);
}

/** [patent 1022, 1202–1206] */
export function receiveMessage3(
  state: ManagerState,
  handshake: Handshake,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  const { step, party, exchange } = handshake;
  if (step.name !== 'awaitingMessage3') return;
  try {
    const read = readRequest(world.crypto, step.login, body);
    if (read.request.token !== undefined) return receiveToken(state, handshake, read, frame, world);
    const chain = chainOf(state, read.peer);
    if (chain === null) {
      sendExchange(state, party, 'error', exchange, encodeError({ kind: 'unknownCredential' }));
      endHandshake(state, party);
      return;
    }
    const proven = readLeaf(state, chain, world);
    const login = verifyRequest(world.crypto, read, proven.peer);
    handshake.step = { name: 'awaitingVerdict', login, proven: proven.proven, request: read.request };
    handshake.last = { received: frame.slice(), sent: new Uint8Array(0) };
    // whatever is said of the certificate: its device was reset, and is to hear that
    if (isVoid(state, proven.peer.publicKey.spki, world))
      return denyLogin(state, handshake, { permitted: false, refusal: 'void' }, world);
    const until = heldVerdict(state, proven.proven, world);
    if (until !== null) return verdictForLogin(state, handshake, { outcome: 'good', until, bytes: EMPTY }, world);
    askVerifier(state, { for: 'exchange', party: partyKey(party), handshake: handshake.id }, 'device', chain, world); // [patent 1100]
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log(state, 'warn', 'login.refused', { party: partyKey(party), code: error.code, detail: error.message });
    sendExchange(state, party, 'error', exchange, AUTHENTICATION_FAILED);
  }
}

/**
 * A good verdict on this very chain that holds goes on to hold as long as its verifier would tell us otherwise at once.
 * @returns when it ends, or null: the verifier has to be asked
 */
function heldVerdict(state: ManagerState, { id, chain }: Proven, world: World): EpochSeconds | null {
  const record = state.devices.get(id);
  if (record === undefined || !sameChain(record.chain, chain)) return null;
  if (!hearsVerifier(state.revocation, world.now) || !isJudged(state, id, world)) return null;
  return EpochSeconds(world.wall + Math.floor(verdictSecondsLeft(state, id, world)));
}

/** [patent 1112] The verdict decides; a bad one is told in EAD_4, so that its reason is authenticated. */
export function verdictForLogin(state: ManagerState, handshake: Handshake, ruling: Ruling, world: World): void {
  const { step } = handshake;
  if (step.name !== 'awaitingVerdict') return;
  const { proven, login, request } = step;
  if (ruling.outcome === 'bad') {
    if (ruling.reason === 'expired' && step.expired !== true && mayRenewExpired(state, step, world)) {
      handshake.step = { ...step, expired: true };
      const subject = { for: 'exchange', party: partyKey(handshake.party), handshake: handshake.id } as const;
      return askVerifier(state, subject, 'renewal', proven.chain, world);
    }
    denyLogin(state, handshake, { permitted: false, reason: ruling.reason }, world);
    return evictByLogin(state, proven, ruling.reason, world);
  }
  if (ruling.outcome === 'away')
    return denyLogin(state, handshake, { permitted: false, refusal: 'verifier-away' }, world);
  if (request.certificateRequest !== undefined && login.choice.anchors !== undefined)
    return enrolByCertificate(state, { handshake, login, shown: proven.chain }, proven, request, world);
  const refusal = admission(state, handshake.party, proven, world);
  if (refusal !== null) return denyLogin(state, handshake, { permitted: false, refusal }, world);
  const newcomer = { device: proven.id, instance: request.instance?.slice() ?? null };
  const { now } = world;
  const comeIn = (renewed: Renewed, later: World): void => {
    // the verdict is of a while ago, where the CA or another machine had to be asked
    if (later.now > now && bearsFreshMark(state.revocation, state.reader, proven.chain, later))
      return denyLogin(state, handshake, { permitted: false, reason: 'revoked' }, later);
    if (step.expired === true) return answerExpired(state, handshake, renewed, later);
    letIn(state, handshake, ruling.until, renewed, later.now > now ? carryVerdict : hearVerdict, later);
  };
  const alone = (later: World): void => renewFirst(state, handshake, (renewed, then) => comeIn(renewed, then), later);
  const stayOut = (later: World) => denyLogin(state, handshake, { permitted: false, refusal: 'duplicate' }, later);
  whenAlone(state, handshake, newcomer, (isAlone, later) => (isAlone ? alone : stayOut)(later), world);
}

/** Its certificate has run out, and nothing else is wrong: it does not come in, but gets the next one. */
function answerExpired(state: ManagerState, handshake: Handshake, renewed: Renewed, world: World): void {
  const { step } = handshake;
  if (step.name !== 'awaitingVerdict') return;
  if (renewed.issued === undefined) {
    denyLogin(state, handshake, { permitted: false, reason: 'expired' }, world);
    return evictByLogin(state, step.proven, 'expired', world);
  }
  const { message4 } = answerLogin(world.crypto, step.login, { permitted: false, issued: renewed.issued });
  handshake.step = { name: 'answered' };
  reply(state, handshake, 'message4', message4);
}

function letIn(
  state: ManagerState,
  handshake: Handshake,
  until: EpochSeconds,
  renewed: Renewed,
  noteVerdict: typeof hearVerdict,
  world: World,
): void {
  const { step } = handshake;
  if (step.name !== 'awaitingVerdict') return;
  const { proven, login, request } = step;
  const changes: Change[] = [];
  const messages: ChannelMessage[] = [];
  for (const message of ridingAlong(request.messages)) {
    const prepared = prepareRegistration(state, proven.id, message, world);
    messages.push(prepared.reply);
    changes.push(...prepared.changes);
  }
  const { message4, keys } = answerLogin(world.crypto, login, {
    permitted: true,
    chainHeld: true,
    ...renewed,
    messages: messages.length > 0 ? channelMessages.encodeAll(messages) : undefined,
  });
  if (keys === null) return;
  const instance = request.instance?.slice() ?? null;
  changes.push(...admit(state, proven, until, keys.resumptionSecret, keys.channel, world));
  noteVerdict(state, proven.id, until, world);
  warnOfEnd(state, proven, world);
  handshake.step = { name: 'storingLogin', keys, message4, proven, instance };
  commit(state, changes, { next: 'finishExchange', party: partyKey(handshake.party), handshake: handshake.id });
}

/**
 * What was said of the very chain that somebody is in with holds for him too. A bad certificate beside a good one of the
 * same name says nothing against the good one.
 */
function evictByLogin(state: ManagerState, { id, chain }: Proven, reason: VerdictReason, world: World): void {
  const record = state.devices.get(id);
  if (record === undefined || !sameChain(record.chain, chain)) return;
  const isOut = record.verdictUntil === 0 && !state.channels.has(id) && !state.sessionsOf.has(id);
  if (!isOut) evict(state, id, reason === 'revoked' ? 'revoked' : 'bad-verdict', world);
}

/** [patent 1304, 1312] Everything is durable: the device's link is promoted, the answer sent, the channel open. */
export function finishLogin(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'storingLogin') return;
  const { proven, keys, instance, message4 } = step;
  const { id: device } = proven;
  if (wasOutrun(state, handshake, { device, instance })) {
    sendExchange(state, party, 'error', handshake.exchange, OUTRUN);
    return endHandshake(state, party);
  }
  const replaces = leaving(handshake);
  adoptChannel(
    state,
    { device, party, keys: keys.channel, instance, by: 'device', how: 'edhoc', replaces, world },
    () => {
      handshake.step = { name: 'answered' };
      reply(state, handshake, 'message4', message4);
    },
  );
}

/** The disk refused: nobody was let in, and the device hears so at once instead of waiting for an answer. */
export function loginNotStored(state: ManagerState, handshake: Handshake): void {
  const { step, party, exchange } = handshake;
  if (step.name === 'storingLogin') sendExchange(state, party, 'error', exchange, NOT_STORED);
  endHandshake(state, party);
}

function denyLogin(state: ManagerState, handshake: Handshake, answer: LoginAnswer, world: World): void {
  const { step } = handshake;
  if (step.name !== 'awaitingVerdict') return;
  const why = answer.reason ?? answer.refusal ?? 'forbidden';
  log(state, 'warn', 'login.denied', { device: step.proven.id, reason: why });
  const { message4 } = answerLogin(world.crypto, step.login, answer);
  handshake.step = { name: 'answered' };
  reply(state, handshake, 'message4', message4);
}

/** EAD_3 may carry registrations, nothing else. @throws ProtocolError unexpected | malformed */
function ridingAlong(payload: Uint8Array | undefined) {
  const messages = payload === undefined ? [] : channelMessages.decodeAll(payload);
  return messages.map((message) => {
    if (message.kind !== 'Register') throw new ProtocolError('unexpected', `${message.kind} in a login`);
    return message;
  });
}
