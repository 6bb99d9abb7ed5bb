/**
 * A user leaves a device (patent 0170): the medium was taken out or is in elsewhere, the device is gone, or the certificate
 * is good no more. What was made to that user there ends; the device's own sessions go on.
 */
import { fromHex, toHex } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { NONCE_BYTES, type Reason } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { type DeviceId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { bearerOf } from './bearer.ts';
import { commit, log, remember, sendTo } from './outbox.ts';
import { answeredBefore } from './registrations.ts';
import { userChange } from './registry.ts';
import { forgetBearer, noteBearer } from './revocation-watch.ts';
import { stepSession } from './sessions.ts';
import { isWelcome, type ManagerState } from './state.ts';
import { unplaceUser } from './user-desk.ts';
import { forgetWaiting } from './waiting.ts';

/** A device that does not come back with the user's signature over its new channel has lost the user. */
export const UNPROVEN = seconds(60);
/** However often the device comes and goes meanwhile. */
const UNPROVEN_AT_MOST = seconds(120);

/** [patent 0170] Answered once it is durable; who is not there any more has left already. */
export function receiveRemoveUser(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'RemoveUser'>,
  world: World,
): void {
  if (answeredBefore(state, device, message.requestId, world)) return;
  const leaf = toHex(message.leaf);
  // what is still being judged is not wanted any more
  for (const [key, pending] of state.users.pending) {
    if (pending.device !== device || pending.leaf !== leaf) continue;
    state.users.pending.delete(key);
    sendTo(state, device, [{ kind: 'Denied', requestId: pending.requestId, reason: 'withdrawn' }], world);
  }
  const requestId = message.requestId.slice();
  const done = { kind: 'Done', requestId } as const;
  if ((state.users.at.get(leaf)?.device ?? device) !== device) {
    remember(state, device, requestId, done, world.now);
    return void sendTo(state, device, [done], world);
  }
  takeAway(state, leaf, 'user-gone', world);
  commit(state, [userChange(leaf, null)], { next: 'reply', device, message: done, requestId });
}

/** @param reason  `user-gone`: left by himself, and what was made to him may follow */
export function userLeaves(state: ManagerState, leaf: string, reason: Reason, world: World): void {
  takeAway(state, leaf, reason, world);
  commit(state, [userChange(leaf, null)], { next: 'nothing' });
}

/** The certificate is good no more; what cannot be stored is tried again. @see manager/revocations.ts */
export function userEvicted(state: ManagerState, leaf: string, reason: Reason, world: World): void {
  takeAway(state, leaf, reason, world);
  state.revocation.evicting++;
  commit(state, [userChange(leaf, null)], { next: 'evicted', bearer: bearerOf(leaf), reason });
}

/** As `userLeaves`, where the disk gets something else in the same step. */
export function takeAway(state: ManagerState, leaf: string, reason: Reason, world: World): void {
  const record = state.users.at.get(leaf);
  if (record === undefined) return;
  const bearer = bearerOf(leaf);
  unplaceUser(state.users, leaf);
  forgetBearer(state.revocation, bearer, record);
  state.revocation.doubtful.delete(bearer);
  state.revocation.condemned.delete(bearer);
  state.verdictEnds.delete(bearer);
  cancel(state.deadlines, `verdict:${bearer}`);
  log(state, 'info', 'user.gone', { user: record.user, device: record.device, reason });
  // who left by himself was told of by his device
  if (reason !== 'user-gone') {
    const requestId = world.crypto.random(NONCE_BYTES);
    sendTo(state, record.device, [{ kind: 'RemoveUser', requestId, leaf: fromHex(leaf), reason }], world);
  }
  endSessionsWith(state, leaf, record.device, whyEnded(state, reason), world);
}

/** What is told of a session whose user has left. */
export const whyEnded = ({ settings }: ManagerState, reason: Reason): Reason =>
  reason === 'user-gone' && settings.users?.onLeave === 'follow' ? 'user-moved' : reason;

export function endSessionsWith(
  state: ManagerState,
  leaf: string,
  device: DeviceId,
  reason: Reason,
  world: World,
): void {
  for (const sid of [...(state.sessionsOf.get(device) ?? [])]) {
    const terms = state.sessions.get(sid)?.flow.terms;
    if (terms?.user == null || terms.callee.id !== device || toHex(terms.user.leaf) !== leaf) continue;
    stepSession(state, sid, { type: 'userLeft', reason }, world);
  }
}

// ── The device below ────────────────────────────────────────────────────────────────────────────────────────────────

/** A channel began or ended: what users signed for the one before counts for so long and no longer. */
export function usersUnproven(state: ManagerState, device: DeviceId, world: World): void {
  forgetWaiting(state, device);
  const leaves = state.users.byDevice.get(device);
  if (leaves === undefined) return;
  const { proven, unprovenSince } = state.users;
  let due = later(world.now, UNPROVEN);
  for (const leaf of leaves) {
    if (proven.delete(leaf) || !unprovenSince.has(leaf)) unprovenSince.set(leaf, world.now);
    due = Millis(Math.min(due, later(unprovenSince.get(leaf)!, UNPROVEN_AT_MOST)));
  }
  schedule(state.deadlines, `users:${device}`, due);
}

export function usersOverdue(state: ManagerState, device: DeviceId, world: World): void {
  const { proven, unprovenSince } = state.users;
  for (const leaf of [...(state.users.byDevice.get(device) ?? [])]) {
    if (proven.has(leaf)) continue;
    const over = later(unprovenSince.get(leaf) ?? Millis(Number.NEGATIVE_INFINITY), UNPROVEN);
    if (over <= world.now) userLeaves(state, leaf, 'user-gone', world);
    else schedule(state.deadlines, `users:${device}`, over);
  }
}

/** The device is put out, or removed. */
export function usersLose(state: ManagerState, device: DeviceId, world: World): void {
  for (const leaf of [...(state.users.byDevice.get(device) ?? [])]) userLeaves(state, leaf, 'user-gone', world);
}

/** After a restart each of them has to be proven on a new channel. */
export function usersRestored(state: ManagerState, world: World): void {
  for (const device of state.users.byDevice.keys()) {
    const record = state.devices.get(device);
    const mayStay =
      record !== undefined &&
      record.revokedAt === undefined &&
      record.quarantinedAt === undefined &&
      isWelcome(state, device);
    schedule(state.deadlines, `users:${device}`, mayStay ? later(world.now, UNPROVEN) : world.now);
  }
  for (const [leaf, record] of state.users.at) noteBearer(state.revocation, bearerOf(leaf), record);
}
