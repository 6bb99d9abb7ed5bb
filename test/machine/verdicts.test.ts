/**
 * Verdicts in logins: the manager's about the device, and the one on the manager that a device may demand (P4, P5).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closeChannel } from '../../device-agent/channel.ts';
import { judgeManager } from '../../device-agent/manager-judgement.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { signVerdict } from '../../protocol/verdict.ts';
import { Judgement, Question, type Verdict } from '../../protocol/verifier-messages.ts';
import { certify, crypto, DEVICE_WISHES } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Packet, Town, TownDevice } from '../town-plan.ts';
import { E2, E3, E4, forgetSecret, isIn, kindsSince, packetsOf } from './town-packets.ts';

const thief = certify('thief', DEVICE_WISHES, null);

/** What the verifier could have said, changed and signed by whom one likes. */
type Forgery = (question: Question, honest: Verdict, t: Town) => Uint8Array;

const verdictOn = (question: Question, t: Town): Verdict => ({
  purpose: question.purpose,
  leaf: crypto.hash('sha-256', question.chain[0]!),
  issuerAndSerial: Uint8Array.of(0),
  reason: 'good',
  time: t.clock.wall(),
  maxAge: 3600,
  nonce: question.nonce,
  policy: 1,
});

const signedBy = (t: Town, verdict: Verdict): Uint8Array => signVerdict(t.verifierKey.key.key, verdict);

const FORGERIES: readonly (readonly [rule: string, forgery: Forgery, why: RegExp])[] = [
  ['unsigned', (_q, honest) => new Uint8Array([...honest.leaf]), /unsigned/],
  ['signed by another key', (_q, honest) => signVerdict(thief.key.key, honest), /wrong signer/],
  ['stale', (_q, honest, t) => signedBy(t, { ...honest, time: honest.time - 10_000 }), /stale/],
  ['from the future', (_q, honest, t) => signedBy(t, { ...honest, time: honest.time + 10_000 }), /future/],
  ['swapped', (_q, honest, t) => signedBy(t, { ...honest, leaf: new Uint8Array(32) }), /swapped/],
  ['of the wrong purpose', (_q, honest, t) => signedBy(t, { ...honest, purpose: 'user' }), /wrong purpose/],
];

/** Replaces what the verifier says about one purpose. */
const saying = (t: Town, purpose: Question['purpose'], forgery: Forgery) => {
  const questions: Question[] = [];
  return (packet: Packet): readonly Uint8Array[] | 'pass' => {
    if (packet.topic.startsWith('km1/v/q/')) questions.push(Question.decode(packet.payload));
    if (packet.from !== 'verifier') return 'pass';
    const { requestId } = Judgement.decode(packet.payload);
    const question = questions.find((one) => Buffer.from(one.requestId).equals(requestId));
    if (question?.purpose !== purpose) return 'pass';
    return [Judgement.encode({ requestId, verdict: forgery(question, verdictOn(question, t), t) })];
  };
};

// ── The manager's question about the device (patent 1100–1112, 0110) ────────────────────────────────────────────────

test('[P4] [patent 1100-1112] the manager asks about the very chain that signed, with a nonce of its own', () => {
  const t = town();
  const router = t.add('router-1');
  const questions = t.packets
    .filter(({ topic }) => topic === 'km1/v/q/~manager')
    .map(({ payload }) => Question.decode(payload));
  const [, about] = questions;
  assert.deepEqual([questions[0]?.purpose, about?.purpose], ['manager', 'device']);
  assert.deepEqual(Buffer.from(about!.chain[0]!), Buffer.from(router.holder.certificate.der));
  assert.equal(about!.chain.length, 2);
  assert.equal(about!.nonce?.length, 16);
  assert.notDeepEqual(questions[0]!.nonce, about!.nonce);
});

const ANOTHER_QUESTION: (typeof FORGERIES)[number] = [
  'an answer to another question',
  (_q, honest, t) => signedBy(t, { ...honest, nonce: new Uint8Array(16) }),
  /wrong nonce/,
];

for (const [rule, forgery, why] of [...FORGERIES, ANOTHER_QUESTION]) {
  test(`[P4] [5.6 stale, swapped, wrong-purpose verdict] [patent 1112] a verdict on the device that is ${rule} counts as none: the login fails closed`, () => {
    const t = town();
    t.meddler = saying(t, 'device', forgery);
    const router = t.add('router-1');
    assert.ok(!isIn(t, router));
    t.advance(6_000);
    assert.equal(router.latest('loginDenied')?.reason, 'verifier-away');
    assert.ok(
      t.managerLogs.some((line) => line.includes('verifier.answer-refused') && why.test(line)),
      t.managerLogs.join('\n'),
    );
    assert.equal(t.manager.devices.size, 0);
    t.meddler = () => 'pass';
    t.advance(60_000);
    assert.ok(isIn(t, router));
  });
}

test('[P4] a forged answer does not use up the question: the right one that follows still counts', () => {
  const t = town();
  const forge = saying(t, 'device', (_q, honest) => signVerdict(thief.key.key, { ...honest, reason: 'revoked' }));
  t.meddler = (packet) => {
    const forged = forge(packet);
    return forged === 'pass' ? 'pass' : [...forged, packet.payload];
  };
  assert.ok(isIn(t, t.add('router-1')));
});

test('[P4] [patent 1108] a bad verdict reaches the device inside message_4, authenticated, with its reason', () => {
  const t = town();
  const holder = certify('router-1', DEVICE_WISHES, t.ca);
  t.revoke(holder);
  const router = t.add('router-1', { holder });
  assert.deepEqual(kindsSince(t).slice(-1), [E4]);
  assert.equal(router.state.denied, 'revoked');
  assert.ok(router.logs.some((line) => line.includes('login.denied') && line.includes('ask the operator')));
  assert.ok(!Buffer.from(packetsOf(t, E4)[0]!.payload).includes('revoked'));
});

test('[P4] the verifier is away: logins fail closed with verifier-away, and work when it is back', () => {
  const t = town();
  const inside = t.add('inside');
  t.verifierAway = true;
  const router = t.add('router-1');
  t.advance(6_000);
  assert.equal(router.latest('loginDenied')?.reason, 'verifier-away');
  assert.ok(!isIn(t, router) && isIn(t, inside));
  t.verifierAway = false;
  t.advance(60_000);
  assert.ok(isIn(t, router));
});

test('[P4] an open channel outlives its verdict by nothing: without the verifier it ends with the verdict, and returns with it', () => {
  const t = town({ verdictMaxAge: 100 });
  const router = t.add('router-1');
  t.advance(90_000);
  assert.ok(
    isIn(t, router) && (t.manager.devices.get(router.id)?.verdictUntil ?? 0) > t.clock.wall() + 50,
    'asked again in time',
  );
  t.verifierAway = true;
  t.advance(120_000);
  assert.ok(!t.manager.channels.has(router.id));
  t.verifierAway = false;
  t.advance(120_000);
  assert.ok(isIn(t, router));
});

test('[P4] a device that was revoked meanwhile is put out when its verdict is renewed, and a resumption does not bring it back', () => {
  const t = town({ verdictMaxAge: 100 });
  const router = t.add('router-1');
  t.revoke(router.holder);
  t.advance(120_000);
  assert.ok(!isIn(t, router) && !t.manager.channels.has(router.id));
  assert.equal(t.store.get('resumption', router.id), null);
  assert.equal(router.state.denied, 'revoked');
});

// ── The device's demand for a verdict on the manager (P5, patent 0088) ──────────────────────────────────────────────

const demanding = (managerVerdict: 'cached' | 'fresh') => ({ settings: { managerVerdict } });

for (const managerVerdict of ['cached', 'fresh'] as const) {
  test(`[P5] [patent 0088] a device that demands a ${managerVerdict} verdict on the manager gets it stapled, and one verification more`, () => {
    const t = town();
    const router = t.add('router-1', demanding(managerVerdict));
    assert.ok(isIn(t, router));
    assert.deepEqual({ ...router.counter }, { generate: 1, agree: 1, sign: 1, verify: 4 });
  });

  test(`[P5] [patent 0088] a ${managerVerdict} verdict that is missing: the device refuses the manager`, () => {
    const t = town();
    const from = t.packets.length;
    t.verifierAway = true;
    t.restartManager();
    const router = t.add('router-1', demanding(managerVerdict));
    t.advance(6_000);
    assert.ok(!isIn(t, router) && packetsOf(t, E3, from).length === 0);
    assert.match(router.latest('loginDenied')?.reason ?? '', /verdict on the manager is missing/);
    t.verifierAway = false;
    t.advance(120_000);
    assert.ok(isIn(t, router));
  });
}

/** A manager that does not look at what it staples. */
function stapling(t: Town, verdict: Verdict, sign: (verdict: Verdict) => Uint8Array): void {
  const until = EpochSeconds(t.clock.wall() + 100_000);
  const [leaf] = t.manager.ownVerdicts.keys();
  t.manager.ownVerdicts.set(leaf!, { bytes: sign(verdict), until });
}

for (const [rule, forgery, why] of FORGERIES) {
  test(`[P5] [5.6 stale, swapped, wrong-purpose verdict] [patent 0088] a stapled verdict that is ${rule}: the device refuses it`, () => {
    const t = town();
    const about: Question = {
      requestId: new Uint8Array(16),
      purpose: 'manager',
      chain: t.manager.identity.chain,
      nonce: undefined,
    };
    const honest = verdictOn(about, t);
    stapling(t, honest, () => forgery(about, honest, t));
    const router = t.add('router-1', demanding('cached'));
    if (['stale', 'from the future'].includes(rule)) {
      // one of the two clocks is wrong: a verdict that is bound to the login tells which
      assert.ok(isIn(t, router) && packetsOf(t, E2).length === 2);
      assert.match(router.logs.join(), why);
      assert.equal(router.state.time.heard, null);
      return;
    }
    assert.ok(!isIn(t, router) && packetsOf(t, E3).length === 0);
    assert.match(router.latest('loginDenied')?.reason ?? '', why);
  });
}

test('[P5] a stapled verdict that is bad: the device refuses the manager with its reason', () => {
  const t = town();
  const about: Question = {
    requestId: new Uint8Array(16),
    purpose: 'manager',
    chain: t.manager.identity.chain,
    nonce: undefined,
  };
  stapling(t, { ...verdictOn(about, t), reason: 'revoked' }, (verdict) => signedBy(t, verdict));
  const router = t.add('router-1', demanding('cached'));
  assert.ok(!isIn(t, router));
  assert.match(router.latest('loginDenied')?.reason ?? '', /revoked/);
});

test('[P5] a fresh verdict is bound to the key of this very login: one of another login is refused by the manager and by the device', () => {
  const t = town();
  const [nonce, other] = [crypto.random(32), crypto.random(32)];
  t.meddler = saying(t, 'manager', (_q, honest) => signedBy(t, { ...honest, nonce: other }));
  const router = t.add('router-1', demanding('fresh'));
  t.advance(6_000);
  assert.ok(!isIn(t, router) && packetsOf(t, E2).length > 0);
  assert.match(router.latest('loginDenied')?.reason ?? '', /missing/, 'the manager does not staple it');
  const { chain } = t.manager.identity;
  const about = { requestId: nonce, purpose: 'manager', chain, nonce } as const;
  const judge = (verdict: Verdict) => judgeManager(router.state, chain, signedBy(t, verdict), nonce, router.world());
  assert.throws(() => judge({ ...verdictOn(about, t), nonce: other }), /wrong nonce/);
  assert.throws(() => judge({ ...verdictOn(about, t), nonce: undefined }), /wrong nonce/);
  assert.equal(judge(verdictOn(about, t))?.manager.chain.length, 2);
});

test('[P5] a device without a trusted clock takes the time of the fresh verdict for the dates of the certificate', () => {
  const t = town();
  const router = t.add('router-1', demanding('fresh'));
  const { chain } = t.manager.identity;
  const nonce = crypto.random(32);
  const honest = signedBy(t, verdictOn({ requestId: nonce, purpose: 'manager', chain, nonce }, t));
  const reset = { ...router.world(), wall: EpochSeconds(1) };
  assert.equal(judgeManager(router.state, chain, honest, null, reset), null, 'a fresh one is to be asked for');
  assert.equal(judgeManager(router.state, chain, honest, nonce, reset)?.manager.chain.length, 2);
});

test('[P5] [P13] a manager that opens the channel staples its verdict in EAD_3; a device without a trusted clock logs in itself', () => {
  const t = town();
  const caller = t.add('caller');
  for (const managerVerdict of ['cached', 'fresh'] as const) {
    const callee = t.add(`callee-${managerVerdict}`, demanding(managerVerdict));
    forgetSecret(callee);
    callee.state.secret = null;
    callee.run((state) => closeNow(state, callee));
    t.advance(1_000);
    assert.ok(!t.manager.channels.has(callee.id));
    caller.call(callee.id);
    t.advance(5_000);
    assert.ok(isIn(t, callee), managerVerdict);
    assert.equal(callee.state.channel?.opening.by, managerVerdict === 'cached' ? 'manager' : 'device');
    assert.ok(caller.latest('sessionOpened') !== undefined);
  }
});

function closeNow(state: TownDevice['state'], device: TownDevice): void {
  closeChannel(state, 'done', device.world());
}

test('[P4] [B7] devices whose verdict ran out while the verifier was away are back within 5 s of it, by resumption', () => {
  const t = town({ verdictMaxAge: 30 });
  const routers = ['router-1', 'router-2', 'router-3'].map((name) => t.add(name));
  const before = routers.map((router) => router.operations());
  t.verifierAway = true;
  t.advance(10 * 60_000);
  assert.ok(routers.every((router) => !isIn(t, router)));
  t.verifierAway = false;
  t.advance(5_000);
  assert.ok(routers.every((router) => isIn(t, router)));
  assert.deepEqual(
    routers.map((router) => router.operations()),
    before,
  );
});

test('a verifier that is away is said once a minute, and its return once', () => {
  const t = town();
  t.verifierAway = true;
  t.add('router-1', { start: false });
  t.advance(90_000);
  const said = (event: string): number => t.managerLogs.filter((line) => line.includes(event)).length;
  assert.equal(said('verifier.away'), 2);
  t.verifierAway = false;
  t.advance(60_000);
  assert.equal(said('verifier.away'), 2);
  assert.equal(said('verifier.back'), 1);
});

test('[P5] a question about the manager itself that reaches nobody is repeated: the verifier is not called away', () => {
  for (const [lost, away] of [
    [1, 0],
    [4, 0],
    [5, 1],
  ] as const) {
    const t = town();
    let seen = 0;
    t.meddler = ({ topic }) => (topic === 'km1/v/q/~manager' && seen++ < lost ? [] : 'pass');
    t.advance(1_810_000); // the verdict of the start is renewed when half its age is over
    assert.equal(seen, lost + 1, 'once a second until the time is up');
    assert.equal(t.managerLogs.filter((line) => line.includes('verifier.away')).length, away);
  }
});
