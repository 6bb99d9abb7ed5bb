/**
 * A process beside the benchmark's own, on the same code: it is told something, and answers each time.
 */
import { fork } from 'node:child_process';

export interface SideProcess<To, From> {
  /** @throws Error with its reason when it answers `failed`, or ends */
  exchange(message: To): Promise<From>;
  /** Asks it to end, and ends it when it does not. */
  close(): Promise<void>;
}

interface Failed {
  readonly type: 'failed';
  readonly reason: string;
}
type Spoken = { readonly type: string };

const CLOSE_MS = 10_000;

/** @param what  for errors: `a process of devices` */
export function sideProcess<To extends Spoken, From extends Spoken>(file: string, what: string): SideProcess<To, From> {
  const child = fork(file, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    exchange: (message) =>
      new Promise((resolve, reject) => {
        const gone = (code: number | null): void => reject(new Error(`${what} ended with ${code}`));
        child.once('exit', gone);
        child.once('message', (answer: From | Failed) => {
          child.off('exit', gone);
          if (isFailed(answer)) reject(new Error(answer.reason));
          else resolve(answer);
        });
        child.send(message);
      }),
    async close() {
      if (child.connected) child.send({ type: 'close' });
      const late = setTimeout(kill, CLOSE_MS);
      await ended;
      clearTimeout(late);
      process.off('exit', kill);
    },
  };
}

const isFailed = (answer: Spoken): answer is Failed => answer.type === 'failed';
