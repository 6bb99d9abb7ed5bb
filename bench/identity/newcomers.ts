/**
 * A process of new devices, as the benchmark talks to it. @see bench/identity/newcomers-process.ts
 */
import { join } from 'node:path';
import { sideProcess } from '../side-process.ts';
import type { FromNewcomers, NewcomersReport, ToNewcomers } from './crowd-messages.ts';

export interface Newcomers {
  say(message: ToNewcomers): Promise<void>;
  report(): Promise<NewcomersReport>;
  close(): Promise<void>;
}

export function gatherNewcomers(): Newcomers {
  const file = join(import.meta.dirname, 'newcomers-process.ts');
  const { exchange, close } = sideProcess<ToNewcomers, FromNewcomers>(file, 'a process of new devices');
  return {
    say: async (message) => void (await exchange(message)),
    async report() {
      const answer = await exchange({ type: 'report' });
      if (answer.type !== 'report') throw new Error(`a process of new devices answered ${answer.type}`);
      return answer.report;
    },
    close,
  };
}
