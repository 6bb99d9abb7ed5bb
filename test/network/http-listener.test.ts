/**
 * The wall around the HTTP server, each stone pushed: sizes, types, waits, connections, rates, and a handler that fails.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { addressBudget } from '../../platform/address-budget.ts';
import {
  type HttpLimits,
  type HttpListener,
  HttpListenFault,
  startHttpListener,
} from '../../platform/http-listener.ts';
import { Millis, seconds } from '../../protocol/units.ts';

const faults: string[] = [];

async function listening(limits: Partial<HttpLimits>, use: (listener: HttpListener) => Promise<void>): Promise<void> {
  const listener = await startHttpListener({
    host: '127.0.0.1',
    port: 0,
    limits,
    onFault: (path) => faults.push(path),
    handlers: {
      '/echo': {
        methods: ['POST'],
        bodyType: 'text/plain',
        maxBodyBytes: 10,
        answer: ({ body }) => ({ status: 200, headers: { 'content-type': 'text/plain' }, body }),
      },
      '/word': { methods: ['GET'], answer: async () => ({ status: 200, body: 'word' }) },
      '/fault': {
        methods: ['GET'],
        answer: () => {
          throw new Error('a secret of the house');
        },
      },
    },
  });
  try {
    await use(listener);
  } finally {
    await listener.close();
  }
}

interface Line {
  readonly socket: Socket;
  /** All that came until the far end hung up. */
  readonly ended: Promise<string>;
}

function dial({ address }: HttpListener, text: string): Line {
  const socket = connect(address.port, '127.0.0.1', () => socket.write(text));
  let read = '';
  const ended = new Promise<string>((resolve) => {
    socket.on('data', (chunk) => {
      read += chunk.toString();
    });
    socket.on('error', () => resolve(read));
    socket.on('close', () => resolve(read));
  });
  return { socket, ended };
}

const head = (first: string, ...lines: readonly string[]): string =>
  [`${first} HTTP/1.1`, 'host: localhost', ...lines, '', ''].join('\r\n');
const last = (first: string, ...lines: readonly string[]): string => head(first, 'connection: close', ...lines);
const TEXT = 'content-type: text/plain';

for (const [what, sent, expected] of [
  ['a path nobody has: 404', last('GET /nothing'), /^HTTP\/1\.1 404 /],
  ['a name that every object has: 404', last('GET __proto__'), /^HTTP\/1\.1 (?:400|404) /],
  [
    'a method that the path has not: 405 and those it has',
    last('POST /word'),
    /^HTTP\/1\.1 405 [\s\S]*allow: HEAD, GET\r\n/i,
  ],
  ['DELETE: 405', last('DELETE /echo'), /^HTTP\/1\.1 405 [\s\S]*allow: POST\r\n/i],
  [
    'a body of another type: 415',
    `${last('POST /echo', 'content-type: text/html', 'content-length: 1')}x`,
    /^HTTP\/1\.1 415 /,
  ],
  ['a body without a type: 415', `${last('POST /echo', 'content-length: 1')}x`, /^HTTP\/1\.1 415 /],
  ['a body announced too long: 413', last('POST /echo', TEXT, 'content-length: 11'), /^HTTP\/1\.1 413 /],
  [
    'a body that grows too long: 413',
    `${last('POST /echo', TEXT, 'transfer-encoding: chunked')}b\r\n01234567890\r\n`,
    /^HTTP\/1\.1 413 /,
  ],
  ['a GET with a body: 413', `${last('GET /word', 'content-length: 1')}x`, /^HTTP\/1\.1 413 /],
  ['two lengths: 400', `${head('POST /echo', TEXT, 'content-length: 1', 'content-length: 2')}xx`, /^HTTP\/1\.1 400 /],
  [
    'a length and chunks: 400',
    head('POST /echo', TEXT, 'content-length: 1', 'transfer-encoding: chunked'),
    /^HTTP\/1\.1 400 /,
  ],
  ['a path too long: 414', last(`GET /${'x'.repeat(9000)}`), /^HTTP\/1\.1 414 /],
  ['a head too long: 431', last('GET /word', `x: ${'x'.repeat(20_000)}`), /^HTTP\/1\.1 431 /],
  ['no HTTP at all: 400', 'SSH-2.0-x\r\n\r\n', /^HTTP\/1\.1 400 /],
  [
    'a whole body',
    `${last('POST /echo', 'content-type: Text/Plain; charset=utf-8', 'content-length: 10')}0123456789`,
    /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n0123456789$/,
  ],
  [
    'a body in chunks',
    `${last('POST /echo', TEXT, 'transfer-encoding: chunked')}5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n`,
    /\r\n\r\n0123456789$/,
  ],
  ['GET', last('GET /word?x=1'), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nword$/],
  [
    'HEAD: the same without a body',
    last('HEAD /word'),
    /^HTTP\/1\.1 200 [\s\S]*content-length: 4\r\n[\s\S]*\r\n\r\n$/i,
  ],
] as const) {
  test(`RFC 9110: ${what}`, () =>
    listening({}, async (listener) => assert.match(await dial(listener, sent).ended, expected)));
}

test('RFC 9112 §9.3: requests one behind the other on one connection are answered in order', () =>
  listening({}, async (listener) => {
    const text = await dial(listener, head('GET /word') + head('GET /nothing') + last('GET /word')).ended;
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200']);
  }));

test('[B6] a handler that throws is 500, told to the log, and not a word of it to the caller', () =>
  listening({}, async (listener) => {
    const text = await dial(listener, last('GET /fault')).ended;
    assert.match(text, /^HTTP\/1\.1 500 /);
    assert.doesNotMatch(text, /secret|\.ts/);
    assert.deepEqual(faults, ['/fault']);
  }));

test('[B6] whoever is refused and goes on sending gets to know why, and is hung up on', () =>
  listening({}, async (listener) => {
    const line = dial(listener, head('POST /echo', TEXT, 'content-length: 100000000'));
    const pour = (): void => {
      while (!line.socket.destroyed && line.socket.write('x'.repeat(10_000)));
    };
    line.socket.on('drain', pour);
    line.socket.once('data', pour);
    assert.match(await line.ended, /^HTTP\/1\.1 413 /);
    assert.ok(line.socket.bytesWritten < 50_000_000);
  }));

for (const [what, sent] of [
  ['a head', 'GET /word HTTP/1.1\r\nhost:'],
  ['a body', `${head('POST /echo', TEXT, 'content-length: 5')}12`],
  ['the first byte', ''],
] as const) {
  test(`[B6] whoever never ends ${what} is hung up on`, () =>
    listening({ timeoutMs: 100, idleMs: 100 }, async (listener) => {
      const text = await dial(listener, sent).ended;
      assert.match(text, /^(?:HTTP\/1\.1 408 [\s\S]*)?$/);
    }));
}

test('[B6] a connection that lies idle is ended', () =>
  listening({ idleMs: 100, timeoutMs: 100 }, async (listener) => {
    assert.match(await dial(listener, head('GET /word')).ended, /^HTTP\/1\.1 200 /);
  }));

test('[B6] more connections than allowed are dropped, and those that are there go on', () =>
  listening({ maxConnections: 2 }, async (listener) => {
    const held = [dial(listener, ''), dial(listener, '')];
    await Promise.all(held.map(({ socket }) => new Promise((resolve) => socket.once('connect', resolve))));
    assert.equal(await dial(listener, last('GET /word')).ended, '');
    held[0]!.socket.write(last('GET /word'));
    assert.match(await held[0]!.ended, /^HTTP\/1\.1 200 /);
    held[1]!.socket.destroy();
  }));

test('[B6] more connections of one address than allowed are hung up on, until one of them ends', () =>
  listening({ maxConnectionsOfAddress: 2 }, async (listener) => {
    const held = [dial(listener, ''), dial(listener, '')];
    await Promise.all(held.map(({ socket }) => new Promise((resolve) => socket.once('connect', resolve))));
    assert.equal(await dial(listener, last('GET /word')).ended, '');
    held[0]!.socket.destroy();
    await held[0]!.ended;
    let text = '';
    while (text === '') text = await dial(listener, last('GET /word')).ended;
    assert.match(text, /^HTTP\/1\.1 200 /);
    held[1]!.socket.destroy();
  }));

test('[B6] whoever sends a heap of requests before an answer is hung up on: the event loop has other work', () =>
  listening({}, async (listener) => {
    const text = await dial(listener, head('GET /word').repeat(9)).ended;
    assert.equal(text, '');
    const eight = await dial(listener, `${head('GET /word').repeat(7)}${last('GET /word')}`).ended;
    assert.equal(eight.match(/HTTP\/1\.1 200/g)?.length, 8);
  }));

test('[B6] whoever asks more often than allowed is told to wait', () =>
  listening({ requestsPerSecond: 1 }, async (listener) => {
    const text = await dial(listener, `${head('GET /word').repeat(7)}${last('GET /word')}`).ended;
    const codes = text.match(/HTTP\/1\.1 \d+/g)!.map((line) => line.slice(-3));
    assert.deepEqual(codes, ['200', '200', '200', '200', '429', '429', '429', '429']);
    assert.match(text, /retry-after: 1\r\n/i);
  }));

test('a place that is taken is an error that says so', () =>
  listening({}, async ({ address }) => {
    const again = startHttpListener({ ...address, handlers: {} });
    await assert.rejects(again, (error) => error instanceof HttpListenFault && error.code === 'EADDRINUSE');
  }));

test('close ends every connection, those in the middle of a request too', async () => {
  let line: Line | undefined;
  await listening({}, async (listener) => {
    line = dial(listener, 'GET /word HTTP/1.1\r\n');
    await new Promise((resolve) => line!.socket.once('connect', resolve));
  });
  assert.equal(await line!.ended, '');
});

test('[B6] a budget counts an IPv4 address alone and an IPv6 /64 as one, and refills with time', () => {
  const budget = addressBudget(1);
  const takes = (address: string, count: number, now: Millis): number =>
    Array.from({ length: count }, () => budget.take(address, now)).filter((granted) => granted).length;
  const start = Millis(1000);
  assert.equal(takes('192.0.2.1', 10, start), 4);
  assert.equal(takes('192.0.2.2', 10, start), 4);
  assert.equal(takes('2001:db8::1', 2, start), 2);
  assert.equal(takes('2001:db8:0:0:ffff::1', 10, start), 2);
  assert.equal(takes('2001:db8:0:1::1', 10, start), 4);
  assert.equal(takes('::ffff:192.0.2.3', 10, start), 4);
  assert.equal(takes('::ffff:192.0.2.4', 10, start), 4);
  assert.equal(takes('192.0.2.1', 10, Millis(start + seconds(2))), 2);
});

test('[B6] ten thousand addresses are remembered, and no more', () => {
  const budget = addressBudget(1);
  const now = Millis(0);
  for (let i = 0; i < 4; i++) budget.take('192.0.2.1', now);
  assert.equal(budget.take('192.0.2.1', now), false);
  for (let i = 0; i < 10_000; i++) budget.take(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, now);
  assert.equal(budget.take('192.0.2.1', now), true);
});
