/**
 * A user at several devices: the last one, all at once, or the one that the caller names; and what operators see of it.
 * [P21] [patent 0171]
 * @spec design §5.4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainConnect } from '../../manager/explanation.ts';
import { userControl } from '../../manager/user-control.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { proposal, town } from '../town.ts';
import type { TownDevice } from '../town-plan.ts';
import { failureOf, openAt, person, reachedBy, refusalOf, sayTo, settle } from './user-house.ts';

const several = (how: 'most-recent' | 'all' | 'ask', calleeSettings: Partial<TownDevice['state']['settings']> = {}) => {
  const t = town({ settings: { users: { several: how, onLeave: 'end' } } });
  const router = t.add('router');
  const [tv, lamp] = [t.add('tv', { settings: calleeSettings }), t.add('lamp', { settings: calleeSettings })] as const;
  const [one, other] = [person(t, 'anna'), person(t, 'anna')];
  settle(t, tv, one);
  settle(t, lamp, other);
  return { t, router, tv, lamp, one, other };
};

test('[P21] [patent 0171] several devices, most recent: the one where the user came last', () => {
  const { t, router, tv, lamp, other } = several('most-recent');
  const peer = (): string | null => {
    const call = router.call('user:anna');
    t.flush();
    return reachedBy(router, call);
  };
  assert.equal(peer(), 'lamp');
  tv.breakLink(); // comes back, and registers again: it is not where the user came last
  t.flush();
  assert.equal(peer(), 'lamp');
  lamp.pull(other);
  assert.equal(peer(), 'tv');
});

test('[P21] several devices, ask: the caller hears which and chooses; who may not connect hears nothing', () => {
  const { t, router } = several('ask');
  assert.equal(refusalOf(t, router, 'user:anna'), 'several-devices: lamp, tv');
  const call = router.call('user:anna', { device: 'tv' as DeviceId });
  t.flush();
  assert.equal(reachedBy(router, call), 'tv');
  assert.match(refusalOf(t, router, 'user:anna', { device: 'router' as DeviceId }) ?? '', /^user-nowhere/);
});

test('[P21] several devices, all: everywhere it rings, the first yes has the call, and it is withdrawn at the others', () => {
  const { t, router, tv, lamp } = several('all', {
    approval: { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false },
  });
  const call = router.call('user:anna');
  t.flush();
  const asked = (device: TownDevice): string | undefined => device.latest('asked')?.sid;
  assert.ok(asked(tv) !== undefined && asked(lamp) !== undefined && asked(tv) !== asked(lamp));
  sayTo(t, tv, { kind: 'Answer', sid: Buffer.from(asked(tv)!, 'hex'), nonceB: tv.crypto.random(16) });
  t.flush();
  assert.equal(lamp.latest('askWithdrawn')?.reason, 'withdrawn');
  assert.equal(t.manager.sessions.size, 1);
  assert.equal(t.manager.sessions.values().next().value?.flow.terms.callee.id, 'tv');
  assert.equal(failureOf(router, call), null);
});

test('[P21] several devices, all: refused only when the last has refused, and a yes after a no has the call', () => {
  const { t, router, tv, lamp } = several('all', {
    approval: { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false },
  });
  const say = (device: TownDevice, answer: { nonceB: Uint8Array } | { reason: 'refused-by-user' }): void =>
    sayTo(t, device, { kind: 'Answer', sid: Buffer.from(device.latest('asked')!.sid, 'hex'), ...answer });
  const first = router.call('user:anna');
  t.flush();
  say(tv, { reason: 'refused-by-user' });
  assert.equal(failureOf(router, first), null);
  say(lamp, { reason: 'refused-by-user' });
  assert.match(failureOf(router, first) ?? '', /^refused-by-user/);
  assert.deepEqual([t.manager.sessions.size, t.manager.sessionsOfCall.size], [0, 0]);
  const second = router.call('user:anna');
  t.flush();
  say(tv, { reason: 'refused-by-user' });
  say(lamp, { nonceB: lamp.crypto.random(16) });
  t.flush();
  assert.equal(failureOf(router, second), null);
  assert.deepEqual(
    [...t.manager.sessions.values()].map(({ flow }) => flow.terms.callee.id),
    ['lamp'],
  );
});

test('[P21] several devices, all: who approved beforehand has it, and nobody else is asked', () => {
  const { t, router, tv, lamp } = several('all');
  sayTo(t, tv, {
    kind: 'Approve',
    requestId: tv.crypto.random(16),
    caller: router.id,
    lifetime: 86_400,
    nonces: [tv.crypto.random(16)],
  });
  router.call('user:anna');
  t.flush();
  assert.equal(lamp.latest('asked'), undefined);
  assert.equal(lamp.latest('askApproved'), undefined);
});

test('[P21] several devices, all: one that has no suite in common is left out', () => {
  const t = town({ settings: { users: { several: 'all', onLeave: 'end' } } });
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const lamp = t.add('lamp', { proposals: [proposal('aes-ccm', 256)] });
  settle(t, tv, person(t, 'anna'));
  settle(t, lamp, person(t, 'anna'));
  const call = router.call('user:anna');
  t.flush();
  assert.equal(reachedBy(router, call), 'tv');
});

// ── Operators ───────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] the operator sees who is where, and ends it at every device', async () => {
  const { t, router, tv } = several('most-recent');
  const call = router.call('user:anna', { device: tv.id });
  t.flush();
  assert.equal(reachedBy(router, call), 'tv');
  const control = userControl({
    state: t.manager,
    world: () => t.world(),
    stored: (change) =>
      new Promise((resolve, reject) => {
        t.runManager(() => change((failure) => (failure === null ? resolve() : reject(new Error(failure)))));
        t.flush();
      }),
  });
  const ask = (name: string, args = {}) =>
    control[name]!(args, () => {}, new AbortController().signal) as Promise<Record<string, unknown>>;
  const listed = (await ask('user.list')) as unknown as { user: string; device: string; sessions: string[] }[];
  assert.deepEqual(
    listed.map(({ user, device, sessions }) => [user, device, sessions.length]),
    [
      ['anna', 'tv', 1],
      ['anna', 'lamp', 0],
    ],
  );
  const shown = await ask('user.show', { id: 'anna' });
  assert.deepEqual(
    [(shown.places as { device: string }[]).map(({ device }) => device), shown.waiting],
    [['lamp', 'tv'], 0],
  );
  assert.deepEqual(await ask('user.remove', { id: 'anna' }), { user: 'anna', devices: ['lamp', 'tv'] });
  assert.deepEqual([t.manager.users.at.size, openAt(router), [...t.store.entries('users')].length], [0, [], 0]);
  await assert.rejects(ask('user.remove', { id: 'anna' }), /anna is at no device: kagimori user list/);
});

test('[P21] [B8] a connect to a user is explained by the device where the user is', () => {
  const { t, router } = several('ask');
  const question = { caller: router.id, callee: 'user:anna', allowUnencrypted: false, messageBytes: null, at: null };
  const explained = explainConnect(t.manager, question, t.world()) as { callee: { id: string }; connect: object };
  assert.equal(explained.callee.id, 'lamp');
  assert.deepEqual(explained.connect, {
    refused: 'several-devices',
    because: 'the user is at several devices, and users.several of the configuration has the caller name one',
  });
  assert.deepEqual(explainConnect(t.manager, { ...question, callee: 'user:ben' }, t.world()), { unknown: 'user:ben' });
});
