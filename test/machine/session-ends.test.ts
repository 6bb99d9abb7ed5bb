/**
 * Every way in which a session ends, and what does not end it. [P17] [patent 2146-2166, 0133-0136]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from '../../device-agent/joining.ts';
import { endSession } from '../../device-agent/sessions.ts';
import { fromHex } from '../../protocol/bytes.ts';
import { type DeviceId, seconds } from '../../protocol/units.ts';
import {
  assertTalks,
  bye,
  type Couple,
  connect,
  couple,
  end,
  ending,
  heard,
  say,
  session,
  talking,
} from '../couple.ts';
import type { TownDevice } from '../town-plan.ts';

/** Nothing of the session is left: at either device, at the manager, on its disk, and the broker forwards no more. */
function assertOver({ town, caller, callee }: Couple): void {
  for (const { state, id } of [caller, callee]) assert.equal(state.sessions.size, 0, id);
  assert.deepEqual([town.manager.sessions.size, town.manager.sessionsOf.size], [0, 0]);
  assert.deepEqual([...town.store.entries('sessions')], []);
}

/** Whether the broker forwards from one to the other. */
function forwarded({ town, caller, callee }: Couple): boolean {
  const before = callee.logs.length + callee.state.sessions.size;
  const topic = town.manager.settings.topics.peer(callee.id, caller.id);
  caller.run((state) => {
    state.out.push({ type: 'publish', topic, payload: Uint8Array.of(0x01, 0, 1, 2, 3), qos: 1 });
  });
  town.flush();
  return callee.logs.length + callee.state.sessions.size > before;
}

for (const by of ['caller', 'callee'] as const) {
  test(`[P17] [patent 2146-2166] the ${by} ends it through the manager: all three sides erase it`, () => {
    const pair = talking();
    const contexts = [session(pair.caller, pair.sid).records, session(pair.callee, pair.sid).records];
    const from = pair.town.packets.length;
    assert.ok(forwarded(pair));
    end(pair[by], pair.sid);
    pair.town.flush();
    assertOver(pair);
    assert.deepEqual([ending(pair.caller), ending(pair.callee)], [`done by ${by}`, `done by ${by}`]);
    assert.ok(contexts.every(({ wiped, keys }) => wiped && keys.senderKey.every((byte) => byte === 0)));
    assert.equal(forwarded(pair), false, 'the broker forwards no more');
    const control = pair.town.packets.slice(from).filter(({ topic }) => /\/[md]\//.test(topic));
    assert.equal(control.length, 4, 'End, End, EndOk, EndOk');
  });
}

test('[P17] [patent 2146-2160] both end it at once: one end, nothing left over', () => {
  const pair = talking();
  end(pair.caller, pair.sid);
  end(pair.callee, pair.sid);
  pair.town.flush();
  assertOver(pair);
});

for (const by of ['caller', 'callee'] as const) {
  test(`[P17] [patent 0133] the ${by} ends it without the manager, who hears of it with the next record`, () => {
    const pair = talking();
    const from = pair.town.packets.length;
    bye(pair[by], pair.sid);
    pair.town.flush();
    assert.deepEqual([ending(pair.caller), ending(pair.callee)], [`done by ${by}`, `done by ${by}`]);
    assert.equal(pair.town.packets.slice(from).filter(({ topic }) => topic.includes('/m/')).length, 0);
    assert.equal(pair.town.manager.sessions.size, 1);
    pair[by].call('nobody');
    pair.town.flush();
    assertOver(pair);
  });
}

test('[P17] after its lifetime it is over on all three sides, without a message', () => {
  const pair = couple();
  pair.caller.call('tv', { lifetimeSeconds: 100 });
  pair.town.flush();
  pair.town.advance(99_999);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
  const from = pair.town.packets.length;
  pair.town.advance(1);
  assertOver(pair);
  assert.deepEqual([ending(pair.caller), ending(pair.callee)], ['expired by timeout', 'expired by timeout']);
  assert.equal(pair.town.packets.slice(from).filter(({ topic }) => /\/[md]\//.test(topic)).length, 0);
});

test('[P17] [patent 0134-0136] channels closed during the session are opened again to end it', () => {
  const idle = { settings: { closeWhenIdle: seconds(5) } };
  const pair = talking({ caller: idle, callee: idle });
  pair.town.advance(10_000);
  assert.deepEqual([pair.caller.state.channel, pair.callee.state.channel], [null, null]);
  assertTalks(pair, pair.sid);
  const operations = [pair.caller.operations(), pair.callee.operations()];
  pair.caller.run((state, world) => {
    endSession(state, pair.sid, 'done', world);
    join(state, world);
  });
  pair.town.flush();
  assertOver(pair);
  assert.equal(pair.callee.latest('channelOpened')!.by, 'manager');
  assert.deepEqual([pair.caller.operations(), pair.callee.operations()], operations, 'by resumption');
});

test('[P17] an End of a foreign session changes nothing; one of an unknown session is confirmed', () => {
  const pair = talking();
  const spy = pair.town.add('phone');
  const say = (sid: string) => {
    spy.run((state) => {
      state.riding.push({ kind: 'End', sid: fromHex(sid), reason: 'done' }, { kind: 'EndOk', sid: fromHex(sid) });
    });
    spy.call('nobody');
    pair.town.flush();
  };
  say(pair.sid);
  assertTalks(pair, pair.sid);
  say('0102030405060708');
  assert.ok(spy.logs.some((line) => line.includes('"EndOk"')));
});

test('[P17] no answer to the End: each side gives up by itself', () => {
  const pair = talking();
  pair.town.meddler = ({ topic }) => (/\/[md]\//.test(topic) ? [] : 'pass');
  end(pair.caller, pair.sid);
  pair.town.advance(6000);
  assert.equal(pair.caller.state.sessions.size, 0);
  assert.equal(ending(pair.caller), 'done by caller');
});

test('[P17] a callee that does not confirm the End does not hold the others up for long', () => {
  const pair = talking();
  pair.town.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  end(pair.caller, pair.sid);
  pair.town.advance(5000);
  assert.deepEqual([pair.caller.state.sessions.size, pair.town.manager.sessions.size], [0, 0]);
});

const assertState = (device: TownDevice, sid: string, name: string): void =>
  assert.equal(session(device, sid).state.name, name);

/** Away until the returned function is called. */
function goAway({ town }: Couple, device: TownDevice): () => void {
  town.meddler = ({ from }) => (from === device.id ? [] : 'pass');
  device.breakLink();
  town.flush();
  return () => {
    town.meddler = () => 'pass';
    device.breakLink();
    town.flush();
  };
}

test('[P17] a link that is gone for less than the grace costs no session', () => {
  const pair = talking();
  const comeBack = goAway(pair, pair.callee);
  pair.town.advance(119_000);
  comeBack();
  assertTalks(pair, pair.sid);
  assert.equal(pair.callee.latest('channelOpened')!.how, 'resume');
});

test('[P17] gone for longer: the peer learns peer-gone, and the one that comes back learns it too', () => {
  const pair = talking();
  const comeBack = goAway(pair, pair.callee);
  pair.town.advance(121_000);
  assert.equal(ending(pair.caller), 'peer-gone by manager');
  pair.town.advance(10_000);
  assert.equal(pair.callee.state.sessions.size, 1, 'it cannot know yet');
  comeBack();
  assertOver(pair);
  assert.equal(ending(pair.callee), 'peer-gone by manager');
});

test('[P17] ended by one while the other was away: the other learns it when it comes back', () => {
  const pair = talking();
  const comeBack = goAway(pair, pair.callee);
  end(pair.caller, pair.sid);
  pair.town.advance(10_000);
  assert.equal(pair.town.manager.sessions.size, 0);
  comeBack();
  assertOver(pair);
});

test('a session that went stale at one side does not stand in the way of the next one on its route', () => {
  const pair = talking();
  const stale = session(pair.callee, pair.sid);
  end(pair.caller, pair.sid);
  pair.town.flush();
  pair.callee.state.sessions.set(pair.sid, stale); // as if the End had never come
  const next = connect(pair);
  assertTalks(pair, next);
  assert.deepEqual([...pair.callee.state.sessions.keys()], [next]);
});

test('[P17] a manager that starts again keeps the session: data flows on, and it can be ended', () => {
  const pair = talking();
  pair.town.restartManager();
  assertTalks(pair, pair.sid);
  assert.equal(pair.town.manager.sessions.size, 1);
  assert.ok(forwarded(pair), 'the broker was told the pair again');
  end(pair.callee, pair.sid);
  pair.town.flush();
  assertOver(pair);
});

test('[P17] the lifetime goes on over a restart of the manager', () => {
  const pair = couple();
  pair.caller.call('tv', { lifetimeSeconds: 100 });
  pair.town.advance(60_000);
  pair.town.restartManager();
  pair.town.advance(39_000);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
  pair.town.advance(2000);
  assert.deepEqual([pair.caller.state.sessions.size, pair.town.manager.sessions.size], [0, 0]);
});

test('[P17] a session whose time ran out while the manager was away is gone from its disk too', () => {
  const pair = couple();
  pair.caller.call('tv', { lifetimeSeconds: 100 });
  pair.town.flush();
  assert.equal([...pair.town.store.entries('sessions')].length, 1);
  pair.town.clock.advance(100_000);
  pair.town.restartManager();
  pair.town.advance(1);
  assertOver(pair);
});

test('[P17] a device that was gone when the manager started again is waited for no longer than the grace', () => {
  const pair = talking();
  goAway(pair, pair.callee);
  pair.town.restartManager();
  pair.town.advance(119_000);
  assertState(pair.caller, pair.sid, 'open');
  pair.town.advance(10_000);
  assert.equal(ending(pair.caller), 'peer-gone by manager');
});

test('[P17] a device that does not come back after the broker started again is given up after the grace', () => {
  const pair = talking();
  pair.town.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  pair.town.restartBroker();
  pair.town.advance(130_000);
  assert.equal(ending(pair.caller), 'peer-gone by manager');
});

test('[P17] a broker that starts again keeps the session', () => {
  const pair = talking();
  pair.town.restartBroker();
  pair.town.advance(1000);
  assertTalks(pair, pair.sid);
});

test('the end of one session of a pair leaves the others and their forwarding alone', () => {
  const pair = talking();
  const second = connect(pair);
  end(pair.caller, pair.sid);
  pair.town.flush();
  assertTalks(pair, second);
  bye(pair.callee, second);
  pair.town.flush();
  assert.equal(pair.callee.state.sessions.size, 0);
});

test('[5.6 replay of every message] a record that comes after the end opens nothing', () => {
  const pair = talking();
  say(pair.caller, pair.sid, 'old words');
  pair.town.flush();
  const record = pair.town.packets.at(-1)!;
  end(pair.caller, pair.sid);
  pair.town.flush();
  const before = heard(pair.callee).length;
  pair.town.inject(record.topic, record.payload);
  pair.town.flush();
  assert.equal(heard(pair.callee).length, before);
  const next = connect(pair);
  pair.town.inject(record.topic, record.payload);
  pair.town.flush();
  assert.equal(heard(pair.callee).length, before, 'nor in the next session');
  assertTalks(pair, next);
});

test('a caller whose link broke before its grant came calls again by itself, and gets a session', () => {
  const pair = couple();
  let broken = false;
  pair.town.meddler = ({ topic, payload }) => {
    if (broken || !topic.endsWith('/d/router') || payload.length < 150) return 'pass';
    broken = true;
    pair.caller.breakLink();
    return [];
  };
  pair.caller.call('tv');
  pair.town.advance(2000);
  assert.ok(broken);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
  pair.town.advance(20_000);
  assert.equal(pair.callee.state.sessions.size, 1, 'the session without a caller is gone');
  assert.equal(pair.town.manager.sessions.size, 1);
});

test('a callee whose link broke before its answer came is asked again, and answers the same', () => {
  const pair = couple();
  let broken = false;
  pair.town.meddler = ({ from, topic }) => {
    if (broken || from !== 'tv' || !topic.includes('/m/tv')) return 'pass';
    broken = true;
    pair.callee.breakLink();
    return [];
  };
  pair.caller.call('tv' as DeviceId);
  pair.town.advance(2000);
  assert.ok(broken);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
});
