/**
 * Probes: a device with an open channel is asked whether it is there, and who is with it. One question a device at a time;
 * whoever else wants to know meanwhile hears the same answer.
 */
import { equal } from '../protocol/bytes.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import { NONCE_BYTES } from '../protocol/message-values.ts';
import type { MessageOf } from '../protocol/messages.ts';
import { type DeviceId, later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { log, sendTo } from './outbox.ts';
import type { Presence, PresenceHeard } from './presence.ts';
import type { ManagerState } from './state.ts';

/** A device that is there answers at once. */
export const PROBE_TIMEOUT = seconds(2);
/** Who wants to know of one device at a time. */
const MAX_WAITING = 16;

/**
 * Asks a device; `then` is called once: when it answers, after 2 s, or at once where it has no channel that may carry it.
 * @param about  what for, to the log
 * @returns      false when too many want to know already: `then` is never called
 */
export function probe(
  state: ManagerState,
  device: DeviceId,
  about: string,
  then: PresenceHeard,
  world: World,
): boolean {
  const under = state.probes.get(device);
  if (under !== undefined) {
    if (under.waiting.length >= MAX_WAITING) return false;
    under.waiting.push(then);
    return true;
  }
  const nonce = world.crypto.random(NONCE_BYTES);
  if (sendTo(state, device, [{ kind: 'Probe', nonce }], world) === null) {
    then({ present: false }, world);
    return true;
  }
  state.probes.set(device, { nonce, waiting: [then] });
  schedule(state.deadlines, `probe:${device}`, later(world.now, PROBE_TIMEOUT));
  log(state, 'debug', 'probe.sent', { device, about });
  return true;
}

/** Only the device that was asked knows the nonce. */
export function receivePresent(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Present'>,
  world: World,
): void {
  const under = state.probes.get(device);
  if (under === undefined || !equal(under.nonce, message.nonce)) return; // of a probe that is over
  cancel(state.deadlines, `probe:${device}`);
  conclude(state, device, { present: true, users: message.users.map((leaf) => leaf.slice()) }, world);
}

/** 2 s without a word. */
export function probeUnanswered(state: ManagerState, device: DeviceId, world: World): void {
  cancel(state.deadlines, `probe:${device}`);
  conclude(state, device, { present: false }, world);
}

function conclude(state: ManagerState, device: DeviceId, presence: Presence, world: World): void {
  const waiting = state.probes.get(device)?.waiting ?? [];
  state.probes.delete(device);
  if (waiting.length === 0) return;
  log(state, 'debug', 'probe.over', { device, present: presence.present });
  for (const then of waiting) then(presence, world);
}
