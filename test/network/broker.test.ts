/**
 * The broker over real sockets: what a hostile, broken or slow client meets. @spec design §5.1, §5.6
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import type { DeviceId } from '../../protocol/units.ts';
import {
  bytes,
  connectPacket,
  join,
  joinDevice,
  joinManager,
  newClientId,
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
const publish = (topic: string, payload: Uint8Array | string = 'x', more: object = {}): Packet => ({
  cmd: 'publish',
  topic,
  payload: Buffer.from(payload),
  qos: 0,
  dup: false,
  retain: false,
  ...more,
});
const subscribe = (topic: string, qos: 0 | 1 | 2 = 1): Packet => ({
  cmd: 'subscribe',
  messageId: 7,
  subscriptions: [{ topic, qos }],
});
const refusals = (rig: Rig, reason: string): number =>
  (rig.broker.counters.refused as Record<string, number>)[reason] ?? 0;

test('[B1] a new link talks to the manager on its own two topics, and after promotion as its device', async (t) => {
  const rig = await startRig(t);
  const { topics } = rig.broker;
  const manager = await joinManager(rig, t);
  const link = await join(rig, t);
  link.transport.publish(topics.toManager({ kind: 'link', link: link.link }), bytes('hello'), 1);
  await until(() => manager.got.length === 1, 'hello');
  assert.equal(manager.got[0]?.topic, `km1/m/~${link.link}`);
  manager.transport.publish(topics.toDevice({ kind: 'link', link: link.link }), bytes('welcome'), 1);
  manager.order({ kind: 'Promote', link: link.link, device: A });
  manager.transport.publish(topics.toDevice({ kind: 'device', id: A }), bytes('router, then'), 1);
  await until(() => link.got.length === 2, 'both answers');
  assert.deepEqual(
    link.got.map(({ topic, payload }) => [topic, text(payload)]),
    [
      [`km1/d/~${link.link}`, 'welcome'],
      ['km1/d/router-1', 'router, then'],
    ],
  );
  link.transport.publish(topics.toManager({ kind: 'device', id: A }), bytes('as a device'), 1);
  await until(() => manager.got.length === 2, 'the device');
  assert.equal(manager.got[1]?.topic, 'km1/m/router-1');
});

test('[B1] devices reach each other only while the manager lists the pair, and no third one', async (t) => {
  const rig = await startRig(t);
  const { topics } = rig.broker;
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const b = await joinDevice(rig, t, manager, B);
  const c = await joinDevice(rig, t, manager, 'television-1');
  const say = (what: string, qos: 0 | 1 = 1) => a.transport.publish(topics.peer(B, A), bytes(what), qos);
  say('too early');
  await until(() => refusals(rig, 'no-session') === 1, 'too early counted');
  manager.order({ kind: 'Allow', pairs: [{ a: A, b: B }] });
  manager.order({ kind: 'Attach' });
  manager.order({ kind: 'Allow', pairs: [{ a: A, b: B }] });
  await until(() => manager.reports().some(({ kind }) => kind === 'Links'), 'attached');
  say('one');
  say('two');
  c.transport.publish(topics.peer(B, A), bytes('forged sender'), 1);
  c.transport.publish(topics.peer(B, 'television-1' as DeviceId), bytes('no session'), 1);
  await until(() => b.got.length === 2 && refusals(rig, 'foreign-topic') === 1, 'two records, one forgery');
  manager.order({ kind: 'Forbid', pairs: [{ a: B, b: A }] });
  const before = refusals(rig, 'no-session');
  await until(() => {
    say('too late');
    return refusals(rig, 'no-session') > before;
  }, 'forbidden');
  assert.deepEqual(b.got.map(({ payload }) => text(payload)).slice(0, 2), ['one', 'two']);
  assert.equal(c.got.length, 0);
  assert.equal(a.downs.length, 0, 'a record that crossed the end of its session does not end the link');
});

const FOREIGN: readonly [name: string, packet: (link: string) => Packet][] = [
  ["another link's topic", () => publish(`km1/m/~${newClientId()}`)],
  ["a device's topic", () => publish('km1/m/router-1')],
  ['a topic of the manager', () => publish('km1/d/router-1')],
  ['the control topic', () => publish('km1/c/q')],
  ["the verifier's topic", () => publish('km1/v/a/~manager')],
  ['a topic outside the root', () => publish('kagimori/status')],
  ['$SYS', () => publish('$SYS/broker/load')],
  ['NUL in a topic', (link) => publish(`km1/m/~${link}\0`)],
  ['a control character in a topic', (link) => publish(`km1/m/~${link}\u0007`)],
  ['an empty topic', () => publish('')],
  ['101 levels', () => publish('a/'.repeat(101))],
  ['a retained message', (link) => publish(`km1/m/~${link}`, 'x', { retain: true })],
  ['QoS 2', (link) => publish(`km1/m/~${link}`, 'x', { qos: 2, messageId: 3 })],
  ['more than 8 KiB', (link) => publish(`km1/m/~${link}`, new Uint8Array(8 * 1024 + 1))],
  ['an announced 1 MiB', (link) => publish(`km1/m/~${link}`, new Uint8Array(1024 * 1024))],
  ['a subscription to #', () => subscribe('#')],
  ['a subscription to km1/#', () => subscribe('km1/#')],
  ['a subscription to km1/d/+', () => subscribe('km1/d/+')],
  ['a subscription to km1/m/+', () => subscribe('km1/m/+')],
  ['a subscription to $SYS/#', () => subscribe('$SYS/#')],
  ['a shared subscription', (link) => subscribe(`$share/g/km1/d/~${link}`)],
  ["a subscription to another's topic", () => subscribe(`km1/d/~${newClientId()}`)],
  ['a second CONNECT', () => connectPacket()],
];
for (const [name, packet] of FOREIGN) {
  test(`[B1] [5.6 link takeover, wildcards, wills, retained messages] a new link is closed for ${name}`, async (t) => {
    const rig = await startRig(t);
    const manager = await joinManager(rig, t);
    const raw = await rawLink(rig.port, t);
    raw.send(packet(raw.link));
    await until(raw.closed, 'the link closed');
    assert.deepEqual(
      raw.packets.filter(({ cmd }) => cmd === 'publish' || cmd === 'suback'),
      [],
    );
    assert.ok(manager.got.every(({ topic }) => topic === 'km1/c/a'));
  });
}

const CONNECTS: readonly [name: string, more: (link: string) => object, code: number][] = [
  ['a will', () => ({ will: { topic: 'km1/m/x', payload: Buffer.from('x'), qos: 0, retain: false } }), 5],
  ['a lasting session', () => ({ clean: false }), 5],
  ['a speaking client id', () => ({ clientId: 'router-1' }), 2],
  ['a client id with a wildcard', () => ({ clientId: `${'a'.repeat(20)}+#/` }), 2],
  ['an unknown user', () => ({ username: 'admin', password: Buffer.from('admin') }), 4],
  ['a user without a password', () => ({ username: 'manager' }), 4],
  ["the verifier's token for the manager", () => ({ username: 'manager', password: Buffer.from(TOKENS.verifier) }), 4],
];
for (const [name, more, code] of CONNECTS) {
  test(`[B1] [5.6 link takeover, wildcards, wills, retained messages] CONNECT with ${name} is refused`, async (t) => {
    const rig = await startRig(t);
    const raw = rawClient(rig.port, t);
    const id = newClientId();
    raw.send(connectPacket(id, more(id)));
    await until(raw.closed, 'closed');
    assert.deepEqual(
      raw.packets.map((packet) => (packet.cmd === 'connack' ? packet.returnCode : packet.cmd)),
      [code],
    );
    assert.equal(rig.broker.counters.links, 0);
  });
}

test('[5.6 link takeover, wildcards, wills, retained messages] a living client id cannot be taken', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const owner = await rawLink(rig.port, t);
  const thief = rawClient(rig.port, t);
  thief.send(connectPacket(owner.link));
  await until(thief.closed, 'the thief closed');
  owner.send(publish(`km1/m/~${owner.link}`, 'still me'));
  await until(() => manager.got.some(({ payload }) => text(payload) === 'still me'), 'the owner');
  assert.equal(owner.closed(), false);
});

test('[5.6 link takeover, wildcards, wills, retained messages] a newer login of a device closes its older link', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const older = await rawLink(rig.port, t);
  manager.order({ kind: 'Promote', link: older.link as never, device: A });
  await until(() => rig.broker.counters.promoted === 1, 'first login');
  const newer = await join(rig, t);
  manager.order({ kind: 'Promote', link: newer.link, device: A });
  await until(older.closed, 'the older link closed');
  await until(() => manager.reports().some((one) => one.kind === 'Gone' && one.link === older.link), 'Gone');
  manager.transport.publish(rig.broker.topics.toDevice({ kind: 'device', id: A }), bytes('for you'), 1);
  await until(() => newer.got.length === 1, 'the newer link reads');
});

test('[B1] a promoted link stays for a foreign publish, which is left out, and ends for a wildcard', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const raw = await rawLink(rig.port, t);
  manager.order({ kind: 'Promote', link: raw.link as never, device: A });
  await until(() => rig.broker.counters.promoted === 1, 'promoted');
  raw.send(publish('km1/m/phone-1', 'posing', { qos: 1, messageId: 5 }));
  raw.send(subscribe('km1/d/phone-1'));
  await until(() => raw.packets.length >= 3, 'PUBACK and SUBACK');
  assert.deepEqual(
    raw.packets.map((packet) => (packet.cmd === 'suback' ? packet.granted : packet.cmd)),
    ['connack', 'puback', [128]],
  );
  assert.equal(raw.closed(), false);
  assert.equal(
    manager.got.some(({ payload }) => text(payload) === 'posing'),
    false,
  );
  raw.send(subscribe('km1/p/+/+'));
  await until(raw.closed, 'closed for the wildcard');
});

test('[B1] a link that does not log in is closed after its time, one that says nothing as well', async (t) => {
  const rig = await startRig(t, { loginTimeoutMs: 300 });
  const silent = rawClient(rig.port, t);
  const talker = await rawLink(rig.port, t);
  const half = rawClient(rig.port, t);
  half.socket.write(Buffer.from([0x10]));
  await until(() => silent.closed() && talker.closed() && half.closed(), 'all closed');
  assert.equal(refusals(rig, 'login-timeout'), 3);
});

test('[B1] new links are capped per address; a login frees the place', async (t) => {
  const rig = await startRig(t, { newPerAddress: 2 });
  const manager = await joinManager(rig, t);
  const first = await rawLink(rig.port, t);
  const second = await rawLink(rig.port, t);
  const third = rawClient(rig.port, t);
  await until(third.closed, 'the third refused');
  manager.order({ kind: 'Promote', link: first.link as never, device: A });
  await until(() => rig.broker.counters.promoted === 1, 'promoted');
  const fourth = await rawLink(rig.port, t);
  fourth.socket.destroy();
  second.socket.destroy();
  await until(() => rig.broker.counters.links === 2, 'two places free');
  await rawLink(rig.port, t);
  await rawLink(rig.port, t);
});

test('[B1] a CONNECT announced with 200 MiB is closed at once and nothing of it is kept', async (t) => {
  const rig = await startRig(t);
  const before = process.memoryUsage().rss;
  const raw = rawClient(rig.port, t);
  raw.socket.write(Buffer.from([0x10, 0x80, 0x80, 0x80, 0x64]));
  raw.socket.write(Buffer.alloc(1024 * 1024));
  await until(raw.closed, 'closed');
  assert.equal(refusals(rig, 'too-large'), 1);
  assert.ok(process.memoryUsage().rss - before < 32 * 1024 * 1024);
});

const BAD_STARTS: readonly [name: string, start: Buffer][] = [
  ['PUBLISH before CONNECT', Buffer.from([0x30, 0x03, 0x00, 0x01, 0x61])],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['TLS on the plain port', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])],
  ['a length of five bytes', Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 0x01])],
  ['5 KiB of CONNECT', Buffer.from([0x10, 0x80, 0x28])],
];
for (const [name, start] of BAD_STARTS) {
  test(`[B1] a connection that starts with ${name} is closed`, async (t) => {
    const rig = await startRig(t);
    const raw = rawClient(rig.port, t);
    raw.socket.write(start);
    await until(raw.closed, 'closed');
    assert.equal(raw.packets.length, 0);
  });
}

test('[B1] MQTT 5 is answered with "unacceptable protocol version"', async (t) => {
  const rig = await startRig(t);
  const raw = rawClient(rig.port, t);
  raw.send(connectPacket(newClientId(), { protocolVersion: 5 }));
  await until(raw.closed, 'closed');
  assert.deepEqual(
    raw.packets.map((packet) => packet.cmd === 'connack' && packet.returnCode),
    [1],
  );
});

test('[B1] a device may send 128 KiB to its peer, and is closed for 256 KiB', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const b = await joinDevice(rig, t, manager, B);
  const raw = await rawLink(rig.port, t);
  manager.order({ kind: 'Promote', link: raw.link as never, device: A });
  manager.order({ kind: 'Allow', pairs: [{ a: A, b: B }] });
  await until(() => rig.broker.counters.promoted === 2, 'promoted');
  raw.send(publish(rig.broker.topics.peer(B, A), new Uint8Array(128 * 1024)));
  await until(() => b.got.length === 1, 'the long record');
  raw.send(publish(rig.broker.topics.peer(B, A), new Uint8Array(256 * 1024)));
  await until(raw.closed, 'closed');
  assert.equal(b.got.length, 1);
});

test('[B1] messages of both QoS arrive all, and in order within each', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  for (let i = 0; i < 100; i++) {
    manager.transport.publish(
      rig.broker.topics.toDevice({ kind: 'device', id: A }),
      bytes(`${i}`),
      i % 2 === 0 ? 1 : 0,
    );
  }
  await until(() => a.got.length === 100, 'all hundred');
  const got = a.got.map(({ payload }) => Number(text(payload)));
  const ascending = Array.from({ length: 50 }, (_, i) => 2 * i);
  assert.deepEqual(
    got.filter((n) => n % 2 === 0),
    ascending,
  );
  assert.deepEqual(
    got.filter((n) => n % 2 === 1),
    ascending.map((n) => n + 1),
  );
});

test('[B1] a frozen subscriber holds up neither the manager nor an honest pair, and is closed', async (t) => {
  const rig = await startRig(t, { drainTimeoutMs: 1000 });
  const { topics } = rig.broker;
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const b = await joinDevice(rig, t, manager, B);
  const frozen = await rawLink(rig.port, t);
  const c = 'frozen-1' as DeviceId;
  manager.order({ kind: 'Promote', link: frozen.link as never, device: c });
  manager.order({
    kind: 'Allow',
    pairs: [
      { a: A, b: B },
      { a: A, b: c },
    ],
  });
  await until(() => rig.broker.counters.promoted === 3, 'promoted');
  frozen.socket.pause();
  const block = new Uint8Array(64 * 1024);
  await until(() => {
    a.transport.publish(topics.peer(c, A), block, 0);
    return refusals(rig, 'slow-reader') > 0;
  }, 'the frozen one is full');
  assert.equal(rig.broker.counters.promoted, 3, 'not closed yet');
  let slowest = 0;
  for (let i = 0; i < 50; i++) {
    const began = performance.now();
    manager.transport.publish(topics.toDevice({ kind: 'device', id: c }), new Uint8Array(100), 1);
    manager.transport.publish(topics.toDevice({ kind: 'device', id: A }), bytes('go'), 1);
    await until(() => a.got.length === i + 1, 'the manager reaches A');
    a.transport.publish(topics.peer(B, A), bytes('record'), 1);
    await until(() => b.got.length === i + 1, 'A reaches B');
    slowest = Math.max(slowest, performance.now() - began);
  }
  assert.ok(slowest < 500, `${slowest} ms`);
  await until(() => rig.broker.counters.promoted === 2, 'the frozen one closed');
});

test('[B1] the manager attaches: it learns all links in parts, and of every end', async (t) => {
  const rig = await startRig(t, { newPerAddress: 300, newPerSecondPerAddress: 300 });
  const manager = await joinManager(rig, t);
  const links = await Promise.all(Array.from({ length: 120 }, () => rawLink(rig.port, t)));
  manager.order({ kind: 'Promote', link: links[0]!.link as never, device: A });
  manager.order({ kind: 'Attach' });
  await until(() => manager.reports().some((report) => report.kind === 'Links' && report.last), 'the last part');
  const bindings = manager.reports().flatMap((report) => (report.kind === 'Links' ? report.bindings : []));
  assert.deepEqual(new Set(bindings.map(({ link }) => link as string)), new Set(links.map(({ link }) => link)));
  assert.deepEqual(
    bindings.filter(({ device }) => device !== undefined).map(({ device }) => device),
    [A],
  );
  links[0]!.socket.destroy();
  manager.order({ kind: 'Drop', link: links[1]!.link as never });
  await until(() => manager.reports().filter(({ kind }) => kind === 'Gone').length === 2, 'two Gone');
  const gone = manager.reports().filter((report) => report.kind === 'Gone');
  assert.deepEqual(gone.find(({ link }) => link === links[0]!.link)?.device, A);
  assert.ok(links[1]!.closed());
});

test('[B1] sessions go on while the manager is away', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const b = await joinDevice(rig, t, manager, B);
  manager.order({ kind: 'Allow', pairs: [{ a: A, b: B }] });
  manager.order({ kind: 'Drop', link: newClientId() as never });
  await manager.transport.close();
  await until(() => rig.broker.counters.links === 2, 'the manager is gone');
  a.transport.publish(rig.broker.topics.peer(B, A), bytes('on we go'), 1);
  await until(() => b.got.length === 1, 'the record');
});

test('[B1] a lost link comes back by itself under another client id', async (t) => {
  const rig = await startRig(t);
  const manager = await joinManager(rig, t);
  const a = await join(rig, t);
  manager.order({ kind: 'Drop', link: a.link });
  await until(() => a.links.length === 2, 'up again');
  assert.notEqual(a.links[0], a.links[1]);
  assert.equal(a.downs.length, 1);
});

const hasMosquitto = spawnSync('mosquitto_sub', ['--help']).error === undefined;
for (const [filter, extra] of [
  ['#', []],
  ['$SYS/#', []],
  ['km1/#', ['-i', 'mosquitto-snooper-000000']],
] as const) {
  test(`[B1] [5.6 link takeover, wildcards, wills, retained messages] mosquitto_sub -t '${filter}' as a snooper gets nothing`, {
    skip: hasMosquitto ? false : 'mosquitto_sub absent',
  }, async (t) => {
    const rig = await startRig(t);
    const manager = await joinManager(rig, t);
    const a = await joinDevice(rig, t, manager, A);
    const port = String(rig.port);
    const snooper = spawn('mosquitto_sub', ['-h', '127.0.0.1', '-p', port, '-t', filter, '-v', '-W', '2', ...extra]);
    t.after(() => snooper.kill());
    let output = '';
    snooper.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    await until(() => refusals(rig, 'foreign-filter') + refusals(rig, 'client-id') > 0, 'the snooper refused');
    for (let i = 0; i < 20; i++) {
      manager.transport.publish(rig.broker.topics.toDevice({ kind: 'device', id: A }), bytes(`secret ${i}`), 1);
    }
    await until(() => a.got.length === 20, 'A reads all');
    snooper.kill();
    assert.equal(output, '');
  });
}
