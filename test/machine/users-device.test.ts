/**
 * Users at a device (P21): what the agent says of them, and what is left when a medium is taken out.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk } from '../../device-agent/answering.ts';
import { userFault } from '../../device-agent/users.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import { MAX_USERS } from '../../protocol/messages.ts';
import type { Topic } from '../../protocol/units.ts';
import { readUserStatement, userStatement } from '../../protocol/user-proof.ts';
import { certify, DEVICE_WISHES, type Holder } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town, TownDevice, TownWishes } from '../town-plan.ts';

const USER_WISHES = { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriUser] };
const person = (t: Town, name: string): Holder => certify(name, USER_WISHES, t.ca);

function scene(wishes: TownWishes = {}) {
  const t = town(wishes);
  const [lamp, tv, radio] = ['lamp', 'tv', 'radio'].map((name) => t.add(name)) as [TownDevice, TownDevice, TownDevice];
  return { t, lamp, tv, radio, anna: person(t, 'anna') };
}

const stepOf = (device: TownDevice) => [...device.state.users.here.values()].map(({ step }) => step.name);
const sent = (device: TownDevice, kind: string): number =>
  device.logs.filter((line) => line.includes('message.sent') && line.includes(kind)).length;

function openTo(t: Town, caller: TownDevice, callee: TownDevice, name = 'user:anna'): string {
  caller.call(name);
  t.flush();
  const [sid] = [...callee.state.sessions].findLast(([, { state }]) => state.name === 'open') ?? [];
  assert.ok(sid !== undefined, JSON.stringify(caller.news.at(-1)));
  return sid;
}

test('[P21] a user whose medium is in is registered, called, and told of when the manager asks who is there', () => {
  const { t, lamp, tv, anna } = scene();
  tv.insert(anna);
  assert.deepEqual(stepOf(tv), ['here']);
  assert.equal(tv.latest('userHere')?.user, 'anna');
  const sid = openTo(t, lamp, tv);
  const [mine, theirs] = [tv.state.sessions.get(sid)!, lamp.state.sessions.get(sid)!];
  assert.equal(mine.user, [...tv.state.users.here.keys()][0]);
  assert.equal(theirs.user, mine.user);
});

test('[P21] every new channel gets a signature of its own', () => {
  const { t, tv, anna } = scene();
  const statements: string[] = [];
  tv.insert(anna);
  for (let round = 0; round < 3; round++) {
    const before = sent(tv, 'RegisterUser');
    tv.breakLink();
    t.advance(2000);
    assert.deepEqual(stepOf(tv), ['here']);
    assert.equal(sent(tv, 'RegisterUser'), before + 1);
    const { step } = [...tv.state.users.here.values()][0]!;
    assert.ok(step.name === 'here' && step.channel === tv.state.channel!.channel);
    statements.push(Buffer.from(step.channel.binding).toString('hex'));
  }
  assert.equal(new Set(statements).size, 3);
});

test('[P21] a signature for a channel that is gone is not sent', () => {
  const { t, tv, anna } = scene();
  tv.feed({ type: 'userInserted', user: 'anna', chain: [anna.certificate.der, t.ca.certificate.der] });
  const { step } = [...tv.state.users.here.values()][0]!;
  assert.equal(step.name, 'signing');
  tv.feed({ type: 'unlinked' });
  tv.feed({ type: 'userSigned', number: step.name === 'signing' ? step.number : 0, signature: new Uint8Array(64) });
  assert.equal(sent(tv, 'RegisterUser'), 0);
  assert.deepEqual(stepOf(tv), ['signing'], 'nothing was made of it');
});

test('[P21] a medium that is taken out ends the sessions made to its user at once, keys and all; others stay', () => {
  const { t, lamp, tv, radio, anna } = scene();
  tv.insert(anna);
  const other = openTo(t, radio, tv, 'tv');
  const sid = openTo(t, lamp, tv);
  const { keys } = tv.state.sessions.get(sid)!.records;
  assert.ok(
    keys.senderKey.some((byte) => byte !== 0),
    'the key is live before',
  );
  tv.pull(anna);
  assert.ok([keys.senderKey, keys.recipientKey].every((key) => key.every((byte) => byte === 0)));
  assert.deepEqual([...tv.state.sessions.keys()], [other]);
  assert.equal(lamp.state.sessions.has(sid), false);
  assert.equal(lamp.latest('sessionClosed')?.reason, 'user-gone');
  assert.equal(tv.state.users.gone.size, 0, 'the manager has confirmed');
  lamp.call('user:anna');
  t.flush();
  assert.equal(lamp.latest('callFailed')?.reason, 'user-nowhere');
});

test('[P21] without a link the keys go as well; the manager hears of it on the next channel, and no registration', () => {
  const { t, lamp, tv, anna } = scene();
  tv.insert(anna);
  const sid = openTo(t, lamp, tv);
  const { keys } = tv.state.sessions.get(sid)!.records;
  const registrations = sent(tv, 'RegisterUser');
  tv.breakLink();
  tv.feed({ type: 'unlinked' });
  tv.feed({ type: 'userRemoved', leaf: tv.crypto.hash('sha-256', anna.certificate.der) });
  assert.ok(keys.senderKey.every((byte) => byte === 0));
  assert.equal(tv.state.sessions.size, 0);
  assert.equal(tv.state.users.gone.size, 1);
  t.advance(3000);
  assert.equal(tv.state.users.gone.size, 0);
  assert.equal(sent(tv, 'RegisterUser'), registrations);
  assert.equal(lamp.state.sessions.size, 0);
});

test('[P21] between the question and its grant: no session comes of a medium that was taken out', () => {
  const { t, lamp, tv, anna } = scene();
  tv.insert(anna);
  let held: { topic: Topic; payload: Uint8Array } | null = null;
  lamp.call('user:anna');
  t.meddler = (packet) => {
    const answered = tv.logs.some((line) => line.includes('ask.approved'));
    if (packet.from !== 'manager' || !packet.topic.endsWith('/tv') || !answered || held !== null) return 'pass';
    held = packet;
    return [];
  };
  t.flush();
  assert.ok(held !== null, 'the grant is on its way');
  t.meddler = () => 'pass';
  const { topic, payload } = held as { topic: Topic; payload: Uint8Array };
  tv.pull(anna);
  t.inject(topic, payload);
  t.flush();
  assert.ok(!tv.logs.some((line) => line.includes('session.granted')));
  assert.equal(tv.state.sessions.size, 0);
  t.advance(20_000);
  assert.equal(lamp.state.sessions.size, 0);
});

test('[P21] [P14] a person who is asked while the medium goes can say yes to nothing any more', () => {
  const t = town();
  const lamp = t.add('lamp');
  const tv = t.add('tv', {
    settings: { approval: { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } },
  });
  const anna = person(t, 'anna');
  tv.insert(anna);
  lamp.call('user:anna');
  t.flush();
  const { sid } = tv.latest('asked')!;
  tv.feed({ type: 'userRemoved', leaf: tv.crypto.hash('sha-256', anna.certificate.der) });
  assert.equal(tv.state.asked.size, 0, 'before the manager has heard of anything');
  tv.run((state, world) => approveAsk(state, sid, world));
  t.flush();
  assert.equal(tv.state.sessions.size, 0);
  assert.equal(lamp.latest('callFailed')?.reason, 'user-gone');
});

test('[P21] a grant counts only with the user whom it was asked for, whose medium is in', () => {
  const { tv, anna, lamp } = scene();
  tv.insert(anna);
  const leaf = [...tv.state.users.here.values()][0]!.leaf;
  assert.equal(userFault(tv.state, 'callee', 'user:anna', leaf), null);
  assert.match(userFault(tv.state, 'callee', 'user:anna', undefined)!, /no user/);
  assert.match(userFault(tv.state, 'callee', 'tv', leaf)!, /where a device was asked for/);
  assert.match(userFault(tv.state, 'callee', 'user:berta', leaf)!, /not in/);
  assert.match(userFault(tv.state, 'callee', 'user:anna', new Uint8Array(32))!, /not in/);
  assert.equal(userFault(lamp.state, 'caller', 'user:anna', leaf), null);
  assert.match(userFault(lamp.state, 'caller', 'user:anna', undefined)!, /no user/);
  tv.pull(anna);
  assert.match(userFault(tv.state, 'callee', 'user:anna', leaf)!, /not in/);
});

test('[P21] refused with the reason: a revoked certificate, a foreign one, a key that does not sign, a second device', () => {
  const { t, tv, radio, anna } = scene();
  const berta = person(t, 'berta');
  t.revoke(berta);
  tv.insert(berta);
  assert.equal(tv.latest('userRefused')?.reason, 'revoked');
  tv.pull(berta);

  tv.insert(anna, 'carla');
  assert.equal(tv.latest('userRefused')?.reason, 'bad-user');
  tv.pull(anna);

  tv.feed({ type: 'userInserted', user: 'anna', chain: [anna.certificate.der, t.ca.certificate.der] });
  t.flush();
  assert.match(tv.latest('userRefused')?.detail ?? '', /has not signed/);
  tv.pull(anna);

  tv.insert(anna);
  radio.insert(anna);
  assert.equal(radio.latest('userRefused')?.reason, 'user-elsewhere');
  tv.pull(anna);
  t.advance(11_000);
  assert.deepEqual(stepOf(radio), ['here'], 'taken out there, it counts here');
});

test(`[P21] ${MAX_USERS} users at a time, and one more is refused`, () => {
  const { t, tv } = scene();
  const people = Array.from({ length: MAX_USERS + 1 }, (_, number) => person(t, `user-${number}`));
  for (const one of people) tv.insert(one);
  assert.deepEqual(stepOf(tv), Array(MAX_USERS).fill('here'));
  assert.equal(tv.latest('userRefused')?.reason, 'too-many');
});

test('[P21] [P8] a channel that only authenticates carries no user', () => {
  const t = town({ settings: { authenticateOnly: true } });
  const tv = t.add('tv', { settings: { authenticateOnly: true } });
  tv.insert(person(t, 'anna'));
  assert.equal(tv.latest('userRefused')?.reason, 'authenticate-only');
  assert.equal(sent(tv, 'RegisterUser'), 0);
});

test('[P21] the caller goes after a user who has moved, with the same wishes', () => {
  const { t, lamp, tv, radio, anna } = scene({ settings: { users: { several: 'most-recent', onLeave: 'follow' } } });
  tv.insert(anna);
  lamp.call('user:anna', { lifetimeSeconds: 777 });
  t.flush();
  const [first] = lamp.state.sessions.keys();
  tv.pull(anna);
  assert.equal(lamp.state.sessions.size, 0);
  assert.equal(lamp.state.calls.size, 1, 'the call waits for the user');
  t.advance(3000);
  radio.insert(anna);
  t.advance(1000);
  const [second, session] = [...lamp.state.sessions][0] ?? [];
  assert.equal(session?.peer, 'radio');
  assert.equal(session?.wishes?.lifetimeSeconds, 777);
  assert.deepEqual(lamp.latest('sessionMoved'), { news: 'sessionMoved', from: first, to: second });
  // and once more, to nobody: it ends with a reason
  radio.pull(anna);
  t.advance(95_000);
  assert.equal(lamp.state.calls.size, 0);
  assert.ok(['user-nowhere', 'timeout'].includes(lamp.latest('callFailed')?.reason ?? ''));
});

test('[P21] after a kill nobody is there until the medium is unlocked again', () => {
  const { t, lamp, tv, anna } = scene();
  tv.insert(anna);
  openTo(t, lamp, tv);
  tv.restart();
  t.advance(2000);
  assert.deepEqual(stepOf(tv), []);
  assert.equal([...tv.state.sessions.values()].length, 0, 'no session of hers is renewed without her');
  tv.insert(anna);
  assert.deepEqual(stepOf(tv), ['here']);
});

test('what a key on a medium signs can be read as nothing else', () => {
  const statement = {
    binding: new Uint8Array(32).fill(1),
    device: 'tv' as TownDevice['id'],
    user: 'anna',
    requestId: new Uint8Array(16).fill(2),
  };
  const bytes = userStatement(statement);
  assert.deepEqual(readUserStatement(bytes), statement);
  for (let at = 0; at < 18; at++) {
    const other = bytes.slice();
    other[at]! ^= 1;
    assert.equal(readUserStatement(other), null, `byte ${at}`);
  }
  assert.equal(readUserStatement(bytes.subarray(1)), null);
});
