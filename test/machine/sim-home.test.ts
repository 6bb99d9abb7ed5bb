/**
 * The scenario `home`, its report and its diagrams.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEVICE_CLASSES } from '../../sim/device-classes.ts';
import { percentiles } from '../../sim/figures.ts';
import { type HomeRun, runHome } from '../../sim/home.ts';
import { homeReport } from '../../sim/home-report.ts';
import { households } from '../../sim/household.ts';
import { findCall } from '../../sim/scenarios.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { messagesOf } from '../../sim/sequence-diagram.ts';

const run = (seed: number, devices = 12, crypto: 'real' | 'model' = 'model'): HomeRun =>
  runHome({ devices, seed, crypto, keepTrace: true });

test('[P22] [B3] a home of every class: all log in, register, call each other and talk; [B5] sessions cost no public-key operation', () => {
  const home = run(1, 24);
  const report = homeReport(home, 0);
  assert.deepEqual(report.classes, { router: 2, phone: 8, refrigerator: 4, pc: 4, television: 4, pda: 2 });
  assert.equal(report.registered, 24);
  assert.deepEqual(report.connects, { asked: 24, opened: 24, failed: {} });
  assert.ok(report.data.sent > 100 && report.data.received >= report.data.sent - 5);
  assert.ok(report.ended.throughManager > 0 && report.ended.toPeer > 0);
  // generate, agree, sign, and verify the manager's leaf, its CA and its signature
  assert.deepEqual(report.publicKeyOperations, { logins: 24 * 6, sessions: 0, perSession: 0, elsewhere: 0 });
  assert.equal(home.sessions.length, 48, 'both sides of each');
  for (const { count, p50, p90, p99, max } of Object.values(report.phases)) {
    assert.ok(count > 0 && p50! > 0 && p50! <= p90! && p90! <= p99! && p99! <= max!);
  }
});

test('the same seed gives the same home; real and model cryptography the same messages at the same times', () => {
  for (const seed of [1, 2]) {
    const [model, real] = [run(seed), run(seed, 12, 'real')];
    assert.ok(model.world.trace.count() > 250);
    assert.deepEqual(real.world.trace.entries, model.world.trace.entries);
    assert.notEqual(real.world.trace.hash(), model.world.trace.hash(), 'the trace names the cryptography');
    assert.equal(run(seed).world.trace.hash(), model.world.trace.hash());
  }
  const [real, again] = [run(3, 12, 'real'), run(3, 12, 'real')];
  assert.equal(real.world.trace.hash(), again.world.trace.hash());
  assert.notEqual(real.world.trace.hash(), run(4, 12, 'real').world.trace.hash());
});

test('what is kept of the trace changes nothing', () => {
  const kept = run(4);
  const hashed = runHome({ devices: 12, seed: 4, crypto: 'model', keepTrace: false });
  assert.equal(hashed.world.trace.entries.length, 0);
  assert.equal(hashed.world.trace.count(), kept.world.trace.entries.length);
  assert.equal(hashed.world.trace.hash(), kept.world.trace.hash());
});

test('a connect as a diagram is its eight messages, in order', () => {
  const home = run(1);
  const call = home.calls.find(({ callee }) => !callee.startsWith('refrigerator'))!;
  const { caller, callee } = call;
  const said = messagesOf(home.world.trace.entries, call).map(
    ({ sender, receiver, type }) => `${sender} → ${receiver}: ${type.replace(/\+Up$/, '')}`,
  );
  assert.deepEqual(said, [
    `${caller} → manager: Connect`,
    `manager → ${callee}: Ask`,
    `${callee} → manager: Answer`,
    'manager → broker: Allow',
    `manager → ${callee}: Grant`,
    `manager → ${caller}: Grant`,
    `${caller} → ${callee}: Hello`,
    `${callee} → ${caller}: Hello`,
  ]);
  const drawn = findCall(home, `${call.number}`)!;
  assert.equal(drawn.text, findCall(home, `${caller}:${callee}`)!.text);
  const [title, , head, ...rows] = drawn.text.split('\n');
  assert.equal(
    title,
    `call ${call.number}: ${caller} → ${callee}, session ${call.sid} open after ${(call.openedAt! - call.at).toFixed(3)} ms; times in ms, sizes in bytes`,
  );
  assert.deepEqual(head!.trim().split(/\s+/), ['sent', 'arrived', caller, 'manager', callee, 'broker']);
  assert.equal(rows.length, 8);
  assert.equal(rows.filter((row) => /[▶◀]/.test(row)).length, 8);
  assert.match(rows[0]!, /^\s+0\.000\s+[\d.]+\s+│─+ Connect(\+Up)? \d+ ─+▶│\s+│\s+│$/);
  assert.match(rows[7]!, /│◀─+ Hello \d+ ─+│\s+│$/);
});

test('[P13] a diagram shows the channel that the manager opens for a call, and what did not arrive', () => {
  const home = run(1);
  const closed = home.calls.find(
    ({ caller, callee }) => caller.startsWith('phone') && callee.startsWith('refrigerator'),
  )!;
  const types = messagesOf(home.world.trace.entries, closed).map(({ type }) => type.replace(/\+.*$/, ''));
  assert.deepEqual(types.slice(0, 5), ['Connect', 'resume', 'resumed', 'Permit', 'Ask']);

  const entries = messagesOf(home.world.trace.entries, closed);
  const lost = entries.map((entry, index) => (index === 4 ? { ...entry, outcome: 'swallowed' } : entry));
  const row = findCall(
    { ...home, world: { ...home.world, trace: { ...home.world.trace, entries: lost } } },
    `${closed.number}`,
  )!
    .text.split('\n')
    .find((line) => line.includes('Ask'))!;
  assert.match(row, /✕.*swallowed$/);
  assert.equal(findCall(home, '999'), null);
  assert.equal(findCall(home, 'phone-1:phone-1'), null);
});

test('households of any number: everybody calls somebody else, of the same house if anybody lives there', () => {
  for (const count of [2, 3, 12, 13, 25, 100]) {
    const { residents } = households(count, seededRandom(count));
    const names = residents.map(({ name }) => name);
    assert.equal(new Set(names).size, count);
    for (const [index, { name, calls }] of residents.entries()) {
      const other = names.indexOf(calls);
      assert.ok(other >= 0 && calls !== name, `${name} calls ${calls}`);
      const alone = index % 12 === 0 && index === count - 1;
      assert.equal(Math.floor(other / 12) === Math.floor(index / 12), !alone, `${name} calls ${calls}`);
    }
  }
  assert.throws(() => households(1, seededRandom(1)), RangeError);
  assert.deepEqual(
    households(12, seededRandom(1))
      .residents.map(({ className }) => className)
      .sort(),
    [...households(12, seededRandom(2)).residents.map(({ className }) => className)].sort(),
  );
  assert.equal(Object.keys(DEVICE_CLASSES).length, 6);
});

test('percentiles are those of the nearest rank', () => {
  const hundred = Array.from({ length: 100 }, (_, n) => 100 - n);
  assert.deepEqual(percentiles(hundred), { count: 100, p50: 50, p90: 90, p99: 99, max: 100 });
  assert.deepEqual(percentiles([3]), { count: 1, p50: 3, p90: 3, p99: 3, max: 3 });
  assert.deepEqual(percentiles([]), { count: 0, p50: null, p90: null, p99: null, max: null });
});
