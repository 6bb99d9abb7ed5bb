/**
 * What a hostile broker, a third device or a bad line can do to a connect and to a session: nothing but a refusal or a
 * delay, and never to somebody else's session. @spec design §5.6
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import type { DeviceId } from '../../protocol/units.ts';
import {
  assertTalks,
  bye,
  type Couple,
  connect,
  couple,
  heard,
  LEGS,
  meddle,
  say,
  session,
  talking,
} from '../couple.ts';
import { proposal, town } from '../town.ts';

const REPLAY = '[5.6 replay of every message]';

const flipped = (payload: Uint8Array, at: number): Uint8Array => {
  const copy = payload.slice();
  copy[at]! ^= 1;
  return copy;
};

/** Changes of one payload; each gives what passes in its place. */
const CHANGES: [what: string, change: (payload: Uint8Array) => readonly Uint8Array[]][] = [
  ['lost', () => []],
  ['doubled', (payload) => [payload, payload]],
  ['empty', () => [new Uint8Array(0)]],
  ['cut in half', (payload) => [payload.subarray(0, payload.length >> 1)]],
  ['without its last byte', (payload) => [payload.subarray(0, -1)]],
  ['with a byte more', (payload) => [Uint8Array.of(...payload, 0)]],
  ['oversized', (payload) => [Uint8Array.of(...payload, ...new Uint8Array(15_000))]],
  ['another kind of frame', (payload) => [Uint8Array.of(0xe1, ...payload), Uint8Array.of(0xff), payload]],
  ...[0, 1, 2, 5, -1].map((at): (typeof CHANGES)[number] => [
    `with a flipped bit in byte ${at}`,
    (payload) => [flipped(payload, at < 0 ? payload.length + at : at)],
  ]),
];

for (const leg of LEGS) {
  test(`${REPLAY} [5.6 lost, doubled, reordered messages at every step] ${leg}: whatever becomes of it, other sessions and later calls are not harmed`, () => {
    const pair = talking();
    for (const [what, change] of CHANGES) {
      meddle(pair, leg, ({ payload }) => change(payload));
      const key = pair.caller.call('tv');
      pair.town.advance(20_000);
      pair.town.meddler = () => 'pass';
      pair.town.advance(45_000);
      const news = pair.caller.news.filter((one) => 'call' in one && one.call === key);
      assert.notEqual(news.length, 0, `${what}: the call came to an end`);
      assertTalks(pair, pair.sid);
      const next = connect(pair);
      assertTalks(pair, next);
      bye(pair.caller, next);
      pair.town.flush();
    }
    const stray = [...pair.callee.state.sessions.values()].filter(({ state }) => state.name !== 'open');
    assert.equal(stray.length, 0, 'no half-open session is left');
    assert.deepEqual([pair.caller.state.calls.size, pair.callee.state.asked.size], [0, 0]);
    assert.ok([...pair.town.manager.sessions.values()].every(({ flow }) => flow.state === 'granted'));
  });
}

test(`${REPLAY} [5.6 lost, doubled, reordered messages at every step] each message in turn arrives after all that follow it`, () => {
  for (const leg of LEGS) {
    const pair = couple();
    const late: (() => void)[] = [];
    meddle(pair, leg, ({ topic, payload }) => {
      late.push(() => pair.town.inject(topic, payload));
      return [];
    });
    pair.caller.call('tv');
    pair.town.flush();
    for (const deliver of late) deliver();
    pair.town.advance(500);
    assert.equal(late.length, 1, leg);
    assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
  }
});

test(`${REPLAY} the whole traffic of a day, played again by the broker, opens nothing and disturbs nothing`, () => {
  const pair = talking();
  assertTalks(pair, pair.sid);
  bye(pair.callee, connect(pair));
  pair.town.flush();
  const before = [heard(pair.caller).length, heard(pair.callee).length, pair.town.manager.sessions.size];
  const operations = [pair.caller.operations(), pair.callee.operations()];
  const sessions = () => [...pair.caller.state.sessions.keys(), ...pair.callee.state.sessions.keys()];
  const open = sessions();
  for (const { topic, payload } of [...pair.town.packets]) {
    if (/\/(c|v)\//.test(topic) || topic.includes('~')) continue;
    pair.town.inject(topic, payload);
    pair.town.flush();
  }
  assert.deepEqual([heard(pair.caller).length, heard(pair.callee).length, pair.town.manager.sessions.size], before);
  assert.deepEqual(sessions(), open);
  assert.deepEqual([pair.caller.operations(), pair.callee.operations()], operations);
  pair.town.advance(20_000);
  assertTalks(pair, pair.sid);
});

/** The next record that `device` says to the other, which does not pass. */
function intercepted(pair: Couple & { readonly sid: string }, by: 'caller' | 'callee', text: string): Uint8Array {
  let record: Uint8Array | null = null;
  pair.town.meddler = ({ topic, payload }) => {
    if (!topic.includes('/p/')) return 'pass';
    record = payload;
    return [];
  };
  say(pair[by], pair.sid, text);
  pair.town.flush();
  pair.town.meddler = () => 'pass';
  assert.ok(record);
  return record;
}

for (const suite of [proposal('aes-gcm', 128), proposal('aes-ccm', 128, { tagBits: 64 }), proposal('hmac', 256)]) {
  test(`${REPLAY} ${suite.cipher}: a record with any bit changed, or cut anywhere, is not heard; the true one still is`, () => {
    const only = { proposals: [suite] };
    const pair = couple({ caller: only, callee: only });
    pair.caller.call('tv', { allowUnencrypted: true });
    pair.town.flush();
    const { sid } = pair.caller.latest('sessionOpened')!;
    const record = intercepted({ ...pair, sid }, 'caller', 'buy milk');
    const topic = pair.town.manager.settings.topics.peer(pair.callee.id, pair.caller.id);
    const deliver = (payload: Uint8Array) => pair.callee.feed({ type: 'received', topic, payload });
    for (let at = 0; at < record.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bad = record.slice();
        bad[at]! ^= 1 << bit;
        deliver(bad);
      }
      deliver(record.subarray(0, at));
    }
    deliver(new Uint8Array(128 * 1024 + 1));
    assert.deepEqual(heard(pair.callee), []);
    deliver(record);
    deliver(record);
    assert.deepEqual(heard(pair.callee), ['buy milk'], 'once');
    assertTalks(pair, sid);
  });
}

test('[5.6 unknown key share, reflection, selfie] a record sent back to its sender is not heard', () => {
  const pair = talking();
  const { topics } = pair.town.manager.settings;
  const mine = intercepted(pair, 'caller', 'mine');
  pair.caller.feed({ type: 'received', topic: topics.peer(pair.caller.id, pair.callee.id), payload: mine });
  const theirs = intercepted(pair, 'callee', 'theirs');
  pair.callee.feed({ type: 'received', topic: topics.peer(pair.callee.id, pair.caller.id), payload: theirs });
  assert.deepEqual([heard(pair.caller), heard(pair.callee)], [[], []]);
  assertTalks(pair, pair.sid);
});

test('[5.6 unknown key share, reflection, selfie] a record of one session is none of another: neither of another pair nor of another route', () => {
  const pair = talking();
  const second = connect(pair);
  const phone = pair.town.add('phone');
  connect({ ...pair, caller: phone });
  const { topics } = pair.town.manager.settings;
  const record = intercepted(pair, 'caller', 'for one session');
  pair.callee.feed({ type: 'received', topic: topics.peer(pair.callee.id, phone.id), payload: record });
  const route = session(pair.caller, second).route!;
  const rerouted = Uint8Array.of(record[0]! | 8, record[1]!, route, ...record.subarray(2));
  pair.callee.feed({ type: 'received', topic: topics.peer(pair.callee.id, pair.caller.id), payload: rerouted });
  assert.deepEqual(heard(pair.callee), []);
  assertTalks(pair, pair.sid);
  assertTalks(pair, second);
});

test('a third device cannot publish into a session: the broker forwards only between the two', () => {
  const pair = talking();
  const spy = pair.town.add('phone');
  const { topics } = pair.town.manager.settings;
  const before = pair.callee.logs.length;
  const lies = [
    topics.peer(pair.callee.id, pair.caller.id),
    topics.peer(pair.callee.id, spy.id),
    topics.toDevice({ kind: 'device', id: pair.callee.id }),
    topics.toManager({ kind: 'device', id: pair.callee.id }),
  ];
  for (const topic of lies) {
    spy.run((state) => {
      state.out.push({ type: 'publish', topic, payload: Uint8Array.of(0x01, 0, 1, 2, 3, 4, 5, 6, 7, 8), qos: 1 });
    });
    pair.town.flush();
  }
  assert.equal(pair.callee.logs.length, before, 'nothing of it reached the callee');
  assertTalks(pair, pair.sid);
});

test('garbage from a peer, of every first byte, ends nothing', () => {
  const pair = talking();
  const topic = pair.town.manager.settings.topics.peer(pair.callee.id, pair.caller.id);
  for (let first = 0; first < 256; first++) {
    for (const length of [0, 1, 9, 40]) {
      const payload = Uint8Array.of(first, ...new Uint8Array(length).fill(first));
      pair.callee.feed({ type: 'received', topic, payload });
    }
  }
  pair.callee.feed({ type: 'received', topic, payload: new Uint8Array(0) });
  assertTalks(pair, pair.sid);
});

/** Notes what every cipher call of a party seals with. @returns how many were seen twice with different content */
function watchNonces() {
  const seen = new Map<string, string>();
  let seals = 0;
  let reused = 0;
  const watch = (crypto: Crypto): void => {
    const { seal } = crypto;
    Object.assign(crypto, {
      seal(...args: Parameters<Crypto['seal']>) {
        const sealed = seal(...args);
        const place = `${toHex(args[1])} ${toHex(args[2])}`;
        const content = toHex(sealed);
        seals++;
        if ((seen.get(place) ?? content) !== content) reused++;
        seen.set(place, content);
        return sealed;
      },
    });
  };
  return { watch, count: () => ({ seals, reused }) };
}

test('[5.6 nonce reuse after kill −9] no key seals twice under one nonce, over restarts of every party at any moment', () => {
  const { watch, count } = watchNonces();
  const place = town();
  watch(place.managerCrypto);
  const [caller, callee] = (['router', 'tv'] as const).map((name) => {
    const device = place.add(name, { start: false });
    watch(device.crypto);
    return device;
  }) as [Couple['caller'], Couple['callee']];
  place.flush();
  const pair = { town: place, caller, callee };
  let killAfter = 0;
  for (let round = 0; round < 24; round++) {
    let left = killAfter++ % 7;
    const victims = [
      { id: 'router', kill: () => caller.restart() },
      { id: 'tv', kill: () => callee.restart() },
      { id: 'manager', kill: () => place.restartManager() },
      { id: 'router', kill: () => caller.breakLink() },
    ];
    const victim = victims[round % victims.length]!;
    // after so many packets of the victim it is dead: nothing more of it passes
    place.meddler = ({ from }) => (from === victim.id && left-- <= 0 ? [] : 'pass');
    caller.call('tv');
    callee.call('router');
    for (const sid of [...caller.state.sessions.keys()]) say(caller, sid, 'round and round');
    place.flush();
    place.meddler = () => 'pass';
    victim.kill();
    place.advance(30_000);
  }
  assertTalks(pair, connect(pair));
  const { seals, reused } = count();
  assert.ok(seals > 300, `${seals} seals`);
  assert.equal(reused, 0);
});

test('a broker that gives a device the topic of another: the record says whose it is', () => {
  const pair = talking();
  const phone = pair.town.add('phone' as DeviceId);
  const record = intercepted(pair, 'caller', 'private');
  const { topics } = pair.town.manager.settings;
  phone.feed({ type: 'received', topic: topics.peer(phone.id, pair.caller.id), payload: record });
  phone.feed({ type: 'received', topic: topics.peer(pair.callee.id, pair.caller.id), payload: record });
  assert.deepEqual(heard(phone), []);
});
