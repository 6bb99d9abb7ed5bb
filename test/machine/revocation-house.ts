/**
 * What the tests of revocation look at: whether a device is out, and what was said of it.
 */
import assert from 'node:assert/strict';
import type { News } from '../../device-agent/effects.ts';
import { showDevice } from '../../manager/show.ts';
import { type BrokerRequest, brokerRequests } from '../../protocol/messages.ts';
import { Question } from '../../protocol/verifier-messages.ts';
import type { Town, TownDevice } from '../town-plan.ts';

export const logged = (t: Town, event: string): string[] => t.managerLogs.filter((line) => line.includes(` ${event} `));

export const brokerOrders = (t: Town, from = 0): BrokerRequest[] =>
  t.packets
    .slice(from)
    .filter(
      ({ from, topic }) => from === 'manager' && topic.includes('kagimori/') === false && /\/c\/|control/.test(topic),
    )
    .map(({ payload }) => brokerRequests.decode(payload));

/** Questions of the manager about devices. */
export const questionsAbout = (t: Town, from = 0): Question[] =>
  t.packets
    .slice(from)
    .filter(({ topic }) => topic === 'km1/v/q/~manager')
    .map(({ payload }) => Question.decode(payload))
    .filter(({ purpose }) => purpose === 'device');

export const revokedAt = (t: Town, device: TownDevice): unknown => showDevice(t.manager, device.id).revokedAt;

export const closings = (device: TownDevice): string[] =>
  device.news
    .filter((one): one is Extract<News, { news: 'sessionClosed' }> => one.news === 'sessionClosed')
    .map(({ reason, closedBy }) => `${reason} by ${closedBy}`);

/** Nothing of it is left but its registration and the mark. */
export function assertOut(t: Town, device: TownDevice): void {
  const { manager, store } = t;
  assert.ok(!manager.channels.has(device.id), 'no channel');
  assert.ok(!manager.links.has(device.id), 'no link');
  assert.ok(!manager.resumption.has(device.id), 'no resumption secret in memory');
  assert.equal(store.get('resumption', device.id), null, 'nor in the store');
  assert.ok(!manager.sessionsOf.has(device.id), 'no session');
  assert.equal(manager.devices.get(device.id)?.verdictUntil, 0);
  assert.notEqual(revokedAt(t, device), null, 'its record is marked');
  assert.ok(manager.registrations.has(device.id), 'its registration is there, and of no use');
  assert.ok(!manager.revocation.condemned.has(device.id) && !manager.revocation.doubtful.has(device.id));
}

/** Times in ms at which the clock is moved on, so that events come each second. */
export function forward(t: Town, ms: number): void {
  for (let left = ms; left > 0; left -= 1000) t.advance(Math.min(1000, left));
}
