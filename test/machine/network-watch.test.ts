/**
 * When a change of addresses is reported: a table of polls.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decideNetwork, isLinkLocal, machineAddresses, type NetworkState } from '../../hardware/network-watch.ts';

type Poll = readonly [addresses: string, slept?: 'slept'];

/** @returns for each poll what was reported, or '-' */
function reports(polls: readonly Poll[]): string[] {
  let state: NetworkState = { kind: 'settled', reported: ['A'] };
  return polls.map(([addresses, slept]) => {
    const [next, report] = decideNetwork(state, addresses === '' ? [] : addresses.split(' '), slept === 'slept');
    state = next;
    return report === null ? '-' : `${report.reason} ${report.addresses.join(' ')}`.trim();
  });
}

const TABLE: ReadonlyArray<readonly [rule: string, polls: readonly Poll[], expected: readonly string[]]> = [
  ['nothing new is not reported', [['A'], ['A']], ['-', '-']],
  ['a new address is reported once, when the next poll confirms it', [['B'], ['B'], ['B']], ['-', 'changed B', '-']],
  ['an added address counts', [['A B'], ['A B']], ['-', 'changed A B']],
  ['losing every address counts', [[''], ['']], ['-', 'changed']],
  ['a flap that comes back is not reported', [[''], ['A'], ['A']], ['-', '-', '-']],
  [
    'a flapping interface is reported once it rests',
    [['B'], [''], ['B'], [''], ['B'], ['B']],
    ['-', '-', '-', '-', '-', 'changed B'],
  ],
  [
    'after sleep the same addresses are reported, once settled',
    [['A', 'slept'], ['A'], ['A']],
    ['-', 'resumed A', '-'],
  ],
  ['after sleep other addresses are a change', [['', 'slept'], ['B'], ['B']], ['-', '-', 'changed B']],
  [
    'sleep while settling is not forgotten',
    [['B'], ['A', 'slept'], ['B'], ['A'], ['A']],
    ['-', '-', '-', '-', 'resumed A'],
  ],
];

for (const [rule, polls, expected] of TABLE) {
  test(`[P10] [patent 0101] ${rule}`, () => assert.deepEqual(reports(polls), expected));
}

test('link-local addresses reach nobody beyond the wire and are left out', () => {
  for (const address of ['169.254.1.2', 'fe80::1', 'FEBF::1', 'fe90::a'])
    assert.equal(isLinkLocal(address), true, address);
  for (const address of ['169.25.4.1', '10.0.0.1', 'fec0::1', 'fd00::1', '2001:db8::fe80']) {
    assert.equal(isLinkLocal(address), false, address);
  }
  const found = machineAddresses();
  assert.deepEqual(found, [...new Set(found)].sort());
  assert.ok(!found.includes('127.0.0.1') && !found.includes('::1'));
});
