/**
 * What the manager wishes done: publish, make durable, log. Collected during a step and performed by the service.
 */
import type { Change } from '../platform/store.ts';
import { toHex } from '../protocol/bytes.ts';
import { carries, sealMessages, wipeChannel } from '../protocol/channel.ts';
import { schedule } from '../protocol/deadlines.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { type ExchangeKind, encodeFrame, HINT_FRAME } from '../protocol/frame.ts';
import { type BrokerRequest, brokerRequests, type ChannelMessage } from '../protocol/messages.ts';
import type { Party } from '../protocol/topics.ts';
import { type DeviceId, later, type Millis, seconds, type Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { LogFields } from './effects.ts';
import { partyKey } from './handshake.ts';
import type { Continuation, ManagerState } from './state.ts';

const HINT_EVERY = seconds(10);
const MAX_HINTED = 10_000;

export function publish(state: ManagerState, topic: Topic, payload: Uint8Array): void {
  state.out.push({ type: 'publish', topic, payload });
}

export function sendExchange(
  state: ManagerState,
  to: Party,
  kind: ExchangeKind,
  exchange: Uint8Array,
  body: Uint8Array,
): Uint8Array {
  const frame = encodeFrame(kind, exchange, body);
  publish(state, state.settings.topics.toDevice(to), frame);
  log(state, 'debug', 'exchange.sent', { to: partyKey(to), kind, bytes: frame.length });
  return frame;
}

/**
 * D0, unauthenticated, at most one in 10 s for each party and cause.
 * @param cause  a record without a channel, or a resumption without a secret: the one must not use up the other's turn
 */
export function sendHint(state: ManagerState, to: Party, cause: 'record' | 'resumption', world: World): void {
  const topic = state.settings.topics.toDevice(to);
  const key = `${cause} ${topic}`;
  const last = state.hinted.get(key);
  if (last !== undefined && world.now - last < HINT_EVERY) return;
  forgetOldHints(state, world.now);
  state.hinted.set(key, world.now);
  publish(state, topic, HINT_FRAME);
}

function forgetOldHints(state: ManagerState, now: Millis): void {
  if (state.hinted.size < MAX_HINTED) return;
  for (const [key, at] of state.hinted) if (now - at >= HINT_EVERY) state.hinted.delete(key);
}

/**
 * @returns the record that went out; null when the device has no open channel, one that may not carry this, or one that
 *          is used up: that channel ends, and the device makes a new one when it next speaks
 */
export function sendTo(
  state: ManagerState,
  to: DeviceId,
  messages: readonly ChannelMessage[],
  world: World,
): Uint8Array | null {
  const open = state.channels.get(to);
  if (open === undefined || messages.length === 0 || !messages.every((message) => carries(open.channel, message))) {
    return null;
  }
  let record: Uint8Array;
  try {
    record = sealMessages(world.crypto, open.channel, messages);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    log(state, 'warn', 'channel.used-up', { device: to, code: error.code, detail: error.message });
    wipeChannel(open.channel);
    state.channels.delete(to);
    return null;
  }
  publish(state, state.settings.topics.toDevice({ kind: 'device', id: to }), record);
  log(state, 'debug', 'message.sent', { to, kinds: messages.map((m) => m.kind).join('+'), bytes: record.length });
  // a channel that has just been made needs no proof that somebody is there
  const wantsAnswer = messages.some(({ kind }) => kind === 'Ask' || kind === 'Renew');
  if (wantsAnswer && world.now - open.since > FRESH) expectWord(state, to, WORD, world);
  return record;
}

/** A device that is asked and does not say a word for so long is looked for, on a broker that reports no links. */
const WORD = seconds(3);
const FRESH = seconds(10);

/** Unless the device is heard of before, the manager looks for it. @see manager/reach.ts */
export function expectWord(state: ManagerState, device: DeviceId, within: Millis, world: World): void {
  const key = `word:${device}`;
  if (state.settings.broker !== 'outside' || state.deadlines.current.has(key)) return;
  schedule(state.deadlines, key, later(world.now, within));
}

/** An outside broker takes no orders: its access list stands for all of them. */
export function tellBroker(state: ManagerState, request: BrokerRequest): void {
  if (state.settings.broker === 'outside') return;
  publish(state, state.settings.topics.controlRequests, brokerRequests.encode(request));
}

export function commit(state: ManagerState, changes: readonly Change[], continuation: Continuation): void {
  const number = state.nextCommit++;
  state.commits.set(number, continuation);
  state.out.push({ type: 'commit', number, changes });
}

export function log(
  state: ManagerState,
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields: LogFields,
): void {
  state.out.push({ type: 'log', level, event, fields });
}

/** Keeps an answer for 60 s, so that a repeated request id gets the same one. */
export function remember(
  state: ManagerState,
  device: DeviceId,
  requestId: Uint8Array,
  message: ChannelMessage,
  now: Millis,
): void {
  let replies = state.replies.get(device);
  if (replies === undefined) {
    replies = new Map();
    state.replies.set(device, replies);
  }
  for (const [key, reply] of replies) {
    if (now < later(reply.at, REPLY_KEPT) && replies.size < MAX_REPLIES) break;
    replies.delete(key);
  }
  replies.set(toHex(requestId), { message, at: now });
}

const REPLY_KEPT = seconds(60);
const MAX_REPLIES = 64;

export function remembered(
  state: ManagerState,
  device: DeviceId,
  requestId: Uint8Array,
  now: Millis,
): ChannelMessage | null {
  const reply = state.replies.get(device)?.get(toHex(requestId));
  return reply !== undefined && now < later(reply.at, REPLY_KEPT) ? reply.message : null;
}
