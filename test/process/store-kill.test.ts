/**
 * kill -9 at random moments of a committing process: what was acknowledged is there.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { openLmdbStore } from '../../platform/store-lmdb.ts';
import { decodeUtf8 } from '../../protocol/bytes.ts';

const KILLS = process.env.KAGIMORI_LONG === '1' ? 1000 : 40;
const SEED = Number(process.env.KAGIMORI_SEED ?? 1);
const LANES = 2;
const COMMITTER = join(import.meta.dirname, 'store-committer.ts');

/** mulberry32 */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets a process commit, kills it after so many acknowledgements and so many ms. @returns the last number acknowledged */
function commitUntilKilled(directory: string, first: number, afterLines: number, afterMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [COMMITTER, directory, String(first)], { stdio: ['ignore', 'pipe', 'pipe'] });
    const output = { text: '', errors: '', lines: 0, doomed: false };
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      output.text += text;
      output.lines += text.split('\n').length - 1;
      if (output.lines < afterLines || output.doomed) return;
      output.doomed = true;
      setTimeout(() => child.kill('SIGKILL'), afterMs);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      output.errors += text;
    });
    child.on('close', (_, signal) => {
      if (signal !== 'SIGKILL') return reject(new Error(`ended by itself: ${output.errors}`));
      // The last line may be cut: then it is no acknowledgement that anybody saw.
      const whole = output.text
        .slice(0, output.text.lastIndexOf('\n') + 1)
        .trim()
        .split('\n');
      const last = whole.at(-1);
      resolve(last === 'open' || last === undefined ? first - 1 : Number(last));
    });
  });
}

async function killAgainAndAgain(directory: string, kills: number, next: () => number): Promise<number> {
  let acknowledged = 0;
  for (let kill = 0; kill < kills; kill++) {
    const first = acknowledged + 1;
    const last = await commitUntilKilled(directory, first, 1 + Math.floor(next() * 12), next() * 4);
    const store = await openLmdbStore({ directory, key: new Uint8Array(32).fill(7), crypto: nodeCrypto() });
    const latest = Number(decodeUtf8(store.get('latest', 'number') ?? new Uint8Array([0x30])));
    // One commit may have reached the disk without anybody being told.
    assert.ok(
      latest === last || latest === last + 1,
      `acknowledged ${last}, found ${latest} (seed ${SEED}, kill ${kill})`,
    );
    const found = new Map(store.entries('devices'));
    for (let number = Math.max(1, latest - 499); number <= latest; number++) {
      const value = found.get(`d${number}`);
      assert.ok(value !== undefined, `record ${number} of ${latest} is gone (seed ${SEED}, kill ${kill})`);
      assert.equal(value.length, String(number).length * (1 + ((number * 7) % 300)));
    }
    assert.equal(found.size, Math.min(latest, 500));
    await store.close();
    acknowledged = latest;
  }
  return acknowledged;
}

test(`[P9] [B7] ${KILLS} times kill -9 at random moments: every acknowledged record is there, each commit whole`, async (t) => {
  const base = mkdtempSync(join(tmpdir(), 'kagimori-kill-'));
  t.after(() => rmSync(base, { recursive: true, force: true }));
  const lanes = Array.from({ length: LANES }, (_, lane) =>
    killAgainAndAgain(join(base, String(lane)), KILLS / LANES, random(SEED * LANES + lane)),
  );
  const acknowledged = await Promise.all(lanes);
  t.diagnostic(`${acknowledged.reduce((sum, n) => sum + n, 0)} commits`);
  assert.ok(acknowledged.every((commits) => commits >= KILLS / LANES));
});

/** Starts a committer. @returns 'open', or what it died of */
function tryToOpen(directory: string): { outcome: Promise<string>; kill(): void } {
  const child = spawn(process.execPath, [COMMITTER, directory, '1'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const outcome = new Promise<string>((resolve) => {
    child.stdout.once('data', () => resolve('open'));
    child.on('close', () => resolve(errors));
  });
  return { outcome, kill: () => child.kill('SIGKILL') };
}

test('of several processes that start at once after a kill, one gets the store and the others are told by whom', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-race-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (let round = 0; round < 3; round++) {
    const starters = Array.from({ length: 4 }, () => tryToOpen(directory));
    const outcomes = await Promise.all(starters.map(({ outcome }) => outcome));
    for (const { kill } of starters) kill();
    assert.equal(outcomes.filter((outcome) => outcome === 'open').length, 1, outcomes.join('\n'));
    for (const outcome of outcomes) if (outcome !== 'open') assert.match(outcome, /in use by process \d+/);
  }
});
