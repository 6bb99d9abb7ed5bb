/**
 * The recorder of the kill tests: it writes down every encryption of every suite once, and nothing else.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { countNonces } from '../chaos-house.ts';

test('[5.6 nonce reuse] the recorder sees what is enciphered by each suite, not what is deciphered, nor what is only measured', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'km-nonces-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const record = join(folder, 'nonces');
  const run = spawnSync(
    process.execPath,
    [`--import=${join(import.meta.dirname, '../cipher-recorder.ts')}`, join(import.meta.dirname, 'record-sealer.ts')],
    { encoding: 'utf8', env: { ...process.env, KAGIMORI_CIPHER_RECORD: record } },
  );
  assert.equal(run.status, 0, run.stderr);
  const { encrypted, measured } = JSON.parse(run.stdout) as { encrypted: number; measured: boolean };
  assert.deepEqual([encrypted, measured], [9 + 12 + 3 + 27, true]);
  const written = readFileSync(record, 'utf8');
  assert.deepEqual(countNonces(written, encrypted), { encryptions: encrypted, records: encrypted, repeated: [] });
  assert.equal(
    written.split('\n').filter((line) => /^[0-9a-f]{64} [0-9a-f]{24}0{8}$/.test(line)).length,
    27,
    'AES-CTR',
  );
  const twice = countNonces(written + written, encrypted);
  assert.equal(twice.repeated.length, encrypted, 'and the count would find them');
});
