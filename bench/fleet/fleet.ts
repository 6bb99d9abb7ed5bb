/**
 * A live fleet: thousands of real agents on real MQTT connections, in several processes.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import type { FleetCount, FromFleet, ToFleet } from './fleet-messages.ts';
import type { Papers } from './papers.ts';

export interface Fleet {
  /** What all processes have counted, taken together. */
  count(): Promise<FleetCount>;
  mark(): Promise<void>;
  /** Opens one session in each of about so many couples; returns when they were asked for. */
  connect(pairs: number): Promise<void>;
  talk(): Promise<void>;
  close(): Promise<void>;
}

export interface FleetWishes {
  readonly url: string;
  readonly papers: Papers;
  /** First line of the papers; 0 when absent. */
  readonly from?: number;
  readonly devices: number;
  readonly processes: number;
}

export async function startFleet({ url, papers, from = 0, devices, processes }: FleetWishes): Promise<Fleet> {
  const share = Math.ceil(devices / processes);
  const crews = Array.from({ length: processes }, () => crew());
  await Promise.all(
    crews.map(({ say }, i) =>
      say({
        type: 'start',
        url,
        anchorFile: join(papers.directory, 'ca/root.pem'),
        devicesFile: papers.devicesFile,
        from: from + i * share,
        count: Math.min(share, devices - i * share),
        atOnce: LOGINS_AT_ONCE,
      }),
    ),
  );
  const all = async (message: ToFleet): Promise<void> => {
    await Promise.all(crews.map(({ say }) => say(message)));
  };
  return {
    async count() {
      const answers = await Promise.all(crews.map(({ say }) => say({ type: 'ask' })));
      return answers.map((answer) => (answer.type === 'count' ? answer.count : raise(answer.type))).reduce(together);
    },
    mark: () => all({ type: 'mark' }),
    connect: (pairs) => all({ type: 'connect', pairs: Math.ceil(pairs / processes) }),
    talk: () => all({ type: 'talk' }),
    close: async () => void (await Promise.all(crews.map(({ end }) => end()))),
  };
}

function raise(type: string): never {
  throw new Error(`a process of the fleet answered ${type}`);
}

function crew() {
  const child: ChildProcess = fork(join(import.meta.dirname, 'fleet-process.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let turn: Promise<unknown> = Promise.resolve();
  const exchange = (message: ToFleet): Promise<FromFleet> =>
    new Promise((resolve, reject) => {
      const settle = (answer: FromFleet): void => {
        child.off('exit', gone);
        if (answer.type === 'failed') reject(new Error(answer.reason));
        else resolve(answer);
      };
      const gone = (code: number | null): void => {
        child.off('message', settle);
        reject(new Error(`a process of the fleet ended with ${code}`));
      };
      child.once('message', settle);
      child.once('exit', gone);
      child.send(message);
    });
  return {
    /** One after the other: answers bear no number. */
    say(message: ToFleet): Promise<FromFleet> {
      const next = turn.then(() => exchange(message));
      turn = next.catch(() => {});
      return next;
    },
    async end(): Promise<void> {
      if (child.connected) child.send({ type: 'close' } satisfies ToFleet);
      const late = setTimeout(kill, CLOSE_MS);
      await ended;
      clearTimeout(late);
      process.off('exit', kill);
    },
  };
}

const CLOSE_MS = 10_000;
const LOGINS_AT_ONCE = 24;

function together(a: FleetCount, b: FleetCount): FleetCount {
  const sum = (x: number, y: number): number => x + y;
  return {
    devices: sum(a.devices, b.devices),
    inside: sum(a.inside, b.inside),
    registered: sum(a.registered, b.registered),
    outside: [...a.outside, ...b.outside],
    sessions: sum(a.sessions, b.sessions),
    messages: sum(a.messages, b.messages),
    returns: [...a.returns, ...b.returns],
    linksBySecond: added(a.linksBySecond, b.linksBySecond),
    openingsBySecond: added(a.openingsBySecond, b.openingsBySecond),
    resumesSent: sum(a.resumesSent, b.resumesSent),
    loginsSent: sum(a.loginsSent, b.loginsSent),
    busyHeard: sum(a.busyHeard, b.busyHeard),
    publicKeyOperations: sum(a.publicKeyOperations, b.publicKeyOperations),
    sessionsLost: added(a.sessionsLost, b.sessionsLost),
    cpuMicros: sum(a.cpuMicros, b.cpuMicros),
    residentBytes: sum(a.residentBytes, b.residentBytes),
  };
}

type Counts = Readonly<Record<string, number>>;

function added(a: Counts, b: Counts): Record<string, number> {
  const both: Record<string, number> = { ...a };
  for (const [key, count] of Object.entries(b)) both[key] = (both[key] ?? 0) + count;
  return both;
}
