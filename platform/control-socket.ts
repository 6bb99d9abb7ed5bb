/**
 * The control plane of a daemon: a Unix socket that only its user can open, one request per connection, JSON lines.
 *
 *     → {"command":"status","args":null}
 *     ← {"event":…}            any number
 *     ← {"result":…}  or  {"error":{"code":"…","message":"…"}}
 */
import { chmodSync, lstatSync, rmSync, statSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import { encodeUtf8 } from '../protocol/bytes.ts';
import { errnoOf, makeWithParents } from './files.ts';
import { LockHeld, lockHolder, lockProcess, type ProcessLock } from './process-lock.ts';

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * Carries out one command.
 * @param send    gives the caller an event before the result
 * @param signal  aborted when the caller has gone or the daemon stops
 * @throws        ControlError for what the caller should tell apart; of any other error only the message crosses
 */
export type ControlHandler = (
  args: JsonValue,
  send: (event: JsonValue) => void,
  signal: AbortSignal,
) => Promise<JsonValue>;

export interface ControlServer {
  /** Stops listening, aborts what runs, removes the socket. */
  close(): Promise<void>;
}

/** `code` is stable and for programs: of this file's own, or one that a handler chose. */
export class ControlError extends Error {
  readonly code: string;
  constructor(code: string, detail: string) {
    super(detail);
    this.name = 'ControlError';
    this.code = code;
  }
}

// sun_path has 108 bytes on Linux, 104 on others, with the NUL.
const MAX_PATH_BYTES = 100;
const MAX_REQUEST_BYTES = 64 * 1024;
const MAX_REPLY_LINE_BYTES = 16 * 1024 * 1024;
const MAX_CLIENTS = 64;
/** A caller who does not read is cut off beyond this. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

/**
 * Listens. A socket file of a process that is gone is replaced.
 * @param path  its directory is made with mode 0700 when it does not exist
 * @throws      ControlError `already-running`, `path-too-long`, `unsafe-directory`; `unwritable` for the rest
 */
export async function serveControl(
  path: string,
  handlers: Readonly<Record<string, ControlHandler>>,
): Promise<ControlServer> {
  requireShort(path);
  const lock = takePlace(path);
  const clients = new Set<Socket>();
  const stopped = new AbortController();
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    if (clients.size >= MAX_CLIENTS) {
      socket.resume();
      return reply(socket, errorReply('busy', `${MAX_CLIENTS} callers are connected: try again`));
    }
    clients.add(socket);
    socket.once('close', () => clients.delete(socket));
    serveOne(socket, handlers, stopped.signal);
  });
  try {
    if (await answers(path)) throw new ControlError('already-running', `${path}: already running`);
    removeStale(path);
    await listen(server, path);
  } catch (error) {
    lock.release();
    throw placeError(path, error);
  }
  const close = async (): Promise<void> => {
    stopped.abort();
    const done = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of clients) socket.destroy();
    await done;
    rmSync(path, { force: true });
    lock.release();
  };
  let closed: Promise<void> | null = null;
  return {
    // Once only: afterwards the path may belong to the next daemon.
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

/**
 * Asks a daemon and waits for its result.
 * @param options.timeoutMs  for the whole call; none when absent
 * @throws ControlError: the daemon's own, or `not-running`, `no-socket`, `forbidden`, `timeout`, `closed`,
 *         `malformed`
 */
export function callControl(
  path: string,
  command: string,
  args: JsonValue,
  { onEvent, timeoutMs }: { readonly onEvent?: (event: JsonValue) => void; readonly timeoutMs?: number } = {},
): Promise<JsonValue> {
  return new Promise((resolve, reject) => {
    requireShort(path);
    const socket = createConnection(path);
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const fail = (code: string, detail: string): void => end(() => reject(new ControlError(code, detail)));
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => fail('timeout', `${path}: no answer to ${command} within ${timeoutMs} ms`), timeoutMs);
    socket.on('connect', () => socket.write(`${JSON.stringify({ command, args })}\n`));
    socket.on('error', (error) => end(() => reject(callError(path, error))));
    socket.on('close', () => fail('closed', `${path}: the daemon closed the connection before it answered ${command}`));
    const receive = (line: string | null): void => {
      const message = line === null ? null : parseObject(line);
      if (message === null) fail('malformed', `${path}: the daemon answered outside the control format`);
      else if (message.event !== undefined) onEvent?.(message.event);
      else if (message.result !== undefined) end(() => resolve(message.result ?? null));
      else {
        const { code, message: detail } = isObject(message.error) ? message.error : {};
        fail(
          typeof code === 'string' ? code : 'malformed',
          typeof detail === 'string' ? detail : 'no reason was given',
        );
      }
    };
    readLines(socket, MAX_REPLY_LINE_BYTES, receive);
  });
}

function serveOne(socket: Socket, handlers: Readonly<Record<string, ControlHandler>>, stopped: AbortSignal): void {
  const gone = new AbortController();
  const late = setTimeout(() => reply(socket, errorReply('malformed', 'no request came')), REQUEST_TIMEOUT_MS).unref();
  socket.once('close', () => {
    clearTimeout(late);
    gone.abort();
  });
  let asked = false;
  readLines(socket, MAX_REQUEST_BYTES, (line) => {
    if (asked) return;
    asked = true;
    clearTimeout(late);
    if (line === null)
      return reply(socket, errorReply('too-large', `a request has at most ${MAX_REQUEST_BYTES} bytes`));
    void answer(line, handlers, (event) => write(socket, { event }), AbortSignal.any([gone.signal, stopped])).then(
      (message) => reply(socket, message),
    );
  });
}

async function answer(
  line: string,
  handlers: Readonly<Record<string, ControlHandler>>,
  send: (event: JsonValue) => void,
  signal: AbortSignal,
): Promise<JsonValue> {
  const request = parseObject(line);
  if (request === null || typeof request.command !== 'string') return errorReply('malformed', 'not a control request');
  const handler = Object.hasOwn(handlers, request.command) ? handlers[request.command] : undefined;
  if (handler === undefined) {
    const known = Object.keys(handlers).sort().join(', ');
    return errorReply('unknown-command', `this daemon knows no such command; it knows ${known}`);
  }
  try {
    const result = await handler(request.args ?? null, send, signal);
    // Here, where a result that is no JSON after all can still be told.
    JSON.stringify(result);
    return { result };
  } catch (error) {
    if (error instanceof ControlError) return errorReply(error.code, error.message);
    return errorReply('failed', error instanceof Error ? error.message : 'failed without a reason');
  }
}

function errorReply(code: string, message: string): JsonValue {
  return { error: { code, message } };
}

function write(socket: Socket, message: JsonValue): void {
  if (!socket.writable) return;
  socket.write(`${JSON.stringify(message)}\n`);
  if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
}

function reply(socket: Socket, message: JsonValue): void {
  if (!socket.writable) return;
  socket.end(`${JSON.stringify(message)}\n`);
  // Whoever keeps sending after the answer is not waited for.
  setTimeout(() => socket.destroy(), 1_000).unref();
}

/** Gives each whole line; null once for a line that is too long, and nothing more. */
function readLines(socket: Socket, maxBytes: number, receive: (line: string | null) => void): void {
  let parts: Buffer[] = [];
  let length = 0;
  let over = false;
  socket.on('data', (chunk: Buffer) => {
    for (let rest = chunk; rest.length > 0 && !over; ) {
      const end = rest.indexOf(0x0a);
      const part = end < 0 ? rest : rest.subarray(0, end);
      length += part.length;
      if (length > maxBytes) {
        over = true;
        parts = [];
        return receive(null);
      }
      parts.push(part);
      if (end < 0) return;
      const line = Buffer.concat(parts).toString('utf8');
      [parts, length, rest] = [[], 0, rest.subarray(end + 1)];
      receive(line);
    }
  });
}

type JsonObject = { readonly [key: string]: JsonValue };

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(line: string): JsonObject | null {
  try {
    const value = JSON.parse(line) as JsonValue;
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

// ── the place in the file system ──────────────────────────────────────────────────────────────────────────────────

const lockOf = (path: string): string => `${path}.lock`;

function requireShort(path: string): void {
  const length = encodeUtf8(path).length;
  if (length <= MAX_PATH_BYTES) return;
  throw new ControlError(
    'path-too-long',
    `${path}: ${length} bytes, a socket path has at most ${MAX_PATH_BYTES}; choose a directory with a shorter path`,
  );
}

function takePlace(path: string): ProcessLock {
  try {
    makeWithParents(resolve(dirname(path)));
    // In a directory that others can write, they could put their own socket in place of ours.
    if ((statSync(dirname(path)).mode & 0o022) !== 0) {
      throw new ControlError('unsafe-directory', `${dirname(path)} can be written by others: choose another directory`);
    }
    return lockProcess(lockOf(path));
  } catch (error) {
    throw placeError(path, error);
  }
}

function removeStale(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) throw new ControlError('unwritable', `${path}: something else than a socket stands there`);
  rmSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', resolve);
    // The socket appears inside the call, so it never has a wider mode than this.
    const before = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(before);
    }
  }).then(() => chmodSync(path, 0o600));
}

function placeError(path: string, error: unknown): Error {
  if (error instanceof ControlError) return error;
  if (error instanceof LockHeld) {
    return new ControlError('already-running', `${path}: already running as process ${error.pid}`);
  }
  return new ControlError(
    'unwritable',
    `${path}: the control socket cannot be made here: ${errnoOf(error) ?? 'failed'}`,
  );
}

function absent(path: string): ControlError {
  const pid = lockHolder(lockOf(path));
  return pid === null
    ? new ControlError('not-running', `${path}: nobody answers, the daemon does not run here`)
    : new ControlError('no-socket', `${path}: process ${pid} runs here, but its socket is gone`);
}

function callError(path: string, error: Error): ControlError {
  switch (errnoOf(error)) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ENOTSOCK':
      return absent(path);
    case 'EACCES':
    case 'EPERM':
      return new ControlError('forbidden', `${path}: only the user of the daemon may control it`);
    default:
      return new ControlError('closed', `${path}: the connection broke: ${errnoOf(error) ?? 'failed'}`);
  }
}
