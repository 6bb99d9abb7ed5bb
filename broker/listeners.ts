/**
 * The broker's open ports: TCP, TLS, and WebSocket over either. A connection is asked for twice: when it arrives, before
 * any work was done for it, and when bytes can flow.
 */
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import type { ListenerConfig } from './config.ts';
import { httpOptions, serveWebSockets, type WebDoor } from './web-door.ts';

export type BrokerFault =
  | 'integrator-name'
  | 'port-taken'
  | 'port-forbidden'
  | 'address-unknown'
  | 'tls-file'
  | 'token-file'
  | 'listen';

/** Why the broker cannot start; the message is a sentence for the operator. */
export class BrokerError extends Error {
  readonly fault: BrokerFault;
  constructor(fault: BrokerFault, detail: string) {
    super(detail);
    this.name = 'BrokerError';
    this.fault = fault;
  }
}

/** `opened` comes for the same connection when bytes of MQTT can flow; `origin` is the socket that arrived. */
export interface Door extends WebDoor {
  /** @returns false to end the connection without a word */
  arrived(socket: Socket, address: string): boolean;
}

/** The scheme of a URL for each kind. */
const SCHEMES = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' } as const;

export interface Listener {
  readonly kind: ListenerConfig['kind'];
  readonly host: string;
  /** The real one, where 0 was configured. */
  readonly port: number;
  readonly url: string;
  close(): Promise<void>;
}

/** @throws BrokerError when the port or a TLS file cannot be had */
export async function listen(config: ListenerConfig, handshakeTimeout: number, door: Door): Promise<Listener> {
  /** Connections of TLS and HTTP, until bytes of MQTT can flow and after. */
  const waiting = new Map<string, Socket>();
  const tls = 'certificateFile' in config ? await tlsOptions(config) : {};
  const server = createServer(config, tls, handshakeTimeout, door, (socket) => waiting.get(nameOf(socket)));
  server.prependListener('connection', (socket: Socket) => {
    // Before the TLS server's own listener: a refused connection costs no handshake.
    socket.on('error', () => {});
    if (!door.arrived(socket, addressKey(socket.remoteAddress ?? ''))) {
      socket.destroy();
      return;
    }
    if (config.kind === 'tcp') {
      door.opened(socket, socket);
      return;
    }
    const name = nameOf(socket);
    waiting.set(name, socket);
    socket.once('close', () => waiting.delete(name));
  });
  const port = await bind(server, config);
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  return {
    kind: config.kind,
    host: config.host,
    port,
    url: `${SCHEMES[config.kind]}://${host}:${port}${'path' in config ? config.path : ''}`,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** @throws BrokerError when certificate and key are no pair */
function createServer(
  config: ListenerConfig,
  tls: TlsOptions,
  handshakeTimeout: number,
  door: Door,
  originOf: (socket: Socket) => Socket | undefined,
): Server {
  try {
    switch (config.kind) {
      case 'tcp':
        return createTcpServer({ noDelay: true });
      case 'tls': {
        const server = createTlsServer({ ...tls, handshakeTimeout, noDelay: true });
        server.on('secureConnection', (socket) => {
          const origin = originOf(socket);
          if (origin === undefined) socket.destroy();
          else door.opened(socket, origin);
        });
        server.on('tlsClientError', (_error, socket) => socket.destroy());
        return server;
      }
      case 'ws': {
        const server = createHttpServer(httpOptions(handshakeTimeout));
        serveWebSockets(server, config, door, originOf);
        return server;
      }
      case 'wss': {
        const server = createHttpsServer({ ...tls, ...httpOptions(handshakeTimeout), handshakeTimeout });
        serveWebSockets(server, config, door, originOf);
        return server;
      }
      default:
        return config satisfies never;
    }
  } catch (error) {
    throw new BrokerError('tls-file', `certificate and key do not fit together or are no PEM: ${messageOf(error)}`);
  }
}

const nameOf = (socket: Socket): string => `${socket.remoteAddress} ${socket.remotePort} ${socket.localAddress}`;

/** What the cap per address counts: an IPv4 address, or the /64 of an IPv6 one, which one household owns. */
export function addressKey(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  const plain = address.split('%')[0]!;
  if (!plain.includes(':')) return plain;
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeroes = new Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return `${[...left, ...zeroes, ...right].slice(0, 4).join(':')}::/64`;
}

async function tlsOptions(config: ListenerConfig & { kind: 'tls' | 'wss' }): Promise<TlsOptions> {
  const cert = await readPem(config.certificateFile, 'certificate');
  const key = await readPem(config.keyFile, 'key');
  const base: TlsOptions = { cert, key, minVersion: 'TLSv1.2' };
  if (config.clientAnchorsFile === undefined) return base;
  const ca = await readPem(config.clientAnchorsFile, 'client anchors');
  return { ...base, ca, requestCert: true, rejectUnauthorized: true };
}

async function readPem(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new BrokerError('tls-file', `the ${what} file ${path} cannot be read: ${messageOf(error)}`);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function bind(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(faultOf(error, host, port)));
    server.listen({ host, port }, () => {
      const bound = server.address();
      resolve(bound !== null && typeof bound === 'object' ? bound.port : port);
    });
  });
}

function faultOf(error: NodeJS.ErrnoException, host: string, port: number): BrokerError {
  const where = `port ${port} on ${host}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return new BrokerError('port-taken', `${where} is taken: end the program that holds it, or choose another port`);
    case 'EACCES':
      return new BrokerError('port-forbidden', `${where} needs more rights: choose one above 1023`);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new BrokerError(
        'address-unknown',
        `this machine has no address ${host}: use 127.0.0.1, 0.0.0.0 or its own`,
      );
    default:
      return new BrokerError('listen', `${where} cannot be opened: ${error.message}`);
  }
}
