/**
 * Seals one record of every suite, opens it, and measures a suite as the agent does: for the proof of what the cipher
 * recorder writes down. Prints how many records there were of suites that encrypt.
 */
import { measureSuites } from '../../hardware/suite-cost.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { protect, unprotect } from '../../protocol/protection.ts';
import { EVERY_SUITE } from '../every-suite.ts';

const crypto = nodeCrypto();
let encrypted = 0;
for (const algorithm of EVERY_SUITE) {
  const [key, nonce] = [crypto.random(algorithm.keyBytes), crypto.random(algorithm.nonceBytes)];
  const sealed = protect(crypto, algorithm, key, nonce, nonce, key);
  if (unprotect(crypto, algorithm, key, nonce, nonce, sealed) === null) throw new Error('a record does not open');
  if (algorithm.kind !== 'integrity-only') encrypted++;
}
const [suite] = EVERY_SUITE.map((one) => one.suite);
const { spentMs } = measureSuites(crypto, [suite!], 20);
process.stdout.write(JSON.stringify({ encrypted, measured: spentMs > 0 }));
