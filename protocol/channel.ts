/**
 * The secured link between a device and the manager once it is open: messages in records, and the close in three
 * messages (design §5.2, patent 1312–1328). How it came about is told by login.ts and resumption.ts.
 */
import { encodeUtf8, wipe } from './bytes.ts';
import type { Crypto } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import { deriveContext } from './key-schedule.ts';
import type { Reason } from './message-values.ts';
import { type ChannelMessage, channelMessages } from './messages.ts';
import {
  FIRST_ID,
  makeRecordContext,
  openRecord,
  type RecordContext,
  SECOND_ID,
  sealRecord,
  wipeContext,
} from './record.ts';
import { AUTHENTICATE_ONLY_SUITE, CHANNEL_SUITES, resolveSuite, type Suite } from './suites.ts';

/** Where a channel's keys start from, whether EDHOC or a resumption gave it. */
export interface ChannelKeys {
  readonly masterSecret: Uint8Array;
  readonly masterSalt: Uint8Array;
  /** Number in the channel suite table. */
  readonly suite: number;
  readonly authenticateOnly: boolean;
  /** Of the exchange: who sent its first message. */
  readonly role: 'initiator' | 'responder';
  /** Parity tells two channels of one device apart while one follows the other. */
  readonly generation: number;
}

/** [patent 1316–1328] `closing`: we asked; `agreeing`: we permitted and asked back. */
export type ChannelState =
  | { readonly name: 'open' }
  | { readonly name: 'closing'; readonly reason: Reason }
  | { readonly name: 'agreeing'; readonly reason: Reason }
  | { readonly name: 'closed'; readonly reason: Reason };

/** Owned by one machine: sealing and opening move the counters inside `records`. */
export interface Channel {
  readonly records: RecordContext;
  /** 32 bytes that both ends of this channel have, and nobody else: what a user signs to be here. */
  readonly binding: Uint8Array;
  readonly authenticateOnly: boolean;
  readonly suite: Suite;
  state: ChannelState;
}

/** What may travel on a channel that only authenticates: never a grant, a user or a key (P8). */
const AUTHENTICATE_ONLY_KINDS: ReadonlySet<ChannelMessage['kind']> = new Set([
  'Permit',
  'Register',
  'Registered',
  'Delete',
  'Done',
  'Denied',
  'Probe',
  'Present',
  'Close',
  'CloseOk',
]);

const BINDING_LABEL = encodeUtf8('kagimori channel binding 1');
const BINDING_BYTES = 32;

/** @returns a channel in state open; wipes the master secret */
export function openChannel(crypto: Crypto, keys: ChannelKeys): Channel {
  const suite = keys.authenticateOnly ? AUTHENTICATE_ONLY_SUITE : CHANNEL_SUITES[keys.suite];
  const algorithm = suite === undefined ? null : resolveSuite(suite);
  if (suite === undefined || algorithm === null) throw new RangeError(`channel suite ${keys.suite}`);
  const [senderId, recipientId] = keys.role === 'initiator' ? [FIRST_ID, SECOND_ID] : [SECOND_ID, FIRST_ID];
  const { masterSecret, masterSalt } = keys;
  const input = { algorithm, masterSecret, masterSalt, idContext: null, senderId, recipientId };
  const records = makeRecordContext({
    algorithm,
    keys: deriveContext(crypto, input),
    senderId,
    recipientId,
    epochBit: (keys.generation & 1) as 0 | 1,
    route: null,
    transcript: null,
  });
  const prk = crypto.hkdfExtract('sha-256', masterSalt, masterSecret);
  const binding = crypto.hkdfExpand('sha-256', prk, BINDING_LABEL, BINDING_BYTES);
  wipe(prk, masterSecret);
  return { records, binding, authenticateOnly: keys.authenticateOnly, suite, state: { name: 'open' } };
}

/** Seals messages into one record. @throws ProtocolError unexpected when the context is used up */
export function sealMessages(crypto: Crypto, channel: Channel, messages: readonly ChannelMessage[]): Uint8Array {
  for (const message of messages) refuseKind(channel, message);
  const plaintext = channelMessages.encodeAll(messages);
  const record = sealRecord(crypto, channel.records, 'data', plaintext);
  plaintext.fill(0);
  return record;
}

/**
 * Opens a record.
 * @throws ProtocolError badMac | replayed | malformed | tooLarge; the channel survives all of them
 */
export function openMessages(crypto: Crypto, channel: Channel, record: Uint8Array): ChannelMessage[] {
  const { plaintext } = openRecord(crypto, channel.records, record);
  const messages = channelMessages.decodeAll(plaintext);
  for (const message of messages) refuseKind(channel, message);
  return messages;
}

/** Whether the message may travel on this channel at all. */
export function carries(channel: Channel, message: ChannelMessage): boolean {
  return !channel.authenticateOnly || AUTHENTICATE_ONLY_KINDS.has(message.kind);
}

function refuseKind(channel: Channel, message: ChannelMessage): void {
  if (!carries(channel, message)) {
    throw new ProtocolError('unexpected', `${message.kind} on a channel that only authenticates`);
  }
}

/** [patent 1316] @returns what to send */
export function requestClose(channel: Channel, reason: Reason): ChannelMessage[] {
  if (channel.state.name !== 'open') return [];
  channel.state = { name: 'closing', reason };
  return [{ kind: 'Close', reason }];
}

/**
 * Takes one of the close messages and moves the state; `closed` when it is over.
 * @returns what to send
 */
export function receiveClose(channel: Channel, message: ChannelMessage): ChannelMessage[] {
  const { state } = channel;
  if (message.kind === 'Close') {
    // [patent 1320] permits and asks; where both asked at once, each permits and waits for the other's permission
    const crossed = state.name === 'closing';
    channel.state = { name: 'agreeing', reason: crossed ? state.reason : message.reason };
    return [crossed ? { kind: 'CloseOk' } : { kind: 'CloseOk', ask: true }];
  }
  if (message.kind !== 'CloseOk' || (state.name !== 'closing' && state.name !== 'agreeing')) return [];
  channel.state = { name: 'closed', reason: state.reason };
  return message.ask === true ? [{ kind: 'CloseOk' }] : []; // [patent 1324]
}

export function wipeChannel(channel: Channel): void {
  wipeContext(channel.records);
  wipe(channel.binding);
}
