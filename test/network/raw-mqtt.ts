/**
 * MQTT 3.1.1 as bytes, for packets that no library would write, and what a client of bytes may never bring about.
 * @spec MQTT 3.1.1 §2, §3
 */
import type { TestContext } from 'node:test';
import type { Packet } from 'mqtt-packet';
import type { DeviceId, LinkId } from '../../protocol/units.ts';
import {
  bytes,
  joinDevice,
  joinManager,
  type ManagerParty,
  newClientId,
  type Party,
  type RawClient,
  type Rig,
  rawClient,
  text,
  until,
} from './broker-rig.ts';

/** Table 2.1 */
export const KIND = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
} as const;

export const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);
export const field = (value: string | Uint8Array): Buffer => {
  const content = Buffer.from(value);
  return Buffer.concat([u16(content.length), content]);
};

/** @param length  the announced remaining length, when it is not the real one */
export function packet(kind: number, flags: number, body: Uint8Array = Buffer.alloc(0), length = body.length): Buffer {
  const head = [(kind << 4) | flags];
  let rest = length;
  do {
    head.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Buffer.concat([Buffer.from(head), body]);
}

export interface ConnectFields {
  readonly name?: string;
  readonly level?: number;
  /** 2: clean session. */
  readonly flags?: number;
  /** What follows the client id. */
  readonly rest?: readonly Uint8Array[];
}

export function connect(
  clientId: string | Uint8Array,
  { name = 'MQTT', level = 4, flags = 2, rest = [] }: ConnectFields = {},
): Buffer {
  const head = [field(name), Buffer.from([level, flags]), u16(60), field(clientId)];
  return packet(KIND.connect, 0, Buffer.concat([...head, ...rest]));
}

export function publish(topic: string | Uint8Array, payload: string | Uint8Array, flags = 0, id = 5): Buffer {
  const qos = (flags >> 1) & 3;
  return packet(
    KIND.publish,
    flags,
    Buffer.concat([field(topic), ...(qos > 0 ? [u16(id)] : []), Buffer.from(payload)]),
  );
}

export function subscribe(filters: readonly (string | Uint8Array)[], qos = 1, id = 7): Buffer {
  const wanted = filters.flatMap((filter) => [field(filter), Buffer.from([qos])]);
  return packet(KIND.subscribe, 2, Buffer.concat([u16(id), ...wanted]));
}

export const unsubscribe = (filters: readonly (string | Uint8Array)[], id = 8): Buffer =>
  packet(KIND.unsubscribe, 2, Buffer.concat([u16(id), ...filters.map(field)]));

export const ack = (kind: number, id: number, flags = kind === KIND.pubrel ? 2 : 0): Buffer =>
  packet(kind, flags, u16(id));

/** Where a link stands when it misbehaves. */
export const STAGES = ['before CONNECT', 'before login', 'as a device'] as const;
export type Stage = (typeof STAGES)[number];

export interface Case {
  readonly name: string;
  readonly stage: Stage;
  /** What it sends, knowing its client id. */
  readonly send: (link: string) => Uint8Array | readonly Uint8Array[];
  /**
   * closed: the connection ends, and nothing but CONNACKs came; stays: it lives on, and these packets came; either: no
   * matter, as long as nobody else notices.
   */
  readonly expect: 'closed' | 'either' | readonly string[];
}

export interface Town {
  readonly manager: ManagerParty;
  /** Sends the case's bytes, then looks at everybody else. @returns what went wrong, in sentences */
  examine(cases: readonly Case[]): Promise<readonly string[]>;
}

export const DEVICE_A = 'router-1' as DeviceId;
export const DEVICE_B = 'phone-1' as DeviceId;
/** To what a bad link would like to listen, and where it would like to speak. */
const OTHERS = new RegExp(`^km1/(?:m|d)/(?:${DEVICE_A}|${DEVICE_B})$|^km1/[pvc]/|^\\$|^kagimori`);

/** Manager, two devices with a session, and one link that is about to log in: all of them honest. */
export async function honestTown(rig: Rig, t: TestContext): Promise<Town> {
  const { topics } = rig.broker;
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, DEVICE_A);
  const b = await joinDevice(rig, t, manager, DEVICE_B);
  manager.order({ kind: 'Allow', pairs: [{ a: DEVICE_A, b: DEVICE_B }] });
  const households = rig.broker.counters.links;
  let round = 0;
  let devices = 0;

  /** Words from everybody to everybody: all that was under way before has arrived when they have. */
  const talk = async (complaints: string[]): Promise<void> => {
    const word = `round ${++round}`;
    a.transport.publish(topics.peer(DEVICE_B, DEVICE_A), bytes(word), 1);
    b.transport.publish(topics.toManager({ kind: 'device', id: DEVICE_B }), bytes(word), 1);
    manager.transport.publish(topics.toDevice({ kind: 'device', id: DEVICE_A }), bytes(word), 1);
    const has = (party: Party) => party.got.some(({ payload }) => text(payload) === word);
    await until(() => has(a) && has(b) && has(manager), 'honest words arrive');
    for (const [who, party] of [[DEVICE_A, a] as const, [DEVICE_B, b] as const]) {
      const strange = party.got.filter(({ payload }) => text(payload) !== word);
      for (const { topic, payload } of strange) complaints.push(`${who} read on ${topic}: ${text(payload)}`);
      if (party.downs.length > 0) complaints.push(`${who} lost its link: ${party.downs}`);
      party.got.length = 0;
    }
    for (const { topic, payload } of manager.got) {
      const known = topic === topics.controlReports || text(payload) === word;
      if (!known && OTHERS.test(topic)) complaints.push(`the manager read on ${topic}: ${text(payload)}`);
    }
    if (manager.downs.length > 0) complaints.push(`the manager lost its link: ${manager.downs}`);
    manager.got.length = 0;
  };

  return {
    manager,
    async examine(cases) {
      const complaints: string[] = [];
      const culprits = await Promise.all(
        cases.map(async (one) => {
          const device = `guest-${++devices}` as DeviceId;
          return { one, device, ...(await enter(rig, t, manager, one.stage, device)) };
        }),
      );
      for (const { one, raw, link } of culprits) {
        for (const piece of [one.send(link)].flat()) raw.socket.write(piece as Uint8Array);
      }
      const judged = await Promise.all(culprits.map(({ one, raw, before }) => judge(one, raw, before)));
      complaints.push(...judged.flat());
      await talk(complaints);
      for (const { raw } of culprits) raw.socket.destroy();
      await until(() => rig.broker.counters.links === households, 'the links of the culprits are gone');
      const heirs = culprits.map((culprit) => ({ culprit, raw: rawClient(rig.port, t) }));
      for (const { culprit, raw } of heirs) raw.socket.write(connect(culprit.link));
      await until(() => heirs.every(({ raw }) => raw.packets.length > 0 || raw.closed()), 'the heirs have a CONNACK');
      for (const { culprit } of heirs) {
        const places = [
          topics.toDevice({ kind: 'link', link: culprit.link as LinkId }),
          topics.toDevice({ kind: 'device', id: culprit.device }),
        ];
        for (const place of places) manager.transport.publish(place, bytes(`for the first ${culprit.link}`), 1);
      }
      await talk(complaints);
      for (const { raw } of heirs) raw.socket.write(packet(KIND.pingreq, 0));
      await until(() => heirs.every(({ raw }) => raw.packets.length > 1 || raw.closed()), 'the heirs have a PINGRESP');
      for (const { culprit, raw } of heirs) {
        const read = heirloom(raw.packets);
        if (read !== null) complaints.push(`${culprit.one.name}: who comes next with that client id reads: ${read}`);
        raw.socket.destroy();
      }
      await until(() => rig.broker.counters.links === households, 'the heirs are gone');
      return complaints;
    },
  };
}

/** @returns what a link has got that was only connected and asked for a PINGRESP, or null when it is nothing else */
export function heirloom(packets: readonly Packet[]): string | null {
  const [connack] = packets;
  const fresh = connack?.cmd === 'connack' && connack.returnCode === 0 && !connack.sessionPresent;
  const read = packets.map(({ cmd }) => cmd).join(' ');
  return fresh && read === 'connack pingresp' ? null : `${read}${fresh ? '' : ', an older session'}`;
}

/** @returns the connection at that stage, and how many packets it has read on its way there */
async function enter(
  rig: Rig,
  t: TestContext,
  manager: ManagerParty,
  stage: Stage,
  device: DeviceId,
): Promise<{ raw: RawClient; link: string; before: number }> {
  const raw = rawClient(rig.port, t);
  const link = newClientId();
  if (stage === 'before CONNECT') return { raw, link, before: 0 };
  raw.socket.write(connect(link));
  await until(() => raw.packets.length === 1, 'CONNACK');
  if (stage === 'before login') return { raw, link, before: 1 };
  const { topics } = rig.broker;
  manager.order({ kind: 'Promote', link: link as LinkId, device });
  manager.transport.publish(topics.toDevice({ kind: 'device', id: device }), bytes('promoted'), 1);
  await until(() => raw.packets.length === 2, 'promoted');
  return { raw, link, before: 2 };
}

async function judge({ name, stage, expect }: Case, raw: RawClient, before: number): Promise<readonly string[]> {
  const read = (): string => raw.packets.slice(before).map(describe).join(' ');
  const what = `${name}, ${stage}`;
  if (expect === 'either') {
    raw.socket.end();
    await until(raw.closed, `${what}: the end of its stream ends it`);
    return [];
  }
  if (expect === 'closed') {
    // whoever answers this has not closed
    raw.socket.write(packet(KIND.pingreq, 0));
    await happens(() => raw.closed() || raw.packets.at(-1)?.cmd === 'pingresp');
    if (!raw.closed()) return [`${what}: still open, and read: ${read()}`];
    return /^(?:connack:[0-5])?$/.test(read()) ? [] : [`${what}: was answered: ${read()}`];
  }
  await happens(() => raw.closed() || raw.packets.length - before >= expect.length);
  if (raw.closed()) return [`${what}: closed, after ${read()}`];
  // answered in order: whatever else there was to say has been said before this
  raw.socket.write(packet(KIND.pingreq, 0));
  await happens(() => raw.closed() || raw.packets.length - before > expect.length);
  return read() === [...expect, 'pingresp'].join(' ') ? [] : [`${what}: closed=${raw.closed()}, read: ${read()}`];
}

function describe(one: Packet): string {
  if (one.cmd === 'connack') return `connack:${one.returnCode}`;
  if (one.cmd === 'suback') return `suback:${one.granted.join(',')}`;
  return one.cmd;
}

const happens = (condition: () => boolean): Promise<boolean> =>
  until(condition, '').then(
    () => true,
    () => false,
  );
