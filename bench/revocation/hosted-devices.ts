/**
 * A process of devices, as the benchmark talks to it. @see bench/revocation/device-host.ts
 */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { FromHost, HostReport, ToHost } from './host-messages.ts';

export interface HostedDevices {
  say(message: ToHost): Promise<void>;
  report(): Promise<HostReport>;
  close(): Promise<void>;
}

const CLOSE_MS = 10_000;

export function hostDevices(): HostedDevices {
  const child = fork(join(import.meta.dirname, 'device-host.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const exchange = (message: ToHost): Promise<FromHost> =>
    new Promise((resolve, reject) => {
      const gone = (code: number | null): void => reject(new Error(`a process of devices ended with ${code}`));
      child.once('exit', gone);
      child.once('message', (answer: FromHost) => {
        child.off('exit', gone);
        if (answer.type === 'failed') reject(new Error(answer.reason));
        else resolve(answer);
      });
      child.send(message);
    });
  return {
    say: async (message) => void (await exchange(message)),
    async report() {
      const answer = await exchange({ type: 'report' });
      if (answer.type !== 'report') throw new Error(`a process of devices answered ${answer.type}`);
      return answer.report;
    },
    async close() {
      if (child.connected) child.send({ type: 'close' } satisfies ToHost);
      const late = setTimeout(kill, CLOSE_MS);
      await ended;
      clearTimeout(late);
      process.off('exit', kill);
    },
  };
}
