/**
 * Every limit of broker/limits.ts over real sockets: what happens beyond it, that the refusal names it, and that nobody
 * else notices. @spec design §5.6, docs/broker-limits.md
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { generate, type Packet, parser } from 'mqtt-packet';
import { brokerConfig } from '../../broker/config.ts';
import { keepAliveOf } from '../../broker/connect-packet.ts';
import { DEFAULT_LIMITS, type Limits } from '../../broker/limits.ts';
import type { DeviceId } from '../../protocol/units.ts';
import {
  bytes,
  connectPacket,
  joinDevice,
  joinManager,
  type ManagerParty,
  newClientId,
  type RawClient,
  type Rig,
  rawClient,
  rawLink,
  startRig,
  TOKENS,
  text,
  until,
} from './broker-rig.ts';

const A = 'router-1' as DeviceId;
const B = 'phone-1' as DeviceId;
const ELSEWHERE = '127.0.0.2';

const publish = (topic: string, payload: Uint8Array | string = 'x', more: object = {}): Packet => ({
  cmd: 'publish',
  topic,
  payload: Buffer.from(payload),
  qos: 0,
  dup: false,
  retain: false,
  ...more,
});
const subscribe = (topic: string): Packet => ({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic, qos: 1 }] });
type Device = RawClient & { readonly link: string };

async function rawDevice(rig: Rig, t: TestContext, manager: ManagerParty, device: DeviceId): Promise<Device> {
  const raw = await rawLink(rig.port, t);
  const before = rig.broker.counters.promoted;
  manager.order({ kind: 'Promote', link: raw.link as never, device });
  await until(() => rig.broker.counters.promoted > before, 'promoted');
  return raw;
}

/** Lists pairs, and waits until the broker has. */
async function allow(manager: ManagerParty, ...pairs: readonly { a: DeviceId; b: DeviceId }[]): Promise<void> {
  manager.order({ kind: 'Allow', pairs });
  const link = newClientId();
  manager.order({ kind: 'Promote', link: link as never, device: 'nobody' as DeviceId }); // is answered
  await until(() => manager.reports().some((one) => one.kind === 'Gone' && one.link === link), 'pairs listed');
}

/** Connects from another address of this machine. */
async function linkFrom(localAddress: string, rig: Rig, t: TestContext): Promise<Socket & { link: string }> {
  const socket = connect({ port: rig.port, host: '127.0.0.1', localAddress, noDelay: true });
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  const link = newClientId();
  const reader = parser();
  const connack = new Promise((resolve) => reader.once('packet', resolve));
  socket.on('data', (chunk) => reader.parse(chunk));
  socket.write(generate(connectPacket(link)));
  await connack;
  return Object.assign(socket, { link });
}

/** What goes beyond a limit; it may open links of its own. @returns once the limit should have been hit */
type Excess = (rig: Rig, t: TestContext, manager: ManagerParty) => Promise<unknown> | unknown;

const knock = (rig: Rig, t: TestContext, times: number) =>
  Array.from({ length: times }, () => rawClient(rig.port, t)).length;

/** The manager's link and the honest pair's come first: three connections, one of them of a service. */
const REFUSED: readonly [key: keyof Limits, limits: Partial<Limits>, reason: string, excess: Excess][] = [
  ['connectBytes', { connectBytes: 256 }, 'too-large', (rig, t) => rawClient(rig.port, t).socket.write(header(1, 257))],
  ['loginTimeoutMs', { loginTimeoutMs: 1000 }, 'login-timeout', (rig, t) => knock(rig, t, 1)],
  ['newPerAddress', { newPerAddress: 3 }, 'too-many-new-links', (rig, t) => knock(rig, t, 4)],
  ['newAltogether', { newAltogether: 3 }, 'too-many-new-links', (rig, t) => knock(rig, t, 4)],
  ['newPerSecondPerAddress', { newPerSecondPerAddress: 5 }, 'too-fast-new-links', (rig, t) => knock(rig, t, 12)],
  ['newPerSecond', { newPerSecond: 5 }, 'too-fast-new-links', (rig, t) => knock(rig, t, 12)],
  ['linksPerAddress', { linksPerAddress: 4 }, 'too-many-links', (rig, t) => knock(rig, t, 3)],
  ['linksAltogether', { linksAltogether: 4 }, 'too-many-links', (rig, t) => knock(rig, t, 3)],
  [
    'messagesBeforeLogin',
    { messagesBeforeLogin: 5 },
    'too-many-messages',
    async (rig, t) => {
      const raw = await rawLink(rig.port, t);
      for (let i = 0; i < 6; i++) raw.send(publish(`km1/m/~${raw.link}`));
    },
  ],
  [
    'newLinkBytes',
    { newLinkBytes: 500 },
    'too-large',
    async (rig, t) => {
      const raw = await rawLink(rig.port, t);
      raw.send(publish(`km1/m/~${raw.link}`, new Uint8Array(501)));
    },
  ],
  [
    'otherPacketBytes',
    { otherPacketBytes: 256 },
    'too-large',
    async (rig, t) => (await rawLink(rig.port, t)).socket.write(header(8, 257)),
  ],
  [
    'subscriptions',
    { subscriptions: 4 },
    'too-many-filters',
    async (rig, t, manager) => {
      const raw = await rawDevice(rig, t, manager, 'snoop-1' as DeviceId);
      for (let i = 0; i < 5; i++) raw.send(subscribe(`km1/d/other-${i}`));
      await until(raw.closed, 'closed');
    },
  ],
  [
    'toManagerBytes',
    { toManagerBytes: 500 },
    'too-large',
    async (rig, t, manager) => {
      const raw = await rawDevice(rig, t, manager, 'long-1' as DeviceId);
      raw.send(publish('km1/m/long-1', new Uint8Array(501)));
    },
  ],
  [
    'peerBytes',
    { peerBytes: 500 },
    'too-large',
    async (rig, t, manager) => {
      const raw = await rawDevice(rig, t, manager, 'long-1' as DeviceId);
      await allow(manager, { a: A, b: 'long-1' as DeviceId });
      raw.send(publish(`km1/p/${A}/long-1`, new Uint8Array(501)));
    },
  ],
  [
    'backlogBytes',
    { backlogBytes: 64 * 1024 },
    'slow-reader',
    async (rig, t, manager) => {
      const raw = await rawDevice(rig, t, manager, 'frozen-1' as DeviceId);
      raw.socket.pause();
      const topic = rig.broker.topics.toDevice({ kind: 'device', id: 'frozen-1' as DeviceId });
      await until(() => {
        manager.transport.publish(topic, new Uint8Array(16 * 1024), 0);
        return rig.events.some((event) => event.kind === 'refused');
      }, 'full');
    },
  ],
  [
    'drainTimeoutMs',
    { drainTimeoutMs: 300 },
    'stalled-reader',
    async (rig, t, manager) => {
      const raw = await rawDevice(rig, t, manager, 'frozen-1' as DeviceId);
      raw.socket.pause();
      const topic = rig.broker.topics.toDevice({ kind: 'device', id: 'frozen-1' as DeviceId });
      await until(() => {
        manager.transport.publish(topic, new Uint8Array(16 * 1024), 0);
        return rig.broker.counters.promoted === 2;
      }, 'closed');
    },
  ],
];

/** @param kind  of a packet whose remaining length is only announced */
function header(kind: number, length: number): Buffer {
  return Buffer.from([(kind << 4) | (kind === 8 ? 2 : 0), (length & 0x7f) | 0x80, length >> 7]);
}

for (const [key, limits, reason, excess] of REFUSED) {
  test(`[B1] beyond ${key} the refusal names it, and an honest pair goes on`, async (t) => {
    const rig = await startRig(t, limits);
    const manager = await joinManager(rig, t);
    const a = await joinDevice(rig, t, manager, A);
    const b = await joinDevice(rig, t, manager, B);
    await allow(manager, { a: A, b: B });
    await excess(rig, t, manager);
    const wanted = `limits.${key}`;
    const named = () => rig.events.find((event) => event.kind === 'refused' && event.key === wanted);
    await until(() => named() !== undefined, `a refusal that names ${wanted}`);
    const event = named();
    assert.ok(event?.kind === 'refused');
    assert.deepEqual([event.reason, event.limit, event.address], [reason, limits[key], '127.0.0.1']);
    assert.ok((rig.broker.counters.refused[event.reason] ?? 0) >= 1);
    a.transport.publish(rig.broker.topics.peer(B, A), bytes('still there'), 1);
    await until(() => b.got.some(({ payload }) => text(payload) === 'still there'), 'the honest pair');
  });
}

const HELD: readonly [key: keyof Limits, limits: Partial<Limits>, topic: string, payload: number, count: number][] = [
  ['messagesPerSecond', { messagesPerSecond: 100 }, `km1/p/${B}/${A}`, 10, 150],
  ['bytesPerSecond', { bytesPerSecond: 100_000 }, `km1/p/${B}/${A}`, 1000, 210],
  ['toManagerPerSecond', { toManagerPerSecond: 100 }, `km1/m/${A}`, 10, 150],
];
for (const [key, limits, topic, size, messages] of HELD) {
  test(`[B1] beyond ${key} a device is held back, loses nothing and delays nobody`, async (t) => {
    const rig = await startRig(t, limits);
    const manager = await joinManager(rig, t);
    const flooder = await rawDevice(rig, t, manager, A);
    const b = await joinDevice(rig, t, manager, B);
    const c = await joinDevice(rig, t, manager, 'printer-1');
    await allow(manager, { a: A, b: B }, { a: B, b: 'printer-1' as DeviceId });
    const got = () =>
      [...b.got, ...manager.got].filter((one) => `${one.topic}` === topic).map(({ payload }) => payload[0]);
    const began = performance.now();
    const flood = Array.from({ length: messages }, (_, i) => generate(publish(topic, new Uint8Array(size).fill(i))));
    flooder.socket.write(Buffer.concat(flood));
    await until(() => rig.broker.counters.slowed[key] !== undefined, 'held back');
    const asked = performance.now();
    c.transport.publish(rig.broker.topics.peer(B, 'printer-1' as DeviceId), bytes('quick'), 1);
    await until(() => b.got.some(({ payload }) => text(payload) === 'quick'), 'somebody else');
    const other = performance.now() - asked;
    assert.ok(got().length < messages, 'the flood is not over');
    await until(() => got().length === messages, 'all of the flood');
    const seconds = (performance.now() - began) / 1000;
    assert.deepEqual(
      got(),
      Array.from({ length: messages }, (_, i) => i % 256),
    );
    assert.ok(seconds > 0.35, `${seconds} s for what has to take half a second`);
    assert.ok(other < 200, `${other} ms`);
    const told = rig.events.filter((event) => event.kind === 'slowed');
    assert.deepEqual(
      told.map(({ key: named, limit, device, address }) => ({ named, limit, device, address })),
      [{ named: `limits.${key}`, limit: limits[key], device: A, address: '127.0.0.1' }],
      'told once',
    );
    assert.equal(flooder.closed(), false);
  });
}

test('[B1] acknowledgements of what a device was sent are no messages of its own', async (t) => {
  const rig = await startRig(t, { messagesPerSecond: 10 });
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const topic = rig.broker.topics.toDevice({ kind: 'device', id: A });
  for (let i = 0; i < 200; i++) manager.transport.publish(topic, bytes(`${i}`), 1);
  await until(() => a.got.length === 200, 'all of them');
  a.transport.publish(rig.broker.topics.toManager({ kind: 'device', id: A }), bytes('after 200'), 1);
  await until(() => manager.got.some(({ payload }) => text(payload) === 'after 200'), 'its own message');
  assert.deepEqual(rig.broker.counters.slowed, {});
});

test('[5.6 handshake floods] before login addresses take turns: a crowd at one delays no login from another', async (t) => {
  const rig = await startRig(t, { loginMessagesPerSecond: 40 });
  const manager = await joinManager(rig, t);
  const crowd = await Promise.all(Array.from({ length: 20 }, () => linkFrom(ELSEWHERE, rig, t)));
  const honest = await rawLink(rig.port, t);
  const heard = (name: string) => manager.got.filter(({ payload }) => text(payload) === name).length;
  for (const one of crowd) {
    for (let i = 0; i < 4; i++) one.write(generate(publish(`km1/m/~${one.link}`, 'garbage')));
  }
  await until(() => heard('garbage') >= 40, 'a second’s worth of garbage');
  honest.send(publish(`km1/m/~${honest.link}`, 'login'));
  honest.send(publish(`km1/m/~${honest.link}`, 'login'));
  await until(() => heard('login') === 2, 'both messages of the login');
  assert.ok(heard('garbage') < 60, `${heard('garbage')} of 80 garbage messages passed before`);
  assert.ok((rig.broker.counters.slowed.loginMessagesPerSecond ?? 0) > 0);
  await until(() => heard('garbage') === 80, 'all of it, later');
  assert.equal(honest.closed(), false);
});

test('[5.6 handshake floods] what a manager has not acknowledged holds up new links, of either QoS, and nobody else', async (t) => {
  const rig = await startRig(t, { loginMessagesPerSecond: 40, managerBehind: 5 });
  const manager = rawClient(rig.port, t);
  manager.send(connectPacket(newClientId(), { username: 'manager', password: Buffer.from(TOKENS.manager) }));
  manager.send(subscribe('km1/m/+'));
  await until(() => manager.packets.some(({ cmd }) => cmd === 'suback'), 'the manager reads');
  const raw = await rawLink(rig.port, t);
  for (let i = 0; i < 20; i++) {
    raw.send(publish(`km1/m/~${raw.link}`, `${i}`, i % 2 === 0 ? { qos: 1, messageId: i + 1 } : {}));
  }
  const got = () => manager.packets.filter((one) => one.cmd === 'publish');
  const sent = performance.now();
  await until(() => performance.now() - sent > 400, 'time for sixteen at the pace, for two at a tenth');
  assert.ok(got().length >= 6 && got().length < 11, `${got().length} without an acknowledgement`);
  assert.ok(
    got().every(({ qos }) => qos === 1),
    'all of them ask for one',
  );
  let acknowledged = 0;
  const began = performance.now();
  await until(() => {
    for (const { messageId } of got().slice(acknowledged)) manager.send({ cmd: 'puback', messageId } as Packet);
    acknowledged = got().length;
    return acknowledged === 20;
  }, 'the rest');
  assert.ok(performance.now() - began < 3000, 'at the pace again');
  const numbers = got().map(({ payload }) => Number(payload));
  for (const half of [0, 1]) {
    assert.deepEqual(
      numbers.filter((n) => n % 2 === half),
      Array.from({ length: 10 }, (_, i) => 2 * i + half),
      'in order within each QoS',
    );
  }
});

test('[B1] one link’s thousand packets in one segment leave the others their turn', async (t) => {
  const rig = await startRig(t, { inFlight: 10 });
  const manager = await joinManager(rig, t);
  const a = await rawDevice(rig, t, manager, A);
  const b = await rawDevice(rig, t, manager, B);
  const many = (device: string) =>
    Buffer.concat(Array.from({ length: 150 }, () => generate(publish(`km1/m/${device}`))));
  a.socket.write(many(A));
  b.socket.write(many(B));
  await until(() => manager.got.filter(({ topic }) => topic.startsWith('km1/m/')).length === 300, 'all');
  const order = manager.got.map(({ topic }) => topic).filter((topic) => topic.startsWith('km1/m/'));
  const first = order.findIndex((topic) => topic !== order[0]);
  assert.ok(first < 100, `the other came after ${first}`);
});

test('[B1] the longest keep-alive is the limit, for those who ask for none as well', () => {
  const asked = (keepalive: number) => keepAliveOf({ keepalive } as never, 60);
  assert.deepEqual([0, 1, 30, 60, 600].map(asked), [60, 5, 30, 60, 60]);
});

test('[B1] the configuration has every limit, its defaults are those of the table, and an offline queue is refused', () => {
  assert.deepEqual(brokerConfig.parse({}).limits, DEFAULT_LIMITS);
  const { success, error } = brokerConfig.safeParse({ limits: { offlineQueue: 100 } });
  assert.equal(success, false);
  assert.match(error?.message ?? '', /keeps no messages for absent devices/);
  const raised = { newPerAddress: 10_000, newAltogether: 10_000, newPerSecond: 5000, linksPerAddress: 50_000 };
  assert.deepEqual({ ...brokerConfig.parse({ limits: raised }).limits }, { ...DEFAULT_LIMITS, ...raised });
});
