/**
 * A device's transport gives its link back for a while.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { crypto, startRig, until, watcher } from './broker-rig.ts';

const REST_MS = 600;

test('[B7] a link that is given back ends at the broker at once, and the next comes after the rest', async (t) => {
  const rig = await startRig(t);
  const seen = watcher();
  const { topics } = rig.broker;
  const transport = mqttTransport({
    url: rig.url,
    crypto,
    observer: seen,
    reconnect: { minMs: 100, maxMs: 100 },
    subscriptions: (link) => [topics.toDevice({ kind: 'link', link })],
  });
  t.after(() => transport.close());
  await until(() => seen.links.length === 1, 'the link');
  assert.equal(rig.broker.counters.links, 1);
  const began = performance.now();
  transport.rest(REST_MS);
  await until(() => rig.broker.counters.links === 0, 'the end of it at the broker');
  await until(() => seen.downs.length === 1, 'its end here');
  assert.ok(performance.now() - began < REST_MS, 'before the rest is over');
  assert.match(seen.downs[0]!, /resting/);
  transport.rest(60_000); // without a link nothing happens
  await until(() => seen.links.length === 2, 'the next link');
  const rested = performance.now() - began;
  assert.ok(rested >= REST_MS, `${rested} ms`);
  assert.notEqual(seen.links[1], seen.links[0]);
});
