/**
 * Goes before the program in a process (`node --import`): writes down key and nonce of every encryption that the process
 * is about to do, the key as its SHA-256, so that what was used before a kill -9 stands there after it. Left out is what
 * the agent seals to measure its suites, all under one key and nonce, which are nobody's secret.
 * Environment: KAGIMORI_CIPHER_RECORD, the file that lines `key nonce` are added to.
 */
import nodeCrypto, { type CipherKey, createHash, KeyObject } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { MEASURING_KEY_BYTE } from '../hardware/suite-cost.ts';

const path = process.env.KAGIMORI_CIPHER_RECORD;
if (path === undefined) throw new Error('KAGIMORI_CIPHER_RECORD is not set');
const record = openSync(path, 'a', 0o600);
const create = nodeCrypto.createCipheriv;

function createRecorded(algorithm: string, key: CipherKey, nonce: Uint8Array, ...options: never[]) {
  const bytes = key instanceof KeyObject ? key.export() : Buffer.from(key as Uint8Array);
  if (!bytes.every((byte) => byte === MEASURING_KEY_BYTE)) {
    const hash = createHash('sha256').update(bytes).digest('hex');
    writeSync(record, `${hash} ${Buffer.from(nonce).toString('hex')}\n`);
  }
  return create(algorithm as 'aes-128-gcm', key, nonce, ...options);
}

nodeCrypto.createCipheriv = createRecorded as typeof create;
syncBuiltinESMExports();
