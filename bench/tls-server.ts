/**
 * The far end of the TLS yardstick, in a thread of its own so that its CPU is told apart: a TLS server that wants a client
 * certificate, and a bare TCP server that moves flights of the same sizes.
 */
import { createServer as createTcpServer, type Server } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';

export interface TlsServerData {
  readonly key: string;
  readonly cert: string;
  readonly ca: string;
  /** Bytes of ClientHello, of the server's flight, of the client's second flight. */
  readonly flights: readonly [number, number, number];
}

export type ToTlsServer = 'cpu' | 'close';
export type FromTlsServer =
  | { readonly type: 'ready'; readonly tls: number; readonly tcp: number }
  /** CPU of the server's thread so far, µs. */
  | { readonly type: 'cpu'; readonly micros: number };

const data = workerData as TlsServerData;
const port = parentPort!;

const tls = createTlsServer(
  { key: data.key, cert: data.cert, ca: data.ca, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
  (socket) => {
    socket.on('error', () => {});
    socket.resume();
    // One byte tells the client that its certificate was accepted: in TLS 1.3 it cannot know before.
    socket.write('.');
  },
);
const [hello, answer, finish] = data.flights;
const reply = Buffer.alloc(answer);
const tcp = createTcpServer({ noDelay: true }, (socket) => {
  let received = 0;
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    const before = received;
    received += bytes.length;
    if (before < hello && received >= hello) socket.write(reply);
    if (before < hello + finish && received >= hello + finish) socket.write('.');
  });
});

const portOf = (server: Server): Promise<number> =>
  new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(address !== null && typeof address === 'object' ? address.port : 0);
    });
  });

const ready: FromTlsServer = { type: 'ready', tls: await portOf(tls), tcp: await portOf(tcp) };
port.postMessage(ready);
port.on('message', (message: ToTlsServer) => {
  if (message === 'cpu') {
    const { user, system } = process.threadCpuUsage();
    const answerTo: FromTlsServer = { type: 'cpu', micros: user + system };
    port.postMessage(answerTo);
    return;
  }
  tls.close();
  tcp.close();
  port.close();
});
