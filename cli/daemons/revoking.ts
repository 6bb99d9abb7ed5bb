/**
 * Revokes the certificate of a device that is reset, at the CA that the manager has at hand: in a thread of its own, for
 * another command may have the CA for a while.
 */
import { Worker } from 'node:worker_threads';

export interface Revocation {
  readonly caDirectory: string;
  /** Hex. */
  readonly serial: string;
}

/** What the thread says at its end: why it was not done, or null. */
export type RevocationAnswer = string | null;

/** @returns revokes by serial number; it is refused with the CA's own words */
export const revokeAt =
  (caDirectory: string) =>
  (serial: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./revoking-thread.ts', import.meta.url), {
        workerData: { caDirectory, serial } satisfies Revocation,
        execArgv: [],
      });
      worker.on('message', (fault: RevocationAnswer) => (fault === null ? resolve() : reject(new Error(fault))));
      worker.on('error', reject);
      worker.on('exit', () => reject(new Error('the thread ended without a word')));
    });
