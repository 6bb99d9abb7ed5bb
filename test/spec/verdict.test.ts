/**
 * Verdicts: signed good and bad, and refused when anything about them is not what was asked. [patent 1108-1112]
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generateSigningKey } from '../../platform/crypto-node.ts';
import { signCose } from '../../protocol/cose-sign1.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import { VerdictReason } from '../../protocol/message-values.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { checkVerdict, signVerdict, type VerdictExpectation } from '../../protocol/verdict.ts';
import { Verdict } from '../../protocol/verifier-messages.ts';
import { AT, crypto } from '../test-authority.ts';

const own = generateSigningKey('p256');
const leaf = crypto.hash('sha-256', Uint8Array.of(1));
const nonce = new Uint8Array(16).fill(7);
const verdict: Verdict = {
  purpose: 'device',
  leaf,
  issuerAndSerial: Uint8Array.of(0x30, 0x00, 0x02, 0x01, 0x05),
  reason: 'good',
  time: AT,
  maxAge: 3600,
  nonce,
  policy: 1,
};
const expected: VerdictExpectation = {
  verifierKeys: [crypto.publicKey(own.publicSpki)!],
  purpose: 'device',
  leafSha256: leaf,
  nonce,
  now: EpochSeconds(AT + 10),
  maxClockSkew: 60,
};

const check = (wishes: Partial<VerdictExpectation> = {}, bytes = signVerdict(own.key, verdict)): Verdict =>
  checkVerdict(crypto, bytes, { ...expected, ...wishes });

function refuses(what: RegExp, act: () => unknown): void {
  assert.throws(
    act,
    (error) => error instanceof ProtocolError && error.code === 'badVerdict' && what.test(error.message),
  );
}

test('[P4] [patent 1108-1112] a verdict of every reason, good and bad, is signed and its signature checked', () => {
  for (const algorithm of ['p256', 'p384', 'ed25519'] as const) {
    const signer = generateSigningKey(algorithm);
    const verifierKeys = [crypto.publicKey(signer.publicSpki)!];
    for (const reason of VerdictReason.words) {
      assert.equal(check({ verifierKeys }, signVerdict(signer.key, { ...verdict, reason })).reason, reason);
    }
  }
});

test('[P4] [patent 1112] an unsigned verdict is refused', () => {
  refuses(/^unsigned/, () => check({}, Verdict.encode(verdict)));
  refuses(/^unsigned/, () => check({}, new Uint8Array(0)));
});

test('[P4] [patent 1112] a verdict of another signer is refused', () => {
  refuses(/^wrong signer/, () => check({}, signVerdict(generateSigningKey('p256').key, verdict)));
  refuses(/^wrong signer/, () => check({}, signVerdict(generateSigningKey('ed25519').key, verdict)));
});

test('a signature that the key made for something else is no verdict', () => {
  refuses(/^wrong signer/, () => check({}, signCose({ payload: Verdict.encode(verdict), signingKey: own.key })));
});

test('[P4] a verdict with one bit changed anywhere is refused', () => {
  const bytes = signVerdict(own.key, verdict);
  for (let i = 0; i < bytes.length; i++) {
    const changed = bytes.slice();
    changed[i]! ^= 1;
    refuses(/./, () => check({}, changed));
  }
});

test('[P4] [5.6 stale verdict] beyond its age a verdict is refused, the clocks’ distance allowed for', () => {
  assert.equal(check({ now: EpochSeconds(AT + 3660) }).reason, 'good');
  refuses(/^stale/, () => check({ now: EpochSeconds(AT + 3661) }));
});

test('[P4] [5.6 stale verdict] a verdict from the future is refused', () => {
  assert.equal(check({ now: EpochSeconds(AT - 60) }).reason, 'good');
  refuses(/^from the future/, () => check({ now: EpochSeconds(AT - 61) }));
});

test('[P4] [5.6 swapped verdict] a verdict about another leaf is refused', () => {
  refuses(/^swapped/, () => check({ leafSha256: crypto.hash('sha-256', Uint8Array.of(2)) }));
});

test('[P4] [5.6 wrong-purpose verdict] a verdict for another purpose is refused', () => {
  refuses(/^wrong purpose/, () => check({ purpose: 'manager' }));
});

test('[P4] [5.6 replay] a verdict with another nonce, or without the one asked for, is refused', () => {
  refuses(/^wrong nonce/, () => check({ nonce: new Uint8Array(16) }));
  const { nonce: _, ...without } = verdict;
  refuses(/^wrong nonce/, () => check({}, signVerdict(own.key, without)));
  assert.equal(check({ nonce: null }, signVerdict(own.key, without)).reason, 'good');
});

test('[P5] without a trusted clock the nonce proves freshness, and none is no proof', () => {
  assert.equal(check({ now: null }).time, AT);
  refuses(/^stale/, () => check({ now: null, nonce: null }));
});
