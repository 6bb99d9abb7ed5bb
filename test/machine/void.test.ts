/**
 * Reset and transfer: whatever the last owner of a device holds opens nothing any more, and a manager that is killed on the
 * way has done all of it or nothing. [B6] [B7]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeMemory, encodeMemory } from '../../device-agent/memory.ts';
import { newInvitation } from '../../manager/invitations.ts';
import { TABLES } from '../../manager/registry.ts';
import type { EnrolmentSettings } from '../../manager/state.ts';
import { voidDevice } from '../../manager/voiding.ts';
import { readInvitation } from '../../protocol/invitation.ts';
import { type Couple, connect, couple, ending, say } from '../couple.ts';
import { certify, DEVICE_WISHES } from '../test-authority.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import { isIn } from './town-packets.ts';

/** @returns what the operator was told: null when it is on disk */
function reset(t: Town, device: TownDevice): { told: string | null | undefined } {
  const answer: { told: string | null | undefined } = { told: undefined };
  t.runManager((state) => {
    const done = (failure: string | null): void => {
      answer.told = failure;
    };
    assert.ok(voidDevice(state, device.id, null, done, t.world()));
  });
  return answer;
}

const rowsOf = (t: Town, device: TownDevice): string[] =>
  Object.values(TABLES)
    .filter((table) => table !== TABLES.void && t.store.get(table, device.id) !== null)
    .concat([...t.store.entries(TABLES.sessions)].length > 0 ? ['sessions'] : []);

test('a device that is reset: sessions ended at the peers, both ways; nothing of it is kept; it forgets its owner', () => {
  const both = couple();
  const { town: t, caller, callee } = both;
  connect(both);
  const called = callee.call(caller.id);
  t.flush();
  assert.ok(called.length > 0 && callee.state.sessions.size === 2);
  const before = decodeMemory(caller.memory!);
  const answer = reset(t, caller);
  t.flush();
  assert.equal(answer.told, null);
  assert.deepEqual(rowsOf(t, caller), []);
  assert.equal(callee.state.sessions.size, 0);
  assert.equal(ending(callee), 'withdrawn by manager');
  assert.equal(caller.state.sessions.size, 0);
  const after = decodeMemory(caller.memory!);
  assert.equal(after.secret, null);
  assert.notDeepEqual(after.consentKey, before.consentKey);
  assert.equal(caller.state.denied, 'void');
  assert.ok(caller.logs.some((line) => line.startsWith('error device.void ') && line.includes('agent enrol')));
});

test('with every file that the last owner had: no resumption, no login, no session; the manager restarted or not', () => {
  const both = couple();
  const { town: t, caller, callee } = both;
  connect(both);
  const files = caller.memory!.slice();
  reset(t, caller);
  t.flush();
  for (const restarted of [false, true]) {
    if (restarted) t.restartManager();
    for (const memory of [files, encodeMemory({ ...decodeMemory(files), secret: null })]) {
      caller.stop();
      t.flush();
      const old = t.add(caller.id, { holder: caller.holder, memory });
      t.advance(130_000);
      assert.equal(old.state.channel, null);
      assert.equal(old.state.denied, 'void');
      const call = callee.call(caller.id);
      t.advance(60_000);
      assert.equal(callee.news.findLast((one) => one.news === 'callFailed' && one.call === call)?.news, 'callFailed');
      assert.equal(decodeMemory(old.memory!).secret, null, 'it has forgotten what it had');
      old.stop();
    }
  }
  assert.deepEqual(rowsOf(t, caller), []);
});

test('the key is void, not the certificate: another certificate over it is refused too, whatever its name', () => {
  const { town: t, caller } = couple();
  reset(t, caller);
  t.flush();
  caller.stop();
  const { key } = caller.holder;
  const same = t.add(caller.id, { holder: certify(caller.id, { ...DEVICE_WISHES, key }, t.ca) });
  const other = t.add('somebody', { holder: certify('somebody', { ...DEVICE_WISHES, key }, t.ca) });
  t.advance(5000);
  assert.deepEqual([same.state.denied, other.state.denied], ['void', 'void']);
});

test('the name is free: a new machine has it at once, and gets nothing of the old one', () => {
  const both = couple();
  const { town: t, caller, callee } = both;
  connect(both);
  reset(t, caller);
  t.flush();
  caller.stop();
  const next = t.add(caller.id);
  assert.ok(isIn(t, next));
  assert.equal(next.state.sessions.size, 0);
  const fresh: Couple = { town: t, caller: next, callee };
  connect(fresh);
});

test('a device that is off at the time hears it when it comes', () => {
  const { town: t, caller } = couple();
  caller.stop();
  t.flush();
  reset(t, caller);
  t.flush();
  caller.restart();
  t.advance(1000);
  assert.equal(caller.state.denied, 'void');
  assert.equal(decodeMemory(caller.memory!).secret, null);
});

test('a manager that dies before the commit is on disk has done nothing, and told nobody', () => {
  const both = couple();
  const { town: t, caller, callee } = both;
  const sid = connect(both);
  t.diskFrozen = true;
  const answer = reset(t, caller);
  t.flush();
  assert.equal(answer.told, undefined);
  assert.equal(callee.state.sessions.size, 1, 'the peer has heard nothing');
  assert.ok(decodeMemory(caller.memory!).secret !== null, 'nor has the device');
  t.restartManager();
  t.advance(20_000);
  assert.ok(isIn(t, caller));
  assert.equal(say(caller, sid, 'as before'), null);
});

test('a manager that dies right after it has done everything', () => {
  const both = couple();
  const { town: t, caller, callee } = both;
  connect(both);
  reset(t, caller); // on disk, and nobody has been told yet
  t.restartManager();
  t.advance(60_000);
  assert.equal(caller.state.denied, 'void');
  assert.equal(callee.state.sessions.size, 0);
  assert.deepEqual(rowsOf(t, caller), []);
});

test('a disk that refuses: the operator hears it, the device is out all the same, and it is written when that is possible', () => {
  const both = couple();
  const { town: t, caller, callee } = both;
  connect(both);
  t.diskBroken = true;
  const answer = reset(t, caller);
  t.advance(8000);
  assert.match(String(answer.told), /full/);
  assert.equal(callee.state.sessions.size, 0);
  caller.restart();
  t.advance(30_000);
  assert.equal(caller.state.denied, 'void');
  assert.equal(t.manager.devices.has(caller.id), false);
  t.diskBroken = false;
  t.advance(10_000);
  assert.deepEqual(rowsOf(t, caller), []);
  t.restartManager();
  t.advance(70_000);
  assert.equal(caller.state.channel, null);
});

test('a login that is being stored when its device is reset does not bring it back', () => {
  const { town: t, caller } = couple();
  caller.memory = null;
  let pending = true;
  t.meddler = ({ from, payload }) => {
    if (from === caller.id && payload[0] === 0xe3 && pending) {
      pending = false;
      queueMicrotask(() => {}); // nothing: the reset comes in the very step after message_3
    }
    return 'pass';
  };
  caller.restart();
  t.flush();
  reset(t, caller);
  t.advance(130_000);
  assert.equal(caller.state.channel, null);
  assert.deepEqual(rowsOf(t, caller), []);
});

const enrolment = (t: Pick<Town, 'root'>): EnrolmentSettings => ({
  anchors: [t.root.certificate.der],
  verifiers: [],
  brokerUrl: 'mqtts://broker.example:8883',
  approval: 'automatic',
  renewExpiredDays: 0,
});

test('a transfer is a reset and an invitation in one commit: both or neither', () => {
  for (const dies of [true, false]) {
    const { town: t, caller } = couple();
    Object.assign(t.manager.settings, { enrolment: enrolment(t) });
    t.diskFrozen = dies;
    t.runManager((state) => {
      const wish = { name: caller.id, class: 'appliance', groups: ['home'], uses: 1, ttlSeconds: 3600 };
      const made = newInvitation(state, wish, t.world(), true);
      assert.ok('written' in made);
      assert.equal(readInvitation(t.managerCrypto, made.written)?.name, caller.id);
      voidDevice(state, caller.id, made, () => {}, t.world());
    });
    t.flush();
    t.restartManager();
    t.advance(20_000);
    assert.equal(t.manager.enrolment.invitations.size, dies ? 0 : 1);
    assert.equal(t.manager.devices.has(caller.id), dies);
    assert.equal(caller.state.denied, dies ? null : 'void');
  }
});
