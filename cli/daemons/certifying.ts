/**
 * The CA behind a manager that enrols devices: a thread of its own over the CA's directory. What is asked while it is at
 * work goes to it together.
 */
import { Worker } from 'node:worker_threads';
import type { CertificateWish, Certified } from '../../manager/effects.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { issuingTier, listCertificates, loadTier } from '../ca/authority.ts';
import type { DeviceAnswer } from '../ca/device-batch.ts';

export interface CertifyingSettings {
  readonly caDirectory: string;
  /** How long a certificate is good. */
  readonly days: number;
}

export interface Batch {
  readonly wishes: readonly CertificateWish[];
}

export interface BatchAnswer {
  readonly answers: readonly DeviceAnswer[];
}

export interface Certifying {
  certify(wish: CertificateWish): Promise<Certified>;
  close(): Promise<void>;
}

/** One lock of the CA's index covers so many: commands of an operator come in between. */
const MAX_BATCH = 256;

interface Waiting {
  readonly wish: CertificateWish;
  readonly answer: (certified: Certified) => void;
}

/** @throws CaError no-authority, broken-index; FileFault: the CA cannot certify */
export function startCertifying(settings: CertifyingSettings): Certifying {
  const { caDirectory } = settings;
  listCertificates(caDirectory);
  loadTier(caDirectory, issuingTier(caDirectory), { crypto: nodeCrypto(), now: 0 });

  const queue: Waiting[] = [];
  let atWork: readonly Waiting[] = [];
  let thread: Worker | null = null;
  let closed = false;

  const next = (): void => {
    if (atWork.length > 0 || queue.length === 0) return;
    thread ??= open();
    atWork = queue.splice(0, MAX_BATCH);
    thread.postMessage({ wishes: atWork.map(({ wish }) => wish) } satisfies Batch);
  };
  const finish = (answerOf: (index: number) => Certified): void => {
    const done = atWork;
    atWork = [];
    for (const [index, { answer }] of done.entries()) answer(answerOf(index));
    if (!closed) next();
  };
  const open = (): Worker => {
    // nothing of the process's own settings: no debugger, no loader of a test
    const worker = new Worker(new URL('./certifying-thread.ts', import.meta.url), {
      workerData: settings,
      execArgv: [],
    });
    worker.unref();
    worker.on('message', ({ answers }: BatchAnswer) => finish((index) => answers[index] ?? ENDED));
    worker.on('error', (error: Error) => {
      thread = null; // the next wish gets another one
      finish(() => ({ refused: error.message }));
    });
    return worker;
  };

  return {
    certify: (wish) =>
      new Promise((resolve) => {
        if (closed) return resolve(ENDED);
        queue.push({ wish, answer: resolve });
        next();
      }),
    async close() {
      closed = true;
      for (const { answer } of queue.splice(0)) answer(ENDED);
      finish(() => ENDED);
      await thread?.terminate();
    },
  };
}

const ENDED: Certified = { refused: 'the manager ends' };
