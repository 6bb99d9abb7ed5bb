/**
 * Every kind of MQTT 3.1.1 packet at the raw socket, right, wrong, cut and mutated: refused or ignored, the broker lives,
 * honest links do not notice, and nothing of a bad link is on another one. @spec MQTT 3.1.1, design §5.1
 */
import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Aedes } from 'aedes';
import type { DeviceId } from '../../protocol/units.ts';
import { newClientId, rawClient, startRig, until } from './broker-rig.ts';
import {
  ack,
  type Case,
  connect,
  DEVICE_A,
  field,
  heirloom,
  honestTown,
  KIND,
  packet,
  publish,
  STAGES,
  type Stage,
  subscribe,
  u16,
  unsubscribe,
} from './raw-mqtt.ts';

/** Nothing is to be refused for its number here. */
const LIMITS = {
  newPerAddress: 10_000,
  newAltogether: 10_000,
  newPerSecond: 1_000_000,
  loginMessagesPerSecond: 1_000_000,
  messagesBeforeLogin: 10_000,
  subscriptions: 10_000,
};
const AT_ONCE = 32;
const own = (link: string): string => `km1/m/~${link}`;
const inbox = (link: string): string => `km1/d/~${link}`;
const nul = Buffer.from([0x6b, 0x00, 0x6b]);
const surrogate = Buffer.from([0x6b, 0xed, 0xa0, 0x80]);
const overlong = Buffer.from([0x6b, 0xc0, 0xaf]);
const LIVING = ['before login', 'as a device'] as const;

async function examineAll(t: TestContext, cases: readonly Case[]): Promise<void> {
  const rig = await startRig(t, LIMITS);
  const town = await honestTown(rig, t);
  const complaints: string[] = [];
  for (let at = 0; at < cases.length; at += AT_ONCE) {
    complaints.push(...(await town.examine(cases.slice(at, at + AT_ONCE))));
  }
  assert.deepEqual(complaints, []);
}

/** Where each row is tried, beside what is the same for all. */
const at = (stages: readonly Stage[], rows: readonly (readonly [string, Case['send'], Case['expect']])[]): Case[] =>
  rows.flatMap(([name, send, expect]) => stages.map((stage) => ({ name, stage, send, expect })));

/** Table 2.2: the flags that a client may set, and what Aedes answers. Everything else ends the connection. */
const ANSWERS: ReadonlyMap<number, readonly string[]> = new Map([
  [(KIND.publish << 4) | 0, []],
  [(KIND.publish << 4) | 2, ['puback']],
  [(KIND.publish << 4) | 10, ['puback']],
  [(KIND.puback << 4) | 0, []],
  [(KIND.subscribe << 4) | 2, ['suback:1']],
  [(KIND.unsubscribe << 4) | 2, ['unsuback']],
  [(KIND.pingreq << 4) | 0, ['pingresp']],
]);

function wellFormed(kind: number, flags: number, link: string): Buffer {
  switch (kind) {
    case KIND.connect:
      return Buffer.concat([Buffer.from([(kind << 4) | flags]), connect(link).subarray(1)]);
    case KIND.publish:
      return publish(own(link), 'a word', flags);
    case KIND.subscribe:
      return Buffer.concat([Buffer.from([(kind << 4) | flags]), subscribe([inbox(link)]).subarray(1)]);
    case KIND.unsubscribe:
      return Buffer.concat([Buffer.from([(kind << 4) | flags]), unsubscribe([inbox(link)]).subarray(1)]);
    case KIND.pingreq:
    case KIND.pingresp:
    case KIND.disconnect:
      return packet(kind, flags);
    case KIND.connack:
      return packet(kind, flags, Buffer.from([0, 0]));
    case KIND.suback:
      return packet(kind, flags, Buffer.from([0, 7, 1]));
    default:
      return packet(kind, flags, u16(5));
  }
}

test('[B1] MQTT 3.1.1 §2.2: every packet kind with every flag, at every stage of a link', async (t) => {
  const cases = Array.from({ length: 256 }, (_, head) =>
    STAGES.map((stage): Case => {
      const answer = stage === 'before CONNECT' ? undefined : ANSWERS.get(head);
      // a device's own topic differs from that of its link: a refused subscription, a message left out
      const expect = stage === 'as a device' && head === 0x82 ? ['suback:1'] : answer;
      return {
        name: `kind ${head >> 4}, flags ${head & 15}`,
        stage,
        send: (link) => wellFormed(head >> 4, head & 15, link),
        expect: expect ?? 'closed',
      };
    }),
  ).flat();
  // the one thing that a client must begin with
  const others = cases.filter(({ name, stage }) => !(name === 'kind 1, flags 0' && stage === 'before CONNECT'));
  assert.equal(others.length, 3 * 256 - 1);
  await examineAll(t, others);
});

const CONNECTS = at(
  ['before CONNECT'],
  [
    ['CONNECT as it should be', (link) => connect(link), ['connack:0']],
    ['protocol name MQIsdp of 3.1', (link) => connect(link, { name: 'MQIsdp', level: 3 }), 'closed'],
    ['protocol name MQIsdp, level 4', (link) => connect(link, { name: 'MQIsdp' }), 'closed'],
    ['protocol name mqtt', (link) => connect(link, { name: 'mqtt' }), 'closed'],
    ['protocol name with a byte more', (link) => connect(link, { name: 'MQTTX' }), 'closed'],
    ['no protocol name', (link) => connect(link, { name: '' }), 'closed'],
    ...[0, 1, 2, 3, 5, 6, 127, 128, 131, 132, 133, 255].map(
      (level) => [`level ${level}`, (link: string) => connect(link, { level }), 'closed'] as const,
    ),
    ['the reserved flag', (link) => connect(link, { flags: 3 }), 'closed'],
    ['no clean session', (link) => connect(link, { flags: 0 }), 'closed'],
    ...[0x08, 0x10, 0x18, 0x20, 0x28].map(
      (flags) =>
        [
          `will flags ${flags} without a will`,
          (link: string) => connect(link, { flags: 2 | flags }),
          'closed',
        ] as const,
    ),
    ...[0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c].map(
      (flags) =>
        [
          `a will, flags ${flags}`,
          (link: string) =>
            connect(link, { flags: 2 | flags, rest: [field(`km1/d/${DEVICE_A}`), field('the last word')] }),
          'closed',
        ] as const,
    ),
    ['a will that is announced and absent', (link) => connect(link, { flags: 6 }), 'closed'],
    ['a user name that is announced and absent', (link) => connect(link, { flags: 0x82 }), 'closed'],
    ['a password without a user name', (link) => connect(link, { flags: 0x42, rest: [field('secret')] }), 'closed'],
    ['a user name alone', (link) => connect(link, { flags: 0x82, rest: [field('manager')] }), 'closed'],
    ['a user name with NUL', (link) => connect(link, { flags: 0x82, rest: [field(nul)] }), 'closed'],
    ['an empty client id', () => connect(''), 'closed'],
    ['a client id with NUL', (link) => connect(Buffer.concat([Buffer.from(link.slice(3)), nul])), 'closed'],
    [
      'a client id with a surrogate',
      (link) => connect(Buffer.concat([Buffer.from(link.slice(4)), surrogate])),
      'closed',
    ],
    [
      'a client id in an overlong form',
      (link) => connect(Buffer.concat([Buffer.from(link.slice(3)), overlong])),
      'closed',
    ],
    ['a client id of 65,535 bytes', () => connect('a'.repeat(65_535)), 'closed'],
    ['a client id called __proto__', () => connect('__proto__'), 'closed'],
    ['a client id of 16 times constructor', () => connect('constructor_constructor'), ['connack:0']],
    ['a length of five bytes', () => Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 0x01]), 'closed'],
    ['a length of 256 MiB', () => Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]), 'closed'],
    ['nothing inside', () => packet(KIND.connect, 0), 'closed'],
    ['a length beyond the bytes of its fields', (link) => connect(link, { rest: [Buffer.alloc(4096)] }), 'closed'],
    ['twice in one segment', (link) => Buffer.concat([connect(link), connect(link)]), 'closed'],
    [
      'a will, then words in its name',
      (link) =>
        Buffer.concat([
          connect(link, { flags: 6, rest: [field(`km1/d/${DEVICE_A}`), field('the last word')] }),
          publish(own(link), 'before the answer'),
        ]),
      'closed',
    ],
    [
      'MQTT 5, then a subscription',
      (link) => Buffer.concat([connect(link, { level: 5 }), subscribe([inbox(link)])]),
      'closed',
    ],
  ],
);

const PUBLISHES = at(LIVING, [
  ['QoS 3', (link) => publish(own(link), 'x', 6), 'closed'],
  ['QoS 2', (link) => publish(own(link), 'x', 4), 'closed'],
  ['DUP with QoS 0', (link) => publish(own(link), 'x', 8), 'closed'],
  ['a retained message', (link) => publish(own(link), 'x', 1), 'closed'],
  ['packet id 0', (link) => publish(own(link), 'x', 2, 0), 'closed'],
  ['a topic with +', () => publish('km1/m/+', 'x'), 'closed'],
  ['a topic with #', () => publish('km1/#', 'x'), 'closed'],
  ['an empty topic', () => publish('', 'x'), 'closed'],
  ['a topic with NUL', () => publish(Buffer.concat([Buffer.from('km1/'), nul]), 'x'), 'closed'],
  ['a topic with a surrogate', () => publish(Buffer.concat([Buffer.from('km1/'), surrogate]), 'x'), 'closed'],
  ['a topic in an overlong form', () => publish(Buffer.concat([Buffer.from('km1/'), overlong]), 'x'), 'closed'],
  ['a topic of 65,535 bytes', () => publish('k'.repeat(65_535), ''), 'either'],
  ['a topic longer than the packet', () => packet(KIND.publish, 0, Buffer.from([0, 200, 0x6b])), 'closed'],
  ['no topic', () => packet(KIND.publish, 0), 'closed'],
  ['one byte', () => packet(KIND.publish, 0, Buffer.from([0])), 'closed'],
  ['a topic and no packet id', (link) => packet(KIND.publish, 2, field(own(link))), 'closed'],
  ['a level named __proto__', () => publish('km1/m/__proto__/constructor/x/y/z', 'x'), 'either'],
  ['101 levels', () => publish('k/'.repeat(100), 'x'), 'closed'],
  ['$SYS', () => publish('$SYS/broker/new/clients', DEVICE_A), 'closed'],
  ['where the policy puts what it leaves out', () => publish('$nowhere', 'x'), 'closed'],
  ['a mebibyte', () => packet(KIND.publish, 0, Buffer.alloc(16), 1024 * 1024), 'closed'],
  ['a length of five bytes', () => Buffer.from([0x30, 0x80, 0x80, 0x80, 0x80, 0x01]), 'closed'],
]);

const SUBSCRIPTIONS = at(LIVING, [
  ['SUBSCRIBE without a filter', () => subscribe([]), 'closed'],
  ['SUBSCRIBE without anything', () => packet(KIND.subscribe, 2), 'closed'],
  ['SUBSCRIBE with packet id 0', (link) => subscribe([inbox(link)], 1, 0), 'closed'],
  ['SUBSCRIBE with QoS 3', (link) => subscribe([inbox(link)], 3), 'closed'],
  ['SUBSCRIBE with reserved bits', (link) => subscribe([inbox(link)], 0x81), 'closed'],
  ['SUBSCRIBE with QoS 2', (link) => subscribe([inbox(link)], 2), ['suback:128']],
  ['SUBSCRIBE to a#', () => subscribe(['a#']), 'closed'],
  ['SUBSCRIBE to +a', () => subscribe(['+a']), 'closed'],
  ['SUBSCRIBE to a+', () => subscribe(['a+']), 'closed'],
  ['SUBSCRIBE to #/a', () => subscribe(['#/a']), 'closed'],
  ['SUBSCRIBE to +/+/+', () => subscribe(['+/+/+']), 'closed'],
  ['SUBSCRIBE to an empty filter', () => subscribe(['']), 'closed'],
  ['SUBSCRIBE to NUL', () => subscribe([nul]), 'closed'],
  ['SUBSCRIBE to a surrogate', () => subscribe([surrogate]), 'closed'],
  ['SUBSCRIBE to an overlong form', () => subscribe([overlong]), 'closed'],
  ['SUBSCRIBE to 101 levels', () => subscribe(['k/'.repeat(100)]), 'closed'],
  ['SUBSCRIBE to 64 KiB', () => subscribe(['k'.repeat(65_535)]), 'closed'],
  ['SUBSCRIBE to its own and to all', (link) => subscribe([inbox(link), '#']), 'closed'],
  [
    'SUBSCRIBE without a QoS',
    (link) => packet(KIND.subscribe, 2, Buffer.concat([u16(7), field(inbox(link))])),
    'closed',
  ],
  [
    'SUBSCRIBE to its own a hundred times',
    (link) => Buffer.concat(new Array(100).fill(subscribe([inbox(link)]))),
    'either',
  ],
  ['UNSUBSCRIBE without a filter', () => unsubscribe([]), 'closed'],
  ['UNSUBSCRIBE without anything', () => packet(KIND.unsubscribe, 2), 'closed'],
  ['UNSUBSCRIBE with packet id 0', (link) => unsubscribe([inbox(link)], 0), 'closed'],
  ['UNSUBSCRIBE from an empty filter', () => unsubscribe(['']), 'closed'],
  ['UNSUBSCRIBE from what it never had', () => unsubscribe([`km1/d/${DEVICE_A}`]), ['unsuback']],
  ['UNSUBSCRIBE from __proto__', () => unsubscribe(['__proto__', 'constructor']), ['unsuback']],
  ['UNSUBSCRIBE from a#', () => unsubscribe(['a#']), ['unsuback']],
]);

const ACKNOWLEDGEMENTS = at(LIVING, [
  ['PUBACK for an unknown id', () => ack(KIND.puback, 999), []],
  ['PUBACK for id 0', () => ack(KIND.puback, 0), 'closed'],
  ['PUBACK with nothing', () => packet(KIND.puback, 0), 'closed'],
  ['PUBACK with a byte more', () => packet(KIND.puback, 0, Buffer.from([0, 1, 0])), 'closed'],
  ['a thousand PUBACKs', () => Buffer.concat(Array.from({ length: 1000 }, (_, id) => ack(KIND.puback, id + 1))), []],
  ['PUBREC for an unknown id', () => ack(KIND.pubrec, 999), 'closed'],
  ['PUBREL for an unknown id', () => ack(KIND.pubrel, 999), 'closed'],
  ['PUBREL with nothing', () => packet(KIND.pubrel, 2), 'closed'],
  ['PUBCOMP for an unknown id', () => ack(KIND.pubcomp, 999), 'closed'],
  ['QoS 2 by the book', (link) => [publish(own(link), 'x', 4), ack(KIND.pubrel, 5)], 'closed'],
  ['PINGREQ with a payload', () => packet(KIND.pingreq, 0, Buffer.from('x')), 'closed'],
  ['DISCONNECT with a payload', () => packet(KIND.disconnect, 0, Buffer.from([4])), 'closed'],
  [
    'DISCONNECT, then words',
    (link) => Buffer.concat([packet(KIND.disconnect, 0), publish(own(link), 'late')]),
    'closed',
  ],
  ['a second CONNECT as the manager', (link) => connect(link, { flags: 0x82, rest: [field('manager')] }), 'closed'],
  ['a second CONNECT with another id', () => connect(newClientId()), 'closed'],
]);

for (const [what, cases] of [
  ['§3.1 CONNECT', CONNECTS],
  ['§3.3 PUBLISH', PUBLISHES],
  ['§3.8, §3.10 SUBSCRIBE and UNSUBSCRIBE', SUBSCRIPTIONS],
  ['§3.4 to §3.14 acknowledgements, pings, ends', ACKNOWLEDGEMENTS],
] as const) {
  test(`[B1] [5.6 parser differences] MQTT 3.1.1 ${what}: what is malformed or forbidden touches nobody`, (t) =>
    examineAll(t, cases));
}

/** One of each that a client sends. */
const samples = (link: string): readonly Buffer[] => [
  connect(link),
  publish(own(link), 'a word'),
  publish(own(link), 'a word', 2),
  subscribe([inbox(link)]),
  unsubscribe([inbox(link)]),
  ack(KIND.puback, 5),
  packet(KIND.pingreq, 0),
  packet(KIND.disconnect, 0),
];

test('[B1] a packet that ends at any of its bytes, with the connection or with its announced length', async (t) => {
  const cases: Case[] = [];
  for (const [which, sample] of samples('a'.repeat(24)).entries()) {
    const stage: Stage = which === 0 ? 'before CONNECT' : 'before login';
    for (let length = 1; length < sample.length; length++) {
      const name = `packet ${which} of ${sample.length} bytes`;
      cases.push({
        name: `${name}, cut after ${length}`,
        stage,
        send: (link) => samples(link)[which]!.subarray(0, length),
        expect: 'either',
      });
      if (length < 2) continue;
      const kind = sample[0]! >> 4;
      // what is left of a PUBLISH behind its topic and id is a shorter message
      const whole = kind === KIND.publish && length >= sample.length - 'a word'.length;
      const answers = (sample[0]! & 6) === 2 ? ['puback'] : [];
      cases.push({
        name: `${name}, shortened to ${length}`,
        stage,
        send: (link) => packet(kind, sample[0]! & 15, samples(link)[which]!.subarray(2, length)),
        expect: whole ? answers : 'closed',
      });
    }
  }
  await examineAll(t, cases);
});

test('[B1] however a conversation is cut into segments, it is the same conversation', async (t) => {
  const rig = await startRig(t, LIMITS);
  const conversation = (link: string) =>
    Buffer.concat([
      connect(link),
      subscribe([inbox(link)]),
      publish(own(link), 'a word', 2),
      unsubscribe([inbox(link)]),
      packet(KIND.pingreq, 0),
    ]);
  const length = conversation(newClientId()).length;
  const hold = async (pieces: (all: Buffer) => readonly Buffer[]): Promise<string> => {
    const raw = rawClient(rig.port, t);
    for (const piece of pieces(conversation(newClientId()))) {
      raw.socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => raw.packets.length === 5 || raw.closed(), 'five answers');
    raw.socket.destroy();
    // of different kinds they may overtake each other [MQTT-4.6.0-2]
    const [first, ...rest] = raw.packets.map(({ cmd }) => cmd);
    return [first, ...rest.sort()].join(' ');
  };
  const wanted = 'connack pingresp puback suback unsuback';
  assert.equal(await hold((all) => [all]), wanted);
  assert.equal(await hold((all) => Array.from(all, (byte) => Buffer.from([byte]))), wanted);
  for (let cut = 1; cut < length; cut++) {
    assert.equal(await hold((all) => [all.subarray(0, cut), all.subarray(cut)]), wanted, `cut after ${cut}`);
  }
});

/** A generator of numbers from 0 up to 2^32, the same for the same seed on every machine (Mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Boundaries of the format, where a byte is not just noise. */
const TELLING = [0x00, 0x01, 0x02, 0x10, 0x30, 0x62, 0x7f, 0x80, 0x82, 0xc0, 0xff, 0x2b, 0x23, 0x24, 0x2f];

/** One to four damages: a bit, a byte, a cut, a repetition, an insertion, a stray piece of another packet. */
function mutate(original: Buffer, others: readonly Buffer[], draw: (below: number) => number): Buffer {
  let bytes = Buffer.from(original);
  for (let round = draw(4); round >= 0; round--) {
    const place = draw(bytes.length + 1);
    const before = bytes.subarray(0, place);
    const after = bytes.subarray(place);
    const piece = bytes.subarray(place, place + draw(8));
    const other = others[draw(others.length)]!;
    switch (draw(6)) {
      case 0:
        bytes = Buffer.from(bytes.map((byte, at) => (at === place ? byte ^ (1 << draw(8)) : byte)));
        break;
      case 1:
        bytes = Buffer.from(bytes.map((byte, at) => (at === place ? TELLING[draw(TELLING.length)]! : byte)));
        break;
      case 2:
        bytes = Buffer.concat([before, after.subarray(draw(4))]);
        break;
      case 3:
        bytes = Buffer.concat([before, piece, after]);
        break;
      case 4:
        bytes = Buffer.concat([before, Buffer.from([TELLING[draw(TELLING.length)]!, draw(256)]), after]);
        break;
      default:
        bytes = Buffer.concat([before, other.subarray(draw(other.length)), after]);
    }
  }
  return bytes;
}

const MUTANTS = process.env.KAGIMORI_LONG === '1' ? 50_000 : 2000;
const LONG_MS = 1_800_000;
const SEED = 2_007_184_993;

test(`[B1] [5.6 parser differences] ${MUTANTS} mutated packets touch nobody`, { timeout: LONG_MS }, async (t) => {
  const draw = numbers(SEED);
  const cases = Array.from({ length: MUTANTS }, (_, number): Case => {
    const stage = STAGES[draw(3)]!;
    // drawn now: in which order the links come up must not matter
    const seed = draw(2 ** 31);
    return {
      name: `mutant ${number} of seed ${SEED}`,
      stage,
      expect: 'either',
      send(link) {
        const own = numbers(seed);
        const all = samples(link);
        const conversation = stage === 'before CONNECT' && own(2) === 0 ? Buffer.concat(all.slice(0, 5)) : null;
        const one = stage === 'before CONNECT' ? all[0]! : all[1 + own(all.length - 1)]!;
        return mutate(conversation ?? one, all, own);
      },
    };
  });
  await examineAll(t, cases);
});

test('[B1] a message that gets through, a link that stays, a session that is kept: each would be seen', async (t) => {
  const rig = await startRig(t, LIMITS);
  const town = await honestTown(rig, t);
  const stays: Case = { name: 'a ping', stage: 'before login', send: () => packet(KIND.pingreq, 0), expect: 'closed' };
  assert.deepEqual(await town.examine([stays]), ['a ping, before login: still open, and read: pingresp pingresp']);
  const ends: Case = { name: 'an end', stage: 'before login', send: () => packet(KIND.disconnect, 0), expect: [] };
  assert.deepEqual(await town.examine([ends]), ['an end, before login: closed=true, read: ']);
  const guest = 'guest-3' as DeviceId;
  town.manager.order({ kind: 'Allow', pairs: [{ a: guest, b: DEVICE_A }] });
  const speaks = () => publish(rig.broker.topics.peer(DEVICE_A, guest), 'who is this?');
  assert.deepEqual(await town.examine([{ name: 'a word', stage: 'as a device', send: speaks, expect: [] }]), [
    `${DEVICE_A} read on km1/p/${DEVICE_A}/${guest}: who is this?`,
  ]);
  // a broker that keeps sessions: Aedes as it comes
  const aedes = await Aedes.createBroker();
  const server = createServer(aedes.handle).listen(0, '127.0.0.1');
  t.after(() => {
    server.close();
    aedes.close();
  });
  await until(() => server.listening, 'a bare Aedes');
  const { port } = server.address() as AddressInfo;
  const again = async () => {
    const raw = rawClient(port, t);
    raw.socket.write(
      Buffer.concat([connect('the-same-again', { flags: 0 }), subscribe(['#']), packet(KIND.pingreq, 0)]),
    );
    await until(() => raw.packets.length >= 3, 'three answers');
    raw.socket.destroy();
    return heirloom(raw.packets.filter(({ cmd }) => cmd !== 'suback'));
  };
  assert.equal(await again(), null);
  await until(() => aedes.connectedClients === 0, 'the first one has gone');
  assert.match(String(await again()), /an older session$/);
});
