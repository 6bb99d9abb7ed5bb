/**
 * What was asked, judged or removed for one exchange decides no other: verdicts that come late, evictions while a
 * resumption is under way, names that change hands.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import { removeDevice } from '../../manager/channels.ts';
import { stepSession } from '../../manager/sessions.ts';
import { decodeFrame, type ExchangeKind, encodeFrame } from '../../protocol/frame.ts';
import {
  type LoginRequested,
  type LoginStarted,
  readChoice,
  requestLogin,
  startLogin,
  suitesFor,
  verifyChoice,
} from '../../protocol/login.ts';
import type { Name } from '../../protocol/names.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { connect, couple, talking } from '../couple.ts';
import { certify, crypto, DEVICE_WISHES, type Holder, reader } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Packet, Stranger, Town } from '../town-plan.ts';
import { kindOf, RECORD } from './town-packets.ts';

/** Speaks the login by hand on a stranger's link. */
function client(link: Stranger, holder: Holder, chain: readonly Uint8Array[]) {
  const signingKey = holder.key.key;
  const identity = { chain, signingKey, cipherSuites: suitesFor(signingKey), channelSuites: [0] };
  const exchange = crypto.random(8);
  let started: LoginStarted | null = null;
  let requested: LoginRequested | null = null;
  const find = (kind: ExchangeKind): Uint8Array | null => {
    for (const { payload } of link.received.toReversed()) {
      const frame = decodeFrame(payload);
      if (frame.kind === kind && Buffer.compare(frame.exchange, exchange) === 0) return frame.body;
    }
    return null;
  };
  return {
    message1() {
      const offer = { suites: [0], sendChain: true };
      const { message1, state } = startLogin(crypto, identity, offer, identity.cipherSuites[0]!);
      started = state;
      link.publish(encodeFrame('message1', exchange, message1));
    },
    message3() {
      const read = readChoice(crypto, started!, find('message2')!);
      assert.equal(read.peer.kind, 'x5chain');
      const der = read.peer.kind === 'x5chain' ? read.peer.certificates[0]! : new Uint8Array(0);
      const publicKey = crypto.publicKey(reader.readCertificate(der)!.spki)!;
      const verified = verifyChoice(crypto, read, { der, publicKey });
      const { message3, state } = requestLogin(crypto, identity, verified, { instance: crypto.random(8) }, true);
      requested = state;
      link.publish(encodeFrame('message3', exchange, message3));
    },
    answered: () => requested !== null && find('message4') !== null,
  };
}

test('[5.6 stale, swapped, wrong-purpose verdict] [P4] a verdict on one certificate lets no other one in on the same link', () => {
  const t = town();
  const good = certify('evil-x', DEVICE_WISHES, t.ca);
  const selfSigned = certify('front-door', DEVICE_WISHES, null);
  const held: Packet[] = [];
  t.meddler = (packet) => {
    if (packet.from !== 'verifier') return 'pass';
    held.push(packet);
    return [];
  };
  const link = t.stranger();
  const first = client(link, good, [good.certificate.der, t.ca.certificate.der]);
  first.message1();
  t.flush();
  first.message3();
  t.flush();
  const second = client(link, selfSigned, [selfSigned.certificate.der]);
  second.message1();
  t.flush();
  second.message3();
  t.flush();
  t.meddler = () => 'pass';
  t.inject(held[0]!.topic, held[0]!.payload);
  t.flush();
  assert.equal(second.answered(), false);
  assert.deepEqual([...t.manager.devices.keys()], []);
});

/** A device resumes and keeps its first record back. @returns that record */
function holdFirstRecord(t: Town, who: { breakLink(): void }, name: string): Packet {
  const held: Packet[] = [];
  who.breakLink();
  t.meddler = (packet) => {
    if (packet.from !== name || kindOf(packet) !== RECORD || held.length > 0) return 'pass';
    held.push(packet);
    return [];
  };
  t.flush();
  assert.equal(held.length, 1);
  return held[0]!;
}

test('a device that is removed while it resumes comes back by a full login at best, and harms nobody', () => {
  const { town: t, caller } = couple();
  const record = holdFirstRecord(t, caller, 'router');
  t.runManager((state) => removeDevice(state, caller.id, t.world()));
  t.inject(record.topic, record.payload);
  t.flush();
  assert.notEqual(t.manager.channels.get(caller.id)?.how, 'resume');
  caller.run((state, world) => register(state, state.registration.wanted, world));
  caller.call('tv');
  t.advance(30_000);
  // its certificate is still good: what it may do now it may do as a device that is new
  assert.equal(t.manager.channels.get(caller.id)?.how, 'edhoc');
});

test('a device that is revoked while it resumes does not come back with its first record', () => {
  const { town: t, caller } = talking();
  t.add('victim');
  t.advance(0.8 * 3_600_000 - 3_000);
  const record = holdFirstRecord(t, caller, 'router');
  t.revoke(caller.holder);
  t.advance(6_000);
  assert.ok(t.managerLogs.some((line) => line.includes('device.evicted')));
  t.inject(record.topic, record.payload);
  t.flush();
  assert.ok(!t.manager.channels.has(caller.id) && !t.manager.resumption.has(caller.id));
});

test("an eviction does not depend on the peers' channels", () => {
  const t = town({ settings: { authenticateOnly: true } });
  const [bad, mate] = [t.add('bad'), t.add('mate')];
  for (let i = 0; i < 3; i++) {
    bad.call('mate', { lifetimeSeconds: 86_400 });
    t.flush();
  }
  assert.equal(t.manager.sessions.size, 3);
  Object.assign(mate.state, { settings: { ...mate.state.settings, authenticateOnly: true }, secret: null });
  mate.breakLink();
  t.flush();
  t.revoke(bad.holder);
  t.advance(3_600_000);
  assert.ok(!t.manager.channels.has(bad.id) && !t.manager.links.has(bad.id) && !t.manager.resumption.has(bad.id));
  assert.equal(t.manager.sessions.size, 0);
});

test('a certificate with more names than the registry keeps is refused, and the manager lives', () => {
  const t = town();
  const alternativeNames = Array.from({ length: 70 }, (_, i) => ({ type: 'dns' as const, value: `a${i}.example` }));
  const many = t.add('many', { certificate: { alternativeNames } });
  assert.ok(!t.manager.channels.has(many.id));
  assert.ok(t.add('other').latest('channelOpened'));
});

test('more ended sessions than fit into one payload are all ended at a device that comes back', () => {
  const pair = talking();
  const { town: t, callee } = pair;
  for (let i = 0; i < 19; i++) connect(pair);
  assert.equal(callee.state.sessions.size, 20);
  t.meddler = (packet) => (packet.topic.startsWith('km1/d/tv') || packet.from === 'tv' ? [] : 'pass');
  for (const sid of [...t.manager.sessions.keys()]) {
    const event = { type: 'endAsked', by: null, reason: 'withdrawn' } as const;
    t.runManager((state) => stepSession(state, sid, event, t.world()));
  }
  t.advance(10_000);
  t.meddler = () => 'pass';
  assert.equal(t.manager.sessions.size, 0);
  callee.breakLink();
  t.advance(30_000);
  assert.equal(callee.state.sessions.size, 0);
});

test('a caller cannot use up what its callee may ask for, nor fill it with questions', () => {
  const t = town();
  const approval = { rules: [], otherwise: 'ask' as const, askTimeoutSeconds: 30, busy: false };
  const evil = t.add('evil');
  const victim = t.add('victim', { settings: { approval } });
  t.add('friend');
  for (let i = 0; i < 64; i++) evil.call('victim');
  t.flush();
  assert.equal(victim.state.asked.size, 8);
  victim.call('friend');
  t.flush();
  assert.ok(victim.latest('sessionOpened'));
});

const DOOR = 'fqdn:door.example' as Name;
const door = { alternativeNames: [{ type: 'dns' as const, value: 'door.example' }] };

test('[P11] an alias does not change hands when the manager starts again', () => {
  const t = town();
  t.add('zeta', { certificate: door });
  t.add('alpha', { certificate: door });
  assert.equal(t.manager.names.get(DOOR), 'zeta');
  t.restartManager();
  assert.equal(t.manager.names.get(DOOR), 'zeta');
});

test('[P11] an alias that the leaf no longer proves is free again', () => {
  const t = town();
  const old = certify('lamp', { ...DEVICE_WISHES, ...door }, t.ca);
  t.add('lamp', { holder: old }).breakLink();
  t.add('lamp', { holder: certify('lamp', { ...DEVICE_WISHES, key: old.key }, t.ca) });
  assert.equal(t.manager.names.get(DOOR), undefined);
  assert.equal(t.manager.names.get('id:lamp' as Name), 'lamp' as DeviceId);
});
