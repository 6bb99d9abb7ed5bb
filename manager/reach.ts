/**
 * Who can be reached on a broker that is not ours: it reports no links, so a device that falls silent is looked for by a
 * resumption, and one that does not answer that is away. On our own broker nothing here acts. @spec docs/outside-broker.md
 */
import { type DeviceId, later, Millis, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { awaitLink, forgetChannel } from './channels.ts';
import { partyKey } from './handshake.ts';
import { openChannelTo } from './openings.ts';
import { expectWord, log } from './outbox.ts';
import { stepSession } from './sessions.ts';
import type { ManagerState } from './state.ts';
import { hintInTurn } from './wake-up.ts';

/** Time for a device that comes back by itself. */
const OWN_RETURN = seconds(3);
/** Nobody makes the manager look for one device more often. */
const LOOK_EVERY = seconds(10);
/** After the manager's own link: devices with a channel of before come by themselves, or by a hint. */
const FIRST_LOOK = seconds(30);
const LOOKS_SPREAD = seconds(60);

/**
 * D0 on a device's topic: its last will, published by the broker, or the device that knows no channel. Unauthenticated
 * as it is, it causes at most a resumption.
 */
export function receiveDoubt(state: ManagerState, device: DeviceId, world: World): void {
  if (state.settings.broker !== 'outside' || !(state.channels.has(device) || state.sessionsOf.has(device))) return;
  const key = `doubt ${device}`;
  const last = state.hinted.get(key);
  if (last !== undefined && world.now - last < LOOK_EVERY) return;
  state.hinted.set(key, world.now);
  expectWord(state, device, OWN_RETURN, world);
}

/** A device was not heard of in time: it is asked to resume, and `deviceSilent` follows when it does not. */
export function wordMissing(state: ManagerState, device: DeviceId, world: World): void {
  if (state.handshakes.has(partyKey({ kind: 'device', id: device }))) return; // it is coming, or being looked for
  if (!openChannelTo(state, device, world)) deviceSilent(state, device, world);
}

/** It did not answer: whoever waits for it learns so, and its sessions wait for it a while, as without a link. */
export function deviceSilent(state: ManagerState, device: DeviceId, world: World): void {
  if (state.settings.broker !== 'outside') return;
  forgetChannel(state, device, world);
  log(state, 'info', 'device.silent', { device });
  const sids = [...(state.sessionsOf.get(device) ?? [])];
  if (sids.length > 0) awaitLink(state, device, world);
  for (const sid of sids) {
    const flow = state.sessions.get(sid)?.flow;
    if (flow?.state !== 'asking' || flow.terms.callee.id !== device) continue;
    stepSession(state, sid, { type: 'lost', device, reason: 'unreachable' }, world);
  }
}

/** The manager's link is new: devices without a channel hear that they should resume, those in sessions are looked for. */
export function lookForDevices(state: ManagerState, world: World): void {
  if (state.settings.broker !== 'outside') return;
  hintInTurn(state, state.devices.keys(), world);
  const spread = LOOKS_SPREAD / Math.max(1, state.sessionsOf.size);
  let turn = 0;
  for (const device of state.sessionsOf.keys()) {
    const within = later(FIRST_LOOK, Millis(turn++ * spread));
    expectWord(state, device, within, world);
  }
}
