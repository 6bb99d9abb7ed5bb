/**
 * A live session after the keys of one side, or both, are gone: granted anew under the same sid, by consent given before,
 * without public-key work; whatever is lost or dies on the way. [design §5.4, B7]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk } from '../../device-agent/answering.ts';
import { closeChannel } from '../../device-agent/channel.ts';
import { writeConsent } from '../../device-agent/consent.ts';
import { decodeMemory, encodeMemory } from '../../device-agent/memory.ts';
import { equal, fromHex, toHex } from '../../protocol/bytes.ts';
import type { MessageOf } from '../../protocol/messages.ts';
import type { Suite } from '../../protocol/suites.ts';
import {
  assertTalks,
  type Couple,
  type CoupleWishes,
  connect,
  couple,
  end,
  ending,
  grantFor,
  managerSays,
  say,
  session,
  talking,
} from '../couple.ts';
import { proposal } from '../town.ts';
import type { Packet, TownDevice } from '../town-plan.ts';

const WITHIN_MS = 10_000;
type Pair = Couple & { readonly sid: string };

/** A pair whose callee asks a person, who says yes once. */
function approvedOnce(): Pair {
  const approval = { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } as const;
  const pair = couple({ callee: { settings: { approval } } });
  const key = pair.caller.call('tv');
  pair.town.flush();
  const { sid } = pair.callee.latest('asked')!;
  pair.callee.run((state, world) => approveAsk(state, sid, world));
  pair.town.flush();
  assert.equal(pair.caller.latest('sessionOpened')?.call, key);
  return { ...pair, sid };
}

const asked = ({ callee }: Couple): number => callee.news.filter(({ news }) => news === 'asked').length;
const epochs = ({ caller, callee, town, sid }: Pair): number[] => {
  const flow = town.manager.sessions.get(sid)?.flow;
  return [session(caller, sid).epoch, session(callee, sid).epoch, flow?.state === 'granted' ? flow.epoch : -1];
};

/** The same session, once more under new keys, and nobody was asked again. */
function assertGoesOn(pair: Pair, epoch: number, before: readonly number[]): void {
  assertTalks(pair, pair.sid);
  assert.deepEqual(epochs(pair), [epoch, epoch, epoch]);
  assert.deepEqual([pair.caller.state.sessions.size, pair.callee.state.sessions.size], [1, 1]);
  assert.deepEqual([pair.caller.operations(), pair.callee.operations()], before, 'without public-key work');
  assert.equal(asked(pair), 1, 'approved once');
}

const operations = ({ caller, callee }: Couple): number[] => [caller.operations(), callee.operations()];

for (const who of [['callee'], ['caller'], ['caller', 'callee']] as const) {
  test(`[B7] [B5] [P14] kill -9 of the ${who.join(' and the ')}: the same session goes on by a new grant, without approval or public-key work`, () => {
    const pair = approvedOnce();
    const { suite, keyMode, until } = session(pair.caller, pair.sid);
    const before = operations(pair);
    for (const one of who) pair[one].restart();
    pair.town.advance(1000);
    assertGoesOn(pair, 1, before);
    const now = session(pair.callee, pair.sid);
    assert.deepEqual([now.suite, now.keyMode, now.role, now.peer], [suite, keyMode, 'callee', 'router']);
    assert.ok(session(pair.caller, pair.sid).until <= until + 1000, 'its life does not become longer');
    end(pair.caller, pair.sid);
    pair.town.flush();
    assert.equal(pair.town.manager.sessions.size, 0);
    assert.equal(ending(pair.callee), 'done by caller');
  });
}

test('[B7] again and again: each time one epoch more, and no key comes twice', () => {
  const pair = approvedOnce();
  const before = operations(pair);
  const keys = new Set<string>();
  for (let epoch = 1; epoch <= 5; epoch++) {
    pair[epoch % 2 === 0 ? 'caller' : 'callee'].restart();
    pair.town.advance(1000);
    assertGoesOn(pair, epoch, before);
    keys.add(toHex(session(pair.caller, pair.sid).records.keys.senderKey));
  }
  assert.equal(keys.size, 5);
});

test('[B7] [P16] in key mode and with two sessions of the pair, each goes on by itself', () => {
  const proposals = [proposal('aes-gcm', 256, { keyMode: 'key' })];
  const pair = talking({ caller: { proposals }, callee: { proposals } });
  const second = connect(pair);
  pair.callee.restart();
  pair.town.advance(1000);
  assertTalks(pair, pair.sid);
  assertTalks(pair, second);
  assert.deepEqual([session(pair.callee, pair.sid).route, session(pair.callee, second).route], [null, 1]);
});

test('[B7] a standing approval counts for its sessions after a restart too, and is not used up by it', () => {
  const approval = { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } as const;
  const standing = [{ caller: 'router' as TownDevice['id'], lifetimeSeconds: 3600 }];
  const pair = talking({ callee: { settings: { approval, standing } } });
  pair.callee.restart();
  pair.town.advance(1000);
  assertTalks(pair, pair.sid);
  assertTalks(pair, connect(pair));
  assert.equal(asked(pair), 0);
});

// ── Whatever is lost or dies on the way ─────────────────────────────────────────────────────────────────────────────

const control = ({ topic }: Packet): boolean => /\/[mdp]\//.test(topic) && !topic.includes('/v/');

/** Packets between the restart of the callee and the end of the renewal. */
function packetsOfRenewal(): number {
  const pair = approvedOnce();
  const from = pair.town.packets.length;
  pair.callee.restart();
  pair.town.advance(1000);
  assert.equal(session(pair.callee, pair.sid).state.name, 'open');
  return pair.town.packets.slice(from).filter(control).length;
}
const PACKETS = packetsOfRenewal();

for (let lost = 1; lost <= PACKETS; lost++) {
  test(`[B7] [5.6 lost, doubled, reordered messages at every step] a renewal whose message ${lost} is lost, or comes twice, goes on`, () => {
    for (const twice of [false, true]) {
      const pair = approvedOnce();
      const before = operations(pair);
      let seen = 0;
      pair.town.meddler = (packet) => {
        if (!control(packet) || ++seen !== lost) return 'pass';
        return twice ? [packet.payload, packet.payload] : [];
      };
      pair.callee.restart();
      pair.town.advance(WITHIN_MS);
      assertTalks(pair, pair.sid);
      assert.deepEqual([asked(pair), pair.caller.state.renewals.size], [1, 0]);
      assert.equal(session(pair.caller, pair.sid).epoch, session(pair.callee, pair.sid).epoch);
      assert.deepEqual(operations(pair), before);
    }
  });

  test(`[B7] a renewal during which the manager is killed, after message ${lost}, goes on`, () => {
    const pair = approvedOnce();
    const before = operations(pair);
    let seen = 0;
    let killed = false;
    pair.town.meddler = (packet) => {
      if (control(packet) && ++seen === lost) {
        pair.town.diskFrozen = true;
        killed = true;
      }
      return killed && packet.from === 'manager' ? [] : 'pass'; // what it would have said, it never said
    };
    pair.callee.restart();
    pair.town.flush();
    assert.ok(killed);
    pair.town.meddler = () => 'pass';
    pair.town.restartManager();
    pair.town.advance(WITHIN_MS);
    assertTalks(pair, pair.sid);
    assert.equal(asked(pair), 1);
    assert.deepEqual(operations(pair), before);
  });

  test(`[B7] a renewal during which the caller is killed as well, after message ${lost}, goes on`, () => {
    const pair = approvedOnce();
    const before = operations(pair);
    let seen = 0;
    let kill = false;
    pair.town.meddler = (packet) => {
      if (control(packet) && ++seen === lost) kill = true;
      return kill && packet.from === 'router' ? [] : 'pass';
    };
    pair.callee.restart();
    pair.town.flush();
    pair.town.meddler = () => 'pass';
    pair.caller.restart();
    pair.town.advance(WITHIN_MS);
    assertTalks(pair, pair.sid);
    assert.equal(asked(pair), 1);
    assert.deepEqual(operations(pair), before);
  });
}

test('[B7] manager and callee die together: the manager knows from its disk whose keys are gone', () => {
  const pair = approvedOnce();
  const before = operations(pair);
  pair.callee.restart();
  pair.town.restartManager();
  pair.town.advance(WITHIN_MS);
  assertGoesOn(pair, 1, before);
});

test('[B7] broker and caller die together', () => {
  const pair = approvedOnce();
  const before = operations(pair);
  pair.caller.restart();
  pair.town.restartBroker();
  pair.town.advance(WITHIN_MS);
  assertGoesOn(pair, 1, before);
});

test('[B7] a disk that refuses for a while costs the session nothing but time', () => {
  const pair = approvedOnce();
  const before = operations(pair);
  let refused = 0;
  pair.town.meddler = ({ from }) => {
    const flow = pair.town.manager.sessions.get(pair.sid)?.flow;
    if (from === 'tv' && flow?.state === 'renewing' && refused === 0) {
      pair.town.diskBroken = true;
      refused++;
    }
    return 'pass';
  };
  pair.callee.restart();
  pair.town.flush();
  assert.equal(refused, 1);
  assert.equal(pair.town.manager.sessions.get(pair.sid)?.flow.state, 'renewing');
  assert.equal(session(pair.caller, pair.sid).epoch, 0, 'nothing was granted');
  pair.town.diskBroken = false;
  pair.town.advance(WITHIN_MS);
  assertTalks(pair, pair.sid);
  assert.deepEqual([asked(pair), operations(pair)], [1, before]);
});

test('[B7] the peer is off: the session waits for it, within the grace, and no longer', () => {
  const pair = approvedOnce();
  pair.town.meddler = ({ from, topic }) => (from === 'router' || topic.includes('/d/router') ? [] : 'pass');
  pair.caller.restart();
  pair.callee.restart();
  pair.town.advance(60_000);
  assert.equal(pair.town.manager.sessions.get(pair.sid)?.flow.state, 'renewing');
  pair.town.meddler = () => 'pass';
  pair.town.advance(WITHIN_MS);
  pair.caller.breakLink();
  pair.town.advance(WITHIN_MS);
  assertTalks(pair, pair.sid);
});

for (const who of ['callee', 'caller'] as const) {
  test(`[B7] [5.6 crossed handshakes] the ${who} closes its channel while the callee is asked: the session comes all the same`, () => {
    const pair = couple();
    let closed = 0;
    pair.town.meddler = ({ from, topic }) => {
      if (from === 'manager' && topic.endsWith('/d/tv') && closed++ === 0)
        pair[who].run((state, world) => closeChannel(state, 'done', world));
      return 'pass';
    };
    const before = operations(pair);
    pair.caller.call('tv');
    pair.town.advance(WITHIN_MS);
    assert.ok(closed > 0);
    const sid = pair.caller.latest('sessionOpened')?.sid;
    assert.ok(sid !== undefined, `no session: ${JSON.stringify(pair.caller.news.at(-1))}`);
    assertTalks(pair, sid);
    assert.deepEqual([pair.callee.state.asked.size, operations(pair)], [0, before]);
  });
}

test('[P17] [B7] a session that is ended while its new grant is on the way stays ended, on both sides', () => {
  const pair = approvedOnce();
  let ended = false;
  const lostUntil = pair.town.clock.now() + 3000;
  pair.town.meddler = ({ from, topic }) => {
    const granted = pair.town.manager.sessions.get(pair.sid)?.flow.state === 'granted';
    if (!ended && from === 'manager' && granted && pair.caller.state.renewals.has(pair.sid)) {
      ended = true;
      end(pair.caller, pair.sid);
    }
    // its End is lost the first time
    return ended && from === 'router' && topic.includes('/m/') && pair.town.clock.now() < lostUntil ? [] : 'pass';
  };
  pair.callee.restart();
  pair.town.advance(60_000);
  assert.ok(ended, 'it was ended between its answer and its grant');
  assert.deepEqual([pair.caller.state.sessions.size, pair.callee.state.sessions.size], [0, 0]);
  assert.equal(pair.town.manager.sessions.size, 0);
});

// ── Consent ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Both restart, and the callee's Renew is put before it once more, changed. @returns what it answered */
function renewChanged(change: (renew: MessageOf<'Renew'>, pair: Pair) => Partial<MessageOf<'Renew'>>): string {
  const pair = approvedOnce();
  const terms = pair.town.manager.sessions.get(pair.sid)!.flow.terms;
  const { name, suite, keyMode } = terms;
  const renew: MessageOf<'Renew'> = {
    kind: 'Renew',
    sid: fromHex(pair.sid),
    role: 'callee',
    epoch: 1,
    peer: pair.caller.id,
    name,
    suite,
    keyMode,
    lifetime: 3600,
    consent: terms.callee.consent ?? undefined,
  };
  pair.town.meddler = ({ from }) => (from === 'router' ? [] : 'pass');
  pair.callee.restart();
  pair.town.flush();
  pair.callee.state.renewals.clear();
  managerSays(pair.town, pair.callee.id, [{ ...renew, ...change(renew, pair) }]);
  if (pair.callee.state.renewals.size > 0) return 'agreed';
  const line = pair.callee.logs.findLast((one) => one.includes('renewal.refused'));
  return line === undefined ? 'silent' : (JSON.parse(line.slice(line.indexOf('{'))) as { reason: string }).reason;
}

const changed = (bytes: Uint8Array): Uint8Array => {
  const copy = bytes.slice();
  copy[copy.length - 1]! ^= 1;
  return copy;
};
const WEAK: Suite = { cipher: 'hmac', keyBits: 256, hash: 'sha-256', tagBits: 256 };

const CASES: readonly [string, Parameters<typeof renewChanged>[0], string][] = [
  ['its own consent, unchanged', () => ({}), 'agreed'],
  ['no consent', () => ({ consent: undefined }), 'restarted'],
  ['a changed consent', ({ consent }) => ({ consent: changed(consent!) }), 'restarted'],
  ['its consent to another session', () => ({ sid: new Uint8Array(8).fill(9) }), 'restarted'],
  ['its consent to another caller', () => ({ peer: 'phone' as TownDevice['id'] }), 'restarted'],
  ['a longer lifetime than it agreed to', () => ({ lifetime: 3601 }), 'restarted'],
  ['the role of the caller', () => ({ role: 'caller' }), 'restarted'],
  ['a suite that it has not registered', () => ({ suite: WEAK }), 'no-common-suite'],
  ['another key mode', () => ({ keyMode: 'key' }), 'no-common-suite'],
  ['itself as the peer', () => ({ peer: 'tv' as TownDevice['id'] }), 'self'],
  [
    "a consent by another device's key",
    ({ sid, peer }, { callee }) => ({
      consent: writeConsent(
        new Uint8Array(32).fill(1),
        { role: 'callee', from: peer, sid },
        { lifetime: 3600, allowUnencrypted: true },
        callee.world(),
      ),
    }),
    'restarted',
  ],
  [
    'a consent that has run out',
    ({ sid, peer }, { callee, town }) => {
      const world = callee.world();
      const terms = { lifetime: 3600, allowUnencrypted: true };
      const consent = writeConsent(callee.state.consentKey, { role: 'callee', from: peer, sid }, terms, world);
      town.clock.advance(3_600_000);
      return { consent };
    },
    'restarted',
  ],
];

for (const [what, change, answer] of CASES) {
  test(`[P14] [5.6 unknown key share] a device that restarted is asked to renew with ${what}: ${answer}`, () => {
    assert.equal(renewChanged(change), answer);
  });
}

test('[P14] what its policy refuses today is not renewed: the session ends on both sides', () => {
  const approval = { rules: [] as { from: string; decision: 'refuse' }[], otherwise: 'allow' as const };
  const pair = talking({ callee: { settings: { approval: { ...approval, askTimeoutSeconds: 30, busy: false } } } });
  approval.rules.push({ from: 'router', decision: 'refuse' });
  pair.callee.restart();
  pair.town.advance(1000);
  assert.equal(ending(pair.caller), 'refused-by-policy by manager');
  assert.deepEqual([pair.callee.state.sessions.size, pair.town.manager.sessions.size], [0, 0]);
});

test('[B7] a device whose memory is lost cannot know its consent: the session ends, and the peer learns why', () => {
  const pair = approvedOnce();
  pair.callee.memory = encodeMemory({ ...decodeMemory(pair.callee.memory!), consentKey: null });
  pair.callee.restart();
  pair.town.advance(1000);
  assert.equal(ending(pair.caller), 'restarted by manager');
  assert.equal(pair.town.manager.sessions.size, 0);
});

test('[P14] the one whose keys live looks at the terms: another suite or peer than it has is refused', () => {
  for (const lie of [
    { suite: WEAK },
    { peer: 'phone' as TownDevice['id'] },
    { name: 'other' },
    { role: 'callee' },
  ] as const) {
    const pair = approvedOnce();
    const { name, suite, keyMode } = pair.town.manager.sessions.get(pair.sid)!.flow.terms;
    const sid = fromHex(pair.sid);
    const honest = { kind: 'Renew', sid, role: 'caller', epoch: 1, peer: 'tv' as TownDevice['id'] } as const;
    managerSays(pair.town, pair.caller.id, [{ ...honest, name, suite, keyMode, lifetime: 3600, ...lie }]);
    assert.equal(pair.caller.state.renewals.size, 0, JSON.stringify(lie));
  }
});

// ── Key reinstallation ──────────────────────────────────────────────────────────────────────────────────────────────

/** A pair with the callee's answer to a Renew, and the grant of a lying manager still to come. */
function agreed(wishes: CoupleWishes = {}): Pair & { readonly nonce: Uint8Array } {
  const pair = talking(wishes);
  const { name, suite, keyMode } = pair.town.manager.sessions.get(pair.sid)!.flow.terms;
  const sid = fromHex(pair.sid);
  const renew = { kind: 'Renew', sid, role: 'callee', epoch: 1, peer: 'router' as TownDevice['id'] } as const;
  pair.town.meddler = ({ from }) => (from === 'tv' ? [] : 'pass');
  managerSays(pair.town, pair.callee.id, [{ ...renew, name, suite, keyMode, lifetime: 3600 }]);
  pair.town.meddler = () => 'pass';
  return { ...pair, nonce: pair.callee.state.renewals.get(pair.sid)!.nonce };
}

const LIES: readonly [string, (nonce: Uint8Array) => Partial<MessageOf<'Grant'>>][] = [
  ['a nonce that was not drawn', () => ({ nonceB: new Uint8Array(16).fill(3) })],
  ['its nonce in the place of the other', (nonce) => ({ nonceA: nonce, nonceB: new Uint8Array(16) })],
  ['the other role', (nonce) => ({ role: 'caller', nonceB: nonce })],
  ['an epoch that is over', (nonce) => ({ epoch: 0, nonceB: nonce })],
  ['another peer', (nonce) => ({ peer: 'phone' as TownDevice['id'], nonceB: nonce })],
  ['a longer lifetime', (nonce) => ({ lifetime: 3601, nonceB: nonce })],
  ['another suite', (nonce) => ({ suite: WEAK, nonceB: nonce })],
];

for (const [what, lie] of LIES) {
  test(`[5.6 key reinstallation by a repeated grant] a new grant with ${what} is refused, and the session stays as it is`, () => {
    const pair = agreed();
    const grant = grantFor(pair, 'callee', { sid: fromHex(pair.sid), epoch: 1, ...lie(pair.nonce) });
    managerSays(pair.town, pair.callee.id, [grant]);
    assert.equal(session(pair.callee, pair.sid).epoch, 0);
    assertTalks(pair, pair.sid);
  });
}

test('[5.6 key reinstallation by a repeated grant] a new grant is installed once: the same again changes nothing', () => {
  const pair = agreed();
  const grant = () => grantFor(pair, 'callee', { sid: fromHex(pair.sid), epoch: 1, nonceB: pair.nonce.slice() });
  managerSays(pair.town, pair.callee.id, [grant()]);
  const installed = session(pair.callee, pair.sid).records;
  assert.equal(session(pair.callee, pair.sid).epoch, 1);
  for (const epoch of [1, 2]) {
    managerSays(pair.town, pair.callee.id, [{ ...grant(), epoch }]);
    assert.ok(session(pair.callee, pair.sid).records === installed, 'the nonce is used up');
  }
});

test('[5.6 nonce reuse after kill −9] records of the process before are not taken by the one after', () => {
  const pair = approvedOnce();
  const from = pair.town.packets.length;
  assert.equal(say(pair.callee, pair.sid, 'before'), null);
  pair.town.flush();
  const old = pair.town.packets.slice(from).filter(({ topic }) => topic.includes('/p/'));
  const oldKey = session(pair.callee, pair.sid).records.keys.senderKey.slice();
  pair.callee.restart();
  pair.town.advance(1000);
  assertTalks(pair, pair.sid);
  assert.ok(!equal(oldKey, session(pair.callee, pair.sid).records.keys.senderKey));
  const { received } = session(pair.caller, pair.sid).data;
  for (const { topic, payload } of old) pair.town.inject(topic, payload);
  pair.town.flush();
  assert.equal(session(pair.caller, pair.sid).data.received, received);
});
