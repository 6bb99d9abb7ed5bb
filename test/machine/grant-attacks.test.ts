/**
 * What a lying manager, a hostile broker or bad luck can do with grants, and what a device does not install.
 * @spec design §5.4, §5.6
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk } from '../../device-agent/answering.ts';
import { sendCalls } from '../../device-agent/calling.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { MessageOf } from '../../protocol/messages.ts';
import type { DeviceId } from '../../protocol/units.ts';
import {
  assertTalks,
  type Couple,
  connect,
  couple,
  GCM_128,
  grantFor,
  managerSays,
  meddle,
  refusal,
  session,
  talking,
  unansweredCall,
} from '../couple.ts';
import { proposal, suiteOf } from '../town.ts';
import type { TownDevice } from '../town-plan.ts';

const AGAIN = '[5.6 key reinstallation by a repeated grant]';
type Lies = Partial<MessageOf<'Grant'>>;

/** The callee has approved a session of which the real manager knows nothing. @returns what it approved */
function approvedAsk({ town, caller, callee }: Couple) {
  const ask = {
    sid: new Uint8Array(8).fill(7),
    from: caller.id,
    name: 'tv',
    nonceA: new Uint8Array(16).fill(1),
    suite: GCM_128,
    keyMode: 'seed',
    lifetime: 3600,
  } as const;
  managerSays(town, callee.id, [{ kind: 'Ask', ...ask }]);
  const nonceB = callee.state.asked.get(toHex(ask.sid))?.nonceB;
  assert.ok(nonceB, 'the callee approves');
  return { ...ask, nonceB };
}

/** What must not move when a grant comes again: the context itself, its counter and its replay window. */
function keysOf(device: TownDevice, sid: string) {
  const { records } = session(device, sid);
  return {
    records,
    sequence: records.nextSequence,
    highest: records.window.highest,
    key: toHex(records.keys.senderKey),
  };
}

function assertUntouched(device: TownDevice, sid: string, before: ReturnType<typeof keysOf>): void {
  const after = keysOf(device, sid);
  assert.ok(after.records === before.records, 'the same context');
  assert.deepEqual([after.sequence, after.highest, after.key], [before.sequence, before.highest, before.key]);
}

for (const role of ['caller', 'callee'] as const) {
  test(`${AGAIN} the sealed grant of the ${role}, delivered twice, is a replay`, () => {
    const pair = couple();
    let sealed: (() => void) | null = null;
    meddle(pair, `grant to the ${role}`, ({ topic, payload }) => {
      sealed = () => pair.town.inject(topic, payload);
      return [payload, payload];
    });
    const sid = connect(pair);
    assertTalks(pair, sid);
    const before = keysOf(pair[role], sid);
    (sealed as (() => void) | null)?.();
    pair.town.flush();
    assertUntouched(pair[role], sid, before);
    assert.ok(pair[role].logs.some((line) => line.includes('replayed')));
    assertTalks(pair, sid);
  });

  test(`${AGAIN} the same grant sealed anew for the ${role}, with the same or another secret, is ignored`, () => {
    const pair = couple();
    const lies: Lies = role === 'caller' ? { nonceA: unansweredCall(pair) } : approvedAsk(pair);
    const sid = toHex(new Uint8Array(8).fill(7));
    const give = (more: Lies) => managerSays(pair.town, pair[role].id, [grantFor(pair, role, { ...lies, ...more })]);
    give({});
    const before = keysOf(pair[role], sid);
    for (const more of [{}, { secret: new Uint8Array(32).fill(3) }, { epoch: 1 }, { epoch: 2 }, { route: 5 }]) {
      give(more);
      assert.equal(pair[role].state.sessions.size, 1);
      assertUntouched(pair[role], sid, before);
    }
  });
}

test(`${AGAIN} a nonce that installed one session installs no second one`, () => {
  const pair = couple();
  const nonceA = unansweredCall(pair);
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA })]);
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA, sid: new Uint8Array(8).fill(8) })]);
  assert.equal(pair.caller.state.sessions.size, 1);
});

test(`${AGAIN} a grant for a new call cannot take the place of a session that stands`, () => {
  const pair = talking();
  const before = keysOf(pair.caller, pair.sid);
  const nonceA = unansweredCall(pair);
  const sid = session(pair.caller, pair.sid).sid;
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA, sid, route: 9 })]);
  assertUntouched(pair.caller, pair.sid, before);
  assertTalks(pair, pair.sid);
});

test(`${AGAIN} [5.6 nonce reuse after kill −9] a nonce that the process before drew installs nothing`, () => {
  const pair = couple();
  const nonceA = unansweredCall(pair);
  const { nonceB } = approvedAsk(pair);
  for (const device of [pair.caller, pair.callee]) device.restart();
  pair.town.flush();
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA })]);
  managerSays(pair.town, pair.callee.id, [grantFor(pair, 'callee', { nonceB })]);
  assert.deepEqual([pair.caller.state.sessions.size, pair.callee.state.sessions.size], [0, 0]);
});

const STRANGE: readonly [what: string, lies: Lies][] = [
  ['a nonce that nobody drew', { nonceA: new Uint8Array(16).fill(8), nonceB: new Uint8Array(16).fill(8) }],
  ['ourselves as the peer', { peer: 'self' as DeviceId }],
  ['a suite that is not registered', { suite: suiteOf(proposal('aes-gcm', 256)) }],
  ['keys where a seed was registered', { keyMode: 'key', secret: new Uint8Array(44).fill(1) }],
  ['an integrity-only suite', { suite: suiteOf(proposal('hmac', 256)) }],
  ['a registration of long ago', { version: 99 }],
  ['a longer lifetime', { lifetime: 3601 }],
  ['a seed of the wrong length', { secret: new Uint8Array(31) }],
];

test('a caller installs nothing but what it asked for; afterwards the honest grant still finds its nonce', () => {
  const pair = couple();
  const nonceA = unansweredCall(pair, { lifetimeSeconds: 3600 });
  for (const [what, lies] of STRANGE) {
    const peer = lies.peer === undefined ? {} : { peer: pair.caller.id };
    managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA, ...lies, ...peer })]);
    assert.equal(pair.caller.state.sessions.size, 0, what);
  }
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { nonceA })]);
  assert.equal(pair.caller.state.sessions.size, 1);
});

test('a caller that did not ask for it installs no integrity-only suite, though it has registered one', () => {
  const mac = proposal('hmac', 256);
  const pair = couple({ caller: { proposals: [mac] }, callee: { proposals: [mac] } });
  const lies = { suite: suiteOf(mac), nonceA: unansweredCall(pair) };
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', lies)]);
  assert.equal(pair.caller.state.sessions.size, 0);
  const asked = unansweredCall(pair, { allowUnencrypted: true });
  managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { ...lies, nonceA: asked })]);
  assert.equal(pair.caller.state.sessions.size, 1);
});

test('a callee installs nothing but what it approved; afterwards the honest grant still finds its nonce', () => {
  const pair = couple();
  const stranger = pair.town.add('phone');
  const approved = approvedAsk(pair);
  const others: typeof STRANGE = [
    ['another caller', { peer: stranger.id, peerLeaf: stranger.state.leafHash }],
    ['a shorter lifetime', { lifetime: 3599 }],
    ['another session', { sid: new Uint8Array(8).fill(9) }],
    ["the other side's part", { role: 'caller' }],
  ];
  for (const [what, lies] of [...STRANGE, ...others]) {
    const peer = lies.peer === ('self' as DeviceId) ? { peer: pair.callee.id } : {};
    managerSays(pair.town, pair.callee.id, [grantFor(pair, 'callee', { ...approved, ...lies, ...peer })]);
    assert.equal(pair.callee.state.sessions.size, 0, what);
  }
  managerSays(pair.town, pair.callee.id, [grantFor(pair, 'callee', approved)]);
  assert.equal(pair.callee.state.sessions.size, 1);
});

test('[5.6 unknown key share, reflection, selfie] a manager that tells the two sides different things makes no session', () => {
  const rows: [what: string, lies: Lies][] = [
    ['nothing different', {}],
    ['the leaf of the peer', { peerLeaf: new Uint8Array(32) }],
    ['the registration of the peer', { peerRegistration: new Uint8Array(32) }],
    ['the name of the peer', { peer: 'phone' as DeviceId }],
    ['the epoch', { epoch: 2 }],
    ['the lifetime', { lifetime: 60 }],
    ['the nonce of the callee', { nonceB: new Uint8Array(16) }],
    ['the secret', { secret: new Uint8Array(32) }],
  ];
  for (const [what, lies] of rows) {
    const pair = couple();
    const nonceA = unansweredCall(pair);
    const { sid } = approvedAsk(pair);
    const asked = pair.callee.state.asked.get(toHex(sid))!;
    // the callee's view of the caller's nonce must be the real one
    pair.callee.state.asked.set(toHex(sid), { ...asked, ask: { ...asked.ask, nonceA } });
    const shared = { sid, nonceA, nonceB: asked.nonceB! };
    const { topics } = pair.town.manager.settings;
    let hello: Uint8Array | null = null;
    pair.town.meddler = ({ topic, payload }) => {
      if (topic.startsWith(`${topics.root}/p/`)) hello ??= payload;
      return 'pass';
    };
    managerSays(pair.town, pair.callee.id, [grantFor(pair, 'callee', shared)]);
    managerSays(pair.town, pair.caller.id, [grantFor(pair, 'caller', { ...shared, ...lies })]);
    assert.ok(hello, what);
    const topic = topics.peer(pair.callee.id, pair.caller.id);
    pair.callee.feed({ type: 'received', topic, payload: hello });
    const state = session(pair.callee, toHex(sid)).state.name;
    assert.equal(state, what === 'nothing different' ? 'open' : 'granted', what);
  }
});

test('[patent 2138] the same Connect again gets the byte-identical sealed grant, and no second session', () => {
  const pair = couple();
  const sealed: string[] = [];
  let lost = true;
  pair.town.meddler = ({ topic, payload }) => {
    if (!topic.endsWith('/d/router')) return 'pass';
    sealed.push(toHex(payload));
    if (!lost) return 'pass';
    lost = false;
    return [];
  };
  const key = pair.caller.call('tv');
  pair.town.flush();
  pair.caller.run((state, world) => {
    state.calls.get(key)!.sentOn = null;
    sendCalls(state, world);
  });
  pair.town.flush();
  assert.deepEqual([sealed.length, sealed[0]], [2, sealed[1]]);
  assert.equal(pair.town.manager.sessions.size, 1);
  assertTalks(pair, pair.caller.latest('sessionOpened')!.sid);
});

test('a refusal is repeated to the same Connect for 60 s', () => {
  const pair = couple();
  pair.town.meddler = ({ topic }) => (topic.endsWith('/d/router') ? [] : 'pass');
  const key = pair.caller.call('nobody');
  pair.town.flush();
  pair.town.meddler = () => 'pass';
  const logged = pair.town.managerLogs.filter((line) => line.includes('connect.refused')).length;
  pair.caller.run((state, world) => {
    state.calls.get(key)!.sentOn = null;
    sendCalls(state, world);
  });
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'forbidden');
  assert.equal(pair.town.managerLogs.filter((line) => line.includes('connect.refused')).length, logged);
});

/** Whether these bytes stand anywhere in a value: objects, maps, arrays, bytes. */
function holds(value: unknown, needle: Uint8Array, seen = new Set<unknown>()): boolean {
  if (value instanceof Uint8Array) return Buffer.from(value).indexOf(needle) >= 0;
  if (typeof value !== 'object' || value === null || seen.has(value)) return false;
  seen.add(value);
  const inner = value instanceof Map || value instanceof Set ? [...value].flat() : Object.values(value);
  return inner.some((one) => holds(one, needle, seen));
}

test('[P15] [patent 2134] no key exists before the approval, and the manager keeps none after the delivery', () => {
  const approval = { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } as const;
  const pair = couple({ callee: { settings: { approval } } });
  const drawn: Uint8Array[] = [];
  const { random } = pair.town.managerCrypto;
  Object.assign(pair.town.managerCrypto, {
    random(length: number) {
      const bytes = random(length);
      drawn.push(bytes.slice());
      return bytes;
    },
  });
  pair.caller.call('tv');
  pair.town.advance(10_000);
  assert.deepEqual(
    drawn.map(({ length }) => length),
    [8],
    'a session id, and nothing else',
  );
  const { sid } = pair.callee.latest('asked')!;
  pair.callee.run((state, world) => approveAsk(state, sid, world));
  pair.town.flush();
  assertTalks(pair, sid);
  const seed = drawn.at(-1)!;
  assert.deepEqual(
    drawn.map(({ length }) => length),
    [8, 32],
  );
  const { keys } = session(pair.caller, sid).records;
  assert.ok(holds(pair.caller.state, keys.senderKey), 'the search finds a key where there is one');
  for (const secret of [seed, keys.senderKey, keys.recipientKey]) assert.equal(holds(pair.town.manager, secret), false);
  for (const { state } of [pair.caller, pair.callee])
    assert.equal(holds(state, seed), false, 'nor the devices the seed');
});

test('[5.6 a grant on an authenticate-only channel] no session can be asked for on it, and none reaches a device that has only it', () => {
  const only = { settings: { authenticateOnly: true } };
  const outgoing = couple({ town: { settings: { authenticateOnly: true } }, caller: only });
  assert.equal(outgoing.caller.state.channel?.channel.authenticateOnly, true);
  outgoing.caller.call('tv');
  outgoing.town.flush();
  assert.equal(refusal(outgoing.caller), 'authenticate-only');
  const incoming = couple({ town: { settings: { authenticateOnly: true } }, callee: only });
  incoming.caller.call('tv');
  incoming.town.flush();
  assert.equal(refusal(incoming.caller), 'authenticate-only');
  assert.equal(incoming.town.manager.sessions.size, 0);
});
