/**
 * Renewal of sessions under attack: devices that lie about epochs, hold back or repeat their answers; what was ended stays
 * ended, whoever dies meanwhile; nobody's life becomes longer. [design §5.4, §5.6]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendOnChannel } from '../../device-agent/outbox.ts';
import { removeDevice } from '../../manager/channels.ts';
import { createManager } from '../../manager/creation.ts';
import { loadRegistry } from '../../manager/registry.ts';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import type { ChannelMessage } from '../../protocol/messages.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { assertTalks, bye, connect, couple, end, ending, managerSays, session, talking } from '../couple.ts';
import { certify, DEVICE_WISHES } from '../test-authority.ts';
import { town } from '../town.ts';
import type { TownDevice } from '../town-plan.ts';
import { isIn } from './town-packets.ts';

const WITHIN_MS = 10_000;
const LAST_EPOCH = 0xffff_ffff;

/** What a device says that has a good certificate and a program of its own. */
function deviceSays(device: TownDevice, messages: readonly ChannelMessage[]): void {
  device.run((state, world) => {
    assert.ok(sendOnChannel(state, messages, null, world));
  });
}

const nonce = (device: TownDevice): Uint8Array => device.crypto.random(16);

// ── Epochs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[5.6 key reinstallation by a repeated grant] a device that drives the epoch to its end loses the session, and nobody else anything', () => {
  for (const epoch of [1002, LAST_EPOCH - 1, LAST_EPOCH]) {
    const pair = talking();
    const { town, caller, callee, sid } = pair;
    town.meddler = ({ from, topic }) => (from === caller.id && topic.includes('/m/') ? [] : 'pass');
    callee.restart();
    town.flush();
    town.meddler = () => 'pass';
    deviceSays(caller, [{ kind: 'Renewal', sid: fromHex(sid), epoch, nonce: nonce(caller) }]);
    town.flush();
    assert.equal(town.manager.sessions.has(sid), false);
    assert.equal(callee.state.renewals.size, 0);
    assertTalks(pair, connect(pair));
  }
});

test('a manager that asks for the last epoch, and again, ends that session and not the agent', () => {
  const pair = talking();
  const { town, caller, sid } = pair;
  const { suite, keyMode, name, peer } = session(caller, sid);
  const standing = caller.state.sessions.get(sid)!;
  caller.state.sessions.set(sid, { ...standing, epoch: LAST_EPOCH });
  const renew = {
    kind: 'Renew',
    sid: fromHex(sid),
    role: 'caller',
    epoch: LAST_EPOCH,
    peer,
    name,
    suite,
    keyMode,
  } as const;
  managerSays(town, caller.id, [{ ...renew, lifetime: 60 }]);
  town.advance(WITHIN_MS);
  assert.equal(caller.state.renewals.size, 0);
});

// ── Answers that come late, twice, or never ─────────────────────────────────────────────────────────────────────────

test('[B7] [5.6 lost, doubled, reordered messages at every step] an answer that is said again and crosses the grant sets nobody apart', () => {
  for (const who of ['caller', 'callee'] as const) {
    const pair = talking();
    const { town, sid } = pair;
    const [slow, other] = who === 'caller' ? [pair.callee, pair.caller] : [pair.caller, pair.callee];
    const says = pair[who];
    // the other one's answer takes long, so this one says its own again; that again arrives behind the grant
    const held: (() => void)[] = [];
    let repeats = 0;
    town.meddler = ({ from, topic, payload }) => {
      if (!topic.includes('/m/')) return 'pass';
      if (from === slow.id) {
        held.push(() => town.inject(topic, payload));
        return [];
      }
      if (says.state.renewals.get(sid)?.repeats === 0) return 'pass';
      if (from !== says.id || says.state.renewals.size === 0) return 'pass';
      repeats++;
      held.push(() => town.inject(topic, payload));
      return [];
    };
    other.restart();
    town.advance(3000);
    assert.ok(repeats > 0, 'said again');
    town.meddler = () => 'pass';
    for (const passOn of held) {
      passOn();
      town.flush();
    }
    town.advance(WITHIN_MS);
    assert.deepEqual([session(pair.caller, sid).epoch], [session(pair.callee, sid).epoch], who);
    assertTalks(pair, sid);
  }
});

test('[B7] a peer that holds its answer back makes no life longer', () => {
  const pair = talking();
  const { town, caller, callee, sid } = pair;
  const { until } = session(callee, sid);
  const held: (() => void)[] = [];
  let holding = true;
  town.meddler = ({ from, topic, payload }) => {
    if (!holding || from !== callee.id || !topic.includes('/m/')) return 'pass';
    held.push(() => town.inject(topic, payload));
    return [];
  };
  caller.restart();
  town.advance(1_800_000);
  holding = false;
  callee.breakLink();
  town.advance(60_000);
  assertTalks(pair, sid);
  assert.ok(session(caller, sid).until <= until + 1000, `${session(caller, sid).until - until} ms longer`);
});

test('[B7] a manager whose wall clock went back a year gives no session a longer life than any may have', () => {
  const { town, caller, sid } = talking();
  caller.restart();
  const { now, wall, crypto } = town.world();
  const world = { now, wall: EpochSeconds(wall - 365 * 86_400), crypto };
  const restored = createManager(town.manager, loadRegistry(town.store), world).sessions.get(sid);
  assert.equal(restored?.flow.terms.lifetimeSeconds, 86_400);
});

test('a device that starts again and again, and never answers, does not make its peer work each time', () => {
  const pair = talking();
  const { town, caller, callee } = pair;
  town.meddler = ({ from, topic }) =>
    from === caller.id && caller.state.renewals.size > 0 && topic.includes('/m/') ? [] : 'pass';
  const toCallee = (): number => town.packets.filter(({ topic }) => topic.endsWith(`/d/${callee.id}`)).length;
  const before = toCallee();
  for (let round = 0; round < 10; round++) {
    caller.restart();
    town.advance(100);
  }
  assert.ok(toCallee() - before <= 2, `${toCallee() - before} messages to the peer`);
});

test('[B7] a manager that was restarted asks again where its question was lost', () => {
  const pair = talking();
  const { town, caller, callee, sid } = pair;
  town.meddler = ({ topic }) => (topic.endsWith(`/d/${callee.id}`) && callee.state.channel !== null ? [] : 'pass');
  caller.restart();
  town.flush();
  town.restartManager();
  town.advance(2000);
  assert.equal(callee.state.renewals.size, 0);
  town.meddler = () => 'pass';
  town.advance(WITHIN_MS);
  assertTalks(pair, sid);
});

// ── What is over stays over ─────────────────────────────────────────────────────────────────────────────────────────

test('[P17] [B7] an end on its way to the peer when manager and peer are killed is an end', () => {
  const pair = talking();
  const { town, caller, callee, sid } = pair;
  town.meddler = ({ topic }) => (topic.endsWith(`/d/${callee.id}`) ? [] : 'pass');
  end(caller, sid);
  town.flush();
  town.meddler = () => 'pass';
  caller.restart();
  town.restartManager();
  town.advance(WITHIN_MS);
  assert.deepEqual([caller.state.sessions.size, callee.state.sessions.size, town.manager.sessions.size], [0, 0, 0]);
});

test('[P17] what ended here between the two devices is not renewed for a peer that was killed after it', () => {
  for (const [ends, dies] of [
    ['caller', 'callee'],
    ['callee', 'caller'],
  ] as const) {
    const pair = talking();
    const { town, sid } = pair;
    bye(pair[ends], sid);
    town.flush();
    pair[ends].state.riding.length = 0; // lost with the record that it rode on
    pair[dies].restart();
    town.advance(WITHIN_MS);
    assert.deepEqual([pair.caller.state.sessions.size, pair.callee.state.sessions.size], [0, 0], `${ends} ended it`);
    assert.equal(town.manager.sessions.size, 0);
  }
});

test('[P17] a call that failed here opens no session later', () => {
  const { town, caller, callee } = couple();
  town.meddler = ({ topic }) => (topic.endsWith(`/d/${caller.id}`) ? [] : 'pass');
  caller.call(callee.id, { timeoutSeconds: 2 });
  town.advance(3000);
  assert.equal(caller.latest('callFailed')?.reason, 'timeout');
  town.meddler = () => 'pass';
  callee.restart();
  town.advance(WITHIN_MS);
  assert.equal(caller.state.sessions.size, 0);
});

test('[B6] a device that was removed while the manager died leaves no session to the next device of that name', () => {
  const pair = talking();
  const { town, caller, callee, sid } = pair;
  town.meddler = ({ from, topic }) => (from === callee.id || topic.endsWith(`/d/${caller.id}`) ? [] : 'pass');
  const record = town.store.get('sessions', sid)!.slice();
  town.runManager((state) => removeDevice(state, callee.id, town.world()));
  town.flush();
  assert.equal(town.store.get('sessions', sid), null);
  void town.store.commit([{ table: 'sessions', key: sid, value: record }]); // as if the disk had lost that
  town.meddler = () => 'pass';
  town.restartManager();
  town.advance(WITHIN_MS);
  assert.equal(town.manager.sessions.has(sid), false);
  assert.equal(caller.state.sessions.has(sid), false);
});

test('what the connect policy forbids since the manager was restarted is not renewed', () => {
  const connectPolicy = { rules: [] as { from: string; to: string; allow: boolean }[], otherwise: 'allow' as const };
  const pair = talking({ town: { settings: { connectPolicy } } });
  const { town, caller, callee, sid } = pair;
  connectPolicy.rules.push({ from: caller.id, to: callee.id, allow: false });
  town.restartManager();
  callee.restart();
  town.advance(WITHIN_MS);
  assert.equal(town.manager.sessions.has(sid), false);
  assert.equal(ending(caller), 'forbidden by manager');
});

// ── What is said of what stands ─────────────────────────────────────────────────────────────────────────────────────

test('a device that never comes to the end of what it holds fills nothing', () => {
  const pair = talking();
  const { town, caller } = pair;
  for (let round = 0; round < 50; round++) {
    const waiting = Array.from({ length: 64 }, () => caller.crypto.random(8));
    deviceSays(caller, [{ kind: 'Holding', open: [], waiting, more: true }]);
    town.flush();
  }
  assert.ok(town.manager.channels.get(caller.id)!.held.size <= 1);
});

test('the nonce of a caller in the Connect of another device does not take its session away', () => {
  const pair = talking();
  const { town, callee } = pair;
  const phone = town.add('phone');
  town.flush();
  const call = toHex(town.manager.sessions.get(pair.sid)!.flow.terms.call);
  deviceSays(callee, [{ kind: 'Connect', nonceA: fromHex(call), callee: phone.id }]);
  town.flush();
  const sids = [...town.manager.sessions.keys()];
  deviceSays(pair.caller, [{ kind: 'Connect', nonceA: fromHex(call), callee: callee.id }]);
  town.flush();
  assert.deepEqual([...town.manager.sessions.keys()], sids, 'the repeat brings no second session');
});

test('[B7] a call whose grant was lost with its channel gets its session, once', () => {
  const { town, caller, callee } = couple();
  let lost = 0;
  town.meddler = ({ topic }) => {
    const granted = [...town.manager.sessions.values()].some(({ flow }) => flow.state === 'granted');
    if (lost > 0 || !topic.endsWith(`/d/${caller.id}`) || !granted) return 'pass';
    lost++;
    return [];
  };
  const key = caller.call(callee.id);
  town.flush();
  assert.equal(lost, 1);
  town.advance(100);
  caller.breakLink();
  town.advance(WITHIN_MS);
  assert.equal(caller.latest('sessionOpened')?.call, key);
  assert.equal(callee.news.filter(({ news }) => news === 'sessionOpened').length, 1);
});

test('[5.6 unknown key share] another key under the name of a device whose certificate ran out takes over none of its sessions', () => {
  const place = town();
  const caller = place.add('router');
  const first = place.add('tv', { certificate: { notAfter: place.clock.wall() + 100 } });
  caller.call('tv');
  place.flush();
  assert.equal(place.manager.sessions.size, 1);
  // in the moment after its end, before anybody has looked at the clock
  place.clock.advance(101_000);
  place.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  first.breakLink();
  place.meddler = () => 'pass';
  const second = place.add('tv', { holder: certify('tv', DEVICE_WISHES, place.ca) });
  assert.ok(isIn(place, second), second.state.denied ?? '');
  assert.deepEqual([place.manager.sessions.size, second.state.sessions.size, second.state.renewals.size], [0, 0, 0]);
  assert.equal(ending(caller), 'peer-gone by manager');
});
