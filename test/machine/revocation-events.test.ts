/**
 * Events of verifiers as a manager takes them: whose they are, in which order, and what follows when one is missing. [P4] [B6]
 * @spec design §5.1
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hearsVerifier } from '../../manager/revocation-watch.ts';
import { fromHex, toHex } from '../../protocol/bytes.ts';
import { readCose } from '../../protocol/cose-sign1.ts';
import { signEvent } from '../../protocol/revocation-event.ts';
import { certificateMark } from '../../protocol/revocation-mark.ts';
import { signVerdict } from '../../protocol/verdict.ts';
import { RevocationEvent } from '../../protocol/verifier-messages.ts';
import { connect, refusal, talking } from '../couple.ts';
import { ca, certify, crypto, DEVICE_WISHES, type Holder } from '../test-authority.ts';
import { town } from '../town.ts';
import type { Town } from '../town-plan.ts';
import { assertOut, closings, forward, logged, questionsAbout, revokedAt } from './revocation-house.ts';
import { isIn } from './town-packets.ts';

const EVENTS = 'km1/v/e' as Parameters<Town['inject']>[0];
const read = (event: Uint8Array): RevocationEvent => RevocationEvent.decode(readCose(event).payload);
const serialOf = ({ certificate }: Holder): string => certificateMark(crypto, certificate.issuer, certificate.serial);
const doubts = (t: Town): number => logged(t, 'revocation.judging-anew').length;
const inDoubt = (t: Town): number => t.manager.revocation.doubtful.size;
const heard = (t: Town): boolean => hearsVerifier(t.manager.revocation, t.clock.now());

/** An event as the verifier would make it next, changed and signed by whom one likes. */
function forged(t: Town, change: Partial<RevocationEvent>, signer: Holder = t.verifierKey): Uint8Array {
  const [source] = [...t.manager.revocation.sources];
  const [instance, { number, beat, state }] = source!;
  const event = {
    instance: fromHex(instance),
    number,
    beat: beat + 1,
    time: t.clock.wall(),
    state: fromHex(state!),
    ...change,
  };
  return signEvent(signer.key.key, event);
}
const say = (t: Town, event: Uint8Array): void => {
  t.inject(EVENTS, event);
  t.flush();
};

// ── What a mark means ───────────────────────────────────────────────────────────────────────────────────────────────

test('[B6] revoked by key: whoever bears it is out, under whatever certificate, and comes back under none', () => {
  const t = town();
  const tv = t.add('tv');
  const twin = certify('tv', { ...DEVICE_WISHES, key: tv.holder.key }, t.ca);
  t.verifiers[0]!.revokeKeys(tv.holder);
  t.flush();
  assertOut(t, tv);
  const again = t.add('again', { holder: twin });
  assert.equal(again.latest('loginDenied')?.reason, 'revoked');
  assertOut(t, tv);
});

test('[B6] [5.6 malleated signatures and certificates] revoked by issuer and serial number: a copy signed again is as revoked; another certificate of the key, and a new one of the name, are not', () => {
  const t = town();
  const tv = t.add('tv');
  const { serial } = tv.holder.certificate;
  const copy = certify('tv', { ...DEVICE_WISHES, key: tv.holder.key, serial }, t.ca);
  assert.notDeepEqual(copy.certificate.der, tv.holder.certificate.der);
  const sameKey = certify('tv', { ...DEVICE_WISHES, key: tv.holder.key }, t.ca);
  const newKey = certify('tv', DEVICE_WISHES, t.ca);
  t.revoke(tv.holder);
  assertOut(t, tv);
  assert.equal(t.add('copy', { holder: copy }).latest('loginDenied')?.reason, 'revoked');
  assertOut(t, tv);
  const renewed = t.add('tv', { holder: sameKey });
  assert.ok(t.manager.channels.has(renewed.id), 'it is not the certificate that was revoked');
  assert.equal(revokedAt(t, renewed), null);
  t.revoke(sameKey);
  assertOut(t, renewed);
  const replaced = t.add('tv', { holder: newKey });
  assert.ok(t.manager.channels.has(replaced.id), 'a revoked certificate does not hold its name');
});

test('a living certificate goes on to hold its name, and a revoked one cannot take it back', () => {
  const t = town();
  const tv = t.add('tv');
  t.revoke(tv.holder);
  const next = t.add('tv', { holder: certify('tv', DEVICE_WISHES, t.ca) });
  t.verifiers[0]!.release(tv.holder);
  forward(t, 61_000);
  assert.equal(t.add('old', { holder: tv.holder }).latest('loginDenied')?.reason, 'name-taken');
  assert.ok(t.manager.channels.has(next.id));
});

test('[B6] an intermediate is revoked: every device below it is out, nobody else', () => {
  const t = town();
  const branch = ca(t.root, 'Branch CA');
  const below = ['lamp', 'tv', 'radio'].map((name) => t.add(name, { issuer: branch }));
  const beside = t.add('router');
  const from = t.packets.length;
  t.revoke(branch);
  for (const device of below) assertOut(t, device);
  assert.ok(isIn(t, beside) && doubts(t) === 0);
  assert.equal(questionsAbout(t, from).length, below.length, 'of the logins that were tried');
  for (const device of below) assert.equal(device.state.denied, 'revoked');
});

test('a mark that nobody bears costs nobody anything', () => {
  const pair = talking();
  const from = pair.town.packets.length;
  pair.town.verifiers[0]!.revokeMarks('ab'.repeat(32));
  forward(pair.town, 2000);
  assert.equal(questionsAbout(pair.town, from).length, 0);
  assert.deepEqual([doubts(pair.town), closings(pair.caller).length], [0, 0]);
  connect(pair);
});

test('[P4] an anchor is trusted no more: whoever came under it is judged anew, though no mark names him', () => {
  const pair = talking();
  pair.town.verifiers[0]!.distrust(pair.town.root);
  forward(pair.town, 2000);
  assert.equal(pair.town.manager.channels.size, 0);
  assert.equal(pair.town.manager.sessions.size, 0);
});

// ── Whose event it is ───────────────────────────────────────────────────────────────────────────────────────────────

const stranger = certify('verifier', DEVICE_WISHES, null);
const FORGERIES: readonly (readonly [name: string, make: (t: Town, marks: Uint8Array[]) => Uint8Array])[] = [
  ['signed by a key that is not pinned', (t, marks) => forged(t, { number: 1, marks }, stranger)],
  ['whose signature is not its own', (t, marks) => bent(forged(t, { number: 1, marks }))],
  ['that is no event', () => Uint8Array.of(1, 2, 3)],
  ['of an hour ago', (t, marks) => forged(t, { number: 1, marks, time: t.clock.wall() - 3600 })],
  ['of the next hour', (t, marks) => forged(t, { number: 1, marks, time: t.clock.wall() + 3600 })],
  ['of a beat that was heard', (t, marks) => forged(t, { number: 1, marks, beat: 0 })],
  [
    'that was signed as a verdict',
    (t) =>
      signVerdict(t.verifierKey.key.key, {
        purpose: 'device',
        leaf: new Uint8Array(32),
        issuerAndSerial: Uint8Array.of(0),
        reason: 'revoked',
        time: t.clock.wall(),
        maxAge: 100,
        nonce: undefined,
        policy: 1,
      }),
  ],
];
const bent = (event: Uint8Array): Uint8Array => {
  const copy = event.slice();
  copy[copy.length - 1]! ^= 1;
  return copy;
};

for (const [name, make] of FORGERIES) {
  test(`[P4] [5.6 replay of every message] an event ${name} changes nothing, and is no sign of life`, () => {
    const t = town();
    const tv = t.add('tv');
    t.verifierAway = true;
    t.advance(2000);
    const before = t.manager.revocation.heardAt;
    say(t, make(t, [fromHex(serialOf(tv.holder))]));
    assert.ok(isIn(t, tv));
    assert.equal(t.manager.revocation.heardAt, before);
    t.advance(2000);
    assert.ok(!heard(t));
  });
}

test('[P4] an event is no verdict: signed by the right key, it answers no question', () => {
  const t = town();
  t.meddler = ({ topic }) => (topic === 'km1/v/a/~manager' ? t.verifiers[0]!.events() : 'pass');
  const tv = t.add('tv');
  t.advance(6000);
  assert.ok(!isIn(t, tv));
  assert.ok(logged(t, 'verifier.answer-refused').length > 0);
});

test('what is refused is told once a minute, with a remedy', () => {
  const t = town();
  for (let i = 0; i < 100; i++) say(t, forged(t, {}, stranger));
  assert.equal(logged(t, 'verifier.event-refused').length, 1);
  assert.match(logged(t, 'verifier.event-refused')[0]!, /remedy/);
  forward(t, 61_000);
  say(t, forged(t, {}, stranger));
  assert.equal(logged(t, 'verifier.event-refused').length, 2);
});

// ── Order ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test('[P4] a device that is put out and let in again is not put out by a repetition of the event', () => {
  const t = town();
  const tv = t.add('tv');
  const events: Uint8Array[] = [];
  const [verifier] = t.verifiers;
  verifier!.bent = (event) => {
    events.push(event);
    return [event];
  };
  verifier!.revoke(tv.holder);
  t.flush();
  const news = events.find((event) => read(event).marks !== undefined)!;
  verifier!.release(tv.holder);
  t.manager.revocation.fresh.clear();
  tv.restart();
  t.flush();
  assert.ok(isIn(t, tv));
  say(t, news);
  assert.ok(isIn(t, tv));
});

test('[P4] [B6] one event is lost: the next sign of life tells, everybody is judged anew, nobody in doubt gets anything meanwhile', () => {
  const pair = talking();
  const { town: t, caller: router, callee: tv } = pair;
  const lamp = t.add('lamp');
  const [verifier] = t.verifiers;
  verifier!.bent = () => [];
  verifier!.revoke(tv.holder);
  t.flush();
  assert.ok(isIn(t, tv), 'nobody knows');
  const held: [Parameters<Town['inject']>[0], Uint8Array][] = [];
  t.meddler = ({ topic, payload }) => {
    if (topic !== 'km1/v/a/~manager') return 'pass';
    held.push([topic, payload]);
    return [];
  };
  verifier!.bent = (event) => [event];
  t.advance(1000);
  assert.equal(doubts(t), 1);
  assert.equal(inDoubt(t), 3);
  lamp.call('router');
  t.flush();
  assert.equal(refusal(lamp), 'verifier-away');
  assert.equal(t.manager.sessions.size, 1, 'what stands goes on');
  router.breakLink();
  t.flush();
  assert.ok(!t.manager.channels.has(router.id), 'nor does it resume');
  t.meddler = () => 'pass';
  for (const [topic, payload] of held) t.inject(topic, payload);
  forward(t, 4000);
  assertOut(t, tv);
  assert.deepEqual(closings(router), ['revoked by manager']);
  assert.ok(isIn(t, router) && isIn(t, lamp) && inDoubt(t) === 0);
  connect({ town: t, caller: lamp, callee: router });
});

test('[P4] an answer that was asked for before the gap ends no doubt', () => {
  const t = town({ verdictMaxAge: 100 });
  const tv = t.add('tv');
  const held: Uint8Array[] = [];
  t.meddler = ({ topic, payload }) => {
    if (topic !== 'km1/v/a/~manager') return 'pass';
    held.push(payload);
    return [];
  };
  forward(t, 81_000); // the next verdict is asked for, and is held back
  const before = held.splice(0);
  assert.ok(before.length > 0);
  const [verifier] = t.verifiers;
  verifier!.bent = () => [];
  verifier!.revoke(tv.holder);
  t.flush();
  verifier!.bent = (event) => [event];
  t.advance(1000);
  assert.ok(t.manager.revocation.doubtful.has(tv.id));
  for (const payload of before) t.inject('km1/v/a/~manager' as never, payload);
  t.flush();
  assert.ok(t.manager.revocation.doubtful.has(tv.id));
  t.meddler = () => 'pass';
  for (const payload of held) t.inject('km1/v/a/~manager' as never, payload);
  t.flush();
  assertOut(t, tv);
});

test('[P4] events that come in another order: who is named by the later one is out at once, by the earlier one after judgement', () => {
  const t = town();
  const [tv, lamp, router] = ['tv', 'lamp', 'router'].map((name) => t.add(name));
  const [verifier] = t.verifiers;
  const events: Uint8Array[] = [];
  verifier!.bent = (event) => {
    events.push(event);
    return [];
  };
  verifier!.revoke(tv!.holder);
  verifier!.revoke(lamp!.holder);
  const news = events.filter((event) => read(event).marks !== undefined);
  assert.equal(news.length, 2);
  for (const event of news.reverse()) say(t, event);
  forward(t, 1000);
  assertOut(t, tv!);
  assertOut(t, lamp!);
  assert.ok(isIn(t, router!) && doubts(t) === 1);
});

for (const lost of ['first', 'middle', 'last'] as const) {
  test(`[P4] a change of several events, the ${lost} of which is lost: everybody is judged anew`, () => {
    const t = town();
    const [tv, lamp] = ['tv', 'lamp'].map((name) => t.add(name));
    const [verifier] = t.verifiers;
    const others = Array.from({ length: 600 }, (_, i) => toHex(crypto.hash('sha-256', Uint8Array.of(i >> 8, i & 255))));
    let seen = 0;
    const place = { first: 1, middle: 2, last: 3 }[lost] as number;
    verifier!.bent = (event) => (read(event).marks !== undefined && ++seen === place ? [] : [event]);
    verifier!.revokeMarks(...others.slice(0, 300), serialOf(tv!.holder), ...others.slice(300));
    assert.ok(seen >= 3, `${seen} events`);
    forward(t, 2000);
    assert.equal(doubts(t), 1);
    assert.equal(t.manager.revocation.doubtful.size, 0);
    assert.ok(isIn(t, lamp!));
  });
}

test('signs of life that are lost are missed by nobody, with and without news behind them', () => {
  const t = town();
  const [tv, lamp] = ['tv', 'lamp'].map((name) => t.add(name));
  const [verifier] = t.verifiers;
  verifier!.bent = (event) => (read(event).marks === undefined ? [] : [event]);
  forward(t, 2000);
  verifier!.revoke(tv!.holder);
  t.flush();
  assertOut(t, tv!);
  verifier!.bent = null;
  forward(t, 3000);
  assert.deepEqual([doubts(t), isIn(t, lamp!)], [0, true]);
});

test('[P4] a sign of life whose state has changed without news raises doubt', () => {
  const t = town();
  t.add('tv');
  forward(t, 2000);
  say(t, forged(t, {}));
  assert.equal(doubts(t), 0);
  say(t, forged(t, { state: new Uint8Array(32) }));
  assert.equal(doubts(t), 1);
});
