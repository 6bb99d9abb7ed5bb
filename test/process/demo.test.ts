/**
 * `npm start`: the whole exchange on one machine, as a newcomer runs it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { kill, type RealProcess, runCommand, startCommand } from '../real-process.ts';

function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'km-demo-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a demonstration that is gone when the test is over, with all of its children. */
function startDemo(t: TestContext, ...args: readonly string[]): RealProcess {
  const demo = startCommand(['demo', ...args]);
  t.after(async () => {
    const orphans = childrenOf(demo.child.pid!);
    await kill(demo);
    for (const pid of orphans) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
  });
  return demo;
}

/** Processes whose parent that is, from /proc. */
function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent);
}

function parentOf(pid: number): number | null {
  try {
    // pid (name) state parent …; the name may hold anything
    return Number(
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[1],
    );
  } catch {
    return null; // it ended meanwhile
  }
}

const isAlive = (pid: number): boolean =>
  parentOf(pid) !== null && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');

/** Waits for a line of the demonstration's story. */
function told(demo: RealProcess, part: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: demo.child.stdout! });
    lines.on('line', (line) => line.includes(part) && resolve());
    void demo.ended.then(({ stderr }) => reject(new Error(`ended before "${part}": ${stderr}`)));
  });
}

interface Sides<T> {
  readonly caller: T;
  readonly callee: T;
}

interface SessionOfReport {
  readonly sid: string | null;
  readonly caller: string;
  readonly callee: string;
  readonly outcome: string;
  readonly reason: string | null;
  readonly keyMode: string | null;
  readonly messages: Sides<{ readonly sent: number; readonly received: number }>;
  readonly publicKeyOps: Sides<number>;
  readonly bytes: Sides<number>;
  readonly deviceCpuMs: Sides<number>;
  readonly delivered: boolean;
  readonly closedBy: string | null;
}

/** The type of every key, one level after the other, as the issue asks for them. */
const NUMBERS = { caller: 'number', callee: 'number' };
const TRAFFIC = { sent: 'number', received: 'number' };
const SHAPES = {
  report: { ok: 'boolean', node: 'string', devices: 'list', channels: 'list', sessions: 'list' },
  device: { id: 'string', class: 'string' },
  channel: { device: 'string', opened: 'string', by: 'string', publicKeyOps: 'number', bytes: 'number' },
  open: {
    sid: 'string',
    caller: 'string',
    callee: 'string',
    outcome: 'string',
    reason: 'null',
    suite: 'string',
    keyMode: 'string',
    messages: { caller: TRAFFIC, callee: TRAFFIC },
    bytes: NUMBERS,
    publicKeyOps: NUMBERS,
    deviceCpuMs: NUMBERS,
    delivered: 'boolean',
    closedBy: 'string',
  },
};
const REFUSED = { ...SHAPES.open, reason: 'string', suite: 'null', keyMode: 'null', closedBy: 'null' };

function shapeOf(value: unknown): unknown {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'list';
  if (typeof value !== 'object') return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shapeOf(item)]));
}

test('[P4] [P5] [P9] [P12] [P13] [P14] [P15] [P16] [P17] [P18] [P22] [B1] [B5] demo --once --json: one object with the whole exchange, from real counters', async () => {
  const { code, stdout, stderr } = await runCommand(['demo', '--once', '--json']);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.equal(stdout.indexOf('\n'), stdout.length - 1, 'one line');
  const report = JSON.parse(stdout) as {
    ok: boolean;
    devices: { id: string; class: string }[];
    channels: { device: string; opened: string; by: string; publicKeyOps: number; bytes: number }[];
    sessions: SessionOfReport[];
  };
  assert.deepEqual(shapeOf(report), SHAPES.report);
  assert.equal(report.ok, true);
  assert.deepEqual(
    report.devices.map((one) => one.class),
    ['router', 'phone', 'appliance'],
  );
  for (const device of report.devices) assert.deepEqual(shapeOf(device), SHAPES.device);
  for (const channel of report.channels) {
    assert.deepEqual(shapeOf(channel), SHAPES.channel);
    assert.ok(channel.bytes > 0);
    if (channel.opened === 'resume') assert.equal(channel.publicKeyOps, 0);
    else assert.ok(channel.publicKeyOps > 0);
  }
  assert.deepEqual(
    report.channels.map(({ device, opened, by }) => `${device} ${opened} ${by}`),
    ['router edhoc device', 'phone edhoc device', 'fridge edhoc device', 'fridge resume manager'],
  );

  const ids = report.devices.map(({ id }) => id);
  for (const session of report.sessions) {
    assert.deepEqual(shapeOf({ ...session, sid: 'any' }), session.outcome === 'open' ? SHAPES.open : REFUSED);
    assert.ok(ids.includes(session.caller) && ids.includes(session.callee));
    assert.deepEqual(session.publicKeyOps, { caller: 0, callee: 0 });
    for (const { sent, received } of [session.messages.caller, session.messages.callee])
      assert.ok(sent <= 3 && received <= 3);
    assert.equal(session.delivered, session.outcome === 'open');
    assert.ok(session.messages.caller.sent > 0 && session.bytes.caller > 0);
  }
  const open = report.sessions.filter(({ outcome }) => outcome === 'open');
  assert.deepEqual(new Set(open.map(({ keyMode }) => keyMode)), new Set(['key', 'seed']));
  for (const { deviceCpuMs, messages, closedBy, sid } of open) {
    assert.ok(deviceCpuMs.caller >= 0 && deviceCpuMs.callee >= 0);
    assert.ok(messages.callee.sent > 0 && messages.callee.received > 0);
    assert.ok(closedBy === 'caller' || closedBy === 'callee');
    assert.match(sid ?? '', /^[0-9a-f]{16}$/);
  }
  // the kernel's clock of a thread's CPU may be as coarse as a tick: single readings can be 0, not all of them
  assert.ok(open.some(({ deviceCpuMs }) => deviceCpuMs.caller + deviceCpuMs.callee > 0));
  const refused = report.sessions.filter(({ outcome }) => outcome === 'refused');
  assert.deepEqual(
    refused.map(({ reason }) => reason),
    ['refused-by-policy', 'no-common-suite'],
  );
});

test('demo --once ended by Ctrl-C: it says so, exit code not 0, and nothing of it is left', async (t) => {
  const demo = startDemo(t, '--once', '--port', '0');
  await told(demo, 'router (router) logs in');
  const children = childrenOf(demo.child.pid!);
  assert.ok(children.length >= 3, `broker, verifier and manager run: ${children.length}`);
  const { code, stderr } = await kill(demo, 'SIGINT');
  assert.equal(code, 1);
  assert.match(stderr, /^kagimori: interrupted before it was over\n$/);
  assert.deepEqual(children.filter(isAlive), []);
});

test('a process of the demonstration that is killed: which one is said, the rest ends, exit code not 0', async (t) => {
  const demo = startDemo(t, '--once');
  await told(demo, 'verifier  checks');
  const victim = childrenOf(demo.child.pid!).find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0verifier\0'),
  );
  assert.ok(victim !== undefined);
  const others = childrenOf(demo.child.pid!);
  process.kill(victim, 'SIGKILL');
  const { code, stderr } = await demo.ended;
  assert.equal(code, 1);
  assert.match(stderr, /^kagimori: verifier ended: signal SIGKILL\n$/);
  assert.deepEqual(others.filter(isAlive), []);
});

test('a port that is taken: one line that says so, exit code not 0, and nothing on stdout with --json but that', async (t) => {
  const holder = createServer().listen(0, '127.0.0.1');
  t.after(() => holder.close());
  await new Promise((resolve) => holder.once('listening', resolve));
  const { port } = holder.address() as { port: number };
  const { code, stdout, stderr } = await runCommand(['demo', '--once', '--json', '--port', String(port)]);
  assert.equal(code, 1);
  assert.match(stderr, new RegExp(`^kagimori: broker ended: port ${port} on 127\\.0\\.0\\.1 is taken: [^\\n]+\\n$`));
  assert.match((JSON.parse(stdout) as { error: { message: string } }).error.message, /is taken/);
});

test('[P16] [B1] without --once it stays up, and the commands that it tells to type work against it', async (t) => {
  const state = join(folderFor(t), 's');
  const demo = startDemo(t, '--state', state);
  await told(demo, 'Ctrl-C ends it.');
  const at = (id: string): string => join(state, id);
  const ofAgent = (id: string, ...args: readonly string[]) =>
    runCommand(['agent', ...args, '--state', at(id), '--json']);

  const connected = await ofAgent('router', 'connect', 'phone');
  assert.equal(connected.code, 0, connected.stderr);
  const { sid } = JSON.parse(connected.stdout) as { sid: string };
  const listening = startCommand(['agent', 'listen', '--count', '1', '--state', at('phone'), '--json']);
  // the phone's agent keeps no messages for later: this asks again until the listener is there
  for (let heard = false; !heard; ) {
    const sent = await ofAgent('router', 'send', 'phone', 'hello');
    assert.equal(sent.code, 0, sent.stderr);
    heard = await Promise.race([listening.firstLine.then(() => true), sentAgain()]);
  }
  const { event, from, text } = JSON.parse(await listening.firstLine) as Record<string, string>;
  assert.deepEqual([event, from, text], ['message', 'router', 'hello']);
  assert.equal((await listening.ended).code, 0);

  const [sessions, devices, status] = await Promise.all([
    runCommand(['session', 'list', '--data', at('manager'), '--json']),
    runCommand(['device', 'list', '--data', at('manager')]),
    runCommand(['status', '--data', at('manager'), '--state', at('router'), '--json']),
  ]);
  assert.equal((JSON.parse(sessions.stdout) as { sid: string }[])[0]?.sid, sid);
  assert.match(devices.stdout, /^fridge +appliance +yes /m);
  const { manager, agent } = JSON.parse(status.stdout) as Record<
    string,
    { running: boolean; devices?: number; link?: string }
  >;
  assert.deepEqual([manager?.running, manager?.devices, agent?.running, agent?.link], [true, 3, true, 'up']);

  const closed = await ofAgent('router', 'close', sid);
  assert.equal(closed.code, 0, closed.stderr);
  assert.equal((await ofAgent('router', 'send', sid, 'too late')).code, 4);
  const second = await runCommand(['demo', '--once', '--state', state]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^kagimori: a demonstration runs in .*: end it first, or choose another --state\n$/);

  const children = childrenOf(demo.child.pid!);
  assert.equal(children.length, 6);
  const { code, stderr } = await kill(demo, 'SIGINT');
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(children.filter(isAlive), []);
});

const sentAgain = (): Promise<false> => new Promise((resolve) => setTimeout(() => resolve(false), 200));
