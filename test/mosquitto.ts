/**
 * Debian's Mosquitto as a process for tests: started on what `kagimori broker export mosquitto` wrote, and its own clients.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { connect, createServer } from 'node:net';

/** Debian has it where only root looks. */
const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin`;
const START_MS = 20_000;
const TRY_MS = 25;

const absent = ['mosquitto', 'mosquitto_pub', 'mosquitto_sub'].filter(
  (program) => spawnSync(program, ['--help'], { env: { ...process.env, PATH } }).error !== undefined,
);
export const mosquittoAbsent: string | false =
  absent.length === 0 ? false : `mosquitto absent: ${absent.join(', ')} not installed`;

/** So many ports of loopback that nobody has at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export interface Mosquitto {
  readonly child: ChildProcess;
  /** What it wrote so far. */
  written(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** As the printed steps say: started by root, it reads its files as its own user. @param way  folders that lead there */
export function handOver(directory: string, way: readonly string[]): void {
  if (process.geteuid?.() !== 0) return;
  for (const folder of way) chmodSync(folder, 0o711);
  const { status, stderr } = spawnSync('chown', ['-R', 'mosquitto:', directory], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

/** Resolves when it takes connections on all ports. */
export async function startMosquitto(settings: string, ports: readonly number[]): Promise<Mosquitto> {
  const child = spawn('mosquitto', ['-c', settings, '-v'], {
    env: { ...process.env, PATH },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const end = (): void => void child.kill('SIGKILL');
  process.once('exit', end);
  let text = '';
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  let over: string | null = null;
  child.once('error', (error) => {
    over = error.message;
  });
  void ended.then(() => {
    over ??= `mosquitto ended: ${text}`;
    process.removeListener('exit', end);
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
  }
  const began = performance.now();
  for (const port of ports) {
    while (!(await takes(port))) {
      if (over !== null || performance.now() - began > START_MS) throw new Error(over ?? `not on ${port}: ${text}`);
      await new Promise((resolve) => setTimeout(resolve, TRY_MS));
    }
  }
  return {
    child,
    written: () => text,
    async stop(signal = 'SIGKILL') {
      child.kill(signal);
      await ended;
    },
  };
}

const takes = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** `mosquitto_pub`, to its end. @returns what it said on stderr, and its exit code */
export function publishAs(login: readonly string[], topic: string, payload: string, more: readonly string[] = []) {
  const args = [...login, '-q', '1', '-t', topic, '-m', payload, ...more];
  const { status, stderr } = spawnSync('mosquitto_pub', args, { encoding: 'utf8', timeout: START_MS });
  return { status, stderr };
}

export interface Listener {
  /** `topic payload` lines. */
  readonly heard: readonly string[];
  readonly ended: Promise<{ readonly code: number | null; readonly said: string }>;
  until(what: string, fits: (line: string) => boolean): Promise<void>;
}

/** `mosquitto_sub`, once its subscriptions are acknowledged or it has ended. @param after  when it has to end */
export async function listenAs(
  login: readonly string[],
  filters: readonly string[],
  after: (end: () => Promise<void>) => void,
): Promise<Listener> {
  const args = [...login, '-q', '1', '-d', '-v', ...filters.flatMap((filter) => ['-t', filter])];
  // into a pipe it would write in blocks
  const child = spawn('stdbuf', ['-oL', 'mosquitto_sub', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  let rest = '';
  const heard: string[] = [];
  const watchers = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (/^(Client|Subscribed)/.test(line)) said += `${line}\n`;
      else heard.push(line);
    }
    for (const watch of [...watchers]) watch();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  let over = false;
  const ended = new Promise<{ code: number | null; said: string }>((resolve) => {
    child.once('close', (code) => {
      over = true;
      resolve({ code, said });
      for (const watch of [...watchers]) watch();
    });
  });
  const until = (what: string, holds: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${what}: ${said} ${heard.join('; ')}`)), START_MS);
      const look = (): void => {
        if (!holds()) return;
        clearTimeout(late);
        watchers.delete(look);
        resolve();
      };
      watchers.add(look);
      look();
    });
  after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await until('neither subscribed nor ended', () => over || said.includes('Subscribed'));
  return {
    heard,
    ended,
    until: (what, fits) => until(what, () => heard.some(fits)),
  };
}
