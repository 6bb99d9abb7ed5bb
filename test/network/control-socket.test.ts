/**
 * The control plane over real Unix sockets.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  ControlError,
  type ControlHandler,
  type ControlServer,
  callControl,
  type JsonValue,
  serveControl,
} from '../../platform/control-socket.ts';

function place(t: TestContext): string {
  const base = mkdtempSync(join(tmpdir(), 'kagimori-ctl-'));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  return join(base, 'run', 'agent.sock');
}

async function served(
  t: TestContext,
  path: string,
  handlers: Readonly<Record<string, ControlHandler>>,
): Promise<ControlServer> {
  const server = await serveControl(path, handlers);
  t.after(() => server.close());
  return server;
}

const refusedAs =
  (code: string, text: RegExp = /./) =>
  (error: unknown): true => {
    assert.ok(error instanceof ControlError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, text);
    assert.doesNotMatch(error.message, /\n|\.ts:/);
    return true;
  };

/** Sends bytes as they are. @returns all that comes back until the daemon closes */
function raw(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = createConnection(path, () => socket.write(text));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      answer += chunk;
    });
    socket.on('close', () => resolve(answer)).on('error', reject);
  });
}

test('a command gets its arguments and answers with events and one result', async (t) => {
  const path = place(t);
  await served(t, path, {
    count: async (args, send) => {
      for (let i = 1; i <= Number(args); i++) send({ i });
      return { text: 'ä\n', args };
    },
  });
  const events: JsonValue[] = [];
  const result = await callControl(path, 'count', 3, { onEvent: (event) => events.push(event), timeoutMs: 5000 });
  assert.deepEqual(events, [{ i: 1 }, { i: 2 }, { i: 3 }]);
  assert.deepEqual(result, { text: 'ä\n', args: 3 });
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
});

test('errors cross as code and message, never as a stack', async (t) => {
  const path = place(t);
  await served(t, path, {
    refuse: async () => {
      throw new ControlError('offline', 'phone-1 is not reachable');
    },
    break: async () => {
      throw new TypeError('no such thing');
    },
  });
  await assert.rejects(callControl(path, 'refuse', null), refusedAs('offline', /^phone-1 is not reachable$/));
  await assert.rejects(callControl(path, 'break', null), refusedAs('failed', /^no such thing$/));
  await assert.rejects(callControl(path, 'other', null), refusedAs('unknown-command', /break, refuse/));
  await assert.rejects(callControl(path, 'constructor', null), refusedAs('unknown-command'));
});

test('a request that is too long, no JSON, or no request is answered so, and the daemon goes on', async (t) => {
  const path = place(t);
  await served(t, path, { ping: async () => 'pong' });
  assert.match(await raw(path, 'x'.repeat(70_000)), /"code":"too-large"/);
  assert.match(await raw(path, 'nonsense\n'), /"code":"malformed"/);
  assert.match(await raw(path, '[1]\n'), /"code":"malformed"/);
  assert.match(await raw(path, '{"command":7}\n'), /"code":"malformed"/);
  assert.equal(await raw(path, '{"command":"ping"}\n{"command":"ping"}\n'), '{"result":"pong"}\n');
  assert.equal(await callControl(path, 'ping', null), 'pong');
});

test('a caller who leaves aborts the command; a daemon that stops tells its callers', async (t) => {
  const path = place(t);
  const seen: { aborted?: Promise<void>; started?: () => void } = {};
  const started = new Promise<void>((resolve) => {
    seen.started = resolve;
  });
  const server = await served(t, path, {
    listen: async (_, send, signal) => {
      seen.aborted = new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      send('listening');
      seen.started?.();
      await seen.aborted;
      return null;
    },
  });
  const socket = createConnection(path, () => socket.write('{"command":"listen"}\n'));
  await started;
  socket.destroy();
  await seen.aborted;
  const call = callControl(path, 'listen', null, { onEvent: () => void server.close() });
  await assert.rejects(call, refusedAs('closed'));
  await server.close();
  assert.equal(existsSync(path), false);
});

test('no answer in time is an error of the caller', async (t) => {
  const path = place(t);
  await served(t, path, {
    wait: (_, __, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(null))),
  });
  await assert.rejects(callControl(path, 'wait', null, { timeoutMs: 30 }), refusedAs('timeout', /within 30 ms/));
});

test('the socket of a dead process is replaced, a living one is refused, a stopped one is said to be away', async (t) => {
  const path = place(t);
  await assert.rejects(callControl(path, 'ping', null), refusedAs('not-running', /the daemon does not run here/));
  const first = await serveControl(path, { ping: async () => 1 });
  await assert.rejects(serveControl(path, {}), refusedAs('already-running', /already running/));
  assert.equal(await callControl(path, 'ping', null), 1);
  await first.close();
  const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  assert.ok(readdirSync(join(path, '..')).includes('agent.sock'));
  await assert.rejects(callControl(path, 'ping', null), refusedAs('not-running'));
  await served(t, path, { ping: async () => 2 });
  assert.equal(await callControl(path, 'ping', null), 2);
});

test('a daemon that runs without its socket is told from one that does not run', async (t) => {
  const path = place(t);
  await served(t, path, { ping: async () => 1 });
  rmSync(path);
  const text = new RegExp(`process ${process.pid} runs here, but its socket is gone$`);
  await assert.rejects(callControl(path, 'ping', null), refusedAs('no-socket', text));
});

test('a path that is too long, a directory that others can write, and a file in the way are refused', async (t) => {
  const path = place(t);
  await assert.rejects(serveControl(`/${'x'.repeat(100)}`, {}), refusedAs('path-too-long', /at most 100/));
  await assert.rejects(callControl(`/${'x'.repeat(100)}`, 'a', null), refusedAs('path-too-long'));
  mkdirSync(join(path, '..'));
  writeFileSync(path, 'a file');
  await assert.rejects(serveControl(path, {}), refusedAs('unwritable', /something else/));
  chmodSync(join(path, '..'), 0o777);
  await assert.rejects(serveControl(path, {}), refusedAs('unsafe-directory'));
});

test('the 65th caller is told to come back', async (t) => {
  const path = place(t);
  await served(t, path, { ping: async () => 'pong' });
  const callers = await Promise.all(
    Array.from({ length: 64 }, () => {
      const socket = createConnection(path);
      t.after(() => socket.destroy());
      return new Promise((resolve) => socket.once('connect', () => resolve(socket)));
    }),
  );
  assert.equal(callers.length, 64);
  await assert.rejects(callControl(path, 'ping', null), refusedAs('busy', /64/));
});
