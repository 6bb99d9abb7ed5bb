/**
 * Reset and transfer: everything that the last owner of a device could use is void, in one commit. Whoever is told of it,
 * the device and its peers, hears it when it is on disk: a manager that is killed has done all of it or nothing.
 * @spec docs/decisions/0027-copied-cards.md
 */
import type { Change } from '../platform/store.ts';
import { toHex } from '../protocol/bytes.ts';
import { schedule } from '../protocol/deadlines.ts';
import { type DeviceId, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { forgetChannel, forgetDevice } from './channels.ts';
import { enrolledChange } from './enrolment-records.ts';
import { endHandshakesOf } from './half-open.ts';
import type { NewInvitation } from './invitations.ts';
import { commit, log, sendTo, tellBroker } from './outbox.ts';
import { deviceChange, registrationChange, resumptionChange, sessionChange, userChange } from './registry.ts';
import { stepSessionsOf } from './sessions.ts';
import type { ManagerState } from './state.ts';
import { usersLose } from './user-leaving.ts';
import { type Voiding, voidChange } from './void-records.ts';

type Done = (failure: string | null) => void;

/** Whether a certificate over this key lets nobody in. @param spki  DER */
export const isVoid = ({ voids }: ManagerState, spki: Uint8Array, { crypto }: World): boolean =>
  voids.keys.size > 0 && voids.keys.has(toHex(crypto.hash('sha-256', spki)));

/**
 * @param invitation  for whoever has the device next; it comes into force with the rest
 * @param done        when it is on disk, or is not
 * @returns           false: no such device, or one whose certificate cannot be read
 */
export function voidDevice(
  state: ManagerState,
  device: DeviceId,
  invitation: NewInvitation | null,
  done: Done,
  world: World,
): boolean {
  const record = state.devices.get(device);
  const leaf = record === undefined ? null : state.reader.readCertificate(record.chain[0]!);
  if (leaf === null || state.voids.underWay.has(device)) return false;
  const key = toHex(world.crypto.hash('sha-256', leaf.spki));
  const since = world.wall;
  const voiding: Voiding = {
    device,
    key,
    since,
    changes: [voidChange(key, device, since), ...changesFor(state, device, world)],
  };
  state.voids.underWay.set(device, voiding);
  // its exchanges and its record are gone at once, so that nothing under way writes it anew behind this commit
  endHandshakesOf(state, device);
  forgetDevice(state, device);
  state.enrolment.enrolled.delete(device);
  const changes = [...voiding.changes, ...(invitation === null ? [] : [invitation.change])];
  commit(state, changes, { next: 'voided', voiding, invitation, done });
  return true;
}

function changesFor(state: ManagerState, device: DeviceId, world: World): Change[] {
  return [
    deviceChange(device, null),
    registrationChange(device, null),
    resumptionChange(world.crypto, state.sealingKey, device, null),
    enrolledChange(device, null),
    ...[...(state.sessionsOf.get(device) ?? [])].map((sid) => sessionChange(sid, null)),
    ...[...(state.users.byDevice.get(device) ?? [])].map((leaf) => userChange(leaf, null)),
  ];
}

/** On disk, or refused by it: the device is out in either case, and what is not on disk is written again. */
export function voidStored(
  state: ManagerState,
  {
    voiding,
    invitation,
    done,
  }: { readonly voiding: Voiding; readonly invitation: { adopt(): void } | null; readonly done: Done },
  failure: string | null,
  world: World,
): void {
  const { device, key, since } = voiding;
  const { voids } = state;
  voids.underWay.delete(device);
  voids.keys.set(key, { device, since });
  if (failure === null) invitation?.adopt();
  else {
    forgetDevice(state, device); // what the disk still has has come back with its refusal
    voids.unwritten.set(key, voiding);
    schedule(state.deadlines, 'voids', later(world.now, WRITE_AGAIN));
  }
  putOut(state, device, world);
  log(state, 'info', 'device.reset', { device, key, transferred: invitation !== null, stored: failure === null });
  done(failure);
}

/** The device hears it, and loses its channel and its link; then its peers hear it. */
function putOut(state: ManagerState, device: DeviceId, world: World): void {
  sendTo(state, device, [{ kind: 'Close', reason: 'void' }], world);
  forgetChannel(state, device, world);
  const link = state.links.get(device);
  if (link !== undefined) {
    tellBroker(state, { kind: 'Drop', link });
    state.links.delete(device);
    state.linkDevices.delete(link);
  }
  usersLose(state, device, world);
  stepSessionsOf(state, device, { type: 'lost', device, reason: 'withdrawn' }, world);
  state.replies.delete(device);
  state.sightings.delete(device);
}

const WRITE_AGAIN = seconds(5);

/** Somebody new may have the name by now: of him nothing is taken. */
export function voidsDue(state: ManagerState): void {
  for (const [key, voiding] of state.voids.unwritten) {
    const isNew = state.devices.has(voiding.device);
    const changes = voiding.changes.filter((change) => !isNew || change.key !== voiding.device);
    commit(state, changes, { next: 'voidWritten', key });
  }
}

export function voidWritten(state: ManagerState, key: string, failure: string | null, world: World): void {
  const voiding = state.voids.unwritten.get(key);
  if (voiding === undefined) return;
  if (failure !== null) {
    if (!state.channels.has(voiding.device)) forgetDevice(state, voiding.device);
    return schedule(state.deadlines, 'voids', later(world.now, WRITE_AGAIN));
  }
  state.voids.unwritten.delete(key);
  log(state, 'info', 'device.reset-stored', { device: voiding.device, key });
}
