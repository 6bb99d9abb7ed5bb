/**
 * The channel to the manager once it is there: what is said first, what waited for it, idleness, close (patent 1308–1328).
 */
import { type Channel, receiveClose, requestClose, wipeChannel } from '../protocol/channel.ts';
import { cancel, schedule } from '../protocol/deadlines.ts';
import type { Reason } from '../protocol/message-values.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import type { Resumed } from '../protocol/resumption.ts';
import { later, seconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import { dismissed, isDismissal } from './dismissal.ts';
import { log, ride, sendOnChannel, tell } from './outbox.ts';
import { awaitRegistered, receiveRegistered, registrationDue } from './registration.ts';
import { sessionsSaid } from './renewal.ts';
import { dropAllSessions, endsSaidBefore } from './sessions.ts';
import { standingMessages } from './standing.ts';
import type { AgentState, Opening } from './state.ts';
import { registerUsers } from './users.ts';

const CLOSE_TIMEOUT = seconds(3);
const REJOIN_AFTER = seconds(1);
const MAX_OPENINGS = 100;
/** A new epoch at the latest (design §5.3). */
const RENEW_AFTER = seconds(24 * 3600);

export function channelKeysOf(resumed: Resumed, role: 'initiator' | 'responder') {
  const { masterSecret, masterSalt, used } = resumed;
  const { suite, authenticateOnly, generation } = used;
  return { masterSecret, masterSalt, suite, authenticateOnly, role, generation: generation + 1 };
}

/** @param answers what came in message_4 beside the permission */
export function channelOpened(
  state: AgentState,
  channel: Channel,
  opening: Opening,
  answers: readonly ChannelMessage[],
  world: World,
): void {
  dropChannel(state);
  cancel(state.deadlines, 'exchange');
  cancel(state.deadlines, 'join');
  cancel(state.deadlines, 'hint');
  state.channel = { channel, opening };
  state.failures = 0;
  state.denied = null;
  state.deniedSaid = null;
  state.openings.push(opening);
  if (state.openings.length > MAX_OPENINGS) state.openings.shift();
  tell(state, { news: 'channelOpened', how: opening.opened, by: opening.by });
  for (const answer of answers) if (answer.kind === 'Registered') receiveRegistered(state, answer);
  const registration = registrationDue(state, world);
  const first: ChannelMessage[] = [];
  // [patent 1308] the first record permits; a manager that opened the channel permits first
  if (opening.by === 'device') first.push({ kind: 'Permit' });
  if (registration !== null) {
    first.push(registration);
    awaitRegistered(state, world);
  }
  if (!channel.authenticateOnly) {
    // to a manager that opened the channel, and may still be storing that, it rides on the first answer
    const said = sessionsSaid(state);
    if (opening.by === 'device') first.push(...said);
    else ride(state, said, world);
    first.push(...standingMessages(state, world), ...endsSaidBefore(state), ...state.waiting.splice(0));
  }
  for (let at = 0; at < first.length; at += MESSAGES_PER_RECORD) {
    sendOnChannel(state, first.slice(at, at + MESSAGES_PER_RECORD), opening.cost, world);
  }
  registerUsers(state, world);
  touchIdle(state, world);
  schedule(state.deadlines, 'worn', later(world.now, RENEW_AFTER));
}

const MESSAGES_PER_RECORD = 4;

export function dropChannel(state: AgentState): void {
  if (state.channel === null) return;
  wipeChannel(state.channel.channel);
  state.channel = null;
  cancel(state.deadlines, 'idle');
  cancel(state.deadlines, 'worn');
  cancel(state.deadlines, 'close');
}

/** Every message moves the end of an idle channel. */
export function touchIdle(state: AgentState, world: World): void {
  const { closeWhenIdle } = state.settings;
  if (closeWhenIdle !== null) schedule(state.deadlines, 'idle', later(world.now, closeWhenIdle));
}

export function idleOver(state: AgentState, world: World): void {
  const busy = state.calls.size > 0 || state.asked.size > 0 || state.registration.pending !== null;
  if (busy) return touchIdle(state, world);
  closeChannel(state, 'done', world);
}

/** [patent 1316] The link stays: the manager can open the channel again when somebody wants this device. */
export function closeChannel(state: AgentState, reason: Reason, world: World): boolean {
  const channel = state.channel?.channel;
  if (channel === undefined) return false;
  sendOnChannel(state, requestClose(channel, reason), null, world);
  schedule(state.deadlines, 'close', later(world.now, CLOSE_TIMEOUT));
  return true;
}

export function receiveCloseMessage(state: AgentState, message: ChannelMessage, world: World): void {
  const channel = state.channel?.channel;
  if (channel === undefined) return;
  if (message.kind === 'Close' && message.reason === 'revoked') dropAllSessions(state, 'revoked');
  if (message.kind === 'Close' && isDismissal(message.reason)) {
    closed(state, message.reason);
    return dismissed(state, message.reason, 'close', world);
  }
  if (message.kind === 'Close' && message.reason === 'verifier-away') {
    // nobody has closed it on purpose, and nobody waits for an answer: it is opened again as soon as that is possible
    closed(state, message.reason);
    schedule(state.deadlines, 'join', later(world.now, REJOIN_AFTER));
    return;
  }
  sendOnChannel(state, receiveClose(channel, message), null, world);
  if (channel.state.name === 'closed') return closed(state, channel.state.reason);
  schedule(state.deadlines, 'close', later(world.now, CLOSE_TIMEOUT));
}

/** 3 s without an answer is closed. */
export function closeTimedOut(state: AgentState): void {
  closed(state, 'timeout');
}

function closed(state: AgentState, reason: Reason): void {
  dropChannel(state);
  log(state, 'info', 'channel.closed', { reason });
  tell(state, { news: 'channelClosed', reason });
}
