/**
 * What a payload is, for the trace: the kind of its frame, and of a record the messages inside, which its sender sealed
 * in the same step.
 */
import { toHex } from '../protocol/bytes.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { decodeFrame } from '../protocol/frame.ts';
import { brokerRequests, type ChannelMessage, channelMessages, sessionMessages } from '../protocol/messages.ts';
import { readRecordHead } from '../protocol/record-head.ts';
import type { Topics } from '../protocol/topics.ts';
import type { Topic } from '../protocol/units.ts';
import type { Sealing } from './crypto-tap.ts';

export interface MessageName {
  readonly type: string;
  /** Hex of session ids and call nonces. */
  readonly about: readonly string[];
}

export interface Outgoing {
  readonly topic: Topic;
  readonly payload: Uint8Array;
}

export interface MessageNames {
  /**
   * Names everything that one step of one party sends.
   * @param sealings  what was sealed in it
   * @param sidOf     of a record to a peer: the session that it belongs to
   */
  name(
    outgoing: readonly Outgoing[],
    sealings: readonly Sealing[],
    sidOf: (peer: string, route: number | null) => string | null,
  ): readonly MessageName[];
}

const plain = (type: string): MessageName => ({ type, about: [] });

export function messageNames(topics: Topics): MessageNames {
  /** A record may be sent again as it is, long after it was sealed. */
  const known = new WeakMap<Uint8Array, MessageName>();

  const nameOne = (
    { topic, payload }: Outgoing,
    sealings: readonly Sealing[],
    sidOf: (peer: string, route: number | null) => string | null,
  ): MessageName => {
    const place = topics.parse(topic);
    if (place?.kind === 'verifier-question') return plain('question');
    if (place?.kind === 'verifier-answer') return plain('judgement');
    if (place?.kind === 'control-request') return plain(brokerRequests.decode(payload).kind);
    const frame = decodeFrame(payload);
    if (frame.kind !== 'record') return plain(frame.kind);
    const sealing = sealings.find(({ sealed }) => endsWith(payload, sealed));
    if (place?.kind === 'peer')
      return nameOfPeerRecord(payload, sealing, sidOf(place.to, readRecordHead(payload).route));
    const name =
      sealing === undefined ? (known.get(payload) ?? plain('record')) : nameOfChannelRecord(sealing.plaintext);
    known.set(payload, name);
    return name;
  };

  return {
    name(outgoing, sealings, sidOf) {
      const names = outgoing.map((one) => nameOne(one, sealings, sidOf));
      // what the manager tells the broker of a pair belongs to the sessions that the same step is about
      const about = [...new Set(names.flatMap((one) => one.about))];
      return names.map((one) => (one.type === 'Allow' || one.type === 'Forbid' ? { ...one, about } : one));
    },
  };
}

function nameOfPeerRecord(record: Uint8Array, sealing: Sealing | undefined, sid: string | null): MessageName {
  const about = sid === null ? [] : [sid];
  if (readRecordHead(record).type === 'data') return { type: 'data', about };
  return { type: sealing === undefined ? 'control' : sessionMessages.decode(sealing.plaintext).kind, about };
}

function nameOfChannelRecord(plaintext: Uint8Array): MessageName {
  const messages = channelMessages.decodeAll(plaintext);
  return { type: messages.map(({ kind }) => kind).join('+'), about: messages.flatMap(aboutOf) };
}

/** What rides along says nothing about the record that it rides on. */
function aboutOf(message: ChannelMessage): string[] {
  switch (message.kind) {
    case 'Connect':
      return [toHex(message.nonceA)];
    case 'Ask':
    case 'Grant':
      return [toHex(message.sid), toHex(message.nonceA)];
    case 'Answer':
    case 'End':
    case 'EndOk':
      return [toHex(message.sid)];
    case 'Denied':
      return [toHex(message.requestId)];
    default:
      return [];
  }
}

const COMPARED_BYTES = 8;

/** The tag decides. */
function endsWith(record: Uint8Array, sealed: Uint8Array): boolean {
  if (sealed.length > record.length) return false;
  for (let i = 1; i <= COMPARED_BYTES; i++) if (record[record.length - i] !== sealed[sealed.length - i]) return false;
  return true;
}

/** Names a payload that somebody else made, from its first byte alone. */
export function outwardName(payload: Uint8Array): string {
  try {
    return decodeFrame(payload).kind;
  } catch (error) {
    if (error instanceof ProtocolError) return 'garbage';
    throw error;
  }
}
