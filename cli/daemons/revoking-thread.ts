/**
 * The thread of one revocation. @see cli/daemons/revoking.ts
 */
import { parentPort, workerData } from 'node:worker_threads';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { revokeCertificate } from '../ca/authority.ts';
import { CaError } from '../ca/ca-error.ts';
import type { Revocation, RevocationAnswer } from './revoking.ts';

const { caDirectory, serial } = workerData as Revocation;

function revoke(): RevocationAnswer {
  try {
    revokeCertificate(caDirectory, serial, { crypto: nodeCrypto(), now: Math.floor(Date.now() / 1000) });
    return null;
  } catch (error) {
    if (error instanceof CaError && error.code === 'already-revoked') return null;
    return error instanceof Error ? error.message : String(error);
  }
}

parentPort?.postMessage(revoke());
