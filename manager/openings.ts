/**
 * Channels without a full login by the device: resumption from either side, and the channel that the manager opens to a
 * callee (P13, patent 0109–0110, 2112).
 */
import { equal } from '../protocol/bytes.ts';
import { openChannel, openMessages } from '../protocol/channel.ts';
import { decodeError, encodeError } from '../protocol/edhoc/error-message.ts';
import { nextSuite } from '../protocol/edhoc/initiator.ts';
import { EXCHANGE_ID_BYTES } from '../protocol/frame.ts';
import { readChoice, readLoginAnswer, requestLogin, startLogin, suitesOf, verifyChoice } from '../protocol/login.ts';
import type { Reason } from '../protocol/message-values.ts';
import { type ChannelMessage, ResumeRequest } from '../protocol/messages.ts';
import {
  answerResumption,
  nextSecret,
  type Resumed,
  type ResumptionSecret,
  readResumed,
  requestResumption,
} from '../protocol/resumption.ts';
import type { Party } from '../protocol/topics.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { adoptChannel, evict, noteVerdict } from './channels.ts';
import { admission, admit, chainOf, readLeaf } from './credentials.ts';
import { beginHandshake, endHandshake, mayGoOn, turnAwayFull, turnAwayUnjudged } from './half-open.ts';
import { type Handshake, partyKey } from './handshake.ts';
import { commit, log, sendExchange, sendHint, sendTo } from './outbox.ts';
import { askVerifier, currentOwnVerdict, type Ruling } from './questions.ts';
import { resumptionChange, unsealResumption } from './registry.ts';
import { bearsFreshMark, sameChain } from './revocation-watch.ts';
import { derivedInVain, noticeAhead, reach } from './rollback.ts';
import { stepSessionsOf } from './sessions.ts';
import { identitiesOf, identityFor, isWelcome, type ManagerState, mayBeLinked } from './state.ts';
import { leaving, wasOutrun, whenAlone } from './twins.ts';
import { carryVerdict, isJudged } from './verdict-age.ts';
import { isVoid } from './voiding.ts';

// ── Resumption that the device starts ───────────────────────────────────────────────────────────────────────────────

/** D1: MAC first, then revocation, then the answer; the channel counts once a record under it opens. */
export function receiveResume(
  state: ManagerState,
  party: Party,
  exchange: Uint8Array,
  body: Uint8Array,
  frame: Uint8Array,
  world: World,
): void {
  const { device, generation } = ResumeRequest.decode(body);
  const sealed = state.resumption.get(device);
  const held = party.kind === 'device' && party.id !== device ? null : heldSecret(state, device, world);
  if (held === null || sealed === undefined) return resumptionRefused(state, party, exchange, world);
  const answered = answerResumption(world.crypto, held, 'device', body, state.instance, reach(state, world));
  if (answered === null) {
    derivedInVain(state, generation - held.generation, world);
    return resumptionRefused(state, party, exchange, world);
  }
  noticeAhead(state, device, held.generation, generation, world);
  const { answer, resumed } = answered;
  const handshake = beginHandshake(
    state,
    party,
    exchange,
    { name: 'resumingNeedsVerdict', device, answer, resumed, sealed },
    world,
  );
  if (handshake === null) return turnAwayFull(state, party, exchange, world);
  handshake.last = { received: frame.slice(), sent: new Uint8Array(0) };
  if (mayGoOn(state, handshake, 'resumption', device, world)) resumeInTurn(state, handshake, world);
}

/** A full login follows. On a broker that is not ours a hint would be heard by another machine of this name as well. */
function resumptionRefused(state: ManagerState, party: Party, exchange: Uint8Array, world: World): void {
  if (state.settings.broker !== 'outside') return sendHint(state, party, 'resumption', world);
  sendExchange(state, party, 'error', exchange, UNKNOWN);
}

const UNKNOWN = encodeError({ kind: 'unspecified', text: 'no such secret' });

/** The device has proven that it holds the secret, and its turn has come. */
export function resumeInTurn(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'resumingNeedsVerdict') return;
  const record = state.devices.get(step.device);
  if (record === undefined) return endHandshake(state, party);
  // before the first event nobody knows whether the verdict that an earlier process heard still stands
  if (isJudged(state, step.device, world) && state.revocation.heardAt !== null)
    return sendResumed(state, handshake, world);
  // that it is away is known: the question about ourselves finds out when it is back
  if (state.verifierAway !== null) return resumeUnasked(state, handshake, world);
  askVerifier(
    state,
    { for: 'exchange', party: partyKey(party), handshake: handshake.id },
    'device',
    record.chain,
    world,
  );
}

export function verdictForResumption(state: ManagerState, handshake: Handshake, ruling: Ruling, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'resumingNeedsVerdict') return;
  if (ruling.outcome === 'good') {
    noteVerdict(state, step.device, ruling.until, world);
    return sendResumed(state, handshake, world);
  }
  if (ruling.outcome === 'away') return resumeUnasked(state, handshake, world);
  endHandshake(state, party);
  evict(state, step.device, whyRefused(ruling), world);
}

/** Without a verifier a verdict holds for its age. */
function resumeUnasked(state: ManagerState, handshake: Handshake, world: World): void {
  const { step } = handshake;
  if (step.name === 'resumingNeedsVerdict' && isJudged(state, step.device, world))
    return sendResumed(state, handshake, world);
  turnAwayUnjudged(state, handshake, world);
}

const whyRefused = (ruling: Exclude<Ruling, { outcome: 'good' }>): Reason => {
  if (ruling.outcome === 'away') return 'verifier-away';
  return ruling.reason === 'revoked' ? 'revoked' : 'bad-verdict';
};

/** Unless another machine with its certificate is there, the device is answered. */
function sendResumed(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party, exchange } = handshake;
  if (step.name !== 'resumingNeedsVerdict') return;
  const newcomer = { device: step.device, instance: step.resumed.peerInstance };
  const stayOut = (): void => {
    endHandshake(state, party);
    sendExchange(state, party, 'error', exchange, DUPLICATE); // a full login follows, whose refusal is authenticated
  };
  whenAlone(
    state,
    handshake,
    newcomer,
    (alone, later) => (alone ? catchUp(state, handshake, later) : stayOut()),
    world,
  );
}

const DUPLICATE = encodeError({ kind: 'unspecified', text: 'another machine with this certificate is here' });

/**
 * Where the device has moved on without our having seen it, its generation is on disk before it is answered under. So the
 * store is never two behind a device, unless somebody put an older one in its place.
 */
function catchUp(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'resumingNeedsVerdict') return;
  const { device, resumed, sealed } = step;
  // a login or another resumption has come between: this request is of a chain that is over
  if (state.resumption.get(device) !== sealed) return endHandshake(state, party);
  const held = heldSecret(state, device, world);
  if (held === null || held.generation >= resumed.used.generation) return answerResume(state, handshake, world);
  const change = resumptionChange(world.crypto, state.sealingKey, device, resumed.used);
  if (change.value !== null) state.resumption.set(device, change.value);
  handshake.step = { ...step, name: 'catchingUp' };
  commit(state, [change], { next: 'finishExchange', party: partyKey(party), handshake: handshake.id });
}

function answerResume(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party, exchange } = handshake;
  if (step.name !== 'resumingNeedsVerdict' && step.name !== 'catchingUp') return;
  const { device, answer, resumed } = step;
  const channel = openChannel(world.crypto, channelKeys(resumed, 'responder'));
  handshake.step = { name: 'awaitingFirstRecord', device, channel, resumed };
  const sent = sendExchange(state, party, 'resumed', exchange, answer);
  if (handshake.last !== null) handshake.last = { received: handshake.last.received, sent };
}

/**
 * A record from a party with a resumption under way.
 * @returns its messages when it opens under the new keys (the channel is adopted then); null when it does not
 * @throws ProtocolError badMac and others when the record is not of the new channel
 */
export function receiveFirstRecord(
  state: ManagerState,
  handshake: Handshake,
  record: Uint8Array,
  world: World,
): { device: DeviceId; messages: ChannelMessage[] } | null {
  const { step, party } = handshake;
  if (step.name !== 'awaitingFirstRecord') return null;
  const { device, channel, resumed } = step;
  const messages = openMessages(world.crypto, channel, record);
  endHandshake(state, party);
  // judged when it asked, and maybe otherwise since
  if (!isJudged(state, device, world)) return null;
  if (wasOutrun(state, handshake, { device, instance: resumed.peerInstance })) return null;
  // something under n+1 verified: n is dropped
  commit(state, [advance(state, device, resumed, world)], { next: 'nothing' });
  adoptChannel(
    state,
    {
      device,
      party,
      keys: { channel },
      instance: resumed.peerInstance,
      by: 'device',
      how: 'resume',
      replaces: leaving(handshake),
      world,
    },
    () => {},
  );
  return { device, messages };
}

// ── Channels that the manager opens ─────────────────────────────────────────────────────────────────────────────────

/** Revocation is looked at each time: first the verdict, then the exchange. @returns false when the device has no link */
export function openChannelTo(state: ManagerState, device: DeviceId, world: World): boolean {
  const party: Party = { kind: 'device', id: device };
  const record = state.devices.get(device);
  if (!mayBeLinked(state, device) || record === undefined) return false;
  if (state.handshakes.has(partyKey(party))) return true;
  if (heldSecret(state, device, world) === null) return startLoginTo(state, device, [], world); // judges by itself
  if (isJudged(state, device, world)) return startResumptionTo(state, device, world);
  const exchange = world.crypto.random(EXCHANGE_ID_BYTES);
  const handshake = beginHandshake(state, party, exchange, { name: 'openingNeedsVerdict', device }, world);
  if (handshake === null) return false;
  const subject = { for: 'exchange', party: partyKey(party), handshake: handshake.id } as const;
  askVerifier(state, subject, 'device', record.chain, world);
  return true;
}

function startResumptionTo(state: ManagerState, device: DeviceId, world: World): boolean {
  const party: Party = { kind: 'device', id: device };
  const held = heldSecret(state, device, world);
  if (held === null) return startLoginTo(state, device, [], world);
  const exchange = world.crypto.random(EXCHANGE_ID_BYTES);
  const awaiting = requestResumption(world.crypto, held, 'manager', state.instance);
  if (beginHandshake(state, party, exchange, { name: 'awaitingResumed', device, awaiting }, world) === null)
    return false;
  sendExchange(state, party, 'resume', exchange, awaiting.request);
  return true;
}

/** The verdict that had run out before the manager could open the channel. */
export function verdictBeforeOpening(state: ManagerState, handshake: Handshake, ruling: Ruling, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'openingNeedsVerdict') return;
  const { device } = step;
  endHandshake(state, party);
  if (ruling.outcome === 'good') {
    noteVerdict(state, device, ruling.until, world);
    if (startResumptionTo(state, device, world)) return;
    return openingFailed(state, device, 'unreachable', world);
  }
  openingFailed(state, device, whyRefused(ruling), world);
  if (ruling.outcome === 'bad') evict(state, device, whyRefused(ruling), world);
}

/** D2: the next secret is stored before anything is said under it. */
export function receiveResumedByDevice(
  state: ManagerState,
  handshake: Handshake,
  body: Uint8Array,
  world: World,
): void {
  const { step, party } = handshake;
  if (step.name !== 'awaitingResumed') return;
  const resumed = readResumed(world.crypto, step.awaiting, body);
  const channel = openChannel(world.crypto, channelKeys(resumed, 'initiator'));
  handshake.step = { name: 'storingResumed', device: step.device, channel, resumed };
  commit(state, [advance(state, step.device, resumed, world)], {
    next: 'finishExchange',
    party: partyKey(party),
    handshake: handshake.id,
  });
}

export function finishResumed(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name === 'catchingUp') return answerResume(state, handshake, world);
  if (step.name !== 'storingResumed') return;
  const { device, channel, resumed } = step;
  endHandshake(state, party);
  adoptChannel(
    state,
    { device, party, keys: { channel }, instance: resumed.peerInstance, by: 'manager', how: 'resume', world },
    () => sendTo(state, device, [{ kind: 'Permit' }], world),
  );
}

/** The device holds no secret (any more): a full login, with the roles swapped. */
export function resumptionUnknown(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'awaitingResumed') return;
  endHandshake(state, party);
  startLoginTo(state, step.device, [], world);
}

function startLoginTo(
  state: ManagerState,
  device: DeviceId,
  offered: readonly number[],
  world: World,
  suitesR?: readonly number[],
): boolean {
  const party: Party = { kind: 'device', id: device };
  const cipherSuites = suitesOf(identitiesOf(state));
  const selected = suitesR === undefined ? cipherSuites[0] : nextSuite(cipherSuites, suitesR, offered);
  if (selected === undefined || selected === null) return false;
  const identity = identityFor(state, selected);
  const offer = { suites: identity.channelSuites, sendChain: state.devices.has(device) ? undefined : true };
  const { message1, state: login } = startLogin(world.crypto, { ...identity, cipherSuites }, offer, selected);
  const exchange = world.crypto.random(EXCHANGE_ID_BYTES);
  const step = { name: 'awaitingMessage2', device, login, offered: [...offered, selected] } as const;
  if (beginHandshake(state, party, exchange, step, world) === null) return false;
  sendExchange(state, party, 'message1', exchange, message1);
  return true;
}

export function receiveExchangeError(state: ManagerState, handshake: Handshake, body: Uint8Array, world: World): void {
  const { step, party } = handshake;
  const error = decodeError(body);
  if (step.name !== 'awaitingMessage2' || error.kind !== 'wrongSuite') return;
  endHandshake(state, party);
  if (!startLoginTo(state, step.device, step.offered, world, error.suites))
    openingFailed(state, step.device, 'unreachable', world);
}

/** [patent 0110] the callee's certificate goes to the verifier before the manager shows itself in message_3. */
export function receiveMessage2(state: ManagerState, handshake: Handshake, body: Uint8Array, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'awaitingMessage2') return;
  const read = readChoice(world.crypto, step.login, body);
  const chain = chainOf(state, read.peer);
  if (chain === null) return openingFailed(state, step.device, 'unreachable', world);
  const { proven, peer } = readLeaf(state, chain, world);
  const login = verifyChoice(world.crypto, read, peer);
  const isOut = isVoid(state, peer.publicKey.spki, world) || admission(state, party, proven, world) !== null;
  if (proven.id !== step.device || isOut) {
    log(state, 'warn', 'opening.refused', { device: step.device, answeredBy: proven.id });
    return openingFailed(state, step.device, 'forbidden', world);
  }
  handshake.step = { name: 'judgingCallee', device: step.device, login, proven };
  askVerifier(state, { for: 'exchange', party: partyKey(party), handshake: handshake.id }, 'device', chain, world);
}

export function verdictForOpening(state: ManagerState, handshake: Handshake, ruling: Ruling, world: World): void {
  const { step } = handshake;
  if (step.name !== 'judgingCallee') return;
  const { device, login, proven } = step;
  if (ruling.outcome !== 'good') {
    openingFailed(state, device, whyRefused(ruling), world);
    // a bad certificate that is shown beside the good one of before says nothing against that one
    const isHeld = sameChain(state.devices.get(device)?.chain ?? [], proven.chain);
    if (ruling.outcome === 'bad' && isHeld) evict(state, device, whyRefused(ruling), world);
    return;
  }
  const instance = login.choice.instance?.slice() ?? null;
  const identity = identityFor(state, login.edhoc.suite.id);
  const verdict = currentOwnVerdict(state, identity, world) ?? undefined;
  const request = { instance: state.instance, verdict };
  const { message3, state: requested } = requestLogin(world.crypto, identity, login, request, false);
  handshake.step = { name: 'awaitingMessage4', device, login: requested, proven, instance, until: ruling.until };
  sendExchange(state, handshake.party, 'message3', handshake.exchange, message3);
}

export function receiveMessage4(state: ManagerState, handshake: Handshake, body: Uint8Array, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'awaitingMessage4') return;
  const { answer, keys } = readLoginAnswer(world.crypto, step.login, body);
  if (keys === null) return openingFailed(state, step.device, answer.refusal ?? 'forbidden', world);
  const { proven, instance, until } = step;
  // the verdict is of a while ago
  if (bearsFreshMark(state.revocation, state.reader, proven.chain, world))
    return openingFailed(state, step.device, 'revoked', world);
  const changes = admit(state, proven, until, keys.resumptionSecret, keys.channel, world);
  carryVerdict(state, step.device, until, world);
  handshake.step = { name: 'storingOpened', keys, proven, instance };
  commit(state, changes, { next: 'finishExchange', party: partyKey(party), handshake: handshake.id });
}

export function finishOpened(state: ManagerState, handshake: Handshake, world: World): void {
  const { step, party } = handshake;
  if (step.name !== 'storingOpened') return;
  const device = step.proven.id;
  endHandshake(state, party);
  adoptChannel(
    state,
    { device, party, keys: step.keys.channel, instance: step.instance, by: 'manager', how: 'edhoc', world },
    () => sendTo(state, device, [{ kind: 'Permit' }], world),
  );
}

/** What waits for this device's channel learns that there will be none. */
export function openingFailed(state: ManagerState, device: DeviceId, reason: Reason, world: World): void {
  endHandshake(state, { kind: 'device', id: device });
  stepSessionsOf(state, device, { type: 'channelFailed', device, reason }, world);
}

// ── Secrets ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function heldSecret(state: ManagerState, device: DeviceId, world: World): ResumptionSecret | null {
  const sealed = state.resumption.get(device);
  const record = state.devices.get(device);
  // without a secret it has to log in, and hears why it may not
  if (sealed === undefined || record === undefined || !isWelcome(state, device)) return null;
  const held = unsealResumption(world.crypto, state.sealingKey, device, sealed);
  return held === null || held.until <= world.wall || held.manager !== state.settings.name ? null : held;
}

/** The change that puts secret n+1 in the place of n, or deletes the chain at its end. */
function advance(state: ManagerState, device: DeviceId, resumed: Resumed, world: World) {
  const next = nextSecret(world.crypto, resumed.used);
  const change = resumptionChange(world.crypto, state.sealingKey, device, next);
  if (change.value === null) state.resumption.delete(device);
  else state.resumption.set(device, change.value);
  resumed.used.secret.fill(0);
  next?.secret.fill(0);
  return change;
}

function channelKeys(resumed: Resumed, role: 'initiator' | 'responder') {
  const { masterSecret, masterSalt, used } = resumed;
  const { suite, authenticateOnly, generation } = used;
  return { masterSecret, masterSalt, suite, authenticateOnly, role, generation: generation + 1 };
}

/** A byte-identical frame of the exchange under way gets the byte-identical reply. */
export function repeated(handshake: Handshake, frame: Uint8Array): Uint8Array | null {
  return handshake.last !== null && equal(handshake.last.received, frame) ? handshake.last.sent : null;
}
