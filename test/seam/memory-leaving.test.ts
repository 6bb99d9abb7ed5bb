/**
 * Ways by which keys leave memory unasked: core dumps and swap, as the machine tells of them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkCoreDumps, checkSwap } from '../../cli/doctor/memory-checks.ts';
import { coreLimit, coreReceiver } from '../../platform/core-dumps.ts';
import { activeSwaps } from '../../platform/swap.ts';

const SWAPS = `Filename				Type		Size		Used		Priority
/dev/zram0                              partition	4194300		0		100
/dev/dm-1                               partition	4194300		0		-2
/dev/dm-2                               partition	4194300		0		-3
/dev/nonesuch1                          partition	4194300		0		-4
/gone/swap\\040file                      file		4194300		0		-5
`;

test('swap: zram and dm-crypt keep it from the disk; LVM, partitions and files do not', () => {
  const files: Readonly<Record<string, string>> = {
    '/proc/swaps': SWAPS,
    '/sys/block/dm-1/dm/uuid': 'CRYPT-LUKS2-0123456789abcdef-swap\n',
    '/sys/block/dm-2/dm/uuid': 'LVM-0123456789abcdef\n',
  };
  const swaps = activeSwaps((path) => files[path] ?? null);
  assert.deepEqual(swaps, [
    { path: '/dev/zram0', kind: 'memory' },
    { path: '/dev/dm-1', kind: 'encrypted' },
    { path: '/dev/dm-2', kind: 'open' },
    { path: '/dev/nonesuch1', kind: 'open' },
    { path: '/gone/swap file', kind: 'open' },
  ]);
  const { ok, what, remedy } = checkSwap(swaps);
  assert.ok(ok, 'no fault of ours');
  assert.match(what, /readable, to \/dev\/dm-2, \/dev\/nonesuch1, \/gone\/swap file$/);
  assert.match(remedy ?? '', /MemorySwapMax=0/);
  assert.equal(checkSwap(swaps!.slice(0, 2)).remedy, null);
});

test('swap: none, and a system that does not tell', () => {
  assert.deepEqual(
    activeSwaps(() => SWAPS.split('\n', 1)[0]!),
    [],
  );
  assert.equal(checkSwap([]).remedy, null);
  assert.equal(
    activeSwaps(() => null),
    null,
  );
  assert.notEqual(checkSwap(null).remedy, null);
  assert.ok(Array.isArray(activeSwaps()), 'Linux tells');
});

test('core dumps: the hard limit counts, and the doctor says what is in the way', () => {
  const line = (soft: string, hard: string) =>
    `Max core file size        ${soft}                    ${hard}    bytes     \n`;
  assert.equal(coreLimit(line('0', 'unlimited')), Number.POSITIVE_INFINITY, 'the process may raise it again');
  assert.equal(coreLimit(line('0', '0')), 0);
  assert.equal(coreLimit('nothing of it'), null);
  assert.notEqual(coreReceiver(), null, 'Linux tells');
  assert.equal(checkCoreDumps(null).remedy, null);
  const { ok, what, remedy } = checkCoreDumps('prlimit is not installed');
  assert.ok(ok && what.includes('prlimit is not installed') && remedy?.includes('ulimit -c 0'));
});
