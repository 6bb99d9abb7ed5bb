/**
 * Enrolment: a login that ends in a certificate instead of a channel. A token of an invitation speaks for the device, or
 * a certificate of another CA that the verifier trusts. [design §5.2]
 *
 * The use of an invitation is held in memory while the CA is asked, and spent on disk with the device itself. Whoever
 * comes again with the same key, because an answer was lost, gets the same certificate again.
 */
import { equal, fromHex, toHex } from '../protocol/bytes.ts';
import { checkRequest, type ParsedRequest } from '../protocol/certificate-request.ts';
import { encodeError } from '../protocol/edhoc/error-message.ts';
import { ProtocolError } from '../protocol/errors.ts';
import {
  answerLogin,
  type LoginRequestRead,
  type LoginVerified,
  type PeerLeaf,
  verifyRequest,
} from '../protocol/login.ts';
import { MAX_CERTIFICATE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { LoginAnswer, LoginRequest } from '../protocol/messages.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { askForCertificateAlone } from './certifying.ts';
import { enterDevice, maySpeakAs, readLeaf } from './credentials.ts';
import type { CertificateWish, Certified } from './effects.ts';
import type { Applicant, UnderWay } from './enrolment-desk.ts';
import { type EnrolledRecord, enrolledChange, invitationChange } from './enrolment-records.ts';
import { endHandshake, reply, sameHandshake } from './half-open.ts';
import { type Handshake, type Proven, partyKey } from './handshake.ts';
import { heldId, hold, release } from './held-applicants.ts';
import { enrolledBy, type FoundInvitation, findInvitation, isNameTaken, nameBy } from './invitations.ts';
import { commit, log, sendExchange } from './outbox.ts';
import { resumptionChange } from './registry.ts';
import { bearsFreshMark } from './revocation-watch.ts';
import { isWelcome, type ManagerState } from './state.ts';

/** Kinds of keys that EDHOC suites sign with. */
const LOGS_IN: readonly string[] = ['p256', 'ed25519'];
/** Its first login is judged as every other. */
const NOT_JUDGED = EpochSeconds(0);
const NOT_STORED = encodeError({ kind: 'unspecified', text: 'the manager cannot store an enrolment now' });

// ── By a token ──────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * message_3 with a token. Its signer has shown a certificate that it made itself: the key alone counts.
 * @param frame  as received
 * @throws ProtocolError badCertificate | badSignature | unauthenticated
 */
export function receiveToken(
  state: ManagerState,
  handshake: Handshake,
  read: LoginRequestRead,
  frame: Uint8Array,
  world: World,
): void {
  const { token, certificateRequest } = read.request;
  const found = token === undefined ? null : findInvitation(state, token, world);
  // not a signature is checked for who merely tries tokens
  if (found === null && isFlood(state, world)) return endHandshake(state, handshake.party);
  const leaf = readOwnLeaf(state, read, world);
  const login = verifyRequest(world.crypto, read, leaf);
  handshake.last = { received: frame.slice(), sent: new Uint8Array(0) };
  const asking: Asking = { handshake, login, shown: null };
  if (state.settings.enrolment === undefined) {
    return refuse(state, asking, 'not-certified', 'this manager certifies nobody', world);
  }
  if (found === null) return answerWith(state, asking, { permitted: false, refusal: 'bad-token' }, world);
  const request = readWish(state, certificateRequest, world);
  if (request === null || !equal(request.spki, leaf.publicKey.spki)) {
    return refuse(state, asking, 'not-certified', 'no good request over the key of the login', world);
  }
  const device = nameBy(found.record, request.subject.commonName);
  if (device === null) return refuse(state, asking, 'forbidden', `not of the form ${found.record.name}`, world);
  const spki = request.spki.slice();
  const key = toHex(world.crypto.hash('sha-256', spki));
  decide(state, asking, { device, spki, key, invitation: found.id }, found, world);
}

/** @throws ProtocolError badCertificate | unauthenticated */
function readOwnLeaf(state: ManagerState, { peer }: LoginRequestRead, world: World): PeerLeaf {
  const der = peer.kind === 'x5chain' ? peer.certificates[0]!.slice() : null;
  const certificate = der === null || der.length > MAX_CERTIFICATE_BYTES ? null : state.reader.readCertificate(der);
  const publicKey = certificate === null ? null : world.crypto.publicKey(certificate.spki);
  if (der === null || publicKey === null) {
    throw new ProtocolError('badCertificate', 'who enrols shows a certificate over the new key, and all of it');
  }
  return { der, publicKey };
}

/** @returns null for none, one that is not well-formed or not signed by its key, and a key that logs in nowhere */
function readWish(state: ManagerState, der: Uint8Array | undefined, { crypto }: World): ParsedRequest | null {
  const request = der === undefined ? null : state.readRequest(der);
  const finding = request === null ? null : checkRequest(crypto, request);
  return finding?.ok === true && LOGS_IN.includes(finding.key.algorithm) ? request : null;
}

const WRONG_PER_SECOND = 20;
const TELL_EVERY_MS = 1000;

/** Counts a token that is none. @returns true when more came in this second than are answered */
function isFlood(state: ManagerState, { now }: World): boolean {
  const { wrong } = state.enrolment;
  wrong.count++;
  wrong.untold++;
  if (now - wrong.second >= TELL_EVERY_MS) {
    const remedy = 'an old invitation, or somebody tries: kagimori invitation list';
    log(state, 'warn', 'enrolment.wrong-token', { tokens: wrong.untold, remedy });
    Object.assign(wrong, { second: now, count: 1, untold: 0 });
  }
  return wrong.count > WRONG_PER_SECOND;
}

// ── By a certificate ────────────────────────────────────────────────────────────────────────────────────────────────

/** A device showed a certificate that the verifier finds good, and asks for one of ours. Its name stays. */
export function enrolByCertificate(
  state: ManagerState,
  asking: Asking,
  { id: device }: Proven,
  { certificateRequest }: LoginRequest,
  world: World,
): void {
  if (!maySpeakAs(state, asking.handshake.party, device) || !isWelcome(state, device)) {
    return refuse(state, asking, 'forbidden', `${device} may not come in`, world);
  }
  const request = readWish(state, certificateRequest, world);
  if (request === null) return refuse(state, asking, 'not-certified', 'no good request', world);
  const spki = request.spki.slice();
  const key = toHex(world.crypto.hash('sha-256', spki));
  decide(state, asking, { device, spki, key, invitation: null }, null, world);
}

// ── Both ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/** An exchange whose signature is checked, and which waits for its answer. */
export interface Asking {
  readonly handshake: Handshake;
  readonly login: LoginVerified;
  /** The chain that speaks for the device, leaf first; null: a token does. */
  readonly shown: readonly Uint8Array[] | null;
}

function decide(
  state: ManagerState,
  asking: Asking,
  applicant: Applicant,
  found: FoundInvitation | null,
  world: World,
): void {
  const { device, key, invitation } = applicant;
  const desk = state.enrolment;
  if (state.voids.keys.has(key))
    return refuse(state, asking, 'void', `${device}: its key was reset: make another`, world);
  if (state.voids.underWay.has(device)) return refuse(state, asking, 'busy', `${device} is being reset`, world);
  if (state.devices.get(device)?.quarantinedAt !== undefined) {
    return refuse(state, asking, 'duplicate', `${device} is in quarantine: kagimori device release`, world);
  }
  const before = issuedBefore(state, applicant, world);
  if (before !== null) return give(state, asking, device, before, world);
  const underWay = desk.underWay.get(key);
  if (underWay !== undefined && underWay.applicant.device === device && underWay.applicant.invitation === invitation) {
    return wait(underWay, asking);
  }
  if (found !== null && !found.open) {
    return refuse(state, asking, 'bad-token', `of ${device}: its invitation is used up, or its time is over`, world);
  }
  if (underWay !== undefined) return refuse(state, asking, 'busy', `${device}: its key is being certified`, world);
  if (isNameTaken(state, device, key, world)) {
    return refuse(state, asking, 'name-taken', `${device} is the name of another key`, world);
  }
  // what it would get the machine that is in does not know
  if (state.channels.has(device) && state.links.has(device)) {
    return refuse(state, asking, 'duplicate', `${device} is in already, with this key: stop its agent first`, world);
  }
  if (state.settings.enrolment?.approval === 'operator') {
    return answerWith(state, asking, { permitted: false, refusal: hold(state, applicant, world) }, world);
  }
  begin(state, applicant);
  wait(desk.underWay.get(key)!, asking);
}

/** What was issued to this very applicant, whose answer may have been lost. */
function issuedBefore(
  state: ManagerState,
  { device, spki, key, invitation }: Applicant,
  world: World,
): readonly Uint8Array[] | null {
  const isSame =
    invitation === null
      ? equal(state.enrolment.enrolled.get(device)?.key ?? new Uint8Array(0), fromHex(key))
      : enrolledBy(state, invitation, device, key);
  const record = isSame ? state.devices.get(device) : undefined;
  if (record === undefined || record.revokedAt !== undefined) return null;
  const leaf = state.reader.readCertificate(record.chain[0]!);
  return leaf !== null && leaf.notAfter > world.wall && equal(leaf.spki, spki) ? record.chain : null;
}

function wait(underWay: UnderWay, { handshake, login, shown }: Asking): void {
  handshake.step = { name: 'certifying', device: underWay.applicant.device, login };
  underWay.waiting = { party: partyKey(handshake.party), handshake: handshake.id, login, shown };
}

/** Takes a place for the name and a use of the invitation, and asks the CA. */
export function begin(state: ManagerState, applicant: Applicant): void {
  const { device, spki, key, invitation } = applicant;
  const desk = state.enrolment;
  desk.underWay.set(key, { applicant, waiting: null, storing: null });
  desk.names.set(device, key);
  if (invitation !== null) desk.reserved.set(invitation, (desk.reserved.get(invitation) ?? 0) + 1);
  const wish: CertificateWish = { device, spki, renews: false };
  log(state, 'info', 'enrolment.begun', { device, key: heldId(key), invitation });
  askForCertificateAlone(state, wish, (certified, then) => certifiedNow(state, key, certified, then));
}

/** The CA has answered: device, enrolment and the use of the invitation go to the disk in one. */
function certifiedNow(state: ManagerState, key: string, certified: Certified, world: World): void {
  const desk = state.enrolment;
  const underWay = desk.underWay.get(key);
  if (underWay === undefined) return;
  const { device, invitation } = underWay.applicant;
  if (invitation !== null) giveBack(state, invitation);
  const refused = (refusal: Reason, why: string): void => {
    close(state, underWay);
    const asking = askingOf(state, underWay);
    log(state, 'error', 'enrolment.failed', { device, reason: refusal, detail: why });
    if (asking !== null) answerWith(state, asking, { permitted: false, refusal }, world);
  };
  if ('refused' in certified) return refused('not-certified', certified.refused);
  const proven = ownCertificate(state, underWay.applicant, certified.chain, world);
  if (proven === null) return refused('not-certified', 'the CA answered with a certificate for somebody else');
  const held = invitation === null ? null : desk.invitations.get(invitation);
  if (held === undefined || held?.left === 0) return refused('bad-token', 'the invitation was withdrawn meanwhile');
  if (state.voids.keys.has(key) || state.voids.underWay.has(device))
    return refused('void', `${device} was reset meanwhile`);
  const shown = underWay.waiting?.shown ?? null;
  if (shown !== null && bearsFreshMark(state.revocation, state.reader, shown, world))
    return refused('revoked', 'the certificate that it showed was revoked meanwhile');
  if (isNameTaken(state, device, key, world)) return refused('name-taken', `${device} came in meanwhile`);
  const record: EnrolledRecord = {
    ...(held?.class !== undefined && { class: held.class }),
    groups: held?.groups ?? [],
    since: world.wall,
    ...(invitation !== null && { invitation: fromHex(invitation) }),
    key: fromHex(key),
  };
  underWay.storing = { chain: proven.chain, record };
  const changes = [enterDevice(state, proven, NOT_JUDGED, world), enrolledChange(device, record)];
  // it logs in with what it got, whatever was agreed with the one before
  state.resumption.delete(device);
  changes.push(resumptionChange(world.crypto, state.sealingKey, device, null));
  if (invitation !== null && held !== null) {
    const left = { ...held, left: held.left - 1 };
    desk.invitations.set(invitation, left);
    changes.push(invitationChange(invitation, left));
  }
  commit(state, changes, { next: 'enrolment', key });
}

/** @returns null unless it is a certificate for this name and this key */
function ownCertificate(
  state: ManagerState,
  { device, spki }: Applicant,
  chain: readonly Uint8Array[],
  world: World,
): Proven | null {
  try {
    const { proven, peer } = readLeaf(state, chain, world);
    return proven.id === device && equal(peer.publicKey.spki, spki) ? proven : null;
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

/** The disk has answered. */
export function enrolmentStored(state: ManagerState, key: string, failure: string | null, world: World): void {
  const desk = state.enrolment;
  const underWay = desk.underWay.get(key);
  if (underWay === undefined || underWay.storing === null) return;
  const { device, invitation } = underWay.applicant;
  const { chain, record } = underWay.storing;
  close(state, underWay);
  const asking = askingOf(state, underWay);
  if (failure !== null) {
    const held = invitation === null ? undefined : desk.invitations.get(invitation);
    if (invitation !== null && held !== undefined) desk.invitations.set(invitation, { ...held, left: held.left + 1 });
    if (asking === null) return;
    const { party, exchange } = asking.handshake;
    sendExchange(state, party, 'error', exchange, NOT_STORED);
    return endHandshake(state, party);
  }
  desk.enrolled.set(device, record);
  release(state, key);
  log(state, 'info', 'enrolment.done', { device, key: heldId(key), invitation });
  if (asking !== null) give(state, asking, device, chain, world);
}

function give(state: ManagerState, asking: Asking, device: DeviceId, chain: readonly Uint8Array[], world: World): void {
  const { anchors, verifiers } = state.settings.enrolment!;
  const answer: LoginAnswer = { permitted: false, issued: chain, anchors, verifiers };
  log(state, 'debug', 'enrolment.answered', { device });
  answerWith(state, asking, answer, world);
}

function refuse(state: ManagerState, asking: Asking, refusal: Reason, why: string, world: World): void {
  const party = partyKey(asking.handshake.party);
  log(state, 'warn', 'enrolment.refused', { party, reason: refusal, detail: why });
  answerWith(state, asking, { permitted: false, refusal }, world);
}

function answerWith(state: ManagerState, { handshake, login }: Asking, answer: LoginAnswer, world: World): void {
  const { message4 } = answerLogin(world.crypto, login, answer);
  handshake.step = { name: 'answered' };
  reply(state, handshake, 'message4', message4);
}

/** @returns null when nobody waits any more */
function askingOf(state: ManagerState, { waiting }: UnderWay): Asking | null {
  const handshake = waiting === null ? null : sameHandshake(state, waiting.party, waiting.handshake);
  return handshake?.step.name === 'certifying' && waiting !== null
    ? { handshake, login: waiting.login, shown: waiting.shown }
    : null;
}

function close({ enrolment }: ManagerState, { applicant: { device, key } }: UnderWay): void {
  enrolment.underWay.delete(key);
  enrolment.names.delete(device);
}

function giveBack({ enrolment: { reserved } }: ManagerState, invitation: string): void {
  const left = (reserved.get(invitation) ?? 1) - 1;
  if (left > 0) reserved.set(invitation, left);
  else reserved.delete(invitation);
}
