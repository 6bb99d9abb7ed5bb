/**
 * The close of a channel, from either side, with the reason (P7, patent 1316–1328), and channels that are closed while
 * devices talk.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeChannel } from '../../device-agent/channel.ts';
import { join } from '../../device-agent/joining.ts';
import { register } from '../../device-agent/registration.ts';
import { endSession, sendData } from '../../device-agent/sessions.ts';
import { closeChannel as closeByManager } from '../../manager/channels.ts';
import { town } from '../town.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import { D0, D1, doubled, dropped, isIn, kindsSince, RECORD, toEvery, toNth } from './town-packets.ts';

const close = (device: TownDevice, reason: 'done' | 'shutdown' = 'done'): void =>
  device.run((state) => {
    closeChannel(state, reason, device.world());
  });
const closeFromManager = (t: Town, device: TownDevice): void =>
  t.runManager((state) => closeByManager(state, device.id, 'shutdown', t.world()));

/** Closed on both sides for the given reasons, and it stays so. */
function assertClosed(t: Town, device: TownDevice, here: string, there: string): void {
  t.advance(20_000);
  assert.equal(device.state.channel, null);
  assert.equal(t.manager.channels.has(device.id), false);
  assert.deepEqual(device.latest('channelClosed'), { news: 'channelClosed', reason: here });
  const logged = t.managerLogs.findLast((line) => line.includes('channel.closed'));
  assert.match(logged ?? '', new RegExp(`"device":"${device.id}","reason":"${there}"`));
}

test('[P7] [patent 1316-1328, 2014] the device asks to close, the manager permits and asks, the device permits: three messages, one reason', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  const from = t.packets.length;
  close(router, 'shutdown');
  t.flush();
  assert.deepEqual(kindsSince(t, from), [RECORD, RECORD, RECORD]);
  assertClosed(t, router, 'shutdown', 'shutdown');
  assert.equal(router.operations(), operations, '[B5]');
  assert.ok(t.manager.registrations.has(router.id), 'the registration stays');
});

test('[P7] [patent 1316-1328] the manager asks to close, with its reason', () => {
  const t = town();
  const router = t.add('router-1');
  const from = t.packets.length;
  closeFromManager(t, router);
  t.flush();
  assert.deepEqual(kindsSince(t, from), [RECORD, RECORD, RECORD]);
  assertClosed(t, router, 'shutdown', 'shutdown');
});

test('[P7] crossed closes: each side permits, both are closed, each with its own reason', () => {
  const t = town();
  const router = t.add('router-1');
  close(router);
  closeFromManager(t, router);
  t.flush();
  assertClosed(t, router, 'done', 'shutdown');
});

test('[P7] 3 s without an answer is closed: the request or a permission is lost', () => {
  for (const nth of [1, 2, 3]) {
    const t = town();
    const router = t.add('router-1');
    t.meddler = toNth(RECORD, nth, dropped);
    close(router);
    t.advance(2_900);
    const open = [router.state.channel !== null, t.manager.channels.has(router.id)];
    assert.deepEqual(open, [nth < 3, nth !== 2 || open[1]], `message ${nth}`);
    t.advance(200);
    assert.equal(router.state.channel, null);
    t.advance(4_000);
    assert.equal(t.manager.channels.has(router.id), nth === 1, 'a manager that never heard of it has it still');
  }
});

test('[P7] [5.6 lost, doubled, reordered messages at every step] doubled close messages do not open the channel again', () => {
  const t = town();
  const router = t.add('router-1');
  t.meddler = toEvery(RECORD, doubled);
  const from = t.packets.length;
  close(router);
  assertClosed(t, router, 'done', 'done');
  const kinds = kindsSince(t, from);
  assert.ok(!kinds.includes(D1), `${kinds}`);
  assert.ok(kinds.filter((kind) => kind === D0).length <= 1);
});

test('[P7] messages on a channel that is being closed do not keep it open', () => {
  const t = town();
  const router = t.add('router-1');
  close(router);
  router.run((state) => register(state, state.registration.wanted, router.world()));
  assertClosed(t, router, 'done', 'done');
});

test('a closed channel is opened again by the device when it wants something, without public-key work', () => {
  const t = town();
  const [router, lamp] = [t.add('router-1'), t.add('lamp')];
  close(router);
  t.advance(1_000);
  const operations = router.operations();
  router.call(lamp.id);
  t.advance(1_000);
  assert.ok(isIn(t, router) && router.latest('sessionOpened') !== undefined);
  assert.equal(router.operations(), operations);
});

test('a channel that is idle for as long as configured is closed by its device', () => {
  const t = town();
  const router = t.add('router-1', { settings: { closeWhenIdle: 5_000 as never } });
  t.advance(4_000);
  assert.ok(isIn(t, router));
  t.advance(2_000);
  assert.equal(router.state.channel, null);
  assert.equal(t.manager.channels.has(router.id), false);
});

test('[patent 0133-0136] both channels are closed while the devices talk; they go on, and open them again to end the session', () => {
  const t = town();
  const [caller, callee] = [t.add('caller'), t.add('callee')];
  caller.call(callee.id);
  t.advance(1_000);
  const sid = caller.latest('sessionOpened')!.sid;
  for (const device of [caller, callee]) close(device);
  t.advance(1_000);
  assert.equal(t.manager.channels.size, 0);
  const operations = [caller.operations(), callee.operations()];
  caller.run((state) => {
    sendData(state, sid, Uint8Array.of(1, 2, 3), caller.world());
  });
  t.flush();
  assert.deepEqual(callee.latest('received')?.payload, Uint8Array.of(1, 2, 3));
  assert.equal(t.manager.channels.size, 0, 'no channel is needed for that');
  caller.run((state) => {
    endSession(state, sid, 'done', caller.world());
    join(state, caller.world());
  });
  t.advance(5_000);
  assert.equal(caller.state.sessions.size + callee.state.sessions.size + t.manager.sessions.size, 0);
  assert.equal(callee.latest('sessionClosed')?.closedBy, 'caller');
  assert.deepEqual([caller.operations(), callee.operations()], operations);
});
