/**
 * Two devices of a town that talk: a caller and a callee, what they say and hear, what went over the wire meanwhile.
 */
import assert from 'node:assert/strict';
import { endSession, sayBye, sendData } from '../device-agent/sessions.ts';
import type { Session } from '../device-agent/state.ts';
import { sendTo } from '../manager/outbox.ts';
import { decodeUtf8, encodeUtf8, toHex } from '../protocol/bytes.ts';
import type { ChannelMessage, MessageOf } from '../protocol/messages.ts';
import type { Suite } from '../protocol/suites.ts';
import type { DeviceId } from '../protocol/units.ts';
import { town } from './town.ts';
import type { DeviceWishes, Packet, Town, TownDevice, TownWishes } from './town-plan.ts';

export interface Couple {
  readonly town: Town;
  readonly caller: TownDevice;
  readonly callee: TownDevice;
}

export interface CoupleWishes {
  readonly town?: TownWishes;
  readonly caller?: DeviceWishes;
  readonly callee?: DeviceWishes;
}

/** `router` and `tv`, logged in and registered, no session yet. */
export function couple(wishes: CoupleWishes = {}): Couple {
  const place = town(wishes.town);
  return { town: place, caller: place.add('router', wishes.caller), callee: place.add('tv', wishes.callee) };
}

/** A couple with one open session. */
export function talking(wishes: CoupleWishes = {}): Couple & { readonly sid: string } {
  const pair = couple(wishes);
  return { ...pair, sid: connect(pair) };
}

/** @returns the sid of the session that is open on both sides now */
export function connect({ town, caller, callee }: Couple, name = callee.id as string): string {
  const key = caller.call(name);
  town.flush();
  const opened = caller.news.find((news) => news.news === 'sessionOpened' && news.call === key);
  assert.ok(opened?.news === 'sessionOpened', `the call opened no session: ${JSON.stringify(caller.news.at(-1))}`);
  assert.equal(callee.state.sessions.get(opened.sid)?.state.name, 'open', 'and the callee has it open too');
  return opened.sid;
}

export function session(device: TownDevice, sid: string): Session {
  const found = device.state.sessions.get(sid);
  assert.ok(found, `${device.id} holds no session ${sid}`);
  return found;
}

/** @returns the fault, or null */
export function say(device: TownDevice, sid: string, text: string): string | null {
  let fault: string | null = null;
  device.run((state, world) => {
    fault = sendData(state, sid, encodeUtf8(text), world);
  });
  return fault;
}

export const heard = (device: TownDevice): string[] =>
  device.news.flatMap((news) => (news.news === 'received' ? [decodeUtf8(news.payload)] : []));

/** Both say something that the other has not heard yet, and hear it. */
export function assertTalks({ town, caller, callee }: Couple, sid: string): void {
  const word = toHex(caller.crypto.random(6));
  assert.equal(say(caller, sid, `to ${word}`), null);
  assert.equal(say(callee, sid, `back ${word}`), null);
  town.flush();
  assert.deepEqual([heard(callee).at(-1), heard(caller).at(-1)], [`to ${word}`, `back ${word}`]);
}

export function end(device: TownDevice, sid: string): void {
  device.run((state, world) => endSession(state, sid, 'done', world));
}

export function bye(device: TownDevice, sid: string): void {
  device.run((state, world) => sayBye(state, sid, 'done', world));
}

/** How a device's last session ended: `done by caller`. */
export function ending(device: TownDevice): string {
  const news = device.latest('sessionClosed');
  return news === undefined ? 'not ended' : `${news.reason} by ${news.closedBy}`;
}

export const refusal = (device: TownDevice): string | undefined => device.latest('callFailed')?.reason;

/** What may be met on the wire between Connect and the open session. */
export type Leg = 'Connect' | 'Ask' | 'Answer' | 'grant to the callee' | 'grant to the caller' | 'Hello' | 'Hello back';

/**
 * Does something to one message of the next connect, chosen by its place: the n-th that its sender says on that topic.
 * @param change the payloads that pass in its place
 */
export function meddle({ town, caller, callee }: Couple, leg: Leg, change: (packet: Packet) => readonly Uint8Array[]) {
  const { topics } = town.manager.settings;
  const device = (id: typeof caller.id) => topics.toDevice({ kind: 'device', id });
  const [topic, place] = {
    Connect: [topics.toManager({ kind: 'device', id: caller.id }), 1],
    Ask: [device(callee.id), 1],
    Answer: [topics.toManager({ kind: 'device', id: callee.id }), 1],
    'grant to the callee': [device(callee.id), 2],
    'grant to the caller': [device(caller.id), 1],
    Hello: [topics.peer(callee.id, caller.id), 1],
    'Hello back': [topics.peer(caller.id, callee.id), 1],
  }[leg] as [string, number];
  let seen = 0;
  town.meddler = (packet) => (packet.topic === topic && ++seen === place ? change(packet) : 'pass');
}

export const LEGS: readonly Leg[] = [
  'Connect',
  'Ask',
  'Answer',
  'grant to the callee',
  'grant to the caller',
  'Hello',
  'Hello back',
];

/** Whether these bytes stand in that text: a search through everything that passed. */
export const onTheWire = (packets: readonly Packet[], text: string): boolean =>
  packets.some(({ payload }) => Buffer.from(payload).includes(text));

/** The Connect of `device` gets lost on its way; a lying manager may answer it. @returns the call's nonce */
export function unansweredCall({ town, caller, callee }: Couple, wish: Parameters<TownDevice['call']>[1] = {}) {
  town.meddler = ({ from, topic }) => (from === caller.id && topic.includes('/m/') ? [] : 'pass');
  const key = caller.call(callee.id, wish);
  town.flush();
  town.meddler = () => 'pass';
  return caller.state.calls.get(key)!.nonceA;
}

/** What a lying manager says on its channel to a device. */
export function managerSays(place: Town, to: DeviceId, messages: readonly ChannelMessage[]): void {
  place.runManager((state) => {
    sendTo(state, to, messages, place.world());
  });
  place.flush();
}

/** A grant as an honest manager would write it for `reader`; what a test changes stands in `lies`. */
export function grantFor(
  { town, caller, callee }: Couple,
  role: 'caller' | 'callee',
  lies: Partial<MessageOf<'Grant'>>,
): MessageOf<'Grant'> {
  const [reader, peer] = role === 'caller' ? [caller, callee] : [callee, caller];
  const registration = town.manager.registrations.get(peer.id)!;
  return {
    kind: 'Grant',
    sid: new Uint8Array(8).fill(7),
    role,
    epoch: 0,
    peer: peer.id,
    peerLeaf: peer.state.leafHash,
    peerRegistration: registration.hash,
    suite: GCM_128,
    keyMode: 'seed',
    secret: new Uint8Array(32).fill(9),
    nonceA: new Uint8Array(16).fill(1),
    nonceB: new Uint8Array(16).fill(2),
    lifetime: 3600,
    addresses: [],
    route: undefined,
    version: reader.state.registration.acknowledged!.version,
    ...lies,
  };
}

export const GCM_128: Suite = { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 };
