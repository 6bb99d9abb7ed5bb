/**
 * Users who leave, and who walk from device to device: what was made to them, and grants that cross their going. [P21]
 * [patent 0170, 0171]
 * @spec design §5.4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { removeDevice } from '../../manager/channels.ts';
import { stepSession } from '../../manager/sessions.ts';
import type { UserSettings } from '../../manager/state.ts';
import { userLeaves } from '../../manager/user-leaving.ts';
import { toHex } from '../../protocol/bytes.ts';
import { assertTalks, connect, ending } from '../couple.ts';
import type { Holder } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Packet, Town, TownDevice } from '../town-plan.ts';
import {
  answerTo,
  failureOf,
  openAt,
  person,
  reachedBy,
  refusalOf,
  register,
  registration,
  sayTo,
  settle,
  usersOf,
} from './user-house.ts';

interface Visit {
  readonly t: Town;
  readonly router: TownDevice;
  readonly tv: TownDevice;
  readonly lamp: TownDevice;
  readonly anna: Holder;
}

function visit(onLeave: UserSettings['onLeave'] = 'end', approval: 'allow' | 'ask' = 'allow'): Visit {
  const t = town({ settings: { users: { several: 'most-recent', onLeave } } });
  const settings = { approval: { rules: [], otherwise: approval, askTimeoutSeconds: 30, busy: false } } as const;
  const router = t.add('router');
  const [tv, lamp] = [t.add('tv', { settings }), t.add('lamp', { settings })] as const;
  const anna = person(t, 'anna');
  settle(t, tv, anna);
  return { t, router, tv, lamp, anna };
}

const leafOf = ({ t, anna }: Visit): string => toHex(t.managerCrypto.hash('sha-256', anna.certificate.der));
const removal = ({ t, anna, tv }: Visit) =>
  ({
    kind: 'RemoveUser',
    requestId: tv.crypto.random(16),
    leaf: t.managerCrypto.hash('sha-256', anna.certificate.der),
  }) as const;
/** Grants that a device of the town was sent. */
const grants = (t: Town): number => t.managerLogs.filter((line) => line.includes('session.granted')).length;

// ── What ends ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] [patent 0170] the medium is taken out: what was made to the user ends at both at once, the rest goes on', () => {
  const { t, router, tv, anna } = visit();
  const toUser = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  const toDevice = connect({ town: t, caller: router, callee: tv });
  tv.pull(anna);
  assert.deepEqual([usersOf(t, tv), openAt(router), openAt(tv)], [[], [toDevice], [toDevice]]);
  assert.match(ending(router), /^user-gone/);
  assertTalks({ town: t, caller: router, callee: tv }, toDevice);
  assert.ok(!t.manager.sessions.has(toUser));
  assert.equal([...t.store.entries('users')].length, 0);
});

test('[P21] [patent 0170] the manager ends it by itself where the device says no more than that the user has left', () => {
  for (const onLeave of ['end', 'follow'] as const) {
    const house = visit(onLeave);
    const { t, router, tv } = house;
    connect({ town: t, caller: router, callee: tv }, 'user:anna');
    sayTo(t, tv, removal(house));
    assert.deepEqual([openAt(router), openAt(tv)], [[], []]);
    assert.match(ending(router), onLeave === 'end' ? /^user-gone/ : /^user-moved/);
  }
});

test('[P21] one of two users leaves: what was made to the other goes on', () => {
  const { t, router, tv, anna } = visit();
  const ben = person(t, 'ben');
  settle(t, tv, ben);
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  const toBen = connect({ town: t, caller: router, callee: tv }, 'user:ben');
  tv.pull(anna);
  assert.deepEqual([openAt(router), openAt(tv), usersOf(t, tv)], [[toBen], [toBen], ['ben']]);
});

test('[P21] who says that a user of another device has left is told so, and nothing comes of it', () => {
  const house = visit();
  const { t, tv, lamp } = house;
  const message = removal(house);
  sayTo(t, lamp, message);
  assert.deepEqual(usersOf(t, tv), ['anna']);
});

test('[P21] a removal is answered when it is on disk, and repeated as often as one likes', () => {
  const house = visit();
  const { t, tv } = house;
  const message = removal(house);
  for (let i = 0; i < 3; i++) sayTo(t, tv, message);
  sayTo(t, tv, removal(house));
  assert.deepEqual([usersOf(t, tv), [...t.store.entries('users')].length], [[], 0]);
});

// ── Following ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] [patent 0171] follow: the caller goes on with the user at the next device, by keys of their own', () => {
  const { t, router, tv, lamp, anna } = visit('follow');
  const first = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  tv.pull(anna);
  assert.match(ending(router), /^user-moved/);
  const left = t.clock.now();
  t.advance(3000);
  settle(t, lamp, anna);
  const [second] = openAt(router);
  assert.ok(second !== undefined && second !== first);
  assert.deepEqual([openAt(lamp), openAt(tv)], [[second], []]);
  assertTalks({ town: t, caller: router, callee: lamp }, second);
  assert.ok(t.clock.now() - left <= 5000);
});

test('[P21] follow: the user is at another device already, and the session passes there within the moment', () => {
  const { t, router, tv, lamp, anna } = visit('follow');
  settle(t, lamp, person(t, 'anna'));
  tv.breakLink();
  t.flush();
  const call = router.call('user:anna', { device: tv.id });
  t.flush();
  assert.equal(reachedBy(router, call), 'tv');
  tv.pull(anna);
  assert.deepEqual([openAt(tv).length, openAt(lamp).length], [0, 1]);
});

// ── One medium, two devices ─────────────────────────────────────────────────────────────────────────────────────────

test('[P21] one certificate in two devices at once: the second is refused, the first stays', () => {
  const { t, router, tv, lamp, anna } = visit();
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  lamp.insert(anna);
  assert.equal(lamp.latest('userRefused')?.reason, 'user-elsewhere');
  assert.deepEqual([usersOf(t, tv), usersOf(t, lamp)], [['anna'], []]);
  assertTalks({ town: t, caller: router, callee: tv }, sid);
  assert.ok(t.managerLogs.some((line) => line.startsWith('warn user.elsewhere')));
});

test('[P21] the medium is in elsewhere and the first device does not have it any more: the user moves', () => {
  const { t, router, tv, lamp, anna } = visit();
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  // the removal is lost on its way
  t.meddler = ({ from, topic }) => (from === 'tv' && topic.includes('/m/') ? [] : 'pass');
  tv.pull(anna);
  t.meddler = () => 'pass';
  assert.deepEqual(usersOf(t, tv), ['anna']);
  settle(t, lamp, anna);
  assert.deepEqual([usersOf(t, tv), usersOf(t, lamp), openAt(router)], [[], ['anna'], []]);
});

test('[P21] a first device that does not answer within 2 s has lost the user', () => {
  const { t, tv, lamp, anna } = visit();
  t.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  lamp.insert(anna);
  t.advance(1900);
  assert.deepEqual([usersOf(t, tv), usersOf(t, lamp)], [['anna'], []]);
  t.advance(200);
  assert.deepEqual([usersOf(t, tv), usersOf(t, lamp)], [[], ['anna']]);
});

test('[P21] two devices show one certificate in the same moment: exactly one has the user', () => {
  const t = town();
  const [tv, lamp] = [t.add('tv'), t.add('lamp')] as const;
  const anna = person(t, 'anna');
  const held = [tv, lamp].map((device) => ({ device, message: registration(t, device, anna, 'anna') }));
  t.verifierAway = true;
  for (const { device, message } of held) sayTo(t, device, message);
  t.verifierAway = false;
  // both questions are asked again at once, as after an event that was missed
  t.verifiers[0]!.restart(person(t, 'somebody'));
  t.verifiers[0]!.speakAtOnce();
  t.flush();
  const answers = held.map(({ device, message }) => answerTo(t, device, message).split(':')[0]).sort();
  assert.deepEqual(answers, ['Done', 'user-elsewhere']);
  assert.equal(usersOf(t, tv).length + usersOf(t, lamp).length, 1);
});

// ── The device below ────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] a device that comes back within 60 s has its user still, proven on the new channel; one that does not has lost him', () => {
  const { t, router, tv } = visit();
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  const proven = (): boolean => t.manager.users.proven.size === 1;
  tv.breakLink();
  t.flush();
  assert.ok(proven());
  t.advance(61_000);
  assert.deepEqual([usersOf(t, tv), openAt(router)], [['anna'], [sid]]);
  t.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  tv.breakLink();
  t.advance(59_000);
  assert.deepEqual([usersOf(t, tv), proven()], [['anna'], false]);
  t.advance(2000);
  assert.deepEqual([usersOf(t, tv), openAt(router)], [[], []]);
  t.meddler = () => 'pass';
});

test('[P21] a device that starts anew without the medium has lost its user 60 s later, and sessions to him are not renewed meanwhile', () => {
  const { t, router, tv } = visit();
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  tv.restart();
  t.flush();
  assert.equal(openAt(tv).length, 0, 'nobody there whose medium is in');
  t.advance(61_000);
  assert.deepEqual([usersOf(t, tv), t.manager.sessions.size, openAt(router)], [[], 0, []]);
});

test('[P21] a device that comes and goes without its medium keeps no user by that, and one that proves him each time does', () => {
  for (const isIn of [false, true]) {
    const { t, tv, anna } = visit();
    for (let times = 0; times < 6; times++) {
      if (isIn) tv.breakLink();
      else tv.restart(); // it has forgotten what was in, and says nothing of it
      t.advance(50_000);
    }
    assert.deepEqual(usersOf(t, tv), isIn ? ['anna'] : [], anna.certificate.subject.commonName ?? '');
  }
});

test('[P21] a device that is removed takes its users with it', () => {
  const { t, router, tv } = visit();
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.runManager((state) => removeDevice(state, tv.id, t.world()));
  assert.deepEqual([t.manager.users.at.size, [...t.store.entries('users')].length], [0, 0]);
  t.flush(); // with a good certificate it logs in as new, and its user is there again
  assert.deepEqual([usersOf(t, tv), openAt(router)], [['anna'], []]);
});

test('[P21] a revoked device takes its users with it', () => {
  const { t, router, tv } = visit();
  t.revoke(tv.holder);
  assert.equal(t.manager.users.at.size, 0);
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^user-nowhere/);
});

test('[P21] [B7] the manager dies: no registration is lost, sessions to users stand, and every medium is proven anew', () => {
  const { t, router, tv } = visit();
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.restartManager();
  assert.deepEqual(usersOf(t, tv), ['anna']);
  t.advance(61_000);
  assert.deepEqual([usersOf(t, tv), openAt(router)], [['anna'], [sid]]);
  assert.deepEqual(t.manager.sessions.get(sid)?.flow.terms.user?.id, 'anna');
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
});

test('[P21] [B7] the medium is pulled while the manager is dead: the user is gone when it is back', () => {
  const { t, router, tv, anna } = visit();
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.diskFrozen = true;
  tv.pull(anna);
  t.restartManager();
  t.flush();
  t.advance(61_000);
  assert.deepEqual([usersOf(t, tv), openAt(router), openAt(tv)], [[], [], []]);
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^user-nowhere/);
});

// ── Crossings ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] taken out while the verifier judges: the answer changes nothing', () => {
  const t = town();
  const tv = t.add('tv');
  const anna = person(t, 'anna');
  const message = registration(t, tv, anna, 'anna');
  t.verifierAway = true;
  sayTo(t, tv, message);
  assert.equal(t.manager.users.pending.size, 1);
  assert.match(register(t, tv, anna, 'anna'), /^too-many: this user is being registered already/);
  sayTo(t, tv, {
    kind: 'RemoveUser',
    requestId: tv.crypto.random(16),
    leaf: t.managerCrypto.hash('sha-256', anna.certificate.der),
  });
  t.verifierAway = false;
  t.verifiers[0]!.restart(person(t, 'somebody'));
  t.verifiers[0]!.speakAtOnce();
  t.flush();
  assert.deepEqual([usersOf(t, tv), t.manager.users.pending.size], [[], 0]);
});

test('[P21] taken out while it is stored: neither memory nor disk has the user', () => {
  const t = town();
  const tv = t.add('tv');
  const anna = person(t, 'anna');
  tv.run(() => {});
  const leaf = t.managerCrypto.hash('sha-256', anna.certificate.der);
  sayTo(t, tv, registration(t, tv, anna, 'anna'), { kind: 'RemoveUser', requestId: tv.crypto.random(16), leaf });
  assert.deepEqual([usersOf(t, tv), [...t.store.entries('users')].length], [[], 0]);
});

/** Before the callee was asked, when it has been, between its yes and the disk, and after the disk. */
const MOMENTS = ['asked', 'approved', 'stored'] as const;
for (const moment of MOMENTS) {
  test(`[P21] no grant for a user who has left: ${moment}`, () => {
    const house = visit('end', 'ask');
    const { t, router, tv, lamp } = house;
    settle(t, lamp, person(t, 'ben'));
    const call = router.call('user:anna');
    t.flush();
    const sid = tv.latest('asked')!.sid;
    const yes = { kind: 'Answer', sid: Buffer.from(sid, 'hex'), nonceB: tv.crypto.random(16) } as const;
    if (moment === 'asked') sayTo(t, tv, removal(house), yes);
    if (moment === 'approved') sayTo(t, tv, yes, removal(house));
    if (moment === 'stored') {
      t.diskFrozen = true; // the commit is never answered
      sayTo(t, tv, yes);
      assert.equal(t.manager.sessions.get(sid)?.flow.state, 'storing');
      t.runManager((state) => userLeaves(state, leafOf(house), 'user-gone', t.world()));
      t.diskFrozen = false;
      t.runManager((state) => stepSession(state, sid, { type: 'stored', epoch: 0 }, t.world()));
    }
    t.flush();
    assert.deepEqual([grants(t), openAt(router), openAt(tv)], [0, [], []]);
    assert.match(failureOf(router, call) ?? '', /^user-gone/);
    t.advance(60_000);
    assert.equal(t.manager.sessions.size, 0);
  });
}

test('[P21] the user moves while the callee is asked: the yes of the device that was left counts for nothing', () => {
  const house = visit('end', 'ask');
  const { t, router, tv, lamp, anna } = house;
  router.call('user:anna');
  t.flush();
  const yes = {
    kind: 'Answer',
    sid: Buffer.from(tv.latest('asked')!.sid, 'hex'),
    nonceB: tv.crypto.random(16),
  } as const;
  tv.pull(anna);
  settle(t, lamp, anna);
  sayTo(t, tv, yes);
  assert.deepEqual([grants(t), t.manager.sessions.size], [0, 0]);
});

test('[P21] keys are lost and the user has left: the session is not granted again', () => {
  const house = visit();
  const { t, router, tv } = house;
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  const before = grants(t);
  t.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  router.restart();
  t.flush();
  t.runManager((state) => userLeaves(state, leafOf(house), 'user-gone', t.world()));
  t.meddler = () => 'pass';
  t.advance(10_000);
  assert.deepEqual([grants(t), openAt(router), openAt(tv)], [before, [], []]);
});

test('[P21] a registration of the channel before counts for nothing on the next', () => {
  const t = town();
  const tv = t.add('tv');
  const message = registration(t, tv, person(t, 'anna'), 'anna');
  tv.breakLink();
  t.flush();
  sayTo(t, tv, message);
  assert.match(answerTo(t, tv, message), /^bad-user: the signature/);
  assert.equal(register(t, tv, person(t, 'anna'), 'anna'), 'Done');
});

test('[P21] the channel is replaced while the verifier judges: what was signed for the one before registers nobody', () => {
  const t = town();
  const tv = t.add('tv');
  const held: Packet[] = [];
  t.meddler = (packet) => (packet.from === 'verifier' && held.push(packet) > 0 ? [] : 'pass');
  const message = registration(t, tv, person(t, 'anna'), 'anna');
  sayTo(t, tv, message);
  assert.equal(held.length, 1);
  tv.breakLink();
  t.flush();
  t.meddler = () => 'pass';
  t.inject(held[0]!.topic, held[0]!.payload);
  t.flush();
  assert.deepEqual([usersOf(t, tv), t.manager.users.pending.size], [[], 0]);
});

test('[P21] [B7] the manager dies between the end of a user on disk and that of a session: there is no such session any more', () => {
  const house = visit();
  const { t, router, tv } = house;
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  void t.store.commit([{ table: 'users', key: leafOf(house), value: null }]);
  t.restartManager();
  t.advance(2000);
  assert.deepEqual([t.manager.sessions.has(sid), openAt(router), openAt(tv)], [false, [], []]);
});
