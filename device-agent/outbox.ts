/**
 * What the agent sends: frames to the manager, messages on the channel or waiting for it, records to peers; every payload
 * is charged to what it was for.
 */
import { approvalTopic } from '../protocol/approval-topics.ts';
import { type Channel, sealMessages } from '../protocol/channel.ts';
import { schedule } from '../protocol/deadlines.ts';
import { type ExchangeKind, encodeFrame } from '../protocol/frame.ts';
import type { ChannelMessage } from '../protocol/messages.ts';
import { encodeId } from '../protocol/topics.ts';
import { type DeviceId, type LinkId, later, seconds, Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { Cost } from './cost.ts';
import type { LogFields, News } from './effects.ts';
import type { AgentSettings, AgentState } from './state.ts';

const MAX_WAITING = 256;

export function publish(state: AgentState, topic: Topic, payload: Uint8Array, cost: Cost | null, qos: 0 | 1 = 1): void {
  state.out.push({ type: 'publish', topic, payload, qos });
  if (cost === null) return;
  cost.sent++;
  cost.bytes += payload.length;
}

/** The topic to the manager: as the device once it has spoken to us as such, as the link before. */
export function managerTopic(state: AgentState): Topic | null {
  if (state.link === null) return null;
  const { topics } = state.settings;
  return topics.toManager(state.promoted ? { kind: 'device', id: state.id } : { kind: 'link', link: state.link });
}

/** What a link reads from its beginning; our own broker adds the device's topics once the manager knows whose it is. */
export function inboxes(
  { topics, broker, hearsApprovers }: AgentSettings,
  id: DeviceId,
  link: LinkId,
): readonly Topic[] {
  if (broker !== 'outside') return [topics.toDevice({ kind: 'link', link })];
  const own = [topics.toDevice({ kind: 'device', id }), Topic(`${topics.root}/p/${encodeId(id)}/+`)];
  return hearsApprovers === true ? [...own, approvalTopic(id, 'answer')] : own;
}

export function sendExchange(
  state: AgentState,
  kind: ExchangeKind,
  exchange: Uint8Array,
  body: Uint8Array,
  cost: Cost,
): Uint8Array {
  const frame = encodeFrame(kind, exchange, body);
  const topic = managerTopic(state);
  if (topic !== null) publish(state, topic, frame, cost);
  return frame;
}

/** Seals messages into one record, with what rides along. @returns false when there is no open channel */
export function sendOnChannel(
  state: AgentState,
  messages: readonly ChannelMessage[],
  cost: Cost | null,
  world: World,
): boolean {
  const topic = managerTopic(state);
  const channel = state.channel?.channel;
  if (channel === undefined || topic === null || messages.length === 0) return false;
  const record = sealMessages(world.crypto, channel, [...messages, ...takeRiding(state, channel)]);
  publish(state, topic, record, cost);
  log(state, 'debug', 'message.sent', {
    to: 'manager',
    kinds: messages.map((m) => m.kind).join('+'),
    bytes: record.length,
  });
  return true;
}

const MAX_RIDING = 8;
/** So long a message waits for another one to ride on. */
const RIDES_WITHIN = seconds(30);

/** Goes out with the next record; what the manager has to know goes by itself when there is none for a while. */
export function ride(state: AgentState, messages: readonly ChannelMessage[], world: World): void {
  state.riding.push(...messages);
  const urgent = messages.some(({ kind }) => kind !== 'Up');
  if (urgent && !state.deadlines.current.has('ride')) schedule(state.deadlines, 'ride', later(world.now, RIDES_WITHIN));
}

/** Without a channel it goes out with the next one. */
export function rideOverdue(state: AgentState, world: World): void {
  if (state.channel === null || state.channel.channel.authenticateOnly || state.riding.length === 0) return;
  sendOnChannel(state, state.riding.splice(0, 1), null, world);
  if (state.riding.some(({ kind }) => kind !== 'Up')) schedule(state.deadlines, 'ride', later(world.now, RIDES_WITHIN));
}

/** What has no message of its own; never on a channel that only authenticates. */
function takeRiding(state: AgentState, channel: Channel): ChannelMessage[] {
  return channel.authenticateOnly ? [] : state.riding.splice(0, MAX_RIDING);
}

/** What came in is charged to what it was for; one payload once. */
export function chargeReceived(state: AgentState, cost: Cost, bytes: number): void {
  state.charged = cost;
  if (bytes === 0) return;
  cost.received++;
  cost.bytes += bytes;
}

/** Waits for the channel when there is none. */
export function sendWhenOpen(state: AgentState, message: ChannelMessage, cost: Cost | null, world: World): boolean {
  if (sendOnChannel(state, [message], cost, world)) return true;
  if (state.waiting.length < MAX_WAITING) state.waiting.push(message);
  return false;
}

export function save(state: AgentState, content: Uint8Array | null): number {
  const number = state.nextSave++;
  state.out.push({ type: 'save', number, content });
  return number;
}

/** The link is given back for a while. */
export function rest(state: AgentState, forMs: number): void {
  state.out.push({ type: 'rest', forMs });
}

export function tell(state: AgentState, news: News): void {
  state.out.push({ type: 'tell', news });
}

export function log(
  state: AgentState,
  level: 'debug' | 'info' | 'warn' | 'error',
  event: string,
  fields: LogFields = {},
): void {
  state.out.push({ type: 'log', level, event, fields });
}

const SAY_AGAIN = seconds(3600);

/** Why the manager does not let this device in: an error once, and once an hour while it stays so. */
export function logDenial(state: AgentState, event: string, reason: string, fields: LogFields, { now }: World): void {
  const said = state.deniedSaid;
  const isNews = said === null || said.reason !== reason || now - said.at >= SAY_AGAIN;
  if (isNews) state.deniedSaid = { reason, at: now };
  log(state, isNews ? 'error' : 'debug', event, fields);
}
