/**
 * A WebSocket as a stream of bytes, for MQTT at either end: binary messages only, no compression, and what waits to be
 * written goes out in as few messages as possible. @spec MQTT 3.1.1 §6, RFC 6455
 */
import { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { ClientTls } from './client-tls.ts';

/** [MQTT-6.0.0-3] */
export const SUBPROTOCOL = 'mqtt';
/** Small packets are gathered up to this; a longer one is a message of its own. */
const GATHERED_BYTES = 64 * 1024;
/** The longest packet there is has 128 KiB and some. */
const MAX_MESSAGE_BYTES = 256 * 1024;

/** For both ends; `maxPayload` is the longest message in bytes. */
export const WEB_SOCKET_LIMITS = {
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  maxFragments: 1024,
  maxBufferedChunks: 4096,
  maxPendingAutoPongs: 64,
  skipUTF8Validation: false,
} as const;

/** @param url  `ws://…` or `wss://…` with its path */
export function connectWebSocket(url: string, handshakeTimeout: number, tls: ClientTls = {}): Duplex {
  return webSocketStream(new WebSocket(url, SUBPROTOCOL, { ...WEB_SOCKET_LIMITS, ...tls, handshakeTimeout }));
}

/**
 * Opens one and closes it again.
 * @param tls  null: whether its certificate is to be trusted is not asked
 * @throws Error of the network or of TLS, or `Unexpected server response: <status>`
 */
export function tryWebSocket(url: string, handshakeTimeout: number, tls: ClientTls | null): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, SUBPROTOCOL, {
      ...WEB_SOCKET_LIMITS,
      handshakeTimeout,
      ...(tls ?? { rejectUnauthorized: false }),
    });
    socket.on('error', reject);
    socket.on('open', () => {
      socket.terminate();
      resolve();
    });
  });
}

/**
 * The stream owns the socket: destroying one ends the other.
 * @param fault  told at once when the peer sent what is no MQTT; the stream is destroyed then
 */
export function webSocketStream(socket: WebSocket, fault: () => void = () => {}): Duplex {
  const stream = new Duplex({
    allowHalfOpen: false,
    read: () => socket.resume(),
    write: (chunk: Buffer, _encoding, done) => send([chunk], done),
    writev: (chunks, done) =>
      send(
        chunks.map(({ chunk }) => chunk as Buffer),
        done,
      ),
    final(done) {
      whenOpen(() => socket.close());
      done();
    },
    destroy(error, done) {
      if (socket.readyState === WebSocket.CLOSED) return done(error);
      socket.once('close', () => done(error));
      socket.terminate();
    },
  });

  const whenOpen = (act: () => void): void => {
    if (socket.readyState === WebSocket.CONNECTING) socket.once('open', act);
    else act();
  };
  const send = (chunks: readonly Buffer[], done: () => void): void =>
    whenOpen(() => {
      const messages = gather(chunks);
      // after the end of the socket the stream's own end follows: nothing to add
      for (const message of messages.slice(0, -1)) socket.send(message, () => {});
      socket.send(messages.at(-1)!, () => done());
    });

  const wrong = (error: Error): void => {
    if (stream.destroyed) return;
    fault();
    stream.destroy(error);
  };
  socket.on('message', (data: Buffer, isBinary) => {
    // [MQTT-6.0.0-1]
    if (!isBinary) wrong(new Error('a text message'));
    else if (!stream.push(data)) socket.pause();
  });
  socket.on('error', (error) => {
    const { code } = error as NodeJS.ErrnoException;
    if (code?.startsWith('WS_ERR_')) wrong(error);
    else stream.destroy(error);
  });
  socket.on('close', () => {
    if (!stream.destroyed) stream.push(null);
  });
  return stream;
}

/** Packets may lie across messages, and several in one. [MQTT-6.0.0-2] */
function gather(chunks: readonly Buffer[]): Buffer[] {
  const messages: Buffer[] = [];
  let waiting: Buffer[] = [];
  let bytes = 0;
  const flush = () => {
    if (waiting.length > 0) messages.push(waiting.length === 1 ? waiting[0]! : Buffer.concat(waiting, bytes));
    [waiting, bytes] = [[], 0];
  };
  for (const chunk of chunks) {
    if (bytes + chunk.length > GATHERED_BYTES) flush();
    waiting.push(chunk);
    bytes += chunk.length;
  }
  flush();
  return messages;
}
