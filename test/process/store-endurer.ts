/**
 * A process that commits one number after another, whatever the disk says, until so many were acknowledged.
 * Writes `open`, then `ok <number>` or `<fault> <number>` for each attempt, then `done`; what it cannot open it names.
 * Arguments: directory, how many, and at most how many attempts.
 */
import { writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { StoreError } from '../../platform/store.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

const [directory, wanted, attempts] = process.argv.slice(2);
if (directory === undefined || wanted === undefined || attempts === undefined)
  throw new Error('usage: store-endurer.ts DIRECTORY COMMITS ATTEMPTS');
const say = (line: string): void => void writeSync(1, `${line}\n`);

function named(error: unknown): string {
  if (error instanceof StoreError && / [^ ]/.test(error.message)) return error.fault;
  say(`unnamed ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  process.exit(2);
}

try {
  const key = new Uint8Array(32).fill(7);
  const store = await openLmdbStore({ directory, key, crypto: nodeCrypto(), restMs: [10, 40] });
  say('open');
  let acknowledged = 0;
  for (let number = 1; number <= Number(attempts) && acknowledged < Number(wanted); number++) {
    const value = encodeUtf8(String(number).repeat(1 + ((number * 7) % 3000)));
    try {
      await store.commit([
        { table: 'devices', key: `d${number}`, value },
        { table: 'latest', key: `n${number % 3}`, value: encodeUtf8(String(number)) },
        { table: 'devices', key: `d${number - 300}`, value: null },
      ]);
      acknowledged++;
      say(`ok ${number}`);
    } catch (error) {
      say(`${named(error)} ${number}`);
      if (store.get('devices', `d${number}`) !== null) say(`served ${number}`);
      await pause(15);
    }
  }
  await store.close();
  say('done');
} catch (error) {
  say(`refused ${named(error)}`);
  process.exitCode = 1;
}
