/**
 * Runs the endurer under a disk that fails on order, and holds what it says against what the store holds afterwards.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { decodeUtf8 } from '../../protocol/bytes.ts';

const ENDURER = join(import.meta.dirname, 'store-endurer.ts');

export interface Endured {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly errors: string;
  readonly opened: boolean;
  readonly done: boolean;
  /** Numbers by what became of them: `ok`, or the fault. */
  readonly outcomes: ReadonlyMap<string, readonly number[]>;
  /** Everything else that it said. */
  readonly others: readonly string[];
}

/** @param prefix  a command that runs the rest of its arguments, strace for one */
export function endure(
  directory: string,
  commits: number,
  attempts: number,
  prefix: readonly string[] = [],
  onLine: (line: string) => void = () => {},
): Promise<Endured> {
  const words = [...prefix, process.execPath, ENDURER, directory, String(commits), String(attempts)];
  return new Promise((resolve, reject) => {
    const child = spawn(words[0]!, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] });
    let [text, heard, errors] = ['', 0, ''];
    child.on('error', reject);
    child.stdout.setEncoding('latin1').on('data', (more: string) => {
      text += more;
      const lines = text.split('\n').slice(0, -1);
      for (const line of lines.slice(heard)) onLine(line);
      heard = lines.length;
    });
    child.stderr.setEncoding('utf8').on('data', (more: string) => {
      errors += more;
    });
    child.on('close', (code, signal) => resolve(sorted(text.split('\n').slice(0, -1), code, signal, errors)));
  });
}

function sorted(lines: readonly string[], code: number | null, signal: NodeJS.Signals | null, errors: string): Endured {
  const outcomes = new Map<string, number[]>();
  const others: string[] = [];
  for (const line of lines) {
    const attempt = /^([a-z-]+) (\d+)$/.exec(line);
    if (attempt === null) others.push(line);
    else outcomes.set(attempt[1]!, [...(outcomes.get(attempt[1]!) ?? []), Number(attempt[2])]);
  }
  const said = (word: string): boolean => others.includes(word);
  return {
    code,
    signal,
    errors,
    opened: said('open'),
    done: said('done'),
    outcomes,
    others: others.filter((line) => line !== 'open' && line !== 'done'),
  };
}

/** What was acknowledged is there, what was refused is there as a whole or not at all, and it can be written again. */
export async function holdsWhatWasAcknowledged(directory: string, { outcomes }: Endured, what: string): Promise<void> {
  const store = await openLmdbStore({ directory, key: new Uint8Array(32).fill(7), crypto: nodeCrypto() });
  try {
    const found = new Map([...store.entries('devices')].map(([key, value]) => [key, decodeUtf8(value)]));
    const acknowledged = outcomes.get('ok') ?? [];
    const last = Math.max(0, ...[...outcomes.values()].flat());
    const failed = [...outcomes].filter(([word]) => word !== 'ok').flatMap(([, numbers]) => numbers);
    for (let number = 1; number <= last; number++) {
      const value = found.get(`d${number}`);
      const [mark, erased] = [store.get('latest', `n${number % 3}`), acknowledged.includes(number + 300)];
      if (acknowledged.includes(number) && !erased && !failed.includes(number + 300)) {
        assert.ok(value !== undefined, `${what}: commit ${number} was acknowledged and is gone`);
        assert.ok(mark !== null && Number(decodeUtf8(mark)) >= number, `${what}: half of commit ${number} is gone`);
      }
      if (erased) assert.equal(value, undefined, `${what}: what commit ${number + 300} erased is there`);
      if (value !== undefined) assert.equal(value, String(number).repeat(1 + ((number * 7) % 3000)), what);
      const halves = [value !== undefined, mark !== null && Number(decodeUtf8(mark)) === number];
      if (failed.includes(number) && Math.max(...acknowledged, 0) < number)
        assert.equal(halves[0], halves[1], `${what}: half of commit ${number}`);
    }
    await store.commit([{ table: 'devices', key: 'after', value: new Uint8Array(5000) }]);
  } finally {
    await store.close();
  }
}
