/**
 * The verifier as a machine: questions in, signed verdicts out. [patent 1100-1112]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { certificateReader } from '../../platform/certificates.ts';
import type { VerdictReason } from '../../protocol/message-values.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { MANAGER } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import { Question } from '../../protocol/verifier-messages.ts';
import { createVerifier, type Verifier } from '../../verifier/verifier.ts';
import { AT, ca, crlOf, root } from '../test-authority.ts';
import {
  anchor,
  ask,
  ders,
  manager,
  middle,
  own,
  policy,
  reasonOf,
  requestId,
  router,
  start,
  world,
} from '../verifier-desk.ts';

test('[P4] [patent 1100-1112] a good certificate gets a signed good verdict with issuer, serial and time', () => {
  const { verdict } = ask(start())!;
  assert.equal(verdict.reason, 'good');
  assert.equal(verdict.time, AT);
  assert.equal(verdict.maxAge, 3600);
  assert.equal(verdict.policy, 1);
});

test('[P4] [patent 1106-1110] a bad certificate gets a verdict as signed as a good one', () => {
  const cases: readonly (readonly [VerdictReason, readonly Uint8Array[], Verifier])[] = [
    ['revoked', ders([router, middle]), start(policy([router]))],
    ['revocation-unknown', ders([router, middle]), start(policy([], { revocation: crlSet([]) }))],
    ['unknown-issuer', ders([router, middle]), start(policy([], { anchors: [] }))],
    ['wrong-purpose', ders([manager, middle]), start()],
    ['not-a-leaf', ders([middle]), start()],
    ['malformed', [Uint8Array.of(0x30, 0x03)], start()],
    ['malformed', [router.certificate.der, Uint8Array.of(1)], start()],
    ['malformed', [new Uint8Array([...router.certificate.der, 0]), middle.certificate.der], start()],
  ];
  for (const [reason, chain, verifier] of cases) {
    assert.equal(reasonOf(verifier, { chain }), reason);
    assert.equal(verifier.counters.bad, 1);
  }
});

test('[P5] [patent 0088] a device asks about the manager’s certificate with its own nonce', () => {
  const nonce = new Uint8Array(32).fill(3);
  const asker = 'router-1' as DeviceId;
  const answer = ask(start(), { chain: ders([manager, middle]), purpose: 'manager', nonce, asker })!;
  assert.equal(answer.verdict.reason, 'good');
  assert.deepEqual(answer.verdict.nonce, nonce);
});

test('a verdict never outlives the list it was found from', () => {
  const crls = crlSet([crlOf(anchor, [], { nextUpdate: AT + 100 }), crlOf(middle, [])]);
  assert.equal(ask(start(policy([], { revocation: crls })))!.verdict.maxAge, 100);
});

test('a good verdict without a nonce is signed once and given again for half of its life', () => {
  const verifier = start();
  const first = ask(verifier)!;
  assert.deepEqual(ask(verifier, { seconds: 1800 })!.bytes, first.bytes);
  assert.equal(verifier.counters.cached, 1);
  assert.equal(ask(verifier, { seconds: 1801 })!.verdict.time, AT + 1801);
});

test('[5.6 replay] a verdict with a nonce is never given twice', () => {
  const verifier = start();
  const nonce = new Uint8Array(16);
  const first = ask(verifier, { nonce })!;
  assert.notDeepEqual(ask(verifier, { nonce, seconds: 1 })!.bytes, first.bytes);
  ask(verifier);
  assert.deepEqual(ask(verifier, { nonce })!.verdict.nonce, nonce);
  assert.equal(verifier.counters.cached, 0);
});

test('a new revocation list takes effect with the next question, cached verdicts notwithstanding', () => {
  const verifier = start();
  assert.equal(reasonOf(verifier), 'good');
  verifier.adopt(policy([router], { version: 2 }));
  const { verdict } = ask(verifier)!;
  assert.deepEqual([verdict.reason, verdict.policy], ['revoked', 2]);
});

test('a good leaf with a foreign chain neither uses nor spoils the verdict of the good chain', () => {
  const verifier = start();
  const foreign = [router.certificate.der, ca(root('Stranger')).certificate.der];
  assert.equal(reasonOf(verifier, { chain: foreign }), 'unknown-issuer');
  assert.equal(reasonOf(verifier), 'good');
  assert.equal(reasonOf(verifier, { chain: foreign }), 'unknown-issuer');
  assert.equal(reasonOf(verifier, { purpose: 'manager' }), 'wrong-purpose');
});

test('[P4] garbage is answered by nothing, and the next question by a verdict', () => {
  const verifier = start();
  const question = Question.encode({ requestId, purpose: 'device', chain: ders([router, middle]) });
  const garbage = [new Uint8Array(0), Uint8Array.of(0xff), question.subarray(0, 40), new Uint8Array(20_000)];
  for (const bytes of garbage) assert.equal(verifier.answer(MANAGER, bytes, world()).kind, 'ignored');
  assert.equal(verifier.counters.garbage, garbage.length);
  assert.equal(reasonOf(verifier), 'good');
});

test('[P4] a fault of ours that a question brings out costs that question its answer, and nobody else anything', () => {
  const revocation = {
    status: () => {
      throw new TypeError('planted');
    },
  };
  const verifier = start(policy([], { revocation }));
  const question = Question.encode({ requestId, purpose: 'device', chain: ders([router, middle]) });
  assert.deepEqual(verifier.answer(MANAGER, question, world()), { kind: 'ignored', why: 'bug', detail: 'planted' });
  assert.deepEqual([verifier.counters.bugs, verifier.counters.bad], [1, 0]);
  verifier.adopt(policy());
  assert.equal(ask(verifier)!.verdict.reason, 'good');
});

test('[P4] a question with any one bit changed is ignored or judged, never thrown', () => {
  const question = Question.encode({ requestId, purpose: 'device', chain: ders([router]) });
  const verifier = createVerifier(
    {
      reader: certificateReader(),
      signingKey: own.key,
      maxAgeSeconds: 60,
      questionsPerSecond: { device: 1, manager: 1e9 },
    },
    policy(),
  );
  for (let i = 0; i < question.length; i++) {
    const changed = question.slice();
    changed[i]! ^= 1 << (i % 8);
    const answer = verifier.answer(MANAGER, changed, world());
    assert.ok(answer.kind === 'ignored' || answer.reason !== 'good');
  }
});

test('[5.6 handshake floods] who asks too much is not answered, others are, and time heals', () => {
  const verifier = start();
  const flooder = 'flooder' as DeviceId;
  let answered = 0;
  for (let i = 0; i < 100; i++) if (ask(verifier, { asker: flooder }) !== null) answered++;
  assert.equal(answered, 20);
  assert.equal(verifier.counters.limited, 80);
  assert.equal(reasonOf(verifier, { asker: 'router-1' as DeviceId }), 'good');
  assert.equal(reasonOf(verifier, { asker: flooder, seconds: 1 }), 'good');
});
