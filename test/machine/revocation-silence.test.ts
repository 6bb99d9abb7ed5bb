/**
 * No verifier is heard, or too late: what stands goes on until its verdicts are too old, nothing new begins, and no key is
 * made by any way. A verdict that was heard spares the next question only while a verifier is heard. [P4] [B6]
 * @spec design §5.1, §5.4
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { approveAsk } from '../../device-agent/answering.ts';
import { type EventDelay, measureDelay } from '../../manager/event-delay.ts';
import { stepManager } from '../../manager/manager.ts';
import { retire } from '../../manager/retiring.ts';
import { hearsVerifier } from '../../manager/revocation-watch.ts';
import { parseSuitePattern } from '../../protocol/suite-pattern.ts';
import { type DeviceId, EpochSeconds, Millis } from '../../protocol/units.ts';
import { assertTalks, connect, couple, refusal, session, talking } from '../couple.ts';
import { ca, certify, DEVICE_WISHES } from '../test-authority.ts';
import { proposal, town } from '../town.ts';
import type { Town, TownDevice, TownWishes } from '../town-plan.ts';
import { forward, logged, questionsAbout } from './revocation-house.ts';
import { forgetSecret, isIn } from './town-packets.ts';

const heard = (t: Town): boolean => hearsVerifier(t.manager.revocation, t.clock.now());

/** Nobody hears a verifier, though it answers. */
function silence(t: Town): () => void {
  for (const verifier of t.verifiers) verifier.bent = () => [];
  forward(t, 4000);
  assert.ok(!heard(t));
  return () => {
    for (const verifier of t.verifiers) verifier.bent = (event) => [event];
    forward(t, 2000);
    assert.ok(heard(t));
  };
}

test('[P4] 3 s without an event: connects are refused as verifier-away, what stands goes on, and it is told once', () => {
  const pair = talking();
  const { town: t, caller: router } = pair;
  const lamp = t.add('lamp');
  const speak = silence(t);
  for (let i = 0; i < 5; i++) {
    lamp.call('tv');
    forward(t, 10_000);
    assert.equal(refusal(lamp), 'verifier-away');
  }
  assertTalks(pair, pair.sid);
  assert.ok(isIn(t, router) && isIn(t, lamp), 'their verdicts hold');
  assert.equal(logged(t, 'verifier.silent').length, 1);
  assert.match(logged(t, 'verifier.silent')[0]!, /^error .*remedy.*start the verifier/);
  speak();
  assert.equal(logged(t, 'verifier.speaks').length, 1);
  connect({ town: t, caller: lamp, callee: router });
});

test('[P4] less than 3 s of silence is none', () => {
  const pair = couple();
  for (const verifier of pair.town.verifiers) verifier.bent = () => [];
  forward(pair.town, 2000);
  connect(pair);
});

test('[P4] all verifiers are away: logins fail closed, channels and sessions go on until the age of the verdict is over, then end; all of it returns', () => {
  const pair = talking({ town: { verdictMaxAge: 100 } });
  const { town: t, caller: router, callee: tv } = pair;
  t.verifierAway = true;
  t.advance(6000);
  const lamp = t.add('lamp');
  t.advance(6000);
  assert.equal(lamp.latest('loginDenied')?.reason, 'verifier-away');
  router.breakLink();
  t.flush();
  assert.ok(isIn(t, router), 'a channel of before comes back by resumption');
  assertTalks(pair, pair.sid);
  t.advance(120_000);
  assert.ok(!isIn(t, router) && !isIn(t, tv) && t.manager.sessions.size === 0);
  t.verifierAway = false;
  forward(t, 60_000);
  assert.ok([router, tv, lamp].every((device) => isIn(t, device)));
  connect(pair);
});

const asking = { settings: { approval: { rules: [], otherwise: 'ask', askTimeoutSeconds: 30, busy: false } } } as const;

test('[P14] [P4] an approval that comes in silence makes no key: both are told, and nothing was stored', () => {
  const { town: t, caller: router, callee: tv } = couple({ callee: asking });
  router.call('tv');
  t.flush();
  const { sid } = tv.latest('asked')!;
  const speak = silence(t);
  const commits = t.manager.nextCommit;
  tv.run((state, world) => approveAsk(state, sid, world));
  t.flush();
  assert.equal(t.manager.nextCommit - commits, 1, 'nothing but that it is over');
  assert.equal(refusal(router), 'verifier-away');
  assert.deepEqual([...t.store.entries('sessions')], []);
  assert.deepEqual([t.manager.sessions.size, tv.state.sessions.size, tv.state.asked.size], [0, 0, 0]);
  speak();
  router.call('tv');
  t.flush();
  tv.run((state, world) => approveAsk(state, tv.latest('asked')!.sid, world));
  t.flush();
  assert.equal(router.state.sessions.size, 1);
});

test('[P4] silence begins while the session is stored: the grant is not made', () => {
  for (const standing of [false, true]) {
    const approvals = standing ? [{ caller: 'router' as DeviceId, lifetimeSeconds: 3600 }] : [];
    const { town: t, caller: router, callee: tv } = couple({ callee: { settings: { standing: approvals } } });
    t.diskFrozen = true;
    router.call('tv');
    t.flush();
    const [stored] = [...t.manager.commits].filter(([, { next }]) => next === 'granted');
    assert.ok(stored);
    const speak = silence(t);
    t.diskFrozen = false;
    t.runManager((state) => void stepManager(state, { type: 'committed', number: stored[0] }, t.world()));
    t.flush();
    assert.equal(refusal(router), 'verifier-away', `standing ${standing}`);
    assert.equal(t.manager.sessions.size + tv.state.sessions.size, 0);
    speak();
    connect({ town: t, caller: router, callee: tv });
  }
});

test('[P14] [P4] a standing approval is of no use in silence, and is not used up by it', () => {
  const standing = [{ caller: 'router' as DeviceId, lifetimeSeconds: 3600 }];
  const { town: t, caller: router, callee: tv } = couple({ callee: { settings: { standing } } });
  const left = (): number | undefined => t.manager.channels.get(tv.id)?.standing.get(router.id)?.nonces.length;
  const before = left();
  const speak = silence(t);
  router.call('tv');
  t.flush();
  assert.equal(refusal(router), 'verifier-away');
  assert.equal(left(), before);
  speak();
  connect({ town: t, caller: router, callee: tv });
});

test('[B7] [P4] a renewal is a grant: it waits for the verifier, and goes on at once when it speaks', () => {
  const pair = talking();
  const { town: t, callee: tv } = pair;
  const speak = silence(t);
  tv.restart();
  forward(t, 200_000);
  assert.deepEqual(
    [...t.manager.sessions.values()].map(({ flow }) => flow.state),
    ['renewing'],
  );
  assert.equal(tv.state.sessions.get(pair.sid)?.state.name === 'open', false);
  speak();
  assertTalks(pair, pair.sid);
  assert.equal(session(tv, pair.sid).epoch, 1);
});

test('[B4] [P4] a move to another suite is a grant: in silence nobody is moved', () => {
  const both = [proposal('aes-ccm', 128, { tagBits: 64, priority: 1 }), proposal('aes-gcm', 256, { priority: 2 })];
  const pair = talking({ caller: { proposals: both }, callee: { proposals: both } });
  const { town: t } = pair;
  const speak = silence(t);
  const pattern = parseSuitePattern('aes-ccm');
  assert.ok(!('fault' in pattern));
  t.runManager((state) => retire(state, pattern, (t.clock.wall() + 86_400) as EpochSeconds));
  forward(t, 20_000);
  assert.deepEqual(
    [...t.manager.sessions.values()].map(({ flow }) => flow.state),
    ['granted'],
  );
  assert.equal(session(pair.caller, pair.sid).epoch, 0);
  assertTalks(pair, pair.sid);
  speak();
  forward(t, 10_000);
  assert.equal(session(pair.caller, pair.sid).suite.cipher, 'aes-gcm');
});

// ── Events that are held back ───────────────────────────────────────────────────────────────────────────────────────

test('[B6] somebody holds every event back for 30 s: the manager does not believe that it hears the verifier', () => {
  const pair = couple();
  const { town: t } = pair;
  const [verifier] = t.verifiers;
  forward(t, 5000);
  const held: { at: number; event: Uint8Array }[] = [];
  verifier!.bent = (event) => {
    held.push({ at: t.clock.now() + 30_000, event });
    const due = held.filter(({ at }) => at <= t.clock.now());
    held.splice(0, due.length);
    return due.map((one) => one.event);
  };
  forward(t, 40_000);
  assert.ok(!heard(t));
  pair.caller.call('tv');
  t.flush();
  assert.equal(refusal(pair.caller), 'verifier-away');
  verifier!.bent = (event) => [event];
  forward(t, 2000);
  assert.ok(heard(t));
});

/** Events each second, told by three clocks. @returns the greatest delay that was seen, in ms */
function lateness(clocks: (second: number) => readonly [monotonic: number, wall: number, verifier: number]): number[] {
  let delay: EventDelay | null = null;
  return Array.from({ length: 300 }, (_, second) => {
    const [now, wall, time] = clocks(second);
    const measured = measureDelay(delay, EpochSeconds(Math.floor(time)), {
      now: Millis(now * 1000),
      wall: EpochSeconds(Math.floor(wall)),
    });
    delay = measured.delay;
    return measured.late;
  });
}
const NOW = 1_800_000_000;
const set = (second: number, by: number): number => (second >= 100 ? by : 0);

test('a clock that is set: the manager’s own is no delay at all, the verifier’s for a minute at most, drift never', () => {
  for (const by of [20, -20]) {
    const own = lateness((second) => [second, NOW + second + set(second, by), NOW + second]);
    assert.equal(Math.max(...own), 0, `ours, by ${by} s`);
    const same = lateness((second) => [second, NOW + second + set(second, by), NOW + second + set(second, by)]);
    assert.equal(Math.max(...same), 0, `that of the machine of both, by ${by} s`);
    const theirs = lateness((second) => [second, NOW + second, NOW + second + set(second, by)]);
    assert.equal(theirs.filter((late) => late > 0).length, by > 0 ? 0 : 61, `theirs, by ${by} s`);
  }
  const drifting = lateness((second) => [second * 50, NOW + second * 50, NOW + second * 50 * 0.9991]);
  assert.equal(Math.max(...drifting), 0);
});

test('events that come 10 s late from a second on are that late', () => {
  const late = lateness((second) => [second + set(second, 10), NOW + second + set(second, 10), NOW + second]);
  assert.equal(late[99], 0);
  assert.ok(late[100]! >= 8000 && late[100]! <= 10_000, `${late[100]} ms`);
});

// ── Verdicts that spare a question ──────────────────────────────────────────────────────────────────────────────────

interface Visit {
  readonly t: Town;
  readonly tv: TownDevice;
}
const visited = (wishes: TownWishes = {}): Visit => {
  const t = town(wishes);
  const tv = t.add('tv');
  forward(t, 2000);
  return { t, tv };
};

/** Logs in anew, in full. @returns questions about it */
function loginAgain({ t, tv }: Visit): number {
  const from = t.packets.length;
  const before = tv.counter.agree;
  forgetSecret(tv);
  tv.restart();
  t.flush();
  assert.equal(tv.counter.agree, before + 1, 'a full login');
  return questionsAbout(t, from).length;
}

test('[P4] a second full login within the age of the verdict costs no question while a verifier is heard', () => {
  const visit = visited({ verdictMaxAge: 100 });
  assert.deepEqual([loginAgain(visit), loginAgain(visit)], [0, 0]);
  assert.ok(isIn(visit.t, visit.tv));
  const until = visit.t.manager.verdictEnds.get(visit.tv.id)!;
  assert.ok(until <= 100_000 + 1, 'nor does it hold longer for it');
});

const ASKED: readonly (readonly [why: string, arrange: (visit: Visit) => void])[] = [
  ['in silence', ({ t }) => void silence(t)],
  ['in doubt', ({ t, tv }) => void t.manager.revocation.doubtful.add(tv.id)],
  ['its age is over', ({ t, tv }) => void t.manager.verdictEnds.set(tv.id, t.clock.now())],
  ['condemned', ({ t, tv }) => void t.manager.revocation.condemned.set(tv.id, 'revoked')],
];
for (const [why, arrange] of ASKED) {
  test(`[P4] a second full login asks the verifier all the same: ${why}`, () => {
    const visit = visited();
    arrange(visit);
    assert.equal(loginAgain(visit), 1);
  });
}

test('[P4] a second full login over another intermediate asks: the verdict is on the chain, not on the leaf', () => {
  const t = town();
  const branch = ca(t.root, 'Branch CA');
  const twin = ca(t.root, 'Branch CA', { key: branch.key });
  const holder = certify('tv', DEVICE_WISHES, branch);
  const chain = [holder.certificate.der, branch.certificate.der];
  const tv = t.add('tv', { holder, issuer: branch, chain });
  const asked = [branch, twin, twin, branch].map((by) => {
    chain[1] = by.certificate.der;
    tv.memory = null; // so that the chain is sent again
    return loginAgain({ t, tv });
  });
  assert.deepEqual(asked, [0, 1, 0, 1]);
});

test('[P4] who was revoked is asked about at each login', () => {
  const visit = visited();
  visit.t.revoke(visit.tv.holder);
  assert.deepEqual([loginAgain(visit), loginAgain(visit)], [1, 1]);
  assert.ok(!isIn(visit.t, visit.tv));
});
