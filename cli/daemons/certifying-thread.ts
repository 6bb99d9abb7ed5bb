/**
 * The thread of `certifying.ts`: signs, and writes the CA's index, while the manager goes on.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { certifyDevices, type DeviceAnswer } from '../ca/device-batch.ts';
import type { Batch, BatchAnswer, CertifyingSettings } from './certifying.ts';

const { caDirectory, days } = workerData as CertifyingSettings;
const crypto = nodeCrypto();

parentPort?.on('message', ({ wishes }: Batch) => {
  const answer: BatchAnswer = { answers: answersTo(wishes) };
  parentPort?.postMessage(answer);
});

/** What keeps the whole batch from being certified is the answer to each. */
function answersTo(wishes: Batch['wishes']): readonly DeviceAnswer[] {
  try {
    const asked = wishes.map(({ device, ...wish }) => ({ name: device, ...wish }));
    return certifyDevices(caDirectory, asked, days, { crypto, now: Math.floor(Date.now() / 1000) });
  } catch (error) {
    const refused = error instanceof Error ? error.message : String(error);
    return wishes.map(() => ({ refused }));
  }
}
