/**
 * Links that log in while a crowd waits its turn: whom the manager has answered goes on at once.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { EXCHANGE_ID_BYTES, encodeFrame } from '../../protocol/frame.ts';
import type { LinkId } from '../../protocol/units.ts';
import { bytes, joinManager, type Rig, rawLink, startRig, text, until } from './broker-rig.ts';

const publish = (topic: string, payload: string): Packet =>
  ({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }) as Packet;
const EXCHANGE = new Uint8Array(EXCHANGE_ID_BYTES);
const SLOW = { loginMessagesPerSecond: 20 };

/** A link whose first message has passed, and a crowd behind which its second would wait for seconds. */
async function queue(t: TestContext, rig: Rig) {
  const manager = await joinManager(rig, t);
  const heard = (name: string) => manager.got.filter(({ payload }) => text(payload) === name).length;
  const first = await rawLink(rig.port, t);
  const inbox = rig.broker.topics.toDevice({ kind: 'link', link: first.link as LinkId });
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: inbox, qos: 0 }] });
  first.send(publish(`km1/m/~${first.link}`, 'first'));
  await until(() => heard('first') === 1, 'its first message');
  const crowd = await Promise.all(Array.from({ length: 40 }, () => rawLink(rig.port, t)));
  for (const one of crowd) one.send(publish(`km1/m/~${one.link}`, 'crowd'));
  await until(() => heard('crowd') >= 19, 'what may pass at once');
  return { manager, heard, first, inbox };
}

for (const kind of ['message2', 'resumed'] as const) {
  test(`[B7] [5.6 handshake floods] before login: after ${kind} a link's next message, and that alone, does not wait behind the crowd`, async (t) => {
    const rig = await startRig(t, SLOW);
    const { manager, heard, first, inbox } = await queue(t, rig);
    manager.transport.publish(inbox, encodeFrame(kind, EXCHANGE, bytes('answer')), 1);
    await until(() => first.packets.some(({ cmd }) => cmd === 'publish'), 'the answer');
    first.send(publish(`km1/m/~${first.link}`, 'second'));
    await until(() => heard('second') === 1, 'its second message');
    assert.ok(heard('crowd') < 32, `${heard('crowd')} of 40 were before it`);
    first.send(publish(`km1/m/~${first.link}`, 'third'));
    await until(() => heard('crowd') === 40, 'the crowd');
    assert.equal(heard('third'), 0, 'one message for one answer');
    await until(() => heard('third') === 1, 'it waits its turn');
  });
}

test('[5.6 handshake floods] before login: no turn comes from an error, a hint, or the word that there is too much to do', async (t) => {
  const rig = await startRig(t, SLOW);
  const { manager, heard, first, inbox } = await queue(t, rig);
  for (const kind of ['error', 'busy'] as const) {
    manager.transport.publish(inbox, encodeFrame(kind, EXCHANGE, bytes('no')), 1);
  }
  manager.transport.publish(inbox, Uint8Array.of(0xd0), 1);
  await until(() => first.packets.filter(({ cmd }) => cmd === 'publish').length === 3, 'the three');
  first.send(publish(`km1/m/~${first.link}`, 'second'));
  await until(() => heard('second') === 1, 'its second message');
  assert.equal(heard('crowd'), 40, 'the crowd was before it');
});
