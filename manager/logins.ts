/**
 * Full logins that a device starts (patent 1000–1310): offer, choice, signature, verdict, answer.
 */

import type { Change } from '../platform/store.ts';
import { EMPTY, equal, toHex } from '../protocol/bytes.ts';
import { deviceNames } from '../protocol/certificate.ts';
import type { IdCred } from '../protocol/edhoc/credential.ts';
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
import { MAX_CERTIFICATE_BYTES, type Reason, type VerdictReason } from '../protocol/message-values.ts';
import { type ChannelMessage, channelMessages, type LoginAnswer } from '../protocol/messages.ts';
import type { Name } from '../protocol/names.ts';
import { MAX_AGE_SECONDS, type ResumptionSecret } from '../protocol/resumption.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { adoptChannel, evict } from './channels.ts';
import { beginHandshake, endHandshake, mayGoOn, turnAwayFull } from './half-open.ts';
import { type Handshake, type Proven, partyKey } from './handshake.ts';
import { commit, log, sendExchange } from './outbox.ts';
import { askVerifier, currentOwnVerdict, type Ruling } from './questions.ts';
import { prepareRegistration } from './registrations.ts';
import { type DeviceRecord, deviceChange, resumptionChange } from './registry.ts';
import { forgetBearer, hearsVerifier, marksOfChain, noteBearer, sameChain } from './revocation-watch.ts';
import { stepSessionsOf } from './sessions.ts';
import { identitiesOf, identityFor, isWelcome, listingOf, type ManagerState } from './state.ts';
import { hearVerdict, isJudged, verdictSecondsLeft } from './verdict-age.ts';

/** As many as the registry keeps, and as long. */
const MAX_NAMES = 64;
const MAX_NAME_LENGTH = 300;
const AUTHENTICATION_FAILED = encodeError({ kind: 'unspecified', text: 'authentication failed' });
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
    denyLogin(state, handshake, { permitted: false, reason: ruling.reason }, world);
    return evictByLogin(state, proven, ruling.reason, world);
  }
  if (ruling.outcome === 'away')
    return denyLogin(state, handshake, { permitted: false, refusal: 'verifier-away' }, world);
  const refusal = admission(state, handshake.party, proven, world);
  if (refusal !== null) return denyLogin(state, handshake, { permitted: false, refusal }, world);

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
    messages: messages.length > 0 ? channelMessages.encodeAll(messages) : undefined,
  });
  if (keys === null) return;
  const instance = request.instance?.slice() ?? null;
  changes.push(...admit(state, proven, ruling.until, keys.resumptionSecret, keys.channel, world));
  hearVerdict(state, proven.id, ruling.until, world);
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
  adoptChannel(
    state,
    { device: proven.id, party, keys: keys.channel, instance, by: 'device', how: 'edhoc', world },
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

/** Sends and keeps the answer to the last frame. */
function reply(state: ManagerState, handshake: Handshake, kind: 'message2' | 'message4', body: Uint8Array): void {
  const sent = sendExchange(state, handshake.party, kind, handshake.exchange, body);
  if (handshake.last !== null) handshake.last = { received: handshake.last.received, sent };
}

// ── What both directions of a login share ───────────────────────────────────────────────────────────────────────────

/** @returns the chain that a credential names, or null when only its hash was sent and nobody has it */
export function chainOf(state: ManagerState, peer: IdCred): readonly Uint8Array[] | null {
  if (peer.kind === 'x5chain') return peer.certificates.map((certificate) => certificate.slice());
  if (peer.hash.length !== 32) return null;
  const id = state.leaves.get(toHex(peer.hash));
  return id === undefined ? null : (state.devices.get(id)?.chain ?? null);
}

/** @throws ProtocolError badCertificate */
export function readLeaf(state: ManagerState, chain: readonly Uint8Array[], world: World) {
  // the verifier takes none that is larger, and nobody has signed for the size yet
  if (chain.some((one) => one.length > MAX_CERTIFICATE_BYTES)) {
    throw new ProtocolError('badCertificate', `a certificate of more than ${MAX_CERTIFICATE_BYTES} bytes in the chain`);
  }
  const der = chain[0]!;
  const certificate = state.reader.readCertificate(der);
  const names = certificate === null ? null : deviceNames(certificate);
  const publicKey = certificate === null ? null : world.crypto.publicKey(certificate.spki);
  if (certificate === null || names === null || publicKey === null) {
    throw new ProtocolError('badCertificate', 'the leaf does not parse, names no device, or has a key of another kind');
  }
  if (names.names.length > MAX_NAMES || names.names.some((name) => name.length > MAX_NAME_LENGTH)) {
    throw new ProtocolError('badCertificate', `the leaf has more than ${MAX_NAMES} names, or one that is too long`);
  }
  const leaf = world.crypto.hash('sha-256', der);
  const proven: Proven = { id: names.id, names: names.names, chain, leaf, notAfter: certificate.notAfter };
  return { proven, peer: { der, publicKey } };
}

/** @returns why a device with a good certificate may not come in, or null */
export function admission(state: ManagerState, party: Party, proven: Proven, world: World): Reason | null {
  // the topic, or the link, belongs to somebody else
  const bound = party.kind === 'device' ? party.id : state.linkDevices.get(party.link);
  if (bound !== undefined && bound !== proven.id) return 'forbidden';
  if (!isWelcome(state, proven.id)) return 'forbidden';
  const known = state.devices.get(proven.id);
  if (known === undefined || equal(known.leaf, proven.leaf)) return null;
  return mayReplace(state, known, proven, world) ? null : 'name-taken';
}

/** A name held by a living certificate is refused to another one, unless it is the same key. A revoked one does not live. */
function mayReplace(state: ManagerState, known: DeviceRecord, proven: Proven, world: World): boolean {
  if (known.revokedAt !== undefined) return true;
  const old = state.reader.readCertificate(known.chain[0]!);
  return old === null || old.notAfter < world.wall || sameKey(state, known.chain, proven.chain);
}

function sameKey(state: ManagerState, before: readonly Uint8Array[], now: readonly Uint8Array[]): boolean {
  const [old, fresh] = [before, now].map(([leaf]) => state.reader.readCertificate(leaf!));
  return old != null && fresh != null && equal(old.spki, fresh.spki);
}

/** Takes a device into the registry, in memory at once and on disk with the changes returned. */
export function admit(
  state: ManagerState,
  proven: Proven,
  verdictUntil: EpochSeconds,
  secret: Uint8Array,
  mode: { readonly suite: number; readonly authenticateOnly: boolean },
  world: World,
): Change[] {
  const { id, chain, leaf, names } = proven;
  const old = state.devices.get(id);
  if (old !== undefined) {
    state.leaves.delete(toHex(old.leaf));
    forgetBearer(state.revocation, id, old);
  }
  // whoever has another key is another device under the same name: what was agreed with the one before is not renewed
  if (old !== undefined && !equal(old.leaf, leaf) && !sameKey(state, old.chain, chain))
    stepSessionsOf(state, id, { type: 'lost', device: id, reason: 'peer-gone' }, world);
  // an alias that the new leaf no longer proves is free again; one that another device holds is not taken
  for (const name of old?.names ?? []) if (!names.includes(name as Name)) releaseName(state, id, name as Name);
  const claimed = claimNames(state, id, names);
  const marks = marksOfChain(state.revocation, state.reader, world.crypto, chain);
  const record: DeviceRecord = { chain, leaf, names: claimed, verdictUntil, instance: old?.instance, marks };
  // the new process is noted by adoptChannel, which compares it with this one
  // set before the disk has it: a second login in the same moment must not take the name
  state.devices.set(id, record);
  state.leaves.set(toHex(leaf), id);
  noteBearer(state.revocation, id, record);
  const held: ResumptionSecret = {
    generation: 0,
    secret,
    device: id,
    manager: state.settings.name,
    suite: mode.suite,
    authenticateOnly: mode.authenticateOnly,
    until: EpochSeconds(Math.min(world.wall + MAX_AGE_SECONDS, proven.notAfter)),
  };
  const resumption = resumptionChange(world.crypto, state.sealingKey, id, held);
  secret.fill(0);
  if (resumption.value !== null) state.resumption.set(id, resumption.value);
  return [deviceChange(id, record), resumption];
}

/**
 * An alias belongs to one device; it is refused to the second, whose login goes on without it.
 * @returns the names that are its own; only they are stored, so that a restart gives them to nobody else
 */
export function claimNames(state: ManagerState, id: DeviceId, names: readonly Name[]): Name[] {
  return names.filter((name) => {
    const holder = state.names.get(name);
    if (holder === undefined || holder === id) {
      state.names.set(name, id);
      return true;
    }
    log(state, 'warn', 'name.taken', { device: id, name, holder, listed: listingOf(state, id).class });
    return false;
  });
}

function releaseName(state: ManagerState, id: DeviceId, name: Name): void {
  if (state.names.get(name) === id) state.names.delete(name);
}

/** EAD_3 may carry registrations, nothing else. @throws ProtocolError unexpected | malformed */
function ridingAlong(payload: Uint8Array | undefined) {
  const messages = payload === undefined ? [] : channelMessages.decodeAll(payload);
  return messages.map((message) => {
    if (message.kind !== 'Register') throw new ProtocolError('unexpected', `${message.kind} in a login`);
    return message;
  });
}
