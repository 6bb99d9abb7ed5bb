/**
 * Resumption between real machines: who is restarted, what is lost, what is replayed; never a public-key operation.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import { concat } from '../../protocol/bytes.ts';
import { HINT_FRAME } from '../../protocol/frame.ts';
import type { Topic } from '../../protocol/units.ts';
import { town } from '../town.ts';
import type { Meddler, Packet, Town, TownDevice } from '../town-plan.ts';
import {
  D0,
  D1,
  D2,
  doubled,
  dropped,
  E1,
  flipped,
  isIn,
  kindOf,
  kindsSince,
  packetsOf,
  RECORD,
  toEvery,
  toNth,
} from './town-packets.ts';

const openings = (device: TownDevice): number => device.news.filter(({ news }) => news === 'channelOpened').length;

/** What the device says reaches the manager, and the answer comes back. */
function talks(t: Town, device: TownDevice): boolean {
  const before = device.news.length;
  device.run((state) => register(state, state.registration.wanted, device.world()));
  t.flush();
  return device.news.slice(before).some(({ news }) => news === 'registered');
}

const INTERRUPTIONS: readonly (readonly [what: string, interrupt: (t: Town, device: TownDevice) => void])[] = [
  ['its link broke', (_t, device) => device.breakLink()],
  ['it was restarted', (_t, device) => device.restart()],
  ['the manager was restarted', (t) => t.restartManager()],
  ['the broker was restarted', (t) => t.restartBroker()],
  [
    'all three were restarted at once',
    (t, device) => {
      t.restartBroker();
      t.restartManager();
      device.restart();
    },
  ],
];

for (const [what, interrupt] of INTERRUPTIONS) {
  test(`[B5] [B7] a device comes back without a public-key operation after ${what}`, () => {
    const t = town();
    const router = t.add('router-1');
    const operations = router.operations();
    const managers = t.managerCrypto.counter.agree;
    for (let round = 1; round <= 3; round++) {
      const from = t.packets.length;
      interrupt(t, router);
      t.advance(12_000);
      assert.ok(isIn(t, router) && router.state.channel?.opening.opened === 'resume', `round ${round}`);
      assert.ok(!kindsSince(t, from).includes(E1));
      assert.ok(talks(t, router));
    }
    assert.equal(router.operations(), operations);
    assert.equal(t.managerCrypto.counter.agree, managers);
    assert.ok(t.manager.registrations.has(router.id), 'its registration is there');
    assert.equal(router.state.channel?.opening.cost.publicKeyOps, 0);
  });
}

const STEPS: readonly (readonly [number, string])[] = [
  [D1, 'D1'],
  [D2, 'D2'],
  [RECORD, 'the first record'],
];

/** A device whose link breaks while something is amiss, beside one that is not concerned. */
function disturbed(what: string, meddler: Meddler, mayCost = false): void {
  const t = town();
  const inside = t.add('inside');
  const router = t.add('router-1');
  const untouched = t.manager.channels.get(inside.id)?.channel;
  const operations = router.operations();
  t.meddler = meddler;
  router.breakLink();
  t.advance(1_000);
  t.meddler = () => 'pass';
  let back = false;
  for (let seconds = 0; seconds < 120 && !back; seconds += 5) {
    t.advance(5_000);
    back = router.state.channel !== null && talks(t, router) && isIn(t, router);
  }
  assert.ok(back, `${what}: not back after two minutes`);
  if (!mayCost) assert.equal(router.operations(), operations, `${what}: public-key operations`);
  assert.equal(t.manager.channels.get(inside.id)?.channel, untouched, `${what}: the other channel`);
}

for (const [kind, name] of STEPS) {
  test(`[B5] [B7] [5.6 lost, doubled, reordered messages at every step] ${name} lost once, twice or doubled: back without public-key work`, () => {
    disturbed('lost', toNth(kind, 1, dropped));
    disturbed('lost for a second', toEvery(kind, dropped));
    disturbed('doubled', toEvery(kind, doubled));
  });

  test(`[5.6 lost, doubled, reordered messages at every step] ${name} cut, lengthened, flipped or of another type: back within two minutes`, () => {
    for (const cut of [0, 1, 8, 9, 10, 20, 40]) {
      disturbed(
        `cut to ${cut}`,
        toNth(kind, 1, ({ payload }) => [payload.subarray(0, cut)]),
        true,
      );
    }
    disturbed(
      'longer',
      toNth(kind, 1, ({ payload }) => [concat(payload, Uint8Array.of(0))]),
      true,
    );
    disturbed(
      'oversized',
      toNth(kind, 1, ({ payload }) => [concat(payload, new Uint8Array(9_000))]),
      true,
    );
    for (const type of [0xe0, 0xe1, 0xe3, 0xd0, 0xd1, 0xd2, 0xff, 0x01]) {
      const other = ({ payload }: Packet) => [concat(Uint8Array.of(type), payload.subarray(1))];
      disturbed(`as ${type.toString(16)}`, toNth(kind, 1, other), true);
    }
    for (const at of [0, 1, 8, 9, 10, 12, 20, 30, 45, 60, 70]) {
      const bend = ({ payload }: Packet) => [flipped(payload, Math.min(at, payload.length - 1), at % 8)];
      disturbed(`byte ${at}`, toNth(kind, 1, bend), true);
    }
  });
}

test('[B7] reordered: a D2 that comes after the next D1, and an old first record, change nothing', () => {
  const held: Packet[] = [];
  const t = town();
  const router = t.add('router-1');
  t.meddler = (packet) => {
    if (kindOf(packet) !== D2 || held.length > 0) return 'pass';
    held.push(packet);
    return [];
  };
  router.breakLink();
  t.advance(25_000);
  assert.ok(isIn(t, router));
  const channel = router.state.channel;
  for (const { topic, payload } of held) t.inject(topic, payload);
  t.advance(1_000);
  assert.equal(router.state.channel, channel);
  const operations = router.operations();
  for (const { topic, payload } of packetsOf(t, RECORD)) t.inject(topic, payload);
  t.advance(1_000);
  assert.equal(router.operations(), operations, 'a record of a channel before leads to a hint, that to a resumption');
  assert.ok(talks(t, router));
});

// ── Replay (5.6) ────────────────────────────────────────────────────────────────────────────────────────────────────

test('[5.6 replay of every message] [5.6 link takeover] an old D1 and the current one, on a link of somebody else, take over nothing', () => {
  const t = town();
  const router = t.add('router-1');
  router.breakLink();
  t.flush();
  const [old] = packetsOf(t, D1);
  router.breakLink();
  t.flush();
  const current = packetsOf(t, D1).at(-1)!;
  const [channel, link] = [router.state.channel, t.manager.links.get(router.id)];
  for (const { payload } of [old!, current]) {
    const stranger = t.stranger();
    stranger.publish(payload);
    for (const record of packetsOf(t, RECORD)) stranger.publish(record.payload);
    t.advance(12_000);
    assert.deepEqual(
      stranger.received.map((packet) => kindOf(packet)).filter((kind) => kind !== D0),
      [],
    );
  }
  assert.equal(router.state.channel, channel);
  assert.equal(t.manager.links.get(router.id), link);
  assert.ok(isIn(t, router) && talks(t, router));
});

test('[5.6 replay of every message] the current D1, heard before its owner has finished: the thief gets a D2 and cannot use it', () => {
  const t = town();
  const router = t.add('router-1');
  const stranger = t.stranger();
  t.meddler = (packet) => {
    if (kindOf(packet) === D1 && packet.from === 'router-1') stranger.publish(packet.payload);
    return 'pass';
  };
  const operations = router.operations();
  router.breakLink();
  t.advance(15_000);
  assert.ok(isIn(t, router) && talks(t, router));
  assert.equal(router.operations(), operations);
  assert.equal(t.manager.channels.size, 1);
});

test('a D1 of one device under the secret of another, or with another generation, is answered by a hint alone', () => {
  const t = town();
  const router = t.add('router-1');
  t.add('lamp-001');
  router.breakLink();
  t.flush();
  const [d1] = packetsOf(t, D1);
  const text = Buffer.from(d1!.payload);
  const forged = Buffer.from(text);
  forged.write('lamp-001', text.indexOf('router-1'));
  for (const payload of [forged, flipped(d1!.payload, text.indexOf('router-1') + 9, 0)]) {
    const stranger = t.stranger();
    stranger.publish(payload);
    t.flush();
    assert.ok(stranger.received.every((packet) => kindOf(packet) === D0));
  }
});

// ── Killed between the two stores (B7) ──────────────────────────────────────────────────────────────────────────────

test('[B7] [B5] the device is killed before its next secret is on disk, and after: it comes back either way', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  router.breakLink();
  router.diskFrozen = true;
  t.flush();
  assert.equal(router.state.joining?.step.name, 'savingResumed');
  router.restart();
  t.flush();
  assert.ok(isIn(t, router) && talks(t, router));
  t.meddler = toEvery(RECORD, dropped);
  router.breakLink();
  t.flush();
  assert.ok(router.state.channel !== null, 'its secret is stored, its first record lost');
  router.restart();
  t.meddler = () => 'pass';
  t.advance(1_000);
  assert.ok(isIn(t, router) && talks(t, router));
  assert.equal(router.operations(), operations);
});

test('[B7] [B5] the manager is killed before the next secret is on its disk, and right after: the device comes back either way', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  for (const frozen of [true, false, true]) {
    t.diskFrozen = frozen;
    router.breakLink();
    t.flush();
    t.restartManager();
    t.advance(12_000);
    assert.ok(isIn(t, router) && talks(t, router), `frozen: ${frozen}`);
  }
  assert.equal(router.operations(), operations);
});

// ── The end of the chain ────────────────────────────────────────────────────────────────────────────────────────────

test('after 64 resumptions, and not before, a full login is due', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  for (let i = 1; i <= 64; i++) {
    router.breakLink();
    t.flush();
    assert.equal(router.state.channel?.opening.opened, 'resume', `resumption ${i}`);
  }
  assert.equal(router.operations(), operations);
  assert.equal(t.store.get('resumption', router.id), null, 'the last secret is gone');
  router.breakLink();
  t.flush();
  assert.equal(router.state.channel?.opening.opened, 'edhoc');
  assert.ok(isIn(t, router) && talks(t, router));
  assert.equal(router.state.secret?.generation, 0);
});

test('after 7 days a full login is due, also when there was a resumption in between', () => {
  const t = town();
  const router = t.add('router-1');
  const DAY_MS = 86_400_000;
  t.advance(6 * DAY_MS);
  router.breakLink();
  t.advance(1_000);
  assert.equal(router.state.channel?.opening.opened, 'resume');
  assert.equal(router.state.openings.filter(({ opened }) => opened === 'edhoc').length, 1);
  t.advance(DAY_MS);
  router.breakLink();
  t.advance(1_000);
  assert.equal(router.state.openings.filter(({ opened }) => opened === 'edhoc').length, 2);
  assert.ok(isIn(t, router));
});

test('a channel goes on under new keys after 24 h at the latest, without public-key work', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  const { channel } = router.state.channel!;
  t.advance(86_400_000 - 1_000);
  assert.equal(router.state.channel?.channel, channel);
  t.advance(2_000);
  assert.notEqual(router.state.channel?.channel, channel);
  assert.equal(router.state.channel?.opening.opened, 'resume');
  assert.equal(router.operations(), operations);
  assert.ok(isIn(t, router));
});

test('a revoked device is looked at when it resumes after its verdict has run out: it does not come back', () => {
  const t = town({ verdictMaxAge: 50 });
  const router = t.add('router-1');
  router.restart();
  t.revoke(router.holder);
  t.meddler = toEvery(D1, dropped);
  router.breakLink();
  t.advance(60_000);
  t.meddler = () => 'pass';
  t.advance(60_000);
  assert.ok(!isIn(t, router));
  assert.equal(t.manager.channels.size, 0);
});

// ── Hints (D0) ──────────────────────────────────────────────────────────────────────────────────────────────────────

test('[B5] forged hints cause at most one resumption in 10 s, and no public-key operation', () => {
  const t = town();
  const router = t.add('router-1');
  const operations = router.operations();
  const before = openings(router);
  for (let i = 0; i < 60; i++) {
    t.inject('km1/d/router-1' as Topic, HINT_FRAME);
    t.advance(1_000);
  }
  assert.ok(openings(router) - before <= 7 && openings(router) > before, String(openings(router) - before));
  assert.equal(router.operations(), operations);
  assert.ok(isIn(t, router) && talks(t, router));
});

test('a channel that was forgotten by the manager is resumed as soon as the device speaks; the manager hints once in 10 s', () => {
  const t = town();
  const router = t.add('router-1');
  t.manager.channels.delete(router.id);
  const from = t.packets.length;
  for (let i = 0; i < 5; i++) t.inject('km1/m/router-1' as Topic, Uint8Array.of(1, 2, 3, 4));
  t.flush();
  assert.equal(packetsOf(t, D0, from).length, 1);
  assert.ok(isIn(t, router) && router.state.channel?.opening.opened === 'resume');
});
