/**
 * One bit of the store's file turned, anywhere; the file cut off, anywhere: named, or exactly the records that were
 * stored. In processes of their own, because LMDB on a damaged page may end the process.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { type Store, StoreError } from '../../platform/store.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { seededRandom } from '../../sim/seeded-random.ts';

const LONG = process.env.KAGIMORI_LONG === '1';
const SEED = Number(process.env.KAGIMORI_SEED ?? 1);
const FLIPS = LONG ? 20_000 : 200;
const LANES = 2;
const PER_PROCESS = 400;
const FLIPPER = join(import.meta.dirname, 'store-flipper.ts');
const PAGE = 4096;

let directory = '';
let used = 0;
const key = new Uint8Array(32).fill(7);
const open = (at: string): Promise<Store> => openLmdbStore({ directory: at, key, crypto: nodeCrypto() });

/** A few hundred records of many lengths, some replaced, some removed: leaves, branches, overflow pages, a free list. */
before(async () => {
  // thousands of commits to a file in memory take seconds, to a disk minutes
  directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kagimori-flips-'));
  const store = await open(directory);
  for (let round = 0; round < 12; round++) {
    await store.commit(
      Array.from({ length: 30 }, (_, i) => {
        const value = new Uint8Array((i * 97 + round * 31) % (i === 7 ? 7000 : 600)).fill(i);
        return { table: ['devices', 'registrations', 'sessions'][i % 3]!, key: `d${(round * 17 + i) % 250}`, value };
      }),
    );
  }
  await store.commit([1, 5, 9, 40].map((i) => ({ table: 'devices', key: `d${i}`, value: null })));
  await store.close();
  const file = readFileSync(join(directory, 'store.mdb'));
  const [older, newer] = [PAGE, 0].map(
    (at) => [file.readBigUInt64LE(at + 152), file.readBigUInt64LE(at + 144)] as const,
  );
  used = (Number(older![0] > newer![0] ? older![1] : newer![1]) + 1) * PAGE;
  truncateSync(join(directory, 'store.mdb'), used);
});
after(() => rmSync(directory, { recursive: true, force: true }));

interface Flipped {
  readonly bit: number;
  readonly outcome: string;
}

/** @returns what came of each; a process that dies is an outcome, and the rest goes on in the next one */
async function flip(bits: readonly number[]): Promise<Flipped[]> {
  const results: Flipped[] = [];
  for (let left = bits; left.length > 0; ) {
    const { lines, end } = await runFlipper(left.slice(0, PER_PROCESS));
    for (const line of lines.filter((one) => !one.endsWith(' try'))) {
      const space = line.indexOf(' ');
      results.push({ bit: Number(line.slice(0, space)), outcome: line.slice(space + 1) });
    }
    const last = lines.at(-1);
    if (last?.endsWith(' try')) results.push({ bit: Number.parseInt(last, 10), outcome: `CRASH ${end}` });
    else assert.equal(end, '0', `the flipper ended with ${end}`);
    left = bits.slice(results.length);
  }
  return results;
}

/** One that says nothing for so long hangs; it is ended, and shows it by its signal. */
const SILENCE_MS = 60_000;

function runFlipper(bits: readonly number[]): Promise<{ lines: string[]; end: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [FLIPPER, directory, ...bits.map(String)]);
    let [text, errors] = ['', ''];
    const silent = setTimeout(() => child.kill('SIGKILL'), SILENCE_MS);
    child.stdout.setEncoding('latin1').on('data', (more: string) => {
      text += more;
      silent.refresh();
    });
    child.stderr.setEncoding('utf8').on('data', (more: string) => {
      errors += more;
    });
    child.on('close', (code, signal) => {
      clearTimeout(silent);
      resolve({ lines: text.split('\n').slice(0, -1), end: `${code ?? signal}${errors}` });
    });
  });
}

test(`[P9] ${FLIPS} flipped bits anywhere in the file: named, or exactly the records that were stored`, {
  timeout: 3_000_000,
}, async (t) => {
  const random = seededRandom(SEED);
  // half of them where the structure is: the header pages, the heads of pages, the offsets behind them
  const drawn = Array.from({ length: FLIPS }, (_, i) => {
    if (i % 2 === 0) return random.below(used * 8);
    const [page, offset] = [random.below(used / PAGE), random.below(i % 4 === 1 ? 200 : 48)];
    return ((i % 8 === 1 ? page % 2 : page) * PAGE + offset) * 8 + random.below(8);
  });
  // in the long run every bit of both header pages besides
  const headers = [0, PAGE].flatMap((at) => Array.from({ length: 192 * 8 }, (_, bit) => at * 8 + bit));
  const bits = LONG ? [...headers, ...drawn] : drawn;
  const lanes = Array.from({ length: LANES }, (_, lane) => flip(bits.filter((_, i) => i % LANES === lane)));
  const results = (await Promise.all(lanes)).flat();
  assert.equal(results.length, bits.length);
  const bad = results.filter(({ outcome }) => !/^(?:same|refused (?:altered|truncated|wrong-key))$/.test(outcome));
  const where = ({ bit, outcome }: Flipped): string =>
    `page ${Math.floor(bit / 8 / PAGE)} byte ${(bit >> 3) % PAGE} bit ${bit & 7}: ${outcome}`;
  assert.deepEqual(bad.map(where), [], `seed ${SEED}`);
  const refused = results.filter(({ outcome }) => outcome !== 'same').length;
  t.diagnostic(`${refused} refused, ${bits.length - refused} harmless, file of ${used / PAGE} pages`);
  assert.ok(refused > bits.length / 4 && refused < bits.length);
});

/** Opens and tells the fault; 'whole' when it opens with every record. */
async function tried(at: string, records: number): Promise<string> {
  try {
    const store = await open(at);
    const found = ['devices', 'registrations', 'sessions'].flatMap((table) => [...store.entries(table)]).length;
    await store.close();
    return found === records ? 'whole' : `${found} of ${records} records`;
  } catch (error) {
    assert.ok(error instanceof StoreError, String(error));
    assert.ok(error.message.startsWith(at), error.message);
    return error.fault;
  }
}

test('[P9] the file cut at every page, one byte before and behind it, and elsewhere: named, and the process lives', async () => {
  const whole = readFileSync(join(directory, 'store.mdb'));
  const at = join(directory, 'cut');
  mkdirSync(at, { mode: 0o700 });
  const path = join(at, 'store.mdb');
  writeFileSync(path, whole);
  const store = await open(at);
  const records = ['devices', 'registrations', 'sessions'].flatMap((table) => [...store.entries(table)]).length;
  await store.close();
  const random = seededRandom(SEED);
  const edges = Array.from({ length: used / PAGE }, (_, page) => [
    page * PAGE - 1,
    page * PAGE,
    page * PAGE + 1,
  ]).flat();
  const elsewhere = Array.from({ length: LONG ? 5000 : 60 }, () => random.below(used));
  for (const length of [...edges.filter((edge) => edge >= 0), ...elsewhere]) {
    writeFileSync(path, whole.subarray(0, length));
    assert.equal(await tried(at, records), 'truncated', `cut to ${length}`);
    assert.equal(readFileSync(path).length, length, 'and nothing was changed');
  }
  // longer than it was: what lies behind the last page is reserve
  writeFileSync(path, Buffer.concat([whole, new Uint8Array(5000).fill(0xff)]));
  assert.equal(await tried(at, records), 'whole');
});

test('[P9] an empty file, another file, a directory, one of another key or without rights: each named, none replaced', async () => {
  const whole = readFileSync(join(directory, 'store.mdb'));
  const at = join(directory, 'odd');
  const path = join(at, 'store.mdb');
  const cases: readonly (readonly [what: string, fault: string, make: () => void])[] = [
    ['empty', 'truncated', () => writeFileSync(path, '')],
    ['text', 'altered', () => writeFileSync(path, 'This is no store at all.\n'.repeat(1000))],
    ['zeroes', 'altered', () => writeFileSync(path, new Uint8Array(100_000))],
    ['a directory', 'unwritable', () => mkdirSync(path)],
    ['twice itself', 'whole', () => writeFileSync(path, Buffer.concat([whole, whole]))],
    ['its second page first', 'altered', () => writeFileSync(path, Buffer.concat([whole.subarray(PAGE), whole]))],
  ];
  for (const [what, fault, make] of cases) {
    rmSync(at, { recursive: true, force: true });
    mkdirSync(at, { mode: 0o700 });
    make();
    assert.equal(await tried(at, 358), fault, what);
  }
  rmSync(at, { recursive: true, force: true });
  writeFileSync(at, 'a file where the directory belongs');
  assert.equal(await tried(at, 0), 'unwritable');
  rmSync(at);
  mkdirSync(at, { mode: 0o777 });
  chmodSync(at, 0o777);
  assert.equal(await tried(at, 0), 'unwritable');
});

test('[P9] a user who may not read or write the store is told so', {
  skip: process.getuid?.() === 0 ? false : 'needs root, to become nobody',
}, () => {
  const at = join(directory, 'foreign');
  mkdirSync(at, { mode: 0o700 });
  chmodSync(directory, 0o755);
  writeFileSync(join(at, 'store.mdb'), readFileSync(join(directory, 'store.mdb')), { mode: 0o600 });
  const asNobody = (): string => {
    const script = join(import.meta.dirname, 'store-endurer.ts');
    const { stdout, stderr } = spawnSync(process.execPath, [script, at, '1', '1'], {
      uid: 65534,
      gid: 65534,
      encoding: 'utf8',
    });
    return `${stdout}${stderr}`.trim();
  };
  assert.equal(asNobody(), 'refused unwritable');
  chmodSync(at, 0o755);
  assert.equal(asNobody(), 'refused unwritable');
});
