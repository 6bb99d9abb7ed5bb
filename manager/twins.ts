/**
 * Two machines with one certificate: a copied card, or a key in other hands. Who comes as another process than the one whose
 * channel is open waits until that one was asked whether it is there. A machine that was restarted left no link behind, or
 * does not answer for 2 s; two machines are told to the operator and treated as is configured.
 * @spec docs/decisions/0027-copied-cards.md
 */
import type { Channel } from '../protocol/channel.ts';
import type { Party } from '../protocol/topics.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { evict, sameInstance } from './channels.ts';
import { sameHandshake } from './half-open.ts';
import { type Handshake, partyKey } from './handshake.ts';
import { commit, log } from './outbox.ts';
import { probe } from './probes.ts';
import { deviceChange } from './registry.ts';
import { type DuplicatePolicy, isToBeSaid, notePutOut, noteSighting, wasPutOut, wasSeen } from './sightings.ts';
import type { ManagerState } from './state.ts';

/** A machine that asks to be let in: the device it is, and its process. An unknown process is another one than any. */
export interface Newcomer {
  readonly device: DeviceId;
  readonly instance: Uint8Array | null;
}

/** @returns the channel of another process of this device, whose link lives; on a broker that reports no links: any such */
function incumbentOf(state: ManagerState, party: Party, { device, instance }: Newcomer): Channel | null {
  const open = state.channels.get(device);
  if (open === undefined || sameInstance(open.instance, instance)) return null;
  if (state.settings.broker === 'outside') return open.channel;
  const link = state.links.get(device);
  const isOwn = party.kind === 'device' || party.link === link;
  return link === undefined || isOwn ? null : open.channel;
}

/** Whether somebody else has come in since this exchange was looked at: of two that cross the first has its channel. */
export function wasOutrun(state: ManagerState, { party, beside }: Handshake, newcomer: Newcomer): boolean {
  const incumbent = incumbentOf(state, party, newcomer);
  return incumbent !== null && incumbent !== beside?.channel;
}

/**
 * Looks whether the device is there already as another machine. Nothing was changed for the newcomer before.
 * @param then  called once, at once where nobody else is in; never when the exchange is over meanwhile. false: there are
 *              two, and this one has to stay out
 */
export function whenAlone(
  state: ManagerState,
  handshake: Handshake,
  newcomer: Newcomer,
  then: (alone: boolean, world: World) => void,
  world: World,
): void {
  const { device } = newcomer;
  const incumbent = incumbentOf(state, handshake.party, newcomer);
  if (incumbent === null || incumbent === handshake.beside?.channel) return then(true, world);
  if (wasPutOut(state.sightings, device, newcomer.instance, world)) return then(false, world);
  if (wasSeen(state.sightings, device, incumbent, world))
    return meet(state, handshake, newcomer, incumbent, then, world);
  const asked = probe(
    state,
    device,
    'duplicate',
    ({ present }, now) => {
      if (sameHandshake(state, partyKey(handshake.party), handshake.id) === null) return;
      if (present) {
        noteSighting(state.sightings, device, incumbent, now);
        return meet(state, handshake, newcomer, incumbent, then, now);
      }
      handshake.beside = { channel: incumbent, present: false };
      whenAlone(state, handshake, newcomer, then, now); // somebody else may have come in during the 2 s
    },
    world,
  );
  if (!asked) then(false, world);
}

/** @returns the channel of the machine that has to make room for the one of this exchange */
export const leaving = ({ beside }: Handshake): Channel | null => (beside?.present === true ? beside.channel : null);

/** Both are there. */
function meet(
  state: ManagerState,
  handshake: Handshake,
  newcomer: Newcomer,
  incumbent: Channel,
  then: (alone: boolean, world: World) => void,
  world: World,
): void {
  const { device } = newcomer;
  const policy = state.settings.duplicates ?? 'refuse';
  if (isToBeSaid(state.sightings, device, world))
    log(state, 'error', 'device.duplicate', { device, policy, remedy: REMEDIES[policy] });
  if (policy === 'replace') {
    notePutOut(state.sightings, device, state.channels.get(device)?.instance ?? null, world);
    handshake.beside = { channel: incumbent, present: true };
    return then(true, world);
  }
  then(false, world);
  if (policy === 'quarantine') evict(state, device, 'duplicate', world);
}

const REMEDIES: Readonly<Record<DuplicatePolicy, string>> = {
  refuse: 'the later one is kept out: stop one of the two, and enrol the copy anew as a device of its own',
  replace: 'the earlier one was put out: stop one of the two, and enrol the copy anew as a device of its own',
  quarantine:
    'both are out: stop one of the two, then kagimori device release; if neither is to come back: device reset',
};

/**
 * The operator has stopped one of the two.
 * @param done  when it is on disk
 * @returns     false: it is not in quarantine
 */
export function release(state: ManagerState, device: DeviceId, done: (failure: string | null) => void): boolean {
  const record = state.devices.get(device);
  if (record?.quarantinedAt === undefined) return false;
  const released = { ...record, quarantinedAt: undefined };
  state.devices.set(device, released);
  state.sightings.delete(device);
  commit(state, [deviceChange(device, released)], { next: 'told', done });
  log(state, 'info', 'device.released', { device });
  return true;
}
