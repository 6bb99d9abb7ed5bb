/**
 * `kagimori suites list` as a command: for programs and for people.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everySuite, type ListedSuite } from '../../cli/suites/suite-listing.ts';
import { readCpuFeatures } from '../../hardware/cpu-features.ts';
import { startCommand } from '../real-process.ts';

interface Listing {
  readonly machine: { readonly instructions: string[] | null; readonly openSslMask: string | null };
  readonly measuredMs: number;
  readonly suites: readonly ListedSuite[];
}

async function list(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<string> {
  const { code, stdout, stderr } = await startCommand(['suites', 'list', ...args], undefined, environment).ended;
  assert.deepEqual([code, stderr], [0, '']);
  return stdout;
}

test('[B4] every suite is listed with strength, sizes, halves and its cost on this machine', async () => {
  const { machine, measuredMs, suites } = JSON.parse(await list(['--json'])) as Listing;
  assert.deepEqual(machine, { ...readCpuFeatures(), openSslMask: null });
  assert.equal(suites.length, everySuite().length);
  assert.ok(measuredMs > 0 && measuredMs < 500, `${measuredMs} ms`);
  for (const { cipher, keyBits, strengthBits, cost, halves } of suites) {
    const name = `${cipher}-${keyBits}`;
    assert.ok(strengthBits >= 128 && strengthBits <= 256, name);
    assert.ok(cost !== null && cost.nsPerOp > 0 && cost.megabytesPerSecond > 0, name);
    assert.deepEqual(halves, ['node', 'portable'], name);
  }
});

test('[B4] a line for people holds all tags of a suite, and all its hashes where no record sees them', async () => {
  const text = await list(['--measure-ms', '0'], { OPENSSL_armcap: '0' });
  const [head, ...lines] = text.split('\n');
  assert.match(head!, /^cipher +hash +strength/);
  assert.ok(lines.some((line) => /^aes-ccm-128 +any +128 +16 +8, 16 +10, 18 +both +fips, constrained\* /.test(line)));
  assert.ok(lines.some((line) => /^aes-ctr-hmac-192 +sha-384 +192 +72 +8, 16, 32 +10, 18, 34 .* – +– +–$/.test(line)));
  assert.ok(lines.some((line) => /^hmac-512 +sha-512 +256 /.test(line)));
  assert.match(text, /OPENSSL_armcap=0/);
  const longest = Math.max(...lines.slice(0, lines.indexOf('')).map((line) => line.length));
  assert.ok(longest <= 132, `it fits a terminal of 132 columns, not ${longest}`);
});
