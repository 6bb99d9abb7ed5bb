/**
 * The virtual world: one seed, one trace; and each thing that can be done to it has the effect it should have.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endSession, sendData } from '../../device-agent/sessions.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { type Adversary, FORWARD, replayingBroker, unreliableBroker } from '../../sim/adversary.ts';
import { WIRELESS } from '../../sim/link-profile.ts';
import type { TraceEntry } from '../../sim/trace.ts';
import { createWorld, type SimWorld } from '../../sim/world.ts';
import type { DevicePlan } from '../../sim/world-plan.ts';

const NAMES = ['phone', 'fridge', 'tv'];
const PLAN = { crypto: 'model', devices: NAMES.map((name) => ({ name })) } as const;

/** A world whose devices have logged in. */
function settled(seed: number, devices: readonly DevicePlan[] = PLAN.devices, more = {}): SimWorld {
  const world = createWorld({ ...PLAN, devices, ...more }, seed);
  assert.ok(
    world.runWhile(() => !allRegistered(world), 20_000),
    'every device is registered',
  );
  forward(world, 500); // what it says first has arrived
  return world;
}
const allRegistered = (world: SimWorld): boolean =>
  world.manager.state.revocation.heardAt !== null &&
  [...world.devices.values()].every(({ state }) => state.registration.acknowledged !== null && state.channel !== null);
const device = (world: SimWorld, name: string) => world.devices.get(name)!;
const nowMs = (world: SimWorld): number => world.now() / 1000;
const forward = (world: SimWorld, ms: number): void => world.runUntil(nowMs(world) + ms);
const since = (world: SimWorld, at: number): TraceEntry[] => world.trace.entries.filter((entry) => entry.at > at);

/** Phone and fridge have a session. @returns its id */
function connected(world: SimWorld): string {
  device(world, 'phone').call('fridge');
  const open = (name: string) =>
    [...device(world, name).state.sessions.values()].some(({ state }) => state.name === 'open');
  assert.ok(
    world.runWhile(() => !open('phone') || !open('fridge'), nowMs(world) + 10_000),
    'the session is open',
  );
  return [...device(world, 'phone').state.sessions.keys()][0]!;
}

/** Texts that arrive, with the device that hears them. */
function listen(world: SimWorld): string[] {
  const heard: string[] = [];
  world.observe({
    news: ({ id }, news) => {
      if (news.news === 'received') heard.push(`${id}: ${Buffer.from(news.payload)}`);
    },
  });
  return heard;
}
function say(world: SimWorld, from: string, sid: string, text: string): void {
  device(world, from).run((state, then) => assert.equal(sendData(state, sid, encodeUtf8(text), then), null));
}

/** Everything that is at the mercy of the seed: links, disks, an adversary, a driver. */
function busyWorld(seed: number): SimWorld {
  const world = createWorld(
    { ...PLAN, devices: NAMES.map((name) => ({ name, link: { ...WIRELESS, loss: 0.1 } })) },
    seed,
  );
  world.adversary = unreliableBroker(world.random('adversary'), {
    drop: 0.03,
    duplicate: 0.1,
    delay: 0.2,
    longestDelayMs: 300,
  });
  world.at(4000, () => device(world, 'phone').call('fridge'));
  world.at(4500, () => world.crash('manager'));
  world.at(5000, () => world.restart('manager'));
  world.at(9000, () => device(world, 'tv').call('phone'));
  world.runUntil(30_000);
  return world;
}

test('the same plan and seed give the same trace, entry by entry; another seed gives another one', () => {
  const [first, again, other] = [busyWorld(1), busyWorld(1), busyWorld(2)];
  assert.ok(first.trace.count() > 60);
  assert.deepEqual(first.trace.entries, again.trace.entries);
  assert.equal(first.trace.hash(), again.trace.hash());
  assert.notEqual(first.trace.hash(), other.trace.hash());
});

test('a world is not disturbed by who watches it', () => {
  const quiet = settled(3);
  const watched = createWorld(PLAN, 3);
  let seen = 0;
  const count = () => {
    seen++;
  };
  watched.observe({ traced: count, news: count, installed: count, sealed: count, logged: count });
  watched.random('onlooker').uint32();
  watched.runWhile(() => !allRegistered(watched), 20_000);
  forward(watched, 500);
  assert.ok(seen > 50);
  assert.equal(watched.trace.hash(), quiet.trace.hash());
});

test('TCP as it is: on a link that loses packets every message arrives, late and in order', () => {
  const lossy = { ...WIRELESS, loss: 0.4 };
  const world = settled(4, [{ name: 'phone', link: lossy }, { name: 'fridge' }]);
  const heard = listen(world);
  const sid = connected(world);
  for (let n = 0; n < 30; n++) say(world, 'phone', sid, `${n}`);
  forward(world, 60_000);
  assert.deepEqual(
    heard,
    Array.from({ length: 30 }, (_, n) => `fridge: ${n}`),
  );
  const times = world.trace.entries.filter(({ type }) => type === 'data').map(({ at, sentAt }) => at - sentAt);
  assert.ok(Math.max(...times) > 200_000, 'some had to be sent again');
});

test('a connection that breaks loses what is on the way; the device comes back by resumption, without public-key work', () => {
  const world = settled(5);
  const phone = device(world, 'phone');
  const [operations, at] = [phone.operations(), world.now()];
  phone.call('fridge');
  world.breakLink('phone');
  assert.ok(world.runWhile(() => phone.state.sessions.size === 0, nowMs(world) + 30_000));
  const own = since(world, at).filter(({ sender }) => sender === 'phone');
  assert.deepEqual(
    own.slice(0, 4).map(({ type, outcome }) => `${type} ${outcome}`),
    ['link down', 'Connect lost', 'link up', 'resume delivered'],
  );
  assert.equal(phone.operations(), operations);
});

test('[B7] kill −9 of a device: what was durable is there again, what was not is gone', () => {
  const world = settled(6);
  const phone = device(world, 'phone');
  const instance = phone.state.instance;
  world.crash('phone');
  forward(world, 1000);
  assert.equal(phone.running, false);
  assert.equal(world.manager.state.links.has(phone.id), false, 'the manager has heard that its link ended');
  const at = world.now();
  world.restart('phone');
  forward(world, 3000);
  assert.notDeepEqual(phone.state.instance, instance);
  assert.deepEqual(
    phone.state.openings.map(({ opened }) => opened),
    ['resume'],
  );

  // killed after message_4 has come and before its secret is durable: a full login again
  const early = createWorld(PLAN, 6);
  assert.ok(early.runWhile(() => device(early, 'phone').state.joining?.step.name !== 'savingLogin', 10_000));
  early.crash('phone');
  early.restart('phone');
  forward(early, 15_000);
  assert.equal(device(early, 'phone').memory !== null, true);
  assert.deepEqual(
    device(early, 'phone').state.openings.map(({ opened }) => opened),
    ['edhoc'],
  );
  assert.ok(since(world, at).some(({ type }) => type === 'resume'));
});

test('[B7] kill −9 of the manager: registrations and sessions are those of its store, and what was not committed is gone', () => {
  const world = settled(7);
  const heard = listen(world);
  const sid = connected(world);
  world.crash('manager');
  say(world, 'phone', sid, 'without a manager');
  forward(world, 500);
  world.restart('manager');
  forward(world, 15_000);
  say(world, 'phone', sid, 'with a new one');
  forward(world, 500);
  assert.deepEqual(heard, ['fridge: without a manager', 'fridge: with a new one']);
  assert.deepEqual([...world.manager.state.sessions.keys()], [sid]);
  assert.equal(world.manager.state.registrations.size, 3);

  const early = createWorld(PLAN, 7);
  // at the moment in which the first login goes to the disk
  assert.ok(early.runWhile(() => early.manager.state.devices.size === 0, 10_000));
  early.crash('manager');
  forward(early, 100);
  assert.deepEqual([...early.manager.store.entries('devices')], []);
});

test('[B7] a broker that is killed forgets its links and pairs; the parties come back and the session goes on', () => {
  const world = settled(8);
  const heard = listen(world);
  const sid = connected(world);
  const operations = NAMES.map((name) => device(world, name).operations());
  world.crash('broker');
  assert.equal(world.broker.state(), null);
  forward(world, 2000);
  assert.equal(world.manager.state.links.size, 3, 'nobody tells the manager what happens without a broker');
  assert.ok([...world.devices.values()].every(({ state }) => state.link === null));
  world.restart('broker');
  forward(world, 40_000);
  assert.ok(allRegistered(world));
  say(world, 'fridge', sid, 'still here');
  forward(world, 500);
  assert.deepEqual(heard, ['phone: still here']);
  assert.deepEqual(
    NAMES.map((name) => device(world, name).operations()),
    operations,
  );
});

test('without a verifier nobody gets in; with one everybody does', () => {
  const world = createWorld(PLAN, 9);
  world.crash('verifier');
  world.runUntil(20_000);
  assert.ok(world.trace.entries.some(({ type, outcome }) => type === 'question' && outcome === 'unread'));
  assert.ok([...world.devices.values()].every(({ state }) => state.channel === null));
  world.restart('verifier');
  assert.ok(world.runWhile(() => !allRegistered(world), 200_000));
});

test('a partition lets nothing through until it is healed, and both sides go on', () => {
  const world = settled(10);
  const heard = listen(world);
  const sid = connected(world);
  const at = world.now();
  const heal = world.partition(['phone', 'tv']);
  forward(world, 100);
  say(world, 'phone', sid, 'held');
  say(world, 'fridge', sid, 'held too');
  forward(world, 10_000);
  assert.deepEqual(
    since(world, at + 100_000).filter(({ outcome, sender }) => outcome === 'delivered' && sender !== 'verifier'),
    [],
  );
  heal();
  forward(world, 30_000);
  assert.deepEqual(heard.sort(), ['fridge: held', 'phone: held too'], 'TCP kept what was sent');

  // longer than anybody waits for a sign of life: both ends give up, and the device resumes
  const longer = world.partition(['phone']);
  forward(world, 90_000);
  assert.equal(device(world, 'phone').state.link, null);
  assert.equal(world.manager.state.links.has(device(world, 'phone').id), false);
  longer();
  forward(world, 60_000);
  assert.notEqual(device(world, 'phone').state.channel, null);
  assert.equal(device(world, 'phone').state.openings.at(-1)?.opened, 'resume');
});

test('a partition between the broker and everybody is one too', () => {
  const world = settled(11);
  const at = world.now();
  const heal = world.partition(['broker']);
  device(world, 'phone').call('fridge');
  forward(world, 4000);
  assert.deepEqual(
    since(world, at).filter(({ outcome }) => outcome === 'delivered'),
    [],
  );
  heal();
  assert.ok(world.runWhile(() => device(world, 'fridge').state.sessions.size === 0, nowMs(world) + 30_000));
});

test('a disk that refuses: no login, and nothing half done; good again, the same devices get in', () => {
  const world = createWorld(PLAN, 12);
  world.manager.disk.state = 'refusing';
  world.runUntil(15_000);
  assert.equal(world.manager.state.devices.size, 0);
  assert.ok([...world.devices.values()].every(({ state }) => state.channel === null));
  world.manager.disk.state = 'good';
  assert.ok(world.runWhile(() => !allRegistered(world), 120_000));

  const silent = createWorld(PLAN, 12);
  device(silent, 'phone').disk.state = 'frozen';
  silent.runUntil(9000);
  assert.equal(device(silent, 'phone').memory, null);
  assert.equal(device(silent, 'phone').state.channel, null, 'it says nothing before its secret is safe');
});

test('a hostile broker that swallows one message: the connect is decided all the same', () => {
  for (const type of ['Connect', 'Ask', 'Answer', 'Allow', 'Grant', 'Hello']) {
    const world = settled(13);
    let swallowed = 0;
    const thief: Adversary = {
      onPacket: (packet) => (packet.type.split('+').includes(type) && swallowed++ === 0 ? [] : FORWARD),
    };
    world.adversary = thief;
    const decisions: string[] = [];
    world.observe({
      news: ({ id }, { news }) => {
        if (id === 'phone' && /^(sessionOpened|sessionClosed|callFailed)$/.test(news)) decisions.push(news);
      },
    });
    device(world, 'phone').call('fridge');
    forward(world, 90_000);
    assert.equal(since(world, 0).filter(({ outcome }) => outcome === 'swallowed').length, 1, type);
    assert.ok(decisions.length > 0, `${type}: the caller hears how it ended`);
    assert.ok(device(world, 'phone').state.calls.size === 0, type);
  }
});

/** Grants by device, session and epoch, of which each may be installed once. */
function installs(world: SimWorld): string[] {
  const seen: string[] = [];
  world.observe({
    installed: ({ id }, sid, session) => seen.push(`${id} ${sid} ${session?.epoch}`),
  });
  return seen;
}
const twice = (seen: readonly string[]): string[] => seen.filter((one, index) => seen.indexOf(one) !== index);

test('[5.6 replay of every message] [5.6 key reinstallation by a repeated grant] a broker that replays everything installs nothing twice', () => {
  assert.deepEqual(twice(['phone 1 0', 'fridge 1 0', 'phone 1 0']), ['phone 1 0'], 'the count finds what it looks for');
  const world = createWorld(PLAN, 14);
  world.adversary = replayingBroker(world.random('replays'), 3000);
  const seen = installs(world);
  const heard = listen(world);
  assert.ok(world.runWhile(() => !allRegistered(world), 20_000));
  for (const [caller, callee] of [
    ['phone', 'fridge'],
    ['tv', 'phone'],
    ['fridge', 'tv'],
  ] as const) {
    device(world, caller).call(callee);
    forward(world, 5000);
  }
  for (const [sid, { role }] of device(world, 'phone').state.sessions) say(world, 'phone', sid, role);
  forward(world, 10_000);
  const replayed = new Set(
    since(world, 0)
      .filter((e) => e.sender === 'hostile' && e.outcome === 'delivered')
      .map((e) => e.type),
  );
  for (const type of ['message2', 'message4', 'Connect', 'Ask', 'Grant', 'Hello', 'data']) {
    assert.ok(
      [...replayed].some((one) => one.split('+').includes(type)),
      `${type} was replayed`,
    );
  }
  assert.equal(seen.length, 6, seen.join());
  assert.deepEqual(twice(seen), []);
  assert.deepEqual(heard.sort(), ['fridge: caller', 'tv: callee']);
});

test('what a hostile broker changes or makes up is refused, and disturbs nobody', () => {
  const world = settled(15);
  const sid = connected(world);
  const heard = listen(world);
  const refused: string[] = [];
  world.observe({ logged: (party, { event }) => event === 'message.refused' && refused.push(party) });
  const { topics } = world.manager.state.settings;
  const phone = device(world, 'phone');
  world.inject(
    'phone',
    topics.toDevice({ kind: 'device', id: phone.id }),
    Uint8Array.of(0x01, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9),
  );
  world.inject('manager', topics.toManager({ kind: 'device', id: phone.id }), Uint8Array.of(0xe9, 1, 2));
  forward(world, 100);
  assert.deepEqual(refused.sort(), ['manager', 'phone']);
  world.adversary = {
    onPacket: ({ payload, type }) => {
      if (type === 'data') payload[payload.length - 1]! ^= 1;
      return [{ do: 'forward', payload }];
    },
  };
  say(world, 'fridge', sid, 'changed');
  forward(world, 100);
  world.adversary = null;
  say(world, 'fridge', sid, 'as it was');
  forward(world, 100);
  assert.deepEqual(heard, ['phone: as it was']);
});

test('a broker that lets messages overtake each other and doubles them: what arrives is what was said, once', () => {
  const world = settled(16);
  const sid = connected(world);
  const heard = listen(world);
  world.adversary = unreliableBroker(world.random('mischief'), {
    drop: 0,
    duplicate: 0.5,
    delay: 0.5,
    longestDelayMs: 400,
  });
  for (let n = 0; n < 20; n++) say(world, 'phone', sid, `${n}`);
  forward(world, 5000);
  assert.equal(new Set(heard).size, 20);
  assert.equal(heard.length, 20);
  assert.notDeepEqual(
    heard,
    Array.from({ length: 20 }, (_, n) => `fridge: ${n}`),
    'some overtook others',
  );
});

test('each party has its own wall clock: of one that is decades off the verifier tells the time, the others are not disturbed', () => {
  const years = 30 * 365 * 86_400;
  const world = createWorld({ ...PLAN, devices: [{ name: 'phone', skewSeconds: years }, { name: 'fridge' }] }, 17);
  world.runUntil(20_000);
  const [phone, fridge] = ['phone', 'fridge'].map((name) => device(world, name));
  assert.ok(phone!.state.channel !== null && fridge!.state.channel !== null);
  assert.ok(Math.abs(phone!.world().wall - fridge!.world().wall) <= 1);
  assert.deepEqual([phone!.state.time.heard === null, fridge!.state.time.heard], [false, null]);
});

test('[B6] a device that is revoked is out at its next verdict, and its peer hears of it', () => {
  const world = settled(18, PLAN.devices, { verifier: { maxAgeSeconds: 60 } });
  const sid = connected(world);
  const news: string[] = [];
  world.observe({
    news: ({ id }, one) => {
      if (one.news === 'sessionClosed') news.push(`${id} ${one.sid} ${one.reason}`);
    },
  });
  world.revoke('fridge');
  forward(world, 60_000);
  assert.ok(news.includes(`phone ${sid} revoked`), news.join());
  assert.equal(world.manager.state.channels.has(device(world, 'fridge').id), false);
  assert.ok(world.manager.state.channels.has(device(world, 'tv').id));
});

test('a session that is ended is gone at both devices and at the manager', () => {
  const world = settled(19);
  const sid = connected(world);
  const at = world.now();
  device(world, 'phone').run((state, then) => endSession(state, sid, 'done', then));
  forward(world, 2000);
  assert.deepEqual(
    since(world, at)
      .filter(({ sender }) => sender !== 'verifier')
      .map(({ sender, receiver, type }) => `${sender} ${receiver} ${type}`),
    [
      'phone manager End+Up',
      'manager broker Forbid',
      'manager fridge End',
      'fridge manager EndOk',
      'manager phone EndOk',
    ],
  );
  assert.equal(world.manager.state.sessions.size, 0);
  assert.ok(NAMES.every((name) => device(world, name).state.sessions.size === 0));
});

test('a fault of ours that a machine would log ends the run', () => {
  const world = settled(20);
  assert.throws(
    () =>
      world.manager.run((state) =>
        state.out.push({ type: 'log', level: 'error', event: 'bug', fields: { detail: 'planted' } }),
      ),
    /manager met a fault of ours: planted/,
  );
});

test('two parties of one name are refused', () => {
  assert.throws(() => createWorld({ ...PLAN, devices: [{ name: 'tv' }, { name: 'tv' }] }, 1), RangeError);
  assert.throws(() => createWorld({ ...PLAN, devices: [{ name: 'manager' }] }, 1), RangeError);
});
