/**
 * Fetching from places that misbehave: real servers on this machine, each wrong in its own way.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { writePem } from '../../platform/certificates.ts';
import { FetchFault, type FetchFaultKind, fetchBytes, type HttpPlace } from '../../platform/http-fetch.ts';
import { isInside } from '../../platform/inner-address.ts';
import { certify, root } from '../test-authority.ts';

const EXCHANGE = { maxBytes: 1000, timeoutMs: 2_000 };

async function serve(t: TestContext, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket.once('close', () => sockets.delete(socket)));
    socket.on('error', () => socket.destroy());
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const http = async (t: TestContext, answer: RequestListener): Promise<HttpPlace> => ({
  url: `http://127.0.0.1:${await serve(t, createServer(answer))}/ca.crl`,
  inside: true,
});

/** A server that sends these bytes, whatever it is asked. */
const raw = async (t: TestContext, send: (socket: Socket) => void): Promise<HttpPlace> => ({
  url: `http://127.0.0.1:${await serve(
    t,
    createTcpServer((socket) => socket.once('data', () => send(socket))),
  )}/`,
  inside: true,
});

async function failsWith(place: HttpPlace, fault: FetchFaultKind, told: RegExp, exchange = EXCHANGE): Promise<void> {
  await assert.rejects(fetchBytes(place, exchange), (error) => {
    assert.ok(error instanceof FetchFault, String(error));
    assert.match(error.message, told);
    assert.ok(error.message.startsWith(place.url));
    assert.equal(error.fault, fault, error.message);
    return true;
  });
}

test('a body is got whole, by GET, and by POST with what was sent', async (t) => {
  const place = await http(t, (request, response) => {
    assert.equal(request.headers['accept-encoding'], 'identity');
    if (request.method === 'GET') return response.end('list');
    request.pipe(response);
  });
  assert.deepEqual(Buffer.from(await fetchBytes(place, EXCHANGE)).toString(), 'list');
  const body = { type: 'application/ocsp-request', bytes: Uint8Array.of(1, 2, 3) };
  assert.deepEqual([...(await fetchBytes(place, { ...EXCHANGE, body }))], [1, 2, 3]);
});

test('exactly as many bytes as allowed are taken, and not one more: announced, unannounced, or sent without end', async (t) => {
  const sized = (length: number) => http(t, (_, response) => response.end(Buffer.alloc(length)));
  assert.equal((await fetchBytes(await sized(1000), EXCHANGE)).length, 1000);
  await failsWith(await sized(1001), 'too-large', /more than 1000 bytes/);
  let sent = 0;
  const endless = await http(t, (_, response) => {
    const pour = (): void => {
      while (sent < 2 ** 30 && response.write(Buffer.alloc(65_536))) sent += 65_536;
    };
    response.on('drain', pour);
    pour();
  });
  await failsWith(endless, 'too-large', /more than 1000 bytes/);
  assert.ok(sent < 64 * 2 ** 20, `${sent} bytes were sent`);
});

test('a length that lies: more than comes is a broken answer, less cuts what follows off', async (t) => {
  const head = (length: number): string => `HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n`;
  await failsWith(await raw(t, (socket) => socket.end(`${head(100)}short`)), 'broken', /broke off before its end/);
  const surplus = await raw(t, (socket) => socket.end(`${head(4)}listHTTP/1.1 200 OK\r\n\r\nmore`));
  assert.equal(Buffer.from(await fetchBytes(surplus, EXCHANGE)).toString(), 'list');
});

test('who never answers, or drips, is left when the time is over', async (t) => {
  const brief = { ...EXCHANGE, timeoutMs: 150 };
  await failsWith(await raw(t, () => {}), 'timeout', /no whole answer within 0\.15 s/, brief);
  const dripping = await http(t, (_, response) => {
    const timer = setInterval(() => response.write('x'), 20);
    response.on('close', () => clearInterval(timer));
  });
  await failsWith(dripping, 'timeout', /no whole answer/, brief);
});

test('a redirect is named and not followed', async (t) => {
  let asked = 0;
  const place = await http(t, (_, response) => {
    asked++;
    response.writeHead(302, { location: 'http://169.254.169.254/latest/meta-data' }).end();
  });
  await failsWith(place, 'redirect', /leads on to http:\/\/169\.254\.169\.254.*, which is not followed/);
  assert.equal(asked, 1);
});

test('another status, an encoding nobody asked for, endless headers and what is no HTTP are told apart', async (t) => {
  const answer = (status: number, headers: Record<string, string>) =>
    http(t, (_, response) => response.writeHead(status, headers).end('x'));
  await failsWith(await answer(404, {}), 'status', /HTTP 404 instead of 200/);
  await failsWith(await answer(200, { 'content-encoding': 'gzip' }), 'broken', /encoded \(gzip\)/);
  const long = await raw(t, (socket) => socket.write(`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`));
  await failsWith(long, 'broken', /headers of more than 16384 bytes/);
  await failsWith(await raw(t, (socket) => socket.end('SSH-2.0-x\r\n')), 'broken', /no HTTP/);
  const gone = createTcpServer();
  gone.listen(0, '127.0.0.1');
  await once(gone, 'listening');
  const url = `http://127.0.0.1:${(gone.address() as AddressInfo).port}/`;
  gone.close();
  await once(gone, 'close');
  await failsWith({ url, inside: true }, 'unreachable', /connection refused/);
});

test('an address inside is not connected to, however it is written, unless that is allowed', async (t) => {
  let connections = 0;
  const server = createServer((_, response) => response.end('secret'));
  server.on('connection', () => connections++);
  const port = await serve(t, server);
  const spellings = ['127.0.0.1', '127.1', '0x7f000001', '2130706433', '0', '[::1]', '[::ffff:127.0.0.1]', 'localhost'];
  for (const host of spellings) {
    await failsWith({ url: `http://${host}:${port}/`, inside: false }, 'inside', /is a private or local address/);
  }
  assert.equal(connections, 0);
  // the same server, allowed: the check above is what kept us away
  const allowed = await fetchBytes({ url: `http://127.0.0.1:${port}/`, inside: true }, EXCHANGE);
  assert.equal(Buffer.from(allowed).toString(), 'secret');
});

test('which addresses lie inside', () => {
  const inside = [
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.9.9.9', '169.254.169.254', '172.31.0.1', '192.168.1.1', '198.18.0.1'],
    ...['224.0.0.1', '255.255.255.255', '::', '::1', 'fe80::1', 'fe80::1%eth0', 'fd00::1', 'ff02::1', '::ffff:8.8.8.8'],
    ...['::ffff:10.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', '2001:0:1::', '2001:db8::1', 'no address', ''],
  ];
  for (const address of inside) assert.equal(isInside(address), true, address);
  for (const address of ['8.8.8.8', '172.32.0.1', '100.128.0.1', '2606:4700::1', '2a00:1450::1']) {
    assert.equal(isInside(address), false, address);
  }
});

test('https: with the anchor that was given, not without it, not under another name', async (t) => {
  const anchor = root();
  const now = Math.floor(Date.now() / 1000);
  const period = { notBefore: now - 3600, notAfter: now + 3600 };
  const fresh = certify('Test root', { ...period, key: anchor.key, ca: { pathLength: null } }, null);
  const leaf = certify('localhost', { ...period, alternativeNames: [{ type: 'dns', value: 'localhost' }] }, fresh);
  const options = {
    key: leaf.key.privatePkcs8Pem as string | Buffer,
    cert: writePem('CERTIFICATE', leaf.certificate.der),
  };
  const port = await serve(
    t,
    createTlsServer(options, (_, response) => response.end('list')),
  );
  const anchorPem = new TextEncoder().encode(writePem('CERTIFICATE', fresh.certificate.der));
  const url = `https://localhost:${port}/`;
  assert.equal((await fetchBytes({ url, inside: true, anchorPem }, EXCHANGE)).length, 4);
  await failsWith(
    { url, inside: true },
    'unreachable',
    /TLS: the certificate of localhost:\d+ is under no known anchor/,
  );
  const other = { url: `https://127.0.0.1:${port}/`, inside: true, anchorPem };
  await failsWith(other, 'unreachable', /TLS: the certificate is not made out to/);
  const plain = await http(t, (_, response) => response.end());
  await failsWith({ ...plain, url: plain.url.replace('http:', 'https:') }, 'unreachable', /TLS/);
});

test('a fetch ends when the service does', async (t) => {
  const place = await raw(t, () => {});
  const closing = new AbortController();
  const asked = fetchBytes(place, { ...EXCHANGE, signal: closing.signal });
  closing.abort();
  await assert.rejects(asked, /the service ends/);
});
