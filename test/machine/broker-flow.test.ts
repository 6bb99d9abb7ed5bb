/**
 * What a link may say in a second, and whose turn it is before login: buckets, turns, allowances. @spec design §5.6
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_LIMITS } from '../../broker/limits.ts';
import { allowed, deviceFlow, type Held, newFlow, SERVICE_FLOW, took, tookToManager } from '../../broker/link-flow.ts';
import { loginTurns } from '../../broker/login-turns.ts';
import type { Allowance } from '../../broker/packet-limit.ts';
import { packetMeter } from '../../broker/packet-limit.ts';
import { fullBucket, look, namedBuckets, takeOne, takeOneOf, waitForOne } from '../../broker/token-bucket.ts';
import { enterRoom, leaveRoom, nextTurns, passTurn, untilNextTurn, waitingRoom } from '../../broker/waiting-room.ts';
import { Millis } from '../../protocol/units.ts';

const at = (ms: number) => Millis(ms);
const passed = (
  packets: number,
  publishes: number,
  bytes: number,
  stoppedBy: 'packets' | 'publishes' | null = null,
) => ({
  packets,
  publishes,
  bytes,
  stoppedBy,
});
const spell = (answer: Allowance | Held) =>
  'waitMs' in answer ? `${answer.limit} ${answer.waitMs}` : `${answer.packets}/${answer.publishes}`;

test('[B1] a bucket gives a second’s worth at once, then its rate, and is never fuller', () => {
  const bucket = fullBucket(10, at(0));
  for (let i = 0; i < 10; i++) assert.ok(takeOne(bucket, 10, at(0)), `${i}`);
  assert.equal(takeOne(bucket, 10, at(99)), false);
  assert.equal(Math.round(waitForOne(bucket, 10)), 1);
  assert.equal(takeOne(bucket, 10, at(100)), true);
  assert.equal(look(bucket, 10, at(60_000)), 10);
  bucket.tokens = -20;
  assert.equal(waitForOne(bucket, 10), 2100, 'who overdraws waits for it');
});

test('[B1] buckets by name are forgotten once they are full again, those in use are not', () => {
  const named = namedBuckets();
  for (let i = 0; i < 5000; i++) takeOneOf(named, `idle ${i}`, 10, at(i));
  assert.ok(named.buckets.size < 2500, `${named.buckets.size}`);
  for (let i = 0; i < 10; i++) takeOneOf(named, 'busy', 10, at(5000));
  for (let i = 0; i < 5000; i++) takeOneOf(named, `other ${i}`, 10, at(5000));
  assert.equal(takeOneOf(named, 'busy', 10, at(5000)), false);
});

test('[5.6 handshake floods] in the waiting room addresses take turns, then the links of one', () => {
  const room = waitingRoom<string>(10, at(0));
  for (let i = 0; i < 10; i++) assert.ok(passTurn(room, at(0)), 'a second’s worth at once');
  assert.equal(passTurn(room, at(0)), false);
  for (const link of ['flood 1', 'flood 2', 'flood 3', 'flood 4']) enterRoom(room, link, 'flood');
  enterRoom(room, 'honest', 'home');
  assert.equal(untilNextTurn(room), 100);
  assert.deepEqual(nextTurns(room, at(50)), []);
  assert.deepEqual(nextTurns(room, at(300), 2), ['flood 1', 'honest'], 'no more than there is room for');
  assert.deepEqual(nextTurns(room, at(300)), ['flood 2']);
  leaveRoom(room, 'flood 3', 'flood');
  assert.equal(passTurn(room, at(400)), false, 'nobody goes before those who wait');
  enterRoom(room, 'flood 1', 'flood');
  assert.deepEqual(nextTurns(room, at(10_000)), ['flood 4', 'flood 1']);
  assert.deepEqual([untilNextTurn(room), room.queues.size], [null, 0]);
});

test('[B1] a device is held back by packets, by messages to the manager, by bytes, each under its own key', () => {
  const limits = { ...DEFAULT_LIMITS, inFlight: 4, messagesPerSecond: 10, toManagerPerSecond: 2, bytesPerSecond: 1000 };
  const flow = deviceFlow(limits, at(0));
  assert.equal(spell(allowed(flow, limits, at(0))), '2/2', 'no more at once than the least allows');
  tookToManager(flow);
  tookToManager(flow);
  assert.equal(spell(allowed(flow, limits, at(0))), 'toManagerPerSecond 500');
  took(flow, passed(10, 10, 100));
  assert.equal(spell(allowed(flow, limits, at(0))), 'messagesPerSecond 100');
  took(flow, passed(0, 0, 2000));
  assert.equal(spell(allowed(flow, limits, at(1000))), 'bytesPerSecond 101');
  assert.equal(spell(allowed(flow, limits, at(3000))), '2/2');
  assert.equal(spell(allowed(SERVICE_FLOW, limits, at(0))), 'Infinity/Infinity');
});

test('[5.6 handshake floods] before login a link passes a message only in its turn', () => {
  const limits = { ...DEFAULT_LIMITS, messagesBeforeLogin: 5 };
  const flow = newFlow(limits, at(0));
  assert.equal(spell(allowed(flow, limits, at(0))), '5/0');
  assert.equal(took(flow, passed(2, 0, 50, 'publishes')), true, 'it wants a turn');
  flow.turn = 'waiting';
  assert.equal(spell(allowed(flow, limits, at(0))), 'loginMessagesPerSecond Infinity');
  flow.turn = 'come';
  assert.equal(spell(allowed(flow, limits, at(0))), '3/1');
  took(flow, passed(1, 1, 50));
  assert.equal(flow.turn, 'none', 'a turn is one message');
  took(flow, passed(2, 0, 4));
  assert.equal(spell(allowed(flow, limits, at(0))), 'messagesBeforeLogin 200');
});

test('[B1] a pass ends before the packet that may not begin yet; PUBACKs that are owed are not counted', () => {
  const meter = packetMeter({ connect: 100, publish: 100, rest: 100 });
  const ping = [0xc0, 0];
  const message = [0x30, 3, 0, 1, 0x61];
  const acknowledgement = [0x40, 2, 0, 1];
  meter.pass(Uint8Array.of(0x10, 2, 0, 0));
  const rows: [allowance: Allowance, owed: number, chunk: number[][], taken: ReturnType<typeof passed>][] = [
    [{ packets: 2, publishes: 9 }, 0, [ping, ping, ping], passed(2, 0, 4, 'packets')],
    [{ packets: 9, publishes: 1 }, 0, [message, ping, message], passed(2, 1, 7, 'publishes')],
    [{ packets: 9, publishes: 0 }, 0, [message], passed(0, 0, 0, 'publishes')],
    [{ packets: 1, publishes: 9 }, 2, [acknowledgement, ping, acknowledgement, ping], passed(1, 0, 10, 'packets')],
    [{ packets: 1, publishes: 9 }, 1, [acknowledgement, acknowledgement, ping], passed(1, 0, 8, 'packets')],
  ];
  for (const [allowance, owed, chunk, taken] of rows) {
    meter.owed = owed;
    assert.equal(meter.pass(Uint8Array.from(chunk.flat()), allowance), null);
    assert.deepEqual(meter.passed, taken);
  }
});

test('[5.6 handshake floods] a manager that is behind is given a tenth, and the pace again once it has caught up', () => {
  const limits = { ...DEFAULT_LIMITS, loginMessagesPerSecond: 100, managerBehind: 3 };
  const clock = { now: 0, due: null as { act: () => void; at: number } | null };
  let unacknowledged = 0;
  const come: string[] = [];
  const turns = loginTurns<string>({
    limits,
    now: () => at(clock.now),
    later(act, ms) {
      clock.due = { act, at: clock.now + ms };
      return () => {
        clock.due = null;
      };
    },
    unacknowledged: () => unacknowledged,
    come(link) {
      come.push(link);
      unacknowledged++;
    },
  });
  const until = (ms: number) => {
    for (let due = clock.due; due !== null && due.at <= ms; due = clock.due) {
      clock.now = due.at;
      clock.due = null;
      due.act();
    }
    clock.now = ms;
  };
  assert.equal(turns.ask('first', 'home'), true);
  unacknowledged = 3;
  for (let i = 0; i < 40; i++) assert.equal(turns.ask(`flood ${i}`, 'flood'), false);
  assert.equal(turns.ask('honest', 'home'), false);
  until(1000);
  assert.equal(come.length, 10);
  assert.ok(come.indexOf('honest') <= 1, `${come}`);
  unacknowledged = 0;
  turns.acknowledged();
  until(1010);
  assert.equal(come.length, 13, 'as many as it has places for');
  turns.close();
  assert.equal(clock.due, null);
});
