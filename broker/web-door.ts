/**
 * The HTTP side of the broker's WebSocket ports: one path, the subprotocol `mqtt`, nothing else is served. What is no
 * such upgrade gets a status without a body, and the connection ends. @spec MQTT 3.1.1 §6, RFC 6455 §4.2
 */
import { type IncomingMessage, type Server, STATUS_CODES } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { SUBPROTOCOL, WEB_SOCKET_LIMITS, webSocketStream } from '../platform/web-socket.ts';
import { Millis } from '../protocol/units.ts';
import type { PacketMeter } from './packet-limit.ts';
import { fullBucket, takeOne } from './token-bucket.ts';

/** http: a request that is no upgrade to MQTT here; frame: a WebSocket that carries something else. */
export type WebFault = 'http-request' | 'web-socket-frame';

export interface WebDoor {
  /** @returns the meter of what comes in; null when the connection is gone */
  opened(stream: Duplex, origin: Socket): PacketMeter | null;
  misused(fault: WebFault, origin: Socket): void;
}

export interface WebSettings {
  readonly path: string;
  /** Pages that may connect; programs that are no browser name none. */
  readonly origins: readonly string[];
}

/** Enough for an upgrade with a long name and a few cookies of a proxy. */
const HEADER_BYTES = 8 * 1024;
/** Heads of frames and their masks. */
const FRAME_ROOM = 1024;
const CONTROL_HEAD_BYTES = 6;
/** The WebSocket's own pings and pongs, which no limit of MQTT sees; programs send one in some seconds. */
const PINGS_PER_SECOND = 100;

/** For `node:http` and `node:https`: headers end in time and size, one request for each connection. */
export function httpOptions(handshakeTimeout: number) {
  return {
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: handshakeTimeout,
    requestTimeout: handshakeTimeout,
    connectionsCheckingInterval: Math.max(100, handshakeTimeout / 4),
    keepAlive: false,
    noDelay: true,
  };
}

/** @param originOf  the TCP connection under the socket of a request */
export function serveWebSockets(
  server: Server | SecureServer,
  { path, origins }: WebSettings,
  door: WebDoor,
  originOf: (socket: Socket) => Socket | undefined,
): void {
  const sockets = new WebSocketServer({
    ...WEB_SOCKET_LIMITS,
    noServer: true,
    clientTracking: false,
    handleProtocols: () => SUBPROTOCOL,
  });

  const refuse = (socket: Socket, status: number, headers = ''): void => {
    if (socket.writableEnded) return;
    const origin = originOf(socket);
    if (origin !== undefined) door.misused('http-request', origin);
    socket.on('error', () => {});
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers}Connection: close\r\nContent-Length: 0\r\n\r\n`,
      () => socket.destroy(),
    );
  };
  const statusOf = ({ url = '', headers }: IncomingMessage): number | null => {
    if (url.split('?', 1)[0] !== path) return 404;
    // a page that the operator does not know could connect in its visitor's name
    if (headers.origin !== undefined && !origins.includes(headers.origin)) return 403;
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((one) => one.trim());
    return offered.includes(SUBPROTOCOL) ? null : 400;
  };

  const plain = (request: IncomingMessage): void => {
    const here = request.url?.split('?', 1)[0] === path;
    if (here) refuse(request.socket, 426, 'Upgrade: websocket\r\n');
    else refuse(request.socket, 404);
  };
  server.on('request', plain);
  server.on('checkContinue', plain);
  server.on('checkExpectation', plain);
  server.on('connect', (_request, socket) => refuse(socket as Socket, 405));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code?.startsWith('HPE_') !== true || !socket.writable) socket.destroy();
    else refuse(socket as Socket, error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400);
  });
  server.on('upgrade', (request, duplex, head) => {
    const socket = duplex as Socket;
    const origin = originOf(socket);
    if (origin === undefined) return socket.destroy();
    const status = statusOf(request);
    if (status !== null) return refuse(socket, status);
    sockets.handleUpgrade(request, socket, head, (webSocket) => enter(webSocket, socket, origin, door));
  });
}

function enter(webSocket: WebSocket, socket: Socket, origin: Socket, door: WebDoor): void {
  const told = (): void => door.misused('web-socket-frame', origin);
  const stream = webSocketStream(webSocket, told);
  const wrong = (): void => {
    if (stream.destroyed) return;
    told();
    stream.destroy();
  };
  const meter = door.opened(stream, origin);
  if (meter === null) return;
  // A message is handed on when it is complete: what is kept until then may be no more than packets of this link may have.
  let held = 0;
  let given = 0;
  webSocket.on('message', (data: Buffer) => {
    given += data.length;
  });
  const pings = fullBucket(PINGS_PER_SECOND, Millis(performance.now()));
  const answered = (data: Buffer): void => {
    held -= CONTROL_HEAD_BYTES + data.length;
    if (!takeOne(pings, PINGS_PER_SECOND, Millis(performance.now()))) wrong();
  };
  webSocket.on('ping', answered);
  webSocket.on('pong', answered);
  // the WebSocket has been given the chunk before
  socket.on('data', (chunk: Buffer) => {
    held += chunk.length;
    // behind the end of a message there is at most the rest of this chunk
    if (given > 0) held = Math.min(held - given, chunk.length);
    given = 0;
    const { connect, publish, rest } = meter.limits;
    if (held > connect + publish + rest + FRAME_ROOM) wrong();
  });
}
