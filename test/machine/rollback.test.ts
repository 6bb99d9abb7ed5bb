/**
 * An older copy of the manager's data comes back: the devices notice, resume all the same, and nothing else looks like it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acknowledge, showRollback, tellHistory } from '../../manager/rollback.ts';
import { loadRollback, type Restored } from '../../manager/rollback-record.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import type { Change, Store } from '../../platform/store.ts';
import { concat } from '../../protocol/bytes.ts';
import { encodeFrame } from '../../protocol/frame.ts';
import { ResumeRequest } from '../../protocol/messages.ts';
import { answerResumption, MAX_GENERATION, nextSecret, requestResumption } from '../../protocol/resumption.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { town } from '../town.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import { D1, D2, dropped, E1, isIn, kindsSince, packetsOf, RECORD, toEvery } from './town-packets.ts';

const TABLES = ['devices', 'registrations', 'resumption', 'sessions', 'notices'];

type Copy = ReadonlyMap<string, readonly (readonly [string, Uint8Array])[]>;

const copyOf = (store: Store): Copy =>
  new Map(
    TABLES.map((table) => [table, [...store.entries(table)].map(([key, value]) => [key, value.slice()] as const)]),
  );

/** What an operator does, or somebody else: stop, put the copy there, start. */
function putBack(t: Town, copy: Copy, devices: readonly TownDevice[], restored: Restored | null = null): void {
  const changes: Change[] = TABLES.flatMap((table) => [
    ...[...t.store.entries(table)].map(([key]) => ({ table, key, value: null })),
    ...copy.get(table)!.map(([key, value]) => ({ table, key, value })),
  ]);
  t.store.commit(changes).catch(assert.ifError);
  // nobody comes before the manager has read all that is known of its store
  t.meddler = () => [];
  t.restartManager();
  t.meddler = () => 'pass';
  t.manager.rollback.notice = loadRollback(t.store);
  t.manager.rollback.history = { storedUntil: t.clock.wall(), restored };
  for (const device of devices) device.breakLink();
}

function resumes(t: Town, device: TownDevice, times: number): void {
  for (let i = 0; i < times; i++) {
    device.breakLink();
    t.advance(1_000);
    assert.equal(device.state.channel?.opening.opened, 'resume');
  }
}

const warnings = (t: Town): string[] => t.managerLogs.filter((line) => line.startsWith('warn store.rolled-back'));

test('[B5] [B7] a rolled-back store: each device resumes without public-key work, and the first one proves what happened', () => {
  const t = town();
  const [router, lamp] = [t.add('router-1'), t.add('lamp-001')];
  resumes(t, router, 1);
  const copy = copyOf(t.store);
  resumes(t, router, 3);
  resumes(t, lamp, 5);
  const [operations, from] = [router.operations() + lamp.operations(), t.packets.length];
  putBack(t, copy, [router, lamp]);
  t.advance(12_000);
  assert.ok(isIn(t, router) && isIn(t, lamp));
  assert.equal(router.operations() + lamp.operations(), operations);
  assert.ok(!kindsSince(t, from).includes(E1), 'no full login');
  assert.equal(warnings(t).length, 1, 'told once, whoever comes after');
  const shown = showRollback(t.manager)!;
  assert.equal(shown.what, 'rolled-back');
  assert.equal(shown.devicesAhead, 2);
  assert.ok(Number(shown.shown) - Number(shown.held) >= 2);
  assert.match(String(shown.remedy), /device list/);
  assert.deepEqual(loadRollback(t.store)?.device, shown.device, 'it is known after a restart too');
  resumes(t, router, 2);
  assert.equal(warnings(t).length, 1);
});

test('what was proven stays until it is acknowledged, and is told again after a restart until then', () => {
  const t = town();
  const router = t.add('router-1');
  const copy = copyOf(t.store);
  resumes(t, router, 2);
  putBack(t, copy, [router]);
  t.advance(12_000);
  const { device, noticedAt } = showRollback(t.manager)!;
  t.restartManager();
  t.manager.rollback.notice = loadRollback(t.store);
  t.manager.out = [];
  tellHistory(t.manager);
  assert.equal(
    t.manager.out.filter((effect) => effect.type === 'log' && effect.event === 'store.rolled-back').length,
    1,
  );
  assert.deepEqual([showRollback(t.manager)?.device, showRollback(t.manager)?.noticedAt], [device, noticedAt]);
  t.manager.out = [];
  acknowledge(t.manager);
  for (const effect of t.manager.out)
    if (effect.type === 'commit') t.store.commit(effect.changes).catch(assert.ifError);
  assert.equal(showRollback(t.manager), null);
  assert.equal(loadRollback(t.store), null);
});

test('after a restore by our own command the operator is told of the backup, not of an attack', () => {
  const t = town();
  const router = t.add('router-1');
  const copy = copyOf(t.store);
  resumes(t, router, 3);
  const now = t.clock.wall();
  putBack(t, copy, [router], { backupAt: EpochSeconds(now - 60), restoredAt: now });
  t.advance(12_000);
  assert.ok(isIn(t, router));
  assert.deepEqual(warnings(t), []);
  assert.equal(showRollback(t.manager)?.what, 'restored');
  assert.equal(showRollback(t.manager)?.devicesAhead, 1);
});

test('[B7] [B5] no false alarm: first records lost and the manager killed, again and again, never look like an older store', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  for (let round = 0; round < 12; round++) {
    // the answer arrives, the device moves on, and the manager dies before it knows or before its disk does
    if (round % 2 === 0) t.meddler = toEvery(RECORD, dropped);
    else t.diskFrozen = round % 4 === 1;
    router.breakLink();
    t.flush();
    t.restartManager();
    t.meddler = () => 'pass';
    t.diskFrozen = false;
    if (round % 3 === 2) t.advance(12_000);
  }
  t.advance(12_000);
  assert.ok(isIn(t, router));
  assert.equal(router.operations(), operations);
  assert.deepEqual(warnings(t), []);
  assert.equal(showRollback(t.manager), null);
});

test('[B7] the generation that a device is ahead is on disk before it is answered under', () => {
  const t = town();
  const router = t.add('router-1');
  t.meddler = toEvery(RECORD, dropped);
  router.breakLink();
  t.flush();
  t.meddler = () => 'pass';
  t.diskFrozen = true;
  const from = t.packets.length;
  const before = t.store.get('resumption', router.id);
  router.breakLink();
  t.advance(500);
  assert.ok(kindsSince(t, from).includes(D1) && !kindsSince(t, from).includes(D2), 'asked, and not answered');
  assert.deepEqual(t.store.get('resumption', router.id), before);
  t.diskFrozen = false;
  router.breakLink();
  t.advance(30_000);
  assert.ok(isIn(t, router) && router.state.channel?.opening.opened === 'resume');
});

// ── What strangers can do with it ───────────────────────────────────────────────────────────────────────────────────

test('[5.6 handshake floods] requests far ahead with a wrong MAC get a hint at most, and cost a bounded number of derivations', () => {
  let derivations = 0;
  const t = town({
    newCrypto: (party, counter) => {
      const crypto = nodeCrypto(counter);
      if (party !== 'manager') return crypto;
      const hkdfExpand: typeof crypto.hkdfExpand = (...given) => {
        derivations++;
        return crypto.hkdfExpand(...given);
      };
      return { ...crypto, hkdfExpand };
    },
  });
  const router = t.add('router-1');
  const [channel, sealed] = [router.state.channel, t.store.get('resumption', router.id)];
  derivations = 0;
  for (let i = 0; i < 500; i++) {
    const forged = {
      device: router.id,
      generation: 2 + (i % 62),
      nonce: router.crypto.random(16),
      instance: undefined,
      mac: router.crypto.random(16),
    };
    t.stranger().publish(encodeFrame('resume', router.crypto.random(8), ResumeRequest.encode(forged)));
  }
  t.flush();
  assert.ok(derivations > 100 && derivations < 20 * MAX_GENERATION + 2 * 500, `${derivations} derivations`);
  assert.equal(packetsOf(t, D2).length, 0);
  assert.deepEqual(t.store.get('resumption', router.id), sealed);
  assert.equal(showRollback(t.manager), null);
  assert.equal(router.state.channel, channel);
  // the honest device is answered meanwhile, and far ahead again when the flood is over
  resumes(t, router, 1);
});

test('[5.6 replay of every message] an old request, heard before, proves no older store and moves nothing', () => {
  const t = town();
  const router = t.add('router-1');
  resumes(t, router, 4);
  const heard = packetsOf(t, D1).map(({ payload }) => payload);
  const sealed = t.store.get('resumption', router.id);
  for (const payload of heard) t.stranger().publish(payload);
  t.flush();
  assert.deepEqual(t.store.get('resumption', router.id), sealed);
  assert.equal(showRollback(t.manager), null);
});

// ── The chain ───────────────────────────────────────────────────────────────────────────────────────────────────────

const crypto = nodeCrypto();
const first = {
  generation: 0,
  secret: new Uint8Array(32).fill(9),
  device: 'router-1' as TownDevice['id'],
  manager: 'home-manager',
  suite: 0,
  authenticateOnly: false,
  until: EpochSeconds(2_000_000_000),
};
const instance = new Uint8Array(8).fill(1);

test('a request is answered as far ahead as the caller allows, to the end of the chain, and never backwards', () => {
  let at: ReturnType<typeof nextSecret> = first;
  for (let generation = 0; generation < MAX_GENERATION; generation++) {
    assert.ok(at !== null);
    const { request } = requestResumption(crypto, at, 'device', instance);
    const near = answerResumption(crypto, first, 'device', request, instance);
    const far = answerResumption(crypto, first, 'device', request, instance, MAX_GENERATION);
    assert.equal(near !== null, generation <= 1, `generation ${generation}`);
    assert.deepEqual(far?.resumed.used.secret, at.secret, `generation ${generation}`);
    if (generation > 0)
      assert.equal(answerResumption(crypto, at, 'device', oldRequest(), instance, MAX_GENERATION), null);
    at = nextSecret(crypto, at);
  }
  assert.equal(at, null);
  assert.deepEqual(first.secret, new Uint8Array(32).fill(9), 'what is held is not wiped');
});

const oldRequest = (): Uint8Array => requestResumption(crypto, first, 'device', instance).request;

test('one bit in a far request, or the secret of another device, and it is under no generation', () => {
  const far = nextSecret(crypto, nextSecret(crypto, nextSecret(crypto, first)!)!)!;
  const { request } = requestResumption(crypto, far, 'device', instance);
  for (let at = 0; at < request.length; at++) {
    const bent = concat(request);
    bent[at]! ^= 1;
    try {
      assert.equal(answerResumption(crypto, first, 'device', bent, instance, MAX_GENERATION), null, `byte ${at}`);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'malformed', `byte ${at}: ${String(error)}`);
    }
  }
  const other = { ...first, device: 'lamp-001' as TownDevice['id'] };
  assert.equal(answerResumption(crypto, other, 'device', request, instance, MAX_GENERATION), null);
  assert.equal(answerResumption(crypto, first, 'manager', request, instance, MAX_GENERATION), null);
});
