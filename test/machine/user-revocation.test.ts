/**
 * The certificate of a user who is at a device is revoked, or nobody can say whether it is. [P21] [P4] [B6]
 * @spec design §5.1
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bearerOf } from '../../manager/bearer.ts';
import { mayGoOn } from '../../manager/connects.ts';
import type { Terms } from '../../manager/terms.ts';
import { userVerdictDue } from '../../manager/users.ts';
import { isJudged, mayBeGranted } from '../../manager/verdict-age.ts';
import { toHex } from '../../protocol/bytes.ts';
import { assertTalks, connect, ending } from '../couple.ts';
import { ca, type Holder } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownDevice, TownWishes } from '../town-plan.ts';
import { openAt, person, refusalOf, register, settle, usersOf } from './user-house.ts';

interface House {
  readonly t: Town;
  readonly router: TownDevice;
  readonly tv: TownDevice;
  readonly anna: Holder;
}

function house(wishes: TownWishes = {}): House {
  const t = town(wishes);
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const anna = person(t, 'anna');
  settle(t, tv, anna);
  return { t, router, tv, anna };
}

const bearer = ({ t, anna }: House) => bearerOf(toHex(t.managerCrypto.hash('sha-256', anna.certificate.der)));

test('[P21] [B6] a user is revoked: out within the step that hears it, and told so to whoever spoke with him', () => {
  const { t, router, tv, anna } = house();
  const toUser = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  const toDevice = connect({ town: t, caller: router, callee: tv });
  const at = t.clock.now();
  t.revoke(anna);
  assert.equal(t.clock.now(), at);
  assert.deepEqual([usersOf(t, tv), openAt(router), openAt(tv)], [[], [toDevice], [toDevice]]);
  assert.match(ending(router), /^revoked/);
  assert.equal([...t.store.entries('users')].length, 0);
  assert.ok(t.manager.revocation.endedAsRevoked.has(toUser));
  assertTalks({ town: t, caller: router, callee: tv }, toDevice);
  const { asked } = t.verifiers[0]!;
  assert.equal(register(t, tv, anna, 'anna'), "revoked: the user's certificate is revoked");
  assert.equal(t.verifiers[0]!.asked, asked, 'that was told a moment ago');
  t.advance(61_000); // a verifier says it too
  assert.equal(register(t, tv, anna, 'anna'), "revoked: the user's certificate is revoked");
});

test('[P21] [B6] by its key, or with the CA that issued it', () => {
  const byKey = house();
  byKey.t.verifiers[0]!.revokeKeys(byKey.anna);
  byKey.t.flush();
  assert.deepEqual(usersOf(byKey.t, byKey.tv), []);
  const t = town();
  const tv = t.add('tv', { issuer: ca(t.root, 'Devices CA') });
  settle(t, tv, person(t, 'anna'));
  t.revoke(t.ca);
  assert.equal(t.manager.users.at.size, 0);
});

test('[P21] [B6] the device is revoked and not the user: the user may be elsewhere at once', () => {
  const { t, tv, anna } = house();
  const lamp = t.add('lamp');
  t.revoke(tv.holder);
  settle(t, lamp, anna);
});

test('[P21] [B6] an event was missed: the user is in doubt, judged anew, and reached again', () => {
  const visit = house();
  const { t, router, tv, anna } = visit;
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.manager.revocation.doubtful.add(bearer(visit));
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^verifier-away/);
  t.manager.revocation.doubtful.clear();
  // another process of the verifier, which knows of a revocation that nobody told
  t.verifiers[0]!.restart(anna);
  t.advance(5000);
  assert.deepEqual([usersOf(t, tv), openAt(router).includes(sid)], [[], false]);
});

test('[P21] [B6] an event was missed and nothing is wrong: everybody is judged anew, users too, and stays', () => {
  const visit = house();
  const { t, router, tv } = visit;
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  const asked = t.verifiers[0]!.asked;
  t.verifiers[0]!.restart(person(t, 'somebody'));
  t.advance(5000);
  assert.ok(t.verifiers[0]!.asked - asked >= 3, 'two devices and the user');
  assert.deepEqual([usersOf(t, tv), openAt(router), t.manager.revocation.doubtful.size], [['anna'], [sid], 0]);
  assert.ok(isJudged(t.manager, bearer(visit), t.world()));
});

test('[P21] [B6] silence: what stands goes on, nothing new is made to the user', () => {
  const { t, router, tv } = house();
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.verifierAway = true;
  t.advance(4000);
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^verifier-away/);
  assertTalks({ town: t, caller: router, callee: tv }, sid);
});

test('[P21] [P4] a verdict on a user grows old: it is asked for again in time, and over its age sessions to him end', () => {
  const visit = house({ verdictMaxAge: 100 });
  const { t, router, tv } = visit;
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.advance(250_000);
  assert.deepEqual([usersOf(t, tv), openAt(router).length], [['anna'], 1]);
  // of the user alone no verdict comes any more
  t.manager.verdictEnds.set(bearer(visit), t.clock.now());
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^verifier-away/);
  connect({ town: t, caller: router, callee: tv });
});

test('[P21] [B6] an eviction that the disk refuses is tried again until it is there', () => {
  const { t, tv, anna } = house();
  t.diskBroken = true;
  t.revoke(anna);
  assert.deepEqual(usersOf(t, tv), []);
  assert.equal([...t.store.entries('users')].length, 1);
  t.diskBroken = false;
  t.advance(6000);
  assert.equal([...t.store.entries('users')].length, 0);
});

test('[P21] [B7] a user who was revoked while the manager was dead is out when it is back', () => {
  const { t, tv, anna } = house();
  t.diskFrozen = true;
  t.revoke(anna);
  t.restartManager();
  t.advance(5000);
  assert.deepEqual(usersOf(t, tv), []);
});

test('[P21] [B7] a user who is revoked before the device is back after a restart of the manager is out at once', () => {
  const { t, tv, anna } = house();
  t.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  t.restartManager();
  assert.deepEqual(usersOf(t, tv), ['anna']);
  t.revoke(anna);
  assert.deepEqual(usersOf(t, tv), []);
});

test('[P21] [P4] a verdict over its age ends what was made to the user, who is reached again with the next', () => {
  const visit = house();
  const { t, router, tv } = visit;
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  t.meddler = ({ from }) => (from === 'verifier' ? [] : 'pass');
  t.manager.verdictEnds.set(bearer(visit), t.clock.now());
  t.runManager((state) => userVerdictDue(state, bearer(visit).slice(1), t.world()));
  t.flush();
  assert.deepEqual([openAt(router), usersOf(t, tv)], [[], ['anna']]);
  assert.match(ending(router), /^verifier-away/);
  t.meddler = () => 'pass';
  t.advance(6000);
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
});

test('[P21] [B6] every grant asks whether the user is still at this very device, under this name, and judged', () => {
  const visit = house();
  const { t, router, tv } = visit;
  const lamp = t.add('lamp');
  const { terms } = t.manager.sessions.get(connect({ town: t, caller: router, callee: tv }, 'user:anna'))!.flow;
  const may = (change: Partial<Terms> = {}): [boolean, boolean] => {
    const asked = { ...terms, ...change };
    return [mayBeGranted(t.manager, asked, t.world()), mayGoOn(t.manager, asked)];
  };
  const { user } = terms;
  assert.deepEqual(may(), [true, true]);
  assert.deepEqual(may({ callee: { ...terms.callee, id: lamp.id } }), [false, false]);
  assert.deepEqual(may({ user: { ...user!, id: 'ben' } }), [false, false]);
  assert.deepEqual(may({ user: { ...user!, leaf: new Uint8Array(32) } }), [false, false]);
  t.manager.revocation.doubtful.add(bearer(visit));
  assert.deepEqual(may(), [false, true]);
});
