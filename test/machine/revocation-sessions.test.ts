/**
 * A revoked device is out with one event: link, channel, resumption, sessions, connects and exchanges under way. [B6] [P4]
 * @spec design §5.4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk } from '../../device-agent/answering.ts';
import { closeChannel } from '../../device-agent/channel.ts';
import { brokerRequests } from '../../protocol/messages.ts';
import { connect, couple, heard, refusal, say, talking } from '../couple.ts';
import { certify, DEVICE_WISHES } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Meddler, Town, TownDevice } from '../town-plan.ts';
import { assertOut, brokerOrders, closings, forward, logged, questionsAbout, revokedAt } from './revocation-house.ts';
import { D1, D2, dropped, E1, E2, E3, E4, forgetSecret, isIn, kindOf, kindsSince, packetsOf } from './town-packets.ts';

test('[B6] one event: link dropped, channel and secret void, record marked, its sessions ended at the peers with the reason', () => {
  const pair = talking();
  const { town: t, caller: router, callee: tv } = pair;
  const lamp = t.add('lamp');
  const other = connect({ town: t, caller: tv, callee: lamp });
  const bystander = connect({ town: t, caller: router, callee: lamp });
  const at = t.clock.now();
  const link = t.manager.links.get(tv.id);
  const from = t.packets.length;
  t.meddler = ({ from: sender, topic }) => (sender === 'manager' && topic === 'km1/d/tv' ? [] : 'pass'); // it is deaf
  t.revoke(tv.holder);
  t.meddler = () => 'pass';
  assert.equal(t.clock.now(), at, 'at once');
  assertOut(t, tv);
  assert.ok(brokerOrders(t, from).some((order) => order.kind === 'Drop' && order.link === link));
  assert.equal(brokerOrders(t, from).filter(({ kind }) => kind === 'Forbid').length, 2);
  assert.deepEqual(closings(router), ['revoked by manager']);
  assert.deepEqual(closings(lamp), ['revoked by manager']);
  assert.deepEqual([...router.state.sessions.keys()], [bystander], 'others go on');
  for (const [sid, peer] of [
    [pair.sid, router],
    [other, lamp],
  ] as const) {
    const before = heard(peer).length;
    say(tv, sid, 'still here?');
    t.flush();
    assert.equal(heard(peer).length, before, 'nothing of it is forwarded');
  }
  assert.equal(tv.state.denied, 'revoked', 'it tried to come back, and heard why not');
  assert.equal(questionsAbout(t, from).length, 1);
});

test('[B6] a revoked device that listens closes its sessions, whether it hears of it in its channel or at its next login', () => {
  for (const isDeaf of [false, true]) {
    const { town: t, callee: tv } = talking();
    if (isDeaf) t.meddler = ({ topic }) => (topic === 'km1/d/tv' ? [] : 'pass');
    t.revoke(tv.holder);
    t.meddler = () => 'pass';
    forward(t, 5000);
    assert.deepEqual(closings(tv), ['revoked by manager']);
    assert.equal(tv.state.sessions.size, 0);
    assert.equal(tv.state.denied, 'revoked');
  }
});

test('[B6] no longer on hold: it logs in again, its mark is gone, it may connect', () => {
  const { town: t, caller: router, callee: tv } = talking();
  t.revoke(tv.holder);
  assertOut(t, tv);
  for (const verifier of t.verifiers) verifier.release(tv.holder);
  tv.restart();
  t.flush();
  assert.ok(!isIn(t, tv), 'a verifier may not have heard of the revocation yet: a minute has to pass');
  forward(t, 61_000);
  tv.restart();
  t.flush();
  assert.ok(isIn(t, tv));
  assert.equal(revokedAt(t, tv), null);
  connect({ town: t, caller: router, callee: tv });
});

test('[B6] the order to drop the link is lost: it is given again when the broker tells its links', () => {
  const { town: t, callee: tv } = talking();
  const link = t.manager.links.get(tv.id);
  t.meddler = ({ topic, payload }) =>
    topic === 'km1/c/q' && brokerRequests.decode(payload).kind === 'Drop' ? [] : 'pass';
  t.revoke(tv.holder);
  t.meddler = () => 'pass';
  const from = t.packets.length;
  t.restartManager();
  assert.ok(brokerOrders(t, from).some((order) => order.kind === 'Drop' && order.link === link));
  assert.ok(!t.manager.links.has(tv.id));
});

// ── Connects under way ──────────────────────────────────────────────────────────────────────────────────────────────

test('[B6] a connect to a revoked device is refused as revoked', () => {
  const { town: t, caller: router, callee: tv } = couple();
  t.revoke(tv.holder);
  router.call('tv');
  t.flush();
  assert.equal(refusal(router), 'revoked');
});

const asking = { settings: { approval: { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } } } as const;

test('[B6] pending connects are refused as revoked: while it is asked, while its channel is opened, while its session is stored', () => {
  const asked = couple({ callee: asking });
  asked.caller.call('tv');
  asked.town.flush();
  assert.ok(asked.callee.latest('asked') !== undefined);
  asked.town.revoke(asked.callee.holder);
  assert.equal(refusal(asked.caller), 'revoked');

  for (const secret of ['held', 'gone'] as const) {
    const opened = couple();
    const { callee, town: t } = opened;
    callee.run((state) => void closeChannel(state, 'done', callee.world()));
    t.advance(1000);
    if (secret === 'gone') callee.state.secret = null;
    t.meddler = (packet) => (packet.from === 'tv' ? [] : 'pass');
    opened.caller.call('tv');
    t.flush();
    assert.ok(t.manager.handshakes.size > 0);
    t.revoke(callee.holder);
    assert.equal(refusal(opened.caller), 'revoked', secret);
    assert.equal(t.manager.handshakes.size, 0);
  }

  const stored = couple();
  stored.town.diskFrozen = true;
  stored.caller.call('tv');
  stored.town.flush();
  assert.deepEqual(
    [...stored.town.manager.sessions.values()].map(({ flow }) => flow.state),
    ['storing'],
  );
  stored.town.revoke(stored.callee.holder);
  assert.equal(refusal(stored.caller), 'revoked');
});

test('[B6] the caller is revoked: whoever is asked on its behalf is asked no more, and makes no session by a late yes', () => {
  const { town: t, caller: router, callee: tv } = couple({ callee: asking });
  router.call('tv');
  t.flush();
  const { sid } = tv.latest('asked')!;
  t.revoke(router.holder);
  assert.equal(tv.state.asked.size, 0);
  tv.run((state, world) => approveAsk(state, sid, world));
  t.flush();
  assert.equal(t.manager.sessions.size + tv.state.sessions.size, 0);
});

test('[B6] a callee that turns out to be revoked when its channel is to be opened: the caller hears so', () => {
  const { town: t, caller: router, callee: tv } = couple({ town: { verdictMaxAge: 100 } });
  tv.run((state) => void closeChannel(state, 'done', tv.world()));
  t.advance(1000);
  for (const verifier of t.verifiers) verifier.bent = dropped; // nothing is told
  t.verifiers[0]!.revoke(tv.holder);
  forward(t, 2000);
  t.manager.verdictEnds.set(tv.id, t.clock.now());
  router.call('tv');
  t.flush();
  assert.equal(refusal(router), 'revoked');
  assertOut(t, tv);
});

// ── Exchanges under way ─────────────────────────────────────────────────────────────────────────────────────────────

/** Holds packets back until it is told not to. */
function holding(t: Town, what: (packet: Parameters<Meddler>[0]) => boolean) {
  const held: Parameters<Meddler>[0][] = [];
  t.meddler = (packet) => {
    if (!what(packet)) return 'pass';
    held.push(packet);
    return [];
  };
  return () => {
    t.meddler = () => 'pass';
    for (const { topic, payload } of held) t.inject(topic, payload);
    t.flush();
  };
}

/** Everything that comes after is as the device of before would have it. */
const PLACES: readonly (readonly [name: string, what: (packet: Parameters<Meddler>[0]) => boolean])[] = [
  ['message_2', (packet) => kindOf(packet) === E2],
  ['message_3', (packet) => kindOf(packet) === E3],
  ['the verdict', ({ topic }) => topic === 'km1/v/a/~manager'],
  ['message_4', (packet) => kindOf(packet) === E4],
];
for (const [name, what] of PLACES) {
  test(`[B6] revoked while ${name} of its login is on the way: it does not come in`, () => {
    const t = town();
    const tv = t.add('tv');
    forgetSecret(tv);
    const release = holding(t, what);
    tv.restart();
    t.flush();
    t.revoke(tv.holder);
    release();
    forward(t, 30_000);
    assertOut(t, tv);
  });
}

test('[B6] revoked while its login is being stored: it does not come in', () => {
  const t = town();
  const tv = t.add('tv');
  forgetSecret(tv);
  t.diskFrozen = true;
  tv.restart();
  t.flush();
  assert.ok([...t.manager.handshakes.values()].some(({ step }) => step.name === 'storingLogin'));
  t.revoke(tv.holder);
  t.diskFrozen = false;
  forward(t, 30_000);
  assert.ok(!t.manager.channels.has(tv.id) && tv.state.denied === 'revoked');
});

test('[B6] revoked while it resumes, at each step: its secret is of no use any more', () => {
  for (const kind of [D1, D2, 0]) {
    const t = town();
    const tv = t.add('tv');
    tv.breakLink();
    const release = holding(t, (packet) => kindOf(packet) === kind && /\/[md]\//.test(packet.topic));
    t.advance(1000);
    t.revoke(tv.holder);
    release();
    forward(t, 30_000);
    assertOut(t, tv);
  }
});

test('[P4] a doubt that comes up while a device resumes: its first record opens no channel', () => {
  const t = town();
  const tv = t.add('tv');
  const release = holding(t, (packet) => packet.from === 'tv' && kindOf(packet) === 0);
  tv.breakLink();
  t.flush();
  assert.ok([...t.manager.handshakes.values()].some(({ step }) => step.name === 'awaitingFirstRecord'));
  t.manager.revocation.doubtful.add(tv.id);
  t.verifierAway = true;
  release();
  assert.ok(!t.manager.channels.has(tv.id));
});

test('[B6] revoked while the manager opens a channel by a full login: message_4 of a certificate that is out since opens nothing', () => {
  const t = town();
  const [caller, callee] = [t.add('caller'), t.add('callee')];
  callee.run((state) => void closeChannel(state, 'done', callee.world()));
  t.advance(1000);
  callee.state.secret = null;
  const release = holding(t, (packet) => kindOf(packet) === E4);
  caller.call('callee');
  t.flush();
  assert.ok([...t.manager.handshakes.values()].some(({ step }) => step.name === 'awaitingMessage4'));
  t.revoke(callee.holder);
  release();
  forward(t, 5000);
  assertOut(t, callee);
  assert.equal(refusal(caller), 'revoked');
});

test('[B6] the same, and the certificate is a new one that no record names yet', () => {
  const t = town();
  const [caller, callee] = [t.add('caller'), t.add('callee')];
  callee.run((state) => void closeChannel(state, 'done', callee.world()));
  t.advance(1000);
  callee.state.secret = null;
  const release = holding(t, (packet) => kindOf(packet) === E4);
  caller.call('callee');
  t.flush();
  const renewed = certify('callee', { ...DEVICE_WISHES, key: callee.holder.key }, t.ca);
  const [handshake] = [...t.manager.handshakes.values()];
  assert.equal(handshake?.step.name, 'awaitingMessage4');
  const { proven } = handshake.step;
  handshake.step = { ...handshake.step, proven: { ...proven, chain: [renewed.certificate.der, t.ca.certificate.der] } };
  t.revoke(renewed);
  release();
  assert.ok(!t.manager.channels.has(callee.id));
  assert.equal(refusal(caller), 'revoked');
});

// ── Logins and resumptions afterwards ───────────────────────────────────────────────────────────────────────────────

test('[B6] [P4] a verifier that has not heard of it yet says good: neither login nor resumption, for as long as the two disagree', () => {
  const t = town({ verifiers: 2 });
  const tv = t.add('tv');
  const memory = tv.memory;
  const [first, second] = t.verifiers;
  first!.revoke(tv.holder);
  t.flush();
  assertOut(t, tv);
  t.meddler = ({ from, topic }) => (from === 'verifier' && topic.startsWith('km1/v/a/') ? [] : 'pass');
  for (const wait of [0, 30_000, 120_000, 1_200_000]) {
    forward(t, wait);
    tv.restart();
    t.flush();
    assertOut(t, tv);
    assert.equal(tv.latest('loginDenied')?.reason, 'revoked', `after ${wait} ms`);
    tv.memory = memory;
    tv.restart();
    forward(t, 3000);
    assertOut(t, tv);
  }
  assert.ok(second!.asked > 4, 'it was asked, and said good');
  second!.revoke(tv.holder);
  forward(t, 120_000);
  tv.restart();
  t.flush();
  assertOut(t, tv);
});

test('[P4] a verdict of revoked in a login puts out who is in with that very certificate; beside a good one of its name it does not', () => {
  const t = town();
  const tv = t.add('tv');
  t.verifiers[0]!.bent = dropped;
  t.verifiers[0]!.revoke(tv.holder);
  t.manager.verdictEnds.set(tv.id, t.clock.now()); // or the verdict of before would do
  const thief = t.add('thief', { holder: tv.holder, start: false });
  t.flush();
  assert.equal(thief.latest('loginDenied')?.reason, 'revoked');
  assertOut(t, tv);

  const place = town();
  const renewed = certify('tv', { ...DEVICE_WISHES }, place.ca);
  const good = place.add('tv');
  place.revoke(renewed);
  const bad = place.add('bad', { holder: renewed });
  assert.equal(bad.latest('loginDenied')?.reason, 'revoked');
  assert.equal(logged(place, 'device.evicted').length, 0);
  assert.ok(isIn(place, good), 'whoever shows a bad certificate of that name disturbs nobody');
});

// ── Peers ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The device has no link, and its peer is revoked meanwhile. */
function away(device: TownDevice, t: Town): () => void {
  t.meddler = ({ from, topic }) => (from === device.id || topic.endsWith(`/${device.id}`) ? [] : 'pass');
  device.breakLink();
  t.flush();
  return () => {
    t.meddler = () => 'pass';
  };
}

for (const restarted of [false, true]) {
  test(`[B6] a peer without a link learns at its next contact that the other was revoked${restarted ? ', after a restart of the manager too' : ''}`, () => {
    for (const role of ['caller', 'callee'] as const) {
      const pair = talking();
      const { town: t } = pair;
      const [peer, gone] = role === 'caller' ? [pair.caller, pair.callee] : [pair.callee, pair.caller];
      const back = away(peer, t);
      t.revoke(gone.holder);
      forward(t, 10_000);
      assert.deepEqual(closings(peer), [], 'it cannot know');
      if (restarted) t.restartManager();
      back();
      forward(t, 30_000);
      assert.ok(isIn(t, peer));
      assert.deepEqual(closings(peer), ['revoked by manager'], role);
      assert.equal(peer.state.sessions.size, 0);
    }
  });
}

test('[B6] a peer that comes never again closes when the life of the grant is over', () => {
  const { town: t, caller: router, callee: tv } = couple();
  router.call('tv', { lifetimeSeconds: 600 });
  t.flush();
  assert.equal(router.state.sessions.size, 1);
  away(router, t);
  t.revoke(tv.holder);
  t.advance(599_000);
  assert.equal(router.state.sessions.size, 1);
  t.advance(2000);
  assert.equal(router.state.sessions.size, 0);
});

test('[B6] on a broker that is not ours the link stays; everything else holds', () => {
  const pair = talking({ town: { outside: true } });
  const { town: t, caller: router, callee: tv } = pair;
  t.revoke(tv.holder);
  assert.ok(!t.manager.channels.has(tv.id) && !t.manager.sessionsOf.has(tv.id));
  assert.equal(t.store.get('resumption', tv.id), null);
  assert.notEqual(revokedAt(t, tv), null);
  assert.deepEqual(closings(router), ['revoked by manager']);
  router.call('tv');
  forward(t, 5000);
  assert.equal(refusal(router), 'revoked');
  assert.ok(packetsOf(t, E1).length > 0 && kindsSince(t).length > 0 && logged(t, 'device.evicted').length > 0);
});
