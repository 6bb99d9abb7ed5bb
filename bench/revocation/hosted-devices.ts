/**
 * A process of devices, as the benchmark talks to it. @see bench/revocation/device-host.ts
 */
import { join } from 'node:path';
import { sideProcess } from '../side-process.ts';
import type { FromHost, HostReport, ToHost } from './host-messages.ts';

export interface HostedDevices {
  say(message: ToHost): Promise<void>;
  report(): Promise<HostReport>;
  close(): Promise<void>;
}

export function hostDevices(): HostedDevices {
  const file = join(import.meta.dirname, 'device-host.ts');
  const { exchange, close } = sideProcess<ToHost, FromHost>(file, 'a process of devices');
  return {
    say: async (message) => void (await exchange(message)),
    async report() {
      const answer = await exchange({ type: 'report' });
      if (answer.type !== 'report') throw new Error(`a process of devices answered ${answer.type}`);
      return answer.report;
    },
    close,
  };
}
