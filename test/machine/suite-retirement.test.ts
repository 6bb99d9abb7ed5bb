/**
 * A suite is retired: it is taken only where nothing else is common, live sessions move to another one and lose no message,
 * and from its day on it is not taken at all. [B4]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { register } from '../../device-agent/registration.ts';
import { showDependents, showRetirements } from '../../manager/retirement-report.ts';
import { reinstate, retire } from '../../manager/retiring.ts';
import { fromHex } from '../../protocol/bytes.ts';
import type { Proposal } from '../../protocol/messages.ts';
import { readRecordHead } from '../../protocol/record-head.ts';
import { parseSuitePattern, type SuitePattern } from '../../protocol/suite-pattern.ts';
import { type EpochSeconds, seconds } from '../../protocol/units.ts';
import {
  assertTalks,
  type Couple,
  couple,
  ending,
  heard,
  managerSays,
  refusal,
  say,
  session,
  talking,
} from '../couple.ts';
import { proposal } from '../town.ts';
import type { Packet, Town, TownDevice } from '../town-plan.ts';

const OLD = proposal('aes-ccm', 128, { tagBits: 64, priority: 1 });
const NEW = proposal('aes-gcm', 256, { priority: 2 });
const DAY = 86_400;
type Pair = Couple & { readonly sid: string };

function pattern(text: string): SuitePattern {
  const parsed = parseSuitePattern(text);
  assert.ok(!('fault' in parsed));
  return parsed;
}

/** In force when it is on disk. */
function retireIn(town: Town, wallSeconds: number, suite = 'aes-ccm'): void {
  town.runManager((state) => retire(state, pattern(suite), (town.world().wall + wallSeconds) as EpochSeconds));
  town.flush();
}

const registering = (caller: readonly Proposal[], callee = caller) => ({
  caller: { proposals: caller },
  callee: { proposals: callee },
});
const ciphers = ({ caller, callee, sid }: Pair): string[] =>
  [caller, callee].map((device) => session(device, sid).suite.cipher);
const operations = ({ caller, callee }: Couple): number[] => [caller.operations(), callee.operations()];
const control = ({ topic }: Packet): boolean => /\/[mdp]\//.test(topic) && !topic.includes('/v/');

/** Both say something numbered, again and again, while the packets of the move go by. */
function talkThrough(
  pair: Pair,
  change: (packet: Packet, at: number) => 'pass' | readonly Uint8Array[] = () => 'pass',
) {
  const said: [string[], string[]] = [[], []];
  const faults: string[] = [];
  const speak = (): void => {
    for (const [at, device] of [pair.caller, pair.callee].entries()) {
      const text = `${device.id} ${said[at]!.length}`;
      const fault = say(device, pair.sid, text);
      if (fault === null) said[at]!.push(text);
      else faults.push(fault);
    }
  };
  let at = 0;
  let speaking = false;
  pair.town.meddler = (packet) => {
    if (!control(packet) || speaking || at > 200) return 'pass';
    speaking = true;
    if (at < 60) speak();
    speaking = false;
    return isData(packet) ? 'pass' : change(packet, at++);
  };
  return {
    speak,
    faults,
    assertAllHeard(): void {
      const sorted = (texts: readonly string[]) => [...texts].sort();
      assert.deepEqual(sorted(heard(pair.callee)), sorted(said[0]), 'the callee heard every message once');
      assert.deepEqual(sorted(heard(pair.caller)), sorted(said[1]), 'and so did the caller');
      assert.ok(said[0].length > 5, `only ${said[0].length} messages were said`);
    },
  };
}

/** Data records pass: what is lost of them is lost with any suite. */
const isData = ({ topic, payload }: Packet): boolean => /\/p\//.test(topic) && readRecordHead(payload).type === 'data';

test('[B4] [B5] a live session moves to another suite by a new grant: no message lost, none twice, no approval, no public-key work', () => {
  const pair: Pair = talking(registering([OLD, NEW]));
  const before = operations(pair);
  assert.deepEqual(ciphers(pair), ['aes-ccm', 'aes-ccm']);
  const talk = talkThrough(pair);
  retireIn(pair.town, DAY);
  pair.town.advance(6000);
  pair.town.meddler = () => 'pass';
  talk.speak();
  pair.town.advance(1000);
  assert.deepEqual(ciphers(pair), ['aes-gcm', 'aes-gcm']);
  assert.deepEqual(talk.faults, [], 'at no moment was a message refused');
  talk.assertAllHeard();
  assert.deepEqual(operations(pair), before);
  assert.deepEqual([session(pair.caller, pair.sid).epoch, session(pair.callee, pair.sid).epoch], [1, 1]);
  assert.equal(pair.caller.news.filter(({ news }) => news === 'sessionClosed').length, 0);
});

for (const lost of Array.from({ length: 12 }, (_, at) => at)) {
  test(`[B4] [5.6 lost, doubled, reordered messages at every step] a move whose message ${lost} is lost, or comes twice, loses nothing that was said`, () => {
    for (const change of [[], ['twice']] as const) {
      const pair: Pair = talking(registering([OLD, NEW]));
      const talk = talkThrough(pair, ({ payload }, at) =>
        at === lost ? (change.length === 0 ? [] : [payload, payload]) : 'pass',
      );
      retireIn(pair.town, DAY);
      pair.town.advance(30_000);
      pair.town.meddler = () => 'pass';
      talk.speak();
      pair.town.advance(30_000);
      assert.deepEqual(ciphers(pair), ['aes-gcm', 'aes-gcm']);
      talk.assertAllHeard();
      assert.deepEqual(talk.faults, []);
    }
  });
}

for (const who of ['manager', 'caller', 'callee'] as const) {
  test(`[B4] [B7] the ${who} dies at any message of a move: the session lives, and ends up on the other suite`, () => {
    for (let at = 0; at < 12; at++) {
      const pair: Pair = talking(registering([OLD, NEW]));
      let seen = 0;
      let die = false;
      pair.town.meddler = (packet) => {
        if (!control(packet)) return 'pass';
        if (seen++ < at) return 'pass';
        die = true;
        return [];
      };
      retireIn(pair.town, DAY);
      pair.town.advance(100);
      pair.town.meddler = () => 'pass';
      if (die && who === 'manager') pair.town.restartManager();
      else if (die) pair[who as 'caller' | 'callee'].restart();
      pair.town.advance(90_000);
      assertTalks(pair, pair.sid);
      assert.deepEqual(ciphers(pair), ['aes-gcm', 'aes-gcm'], `${who} died at message ${at}`);
    }
  });
}

test('[B4] the old keys are erased a minute after the new ones were seen at work, and open nothing any more', () => {
  const pair: Pair = talking(registering([OLD, NEW]));
  const from = pair.town.packets.length;
  say(pair.caller, pair.sid, 'said under the old keys, and held back');
  const held = pair.town.packets.slice(from);
  pair.town.flush();
  const kept = session(pair.callee, pair.sid).records;
  retireIn(pair.town, DAY);
  pair.town.advance(6000);
  assert.equal(session(pair.callee, pair.sid).before?.records, kept);
  assert.ok(kept.keys.recipientKey.some((byte) => byte !== 0));
  pair.town.advance(61_000);
  assert.equal(session(pair.callee, pair.sid).before, null);
  assert.ok(kept.keys.recipientKey.every((byte) => byte === 0) && kept.keys.senderKey.every((byte) => byte === 0));
  const heardBefore = heard(pair.callee).length;
  for (const { topic, payload } of held) pair.town.inject(topic, payload);
  pair.town.flush();
  assert.equal(heard(pair.callee).length, heardBefore);
});

test('[B4] before its day a retiring suite is taken only where nothing else is common, with a warning', () => {
  const both = couple(registering([OLD, NEW]));
  retireIn(both.town, DAY);
  both.caller.call('tv');
  both.town.flush();
  const { sid } = both.caller.latest('sessionOpened')!;
  assert.equal(session(both.caller, sid).suite.cipher, 'aes-gcm', 'the second choice of both');
  const only = couple(registering([OLD]));
  retireIn(only.town, DAY);
  only.caller.call('tv');
  only.town.flush();
  assert.equal(session(only.caller, only.caller.latest('sessionOpened')!.sid).suite.cipher, 'aes-ccm');
  assert.equal(only.town.managerLogs.filter((line) => line.includes('connect.retiring-suite')).length, 1);
  assert.equal(both.town.managerLogs.filter((line) => line.includes('connect.retiring-suite')).length, 0);
});

test('[B4] from its day on it is refused by its name, and what could not move has ended on both sides', () => {
  const pair: Pair = talking(registering([OLD]));
  retireIn(pair.town, 30);
  pair.town.advance(20_000);
  assertTalks(pair, pair.sid);
  pair.town.advance(20_000);
  assert.deepEqual(
    [ending(pair.caller), ending(pair.callee)],
    ['no-common-suite by manager', 'no-common-suite by manager'],
  );
  pair.caller.call('tv');
  pair.town.flush();
  assert.equal(refusal(pair.caller), 'no-common-suite');
  assert.match(pair.caller.latest('callFailed')?.detail ?? '', /retired/);
});

test('[B4] who registers another suite later moves then', () => {
  const pair: Pair = talking(registering([OLD]));
  retireIn(pair.town, DAY);
  pair.town.advance(11_000);
  assert.deepEqual(ciphers(pair), ['aes-ccm', 'aes-ccm']);
  for (const device of [pair.caller, pair.callee]) {
    device.run((state, world) => register(state, { ...state.registration.wanted, proposals: [OLD, NEW] }, world));
  }
  pair.town.advance(11_000);
  assert.deepEqual(ciphers(pair), ['aes-gcm', 'aes-gcm']);
  assertTalks(pair, pair.sid);
});

test('[B4] [B7] a retirement outlives the manager; taken back, the suite is chosen again', () => {
  const pair = couple(registering([OLD, NEW]));
  retireIn(pair.town, DAY);
  pair.town.flush();
  pair.town.restartManager();
  pair.town.advance(10_000);
  const cipherOfNext = (): string => {
    pair.caller.call('tv');
    pair.town.flush();
    return session(pair.caller, pair.caller.latest('sessionOpened')!.sid).suite.cipher;
  };
  assert.equal(cipherOfNext(), 'aes-gcm');
  pair.town.runManager((state) => assert.equal(reinstate(state, pattern('aes-ccm')), true));
  pair.town.flush();
  pair.town.runManager((state) => assert.equal(reinstate(state, pattern('aes-ccm')), false));
  assert.equal(cipherOfNext(), 'aes-ccm');
  pair.town.flush();
  pair.town.restartManager();
  assert.equal(pair.town.manager.retirements.size, 0);
});

test('[B4] [B8] it is told who depends on a suite: devices that offer nothing else, sessions that have nothing else in common', () => {
  const pair: Pair = talking({ caller: { proposals: [OLD] }, callee: { proposals: [OLD, NEW] } });
  const found = showDependents(pair.town.manager, pattern('aes-ccm/128'), pair.town.world());
  assert.deepEqual([found.devicesOffering, found.devicesWithNothingElse, found.devices], [2, 1, ['router']]);
  assert.deepEqual([found.sessions, found.sessionsWithNothingElse], [1, 1]);
  assert.deepEqual(found.stuck, [{ sid: pair.sid, caller: 'router', callee: 'tv' }]);
  const other = showDependents(pair.town.manager, pattern('aes-ccm/256'), pair.town.world());
  assert.deepEqual([other.devicesOffering, other.sessions], [0, 0]);
  retireIn(pair.town, 60);
  const [row] = showRetirements(pair.town.manager, pair.town.world()) as [{ readonly [key: string]: unknown }];
  assert.deepEqual([row.suite, row.state, row.sessions], ['aes-ccm', 'retiring', 1]);
});

test('[P18] [5.6 downgrade] no move takes a session to a suite that does not encrypt, though both have registered one', () => {
  const mac = proposal('hmac', 256);
  const pair: Pair = talking(registering([NEW, mac]));
  const { name } = session(pair.caller, pair.sid);
  const lie = {
    kind: 'Renew',
    sid: fromHex(pair.sid),
    role: 'caller',
    epoch: 1,
    peer: 'tv' as TownDevice['id'],
    name,
    suite: { cipher: 'hmac', keyBits: 256, hash: 'sha-256', tagBits: 256 },
    keyMode: 'seed',
    lifetime: 60,
    handover: true,
  } as const;
  managerSays(pair.town, pair.caller.id, [{ ...lie, suite: session(pair.caller, pair.sid).suite }]);
  assert.equal(pair.caller.state.renewals.size, 1, 'an honest one is agreed to');
  pair.caller.state.renewals.clear();
  managerSays(pair.town, pair.caller.id, [lie]);
  assert.equal(pair.caller.state.renewals.size, 0);
});

test('[B4] hundreds of sessions move in turns, not all at once', () => {
  const pair = couple(registering([OLD, NEW]));
  const others = ['phone', 'car'].map((name) => pair.town.add(name, { proposals: [OLD, NEW] }));
  const ends = [
    [pair.caller, pair.callee],
    [others[0]!, others[1]!],
  ] as const;
  const sids = Array.from({ length: 130 }, (_, at) => {
    const [caller, callee] = ends[at % 2]!;
    caller.call(callee.id);
    pair.town.flush();
    return [caller, caller.latest('sessionOpened')!.sid] as const;
  });
  assert.equal(new Set(sids.map(([, sid]) => sid)).size, 130);
  const moved = (): number =>
    sids.filter(([device, sid]) => {
      const { suite, state } = session(device, sid);
      return suite.cipher === 'aes-gcm' && state.name === 'open';
    }).length;
  retireIn(pair.town, DAY);
  pair.town.advance(100);
  assert.equal(moved(), 100);
  pair.town.advance(seconds(6));
  assert.equal(moved(), 130);
});

// ── What a review found ─────────────────────────────────────────────────────────────────────────────────────────────

const MAC = proposal('hmac', 256, { priority: 1 });
const CCM_SECOND = proposal('aes-ccm', 128, { tagBits: 64, priority: 2 });
const GCM_128 = proposal('aes-gcm', 128, { priority: 3 });
const inUse = (device: TownDevice, sid: string): string => {
  const { before, records } = session(device, sid);
  return (before?.records ?? records).algorithm.suite.cipher;
};

test('[B4] a device that is silent keeps no retired suite alive: the session ends on its day, and is counted until then', () => {
  const pair: Pair = talking(registering([OLD, NEW]));
  pair.town.meddler = ({ topic }) => (/\/m\/tv$/.test(topic) ? [] : 'pass');
  retireIn(pair.town, 120);
  pair.town.advance(60_000);
  assert.equal(pair.town.manager.sessions.get(pair.sid)?.flow.state, 'renewing');
  assert.equal(inUse(pair.caller, pair.sid), 'aes-ccm');
  const [row] = showRetirements(pair.town.manager, pair.town.world()) as [{ readonly [key: string]: unknown }];
  assert.equal(row.sessions, 1, 'it is about to move, and has not');
  pair.town.advance(70_000);
  assert.equal(pair.caller.state.sessions.size + pair.callee.state.sessions.size, 0);
});

test('[B4] [5.6 downgrade] a session that encrypts is not moved to integrity-only, whatever its caller wished for; it moves past it', () => {
  for (const proposals of [
    [CCM_SECOND, MAC],
    [CCM_SECOND, MAC, GCM_128],
  ]) {
    const pair = couple(registering(proposals));
    pair.caller.call('tv', { allowUnencrypted: true });
    pair.town.flush();
    const mac = pair.caller.latest('sessionOpened')!.sid;
    assert.equal(session(pair.caller, mac).suite.cipher, 'hmac', 'as it was asked for');
    pair.caller.call('tv');
    pair.town.flush();
    const { sid } = pair.caller.latest('sessionOpened')!;
    const flow = pair.town.manager.sessions.get(sid)!.flow;
    (flow.terms.decision as { allowUnencrypted: boolean }).allowUnencrypted = true; // as if it had been wished for
    assert.equal(session(pair.caller, sid).suite.cipher, 'aes-ccm');
    retireIn(pair.town, DAY);
    pair.town.advance(11_000);
    const expected = proposals.length === 3 ? 'aes-gcm' : 'aes-ccm';
    assert.deepEqual(
      [session(pair.caller, sid).suite.cipher, session(pair.callee, sid).suite.cipher],
      [expected, expected],
    );
    assertTalks({ ...pair }, sid);
  }
});

test('[B4] a move that a device refuses is taken back: both go on over the suite they had, and nothing is lost', () => {
  const pair: Pair = talking(registering([OLD, NEW]));
  const talk = talkThrough(pair);
  retireIn(pair.town, DAY);
  // the callee has another list now, of which the manager has not heard
  pair.callee.run((state) => {
    const { registration } = state;
    registration.acknowledged = {
      ...registration.acknowledged!,
      content: { ...registration.wanted, proposals: [OLD] },
    };
    registration.wanted = { ...registration.wanted, proposals: [OLD] };
  });
  pair.town.advance(4000);
  pair.town.meddler = () => 'pass';
  talk.speak();
  pair.town.advance(500);
  assert.deepEqual(ciphers(pair), ['aes-ccm', 'aes-ccm']);
  talk.assertAllHeard();
  assert.deepEqual(talk.faults, []);
});

test('[B4] two suites that retire one after the other, and one that is taken back: the session moves on, and nothing is lost', () => {
  const pair: Pair = talking(registering([OLD, NEW, proposal('chacha20-poly1305', 256, { priority: 4 })]));
  const talk = talkThrough(pair);
  retireIn(pair.town, DAY);
  pair.town.advance(100);
  retireIn(pair.town, DAY, 'aes-gcm');
  pair.town.advance(90_000);
  pair.town.meddler = () => 'pass';
  talk.speak();
  pair.town.advance(1000);
  assert.deepEqual(ciphers(pair), ['chacha20-poly1305', 'chacha20-poly1305']);
  talk.assertAllHeard();
  assert.deepEqual(talk.faults, []);

  const stuck: Pair = talking(registering([OLD, GCM_128]));
  retireIn(stuck.town, DAY);
  retireIn(stuck.town, DAY, 'aes-gcm');
  stuck.town.advance(11_000);
  assert.deepEqual(ciphers(stuck), ['aes-ccm', 'aes-ccm'], 'nothing else is left');
  stuck.town.runManager((state) => assert.equal(reinstate(state, pattern('aes-gcm')), true));
  stuck.town.advance(11_000);
  assert.deepEqual(ciphers(stuck), ['aes-gcm', 'aes-gcm'], 'it is there again');
});

test('[B4] [B7] a disk that refuses for a while delays a move, and nothing that was said is lost', () => {
  const pair: Pair = talking(registering([OLD, NEW]));
  retireIn(pair.town, DAY);
  pair.town.flush();
  const talk = talkThrough(pair);
  pair.town.diskBroken = true;
  pair.town.advance(3000);
  pair.town.diskBroken = false;
  pair.town.advance(30_000);
  pair.town.meddler = () => 'pass';
  talk.speak();
  pair.town.advance(1000);
  assert.deepEqual(ciphers(pair), ['aes-gcm', 'aes-gcm']);
  talk.assertAllHeard();
  assert.deepEqual(talk.faults, []);
});

test('[B7] a retirement that the disk refuses is not in force, and whoever asked for it hears so', () => {
  const { town } = couple();
  const heardOf: (string | null)[] = [];
  town.diskBroken = true;
  town.runManager((state) =>
    retire(state, pattern('aes-ccm'), (town.world().wall + DAY) as EpochSeconds, (failure) => heardOf.push(failure)),
  );
  town.advance(100);
  assert.equal(heardOf.length, 1);
  assert.notEqual(heardOf[0], null);
  assert.equal(town.manager.retirements.size, 0);
});

test('[B4] [B8] what does not encrypt, and what retires too, is nothing else: it is told who then has nothing left', () => {
  const pair = couple({ caller: { proposals: [OLD, MAC] }, callee: { proposals: [OLD, NEW] } });
  const dependents = () => showDependents(pair.town.manager, pattern('aes-ccm'), pair.town.world()).devices;
  assert.deepEqual(dependents(), ['router']);
  retireIn(pair.town, DAY, 'aes-gcm');
  pair.town.flush();
  assert.deepEqual(dependents(), ['router', 'tv']);
});

test('[B4] a move that comes before the first record of the peer: what the peer has said under the first keys is heard', () => {
  const pair = couple(registering([OLD, NEW]));
  const toCaller: Packet[] = [];
  let hold = true;
  pair.town.meddler = (packet) => {
    if (!hold || !/\/p\/router\//.test(packet.topic)) return 'pass';
    toCaller.push(packet);
    return [];
  };
  pair.caller.call('tv');
  pair.town.flush();
  const [sid] = [...pair.callee.state.sessions.keys()];
  assert.equal(session(pair.caller, sid!).state.name, 'granted', 'the answer of the callee is on its way');
  assert.equal(say(pair.callee, sid!, 'said at once'), null);
  pair.town.flush();
  assert.equal(toCaller.length, 2);
  retireIn(pair.town, DAY);
  pair.town.advance(10);
  assert.equal(session(pair.caller, sid!).epoch, 1);
  assert.equal(say(pair.caller, sid!, 'too early'), 'not-open');
  hold = false;
  for (const { topic, payload } of toCaller) pair.town.inject(topic, payload);
  pair.town.advance(6000);
  assert.deepEqual(heard(pair.caller), ['said at once']);
  assertTalks(pair, sid!);
  assert.deepEqual(ciphers({ ...pair, sid: sid! }), ['aes-gcm', 'aes-gcm']);
});
