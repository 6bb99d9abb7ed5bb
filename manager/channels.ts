/**
 * Open channels: how one begins, what keeps it open, how it ends (patent 1312–1328), and the link below it.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import {
  type Channel,
  type ChannelKeys,
  openChannel,
  receiveClose,
  requestClose,
  wipeChannel,
} from '../protocol/channel.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { Reason } from '../protocol/message-values.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, EpochSeconds, type LinkId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { FlowEvent } from './flow.ts';
import { endHandshakesOf } from './half-open.ts';
import { commit, log, sendTo, tellBroker } from './outbox.ts';
import { askVerifier, type Ruling } from './questions.ts';
import { type DeviceRecord, deviceChange, registrationChange, resumptionChange } from './registry.ts';
import { forgetBearer } from './revocation-watch.ts';
import { stepSessionsOf } from './sessions.ts';
import type { ManagerState } from './state.ts';
import { usersLose, usersUnproven } from './user-leaving.ts';
import { hearVerdict, verdictSecondsLeft } from './verdict-age.ts';

export interface Adoption {
  readonly device: DeviceId;
  readonly party: Party;
  readonly keys: ChannelKeys | { readonly channel: Channel };
  readonly instance: Uint8Array | null;
  readonly by: 'device' | 'manager';
  readonly how: 'edhoc' | 'resume';
  /** The channel of another machine with this certificate: it hears that it has to go. */
  readonly replaces?: Channel | null;
  readonly world: World;
}

/** Part of a verdict's age after which the next one is asked for. */
const REFRESH_AT = 0.8;

/**
 * Makes a channel the device's open one, after everything about it is durable.
 * @param answer  sends what tells the device so; comes after the promotion of the link, before anything else
 */
export function adoptChannel(state: ManagerState, adoption: Adoption, answer: () => void): void {
  const { device, party, keys, instance, by, how, world } = adoption;
  if (!state.devices.has(device)) return; // removed while its exchange was under way
  const channel = 'channel' in keys ? keys.channel : openChannel(world.crypto, keys);
  const before = state.channels.get(device);
  if (before !== undefined && before.channel === adoption.replaces)
    sendTo(state, device, [{ kind: 'Close', reason: 'duplicate' }], world);
  if (party.kind === 'link') bindLink(state, party.link, device, true);
  if (before !== undefined) wipeChannel(before.channel);
  const sameProcess = sameInstance(state.devices.get(device)?.instance ?? null, instance);
  const standing = before !== undefined && sameInstance(before.instance, instance) ? before.standing : new Map();
  state.channels.set(device, { channel, instance, by, how, since: world.now, standing, held: new Set() });
  usersUnproven(state, device, world);
  cancel(state.deadlines, `gone:${device}`);
  cancel(state.deadlines, `close:${device}`);
  watchVerdict(state, device, world);
  answer();
  log(state, 'info', 'channel.opened', { device, how, by, authenticateOnly: channel.authenticateOnly });
  if (!sameProcess) {
    noteInstance(state, device, instance);
    stepSessionsOf(state, device, { type: 'keysLost', device }, world); // they died with its process
  }
  const event: FlowEvent = channel.authenticateOnly
    ? { type: 'channelFailed', device, reason: 'authenticate-only' }
    : { type: 'channelOpened', device };
  stepSessionsOf(state, device, event, world);
}

export const sameInstance = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a !== null && b !== null && equal(a, b);

function noteInstance(state: ManagerState, device: DeviceId, instance: Uint8Array | null): void {
  const record = state.devices.get(device);
  if (record === undefined) return;
  const noted = { ...record, instance: instance ?? undefined };
  state.devices.set(device, noted);
  commit(state, [deviceChange(device, noted)], { next: 'nothing' });
}

/** @param tell whether the broker has to hear of it */
export function bindLink(state: ManagerState, link: LinkId, device: DeviceId, tell: boolean): void {
  const older = state.links.get(device);
  if (older !== undefined && older !== link) state.linkDevices.delete(older);
  const usedBy = state.linkDevices.get(link);
  if (usedBy !== undefined && usedBy !== device) state.links.delete(usedBy);
  state.links.set(device, link);
  state.linkDevices.set(link, device);
  if (tell && !(older === link)) tellBroker(state, { kind: 'Promote', link, device });
}

/** The broker says that a link ended: the device will resume on a new one; its sessions wait for it a while. */
export function linkGone(state: ManagerState, link: LinkId, world: World): void {
  const device = state.linkDevices.get(link);
  if (device === undefined) return;
  state.linkDevices.delete(link);
  if (state.links.get(device) !== link) return;
  state.links.delete(device);
  forgetChannel(state, device, world);
  awaitLink(state, device, world);
  stepSessionsOf(state, device, { type: 'channelFailed', device, reason: 'unreachable' }, world);
  log(state, 'info', 'link.gone', { device });
}

/** The sessions of a device without a link wait for it, once. */
export function awaitLink(state: ManagerState, device: DeviceId, world: World): void {
  const key = `gone:${device}`;
  if (!state.deadlines.current.has(key))
    schedule(state.deadlines, key, later(world.now, state.settings.limits.linkGrace));
}

export function linkGraceOver(state: ManagerState, device: DeviceId, world: World): void {
  if (state.links.has(device)) return;
  stepSessionsOf(state, device, { type: 'lost', device, reason: 'peer-gone' }, world);
}

export function forgetChannel(state: ManagerState, device: DeviceId, world: World): void {
  const open = state.channels.get(device);
  if (open === undefined) return;
  usersUnproven(state, device, world);
  wipeChannel(open.channel);
  state.channels.delete(device);
  cancel(state.deadlines, `close:${device}`);
}

// ── Close (P7) ──────────────────────────────────────────────────────────────────────────────────────────────────────

export function closeChannel(state: ManagerState, device: DeviceId, reason: Reason, world: World): void {
  const open = state.channels.get(device);
  if (open === undefined) return;
  sendTo(state, device, requestClose(open.channel, reason), world);
  schedule(state.deadlines, `close:${device}`, later(world.now, state.settings.limits.closeTimeout));
}

export function receiveCloseMessage(
  state: ManagerState,
  device: DeviceId,
  message: ChannelMessage,
  world: World,
): void {
  const open = state.channels.get(device);
  if (open === undefined) return;
  sendTo(state, device, receiveClose(open.channel, message), world);
  if (open.channel.state.name === 'closed') return channelClosed(state, device, open.channel.state.reason, world);
  schedule(state.deadlines, `close:${device}`, later(world.now, state.settings.limits.closeTimeout));
}

/** 3 s without an answer is closed. */
export function closeTimedOut(state: ManagerState, device: DeviceId, world: World): void {
  channelClosed(state, device, 'timeout', world);
}

function channelClosed(state: ManagerState, device: DeviceId, reason: Reason, world: World): void {
  forgetChannel(state, device, world);
  log(state, 'info', 'channel.closed', { device, reason });
}

// ── The verdict below the channel ───────────────────────────────────────────────────────────────────────────────────

function watchVerdict(state: ManagerState, device: DeviceId, world: World): void {
  const left = verdictSecondsLeft(state, device, world);
  schedule(state.deadlines, `verdict:${device}`, later(world.now, Millis(Math.max(1, left * REFRESH_AT) * 1000)));
}

/** The verdict grows old: asks for the next one; over its age the channel ends. */
export function verdictDue(state: ManagerState, device: DeviceId, world: World): void {
  const record = state.devices.get(device);
  // a device without channel and sessions is judged when it comes again
  if (record === undefined || !(state.channels.has(device) || state.sessionsOf.has(device))) return;
  const left = verdictSecondsLeft(state, device, world);
  if (left <= 0) return evict(state, device, 'verifier-away', world);
  askVerifier(state, { for: 'refresh', bearer: device, leaf: toHex(record.leaf) }, 'device', record.chain, world);
  schedule(state.deadlines, `verdict:${device}`, later(world.now, seconds(Math.min(left, Math.max(1, left / 4)))));
}

export function verdictRefreshed(
  state: ManagerState,
  device: DeviceId,
  leaf: string,
  ruling: Ruling,
  world: World,
): void {
  const record = state.devices.get(device);
  if (record === undefined || ruling.outcome === 'away' || toHex(record.leaf) !== leaf) return;
  if (ruling.outcome === 'bad')
    return evict(state, device, ruling.reason === 'revoked' ? 'revoked' : 'bad-verdict', world);
  noteVerdict(state, device, ruling.until, world);
  watchVerdict(state, device, world);
}

export function noteVerdict(state: ManagerState, device: DeviceId, until: EpochSeconds, world: World): void {
  const record = state.devices.get(device);
  if (record === undefined) return;
  hearVerdict(state, device, until, world);
  const noted = { ...record, verdictUntil: until, revokedAt: undefined };
  state.devices.set(device, noted);
  commit(state, [deviceChange(device, noted)], { next: 'nothing' });
}

/**
 * A device that may not stay: exchanges, channel, resumption and link end first, whatever the peers' channels do; then
 * its sessions at the peers.
 */
export function evict(state: ManagerState, device: DeviceId, reason: Reason, world: World): void {
  log(state, 'warn', 'device.evicted', { device, reason });
  endHandshakesOf(state, device);
  // a verifier that is away says nothing against the device: it may resume once it is judged again
  if (reason !== 'verifier-away') {
    state.resumption.delete(device);
    const changes = [resumptionChange(world.crypto, state.sealingKey, device, null)];
    const noted = withoutVerdict(state, device, reason, world);
    if (noted !== null) changes.push(deviceChange(device, noted));
    state.revocation.evicting++;
    commit(state, changes, { next: 'evicted', bearer: device, reason });
  }
  sendTo(state, device, [{ kind: 'Close', reason }], world);
  forgetChannel(state, device, world);
  const link = state.links.get(device);
  // on the link of one that waits for a verdict nothing passes but its next resumption
  if (link !== undefined && reason !== 'verifier-away') {
    tellBroker(state, { kind: 'Drop', link });
    state.links.delete(device);
    state.linkDevices.delete(link);
  }
  stepSessionsOf(state, device, { type: 'lost', device, reason }, world);
  if (reason !== 'verifier-away') usersLose(state, device, world);
}

/** @returns the record as it is to be stored, or null when there is none */
function withoutVerdict(state: ManagerState, device: DeviceId, reason: Reason, world: World): DeviceRecord | null {
  const record = state.devices.get(device);
  if (record === undefined) return null;
  const never = EpochSeconds(0);
  hearVerdict(state, device, never, world);
  const revokedAt = reason === 'revoked' ? (record.revokedAt ?? world.wall) : record.revokedAt;
  // two machines with its certificate: both are out until the operator releases it
  const quarantinedAt = reason === 'duplicate' ? (record.quarantinedAt ?? world.wall) : record.quarantinedAt;
  const noted = { ...record, verdictUntil: never, revokedAt, quarantinedAt };
  state.devices.set(device, noted);
  return noted;
}

/** The operator's word: nothing of the device stays, and its name is free for another certificate. */
export function removeDevice(state: ManagerState, device: DeviceId, world: World): void {
  evict(state, device, 'withdrawn', world);
  forgetDevice(state, device);
  commit(state, [deviceChange(device, null), registrationChange(device, null)], { next: 'nothing' });
  log(state, 'info', 'device.removed', { device });
}

/** What the registry knows of a device is gone from memory; its link, channel and sessions are not. */
export function forgetDevice(state: ManagerState, device: DeviceId): void {
  const record = state.devices.get(device);
  if (record !== undefined) {
    state.leaves.delete(toHex(record.leaf));
    forgetBearer(state.revocation, device, record);
  }
  for (const [name, holder] of state.names) if (holder === device) state.names.delete(name);
  state.devices.delete(device);
  state.registrations.delete(device);
  state.resumption.delete(device);
  state.verdictEnds.delete(device);
  state.revocation.doubtful.delete(device);
  state.revocation.condemned.delete(device);
}
