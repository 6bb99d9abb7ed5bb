/**
 * What the operator reads of refusals: the first of a kind from an address with its limit, the rest as one sum.
 * @spec docs/broker-limits.md
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BrokerEvent } from '../../broker/broker-events.ts';
import { refusalLog } from '../../cli/daemons/refusal-log.ts';
import { createLog } from '../../platform/log.ts';
import { until } from './broker-rig.ts';

const MINUTE_MS = 50;

function written(): { lines: Record<string, unknown>[]; observe: (event: BrokerEvent) => void } {
  const lines: Record<string, unknown>[] = [];
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) };
  const log = createLog({ name: 'broker', level: 'warn', json: true, destination });
  return { lines, observe: refusalLog(log, MINUTE_MS) };
}

const refused = (address: string): BrokerEvent => ({
  kind: 'refused',
  reason: 'too-many-new-links',
  link: null,
  device: null,
  address,
  key: 'limits.newPerAddress',
  limit: 64,
});

test('[B1] the first refusal of a kind from an address names limit and key, the rest is one sum, then anew', async () => {
  const { lines, observe } = written();
  for (let i = 0; i < 1000; i++) observe(refused('192.0.2.1'));
  observe(refused('192.0.2.2'));
  observe({
    kind: 'slowed',
    link: null,
    device: null,
    address: '192.0.2.1',
    key: 'limits.messagesPerSecond',
    limit: 9,
  });
  const seen = () => lines.map(({ event, address, key, limit, counts }) => ({ event, address, key, limit, counts }));
  const line = (event: string, address: string, key: string, limit: number) => ({
    event,
    address,
    key,
    limit,
    counts: undefined,
  });
  const first = [
    line('link.refused', '192.0.2.1', 'limits.newPerAddress', 64),
    line('link.refused', '192.0.2.2', 'limits.newPerAddress', 64),
    line('link.slowed', '192.0.2.1', 'limits.messagesPerSecond', 9),
  ];
  assert.deepEqual(seen(), first);
  await until(() => lines.length > 3, 'the sum');
  assert.deepEqual([lines[3]!.event, lines[3]!.counts], ['link.refused-more', { 'too-many-new-links': 999 }]);
  observe(refused('192.0.2.1'));
  assert.deepEqual(seen()[4], first[0]);
});

test('[B1] whoever comes from many addresses fills sixty lines a minute, no more', async () => {
  const { lines, observe } = written();
  for (let i = 0; i < 5000; i++) observe(refused(`192.0.2.${i}`));
  await until(() => lines.some(({ event }) => event === 'link.refused-more'), 'the sum');
  assert.equal(lines.length, 61);
  assert.deepEqual(lines.at(-1)!.counts, { 'too-many-new-links': 4940 });
});
