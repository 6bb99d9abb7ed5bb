/**
 * The yardstick of a device's session: what a user would pick instead, a mutually authenticated TLS 1.3 handshake of
 * node:tls with P-256 certificates, and its resumption by a session ticket. Client in this thread, server in another, each
 * by its own thread's CPU clock.
 */
import { once } from 'node:events';
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type TLSSocket } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { writePem } from '../platform/certificates.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import { ca, certify, type Holder, root } from '../test/test-authority.ts';
import type { FromTlsServer, TlsServerData, ToTlsServer } from './tls-server.ts';

export interface TlsRound {
  /** µs of CPU for one handshake, sockets included. */
  readonly client: number;
  readonly server: number;
}

/** On the TCP connection, by who sent them. */
export interface TlsBytes {
  readonly client: number;
  readonly server: number;
}

export interface TlsYardstick {
  handshakes(count: number): Promise<TlsRound>;
  /** By one session ticket (PSK with a fresh key agreement, as node:tls does it). */
  resumptions(count: number): Promise<TlsRound>;
  /** Of one handshake and one resumption, until the server's first byte, that and the tickets with it. */
  bytes(): Promise<{ readonly handshake: TlsBytes; readonly resumption: TlsBytes }>;
  /** The same flights over bare TCP connections. */
  connections(count: number): Promise<TlsRound>;
  close(): Promise<void>;
}

const SERVER_AND_CLIENT_AUTH = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2', EXTENDED_KEY_USAGE.kagimoriDevice];
const FLIGHTS: TlsServerData['flights'] = [320, 1500, 1400];

/** @param groups  of the key agreement; by itself node:tls takes X25519MLKEM768, a hybrid with a post-quantum half */
export async function tlsYardstick(groups: 'X25519' | 'auto' = 'auto'): Promise<TlsYardstick> {
  const now = Math.floor(Date.now() / 1000);
  const period = { notBefore: now - 3600, notAfter: now + 86_400 };
  const anchor = root('Yardstick root', period);
  const issuer = ca(anchor, 'Yardstick CA', period);
  const leaf = (name: string): Holder =>
    certify(name, { ...period, keyUsage: ['digitalSignature'], extendedKeyUsage: SERVER_AND_CLIENT_AUTH }, issuer);
  // Leaf and one intermediate, as a device of ours has them.
  const material = (holder: Holder) => ({
    key: Buffer.from(holder.key.privatePkcs8Pem).toString('latin1'),
    cert: pem(holder) + pem(issuer),
    ca: pem(anchor),
  });
  const data: TlsServerData = { ...material(leaf('yardstick-server')), flights: FLIGHTS };
  const worker = new Worker(new URL('./tls-server.ts', import.meta.url), { workerData: data });
  const [ready] = (await once(worker, 'message')) as [FromTlsServer];
  if (ready.type !== 'ready') throw new Error('the TLS server did not come up');
  const secureContext = createSecureContext({
    ...material(leaf('yardstick-client')),
    minVersion: 'TLSv1.3',
    ecdhCurve: groups,
  });

  const ask = async (message: ToTlsServer): Promise<number> => {
    worker.postMessage(message);
    const [answer] = (await once(worker, 'message')) as [FromTlsServer];
    return answer.type === 'cpu' ? answer.micros : 0;
  };
  const measure = async (count: number, one: () => Promise<void>): Promise<TlsRound> => {
    const serverBefore = await ask('cpu');
    const before = process.threadCpuUsage();
    for (let i = 0; i < count; i++) await one();
    const { user, system } = process.threadCpuUsage(before);
    const server = (await ask('cpu')) - serverBefore;
    return { client: (user + system) / count, server: server / count };
  };
  const dial = (session?: Buffer, port = ready.tls): TLSSocket =>
    connectTls({
      port,
      host: '127.0.0.1',
      secureContext,
      ...(session === undefined ? {} : { session }),
      checkServerIdentity: () => undefined,
    });
  const handshake = async (): Promise<void> => {
    await firstByteAndEnd(dial());
  };
  let ticket: Buffer | null = null;
  const resumption = async (port = ready.tls): Promise<void> => {
    ticket ??= await newTicket(dial());
    const socket = dial(ticket, port);
    await once(socket, 'data');
    if (!socket.isSessionReused()) throw new Error('the TLS server did not take its ticket');
    socket.destroy();
    await once(socket, 'close');
  };
  const connection = async (): Promise<void> => {
    const socket = connectTcp({ port: ready.tcp, host: '127.0.0.1', noDelay: true });
    const [hello, answer, finish] = FLIGHTS;
    let received = 0;
    socket.write(Buffer.alloc(hello));
    await new Promise<void>((resolve, reject) => {
      socket.on('error', reject);
      socket.on('data', (chunk) => {
        const before = received;
        received += chunk.length;
        if (before < answer && received >= answer) socket.write(Buffer.alloc(finish));
        if (received > answer) resolve();
      });
    });
    socket.destroy();
    await once(socket, 'close');
  };
  return {
    handshakes: (count) => measure(count, handshake),
    async resumptions(count) {
      await resumption(); // fetches the ticket
      return await measure(count, () => resumption());
    },
    bytes: async () => ({
      handshake: await bytesThrough(ready.tls, (port) => firstByteAndEnd(dial(undefined, port))),
      resumption: await bytesThrough(ready.tls, resumption),
    }),
    connections: (count) => measure(count, connection),
    async close() {
      worker.postMessage('close' satisfies ToTlsServer);
      await once(worker, 'exit');
    },
  };
}

async function newTicket(socket: TLSSocket): Promise<Buffer> {
  const [session] = (await once(socket, 'session')) as [Buffer];
  socket.destroy();
  await once(socket, 'close');
  return session;
}

/** What passes a relay in between: a TLS socket counts only what it carries. */
async function bytesThrough(target: number, act: (port: number) => Promise<void>): Promise<TlsBytes> {
  const passed = { client: 0, server: 0 };
  const relay = createServer((near) => {
    const far = connectTcp({ port: target, host: '127.0.0.1' });
    near.on('data', (chunk) => {
      passed.client += chunk.length;
      far.write(chunk);
    });
    far.on('data', (chunk) => {
      passed.server += chunk.length;
      near.write(chunk);
    });
    for (const [one, other] of [[near, far] as const, [far, near] as const]) {
      one.on('error', () => {});
      one.on('close', () => other.destroy());
    }
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  await act((relay.address() as AddressInfo).port);
  relay.close();
  await once(relay, 'close');
  return passed;
}

async function firstByteAndEnd(socket: Socket): Promise<void> {
  await once(socket, 'data');
  socket.destroy();
  await once(socket, 'close');
}

const pem = ({ certificate }: Holder): string => writePem('CERTIFICATE', certificate.der);
