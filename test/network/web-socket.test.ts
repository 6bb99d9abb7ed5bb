/**
 * MQTT over WebSocket: what the HTTP side serves, which frames it takes, and that the guards are those of TCP.
 * @spec MQTT 3.1.1 §6, RFC 6455
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { type TestContext, test } from 'node:test';
import { checkBroker } from '../../cli/doctor/reach-checks.ts';
import { brokerAddress } from '../../platform/broker-url.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import type { DeviceId, LinkId } from '../../protocol/units.ts';
import {
  bytes,
  crypto,
  joinDevice,
  joinManager,
  newClientId,
  type Rig,
  rawLink,
  startRig,
  text,
  until,
  watcher,
} from './broker-rig.ts';
import { ack, connect, KIND, packet, publish, subscribe } from './raw-mqtt.ts';
import {
  binary,
  frame,
  type Headers,
  OPCODE,
  openWebSocket,
  rawWebSocket,
  request,
  upgrade,
} from './raw-web-socket.ts';

const A = 'router-1' as DeviceId;
const B = 'phone-1' as DeviceId;
const PANEL = 'https://panel.example';

/** @returns the rig and the port of its WebSocket listener */
async function startWebRig(t: TestContext, limits: object = {}): Promise<Rig & { web: number; webUrl: string }> {
  const rig = await startRig(t, limits, [{ kind: 'ws', port: 0, origins: [PANEL] }]);
  const { port, url } = rig.broker.listeners[1]!;
  return { ...rig, web: port, webUrl: url };
}

const refusals = (rig: Rig, reason: string): number =>
  (rig.broker.counters.refused as Record<string, number>)[reason] ?? 0;

const ping = packet(KIND.pingreq, 0);

test('[B1] MQTT over WebSocket: a device there reaches one over TCP, with records of every size', async (t) => {
  const rig = await startWebRig(t);
  const { topics } = rig.broker;
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const b = await joinDevice({ ...rig, url: rig.webUrl }, t, manager, B);
  manager.order({ kind: 'Allow', pairs: [{ a: A, b: B }] });
  const sizes = [0, 1, 125, 126, 65_535, 65_536, 128 * 1024];
  await until(() => {
    a.transport.publish(topics.peer(B, A), bytes('probe'), 1);
    return b.got.length > 0;
  }, 'the pair is allowed');
  await until(() => b.got.every(({ payload }) => text(payload) === 'probe'), 'probes alone');
  const before = rig.broker.counters.forwardedMessages;
  assert.ok(before > 0);
  for (const [there, back, topic] of [
    [a, b, topics.peer(B, A)],
    [b, a, topics.peer(A, B)],
  ] as const) {
    back.got.length = 0;
    for (const size of sizes) there.transport.publish(topic, new Uint8Array(size).fill(size & 0xff), 1);
    const whole = () => back.got.filter(({ payload }) => text(payload) !== 'probe');
    await until(() => whole().length === sizes.length, 'all sizes');
    assert.deepEqual(
      whole().map(({ payload }) => [payload.length, payload.at(-1) ?? null]),
      sizes.map((size) => [size, size === 0 ? null : size & 0xff]),
    );
  }
  assert.deepEqual([a.downs, b.downs, manager.downs], [[], [], []]);
});

const REQUESTS: readonly [what: string, bytes: string, status: number][] = [
  ['a page', request('GET / HTTP/1.1', { Host: 'x' }), 404],
  ['a path outside', request('GET /mqtt/../admin HTTP/1.1', { Host: 'x' }), 404],
  ['the path without an upgrade', request('GET /mqtt HTTP/1.1', { Host: 'x' }), 426],
  ['the path with a query, without an upgrade', request('GET /mqtt?a=/other HTTP/1.1', { Host: 'x' }), 426],
  ['HEAD', request('HEAD /mqtt HTTP/1.1', { Host: 'x' }), 426],
  ['a body', `${request('POST /mqtt HTTP/1.1', { Host: 'x', 'Content-Length': '1000000' })}aaaa`, 426],
  [
    'Expect: 100-continue',
    request('PUT /mqtt HTTP/1.1', { Host: 'x', Expect: '100-continue', 'Content-Length': '9' }),
    426,
  ],
  ['another expectation', request('PUT /mqtt HTTP/1.1', { Host: 'x', Expect: 'tea' }), 426],
  ['a proxy request', request('CONNECT broker.example:443 HTTP/1.1', { Host: 'x' }), 405],
  ['two requests in one segment', request('GET / HTTP/1.1', { Host: 'x' }).repeat(2), 404],
  ['an upgrade elsewhere', upgrade('/other'), 404],
  ['an upgrade for another subprotocol', upgrade('/mqtt', { 'Sec-WebSocket-Protocol': 'chat, mqttx' }), 400],
  ['an upgrade without a subprotocol', upgrade('/mqtt', { 'Sec-WebSocket-Protocol': null }), 400],
  ['an upgrade from an unknown page', upgrade('/mqtt', { Origin: 'https://evil.example' }), 403],
  ['an upgrade to HTTP/2', upgrade('/mqtt', { Upgrade: 'h2c' }), 400],
  ['an upgrade without a key', upgrade('/mqtt', { 'Sec-WebSocket-Key': null }), 400],
  ['an upgrade of version 12', upgrade('/mqtt', { 'Sec-WebSocket-Version': '12' }), 400],
  ['20 KiB of headers', upgrade('/mqtt', { Cookie: 'c'.repeat(20 * 1024) }), 431],
  ['a header that is none', 'GET /mqtt HTTP/1.1\r\nHost x\r\n\r\n', 400],
  ['MQTT without HTTP', connect('a'.repeat(24)).toString('latin1'), 400],
];

test('[B1] MQTT over WebSocket: a request that is no upgrade to it gets a status and nothing else', async (t) => {
  const rig = await startWebRig(t);
  for (const [what, sent, status] of REQUESTS) {
    const raw = rawWebSocket(rig.web, t);
    raw.socket.write(Buffer.from(sent, 'latin1'));
    await until(raw.closed, `${what}: closed`);
    assert.match(raw.answer(), new RegExp(`^HTTP/1\\.1 ${status} `), what);
    assert.match(raw.answer(), /^Connection: close$/im, what);
    const [, announced = ''] = /^Content-Length: (\d+)$/im.exec(raw.answer()) ?? [];
    assert.equal(raw.body().length, Number(announced), what);
    assert.ok(raw.body().length < 64, what);
    assert.doesNotMatch(raw.answer(), /^(?:Server|X-Powered-By|Set-Cookie):/im, what);
  }
  assert.equal(rig.broker.counters.links, 0);
  assert.ok(refusals(rig, 'http-request') > REQUESTS.length / 2);
});

test('[B1] MQTT over WebSocket: an upgrade chooses mqtt among others, without compression, for programs and for known pages', async (t) => {
  const rig = await startWebRig(t);
  const offers: Headers[] = [
    {},
    { Origin: PANEL },
    { 'Sec-WebSocket-Protocol': 'mqttv3.1, mqtt' },
    { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
  ];
  for (const headers of offers) {
    const raw = rawWebSocket(rig.web, t);
    raw.socket.write(upgrade('/mqtt', headers));
    await until(() => raw.answer() !== '', 'an answer');
    assert.match(raw.answer(), /^HTTP\/1\.1 101 /);
    assert.match(raw.answer(), /^Sec-WebSocket-Protocol: mqtt$/im);
    assert.doesNotMatch(raw.answer(), /Sec-WebSocket-Extensions/i);
    raw.socket.write(binary(connect(newClientId())));
    await until(() => raw.packets.length === 1, 'CONNACK');
  }
});

test('[B1] MQTT over WebSocket: headers that come slowly, or nothing at all, end with the time for a login', async (t) => {
  const rig = await startWebRig(t, { loginTimeoutMs: 300 });
  const silent = rawWebSocket(rig.web, t);
  const slow = rawWebSocket(rig.web, t);
  const trickle = setInterval(() => slow.socket.write('X-Header: a\r\n'), 20);
  t.after(() => clearInterval(trickle));
  slow.socket.write('GET /mqtt HTTP/1.1\r\n');
  const upgraded = await openWebSocket(rig.web, t);
  const linked = await openWebSocket(rig.web, t);
  linked.socket.write(binary(connect(newClientId())));
  const body = rawWebSocket(rig.web, t);
  body.socket.pause();
  body.socket.write(request('POST /mqtt HTTP/1.1', { Host: 'x', 'Content-Length': '1000000' }));
  await until(() => [silent, slow, upgraded, linked].every(({ closed }) => closed()), 'all closed');
  body.socket.resume();
  await until(body.closed, 'the unread answer too');
  assert.equal(linked.packets.length, 1);
  assert.equal(rig.broker.counters.links, 0);
});

/** What is sent after the upgrade, and whether the link is there afterwards. */
const CONVERSATIONS: readonly [what: string, frames: (link: string) => readonly Buffer[], answers: string | null][] = [
  ['a packet in a frame each', (link) => [binary(connect(link)), binary(ping)], 'connack pingresp'],
  [
    'several packets in one frame',
    (link) => [binary(Buffer.concat([connect(link), ping, ping]))],
    'connack pingresp pingresp',
  ],
  [
    'a packet over two frames',
    (link) => [binary(connect(link).subarray(0, 9)), binary(Buffer.concat([connect(link).subarray(9), ping]))],
    'connack pingresp',
  ],
  [
    'a packet in a frame for each byte',
    (link) => [...Array.from(connect(link), (byte) => binary(Buffer.from([byte]))), binary(ping)],
    'connack pingresp',
  ],
  [
    'a message in fragments, with a ping between',
    (link) => [
      binary(connect(link).subarray(0, 5), { fin: false }),
      frame(OPCODE.ping, 'are you there'),
      frame(OPCODE.continuation, connect(link).subarray(5, 6), { fin: false }),
      frame(OPCODE.continuation, Buffer.alloc(0), { fin: false }),
      frame(OPCODE.continuation, connect(link).subarray(6)),
      binary(ping),
    ],
    'connack pingresp',
  ],
  [
    'empty frames',
    (link) => [binary(Buffer.alloc(0)), binary(connect(link)), binary(Buffer.alloc(0)), binary(ping)],
    'connack pingresp',
  ],
  [
    'pongs that nobody asked for',
    (link) => [frame(OPCODE.pong, 'x'), binary(connect(link)), frame(OPCODE.pong, ''), binary(ping)],
    'connack pingresp',
  ],
  ['a text frame', (link) => [frame(OPCODE.text, connect(link).subarray(0, 8))], null],
  ['a text frame after the login', (link) => [binary(connect(link)), frame(OPCODE.text, 'hello')], null],
  [
    'a text frame of bytes that are no text',
    (link) => [binary(connect(link)), frame(OPCODE.text, Buffer.from([0xff]))],
    null,
  ],
  ['a frame without a mask', (link) => [binary(connect(link), { masked: false })], null],
  ['a frame that says it is compressed', (link) => [binary(connect(link), { rsv: 4 })], null],
  ['reserved bits', (link) => [binary(connect(link), { rsv: 1 })], null],
  ['an opcode that is none', (link) => [frame(3, connect(link))], null],
  ['a continuation of nothing', (link) => [frame(OPCODE.continuation, connect(link))], null],
  ['a message inside a message', (link) => [binary(connect(link), { fin: false }), binary(connect(link))], null],
  ['a ping of 126 bytes', (link) => [binary(connect(link)), frame(OPCODE.ping, Buffer.alloc(126))], null],
  ['a fragmented ping', (link) => [binary(connect(link)), frame(OPCODE.ping, 'x', { fin: false })], null],
  [
    'a thousand pings at once',
    (link) => [binary(connect(link)), ...new Array(1000).fill(frame(OPCODE.ping, 'x'))],
    null,
  ],
  [
    'a thousand pongs at once',
    (link) => [binary(connect(link)), ...new Array(1000).fill(frame(OPCODE.pong, 'x'))],
    null,
  ],
  ['a close frame of one byte', (link) => [binary(connect(link)), frame(OPCODE.close, 'x')], null],
  ['a close frame', (link) => [binary(connect(link)), frame(OPCODE.close, Buffer.from([3, 232]))], null],
  ['an announced mebibyte', () => [binary(Buffer.alloc(16), { length: 1024 * 1024 })], null],
  ['a 64-bit length', () => [Buffer.from([0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0])], null],
  [
    '40 KiB of a message that does not end',
    (link) => [binary(connect(link)), binary(Buffer.alloc(40_960), { length: 131_072 })],
    null,
  ],
  [
    '40 KiB in fragments',
    () =>
      Array.from({ length: 40 }, (_, at) =>
        frame(at === 0 ? OPCODE.binary : OPCODE.continuation, Buffer.alloc(1024), { fin: false }),
      ),
    null,
  ],
  [
    '2,000 empty fragments',
    () =>
      Array.from({ length: 2000 }, (_, at) =>
        frame(at === 0 ? OPCODE.binary : OPCODE.continuation, Buffer.alloc(0), { fin: false }),
      ),
    null,
  ],
  ['PUBLISH before CONNECT', (link) => [binary(publish(`km1/m/~${link}`, 'x'))], null],
  ['200 MiB of CONNECT', () => [binary(Buffer.from([0x10, 0x80, 0x80, 0x80, 0x64]))], null],
  ['PUBREL for an unknown id', (link) => [binary(Buffer.concat([connect(link), ack(KIND.pubrel, 9)]))], null],
  ['a subscription to all', (link) => [binary(connect(link)), binary(subscribe(['#']))], null],
  ['a second CONNECT', (link) => [binary(connect(link)), binary(connect(newClientId()))], null],
  ['a will', (link) => [binary(connect(link, { flags: 6, rest: [Buffer.from([0, 1, 0x6b, 0, 1, 0x6b])] }))], null],
];

test('[B1] [5.6 parser differences] MQTT over WebSocket: packets may lie in frames as they like; what is no binary frame of MQTT ends the link', async (t) => {
  const rig = await startWebRig(t, { messagesBeforeLogin: 1000 });
  const manager = await joinManager(rig, t);
  const honest = await joinDevice({ ...rig, url: rig.webUrl }, t, manager, A);
  for (const [number, [what, frames, answers]] of CONVERSATIONS.entries()) {
    for (const together of [true, false]) {
      const raw = await openWebSocket(rig.web, t);
      const pieces = frames(newClientId());
      for (const piece of together ? [Buffer.concat(pieces)] : pieces) raw.socket.write(piece);
      const read = () => raw.packets.map(({ cmd }) => cmd).join(' ');
      await until(() => raw.closed() || read() === answers, `${what}: ${answers ?? 'closed'}`);
      assert.equal(raw.closed(), answers === null, what);
      if (answers === null) assert.match(read(), /^(?:connack)?$/, what);
      raw.socket.destroy();
    }
    manager.transport.publish(rig.broker.topics.toDevice({ kind: 'device', id: A }), bytes(`${number}`), 1);
    await until(() => honest.got.some(({ payload }) => text(payload) === `${number}`), `${what}: an honest link reads`);
  }
  await until(() => rig.broker.counters.links === 2, 'only the honest ones are left');
  assert.deepEqual([honest.downs, manager.downs], [[], []]);
  assert.ok(refusals(rig, 'web-socket-frame') > 20);
});

test('[B1] MQTT over WebSocket: a flood of pings costs its sender the link, and nobody else anything', async (t) => {
  const rig = await startWebRig(t, { drainTimeoutMs: 500 });
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const raw = await openWebSocket(rig.web, t);
  raw.socket.write(binary(connect(newClientId())));
  await until(() => raw.packets.length === 1, 'CONNACK');
  raw.socket.pause();
  const flood = Buffer.concat(new Array(1000).fill(frame(OPCODE.ping, Buffer.alloc(125))));
  const before = process.memoryUsage().rss;
  let blocks = 0;
  let ended = false;
  raw.socket.on('close', () => {
    ended = true;
  });
  await until(() => {
    if (raw.socket.writableLength < 1024 * 1024) {
      raw.socket.write(flood);
      blocks++;
    }
    if (!ended) raw.socket.read(); // its end is seen by reading alone
    return ended || rig.broker.counters.links === 2;
  }, 'the flood ends');
  assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, `${blocks} blocks`);
  manager.transport.publish(rig.broker.topics.toDevice({ kind: 'device', id: A }), bytes('still here'), 1);
  await until(() => a.got.length === 1, 'A reads');
});

test('[B1] MQTT over WebSocket: a device that pings is not taken for one that hoards', async (t) => {
  const rig = await startWebRig(t);
  const raw = await openWebSocket(rig.web, t);
  raw.socket.write(binary(connect(newClientId())));
  await until(() => raw.packets.length === 1, 'CONNACK');
  const began = performance.now();
  // more bytes than a link may leave lying about before its login, at three fifths of the rate that is too much
  for (let round = 1; round <= 8; round++) {
    raw.socket.write(Buffer.concat(new Array(20).fill(frame(OPCODE.ping, Buffer.alloc(125)))));
    await until(() => raw.opcodes.filter((code) => code === OPCODE.pong).length === round * 20, `round ${round}`);
    await until(() => performance.now() - began > round * 333, 'a third of a second');
  }
  raw.socket.write(binary(ping));
  await until(() => raw.packets.length === 2, 'PINGRESP');
});

test('[B1] MQTT over WebSocket: a reader that takes nothing is closed, and holds up nobody', async (t) => {
  const rig = await startWebRig(t, { drainTimeoutMs: 500 });
  const { topics } = rig.broker;
  const manager = await joinManager(rig, t);
  const a = await joinDevice(rig, t, manager, A);
  const frozen = await openWebSocket(rig.web, t);
  const link = newClientId();
  frozen.socket.write(binary(connect(link)));
  await until(() => frozen.packets.length === 1, 'CONNACK');
  manager.order({ kind: 'Promote', link: link as LinkId, device: B });
  manager.order({ kind: 'Allow', pairs: [{ a: A, b: B }] });
  await until(() => rig.broker.counters.promoted === 2, 'promoted');
  frozen.socket.pause();
  await until(() => {
    a.transport.publish(topics.peer(B, A), new Uint8Array(60 * 1024), 0);
    return refusals(rig, 'slow-reader') > 0;
  }, 'it is full');
  manager.transport.publish(topics.toDevice({ kind: 'device', id: A }), bytes('on time'), 1);
  await until(() => a.got.length === 1, 'A reads');
  await until(() => rig.broker.counters.promoted === 1, 'the frozen one is closed');
  assert.equal(a.downs.length, 0);
});

test('[B1] MQTT over WebSocket: new links are capped per address together with those over TCP', async (t) => {
  const rig = await startWebRig(t, { newPerAddress: 2 });
  await rawLink(rig.port, t);
  const second = await openWebSocket(rig.web, t);
  const third = rawWebSocket(rig.web, t);
  third.socket.write(upgrade());
  await until(third.closed, 'the third refused');
  assert.equal(third.answer(), '');
  second.socket.destroy();
  await until(() => {
    const again = rawWebSocket(rig.web, t);
    again.socket.write(upgrade());
    return refusals(rig, 'too-many-new-links') > 0;
  }, 'refused');
});

const hasOpenssl = spawnSync('openssl', ['version']).status === 0;
test('[B1] MQTT over WebSocket with TLS: a link comes up with the right anchor; why not is said in words', {
  skip: hasOpenssl ? false : 'openssl absent',
}, async (t) => {
  const plain = await startWebRig(t);
  const keyFile = joinPath(plain.folder, 'key.pem');
  const certificateFile = joinPath(plain.folder, 'cert.pem');
  const asked = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const name = ['-subj', '/CN=broker', '-addext', 'subjectAltName=IP:127.0.0.1'];
  execFileSync('openssl', [...asked, ...name, '-keyout', keyFile, '-out', certificateFile], { stdio: 'ignore' });
  const listen = [{ kind: 'wss', port: 0, path: '/of/kagimori', certificateFile, keyFile }];
  const rig = await startRig(t, { loginTimeoutMs: 1000 }, listen);
  const { url, port } = rig.broker.listeners[1]!;
  assert.match(url, /^wss:\/\/127\.0\.0\.1:\d+\/of\/kagimori$/);
  const open = (where: string, anchorPem?: string) => {
    const seen = watcher();
    const transport = mqttTransport({
      url: where,
      crypto,
      observer: seen,
      subscriptions: () => [],
      reconnect: { minMs: 5000, maxMs: 5000 },
      ...(anchorPem === undefined ? {} : { anchorPem }),
    });
    t.after(() => transport.close());
    return seen;
  };
  const anchor = readFileSync(certificateFile, 'utf8');
  const good = open(url, anchor);
  const reasonFor = async (where: string, anchorPem?: string) => {
    const seen = open(where, anchorPem);
    await until(() => seen.downs.length === 1, `${where} is down`);
    return seen.downs[0]!.replaceAll(/:\d+/g, ':PORT');
  };
  await until(() => good.links.length === 1, 'up');
  const where = '127.0.0.1:PORT';
  assert.match(await reasonFor(url), /^TLS: the certificate of 127\.0\.0\.1:PORT is self-signed/);
  const elsewhere = url.replace('/of/kagimori', '');
  assert.equal(
    await reasonFor(elsewhere, anchor),
    `${where} answered HTTP 404 instead of a WebSocket: is its path right?`,
  );
  assert.equal(await reasonFor('ws://127.0.0.1:1/mqtt'), `connection refused by ${where}: is the broker running?`);
  assert.match(
    await reasonFor(`ws://127.0.0.1:${rig.port}/mqtt`),
    /^(the connection to 127|127.*socket hang up|the broker at 127)/,
  );
  const silent = rawWebSocket(port, t);
  const garbage = rawWebSocket(port, t);
  garbage.socket.write(upgrade('/of/kagimori'));
  await until(() => silent.closed() && garbage.closed(), 'a handshake that does not come is not waited for');
});

test('[B1] the doctor asks a WebSocket for its path, not only for its port', async (t) => {
  const rig = await startWebRig(t);
  assert.deepEqual(await checkBroker(rig.webUrl, {}), {
    ok: true,
    what: `the broker at ${rig.webUrl} can be reached`,
    remedy: null,
  });
  const elsewhere = await checkBroker(rig.webUrl.replace('/mqtt', '/other'), {});
  assert.deepEqual(
    [elsewhere.ok, elsewhere.what],
    [
      false,
      `${rig.webUrl.replace('/mqtt', '/other')} is no WebSocket of a broker (127.0.0.1:${new URL(rig.webUrl).port} answered HTTP 404 instead of a WebSocket: is its path right?)`,
    ],
  );
  assert.equal((await checkBroker('ws://127.0.0.1:1/mqtt', {})).ok, false);
  assert.match((await checkBroker('http://127.0.0.1/mqtt', {})).what, /is no address/);
});

test('[B1] the address of a broker: schemes, their ports, the path of a WebSocket', () => {
  const rows: [url: string, wanted: object | null][] = [
    ['mqtt://h', { host: 'h', port: 1883, tls: false, webSocket: null }],
    ['mqtts://[::1]:1', { host: '::1', port: 1, tls: true, webSocket: null }],
    ['ws://h', { host: 'h', port: 80, tls: false, webSocket: 'ws://h:80/mqtt' }],
    ['wss://h/', { host: 'h', port: 443, tls: true, webSocket: 'wss://h:443/mqtt' }],
    ['wss://[::1]:8084/a/b', { host: '::1', port: 8084, tls: true, webSocket: 'wss://[::1]:8084/a/b' }],
    ['mqtt://h/mqtt', null],
    ['ws://h/mqtt?x=1', null],
    ['ws://user:word@h/mqtt', null],
    ['http://h', null],
    ['mqtt://h:99999', null],
  ];
  for (const [url, wanted] of rows) assert.deepEqual(brokerAddress(url), wanted, url);
});
