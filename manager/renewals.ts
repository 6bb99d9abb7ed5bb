/**
 * What devices say of live sessions after a restart of theirs or ours: their answer to a Renew, and what they hold.
 */
import { toHex } from '../protocol/bytes.ts';
import type { MessageOf } from '../protocol/messages.ts';
import type { DeviceId } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { cameUp, grantLost, mayGoOn, partyOf, sendOver } from './connects.ts';
import { repeatGrant, stepSession } from './sessions.ts';
import type { ManagerState } from './state.ts';
import { mayBeGranted } from './verdict-age.ts';

/** A device may be ahead of a manager whose store was put back, by so much. */
const MAX_EPOCH_LEAP = 1000;

/** Only a device of the session agrees for itself; it is taken as it is registered now. */
export function receiveRenewal(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Renewal'>,
  world: World,
): void {
  const sid = toHex(message.sid);
  const session = state.sessions.get(sid);
  if (session === undefined) return sendOver(state, device, [message.sid], world);
  const { flow } = session;
  const mine = [flow.terms.caller, flow.terms.callee].find(({ id }) => id === device);
  if (mine === undefined) return;
  const registered = state.registrations.has(device);
  if (message.nonce === undefined || message.reason !== undefined || !registered) {
    const reason = message.reason ?? (registered ? 'refused-by-policy' : 'not-registered');
    const stale = flow.state === 'renewing' && message.epoch <= flow.epoch;
    return stale ? undefined : stepSession(state, sid, { type: 'renewalRefused', device, reason }, world);
  }
  if (!mayGoOn(state, flow.terms))
    return stepSession(state, sid, { type: 'endAsked', by: null, reason: 'forbidden' }, world);
  if (flow.state === 'granted') {
    // it waits for a grant: that crosses it on the way, or is lost
    if (!repeatGrant(state, session, device)) grantLost(state, sid, device, world);
    return;
  }
  // it is asked again once a verifier is heard, and both are judged
  if (!mayBeGranted(state, flow.terms, world)) return;
  // an answer to the question before: its nonce may be used up by a grant that was on its way
  if (!('epoch' in flow) || message.epoch <= flow.epoch) return;
  if (message.epoch > flow.epoch + MAX_EPOCH_LEAP) {
    return stepSession(state, sid, { type: 'endAsked', by: device, reason: 'expired' }, world);
  }
  const party = partyOf(state, device, mine.consent);
  stepSession(
    state,
    sid,
    { type: 'renewed', ready: { party, nonce: message.nonce.slice(), epoch: message.epoch } },
    world,
  );
}

/**
 * What the device holds at the start of a channel. What it holds and is over here ends there. What was granted to this very
 * process before the channel began and does not stand there any more is over: its End was lost. To another process the
 * grant is made again, which its instance has told already.
 */
export function receiveHolding(
  state: ManagerState,
  device: DeviceId,
  message: MessageOf<'Holding'>,
  world: World,
): void {
  const channel = state.channels.get(device);
  if (channel === undefined) return;
  const own = state.sessionsOf.get(device);
  for (const raw of [...message.open, ...message.waiting]) {
    const sid = toHex(raw);
    if (own?.has(sid) === true) channel.held.add(sid); // others say nothing here, and would fill it
  }
  cameUp(state, device, message.open, world);
  sendOver(
    state,
    device,
    message.waiting.filter((sid) => !state.sessions.has(toHex(sid))),
    world,
  );
  if (message.more === true) return;
  for (const sid of [...(state.sessionsOf.get(device) ?? [])]) {
    const flow = state.sessions.get(sid)?.flow;
    if (flow?.state !== 'granted' || flow.at >= channel.since || channel.held.has(sid)) continue;
    stepSession(state, sid, { type: 'lost', device, reason: 'peer-gone' }, world);
  }
  channel.held.clear();
}
