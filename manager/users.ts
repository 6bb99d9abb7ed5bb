/**
 * A user comes to a device (patent 0169, 0171): the signature of the key on the medium over this very channel is checked,
 * then whether the medium is still in elsewhere, then the verifier judges the certificate; then the user is there.
 */
import { encodeUtf8, toHex } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import { schedule } from '../protocol/deadlines.ts';
import { MAX_CERTIFICATE_BYTES, type Reason } from '../protocol/message-values.ts';
import { MAX_USERS, type MessageOf } from '../protocol/messages.ts';
import { type DeviceId, EpochSeconds, later, seconds } from '../protocol/units.ts';
import { canonicalUser } from '../protocol/user-name.ts';
import { checkUserProof } from '../protocol/user-proof.ts';
import type { World } from '../protocol/world.ts';
import { bearerOf } from './bearer.ts';
import { goOnConnecting } from './connects.ts';
import { commit, log, remember, sendTo } from './outbox.ts';
import { probe } from './probes.ts';
import { askVerifier, type Ruling } from './questions.ts';
import { isRefusedTooOften, noteRefusal } from './refusals.ts';
import { answeredBefore } from './registrations.ts';
import { type UserRecord, userChange } from './registry.ts';
import {
  bearsFreshMark,
  forgetBearer,
  hearsVerifier,
  marksOfChain,
  noteBearer,
  sameChain,
} from './revocation-watch.ts';
import type { ManagerState } from './state.ts';
import { type PendingUser, placeUser } from './user-desk.ts';
import { endSessionsWith, takeAway, userLeaves } from './user-leaving.ts';
import { hearVerdict, isJudged, verdictSecondsLeft } from './verdict-age.ts';

interface Refused {
  readonly reason: Reason;
  /** For people at the device. */
  readonly detail: string;
}

const refused = (reason: Reason, detail: string): Refused => ({ reason, detail });

/** Nothing is asked of anybody for a request that proves nothing. */
export function receiveRegisterUser(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'RegisterUser'>,
  world: World,
): void {
  const { pending, requests } = state.users;
  const requestId = message.requestId.slice();
  const key = `${device}\n${toHex(requestId)}`;
  if (answeredBefore(state, device, requestId, world) || pending.has(key)) return;
  if (isRefusedTooOften(requests, device, world.now)) {
    const detail = 'this device registers users too often: wait';
    return void sendTo(state, device, [{ kind: 'Denied', requestId, reason: 'too-many', detail }], world);
  }
  noteRefusal(requests, device);
  const checked = checkRequest(state, device, message, world);
  if ('reason' in checked) return deny(state, device, requestId, message.user, checked, world);
  pending.set(key, checked);
  findElsewhere(state, key, checked, world);
}

function checkRequest(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'RegisterUser'>,
  world: World,
): PendingUser | Refused {
  const channel = state.channels.get(device)?.channel;
  if (channel === undefined) return refused('unreachable', 'the channel is gone');
  const chain = message.chain.map((der) => der.slice());
  const leaf = toHex(world.crypto.hash('sha-256', chain[0]!));
  const others = new Set(state.users.byDevice.get(device));
  for (const [key, one] of state.users.pending) {
    if (one.device !== device) continue;
    if (one.channel !== channel) state.users.pending.delete(key);
    else if (one.leaf === leaf) return refused('too-many', 'this user is being registered already');
    else others.add(one.leaf);
  }
  others.delete(leaf);
  if (others.size >= MAX_USERS) return refused('too-many', `a device takes ${MAX_USERS} users at a time`);

  if (chain.some((der) => der.length > MAX_CERTIFICATE_BYTES)) return refused('bad-user', 'a certificate is too large');
  const certificate = state.reader.readCertificate(chain[0]!);
  const publicKey = certificate === null ? null : world.crypto.publicKey(certificate.spki);
  if (certificate === null || publicKey === null)
    return refused('bad-user', 'the certificate cannot be read, or its key is of a kind that signs nothing here');
  const user = canonicalUser(message.user);
  if (!isName(user) || !namesOf(certificate).includes(user))
    return refused('bad-user', 'wrong name: it is the certificate of somebody else');
  const statement = { binding: channel.binding, device, user: message.user, requestId: message.requestId };
  if (!checkUserProof(world.crypto, publicKey, statement, message.signature))
    return refused('bad-user', "the signature is not that of the certificate's key over this channel and request");
  if (bearsFreshMark(state.revocation, state.reader, chain, world)) return REVOKED;
  return { device, requestId: message.requestId.slice(), channel, user, chain, leaf, left: null };
}

const REVOKED = refused('revoked', "the user's certificate is revoked");
const AWAY = refused('verifier-away', "no verifier judges the user's certificate now");

/** Names by which a user may go: common name and mail addresses. */
const namesOf = ({ subject, extensions }: ParsedCertificate): readonly string[] =>
  [subject.commonName, ...(extensions.subjectAltName?.email ?? [])].flatMap((name) =>
    name === null ? [] : [canonicalUser(name)],
  );

/** It stands in logs and in front of people; the wire lets no control characters through. */
const isName = (text: string): boolean => text.trim() === text && encodeUtf8(text).length <= MAX_NAME_BYTES;
const MAX_NAME_BYTES = 255;
const shown = (text: string): string => (text.length <= 100 ? text : `${text.slice(0, 99)}…`);

// ── Step by step ────────────────────────────────────────────────────────────────────────────────────────────────────

/** A certificate counts at one device: as long as its medium is in there, nobody else may show it. */
function findElsewhere(state: ManagerState, key: string, asked: PendingUser, world: World): void {
  const holder = state.users.at.get(asked.leaf);
  if (holder === undefined || holder.device === asked.device) return judge(state, key, asked, null, world);
  const about = `user ${holder.user}`;
  const isAsked = probe(
    state,
    holder.device,
    about,
    (presence, then) => {
      const isThere = presence.present && presence.users.some((one) => toHex(one) === asked.leaf);
      if (isThere) return conclude(state, key, elsewhere(state, asked, holder), then);
      judge(state, key, asked, holder.device, then);
    },
    world,
  );
  if (!isAsked) conclude(state, key, refused('too-many', 'too many ask for the device where this user is'), world);
}

function elsewhere(state: ManagerState, { user, device }: PendingUser, holder: UserRecord): Refused {
  log(state, 'warn', 'user.elsewhere', { user, device, is: holder.device });
  return refused('user-elsewhere', 'this certificate is in at another device: take it out there');
}

/** @param left  the device where the medium was and is not any more */
function judge(state: ManagerState, key: string, asked: PendingUser, left: DeviceId | null, world: World): void {
  if (state.users.pending.get(key) !== asked) return; // taken out meanwhile
  state.users.pending.set(key, { ...asked, left });
  if (!hearsVerifier(state.revocation, world.now)) return conclude(state, key, AWAY, world);
  const held = state.users.at.get(asked.leaf);
  const bearer = bearerOf(asked.leaf);
  // the verdict on this very chain is young enough
  if (held !== undefined && sameChain(held.chain, asked.chain) && isJudged(state, bearer, world)) {
    const until = EpochSeconds(world.wall + Math.floor(verdictSecondsLeft(state, bearer, world)));
    return settle(state, key, until, world);
  }
  askVerifier(state, { for: 'user', request: key }, 'user', asked.chain, world);
}

export function userJudged(state: ManagerState, key: string, ruling: Ruling, world: World): void {
  const asked = state.users.pending.get(key);
  if (asked === undefined) return; // taken out meanwhile
  if (ruling.outcome === 'good') return settle(state, key, ruling.until, world);
  if (ruling.outcome === 'away') return conclude(state, key, AWAY, world);
  const isRevoked = ruling.reason === 'revoked';
  const held = state.users.at.get(asked.leaf);
  // what was said of the very chain that somebody is there with holds for him too
  if (held !== undefined && sameChain(held.chain, asked.chain))
    userLeaves(state, asked.leaf, isRevoked ? 'revoked' : 'bad-verdict', world);
  conclude(state, key, isRevoked ? REVOKED : refused('bad-user', `the verifier says: ${ruling.reason}`), world);
}

/** In memory at once, on disk before anybody hears of it. */
function settle(state: ManagerState, key: string, until: EpochSeconds, world: World): void {
  const asked = state.users.pending.get(key)!;
  const { device, leaf, user, chain, requestId, left } = asked;
  if (state.channels.get(device)?.channel !== asked.channel) {
    state.users.pending.delete(key); // the device registers anew on the next
    return;
  }
  const before = state.users.at.get(leaf);
  if (before !== undefined && before.device !== device) {
    // come there in the same moment, or somewhere else than was asked
    if (before.device !== left) return conclude(state, key, elsewhere(state, asked, before), world);
    takeAway(state, leaf, 'user-gone', world);
  }
  const bearer = bearerOf(leaf);
  const isSame = before?.device === device;
  if (isSame && before.user !== user) endSessionsWith(state, leaf, device, 'user-gone', world);
  if (isSame) forgetBearer(state.revocation, bearer, before);
  const marks = marksOfChain(state.revocation, state.reader, world.crypto, chain);
  const since = isSame ? before.since : world.wall;
  const record: UserRecord = { user, device, chain: [...chain], verdictUntil: until, since, marks };
  placeUser(state.users, leaf, record);
  state.users.proven.add(leaf);
  state.users.unprovenSince.delete(leaf);
  noteBearer(state.revocation, bearer, record);
  hearVerdict(state, bearer, until, world);
  watchUser(state, leaf, world);
  log(state, 'info', 'user.here', { user, device, again: isSame });
  commit(state, [userChange(leaf, record)], { next: 'userStored', device, leaf, request: key, requestId });
}

/** The user is there, and whoever waited for that is connected. */
export function userStored(
  state: ManagerState,
  { device, leaf, request, requestId }: { device: DeviceId; leaf: string; request: string; requestId: Uint8Array },
  failure: string | null,
  world: World,
): void {
  const record = state.users.at.get(leaf);
  const asked = state.users.pending.get(request);
  if (failure !== null) {
    if (record?.device === device) takeAway(state, leaf, 'user-gone', world);
    const why = refused('internal-error', 'the manager could not store it');
    if (asked !== undefined) conclude(state, request, why, world);
    return;
  }
  state.users.pending.delete(request);
  if (asked === undefined || record?.device !== device) return; // taken out meanwhile, which was answered
  const done = { kind: 'Done', requestId } as const;
  remember(state, device, requestId, done, world.now);
  sendTo(state, device, [done], world);
  goOnConnecting(state, record.user, world);
}

function conclude(state: ManagerState, key: string, why: Refused, world: World): void {
  const asked = state.users.pending.get(key);
  if (asked === undefined) return;
  state.users.pending.delete(key);
  deny(state, asked.device, asked.requestId, asked.user, why, world);
}

function deny(
  state: ManagerState,
  device: DeviceId,
  requestId: Uint8Array,
  user: string,
  { reason, detail }: Refused,
  world: World,
): void {
  log(state, 'warn', 'user.refused', { user: shown(user), device, reason, detail });
  const denied = { kind: 'Denied', requestId, reason, detail } as const;
  remember(state, device, requestId, denied, world.now);
  sendTo(state, device, [denied], world);
}

// ── The verdict on who is there ─────────────────────────────────────────────────────────────────────────────────────

/** Part of a verdict's age after which the next one is asked for. */
const REFRESH_AT = 0.8;
const ASK_AGAIN_S = 5;

function watchUser(state: ManagerState, leaf: string, world: World): void {
  const bearer = bearerOf(leaf);
  const left = verdictSecondsLeft(state, bearer, world);
  schedule(state.deadlines, `verdict:${bearer}`, later(world.now, seconds(Math.max(1, left * REFRESH_AT))));
}

/** The verdict grows old: over its age what was made to the user ends, and nothing is granted until the next one. */
export function userVerdictDue(state: ManagerState, leaf: string, world: World): void {
  const record = state.users.at.get(leaf);
  if (record === undefined) return;
  const bearer = bearerOf(leaf);
  const left = verdictSecondsLeft(state, bearer, world);
  if (left <= 0) endSessionsWith(state, leaf, record.device, 'verifier-away', world);
  askVerifier(state, { for: 'refresh', bearer, leaf }, 'user', record.chain, world);
  const again = left <= 0 ? ASK_AGAIN_S : Math.min(left, Math.max(1, left / 4));
  schedule(state.deadlines, `verdict:${bearer}`, later(world.now, seconds(again)));
}

export function userRefreshed(state: ManagerState, leaf: string, ruling: Ruling, world: World): void {
  const record = state.users.at.get(leaf);
  if (record === undefined || ruling.outcome === 'away') return;
  if (ruling.outcome === 'bad')
    return userLeaves(state, leaf, ruling.reason === 'revoked' ? 'revoked' : 'bad-verdict', world);
  const noted = { ...record, verdictUntil: ruling.until };
  placeUser(state.users, leaf, noted);
  hearVerdict(state, bearerOf(leaf), ruling.until, world);
  commit(state, [userChange(leaf, noted)], { next: 'nothing' });
  watchUser(state, leaf, world);
}
