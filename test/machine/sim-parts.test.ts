/**
 * What a world is made of: the queue of events, the trace's hash, alarms, wires, disks.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { noDeadlines, schedule, takeDue } from '../../protocol/deadlines.ts';
import { Millis } from '../../protocol/units.ts';
import { alarm } from '../../sim/alarm.ts';
import { disk } from '../../sim/disk.ts';
import { eventQueue } from '../../sim/event-queue.ts';
import { CELLULAR, timeToBreak, wire } from '../../sim/link-profile.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { startTrace, type TraceEntry } from '../../sim/trace.ts';

/** A clock over a queue. */
function stage() {
  const queue = eventQueue();
  let clock = 0;
  return {
    queue,
    now: () => clock,
    run(until: number) {
      for (let next = queue.nextAt(); next !== null && next <= until; next = queue.nextAt()) {
        const { at, act } = queue.take();
        clock = at;
        act();
      }
      clock = until;
    },
  };
}

test('events come in the order of their times, and those of one time in the order in which they were put in', () => {
  const random = seededRandom(1);
  const queue = eventQueue();
  const expected: { at: number; name: number }[] = [];
  const happened: number[] = [];
  const put = (name: number): void => {
    const at = random.below(50);
    expected.push({ at, name });
    queue.push(at, () => happened.push(name));
  };
  for (let name = 0; name < 2000; name++) put(name);
  while (queue.nextAt() !== null) queue.take().act();
  assert.deepEqual(
    happened,
    expected.sort((a, b) => a.at - b.at || a.name - b.name).map(({ name }) => name),
  );
  assert.throws(() => queue.push(0.5, () => {}), RangeError);
  assert.throws(() => queue.take(), RangeError);
});

const ENTRY: TraceEntry = {
  at: 1,
  sender: 'phone',
  receiver: 'manager',
  type: 'Connect',
  size: 40,
  outcome: 'delivered',
  sentAt: 0,
  number: 0,
  about: [],
};
const hashOf = (entries: readonly TraceEntry[], head = 'head'): string => {
  const trace = startTrace(head, false);
  for (const entry of entries) trace.add(entry);
  return trace.hash();
};

test('traceHash is over time, sender, receiver, type, size, outcome and order, and over nothing else', () => {
  const plain = hashOf([ENTRY]);
  const changes: Partial<TraceEntry>[] = [
    { at: 2 },
    { sender: 'tv' },
    { receiver: 'tv' },
    { type: 'Ask' },
    { size: 41 },
    { outcome: 'lost' },
  ];
  for (const change of changes) assert.notEqual(hashOf([{ ...ENTRY, ...change }]), plain, JSON.stringify(change));
  assert.equal(hashOf([{ ...ENTRY, sentAt: 9, number: 9, about: ['aa'] }]), plain);
  const other = { ...ENTRY, at: 5 };
  assert.notEqual(hashOf([ENTRY, other]), hashOf([other, ENTRY]));
  assert.notEqual(hashOf([ENTRY], 'another head'), plain);
});

test('traceHash is what docs/simulator.md says, over several blocks; asking for it changes nothing', () => {
  const entries = Array.from({ length: 2500 }, (_, n) => ({ ...ENTRY, at: n, size: n % 7 }));
  const lines = entries.map(({ at, size }) => `${at}\tphone\tmanager\tConnect\t${size}\tdelivered\n`);
  let state = createHash('sha256').update('head\n').digest();
  for (let from = 0; from < lines.length; from += 1024) {
    state = createHash('sha256')
      .update(state)
      .update(lines.slice(from, from + 1024).join(''))
      .digest();
  }
  assert.equal(hashOf(entries), state.toString('hex'));
  const asked = startTrace('head', true);
  for (const entry of entries) {
    asked.add(entry);
    if (entry.at % 100 === 0) asked.hash();
  }
  assert.equal(asked.hash(), state.toString('hex'));
  assert.equal(asked.entries.length, 2500);
});

test('an alarm rings when the deadline has come for the machine, whatever the fraction of a millisecond', () => {
  const { queue, now, run } = stage();
  const random = seededRandom(2);
  const deadlines = noDeadlines();
  const rung: string[] = [];
  const bell = alarm(
    queue,
    now,
    () => deadlines,
    () => {
      const due = takeDue(deadlines, Millis(now() / 1000));
      assert.ok(due.length > 0, 'it does not ring for nothing');
      rung.push(...due);
    },
  );
  const wanted = Array.from({ length: 500 }, (_, n) => ({ key: `${n}`, at: random.fraction() * 1000 + 0.1 * n }));
  for (const { key, at } of wanted) {
    schedule(deadlines, key, Millis(at));
    bell.set();
  }
  run(2_000_000);
  const byTime = wanted.sort((a, b) => a.at - b.at).map(({ key }) => key);
  assert.deepEqual(rung, byTime);
  schedule(deadlines, 'late', Millis(2001));
  bell.set();
  bell.off();
  run(3_000_000);
  assert.equal(rung.length, 500, 'an alarm that is off does not ring');
});

test('an alarm that a machine sets again to the same moment rings again, and time goes on', () => {
  const { queue, now, run } = stage();
  const deadlines = noDeadlines();
  let rung = 0;
  const bell = alarm(
    queue,
    now,
    () => deadlines,
    () => {
      takeDue(deadlines, Millis(now() / 1000));
      if (++rung < 5) schedule(deadlines, 'again', Millis(10));
    },
  );
  schedule(deadlines, 'again', Millis(10));
  bell.set();
  run(10_003);
  assert.equal(rung, 4);
  run(11_000);
  assert.equal(rung, 5);
});

test('a wire takes what its profile says, and now and then a retransmission', () => {
  const profile = { ...CELLULAR, loss: 0.05 };
  const one = wire(profile, seededRandom(3));
  const times = Array.from({ length: 5000 }, () => one.packet());
  assert.ok(times.every((time) => Number.isInteger(time) && time >= 25_000));
  const late = times.filter((time) => time >= 200_000).length;
  assert.ok(late > 175 && late < 325, `${late} of 5000 were sent again`);
  assert.ok(Math.max(...times.filter((time) => time < 200_000)) <= 120_000);
  assert.equal(timeToBreak(profile, seededRandom(3)), null);
  const breaks = Array.from(
    { length: 2000 },
    (_, n) => timeToBreak({ ...profile, breaksEverySeconds: 100 }, seededRandom(n))!,
  );
  const mean = breaks.reduce((sum, one) => sum + one, 0) / breaks.length / 1e6;
  assert.ok(mean > 95 && mean < 105, `${mean} s`);
});

test('a disk keeps the order, tells afterwards, and a writer that died between the two is not told', () => {
  const { queue, now, run } = stage();
  const log: string[] = [];
  const one = disk(queue, now, seededRandom(4), [1, 10]);
  let alive = true;
  const write = (name: string): void =>
    one.write(
      () => log.push(`${name} durable`),
      (kept) => log.push(`${name} ${kept ? 'told' : 'refused'}`),
      () => alive,
    );
  for (const name of ['a', 'b', 'c']) write(name);
  run(100_000);
  assert.deepEqual(
    log.filter((line) => line.endsWith('durable')),
    ['a durable', 'b durable', 'c durable'],
  );
  assert.deepEqual([...log].sort(), ['a durable', 'a told', 'b durable', 'b told', 'c durable', 'c told']);

  log.length = 0;
  one.state = 'refusing';
  write('d');
  run(200_000);
  one.state = 'frozen';
  write('e');
  run(300_000);
  assert.deepEqual(log, ['d refused']);

  log.length = 0;
  one.state = 'good';
  write('f');
  while (log.length === 0) {
    queue.take().act();
  }
  alive = false;
  run(400_000);
  write('g');
  run(500_000);
  assert.deepEqual(log, ['f durable']);
});
