/**
 * A small HTTP server with a wall around it: every path has its handler, every caller his share, every wait its end. It
 * knows nothing of what is served. @spec RFC 9110
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Millis } from '../protocol/units.ts';
import { addressBudget, placeOf } from './address-budget.ts';

export interface HttpRequest {
  readonly method: string;
  /** As it came, without the query. */
  readonly path: string;
  readonly body: Uint8Array;
}

export interface HttpReply {
  readonly status: number;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

export interface HttpHandler {
  /** `HEAD` goes with `GET`. */
  readonly methods: readonly ('GET' | 'POST')[];
  /** What a body has to be; a POST of another type is 415. */
  readonly bodyType?: string;
  /** A larger body is 413; 0 by default. */
  readonly maxBodyBytes?: number;
  answer(request: HttpRequest): HttpReply | Promise<HttpReply>;
}

export interface HttpLimits {
  readonly maxConnections: number;
  /** Of one address (IPv6: one /64); more are hung up on. */
  readonly maxConnectionsOfAddress: number;
  /** Longer targets are 414. */
  readonly maxPathBytes: number;
  /** For the head, the body and an answer that nobody takes. */
  readonly timeoutMs: number;
  /** How long a connection may lie idle between two requests. */
  readonly idleMs: number;
  /** Of one address (IPv6: one /64); a burst may hold those of 4 s; more is 429. */
  readonly requestsPerSecond: number;
}

export const HTTP_LIMITS: HttpLimits = {
  maxConnections: 128,
  maxConnectionsOfAddress: 32,
  maxPathBytes: 8000,
  timeoutMs: 10_000,
  idleMs: 30_000,
  requestsPerSecond: 20_000,
};

export interface HttpListenerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** By path; `*` has every other one, and without it they are 404. */
  readonly handlers: Readonly<Record<string, HttpHandler>>;
  readonly limits?: Partial<HttpLimits>;
  /** For the log: a handler that threw; the caller gets 500 and no word more. */
  readonly onFault?: (path: string, error: unknown) => void;
}

export interface HttpListener {
  readonly address: { readonly host: string; readonly port: number };
  /** Ends every connection. */
  close(): Promise<void>;
}

/** That nobody can be served there; `code` is the system's. */
export class HttpListenFault extends Error {
  readonly code: string;
  constructor(host: string, port: number, code: string) {
    super(`${host}:${port}: cannot be listened on (${code}): choose another host or port, or end who has it`);
    this.name = 'HttpListenFault';
    this.code = code;
  }
}

const MAX_HEAD_BYTES = 16 * 1024;
const MAX_HEADERS = 64;
const MAX_DRAINED_BYTES = 64 * 1024;

/** Whoever sends more before he has an answer (pipelining) is hung up on. [RFC 9112 §9.3.2] */
const MAX_UNANSWERED = 8;
const unanswered = new WeakMap<Socket, number>();

/** @throws HttpListenFault */
export async function startHttpListener(options: HttpListenerOptions): Promise<HttpListener> {
  const limits = { ...HTTP_LIMITS, ...options.limits };
  const budget = addressBudget(limits.requestsPerSecond);
  const server = createServer(
    {
      maxHeaderSize: MAX_HEAD_BYTES,
      headersTimeout: limits.timeoutMs,
      requestTimeout: limits.timeoutMs,
      keepAliveTimeout: limits.idleMs,
      connectionsCheckingInterval: Math.min(1000, limits.timeoutMs),
      noDelay: true,
    },
    (request, response) => {
      if (isTooMany(request.socket)) return;
      serve(request, response, options, limits, budget).catch((error: unknown) => {
        options.onFault?.(request.url ?? '', error);
        send(request, response, { status: 500 });
      });
    },
  );
  server.maxConnections = limits.maxConnections;
  server.on('connection', limitPlaces(limits.maxConnectionsOfAddress));
  server.maxHeadersCount = MAX_HEADERS;
  server.setTimeout(limits.idleMs + limits.timeoutMs);
  await listen(server, options.host, options.port);
  const { address, port } = server.address() as AddressInfo;
  return {
    address: { host: address, port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Of a chunk full of requests each is read before anything else has its turn: the event loop would stand for seconds. */
function isTooMany(socket: Socket): boolean {
  const before = unanswered.get(socket) ?? 0;
  if (before >= MAX_UNANSWERED) socket.destroy();
  unanswered.set(socket, before + 1);
  return socket.destroyed;
}

function limitPlaces(most: number): (socket: Socket) => void {
  const open = new Map<string, number>();
  return (socket) => {
    const place = placeOf(socket.remoteAddress ?? '');
    const count = (open.get(place) ?? 0) + 1;
    open.set(place, count);
    socket.once('close', () => {
      const left = (open.get(place) ?? 1) - 1;
      if (left > 0) open.set(place, left);
      else open.delete(place);
    });
    if (count > most) socket.destroy();
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new HttpListenFault(host, port, error.code ?? 'unknown'));
    });
    server.listen(port, host, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { handlers }: HttpListenerOptions,
  limits: HttpLimits,
  budget: ReturnType<typeof addressBudget>,
): Promise<void> {
  const { method = '', url = '' } = request;
  const refuse = (status: number, headers: HttpReply['headers'] = {}): void =>
    send(request, response, { status, headers });
  if (!budget.take(request.socket.remoteAddress ?? '', performance.now() as Millis))
    return refuse(429, { 'retry-after': '1' });
  if (url.length > limits.maxPathBytes) return refuse(414);
  const path = url.split('?', 1)[0]!;
  const handler = (Object.hasOwn(handlers, path) ? handlers[path] : undefined) ?? handlers['*'];
  if (handler === undefined) return refuse(404);
  const wanted = method === 'HEAD' ? 'GET' : method;
  if (!handler.methods.some((one) => one === wanted)) return refuse(405, { allow: allowed(handler) });
  const { bodyType, maxBodyBytes = 0 } = handler;
  if (wanted === 'POST' && bodyType !== undefined && mediaType(request) !== bodyType) return refuse(415);
  if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) return refuse(413);
  const body = await readBody(request, wanted === 'POST' ? maxBodyBytes : 0);
  if (body === 'gone') return;
  if (body === 'too long') return refuse(413);
  const reply = handler.answer({ method: wanted, path, body });
  send(request, response, reply instanceof Promise ? await reply : reply);
}

function allowed({ methods }: HttpHandler): string {
  return (methods.includes('GET') ? ['HEAD', ...methods] : methods).join(', ');
}

function mediaType({ headers }: IncomingMessage): string {
  return (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
}

function readBody(request: IncomingMessage, maxBytes: number): Promise<Uint8Array | 'too long' | 'gone'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length <= maxBytes) chunks.push(chunk);
      else resolve('too long');
    });
    request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.on('error', () => resolve('gone'));
    request.on('close', () => resolve('gone'));
  });
}

function send(request: IncomingMessage, response: ServerResponse, { status, headers, body }: HttpReply): void {
  if (response.headersSent || response.destroyed) return;
  const length = body === undefined ? 0 : Buffer.byteLength(body);
  response.writeHead(status, { ...headers, 'content-length': length, 'x-content-type-options': 'nosniff' });
  response.end(request.method === 'HEAD' ? undefined : body);
  // what stands in the same chunk has come by then
  process.nextTick(() => unanswered.set(request.socket, (unanswered.get(request.socket) ?? 1) - 1));
  if (!request.complete) drain(request);
}

/** Whoever is refused in the middle of his body can read why, and is hung up on when he does not end soon. */
function drain(request: IncomingMessage): void {
  let left = MAX_DRAINED_BYTES;
  request.on('data', (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) request.destroy();
  });
}
