/**
 * A process that commits until it is killed. Writes `open`, then the number of every commit once it is acknowledged.
 * Arguments: directory, first number.
 */
import { writeSync } from 'node:fs';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';

const [directory, first] = process.argv.slice(2);
if (directory === undefined || first === undefined) throw new Error('usage: store-committer.ts DIRECTORY FIRST');
const store = await openLmdbStore({ directory, key: new Uint8Array(32).fill(7), crypto: nodeCrypto() });
writeSync(1, 'open\n');
for (let number = Number(first); ; number++) {
  const value = encodeUtf8(String(number).repeat(1 + ((number * 7) % 300)));
  await store.commit([
    { table: 'devices', key: `d${number}`, value },
    { table: 'latest', key: 'number', value: encodeUtf8(String(number)) },
    { table: 'devices', key: `d${number - 500}`, value: null },
  ]);
  writeSync(1, `${number}\n`);
}
