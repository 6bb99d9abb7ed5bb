/**
 * Users at devices: who is let in, and how a user is reached. [P21] [patent 0168, 0169, 0170, 0171]
 * @spec design §5.4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectRule } from '../../manager/policy.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { assertTalks, connect, session } from '../couple.ts';
import { AT, ca, certify, DAY, DEVICE_WISHES, root } from '../test-authority.ts';
import { town } from '../town.ts';
import {
  answerTo,
  type Forgery,
  failureOf,
  openAt,
  person,
  reachedBy,
  refusalOf,
  register,
  registration,
  sayTo,
  settle,
  USER_WISHES,
  usersOf,
} from './user-house.ts';

const allow = (from: string, to: string): ConnectRule => ({ from, to, allow: true });
const forbid = (from: string, to: string): ConnectRule => ({ from, to, allow: false });

// ── Reached ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] [patent 0168] [patent 0171] a connect to user:ID reaches the device where the medium is in, and both know by which certificate', () => {
  const t = town();
  const [router, tv, lamp] = [t.add('router'), t.add('tv'), t.add('lamp')] as const;
  const anna = person(t, 'anna');
  settle(t, tv, anna);
  assert.deepEqual([usersOf(t, tv), usersOf(t, lamp)], [['anna'], []]);
  const sid = connect({ town: t, caller: router, callee: tv }, 'user:anna');
  assertTalks({ town: t, caller: router, callee: tv }, sid);
  assert.equal(session(router, sid).user, session(tv, sid).user);
  assert.match(session(router, sid).user!, /^[0-9a-f]{64}$/);
  assert.equal(openAt(lamp).length, 0);
  const plain = connect({ town: t, caller: router, callee: tv }, 'tv');
  assert.equal(session(router, plain).user, null);
});

test('[P21] a mail address of the certificate names the user too, its domain whatever the case', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const anna = person(t, 'anna', { alternativeNames: [{ type: 'email', value: 'anna@Example.ORG' }] });
  settle(t, tv, anna, 'anna@example.org');
  connect({ town: t, caller: router, callee: tv }, 'user:anna@EXAMPLE.org');
  assert.match(refusalOf(t, router, 'user:Anna@example.org') ?? '', /^user-nowhere/, 'the local part as it stands');
});

test('[P21] a user who is nowhere: the caller hears so at once', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  assert.equal(refusalOf(t, router, 'user:anna'), 'user-nowhere: the user is at no device that may be asked');
  const anna = person(t, 'anna');
  settle(t, tv, anna);
  tv.pull(anna);
  assert.equal(refusalOf(t, router, 'user:anna'), 'user-nowhere: the user is at no device that may be asked');
});

test('[P21] a device whose name begins with user: is not taken for a user, nor a user for it', () => {
  const t = town();
  const [router, odd] = [t.add('router'), t.add('user:anna')] as const;
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^user-nowhere/);
  connect({ town: t, caller: router, callee: odd }, 'id:user:anna');
});

test('[P21] the user is at the caller itself: nobody calls himself', () => {
  const t = town();
  const router = t.add('router');
  settle(t, router, person(t, 'anna'));
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^self/);
});

test('[P21] who asks tells the callee which user is there, before whose device it is', () => {
  const listings = new Map([
    ['router' as DeviceId, { class: null, groups: [], user: 'owner' }],
    ['tv' as DeviceId, { class: null, groups: [], user: null }],
  ]);
  const t = town({ settings: { listings } });
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const terms = (sid: string) => t.manager.sessions.get(sid)!.flow.terms.about;
  assert.equal(terms(connect({ town: t, caller: router, callee: tv })).user, 'owner');
  const [anna, ben] = [person(t, 'anna'), person(t, 'ben')];
  settle(t, router, anna);
  settle(t, router, ben);
  assert.equal(terms(connect({ town: t, caller: router, callee: tv })).user, 'ben', 'the last one to come');
  router.pull(ben);
  assert.equal(terms(connect({ town: t, caller: router, callee: tv })).user, 'anna');
});

// ── Policy ──────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] who may not ask for a user hears the same whether that user is somewhere, nowhere or nobody', () => {
  const t = town({ settings: { connectPolicy: { rules: [forbid('router', 'user:*')], otherwise: 'allow' } } });
  const [router, tv, lamp] = [t.add('router'), t.add('tv'), t.add('lamp')] as const;
  settle(t, tv, person(t, 'anna'));
  const heard = ['user:anna', 'user:ben', 'user:'].map((name) => refusalOf(t, router, name));
  assert.deepEqual(new Set(heard).size, 1);
  assert.match(heard[0] ?? '', /^forbidden/);
  assert.deepEqual(
    ['user:anna', 'user:ben'].map((name) => refusalOf(t, lamp, name, { device: 'sofa' as DeviceId })?.split(':')[0]),
    ['user-nowhere', 'user-nowhere'],
  );
  connect({ town: t, caller: lamp, callee: tv }, 'user:anna');
});

test('[P21] a rule for a user goes by the name that was asked for; a device that is forbidden is none where the user is', () => {
  const rules = [forbid('*', 'group:safe'), allow('*', 'user:an*')];
  const listings = new Map([['vault' as DeviceId, { class: null, groups: ['safe'], user: null }]]);
  const t = town({ settings: { listings, connectPolicy: { rules, otherwise: 'deny' } } });
  const [router, tv, vault] = [t.add('router'), t.add('tv'), t.add('vault')] as const;
  const [anna, again] = [person(t, 'anna'), person(t, 'anna')];
  settle(t, vault, anna);
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^user-nowhere/, 'where it may not connect to');
  assert.match(refusalOf(t, router, 'user:ben') ?? '', /^forbidden/);
  settle(t, tv, again);
  connect({ town: t, caller: router, callee: tv }, 'user:anna');
  assert.match(refusalOf(t, router, 'tv') ?? '', /^forbidden/, 'the device itself was not allowed');
});

test('[P21] a rule may go by the user at the caller', () => {
  const t = town({ settings: { connectPolicy: { rules: [allow('user:anna', 'tv')], otherwise: 'deny' } } });
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const anna = person(t, 'anna');
  assert.match(refusalOf(t, router, 'tv') ?? '', /^forbidden/);
  settle(t, router, anna);
  connect({ town: t, caller: router, callee: tv });
  router.pull(anna);
  assert.match(refusalOf(t, router, 'tv') ?? '', /^forbidden/);
});

// ── Let in, or not ──────────────────────────────────────────────────────────────────────────────────────────────────

const WRONG_NAME = 'bad-user: wrong name: it is the certificate of somebody else';
const BAD_SIGNATURE = "bad-user: the signature is not that of the certificate's key over this channel and request";

test('[P21] [patent 0169] a registration by hand is taken, and the same again gets the same answer and no other verdict', () => {
  const t = town();
  const tv = t.add('tv');
  const message = registration(t, tv, person(t, 'anna'), 'anna');
  sayTo(t, tv, message);
  assert.equal(answerTo(t, tv, message), 'Done');
  const asked = t.verifiers[0]!.asked;
  sayTo(t, tv, message);
  assert.deepEqual([usersOf(t, tv), t.verifiers[0]!.asked], [['anna'], asked]);
});

test('[P21] [5.6 replay] a signature for another channel, device, user or request, or of another key: refused, and no verifier is asked', () => {
  const t = town();
  const [tv, lamp] = [t.add('tv'), t.add('lamp')] as const;
  const [anna, ben] = [
    person(t, 'anna', { alternativeNames: [{ type: 'email', value: 'a@b.example' }] }),
    person(t, 'ben'),
  ];
  const before = tv.state.channel!.channel.binding.slice();
  tv.breakLink();
  t.flush();
  assert.notDeepEqual(tv.state.channel!.channel.binding, before);
  const asked = t.verifiers[0]!.asked;
  const forgeries: Record<string, Forgery> = {
    'the channel before': { binding: before },
    'the channel of another device': { binding: lamp.state.channel!.channel.binding, device: lamp },
    'another device': { device: lamp },
    'another name of the user': { user: 'a@b.example' },
    'another request': { requestId: new Uint8Array(16) },
    'another key': { signer: ben },
  };
  for (const [what, forgery] of Object.entries(forgeries))
    assert.equal(register(t, tv, anna, 'anna', forgery), BAD_SIGNATURE, what);
  assert.equal(register(t, tv, anna, 'ben'), WRONG_NAME);
  assert.deepEqual([usersOf(t, tv), t.verifiers[0]!.asked], [[], asked]);
  assert.equal(register(t, tv, anna, 'anna'), 'Done');
});

test("[P21] [5.6 swapped certificate] a certificate of somebody else, signed for with a key of one's own", () => {
  const t = town();
  const tv = t.add('tv');
  const [anna, mallory] = [person(t, 'anna'), person(t, 'mallory')];
  assert.equal(register(t, tv, anna, 'anna', { signer: mallory }), BAD_SIGNATURE);
  assert.equal(register(t, tv, mallory, 'anna'), WRONG_NAME);
  assert.equal(register(t, tv, person(t, 'anna', { algorithm: 'p384' }), 'anna'), 'Done');
  assert.equal(register(t, tv, person(t, 'ann', { algorithm: 'ed25519' }), 'ann'), 'Done');
});

test('[P21] what the verifier says stands in the answer', () => {
  const t = town();
  const tv = t.add('tv');
  const [stranger, sub] = [ca(root('Foreign')), ca(t.root, 'Users CA')];
  const cases: Record<string, [ReturnType<typeof person>, string]> = {
    expired: [person(t, 'anna', { notAfter: AT - DAY / 2 }), 'bad-user: the verifier says: expired'],
    early: [person(t, 'anna', { notBefore: AT + DAY }), 'bad-user: the verifier says: not-yet-valid'],
    foreign: [certify('anna', USER_WISHES, stranger), 'bad-user: the verifier says: unknown-issuer'],
    'without its issuer': [certify('anna', USER_WISHES, sub), 'bad-user: the verifier says: unknown-issuer'],
    'of a device': [certify('anna', DEVICE_WISHES, t.ca), 'bad-user: the verifier says: wrong-purpose'],
    'of a device and a user': [
      person(t, 'anna', { extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriUser, EXTENDED_KEY_USAGE.kagimoriDevice] }),
      'bad-user: the verifier says: wrong-purpose',
    ],
    'of a manager': [
      person(t, 'anna', { extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriManager] }),
      'bad-user: the verifier says: wrong-purpose',
    ],
  };
  for (const [what, [user, said]] of Object.entries(cases)) assert.equal(register(t, tv, user, 'anna'), said, what);
  assert.deepEqual(usersOf(t, tv), []);
});

test("[P21] a user's certificate logs in nobody as a device, and a device's own registers it as no user", () => {
  const t = town();
  const odd = t.add('anna', { holder: person(t, 'anna') });
  assert.equal(odd.latest('loginDenied')?.reason, 'wrong-purpose');
  const tv = t.add('tv');
  assert.equal(register(t, tv, tv.holder, 'tv'), 'bad-user: the verifier says: wrong-purpose');
});

test('[P21] a name that begins with a space, and chains of garbage', () => {
  const t = town();
  const tv = t.add('tv');
  assert.equal(register(t, tv, person(t, ' anna'), ' anna'), WRONG_NAME);
  const garbage = { ...registration(t, tv, person(t, 'anna'), 'anna'), chain: [new Uint8Array(40).fill(0x30)] };
  sayTo(t, tv, garbage);
  assert.match(answerTo(t, tv, garbage), /^bad-user: the certificate cannot be read/);
});

test('[P21] [P8] a channel that only authenticates carries no user', () => {
  const t = town({ settings: { authenticateOnly: true } });
  const tv = t.add('tv', { settings: { authenticateOnly: true } });
  tv.insert(person(t, 'anna'));
  assert.deepEqual(usersOf(t, tv), []);
  assert.equal(tv.latest('userRefused')?.reason, 'authenticate-only');
});

test('[P21] four users at a device, and no fifth; so many requests in a second, and no more', () => {
  const t = town();
  const tv = t.add('tv');
  const people = ['a', 'b', 'c', 'd', 'e'].map((name) => person(t, name));
  const answers = people.map((one) => register(t, tv, one, one.certificate.subject.commonName!));
  assert.deepEqual(answers, ['Done', 'Done', 'Done', 'Done', 'too-many: a device takes 4 users at a time']);
  t.advance(1000);
  const flood = Array.from({ length: 30 }, () => registration(t, tv, people[0]!, 'a', { signer: people[1]! }));
  for (const one of flood) sayTo(t, tv, one);
  assert.equal(t.managerLogs.filter((line) => line.includes('user.refused')).length, 1 + 20);
  t.advance(1000);
  assert.equal(register(t, tv, people[0]!, 'a'), 'Done');
});

test('[P21] no verifier: nobody is let in, and who was judged stays', () => {
  const t = town();
  const [tv, lamp] = [t.add('tv'), t.add('lamp')] as const;
  settle(t, lamp, person(t, 'ben'));
  t.verifierAway = true;
  t.advance(4000);
  assert.match(register(t, tv, person(t, 'anna'), 'anna'), /^verifier-away/);
  assert.deepEqual(usersOf(t, lamp), ['ben']);
});

test('[P21] the disk refuses: the user is not there, and the device hears so', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  t.diskBroken = true;
  const message = registration(t, tv, person(t, 'anna'), 'anna');
  sayTo(t, tv, message);
  assert.match(answerTo(t, tv, message), /^internal-error/);
  assert.match(refusalOf(t, router, 'user:anna') ?? '', /^user-nowhere/);
  t.diskBroken = false;
  assert.equal(register(t, tv, person(t, 'anna'), 'anna'), 'Done');
});

// ── Waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P21] a caller waits for a user who is nowhere, and is connected when the medium is put in', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const call = router.call('user:anna', { waitSeconds: 30, timeoutSeconds: 60 });
  t.advance(20_000);
  assert.deepEqual([failureOf(router, call), reachedBy(router, call), t.manager.users.parked.size], [null, null, 1]);
  settle(t, tv, person(t, 'anna'));
  assert.deepEqual([reachedBy(router, call), t.manager.users.parked.size], ['tv', 0]);
});

test('[P21] the wait is over: user-nowhere, and nothing is left of it', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const call = router.call('user:anna', { waitSeconds: 10, timeoutSeconds: 60 });
  t.advance(9000);
  assert.equal(failureOf(router, call), null);
  t.advance(2000);
  assert.match(failureOf(router, call) ?? '', /^user-nowhere/);
  settle(t, tv, person(t, 'anna'));
  assert.deepEqual([openAt(router).length, t.manager.users.parked.size], [0, 0]);
});

test('[P21] who waits for one device of a user is not connected to another', () => {
  const t = town();
  const [router, tv, lamp] = [t.add('router'), t.add('tv'), t.add('lamp')] as const;
  const call = router.call('user:anna', { waitSeconds: 30, timeoutSeconds: 60, device: 'lamp' as DeviceId });
  t.flush();
  settle(t, tv, person(t, 'anna'));
  assert.deepEqual([failureOf(router, call), reachedBy(router, call)], [null, null]);
  settle(t, lamp, person(t, 'anna'));
  assert.equal(reachedBy(router, call), 'lamp');
});

test('[P21] a wait ends with the channel of the caller, and goes on with the next one', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const call = router.call('user:anna', { waitSeconds: 30, timeoutSeconds: 60 });
  t.flush();
  t.meddler = ({ from }) => (from === 'router' ? [] : 'pass');
  router.breakLink();
  t.flush();
  assert.equal(t.manager.users.parked.size, 0);
  t.meddler = () => 'pass';
  t.advance(5000);
  assert.equal(t.manager.users.parked.size, 1, 'asked for again');
  settle(t, tv, person(t, 'anna'));
  assert.equal(reachedBy(router, call), 'tv');
});

test('[P21] waits are bounded for each caller, and a repeated Connect is the same wait', () => {
  const t = town();
  const router = t.add('router');
  const calls = Array.from({ length: 9 }, (_, i) => router.call(`user:u${i}`, { waitSeconds: 30, timeoutSeconds: 60 }));
  t.flush();
  assert.equal(t.manager.users.parked.size, 8);
  assert.match(failureOf(router, calls[8]!) ?? '', /^too-many/);
  const nonceA = router.state.calls.get(calls[0]!)!.nonceA;
  sayTo(t, router, { kind: 'Connect', nonceA, callee: 'user:u0', wait: 30 });
  assert.deepEqual([t.manager.users.parked.size, failureOf(router, calls[0]!)], [8, null]);
});

test('[P21] a wait that the caller takes back is over', () => {
  const t = town();
  const [router, tv] = [t.add('router'), t.add('tv')] as const;
  const call = router.call('user:anna', { waitSeconds: 30, timeoutSeconds: 60 });
  t.flush();
  sayTo(t, router, { kind: 'Cancel', nonceA: router.state.calls.get(call)!.nonceA });
  assert.equal(t.manager.users.parked.size, 0);
  settle(t, tv, person(t, 'anna'));
  assert.equal(openAt(tv).length, 0);
});
