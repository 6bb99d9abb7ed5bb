/**
 * After a start of the manager, or of its link: devices that have a link and no channel hear so, a few at a time, so that
 * they come as fast as they can be let in. Those in a session first. A device that speaks before has its hint at once.
 * @spec docs/decisions/0011-reconnect-storm.md
 */
import { schedule } from '../protocol/deadlines.ts';
import { type DeviceId, later, Millis } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { roomFor } from './admission.ts';
import { partyKey } from './handshake.ts';
import { sendHint } from './outbox.ts';
import { type ManagerState, mayBeLinked } from './state.ts';

const EVERY = Millis(100);

/** @param devices  some of which may have a channel, or be gone before it is their turn */
export function hintInTurn(state: ManagerState, devices: Iterable<DeviceId>, world: World): void {
  const { toHint, sessionsOf, channels } = state;
  const calm: DeviceId[] = [];
  for (const device of devices) {
    if (channels.has(device)) continue;
    if (sessionsOf.has(device)) toHint.add(device);
    else calm.push(device);
  }
  for (const device of calm) toHint.add(device);
  if (toHint.size > 0) hintsDue(state, world);
}

/** The next few; fewer when those before have not come through yet. */
export function hintsDue(state: ManagerState, world: World): void {
  const { toHint, channels, admission } = state;
  let left = Math.min(Math.ceil((admission.resumption.perSecond * EVERY) / 1000), roomFor(admission));
  for (const device of toHint) {
    if (left <= 0) break;
    toHint.delete(device);
    const comes = state.handshakes.has(partyKey({ kind: 'device', id: device }));
    if (comes || channels.has(device) || !mayBeLinked(state, device)) continue;
    sendHint(state, { kind: 'device', id: device }, 'record', world);
    left--;
  }
  if (toHint.size > 0) schedule(state.deadlines, 'hints', later(world.now, EVERY));
}
