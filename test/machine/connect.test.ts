/**
 * Connect from end to end, in real machines: who is found, what is refused and how that looks, what a connect costs.
 * [patent 2100-2144]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConnectPolicy } from '../../manager/policy.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { type DeviceId, seconds } from '../../protocol/units.ts';
import {
  assertTalks,
  connect,
  couple,
  GCM_128,
  grantFor,
  managerSays,
  refusal,
  session,
  talking,
  unansweredCall,
} from '../couple.ts';
import { proposal, town } from '../town.ts';
import type { Town, TownDevice } from '../town-plan.ts';

const NAMED = {
  certificate: {
    alternativeNames: [
      { type: 'dns', value: 'tv.home.example' },
      { type: 'email', value: 'Anna@home.example' },
      { type: 'uri', value: 'sip:anna@home.example' },
      { type: 'uri', value: 'urn:dev:mac:aabbccddee0f' },
    ],
  },
} as const;

test('[P11] [patent 2100-2102, 0105] a callee is reached by its id, MAC, mail address, SIP URI and FQDN, in any spelling', () => {
  const pair = couple({ callee: NAMED });
  const names = ['tv', 'id:tv', 'AA:BB:CC:DD:EE:0F', 'aa-bb-cc-dd-ee-0f', 'aabbccddee0f', 'mac:aabb.ccdd.ee0f'];
  names.push(
    'Anna@HOME.example',
    'mail:Anna@home.example',
    'SIP:anna@home.example',
    'TV.Home.Example.',
    'fqdn:tv.home.example',
  );
  for (const name of names) {
    const sid = connect(pair, name);
    assert.deepEqual([session(pair.caller, sid).name, session(pair.callee, sid).name], [name, name]);
    assert.equal(session(pair.caller, sid).peer, 'tv');
  }
  assertTalks(pair, connect(pair, 'tv.home.example'));
});

test('[P11] a name that is not in the certificate reaches nobody', () => {
  const { town, caller } = couple({ callee: NAMED });
  for (const name of ['anna@home.example', 'AA:BB:CC:DD:EE:10', 'home.example', 'mac:tv', 'tv ', '~tv', '\u0000']) {
    caller.call(name);
    town.flush();
    assert.equal(refusal(caller), 'forbidden', name);
  }
});

const deny = (to: string): ConnectPolicy => ({ rules: [{ from: '*', to, allow: false }], otherwise: 'allow' });

/** The last refusal as the caller sees it, and the bytes of the record that carried it. */
function refusedWith(place: Town, caller: TownDevice, callee: string) {
  const before = place.packets.length;
  caller.call(callee);
  place.flush();
  const { reason, detail } = caller.latest('callFailed')!;
  const records = place.packets.slice(before).filter(({ from, topic }) => from === 'manager' && topic.includes('/d/'));
  return {
    reason,
    detail,
    sizes: records.map(({ payload }) => payload.length),
    packets: place.packets.length - before,
  };
}

test('[P12] an unknown and a forbidden callee look the same: reason, words, message, number of messages', () => {
  const place = town({ settings: { connectPolicy: deny('safe*') } });
  const caller = place.add('router');
  place.add('safe-1', NAMED);
  const offline = place.add('safe-2');
  place.meddler = ({ from }) => (from === 'safe-2' ? [] : 'pass');
  offline.breakLink();
  place.flush();
  const unknown = refusedWith(place, caller, 'nobody');
  assert.equal(unknown.reason, 'forbidden');
  for (const name of ['safe-1', 'safe-2', 'safe-3', 'tv.home.example', 'Anna@home.example'])
    assert.deepEqual(refusedWith(place, caller, name), unknown, name);
});

test('policy: the first rule that matches decides, by id, pattern, class and group of the operator', () => {
  const listings = new Map([
    ['tv' as DeviceId, { class: 'television', groups: ['living-room'], user: null }],
    ['router' as DeviceId, { class: 'router', groups: [], user: null }],
  ]);
  const rows: [rules: ConnectPolicy['rules'], otherwise: 'allow' | 'deny', allowed: boolean][] = [
    [[], 'deny', false],
    [[{ from: 'router', to: 'tv', allow: true }], 'deny', true],
    [[{ from: 'tv', to: 'router', allow: true }], 'deny', false],
    [[{ from: 'r*r', to: '*v', allow: true }], 'deny', true],
    [[{ from: 'r*x*r', to: '*', allow: true }], 'deny', false],
    [[{ from: 'class:router', to: 'group:living-room', allow: true }], 'deny', true],
    [[{ from: 'class:television', to: '*', allow: true }], 'deny', false],
    [[{ from: '*', to: 'class:television', allow: false }], 'allow', false],
    [
      [
        { from: '*', to: 'tv', allow: false },
        { from: '*', to: '*', allow: true },
      ],
      'allow',
      false,
    ],
  ];
  for (const [rules, otherwise, allowed] of rows) {
    const { town: place, caller } = couple({ town: { settings: { listings, connectPolicy: { rules, otherwise } } } });
    caller.call('tv');
    place.flush();
    assert.equal(refusal(caller), allowed ? undefined : 'forbidden', JSON.stringify(rules));
  }
});

test('[P12] [patent 2106, 2126] a callee that is offline, or not registered, is unreachable; so says the refusal', () => {
  const { town: place, caller, callee } = couple();
  place.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  callee.breakLink();
  place.flush();
  caller.call('tv');
  place.flush();
  assert.equal(refusal(caller), 'unreachable');
  assert.equal(place.manager.sessions.size, 0);

  const other = couple();
  other.town.manager.registrations.delete('tv' as DeviceId);
  other.caller.call('tv');
  other.town.flush();
  assert.equal(refusal(other.caller), 'unreachable');
});

test('[P12] a caller that has registered nothing is told so', () => {
  const { town: place, caller } = couple();
  place.manager.registrations.delete(caller.id);
  caller.call('tv');
  place.flush();
  assert.equal(refusal(caller), 'not-registered');
});

test('[5.6 unknown key share, reflection, selfie] a device that calls itself, by whatever name, is refused by the manager', () => {
  const { town: place, caller } = couple({ caller: NAMED });
  for (const name of ['router', 'tv.home.example', 'AA:BB:CC:DD:EE:0F']) {
    caller.call(name);
    place.flush();
    assert.equal(refusal(caller), 'self', name);
  }
});

test('[5.6 unknown key share, reflection, selfie] a device refuses itself when the manager lies', () => {
  const pair = couple();
  const nonceA = unansweredCall(pair);
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA, peer: pair.caller.id })]);
  assert.equal(pair.caller.state.sessions.size, 0);
  const sid = new Uint8Array(8).fill(4);
  const lie = { sid, from: pair.caller.id, name: 'me', nonceA, suite: GCM_128, keyMode: 'seed', lifetime: 60 } as const;
  managerSays(pair.town, pair.caller.id, [{ kind: 'Ask', ...lie }]);
  assert.equal(pair.caller.state.asked.size, 0);
  assert.ok(pair.caller.logs.some((line) => line.includes('ask.refused') && line.includes('self')));
});

test('[P12] [patent 2108-2110, 0111] no common suite is a refusal that names the setting', () => {
  const ours = proposal('aes-ccm', 128, { tagBits: 64 });
  const rows: [Proposal, RegExp][] = [
    [proposal('aes-gcm', 128), /no cipher in common/],
    [proposal('aes-ccm', 256, { tagBits: 64 }), /no key length/],
    [proposal('aes-ccm', 128, { tagBits: 64, hash: 'sha-512' }), /no hash/],
    [proposal('aes-ccm', 128), /no tag length/],
    [proposal('aes-ccm', 128, { tagBits: 64, keyMode: 'key' }), /one wants the key and the other a seed/],
  ];
  for (const [theirs, words] of rows) {
    const { town: place, caller, callee } = couple({ caller: { proposals: [ours] }, callee: { proposals: [theirs] } });
    caller.call('tv');
    place.flush();
    const failed = caller.latest('callFailed')!;
    assert.equal(failed.reason, 'no-common-suite');
    assert.match(failed.detail ?? '', words);
    assert.equal(
      callee.logs.some((line) => line.includes('"Ask"')),
      false,
      'the callee is not bothered',
    );
  }
});

test('[P12] integrity-only is no common suite unless the caller asks for it', () => {
  const mac = { proposals: [proposal('hmac', 256)] };
  const pair = couple({ caller: mac, callee: mac });
  pair.caller.call('tv');
  pair.town.flush();
  assert.match(pair.caller.latest('callFailed')!.detail ?? '', /only integrity-only suites are common/);
  pair.caller.call('tv', { allowUnencrypted: true });
  pair.town.flush();
  const sid = pair.caller.latest('sessionOpened')!.sid;
  assert.equal(session(pair.callee, sid).suite.cipher, 'hmac');
  assertTalks(pair, sid);
});

test('[P14] [patent 2124] a callee that never answers: the caller is refused after the time for asking, the callee told', () => {
  const pair = couple({
    callee: { settings: { approval: { rules: [], otherwise: 'ask', askTimeoutSeconds: 600, busy: false } } },
  });
  pair.caller.call('tv');
  pair.town.advance(44_000);
  assert.equal(refusal(pair.caller), undefined);
  pair.town.advance(2_000);
  assert.equal(refusal(pair.caller), 'timeout');
  assert.deepEqual([pair.callee.state.asked.size, pair.town.manager.sessions.size], [0, 0]);
});

test('a manager that never answers: the call ends by itself', () => {
  const { town: place, caller } = couple();
  place.meddler = ({ from }) => (from === 'router' ? [] : 'pass');
  caller.call('tv', { timeoutSeconds: 20 });
  place.advance(19_999);
  assert.equal(refusal(caller), undefined);
  place.advance(1);
  assert.equal(refusal(caller), 'timeout');
  assert.equal(caller.state.calls.size, 0);
});

test('[B5] [P15] [patent 2136-2140] a new session costs each device 0 public-key operations, 2 messages sent and 2 or 3 received', () => {
  const pair = couple();
  const before = [pair.caller, pair.callee].map((device) => device.operations());
  const from = pair.town.packets.length;
  const sid = connect(pair);
  const costs = [session(pair.caller, sid).cost, session(pair.callee, sid).cost];
  assert.deepEqual(
    costs.map(({ sent, received }) => [sent, received]),
    [
      [2, 2],
      [2, 3],
    ],
  );
  assert.deepEqual(
    costs.map(({ publicKeyOps }) => publicKeyOps),
    [0, 0],
  );
  assert.deepEqual(
    [pair.caller, pair.callee].map((device) => device.operations()),
    before,
  );
  const wire = pair.town.packets.slice(from).filter(({ topic }) => !topic.includes('/c/'));
  const bytes = (id: string) =>
    wire
      .filter(({ from, topic }) => from === id || topic.endsWith(`/d/${id}`) || topic.includes(`/p/${id}/`))
      .reduce((sum, { payload }) => sum + payload.length, 0);
  assert.equal(wire.length, 7);
  assert.deepEqual(
    costs.map((cost) => cost.bytes),
    [bytes('router'), bytes('tv')],
    'counted as on the wire',
  );
});

test('[B5] 50 sessions later the counters stand where the login left them', () => {
  const pair = couple();
  const logins = [pair.caller.operations(), pair.callee.operations()];
  assert.deepEqual(logins, [6, 6], 'a login: 1 key, 1 agreement, 1 signature made, 3 verified');
  for (let i = 0; i < 50; i++) connect(pair);
  assert.deepEqual([pair.caller.operations(), pair.callee.operations()], logins);
});

test('a device has no more sessions than the manager allows, pending or standing', () => {
  const limits = { ...couple().town.manager.settings.limits, sessionsPerDevice: 3, pendingPerDevice: 2 };
  const pair = couple({ town: { settings: { limits } } });
  for (let i = 0; i < 3; i++) connect(pair);
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'too-many');
});

test('the lifetime is what the caller wants, at most what the manager allows; both sides hold the same', () => {
  const lifetimeSeconds = { byDefault: 600, atMost: 1000 };
  const pair = couple({ town: { settings: { lifetimeSeconds } } });
  const rows: [wanted: number | null, given: number][] = [
    [null, 600],
    [60, 60],
    [5000, 1000],
  ];
  for (const [wanted, given] of rows) {
    pair.caller.call('tv', { lifetimeSeconds: wanted });
    pair.town.flush();
    const { sid } = pair.caller.latest('sessionOpened')!;
    for (const device of [pair.caller, pair.callee])
      assert.equal(session(device, sid).until - pair.town.clock.now(), seconds(given));
  }
});

test('a disk that refuses: the caller is told, no grant leaves, the callee forgets the question', () => {
  const pair = couple();
  pair.town.diskBroken = true;
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'internal-error');
  assert.deepEqual([pair.callee.state.asked.size, pair.callee.state.sessions.size], [0, 0]);
  pair.town.diskBroken = false;
  pair.town.advance(6000);
  assertTalks(pair, connect(pair));
});

test('[P13] [patent 2112, 0109, 0135] a callee whose channel is closed is asked on one that the manager opens', () => {
  const pair = couple({ callee: { settings: { closeWhenIdle: seconds(5) } } });
  pair.town.advance(10_000);
  assert.equal(pair.callee.state.channel, null);
  const operations = pair.callee.operations();
  assertTalks(pair, connect(pair));
  assert.equal(pair.callee.latest('channelOpened')!.by, 'manager');
  assert.equal(pair.callee.operations(), operations, 'by resumption: no public-key operation');
});

test('the caller and the callee call each other at once: two sessions with routes of their own', () => {
  const pair = couple();
  pair.caller.call('tv');
  pair.callee.call('router');
  pair.town.flush();
  const sessions = [...pair.caller.state.sessions];
  assert.deepEqual(sessions.map(([, { role, route }]) => [role, route]).sort(), [
    ['callee', 1],
    ['caller', null],
  ]);
  for (const [sid] of sessions) assertTalks(pair, sid);
});

test('several sessions of one pair stay apart by their routes; a route is given out again after its session', () => {
  const pair = talking();
  const sids = [pair.sid, connect(pair), connect(pair)];
  assert.deepEqual(
    sids.map((sid) => session(pair.caller, sid).route),
    [null, 1, 2],
  );
  for (const sid of sids) assertTalks(pair, sid);
  assert.equal(pair.caller.state.sessions.size, 3);
});

test('a call that finds no manager fails after 5 s and says what the agent knows: no answer, or why it is not let in', () => {
  const t = town();
  t.verifierAway = true;
  const router = t.add('router-1');
  router.call('phone-1');
  t.advance(6_000);
  const failed = router.latest('callFailed');
  assert.equal(failed?.reason, 'unreachable');
  assert.match(failed?.detail ?? '', /not let in: verifier-away|does not answer/);
});
