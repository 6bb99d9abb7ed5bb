/**
 * A process that turns one bit after another of a store's file, opens it each time, and says what came of it:
 * `<bit> refused <fault>`, `<bit> same`, or `<bit> WRONG …`; before each try `<bit> try`, so that a crash has an address.
 * Arguments: directory with a whole `store.mdb`, then the bits, counted from the beginning of the file.
 */
import { mkdirSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { StoreError } from '../../platform/store.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';

const [directory, ...bits] = process.argv.slice(2);
if (directory === undefined) throw new Error('usage: store-flipper.ts DIRECTORY BIT…');
const whole = readFileSync(join(directory, 'store.mdb'));
const scratch = join(directory, `scratch-${process.pid}`);
mkdirSync(scratch, { mode: 0o700 });
const TABLES = ['devices', 'registrations', 'sessions', 'more'];

/** Everything that a reader gets, by both ways of reading. */
async function contents(write: boolean): Promise<string> {
  const store = await openLmdbStore({ directory: scratch, key: new Uint8Array(32).fill(7), crypto: nodeCrypto() });
  try {
    if (write) await store.commit([{ table: 'more', key: 'k', value: new Uint8Array(9000).fill(1) }]);
    const rows = TABLES.flatMap((table) =>
      [...store.entries(table)].map(([key, value]) => [table, key, value] as const),
    );
    for (const [table, key, value] of rows) {
      if (Buffer.compare(store.get(table, key) ?? new Uint8Array(1), value) !== 0) return `two answers for ${key}`;
    }
    return rows.map(([table, key, value]) => `${table}/${key}=${Buffer.from(value).toString('base64')}`).join('\n');
  } finally {
    await store.close();
  }
}

async function outcome(bytes: Buffer): Promise<string> {
  writeFileSync(join(scratch, 'store.mdb'), bytes);
  try {
    if ((await contents(false)) !== truth) return 'WRONG: other records';
    if ((await contents(true)) !== truthAfter) return 'WRONG: other records after a commit';
    return (await contents(false)) === truthAfter ? 'same' : 'WRONG: other records at the next start';
  } catch (error) {
    return error instanceof StoreError ? `refused ${error.fault}` : `WRONG: ${String(error)}`;
  }
}

writeFileSync(join(scratch, 'store.mdb'), whole);
const truth = await contents(false);
const truthAfter = await contents(true);
for (const bit of bits.map(Number)) {
  writeSync(1, `${bit} try\n`);
  const bytes = Buffer.from(whole);
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  writeSync(1, `${bit} ${await outcome(bytes)}\n`);
}
