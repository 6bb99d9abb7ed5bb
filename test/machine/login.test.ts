/**
 * The full login between a device and the manager, with the verifier: parameters, certificates, signatures, permission.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeSequence, encodeSequence } from '../../protocol/cbor.ts';
import { sealMessages } from '../../protocol/channel.ts';
import { decodeError, encodeError } from '../../protocol/edhoc/error-message.ts';
import { decodeFrame, encodeFrame } from '../../protocol/frame.ts';
import { type ChannelMessage, channelMessages } from '../../protocol/messages.ts';
import { sealRecord } from '../../protocol/record.ts';
import { CHANNEL_SUITES, suiteName } from '../../protocol/suites.ts';
import type { Topic } from '../../protocol/units.ts';
import { certify, MANAGER_WISHES } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownDevice } from '../town-plan.ts';
import {
  D0,
  D1,
  E0,
  E1,
  E2,
  E3,
  E4,
  forgetSecret,
  isIn,
  kindOf,
  kindsSince,
  loseStore,
  packetsOf,
  RECORD,
} from './town-packets.ts';

const suiteOf = (device: TownDevice): string => suiteName(device.state.channel!.channel.suite);
const body = (payload: Uint8Array): Uint8Array => {
  const frame = decodeFrame(payload);
  assert.ok('body' in frame);
  return frame.body;
};
const suitesIn = (t: Town, nth: number) => decodeSequence(body(packetsOf(t, E1)[nth]!.payload))[1];

test('[P1] [P2] [P6] [P7] [patent 1000-1030, 1200-1218, 1300-1314, 2000-2014] a login is four messages, the verifier asked once, and a record', () => {
  const t = town();
  const router = t.add('router-1');
  assert.deepEqual(kindsSince(t), [E1, E2, E3, E4, RECORD]);
  const asked = t.packets.map(({ topic }) => topic).filter((topic) => topic === 'km1/v/q/~manager');
  assert.equal(asked.length, 2, 'once about the manager itself at its start, once about the device');
  assert.ok(isIn(t, router));
  const [there, here] = [t.manager.channels.get(router.id)!, router.state.channel!.channel];
  assert.equal(there.channel.suite, here.suite);
  assert.deepEqual([there.channel.state.name, here.state.name], ['open', 'open']);
  assert.deepEqual(router.latest('registered'), { news: 'registered', version: 1 });
  assert.equal(t.manager.registrations.get(router.id)?.version, 1);
  assert.ok(t.store.get('registrations', router.id) !== null && t.store.get('devices', router.id) !== null);
});

test('[B5] [P2] a login costs the device one key, one agreement, one signature and three verifications with one intermediate', () => {
  const t = town();
  const router = t.add('router-1');
  assert.deepEqual({ ...router.counter }, { generate: 1, agree: 1, sign: 1, verify: 3 });
  assert.equal(router.state.openings[0]!.cost.publicKeyOps, 6);
});

test('[patent 1314] nothing of the registration and no certificate is readable on the wire', () => {
  const t = town();
  t.add('router-1');
  const seen = packetsOf(t, E3).concat(packetsOf(t, E4), packetsOf(t, RECORD));
  assert.equal(seen.length, 3);
  for (const { payload } of seen)
    assert.ok(!Buffer.from(payload).includes('udp://') && !Buffer.from(payload).includes('router-1'));
});

// ── Parameters (patent 1000–1006) ───────────────────────────────────────────────────────────────────────────────────

test('[P1] [patent 1000-1006] the manager picks the channel suite by its own preference among the candidates', () => {
  const t = town({ managerChannelSuites: [3, 2, 0] });
  assert.equal(suiteOf(t.add('a', { channelSuites: [0, 1, 2] })), suiteName(CHANNEL_SUITES[2]!));
  assert.equal(suiteOf(t.add('b', { channelSuites: [0, 3] })), suiteName(CHANNEL_SUITES[3]!));
  assert.equal(suiteOf(t.add('c', { channelSuites: [0] })), suiteName(CHANNEL_SUITES[0]!));
});

test('[P1] no channel suite in common: the device is told so, and no channel opens', () => {
  const t = town({ managerChannelSuites: [0] });
  const router = t.add('router-1', { channelSuites: [2, 3] });
  assert.equal(router.latest('loginDenied')?.reason, 'no channel suite in common');
  assert.ok(!isIn(t, router));
  assert.deepEqual(kindsSince(t), [E1, E0]);
});

test('[P1] [patent 1000-1006] SUITES_R: the device starts again with a suite that the manager supports, and lists what it likes better', () => {
  const t = town({ managerSuites: [2] });
  const router = t.add('router-1');
  assert.ok(isIn(t, router));
  assert.deepEqual(kindsSince(t), [E1, E0, E1, E2, E3, E4, RECORD]);
  assert.deepEqual([suitesIn(t, 0), suitesIn(t, 1)], [6, [6, 2]]);
  assert.deepEqual(decodeError(body(packetsOf(t, E0)[0]!.payload)), { kind: 'wrongSuite', suites: [2] });
});

test('[P1] an Ed25519 device and a P-256 manager have no EDHOC suite in common: refused clearly, and tried again later', () => {
  const t = town({ managerCertificate: { algorithm: 'p256' } });
  const router = t.add('router-1', { certificate: { algorithm: 'ed25519' } });
  assert.equal(router.latest('loginDenied')?.reason, 'no EDHOC suite in common with the manager');
  assert.equal(router.state.denied, 'no EDHOC suite in common with the manager');
  const before = packetsOf(t, E1).length;
  t.advance(60_000);
  assert.ok(packetsOf(t, E1).length > before, 'it goes on trying');
  assert.ok(!isIn(t, router));
});

test('[P1] [P13] a manager with a certificate of each key type lets both kinds of devices in, and gives a session to the two', () => {
  const t = town({
    otherManagers: (issuer) => [certify('home-manager', { ...MANAGER_WISHES, algorithm: 'ed25519' }, issuer)],
  });
  const router = t.add('router-1', { settings: { managerVerdict: 'cached' } });
  const phone = t.add('phone-1', {
    certificate: { algorithm: 'ed25519' },
    settings: { managerVerdict: 'fresh' },
  });
  assert.ok(isIn(t, router) && isIn(t, phone));
  assert.notDeepEqual(router.state.managerLeaf!.hash, phone.state.managerLeaf!.hash);
  router.call('phone-1');
  t.flush();
  assert.ok(router.latest('sessionOpened'));
});

test('[P1] Ed25519 on both sides: suite 0', () => {
  const t = town({ algorithm: 'ed25519' });
  const router = t.add('router-1');
  assert.ok(isIn(t, router));
  assert.equal(suitesIn(t, 0), 0);
});

test('[5.6 downgrade] a forged SUITES_R does not lead to a worse suite: the manager sees the better one listed and refuses', () => {
  const t = town();
  let lies = 0;
  t.meddler = (packet) => {
    if (kindOf(packet) !== E1 || lies++ > 0) return 'pass';
    const frame = decodeFrame(packet.payload);
    assert.ok('exchange' in frame);
    const lie = encodeFrame('error', frame.exchange, encodeError({ kind: 'wrongSuite', suites: [2] }));
    t.inject(packet.topic.replace('/m/', '/d/') as typeof packet.topic, lie);
    return [];
  };
  const router = t.add('router-1');
  assert.deepEqual(suitesIn(t, 1), [6, 2]);
  assert.deepEqual(decodeError(body(packetsOf(t, E0)[0]!.payload)), { kind: 'wrongSuite', suites: [6, 2, 3, 5] });
  assert.equal(kindsSince(t).filter((kind) => kind === E3).length <= 1, true);
  t.advance(60_000);
  assert.ok(isIn(t, router), 'the next attempt starts from the best suite');
  assert.equal(suitesIn(t, packetsOf(t, E1).length - 1), 6);
});

test('[5.6 downgrade] a middle that also strips the better suite from message_1 breaks both transcripts', () => {
  const t = town({ managerSuites: [6, 2] });
  t.meddler = (packet) => {
    if (kindOf(packet) !== E1) return 'pass';
    const frame = decodeFrame(packet.payload);
    assert.ok('exchange' in frame);
    const [method, suites, ...rest] = decodeSequence(frame.body);
    if (!Array.isArray(suites)) {
      const lie = encodeFrame('error', frame.exchange, encodeError({ kind: 'wrongSuite', suites: [2] }));
      t.inject(packet.topic.replace('/m/', '/d/') as typeof packet.topic, lie);
      return [];
    }
    return [encodeFrame('message1', frame.exchange, encodeSequence([method!, 2, ...rest]))];
  };
  const router = t.add('router-1');
  t.advance(30_000);
  assert.ok(packetsOf(t, E2).length > 0, 'the manager was deceived so far');
  assert.ok(!isIn(t, router) && packetsOf(t, E3).length === 0, 'and the device was not');
});

test('[5.6 downgrade] channel suites that a middle removes from the offer: the device refuses message_2', () => {
  const t = town({ managerChannelSuites: [3, 0] });
  t.meddler = (packet) => {
    if (kindOf(packet) !== E1) return 'pass';
    const altered = Buffer.from(packet.payload);
    const at = altered.indexOf(Buffer.from([0x84, 0, 1, 2, 3])); // [0, 1, 2, 3]
    assert.ok(at > 0);
    altered[at + 4] = 2;
    return [altered];
  };
  const router = t.add('router-1');
  assert.ok(!isIn(t, router) && packetsOf(t, E2).length === 1 && packetsOf(t, E3).length === 0);
});

// ── Certificates on request (patent 1008–1026) ──────────────────────────────────────────────────────────────────────

function lengths(t: Town, from: number): { e2: number; e3: number } {
  return { e2: packetsOf(t, E2, from)[0]!.payload.length, e3: packetsOf(t, E3, from)[0]!.payload.length };
}

test('[P2] [patent 1008-1026] both chains travel at the first login only; later their hashes do, and the answer has acknowledged them', () => {
  const t = town();
  const router = t.add('router-1');
  assert.equal(router.state.chainHeld, true, 'EAD_4 acknowledges');
  const first = lengths(t, 0);
  forgetSecret(router);
  const from = t.packets.length;
  router.restart();
  t.flush();
  assert.ok(isIn(t, router) && router.state.channel?.opening.opened === 'edhoc');
  const second = lengths(t, from);
  assert.ok(second.e2 < first.e2 - 500 && second.e3 < first.e3 - 500, `${JSON.stringify({ first, second })}`);
  assert.ok(second.e2 < 200 && second.e3 < 260);
});

test('[P2] [patent 1008-1018] a device that no longer holds the manager’s certificate asks for it', () => {
  const t = town();
  const router = t.add('router-1');
  router.memory = null;
  const from = t.packets.length;
  router.restart();
  t.flush();
  assert.ok(isIn(t, router));
  assert.ok(lengths(t, from).e2 > 800);
});

test('[P2] [patent 1012, 0054] a manager that lost its store does not know the hash: the device sends its chain', () => {
  const t = town();
  const router = t.add('router-1');
  loseStore(t);
  const from = t.packets.length;
  t.restartManager();
  t.advance(20_000);
  assert.ok(isIn(t, router));
  const kinds = kindsSince(t, from);
  assert.ok(kinds.includes(D0) && kinds.includes(D1), 'the hint led to a resumption, which nobody knows');
  const errors = packetsOf(t, E0, from).map(({ payload }) => decodeError(body(payload)));
  assert.deepEqual(errors, [{ kind: 'unknownCredential' }]);
  assert.equal(router.state.chainHeld, true);
  assert.equal(t.manager.registrations.get(router.id)?.version, 1, 'and it is registered again');
});

test('[P2] [P3] a manager with a new certificate: its unknown hash makes the device ask for the chain', () => {
  const t = town();
  const router = t.add('router-1');
  forgetSecret(router);
  router.restart();
  router.state.managerLeaf = { chain: router.state.managerLeaf!.chain, hash: new Uint8Array(32) };
  t.advance(30_000);
  assert.ok(isIn(t, router) && router.state.managerLeaf?.hash.some((byte) => byte !== 0));
});

// ── Authenticate-only (P8) ──────────────────────────────────────────────────────────────────────────────────────────

test('[P8] [patent 0139] when both want it the channel authenticates only: readable, not alterable, also after a resumption', () => {
  const t = town({ settings: { authenticateOnly: true } });
  const lamp = t.add('lamp', { settings: { authenticateOnly: true } });
  assert.ok(isIn(t, lamp) && lamp.state.channel?.channel.authenticateOnly === true);
  assert.equal(t.manager.channels.get(lamp.id)?.channel.authenticateOnly, true);
  lamp.restart();
  t.flush();
  assert.ok(isIn(t, lamp) && lamp.state.channel?.channel.authenticateOnly === true);
  assert.equal(lamp.news.filter(({ news }) => news === 'registered').length, 2);
  const readable = packetsOf(t, RECORD).some(({ payload }) => Buffer.from(payload).includes('udp://192.0.2.1'));
  assert.ok(readable, 'the registration after the restart travels in the clear');
  const from = t.packets.length;
  t.meddler = (packet) => {
    const at = kindOf(packet) === RECORD ? Buffer.from(packet.payload).indexOf('192.0.2.1') : -1;
    if (at < 0) return 'pass';
    const altered = packet.payload.slice();
    altered[at] = 0x32;
    return [altered];
  };
  lamp.restart();
  t.flush();
  assert.ok(packetsOf(t, RECORD, from).length > 0);
  assert.equal(t.manager.registrations.get(lamp.id)?.version, 1, 'an altered one changes nothing');
});

test('[P8] [patent 0139] when only the device wants it the login is refused, with the reason', () => {
  const t = town();
  const lamp = t.add('lamp', { settings: { authenticateOnly: true } });
  assert.ok(!isIn(t, lamp) && t.manager.channels.size === 0);
  assert.match(lamp.latest('loginDenied')?.reason ?? '', /encryption of the channel/);
});

test('[P8] when only the manager would grant it the channel encrypts', () => {
  const t = town({ settings: { authenticateOnly: true } });
  const lamp = t.add('lamp');
  assert.ok(isIn(t, lamp) && lamp.state.channel?.channel.authenticateOnly === false);
});

test('[P8] [5.6 a grant on an authenticate-only channel] neither side asks for a session on it, and both are told why', () => {
  const t = town({ settings: { authenticateOnly: true } });
  const lamp = t.add('lamp', { settings: { authenticateOnly: true } });
  const router = t.add('router-1');
  for (const [from, to] of [
    [lamp, router],
    [router, lamp],
  ] as const) {
    from.call(to.id);
    t.advance(5_000);
    assert.equal(from.latest('callFailed')?.reason, 'authenticate-only');
  }
  assert.equal(t.manager.sessions.size + lamp.state.sessions.size + router.state.sessions.size, 0);
  assert.ok(isIn(t, lamp) && isIn(t, router));
});

test('[5.6 a grant on an authenticate-only channel] a manager that sends one all the same is not obeyed, nor a device that asks', () => {
  const t = town({ settings: { authenticateOnly: true } });
  const lamp = t.add('lamp', { settings: { authenticateOnly: true } });
  t.add('router-1');
  const bytes = (length: number) => new Uint8Array(length).fill(1);
  const suite = CHANNEL_SUITES[1]!;
  const sid = bytes(8);
  const shared = { sid, suite, keyMode: 'seed', nonceA: bytes(16), lifetime: 60 } as const;
  const messages: readonly ChannelMessage[] = [
    { kind: 'Ask', ...shared, from: 'router-1' as never, name: 'lamp' },
    {
      kind: 'Grant',
      ...shared,
      role: 'callee',
      epoch: 0,
      peer: 'router-1' as never,
      peerLeaf: bytes(32),
      peerRegistration: bytes(32),
      secret: bytes(32),
      nonceB: bytes(16),
      addresses: [],
      version: 1,
    },
  ];
  const there = t.manager.channels.get(lamp.id)!.channel;
  const here = lamp.state.channel!.channel;
  for (const message of messages) {
    assert.throws(() => sealMessages(t.managerCrypto, there, [message]), /only authenticates/);
    const record = sealRecord(t.managerCrypto, there.records, 'data', channelMessages.encodeAll([message]));
    t.inject('km1/d/lamp' as Topic, record);
    t.flush();
  }
  assert.equal(lamp.logs.filter((line) => line.includes('on a channel that only authenticates')).length, 2);
  assert.equal(lamp.state.asked.size + lamp.state.sessions.size, 0);
  const connect = { kind: 'Connect', nonceA: bytes(16), callee: 'router-1' } as const;
  t.inject('km1/m/lamp' as Topic, sealRecord(lamp.crypto, here.records, 'data', channelMessages.encodeAll([connect])));
  t.flush();
  assert.equal(t.manager.sessions.size, 0);
  assert.ok(isIn(t, lamp));
});
