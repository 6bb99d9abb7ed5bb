/**
 * Two machines with one certificate: copied cards in every order, restarts beside them. [B7]
 * @spec docs/decisions/0027-copied-cards.md
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DuplicatePolicy } from '../../manager/sightings.ts';
import { release } from '../../manager/twins.ts';
import { assertTalks, type Couple, connect, couple, heard, say } from '../couple.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import { isIn } from './town-packets.ts';

const pair = (duplicates: DuplicatePolicy, outside = false): Couple =>
  couple({ town: { settings: { duplicates }, outside } });

/** A second machine with the key, the certificate and the disk of the first. */
const copyOf = (t: Town, device: TownDevice): TownDevice =>
  t.add(device.id, { holder: device.holder, memory: device.memory?.slice() ?? null });

const alarms = (t: Town): number => t.managerLogs.filter((line) => line.startsWith('error device.duplicate ')).length;
const probes = (t: Town): number => t.managerLogs.filter((line) => line.includes(' probe.sent ')).length;

for (const outside of [false, true]) {
  const where = outside ? 'outside broker' : 'own broker';

  test(`refuse (${where}): the copy is kept out and says why; the machine that is there goes on as if nothing were`, () => {
    const both = pair('refuse', outside);
    const { town: t, caller } = both;
    const sid = connect(both);
    const { channel } = caller.state;
    const copy = copyOf(t, caller);
    t.advance(9000);
    assert.equal(alarms(t), 1);
    assert.equal(copy.state.channel, null);
    assert.equal(copy.state.denied, 'duplicate');
    assert.ok(copy.logs.some((line) => line.startsWith('error device.duplicate ') && line.includes('agent enrol')));
    assert.equal(caller.state.channel?.channel, channel?.channel, 'the same channel as before');
    assertTalks(both, sid);
  });

  test(`replace (${where}): the copy is in; the machine of before hears it and stays away for ten minutes`, () => {
    const both = pair('replace', outside);
    const { town: t, caller } = both;
    connect(both);
    const copy = copyOf(t, caller);
    t.advance(9000);
    assert.equal(alarms(t), 1);
    assert.ok(isIn(t, copy));
    assert.equal(caller.state.denied, 'duplicate');
    assert.equal(caller.state.sessions.size, 0);
    t.advance(580_000);
    assert.ok(isIn(t, copy) && caller.state.channel === null, 'it keeps away');
    t.advance(30_000);
    assert.equal(alarms(t), 2, 'and when it comes again, so does the alarm');
  });

  test(`quarantine (${where}): both are out, after a restart of the manager too, until the operator releases the device`, () => {
    const both = pair('quarantine', outside);
    const { town: t, caller, callee } = both;
    connect(both);
    const copy = copyOf(t, caller);
    t.advance(9000);
    assert.equal(alarms(t), 1);
    const areOut = () => [caller, copy].every(({ state }) => state.channel === null && state.denied === 'duplicate');
    assert.ok(areOut());
    assert.equal(callee.state.sessions.size, 0, 'its sessions are ended at the peers');
    assert.equal(callee.latest('sessionClosed')?.reason, 'duplicate');
    t.restartManager();
    t.advance(700_000);
    assert.ok(areOut());
    copy.stop();
    t.runManager((state) => release(state, caller.id, () => {}));
    t.advance(700_000);
    assert.ok(isIn(t, caller));
  });
}

test('replace: whoever had to make room and did not hear why comes again at once, and hears it then', () => {
  const both = pair('replace');
  const { town: t, caller } = both;
  t.meddler = ({ topic, payload }) => (topic.endsWith(`/d/${caller.id}`) && payload.length === 15 ? [] : 'pass'); // the Close
  const copy = copyOf(t, caller);
  t.advance(60_000);
  assert.ok(isIn(t, copy));
  assert.equal(caller.state.denied, 'duplicate');
  assert.ok(!caller.logs.some((line) => line.includes('"awaySeconds":600')), 'the Close was lost');
  assert.equal(alarms(t), 1);
});

test('the copy comes while the first is off: that one is the later when it is back, and both are told of', () => {
  const both = pair('refuse');
  const { town: t, caller } = both;
  caller.stop();
  t.flush();
  const copy = copyOf(t, caller);
  t.advance(1000);
  assert.ok(isIn(t, copy), 'nobody can know yet');
  caller.restart();
  t.advance(9000);
  assert.equal(alarms(t), 1);
  assert.ok(isIn(t, copy) && caller.state.denied === 'duplicate');
});

test('both come at the same moment, by resumption: one gets in, the other does not, and it is told', () => {
  const both = pair('refuse');
  const { town: t, caller } = both;
  caller.stop();
  t.flush();
  const copy = t.add(caller.id, { holder: caller.holder, memory: caller.memory?.slice() ?? null, start: false });
  caller.restart();
  t.advance(9000);
  assert.equal([caller, copy].filter((one) => isIn(t, one) && one.state.channel !== null).length, 1);
  assert.equal(alarms(t), 1);
});

test('both come at the same moment, by full logins: one gets in, the other does not, and it is told', () => {
  const both = pair('refuse');
  const { town: t, caller } = both;
  caller.stop();
  caller.memory = null;
  t.flush();
  const copy = t.add(caller.id, { holder: caller.holder, start: false });
  caller.restart();
  t.advance(9000);
  assert.equal([caller, copy].filter(({ state }) => state.channel !== null).length, 1);
  assert.equal(alarms(t), 1);
});

test('a copy of long ago, whose secret is of an older generation', () => {
  const both = pair('refuse');
  const { town: t, caller } = both;
  const old = caller.memory?.slice() ?? null;
  for (let turn = 0; turn < 5; turn++) {
    caller.restart();
    t.flush();
  }
  const copy = t.add(caller.id, { holder: caller.holder, memory: old });
  t.advance(9000);
  assert.equal(alarms(t), 1);
  assert.ok(isIn(t, caller) && copy.state.denied === 'duplicate');
});

test('a machine that starts again costs no question and no time; its link was told to have ended', () => {
  const { town: t, caller } = pair('refuse');
  for (let turn = 0; turn < 3; turn++) {
    caller.restart();
    t.flush(); // no time passes
    assert.ok(isIn(t, caller));
  }
  assert.deepEqual([alarms(t), probes(t)], [0, 0]);
});

test('after a power cut nobody answers for the old link: two seconds, and the machine is in', () => {
  const { town: t, caller } = pair('refuse');
  caller.cutPower();
  caller.restart();
  t.advance(1900);
  assert.equal(caller.state.channel, null);
  t.advance(200);
  assert.ok(isIn(t, caller));
  assert.deepEqual([alarms(t), probes(t)], [0, 1]);
});

test('a link that breaks is the same process on another one: nobody is asked', () => {
  const both = pair('refuse');
  const sid = connect(both);
  both.caller.breakLink();
  both.town.flush();
  assertTalks(both, sid);
  assert.deepEqual([alarms(both.town), probes(both.town)], [0, 0]);
});

test('a copy that comes again and again: the one that is there is asked once in ten seconds, the operator told once a minute', () => {
  const both = pair('refuse');
  const { town: t, caller, callee } = both;
  const sid = connect(both);
  const copy = copyOf(t, caller);
  for (let turn = 0; turn < 40; turn++) {
    copy.restart();
    t.advance(500);
    say(callee, sid, `word ${turn}`);
  }
  t.flush();
  assert.equal(heard(caller).length, 40);
  assert.ok(probes(t) <= 3, `${probes(t)} questions in 20 s`);
  assert.equal(alarms(t), 1);
});

test('a stranger with a certificate of his own making brings nobody a question', () => {
  const both = pair('refuse');
  const { town: t, caller } = both;
  t.add('somebody');
  assert.equal(probes(t), 0);
  assert.ok(isIn(t, caller));
});
