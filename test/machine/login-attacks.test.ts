/**
 * Logins that must not succeed, and what must not happen to the others meanwhile: bad certificates on both sides, floods,
 * every message bent in every way.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import { concat } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { decodeFrame, encodeFrame } from '../../protocol/frame.ts';
import { startLogin, suitesFor } from '../../protocol/login.ts';
import type { Topic } from '../../protocol/units.ts';
import { talking } from '../couple.ts';
import { AT, ca, certify, crypto, DAY, DEVICE_WISHES, MANAGER_WISHES, root } from '../test-authority.ts';
import { town } from '../town.ts';
import type { DeviceWishes, Meddler, Packet, Town, TownDevice, TownWishes } from '../town-plan.ts';
import {
  dropped,
  E0,
  E1,
  E2,
  E3,
  E4,
  flipped,
  isIn,
  kindOf,
  packetsOf,
  RECORD,
  toEvery,
  toNth,
} from './town-packets.ts';

// ── The device checks the manager (P3) ──────────────────────────────────────────────────────────────────────────────

const foreign = ca(root('Another root'), 'Another CA');

const BAD_MANAGERS: readonly (readonly [rule: string, wishes: TownWishes, reason: RegExp])[] = [
  ['an expired certificate', { managerCertificate: { notAfter: AT - 10 } }, /expired/],
  ['a certificate that is not valid yet', { managerCertificate: { notBefore: AT + DAY } }, /not-yet-valid/],
  [
    "[5.6 manager impersonation by a device certificate] a device's certificate",
    { managerHolder: (by) => certify('home-manager', DEVICE_WISHES, by) },
    /wrong-purpose/,
  ],
  [
    'the name of another manager',
    { managerHolder: (by) => certify('other-manager', MANAGER_WISHES, by) },
    /wrong-name/,
  ],
  [
    'a certificate of an unknown CA',
    {
      managerHolder: () => certify('home-manager', MANAGER_WISHES, foreign),
      managerChain: (manager) => [manager.certificate.der, foreign.certificate.der],
    },
    /unknown-issuer/,
  ],
  [
    'a CA certificate',
    {
      managerHolder: (by) =>
        certify(
          'home-manager',
          { ...MANAGER_WISHES, ca: { pathLength: null }, keyUsage: ['keyCertSign', 'digitalSignature'] },
          by,
        ),
    },
    /not-a-leaf|path|constraint/,
  ],
  [
    'a certificate whose key it does not have',
    { managerHolder: (by) => ({ ...certify('home-manager', MANAGER_WISHES, by), key: certify('thief', {}, by).key }) },
    /signature/,
  ],
  ['a chain that does not parse', { managerChain: () => [new Uint8Array(300).fill(7)] }, /does not parse/],
];

for (const [rule, wishes, reason] of BAD_MANAGERS) {
  test(`[P3] [patent 1028-1030, 0054, 1212-1214] a manager with ${rule} is refused, and message_3 is never sent`, () => {
    const t = town(wishes);
    const router = t.add('router-1');
    t.advance(5_000);
    assert.ok(!isIn(t, router) && router.state.secret === null && router.memory === null);
    assert.match(router.latest('loginDenied')?.reason ?? '', reason);
    assert.equal(packetsOf(t, E3).length, 0, 'nobody saw the name of the device');
  });
}

// ── The manager has the device checked (P4) ─────────────────────────────────────────────────────────────────────────

const BAD_DEVICES: readonly (readonly [
  rule: string,
  wishes: DeviceWishes | ((t: Town) => DeviceWishes),
  reason: string,
])[] = [
  ['an expired certificate', { certificate: { notAfter: AT - 10 } }, 'expired'],
  ['a certificate that is not valid yet', { certificate: { notBefore: AT + DAY } }, 'not-yet-valid'],
  ['a certificate of an unknown CA', { issuer: foreign }, 'unknown-issuer'],
  [
    "a manager's certificate",
    { certificate: { extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriManager] } },
    'wrong-purpose',
  ],
  [
    'a CA certificate',
    { certificate: { ca: { pathLength: 0 }, keyUsage: ['keyCertSign', 'digitalSignature'] } },
    'not-a-leaf',
  ],
  [
    'a revoked certificate',
    (t) => {
      const holder = certify('router-1', DEVICE_WISHES, t.ca);
      t.revoke(holder);
      return { holder };
    },
    'revoked',
  ],
  [
    'a certificate whose key it does not have',
    (t) => ({ holder: { ...certify('router-1', DEVICE_WISHES, t.ca), key: certify('thief', {}, t.ca).key } }),
    'authentication failed',
  ],
  ['a chain that does not parse', { chain: [new Uint8Array(300).fill(7)] }, 'authentication failed'],
];

for (const [rule, wishes, reason] of BAD_DEVICES) {
  test(`[P4] [patent 1100-1112, 1204-1206, 0054] a device with ${rule} is told ${reason}, and nothing of it is kept`, () => {
    const t = town();
    const other = t.add('other');
    const router = t.add('router-1', typeof wishes === 'function' ? wishes(t) : wishes);
    assert.equal(router.latest('loginDenied')?.reason, reason);
    t.advance(20_000);
    assert.ok(!isIn(t, router) && router.state.secret === null);
    assert.equal(t.manager.devices.has(router.id) || t.manager.registrations.has(router.id), false);
    assert.equal(t.store.get('devices', 'router-1') ?? t.store.get('resumption', 'router-1'), null);
    assert.ok(isIn(t, other));
  });
}

test('[P4] a forged signature never reaches the verifier: garbage chains buy no work', () => {
  const t = town();
  const asked = () => t.packets.filter(({ topic }) => topic === 'km1/v/q/~manager').length;
  const before = asked();
  const holder = { ...certify('router-1', DEVICE_WISHES, t.ca), key: certify('thief', {}, t.ca).key };
  t.add('router-1', { holder });
  assert.equal(asked(), before);
});

test('a chain with a certificate larger than any the verifier takes is refused, and the manager lives', () => {
  const t = town();
  const other = t.add('other');
  const holder = certify('router-1', DEVICE_WISHES, t.ca);
  const router = t.add('router-1', { holder, chain: [holder.certificate.der, new Uint8Array(5_000)] });
  t.advance(20_000);
  assert.ok(!isIn(t, router) && isIn(t, other));
  assert.ok(packetsOf(t, E3).length > 1);
});

test('a device that is not on the operator’s list is refused when only listed ones are admitted', () => {
  const t = town({
    settings: { admit: 'listed', listings: new Map([['listed' as never, { class: null, groups: [], user: null }]]) },
  });
  assert.ok(isIn(t, t.add('listed')));
  assert.equal(t.add('stranger').latest('loginDenied')?.reason, 'forbidden');
});

test('a device that was taken from the list does not come back by resumption, and its sessions end', () => {
  const listed = { class: null, groups: [], user: null };
  const listings = new Map(['router', 'tv'].map((name) => [name as TownDevice['id'], listed]));
  const pair = talking({ town: { settings: { admit: 'listed', listings } } });
  listings.delete(pair.callee.id);
  pair.town.restartManager();
  pair.town.advance(20_000);
  assert.equal(isIn(pair.town, pair.callee), false);
  assert.equal(pair.callee.latest('loginDenied')?.reason, 'forbidden');
  assert.deepEqual([pair.caller.state.sessions.size, pair.town.manager.sessions.size], [0, 0]);
});

// ── Floods ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[5.6 handshake floods] half-open logins are capped, keep nobody waiting longer than 10 s, and touch no channel', () => {
  const t = town();
  const limits = { ...t.manager.settings.limits, halfOpen: 8 };
  Object.assign(t.manager.settings, { limits });
  const inside = t.add('inside');
  const thief = certify('thief', DEVICE_WISHES, t.ca);
  const identity = {
    chain: [thief.certificate.der],
    signingKey: thief.key.key,
    cipherSuites: suitesFor(thief.key.key),
    channelSuites: [0],
  };
  for (let i = 0; i < 12; i++) {
    const { message1 } = startLogin(crypto, identity, { suites: [0] }, 6);
    t.stranger().publish(encodeFrame('message1', crypto.random(8), message1));
  }
  t.flush();
  assert.equal(t.manager.handshakes.size, 8);
  assert.equal(packetsOf(t, E2).length, 1 + 8);
  const late = t.add('late');
  assert.ok(!isIn(t, late) && isIn(t, inside));
  t.advance(30_000);
  assert.ok(isIn(t, late) && isIn(t, inside));
  assert.equal(t.manager.handshakes.size, 0);
});

// ── Every message, in every way ─────────────────────────────────────────────────────────────────────────────────────

/** Numbers that look random and are the same in every run. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A disturbed newcomer beside a device that is in: that one stays, and once it is quiet the newcomer gets in. */
function disturb(t: Town, what: string, meddler: Meddler): void {
  const name = `new-${t.packets.length}`;
  const before = t.manager.channels.get('inside' as never)?.channel;
  t.meddler = meddler;
  const router = t.add(name);
  t.advance(1_000);
  t.meddler = () => 'pass';
  for (let seconds = 0; seconds < 120 && !isIn(t, router); seconds += 5) {
    t.advance(5_000);
    // two sides that hold different keys notice it when one of them speaks
    if (router.state.channel !== null)
      router.run((state) => register(state, state.registration.wanted, router.world()));
    t.flush();
  }
  assert.ok(isIn(t, router), `${what}: not in after two minutes`);
  assert.equal(t.manager.channels.get('inside' as never)?.channel, before, `${what}: the other channel was disturbed`);
  assert.equal(t.manager.registrations.get(router.id)?.version !== undefined, true, `${what}: not registered`);
  router.run((state) => {
    state.link = null; // it goes home
  });
}

const NAMES: readonly (readonly [number, string])[] = [
  [E1, 'message_1'],
  [E2, 'message_2'],
  [E3, 'message_3'],
  [E4, 'message_4'],
  [RECORD, 'first record'],
];

for (const [kind, name] of NAMES) {
  test(`[5.6 lost, doubled, reordered messages at every step] ${name}: lost, doubled, late, cut, lengthened, oversized, of another type`, () => {
    const t = town();
    t.add('inside');
    const lengths = packetsOf(t, kind)[0]!.payload;
    disturb(t, 'lost', toNth(kind, 1, dropped));
    disturb(t, 'lost five times', (packet: Packet) => (kindOf(packet) === kind ? [] : 'pass'));
    disturb(
      t,
      'doubled',
      toEvery(kind, ({ payload }) => [payload, payload]),
    );
    disturb(
      t,
      'four times',
      toEvery(kind, ({ payload }) => [payload, payload, payload, payload]),
    );
    for (const cut of [0, 1, 8, 9, 10, 40, Math.floor(lengths.length / 2), lengths.length - 1]) {
      disturb(
        t,
        `cut to ${cut}`,
        toEvery(kind, ({ payload }) => [payload.subarray(0, cut)]),
      );
    }
    disturb(
      t,
      'a byte longer',
      toEvery(kind, ({ payload }) => [concat(payload, Uint8Array.of(0))]),
    );
    disturb(
      t,
      'oversized',
      toEvery(kind, ({ payload }) => [concat(payload, new Uint8Array(9_000))]),
    );
    for (const type of [0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xd0, 0xd1, 0xd2, 0xff, 0x01]) {
      if (type === lengths[0]) continue;
      disturb(
        t,
        `as type ${type.toString(16)}`,
        toEvery(kind, ({ payload }) => [concat(Uint8Array.of(type), payload.subarray(1))]),
      );
    }
  });

  test(`[5.6 parser differences] ${name}: any byte flipped ends nothing but that attempt`, () => {
    const t = town();
    t.add('inside');
    const next = seeded(kind);
    const positions = [0, 1, 8, 9, 10, 11, 12, 13, 45, 46, 47];
    const length = packetsOf(t, kind)[0]!.payload.length;
    for (let i = 0; i < 14; i++) positions.push(next(length));
    for (const at of positions) {
      const bend = ({ payload }: Packet) => [flipped(payload, Math.min(at, payload.length - 1), next(8))];
      disturb(t, `byte ${at}`, toNth(kind, 1, bend));
    }
  });
}

test('[5.6 replay of every message] messages of a finished login, played again by another link or to the device, open nothing', () => {
  const t = town();
  const router = t.add('router-1');
  const channel = router.state.channel?.channel;
  const login = [...t.packets];
  const stranger = t.stranger();
  for (const { payload, topic } of login) {
    if (topic.startsWith('km1/m/')) stranger.publish(payload);
    if (topic.startsWith('km1/d/')) t.inject('km1/d/router-1' as Topic, payload);
    t.flush();
  }
  t.advance(15_000);
  assert.equal(router.state.channel?.channel, channel);
  assert.ok(isIn(t, router) && t.manager.channels.size === 1);
  assert.equal(t.manager.linkDevices.size, 1);
  assert.equal(stranger.received.filter(({ payload }) => payload[0] === E4).length, 0);
  assert.ok(
    stranger.received.some(({ payload }) => payload[0] === E2),
    'message_1 alone is public',
  );
});

test('a byte-identical message gets the byte-identical reply, until the first record shows that it arrived', () => {
  const t = town();
  t.meddler = (packet) =>
    kindOf(packet) === E1 ? [packet.payload, packet.payload] : kindOf(packet) === RECORD ? [] : 'pass';
  const router = t.add('router-1');
  const [first, second] = packetsOf(t, E2).map(({ payload }) => payload);
  assert.deepEqual(first, second);
  const message3 = packetsOf(t, E3)[0]!;
  const again = (): Uint8Array[] => {
    t.inject(message3.topic, message3.payload);
    t.flush();
    return packetsOf(t, E4).map(({ payload }) => payload);
  };
  const answers = again();
  assert.equal(answers.length, 2);
  assert.deepEqual(answers[0], answers[1]);
  t.meddler = () => 'pass';
  router.run((state) => register(state, state.registration.wanted, router.world()));
  t.flush();
  assert.equal(again().length, 2);
  assert.ok(isIn(t, router));
});

test('[5.6 replay of every message] an exchange that is answered under another exchange id is not taken', () => {
  const t = town();
  t.meddler = (packet) => {
    if (kindOf(packet) !== E2) return 'pass';
    const frame = decodeFrame(packet.payload);
    assert.ok('body' in frame);
    return [encodeFrame('message2', new Uint8Array(8), frame.body)];
  };
  const router = t.add('router-1');
  assert.equal(packetsOf(t, E3).length + packetsOf(t, E0).length, 0);
  t.meddler = () => 'pass';
  t.advance(30_000);
  assert.ok(isIn(t, router));
});
