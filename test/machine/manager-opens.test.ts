/**
 * Channels that the manager opens because somebody wants a device that has none (P13, patent 2112, 0109–0110): by
 * resumption, by EDHOC with the roles swapped, and when both sides start at once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeChannel } from '../../device-agent/channel.ts';
import { join } from '../../device-agent/joining.ts';
import { certify, DEVICE_WISHES } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownDevice, TownWishes } from '../town-plan.ts';
import {
  D0,
  D1,
  D2,
  doubled,
  dropped,
  E0,
  E1,
  E2,
  E3,
  E4,
  flipped,
  isIn,
  kindOf,
  kindsSince,
  packetsOf,
  RECORD,
  toEvery,
  toNth,
} from './town-packets.ts';

interface Scene {
  readonly t: Town;
  readonly caller: TownDevice;
  readonly callee: TownDevice;
}

/** A caller in, and a callee that has closed its channel; its secret is there or gone. */
function scene(secret: 'held' | 'gone', wishes: TownWishes = {}): Scene {
  const t = town(wishes);
  const [caller, callee] = [t.add('caller'), t.add('callee')];
  callee.run((state) => {
    closeChannel(state, 'done', callee.world());
  });
  t.advance(1_000);
  if (secret === 'gone') callee.state.secret = null;
  assert.equal(t.manager.channels.has(callee.id), false);
  return { t, caller, callee };
}

function talking({ t, caller, callee }: Scene, withinMs = 5_000): boolean {
  caller.call(callee.id);
  t.advance(withinMs);
  return caller.latest('sessionOpened') !== undefined && isIn(t, callee) && callee.state.sessions.size > 0;
}

test('[P13] [patent 2112, 0109] a callee whose channel is closed is reached by resumption, without public-key work on either device', () => {
  const place = scene('held');
  const { t, caller, callee } = place;
  const operations = [caller.operations(), callee.operations()];
  const from = t.packets.length;
  assert.ok(talking(place));
  const kinds = kindsSince(t, from).filter((kind) => kind !== RECORD);
  assert.deepEqual(kinds, [D1, D2]);
  assert.deepEqual([callee.state.channel?.opening.opened, callee.state.channel?.opening.by], ['resume', 'manager']);
  assert.deepEqual([caller.operations(), callee.operations()], operations);
  assert.equal(packetsOf(t, D1, from)[0]!.from, 'manager');
});

test('[P13] [patent 2112, 0109-0110] without a secret the manager logs in to the callee: roles swapped, the verifier asked about the callee', () => {
  const place = scene('gone');
  const { t, callee } = place;
  const operations = callee.operations();
  const from = t.packets.length;
  assert.ok(talking(place));
  const passed = t.packets.slice(from);
  const order = passed.map((packet) => (packet.topic === 'km1/v/q/~manager' ? 'question' : kindOf(packet)));
  const relevant = order.filter((kind) => kind !== null && kind !== RECORD);
  assert.deepEqual(relevant, [D1, D0, E1, E2, 'question', E3, E4], 'the manager shows itself after the verdict');
  assert.deepEqual(
    packetsOf(t, E1, from).map(({ from }) => from),
    ['manager'],
  );
  assert.deepEqual([callee.state.channel?.opening.opened, callee.state.channel?.opening.by], ['edhoc', 'manager']);
  assert.equal(callee.operations() - operations, 6);
  assert.equal(callee.state.secret?.generation, 0);
});

test('[P13] the new secret serves the next resumption, started by either side', () => {
  const place = scene('gone');
  const { t, callee } = place;
  assert.ok(talking(place));
  const operations = callee.operations();
  callee.restart();
  t.advance(1_000);
  assert.ok(isIn(t, callee) && callee.state.channel?.opening.opened === 'resume');
  assert.equal(callee.operations(), operations);
});

test('[P13] an expired secret is as good as none', () => {
  const place = scene('held');
  const { t, callee } = place;
  t.advance(8 * 86_400_000);
  assert.ok(talking(place));
  assert.equal(callee.state.channel?.opening.opened, 'edhoc');
});

test('[P13] [P1] SUITES_R in the other direction: a callee that supports less says so, and is reached', () => {
  const t = town();
  const [caller, callee] = [t.add('caller'), t.add('callee', { cipherSuites: [2] })];
  callee.run((state) => {
    closeChannel(state, 'done', callee.world());
  });
  t.advance(1_000);
  callee.state.secret = null;
  const from = t.packets.length;
  assert.ok(talking({ t, caller, callee }));
  assert.deepEqual(
    kindsSince(t, from).filter((kind) => kind !== RECORD && kind !== null),
    [D1, D0, E1, E0, E1, E2, E3, E4],
  );
});

test('[P13] [patent 0110] a callee that was revoked is not opened to: the manager does not show itself, the caller is refused', () => {
  const place = scene('gone');
  const { t, caller, callee } = place;
  t.revoke(callee.holder);
  const from = t.packets.length;
  assert.equal(talking(place), false);
  assert.ok(
    packetsOf(t, E3, from).every((packet) => packet.from === 'callee'),
    'whose own logins are refused',
  );
  assert.equal(caller.latest('callFailed')?.callee, 'callee');
  assert.ok(!t.manager.channels.has(callee.id));
});

test('[P13] another device that answers in the place of the callee is refused', () => {
  const place = scene('gone');
  const { t, callee } = place;
  const other = certify('other', DEVICE_WISHES, t.ca);
  Object.assign(callee.state, {
    chainHeld: false,
    identity: {
      ...callee.state.identity,
      chain: [other.certificate.der, t.ca.certificate.der],
      signingKey: other.key.key,
    },
  });
  assert.equal(talking(place, 20_000), false);
  assert.ok(t.managerLogs.some((line) => line.includes('opening.refused')));
  assert.ok(!t.manager.channels.has(callee.id) && !t.manager.channels.has('other' as never));
});

test('[P3] [P13] [5.6 manager impersonation by a device certificate] a callee judges the manager that opens as in a login of its own', () => {
  const place = scene('gone');
  const { t, callee } = place;
  const impostor = certify('home-manager', DEVICE_WISHES, t.ca);
  Object.assign(t.manager, {
    identity: {
      ...t.manager.identity,
      chain: [impostor.certificate.der, t.ca.certificate.der],
      signingKey: impostor.key.key,
    },
  });
  callee.state.managerLeaf = null;
  assert.equal(talking(place, 20_000), false);
  assert.ok(callee.logs.some((line) => line.includes('badCertificate') && line.includes('wrong-purpose')));
  assert.equal(callee.state.channel, null);
});

test('[P13] [patent 1008-1018] a manager with a certificate that the callee does not hold: the next attempt shows the chain', () => {
  const place = scene('gone');
  const { t, callee } = place;
  callee.state.managerLeaf = { chain: callee.state.managerLeaf!.chain, hash: new Uint8Array(32) };
  if (!talking(place, 15_000)) assert.ok(talking(place, 15_000));
  assert.ok(callee.state.managerLeaf?.hash.some((byte) => byte !== 0));
  assert.ok(isIn(t, callee));
});

// ── Crossed handshakes (5.6) ────────────────────────────────────────────────────────────────────────────────────────

for (const secret of ['held', 'gone'] as const) {
  test(`[5.6 crossed handshakes] [P13] both start at once, the secret ${secret}: the device's exchange wins, and the call goes through`, () => {
    const place = scene(secret);
    const { t, caller, callee } = place;
    const before = callee.state.openings.length;
    callee.run((state) => join(state, callee.world()));
    caller.call(callee.id);
    t.advance(15_000);
    assert.ok(isIn(t, callee) && caller.latest('sessionOpened') !== undefined);
    assert.equal(callee.state.channel?.opening.by, 'device');
    assert.equal(callee.state.openings.length, before + 1, 'one channel, not two');
    assert.equal(t.manager.handshakes.size, 0);
  });

  test(`[5.6 crossed handshakes] the manager's first message is already under way when the device starts, the secret ${secret}`, () => {
    const place = scene(secret);
    const { t, caller, callee } = place;
    t.meddler = (packet) => {
      if (packet.from !== 'manager' || (kindOf(packet) !== D1 && kindOf(packet) !== E1)) return 'pass';
      t.meddler = () => 'pass';
      callee.run((state) => join(state, callee.world()));
      return 'pass';
    };
    caller.call(callee.id);
    t.advance(15_000);
    assert.ok(isIn(t, callee) && caller.latest('sessionOpened') !== undefined);
    assert.equal(callee.state.channel?.opening.by, 'device');
  });
}

// ── Bad networks (5.6) ──────────────────────────────────────────────────────────────────────────────────────────────

for (const [secret, kinds] of [
  ['held', [D1, D2, RECORD]],
  ['gone', [D1, D0, E1, E2, E3, E4]],
] as const) {
  for (const kind of kinds) {
    test(`[5.6 lost, doubled, reordered messages at every step] the manager opens, ${kind.toString(16)} lost, doubled, cut or flipped, the secret ${secret}: nobody else is touched, and the callee is reached later`, () => {
      for (const bend of [
        toNth(kind, 1, dropped),
        toEvery(kind, doubled),
        toNth(kind, 1, ({ payload }) => [payload.subarray(0, payload.length >> 1)]),
        toNth(kind, 1, ({ payload }) => [flipped(payload, payload.length - 1)]),
        toNth(kind, 1, ({ payload }) => [flipped(payload, payload.length >> 1, 5)]),
      ]) {
        const place = scene(secret);
        const { t, caller, callee } = place;
        const channel = t.manager.channels.get(caller.id)?.channel;
        t.meddler = (packet) => (packet.from === 'caller' || packet.topic === 'km1/d/caller' ? 'pass' : bend(packet));
        caller.call(callee.id);
        t.advance(15_000);
        t.meddler = () => 'pass';
        let reached = false;
        for (let i = 0; i < 4 && !reached; i++) reached = talking(place, 25_000);
        assert.ok(reached);
        assert.equal(t.manager.channels.get(caller.id)?.channel, channel);
      }
    });
  }
}

test('[5.6 replay of every message] D1 and message_1 of the manager, played to the device again, open nothing', () => {
  for (const secret of ['held', 'gone'] as const) {
    const place = scene(secret);
    const { t, callee } = place;
    const from = t.packets.length;
    assert.ok(talking(place));
    const channel = callee.state.channel;
    for (const { topic, payload } of t.packets.slice(from)) {
      if (topic === 'km1/d/callee' && payload[0]! >= 0x80 && payload[0] !== D0) t.inject(topic, payload);
    }
    t.advance(12_000);
    assert.equal(callee.state.channel, channel);
    assert.ok(talking(place));
  }
});
