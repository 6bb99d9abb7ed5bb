/**
 * Who comes in when all come at once: the line by itself, and 500 real agents in front of one manager.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { ask, LONGEST_WAIT, leave, newAdmission, nextTurnAt, takeNext } from '../../manager/admission.ts';
import { toHex } from '../../protocol/bytes.ts';
import { EXCHANGE_ID_BYTES, encodeFrame } from '../../protocol/frame.ts';
import { Busy, MAX_BUSY_MS } from '../../protocol/messages.ts';
import { Millis } from '../../protocol/units.ts';
import { town } from '../town.ts';
import type { Packet, Town, TownDevice } from '../town-plan.ts';
import { D0, D1, D2, dropped, E1, isIn, kindOf, kindsSince, packetsOf, toEvery } from './town-packets.ts';

const D3 = 0xd3;
const PACE = { resumptionsPerSecond: 50, loginsPerSecond: 100_000 };
/** What was left unused of a tenth of a second may be used at once. */
const mostIn = (seconds: number, perSecond: number): number => Math.ceil(perSecond * (seconds + 0.1)) + 1;

// ── The line by itself ──────────────────────────────────────────────────────────────────────────────────────────────

const at = (ms: number): Millis => Millis(ms);
const who = (number: number, key = `device-${number}`) => ({ exchange: number, party: `link:${number}`, key });

test('[B7] whoever comes alone is let in at once', () => {
  const admission = newAdmission(PACE);
  for (let number = 0; number < 100; number++) {
    assert.deepEqual(ask(admission, 'resumption', who(number), at(1000 * number), 0), { place: 'in' });
    leave(admission, number);
  }
});

test('[B7] without a pace nobody waits', () => {
  const admission = newAdmission(undefined);
  for (let number = 0; number < 10_000; number++) {
    assert.equal(ask(admission, 'login', who(number), at(0), 0).place, 'in');
  }
  assert.equal(nextTurnAt(admission), null);
});

test('[B7] of 2,000 at once each is told a turn of its own, one after the other, none beyond the longest wait', () => {
  const admission = newAdmission(PACE);
  const waits: number[] = [];
  let inside = 0;
  for (let number = 0; number < 2000; number++) {
    const place = ask(admission, 'resumption', who(number), at(0), 0.5);
    if (place.place === 'later') waits.push(place.after);
    else inside++;
  }
  const [turns, beyond] = [
    waits.filter((ms) => ms !== 0.75 * LONGEST_WAIT),
    waits.filter((ms) => ms === 0.75 * LONGEST_WAIT),
  ];
  assert.ok(inside >= 45 && inside <= 52, `${inside} are in, or wait here for less than a second`);
  assert.ok(turns.length > 1400 && turns.length < 1510, `${turns.length} turns in 30 s at 50 a second`);
  for (let i = 1; i < turns.length; i++) assert.ok(turns[i]! - turns[i - 1]! >= 19.9, 'a turn every 20 ms');
  assert.ok(turns.every((ms) => ms <= LONGEST_WAIT));
  assert.equal(turns.length + beyond.length + inside, 2000);
});

test('[B7] who comes back at its turn is let in before whoever has come meanwhile', () => {
  const admission = newAdmission(PACE);
  let told: number | null = null;
  for (let number = 0; number < 200; number++) {
    const place = ask(admission, 'resumption', who(number), at(0), 0);
    if (number === 150 && place.place === 'later') told = place.after;
  }
  assert.ok(told !== null && told > 2500 && told < 3100, `turn 150 of 50 a second: ${told} ms`);
  // all that were let in or waited here are through by then, newcomers keep coming
  for (let number = 0; number < 200; number++) leave(admission, number);
  for (let number = 1000; number < 1100; number++) ask(admission, 'resumption', who(number), at(told), 0);
  assert.equal(ask(admission, 'resumption', who(5000, 'device-150'), at(told), 0).place, 'queue');
  const order = takeNext(admission, at(told + 20)).map(({ exchange }) => exchange);
  assert.equal(order[0], 5000);
});

test('[B7] who comes before its turn keeps it and is told again', () => {
  const admission = newAdmission(PACE);
  let told: number | null = null;
  for (let number = 0; number < 500; number++) {
    const place = ask(admission, 'resumption', who(number), at(0), 0);
    if (number === 499 && place.place === 'later') told = place.after;
  }
  const again = ask(admission, 'resumption', who(900, 'device-499'), at(4000), 0);
  assert.deepEqual(again, { place: 'later', after: told! - 4000 });
});

test('[B7] never more than the pace in any second, however long nobody was taken in', () => {
  const admission = newAdmission(PACE);
  const entered: number[] = [];
  let next = 0;
  for (let now = 0; now < 20_000; now += 7) {
    for (let i = 0; i < 3; i++) {
      if (ask(admission, 'resumption', who(next++), at(now), 0).place !== 'in') continue;
      entered.push(now);
      leave(admission, next - 1);
    }
    if (now > 5000 && now < 6500) continue; // the process was busy with something else
    for (const { exchange } of takeNext(admission, at(now))) {
      entered.push(now);
      leave(admission, exchange);
    }
  }
  assert.ok(entered.length > 850, `${entered.length} of about 1,000`);
  for (const from of entered) {
    const inSecond = entered.filter((ms) => ms >= from && ms < from + 1000).length;
    assert.ok(inSecond <= mostIn(1, 50), `${inSecond} from ${from} on`);
  }
});

test('[B7] peers that fall silent hold their places for two seconds, then others are let in', () => {
  const admission = newAdmission({ ...PACE, resumptionsPerSecond: 10 });
  const entries: number[] = [];
  for (let number = 0; number < 9; number++) ask(admission, 'resumption', who(number), at(0), 0);
  for (let now = 0; now < 10_000; now += 50) {
    if (ask(admission, 'resumption', who(1000 + now), at(now), 0).place === 'in') entries.push(now);
    entries.push(...takeNext(admission, at(now)).map(() => now));
  }
  // five at a time, each for two seconds
  assert.ok(entries.length > 18 && entries.length < 28, `${entries.length}`);
});

test('[5.6 handshake floods] a hundred thousand that never come back leave no trace', () => {
  const admission = newAdmission(PACE);
  for (let number = 0; number < 100_000; number++) ask(admission, 'resumption', who(number), at(number), 0.3);
  const { queue, present, turns, underWay } = admission.resumption;
  assert.ok(present.size <= 45 && queue.length <= 45, `${queue.length} wait`);
  assert.ok(turns.size <= 50 * 42, `${turns.size} turns`);
  assert.ok(underWay.size <= 25);
});

test('[B7] logins keep a quarter of their pace while resumptions wait', () => {
  const admission = newAdmission({ resumptionsPerSecond: 10, loginsPerSecond: 100 });
  const waitOf = (number: number, now: number): number => {
    const place = ask(admission, 'login', who(number), at(now), 0);
    return place.place === 'later' ? place.after : 0;
  };
  for (let number = 0; number < 100; number++) ask(admission, 'resumption', who(10_000 + number), at(0), 0);
  const lastTwo = (from: number, now: number): number => {
    const waits = Array.from({ length: 120 }, (_, number) => waitOf(from + number, now)).filter((wait) => wait > 0);
    return waits.at(-1)! - waits.at(-2)!;
  };
  assert.ok(Math.abs(lastTwo(0, 0) - 40) < 0.001, 'a turn every 40 ms in place of 10');
  // the turns of those who never came again are over
  for (let now = 0; now < 60_000; now += 50) {
    for (const { exchange } of takeNext(admission, at(now))) leave(admission, exchange);
  }
  assert.ok(Math.abs(lastTwo(1000, 60_000) - 10) < 0.001, 'and every 10 ms again');
});

// ── Machines ────────────────────────────────────────────────────────────────────────────────────────────────────────

function crowd(t: Town, size: number): TownDevice[] {
  return Array.from({ length: size }, (_, number) => t.add(`device-${String(number).padStart(3, '0')}`));
}

interface Passed extends Packet {
  readonly at: number;
}

/** Notes when what passes. */
function watch(t: Town): Passed[] {
  const seen: Passed[] = [];
  t.meddler = (packet) => {
    seen.push({ ...packet, at: t.clock.now() });
    return 'pass';
  };
  return seen;
}

const timesOf = (seen: readonly Passed[], kind: number): number[] =>
  seen.filter((packet) => kindOf(packet) === kind).map(({ at: ms }) => ms);

function requirePace(times: readonly number[], perSecond: number, what: string): void {
  for (const from of times) {
    const inSecond = times.filter((ms) => ms >= from && ms < from + 1000).length;
    assert.ok(inSecond <= mostIn(1, perSecond), `${inSecond} ${what} in the second from ${from} on`);
  }
}

const SIZE = 500;
let t: Town;
let devices: TownDevice[];
before(() => {
  t = town({ settings: { pace: PACE } });
  devices = crowd(t, SIZE);
});

test('[B7] [B5] 500 agents at once after a restart of the broker: in at the pace, in order, by resumption, nobody forgotten', () => {
  const operations = devices.reduce((sum, device) => sum + device.operations(), 0);
  const from = t.packets.length;
  const seen = watch(t);
  const began = t.clock.now();
  t.restartBroker();
  // 10 s at 50 a second for all 500; those who were told to come again have a turn of their own
  for (let seconds = 0; seconds < 14; seconds++) t.advance(1000);
  assert.deepEqual(
    devices.filter((device) => !isIn(t, device)).map(({ id }) => id),
    [],
    'not back',
  );
  assert.ok(!kindsSince(t, from).includes(E1), 'a full login');
  assert.equal(
    devices.reduce((sum, device) => sum + device.operations(), 0),
    operations,
  );
  requirePace(timesOf(seen, D2), 50, 'let in');
  assert.ok(t.clock.now() - began <= 14_000);
  const asked = timesOf(seen, D1).length / SIZE;
  assert.ok(asked <= 3, `each asked ${asked} times`);
});

test('[B7] [B5] 500 agents on living links after a restart of the manager hear of it at the pace, those in a session first', () => {
  const talking = devices.slice(-20);
  for (let i = 0; i < talking.length; i += 2) talking[i]!.call(talking[i + 1]!.id);
  t.flush();
  assert.equal(t.manager.sessions.size, 10);
  const from = t.packets.length;
  const seen = watch(t);
  t.restartManager();
  t.advance(1000);
  assert.deepEqual(
    talking.filter((device) => !isIn(t, device)).map(({ id }) => id),
    [],
    'those in a session are there after a second',
  );
  for (let seconds = 0; seconds < 13; seconds++) t.advance(1000);
  assert.equal(devices.filter((device) => isIn(t, device)).length, SIZE);
  assert.ok(!kindsSince(t, from).includes(E1), 'a full login');
  requirePace(timesOf(seen, D0), 50, 'hints');
  requirePace(timesOf(seen, D2), 50, 'let in');
  assert.equal(timesOf(seen, D1).length, SIZE, 'each asks once');
  assert.equal(t.manager.sessions.size, 10);
});

test('[B7] 40 agents are all back although a third of all answers, and of all words that there is too much to do, is lost', () => {
  const t = town({ settings: { pace: { resumptionsPerSecond: 8, loginsPerSecond: 100_000 } } });
  const devices = crowd(t, 40);
  let answers = 0;
  t.meddler = (packet) => {
    const kind = kindOf(packet);
    return (kind === D2 || kind === D3) && answers++ % 3 === 0 ? [] : 'pass';
  };
  t.restartBroker();
  for (let seconds = 0; seconds < 90; seconds += 5) t.advance(5000);
  t.meddler = () => 'pass';
  for (let seconds = 0; seconds < 60; seconds += 5) t.advance(5000);
  assert.deepEqual(
    devices.filter((device) => !isIn(t, device)).map(({ id, logs }) => [id, logs.slice(-5)]),
    [],
  );
});

test('[B7] 30 new devices at once are logged in at the pace, those whose turn is far on new links', () => {
  const t = town({ settings: { pace: { resumptionsPerSecond: 50, loginsPerSecond: 3 } } });
  const seen = watch(t);
  const devices = Array.from({ length: 30 }, (_, number) => t.add(`device-${number}`, { start: false }));
  t.flush();
  for (let seconds = 0; seconds < 60; seconds += 5) t.advance(5000);
  assert.equal(devices.filter((device) => isIn(t, device)).length, 30);
  requirePace(timesOf(seen, 0xe2), 3, 'logged in');
});

// ── The word that there is too much to do ───────────────────────────────────────────────────────────────────────────

/** A device that waits for the answer to its D1, which nobody hears. */
function waiting(): { t: Town; router: TownDevice; exchange: Uint8Array } {
  const t = town();
  const router = t.add('router-1');
  t.meddler = toEvery(D1, dropped);
  router.breakLink();
  t.flush();
  const { joining } = router.state;
  assert.equal(joining?.step.name, 'awaitingResumed');
  return { t, router, exchange: joining!.exchange };
}

const say = (t: Town, router: TownDevice, exchange: Uint8Array, body: Uint8Array): void => {
  const topic = t.manager.settings.topics.toDevice({ kind: 'link', link: router.state.link! });
  t.inject(topic, encodeFrame('busy', exchange, body));
  t.flush();
};

test('[B7] a device that is told to come again waits so long, a quarter of a second more at most, and asks again', () => {
  for (let round = 0; round < 10; round++) {
    const { t, router, exchange } = waiting();
    say(t, router, exchange, Busy.encode({ after: 4000 }));
    const from = t.packets.length;
    t.advance(3999);
    assert.equal(packetsOf(t, D1, from).length, 0, 'it does not repeat itself meanwhile');
    t.advance(252);
    assert.equal(packetsOf(t, D1, from).length, 1);
  }
});

test('[B7] on a new link that would be closed before its turn the device gives its link back, and remembers its turn', () => {
  const { t, router, exchange } = waiting();
  const { link } = router.state;
  say(t, router, exchange, Busy.encode({ after: 20_000 }));
  t.flush();
  assert.notEqual(router.state.link, link);
  const from = t.packets.length;
  t.advance(19_000);
  assert.equal(packetsOf(t, D1, from).length, 0);
  t.meddler = () => 'pass';
  t.advance(20_000);
  assert.ok(isIn(t, router));
});

test('[5.6 handshake floods] words that there is too much to do are believed of the exchange under way alone, for 30 s at most', () => {
  const { t, router, exchange } = waiting();
  const other = t.managerCrypto.random(EXCHANGE_ID_BYTES);
  assert.notEqual(toHex(other), toHex(exchange));
  for (const [id, body] of [
    [other, Busy.encode({ after: 30_000 })],
    [exchange, Uint8Array.of(0xa1, 0x01, 0x19, 0x75, 0x31)], // 30,001 ms
    [exchange, Uint8Array.of(0xa1, 0x01, 0x00)],
    [exchange, Uint8Array.of(0xa0)],
  ] as const) {
    say(t, router, id, body);
    assert.equal(router.state.joining?.step.name, 'awaitingResumed');
    assert.equal(router.state.restUntil, null);
  }
  const operations = router.operations();
  const began = t.clock.now();
  say(t, router, exchange, Busy.encode({ after: MAX_BUSY_MS }));
  t.meddler = () => 'pass';
  t.advance(MAX_BUSY_MS + 11_000);
  assert.ok(isIn(t, router), 'it is back after the longest delay that anybody can cause');
  assert.ok(t.clock.now() - began <= MAX_BUSY_MS + 11_000);
  assert.equal(router.operations(), operations, 'and it never led to a full login');
});

test('[B7] the manager reaches a device that was told to come again', () => {
  const t = town();
  const router = t.add('router-1');
  const lamp = t.add('lamp');
  t.restartManager();
  t.advance(11_000);
  // a device on a living link, asked to wait
  router.run((state) => {
    state.channel = null;
    state.restUntil = Millis(t.clock.now() + 25_000);
  });
  t.runManager((state) => void state.channels.delete(router.id));
  lamp.call('router-1');
  t.advance(3000);
  assert.equal(lamp.latest('sessionOpened')?.peer, 'router-1');
});

test('[5.6 handshake floods] a D1 without the secret takes nobody a place, and is told nothing of turns', () => {
  const t = town({ settings: { pace: { resumptionsPerSecond: 1, loginsPerSecond: 100 } } });
  const router = t.add('router-1');
  const before = t.packets.length;
  const recorded: Uint8Array[] = [];
  t.meddler = (packet) => {
    if (kindOf(packet) === D1) recorded.push(packet.payload);
    return 'pass';
  };
  router.breakLink();
  t.advance(2000);
  t.meddler = () => 'pass';
  const forged = recorded[0]!.slice();
  forged[forged.length - 1]! ^= 1;
  const letIn = t.manager.admission.resumption.counted.letIn;
  for (let i = 0; i < 50; i++) {
    const stranger = t.stranger();
    stranger.publish(forged);
    t.flush();
    assert.ok(stranger.received.every((packet) => kindOf(packet) === D0));
  }
  assert.ok(t.packets.length > before);
  assert.equal(t.manager.admission.resumption.counted.letIn, letIn);
  router.breakLink();
  t.advance(3000);
  assert.ok(isIn(t, router), 'its own comes through at once');
});

test('[5.6 handshake floods] when too many exchanges are under way a newcomer is told to come again, not left to wait', () => {
  const t = town();
  const limits = { ...t.manager.settings.limits, halfOpen: 3 };
  const small = town({ settings: { limits } });
  const router = small.add('router-1');
  const offers: Uint8Array[] = [];
  small.meddler = (packet) => {
    if (kindOf(packet) === E1) offers.push(packet.payload);
    return kindOf(packet) === 0xe2 ? [] : 'pass';
  };
  const three = [1, 2, 3].map((number) => small.add(`new-${number}`));
  assert.equal(small.manager.handshakes.size, 3);
  const from = small.packets.length;
  const late = small.add('late');
  assert.equal(packetsOf(small, D3, from).length, 1);
  small.meddler = () => 'pass';
  small.advance(30_000);
  for (const device of [router, late, ...three]) assert.ok(isIn(small, device), device.id);
});
