/**
 * Invitations: who makes one lets somebody enrol under a name. The token's secret is known to the device alone; the
 * manager keeps its hash.
 */
import type { Change } from '../platform/store.ts';
import { concat, equal, equalInConstantTime, fromHex, toHex } from '../protocol/bytes.ts';
import { schedule } from '../protocol/deadlines.ts';
import { matchesGlob } from '../protocol/id-pattern.ts';
import { type Invitation, writeInvitation } from '../protocol/invitation.ts';
import { TOKEN_BYTES } from '../protocol/messages.ts';
import { idName } from '../protocol/names.ts';
import { deviceId } from '../protocol/topics.ts';
import { type DeviceId, EpochSeconds, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { isLiving } from './credentials.ts';
import { INVITATION_ID_BYTES, type InvitationRecord, invitationChange, MAX_USES } from './enrolment-records.ts';
import { commit, log } from './outbox.ts';
import type { EnrolmentSettings, ManagerState } from './state.ts';

export interface InvitationWish {
  /** A device id, or a pattern with one `*` for many devices. */
  readonly name: string;
  readonly class: string | null;
  readonly groups: readonly string[];
  readonly uses: number;
  readonly ttlSeconds: number;
}

export interface NewInvitation {
  /** In hex. */
  readonly id: string;
  /** For the device, as secret as a password: it goes to the operator, and nowhere else. */
  readonly written: string;
  readonly record: InvitationRecord;
  /** Takes effect with `adopt`, when this is on disk. */
  readonly change: Change;
  readonly adopt: () => void;
}

/** Why there is no such invitation, for the operator. */
export interface InvitationFault {
  readonly code: 'no-ca' | 'bad-name' | 'bad-option' | 'name-taken' | 'too-many';
  readonly detail: string;
}

export const MAX_INVITATIONS = 10_000;
export const MAX_TTL_SECONDS = 366 * 86_400;

/** @param freed  a device of that name is about to be forgotten: the name is as good as free */
export function newInvitation(
  state: ManagerState,
  wish: InvitationWish,
  world: World,
  freed = false,
): NewInvitation | InvitationFault {
  const { enrolment } = state.settings;
  if (enrolment === undefined) {
    return { code: 'no-ca', detail: 'this manager certifies nobody: give its configuration a part `enrolment`' };
  }
  const fault = faultOf(state, wish, freed, world);
  if (fault !== null) return fault;
  const { name, groups, uses, ttlSeconds } = wish;
  const secret = world.crypto.random(TOKEN_BYTES - INVITATION_ID_BYTES);
  const raw = world.crypto.random(INVITATION_ID_BYTES);
  const token = concat(raw, secret);
  const id = toHex(raw);
  const record: InvitationRecord = {
    name,
    ...(wish.class !== null && { class: wish.class }),
    groups,
    uses,
    left: uses,
    secret: world.crypto.hash('sha-256', secret),
    since: world.wall,
    until: EpochSeconds(world.wall + ttlSeconds),
  };
  const written = writeInvitation(world.crypto, { ...addressOf(state, enrolment, world), token, name });
  token.fill(0);
  secret.fill(0);
  const adopt = (): void => {
    state.enrolment.invitations.set(id, record);
    watchEnds(state, world);
    log(state, 'info', 'invitation.made', { invitation: id, name, uses, seconds: ttlSeconds });
  };
  return { id, written, record, change: invitationChange(id, record), adopt };
}

/** What every invitation of this manager says; without a token: for devices that show a certificate of their own. */
export function addressOf(
  state: ManagerState,
  { brokerUrl, anchors }: EnrolmentSettings,
  { crypto }: World,
): Invitation {
  const { name, topics } = state.settings;
  const root = topics.root === USUAL_ROOT ? {} : { root: topics.root };
  return { broker: brokerUrl, manager: name, anchor: crypto.hash('sha-256', anchors[0]!), ...root };
}

/** What an invitation that names no root means. */
const USUAL_ROOT = 'km1';

function faultOf(
  state: ManagerState,
  { name, uses, ttlSeconds }: InvitationWish,
  freed: boolean,
  world: World,
): InvitationFault | null {
  const stars = name.split('*').length - 1;
  if (stars > 1 || deviceId(name.replace('*', 'x')) === null) {
    const detail = `${JSON.stringify(name)} is no name: 1 to 64 bytes without control characters or a leading ~`;
    return { code: 'bad-name', detail: `${detail}, with one * at most` };
  }
  if (!Number.isSafeInteger(uses) || uses < 1 || uses > MAX_USES) {
    return { code: 'bad-option', detail: `uses: 1 to ${MAX_USES}` };
  }
  if (stars === 0 && uses > 1) {
    const detail = `one device has one name: with ${uses} uses the name needs a *, as in ${name}-*`;
    return { code: 'bad-option', detail };
  }
  if (!Number.isSafeInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
    return { code: 'bad-option', detail: 'an invitation is good for a second at least, and a year at most' };
  }
  sweepInvitations(state, world);
  if (state.enrolment.invitations.size >= MAX_INVITATIONS) {
    const remedy = 'kagimori invitation list, and withdraw some';
    return { code: 'too-many', detail: `${MAX_INVITATIONS} invitations are kept already: ${remedy}` };
  }
  if (stars > 0 || freed || !isNameTaken(state, name as DeviceId, null, world)) return null;
  const remedy = `a new machine in its place: kagimori device transfer ${name}; or kagimori device remove ${name}`;
  return { code: 'name-taken', detail: `the device ${name} lives, with a certificate that is good: ${remedy}` };
}

/** Whether the name belongs to a living device of another key, or is about to. @param key  SHA-256 of its SPKI in hex */
export function isNameTaken(state: ManagerState, device: DeviceId, key: string | null, world: World): boolean {
  const coming = state.enrolment.names.get(device);
  if (coming !== undefined && coming !== key) return true;
  const holder = state.names.get(idName(device));
  if (holder !== undefined && holder !== device) return true;
  const known = state.devices.get(device);
  if (known === undefined || !isLiving(state, known, world)) return false;
  const spki = state.reader.readCertificate(known.chain[0]!)?.spki;
  return spki === undefined || toHex(world.crypto.hash('sha-256', spki)) !== key;
}

/** What a token opens. */
export interface FoundInvitation {
  readonly id: string;
  readonly record: InvitationRecord;
  /** false: used up or over; who enrolled by it with this key hears the same answer again all the same. */
  readonly open: boolean;
}

/** Whoever guesses learns nothing from the time it takes. @returns null: no such token */
export function findInvitation(state: ManagerState, token: Uint8Array, world: World): FoundInvitation | null {
  const id = toHex(token.subarray(0, INVITATION_ID_BYTES));
  const record = state.enrolment.invitations.get(id);
  const given = world.crypto.hash('sha-256', token.subarray(INVITATION_ID_BYTES));
  if (!equalInConstantTime(given, record?.secret ?? NO_SECRET) || record === undefined) return null;
  const free = record.left - (state.enrolment.reserved.get(id) ?? 0);
  return { id, record, open: free > 0 && record.until > world.wall };
}

const NO_SECRET = new Uint8Array(32);

/** What people do not see in a name, and would take for another one: who enrols chose it, and others are asked about it. */
const MISLEADING = /[\p{Cf}\p{Zl}\p{Zp}\p{Variation_Selector}]|^\p{Zs}|\p{Zs}$|\p{Zs}{2}/u;

/** @returns the id under which a device may enrol by this invitation; null: not under the one that it asks for */
export function nameBy({ name }: InvitationRecord, asked: string | null): DeviceId | null {
  if (!name.includes('*')) return deviceId(name);
  const wished = asked === null || asked.includes('*') || MISLEADING.test(asked) ? null : deviceId(asked);
  return wished !== null && matchesGlob(name, wished) ? wished : null;
}

/** Whether this device enrolled by this invitation with this key. */
export function enrolledBy(state: ManagerState, id: string, device: DeviceId, key: string): boolean {
  const enrolled = state.enrolment.enrolled.get(device);
  return (
    enrolled?.invitation !== undefined && equal(enrolled.invitation, fromHex(id)) && equal(enrolled.key, fromHex(key))
  );
}

/** @returns false: there is none of that id */
export function withdrawInvitation(state: ManagerState, id: string, done: (failure: string | null) => void): boolean {
  const record = state.enrolment.invitations.get(id);
  if (record === undefined) return false;
  state.enrolment.invitations.delete(id); // before the disk has it: a use of it in the same moment must not write it anew
  const stored = (failure: string | null): void => {
    if (failure !== null) state.enrolment.invitations.set(id, record);
    done(failure);
  };
  commit(state, [invitationChange(id, null)], { next: 'told', done: stored });
  log(state, 'info', 'invitation.withdrawn', { invitation: id, name: record.name });
  return true;
}

/** So long a device that was cut off in the middle may come back for what was issued to it. */
const KEPT_AFTER_END = 7 * 86_400;
const LOOK_EVERY = seconds(3600);

/** Those whose time is over are forgotten, a week later. */
export function sweepInvitations(state: ManagerState, world: World): void {
  const over = [...state.enrolment.invitations].filter(([, { until }]) => until + KEPT_AFTER_END <= world.wall);
  if (over.length === 0) return;
  for (const [id] of over) state.enrolment.invitations.delete(id);
  commit(
    state,
    over.map(([id]) => invitationChange(id, null)),
    { next: 'nothing' },
  );
}

export function watchEnds(state: ManagerState, world: World): void {
  if (!state.deadlines.current.has('invitations')) {
    schedule(state.deadlines, 'invitations', later(world.now, LOOK_EVERY));
  }
}

/** The hour is over. */
export function invitationsDue(state: ManagerState, world: World): void {
  sweepInvitations(state, world);
  const now = world.now;
  for (const [id, { asked }] of state.enrolment.held) if (now - asked >= LOOK_EVERY) state.enrolment.held.delete(id);
  if (state.enrolment.invitations.size + state.enrolment.held.size > 0) watchEnds(state, world);
}
