/**
 * Enrolment on the device against managers that are put together by hand: what it believes, when the token leaves it,
 * what it takes for issued.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepEnrolment } from '../../device-agent/enrolment.ts';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { encodeError } from '../../protocol/edhoc/error-message.ts';
import { encodeFrame } from '../../protocol/frame.ts';
import { suitesFor } from '../../protocol/login.ts';
import { Busy, type LoginAnswer } from '../../protocol/messages.ts';
import { EpochSeconds, LinkId, Millis } from '../../protocol/units.ts';
import { AT, ca, certify, crypto, DAY, DEVICE_WISHES, device, MANAGER_WISHES, root } from '../test-authority.ts';
import {
  anchor,
  attempt,
  type Desk,
  deviceKey,
  deviceSide,
  GOOD,
  issued,
  issuer,
  manager,
  signedBy,
  spkiOf,
  TOKEN,
  topics,
  VERIFIER_WISHES,
  verifier,
} from './enrolment-desk.ts';

const MESSAGE_1 = 0xe1;
const MESSAGE_3 = 0xe3;

test('[P2] [P3] a device enrols: the manager of the invitation is proven, then the token goes, then everything is checked', () => {
  const { last, frames, requests, news } = attempt();
  assert.deepEqual(frames, [MESSAGE_1, MESSAGE_3]);
  assert.deepEqual(
    news.map((one) => one.news),
    ['managerProven', 'enrolled'],
  );
  assert.deepEqual(requests[0]?.token?.slice(), TOKEN);
  assert.deepEqual(requests[0] && spkiOf(requests[0]), deviceKey.publicSpki);
  assert.ok(last?.news === 'enrolled');
  assert.equal(last.enrolled.id, 'boiler');
  assert.equal(last.enrolled.time, AT);
  assert.equal(last.enrolled.clockInDoubt, false);
  assert.deepEqual(last.enrolled.anchors, [anchor.certificate.der]);
});

// ── Whoever is not the manager of the invitation never gets the token ───────────────────────────────────────────────

const foreignRoot = root('Foreign root');
const foreign = ca(foreignRoot, 'Foreign CA');
const twin = root('Home root');

const HOSTILE: readonly (readonly [rule: string, desk: Desk, why: RegExp])[] = [
  ['shows no anchor', { anchors: [foreignRoot.certificate.der] }, /fingerprint/],
  ['shows an anchor of the same name with another key', { anchors: [twin.certificate.der] }, /fingerprint/],
  [
    'stands under another anchor than the one it shows',
    {
      holder: certify('home-manager', MANAGER_WISHES, foreign),
      chain: [certify('home-manager', MANAGER_WISHES, foreign).certificate.der, foreign.certificate.der],
    },
    /unknown-issuer/,
  ],
  ['has another name', { holder: certify('other-manager', MANAGER_WISHES, issuer) }, /wrong-name/],
  ['[5.6] is a device', { holder: certify('home-manager', DEVICE_WISHES, issuer) }, /wrong-purpose/],
  ['is a verifier', { holder: certify('home-manager', VERIFIER_WISHES, issuer) }, /wrong-purpose/],
  ['has the certificate and not its key', { holder: { ...manager, key: generateSigningKey('p256') } }, /signature/],
  ['shows bytes that are no certificate', { chain: [new Uint8Array(300).fill(7)] }, /does not parse/],
  [
    'has run out, and no verifier vouches',
    { holder: certify('home-manager', { ...MANAGER_WISHES, notAfter: AT - 10 }, issuer), verdict: null },
    /clock/,
  ],
];

for (const [rule, desk, why] of HOSTILE) {
  test(`[P3] [5.6] a manager that ${rule}: nothing but message_1 leaves the device`, () => {
    const { last, frames } = attempt(desk);
    assert.ok(last?.news === 'untrusted', JSON.stringify(last));
    assert.match(last.why, why);
    assert.equal(last.tokenSent, false);
    assert.deepEqual(frames, [MESSAGE_1]);
  });
}

test('[P3] a message_2 in which any byte is another leads to no message_3', () => {
  const whole: Uint8Array[] = [];
  attempt({
    bend: (frame) => {
      whole.push(frame);
      return frame;
    },
  });
  let bent = 0;
  for (let at = 9; at < whole[0]!.length; at += 13) {
    const bend = (frame: Uint8Array): Uint8Array => frame.map((byte, i) => (i === at ? byte ^ 0x10 : byte));
    const { frames } = attempt({ bend });
    assert.ok(!frames.includes(MESSAGE_3), `byte ${at}`);
    bent++;
  }
  assert.ok(bent > 50);
});

test('[P3] a message_2 above the limit of a new link, and one of another exchange, are passed over', () => {
  const oversized = attempt({ bend: (frame) => Uint8Array.from({ length: 9000 }, (_, i) => frame[i] ?? 0) });
  assert.deepEqual([oversized.frames, oversized.news], [[MESSAGE_1], []]);
  const foreignExchange = attempt({ bend: (frame) => frame.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) });
  assert.deepEqual([foreignExchange.frames, foreignExchange.news], [[MESSAGE_1], []]);
});

// ── What is handed out is checked before anything is stored ─────────────────────────────────────────────────────────

const otherKey = generateSigningKey('p256');
const BAD_ANSWERS: readonly (readonly [rule: string, answer: LoginAnswer, why: RegExp])[] = [
  ['is over another key', { ...GOOD, issued: issued(issuer, 'boiler', otherKey.publicSpki) }, /another key/],
  ['has another name', { ...GOOD, issued: issued(issuer, 'toaster') }, /name toaster/],
  ['stands under no anchor that came with it', { ...GOOD, issued: issued(foreign) }, /unknown-issuer/],
  [
    'is no device’s',
    {
      ...GOOD,
      issued: [
        certify('boiler', { ...MANAGER_WISHES, key: deviceKey }, issuer).certificate.der,
        issuer.certificate.der,
      ],
    },
    /wrong-purpose/,
  ],
  [
    'has run out',
    {
      ...GOOD,
      issued: [
        certify('boiler', { ...DEVICE_WISHES, key: deviceKey, notAfter: AT - 1 }, issuer).certificate.der,
        issuer.certificate.der,
      ],
    },
    /expired/,
  ],
  [
    'comes with anchors without that of the invitation',
    { ...GOOD, anchors: [foreignRoot.certificate.der] },
    /leave out/,
  ],
  ['comes without anchors', { ...GOOD, anchors: undefined }, /trust anchor/],
  [
    'comes with a verifier that is a device',
    { ...GOOD, verifiers: [device(issuer, 'verifier').certificate.der] },
    /verifier/,
  ],
  [
    'comes with a verifier of a foreign CA',
    { ...GOOD, verifiers: [certify('verifier', VERIFIER_WISHES, foreign).certificate.der] },
    /verifier/,
  ],
  ['comes with bytes that are no certificate', { ...GOOD, verifiers: [Uint8Array.of(1, 2, 3)] }, /does not parse/],
];

for (const [rule, answer, why] of BAD_ANSWERS) {
  test(`[P3] a certificate that ${rule} is not taken`, () => {
    const { last } = attempt({ answer });
    assert.ok(last?.news === 'untrusted', JSON.stringify(last));
    assert.match(last.why, why);
    assert.equal(last.tokenSent, true);
  });
}

test('a device that names nothing takes the name that the manager gives', () => {
  const { last } = attempt({ answer: { ...GOOD, issued: issued(issuer, 'sensor-0042') } }, { name: null });
  assert.ok(last?.news === 'enrolled');
  assert.equal(last.enrolled.id, 'sensor-0042');
});

test('verifiers of another CA are taken where the manager, proven, says that this CA counts', () => {
  const anchors = [anchor.certificate.der, foreignRoot.certificate.der];
  const verifiers = [verifier, issuer, certify('verifier', VERIFIER_WISHES, foreign), foreign].map(
    (one) => one.certificate.der,
  );
  const { last } = attempt({ answer: { ...GOOD, anchors, verifiers } });
  assert.ok(last?.news === 'enrolled', JSON.stringify(last));
  assert.equal(last.enrolled.verifiers.length, 4);
});

// ── The clock ───────────────────────────────────────────────────────────────────────────────────────────────────────

const CLOCKS: readonly (readonly [what: string, wall: number])[] = [
  ['1970', 0],
  ['2038', 2_147_483_647],
  ['2106', 4_294_967_295],
];

for (const [what, wall] of CLOCKS) {
  test(`a clock at ${what} does not stop it: the verifier's word, bound to this exchange, stands for the time`, () => {
    const { last } = attempt({}, { wall });
    assert.ok(last?.news === 'enrolled', JSON.stringify(last));
    assert.equal(last.enrolled.clockInDoubt, true);
    assert.equal(last.enrolled.time, AT);
  });

  test(`a clock at ${what} and no verifier: the token stays here`, () => {
    const { last, frames } = attempt({ verdict: null }, { wall });
    assert.ok(last?.news === 'untrusted');
    assert.deepEqual(frames, [MESSAGE_1]);
  });
}

const foreignVerifier = certify('verifier', VERIFIER_WISHES, foreign);
const ranOut = certify('home-manager', { ...MANAGER_WISHES, notAfter: AT - DAY / 2 }, issuer);
/** All of it valid in 1970: whoever has the key of a manager that ran out hands out what he likes. */
const ownRoot = root('Own root', { notBefore: 0 });
const ownIssued = certify('boiler', { ...DEVICE_WISHES, key: deviceKey, notBefore: 0 }, ownRoot).certificate.der;
const FALSE_TIMES: readonly (readonly [rule: string, desk: Desk])[] = [
  ['a verdict of another verifier', { verdict: signedBy(foreignVerifier) }],
  [
    'a verdict of a verifier under an anchor that the manager adds',
    {
      verdict: signedBy(foreignVerifier),
      answer: {
        ...GOOD,
        anchors: [anchor.certificate.der, foreignRoot.certificate.der],
        verifiers: [foreignVerifier.certificate.der, foreign.certificate.der],
      },
    },
  ],
  ['a verdict signed by a device', { verdict: signedBy(device(issuer, 'verifier')) }],
  ['a verdict of another exchange', { verdict: signedBy(verifier, { nonce: crypto.random(32) }) }],
  ['a verdict on another certificate', { verdict: signedBy(verifier, { leaf: crypto.random(32) }) }],
  ['a verdict on a device', { verdict: signedBy(verifier, { purpose: 'device' }) }],
  [
    'no verifier in the answer, and anchors and a certificate for 1970',
    {
      holder: ranOut,
      answer: {
        permitted: false,
        issued: [ownIssued],
        anchors: [anchor.certificate.der, ownRoot.certificate.der],
      },
    },
  ],
  ['no verifier in the answer', { answer: { ...GOOD, verifiers: undefined } }],
  ['a manager that has run out by the time of the verdict', { holder: ranOut }],
];

for (const [rule, desk] of FALSE_TIMES) {
  test(`a clock at 1970 and ${rule}: nothing is taken`, () => {
    const { last } = attempt(desk, { wall: 0 });
    assert.ok(last?.news === 'untrusted', JSON.stringify(last));
  });
}

test('[P5] the verifier says that the manager is revoked: nothing is taken, whatever the clock says', () => {
  for (const wall of [AT, 0]) {
    const { last } = attempt({ verdict: signedBy(verifier, { reason: 'revoked' }) }, { wall });
    assert.ok(last?.news === 'untrusted');
    assert.match(last.why, /revoked/);
  }
});

test('a good clock and a verifier that is away: it goes on', () => {
  const { last } = attempt({ verdict: null });
  assert.ok(last?.news === 'enrolled');
  assert.equal(last.enrolled.time, null);
});

// ── Refusals and new tries ──────────────────────────────────────────────────────────────────────────────────────────

for (const refusal of ['bad-token', 'name-taken', 'not-certified', 'void', 'forbidden'] as const) {
  test(`${refusal} ends it`, () => {
    const { last, rests } = attempt({ answer: { permitted: false, refusal } });
    assert.deepEqual(last, { news: 'refused', reason: refusal });
    assert.deepEqual(rests, []);
  });
}

for (const refusal of ['held', 'verifier-away'] as const) {
  test(`${refusal}: the link is given back, and 5 s later a new exchange asks with the same request and token`, () => {
    const state = deviceSide();
    const first = attempt({ answer: { permitted: false, refusal } }, {}, state);
    assert.deepEqual(first.last, { news: 'waiting', reason: refusal });
    assert.deepEqual(first.rests, [5000]);
    const second = attempt({}, {}, state);
    assert.equal(second.last?.news, 'enrolled');
    assert.deepEqual(second.requests[0]?.token, first.requests[0]?.token);
    assert.deepEqual(second.requests[0]?.certificateRequest, first.requests[0]?.certificateRequest);
    assert.deepEqual(attempt({}, {}, state).frames, [], 'once enrolled it asks nobody any more');
  });
}

test('[B1] a device with a certificate of its own shows it, and sends no token', () => {
  const own = device(foreign, 'boiler');
  const { key } = own.key;
  const chain = [own.certificate.der, foreign.certificate.der];
  const identity = { chain, signingKey: key, cipherSuites: suitesFor(key), channelSuites: [0, 1] };
  const { last, requests } = attempt({}, { identity, token: null });
  assert.equal(last?.news, 'enrolled');
  assert.equal(requests[0]?.token, undefined);
  assert.deepEqual(requests[0] && spkiOf(requests[0]), deviceKey.publicSpki);
});

test('what nobody signed, an error or a word that there is much to do, ends nothing: it is tried again', () => {
  const error = encodeError({ kind: 'unspecified', text: 'go away' });
  const refused = attempt({ bend: (frame) => encodeFrame('error', frame.slice(1, 9), error) });
  assert.deepEqual(refused.last, { news: 'failed', why: 'go away' });
  assert.deepEqual(refused.rests, [2000]);
  const busy = attempt({ bend: (frame) => encodeFrame('busy', frame.slice(1, 9), Busy.encode({ after: 9000 })) });
  assert.deepEqual(busy.last, { news: 'waiting', reason: 'busy' });
  assert.deepEqual(busy.rests, [9000], 'the broker would close this link before');
});

test('who is told to come again soon does so on the same link, whose turn the manager keeps', () => {
  const state = deviceSide();
  const link = LinkId('link-0123456789abcdef');
  const step = (ms: number, event: Parameters<typeof stepEnrolment>[1]) =>
    stepEnrolment(state, event, { now: Millis(ms), wall: EpochSeconds(AT), crypto });
  const published = (effects: ReturnType<typeof step>): readonly Uint8Array[] =>
    effects.flatMap((effect) => (effect.type === 'publish' ? [effect.payload] : []));
  const busy = (ms: number, frame: Uint8Array, after: number) =>
    step(ms, {
      type: 'received',
      topic: topics.toDevice({ kind: 'link', link }),
      payload: encodeFrame('busy', frame.slice(1, 9), Busy.encode({ after })),
    });
  const [first] = published(step(0, { type: 'linked', link }));
  const waiting = { type: 'tell', news: { news: 'waiting', reason: 'busy' } } as const;
  assert.deepEqual(busy(10, first!, 3000), [waiting]);
  assert.deepEqual(published(step(3009, { type: 'time' })), [], 'nothing is repeated meanwhile');
  const [second] = published(step(3010, { type: 'time' }));
  assert.deepEqual([second?.[0], second?.length], [first?.[0], first?.length]);
  assert.notDeepEqual(second?.slice(1, 9), first?.slice(1, 9), 'a new exchange');
  assert.deepEqual(busy(3020, second!, 5000), [waiting, { type: 'rest', forMs: 5000 }]);
  step(3030, { type: 'unlinked' });
  assert.deepEqual(step(60_000, { type: 'time' }), []);
});

test('a manager with keys of another kind only is told as such', () => {
  const { last } = attempt({ holder: certify('home-manager', { ...MANAGER_WISHES, algorithm: 'ed25519' }, issuer) });
  assert.ok(last?.news === 'failed');
  assert.match(last.why ?? '', /another kind than p256/);
});

test('silence: the same frame after 1 s and 4 s more, after 8 s the link is given back', () => {
  const state = deviceSide();
  const link = LinkId('link-0123456789abcdef');
  const at = (ms: number, type: 'time' | 'linked' = 'time') => {
    const world = { now: Millis(ms), wall: EpochSeconds(AT), crypto };
    return stepEnrolment(state, type === 'time' ? { type } : { type, link }, world);
  };
  const [first] = at(0, 'linked');
  assert.deepEqual(at(1000), [first]);
  assert.deepEqual(at(5000), [first]);
  assert.deepEqual(at(8000), [
    { type: 'tell', news: { news: 'failed', why: null } },
    { type: 'rest', forMs: 2000 },
  ]);
  assert.deepEqual(at(60_000), []);
  assert.equal(first?.type === 'publish' && first.topic, topics.toManager({ kind: 'link', link }));
});
