/**
 * Purpose `renewal`: everything as for a device, only the end of the leaf's own period is overlooked. @spec RFC 5280 §6.1.3
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import type { Purpose } from '../../protocol/message-values.ts';
import { type PathQuestion, validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { checkVerdict, signVerdict } from '../../protocol/verdict.ts';
import { AT, ca, crlOf, crypto, DAY, device, type Holder, root, type Wishes } from '../test-authority.ts';

const anchor = root();
const middle = ca(anchor);
const old = { notBefore: AT - 200 * DAY, notAfter: AT - 100 * DAY };
const reasonOf = (chain: readonly Holder[], more: Partial<PathQuestion> = {}): string => {
  const finding = validatePath({
    crypto,
    revocation: null,
    at: AT,
    purpose: 'renewal',
    chain: chain.map(({ certificate }) => certificate),
    anchors: [anchor.certificate],
    ...more,
  });
  return finding.ok ? 'good' : finding.reason;
};

test('[P4] RFC 5280 §6.1.3 (a)(2): a leaf that ran out is good for a renewal and for nothing else', () => {
  const leaf = device(middle, 'router-1', old);
  assert.equal(reasonOf([leaf, middle]), 'good');
  for (const purpose of ['device', 'any', 'user', 'manager'] as const) {
    assert.notEqual(reasonOf([leaf, middle], { purpose }), 'good', purpose);
  }
});

const ROWS: readonly (readonly [string, Wishes, string])[] = [
  ['one whose time has not come', { notBefore: AT + 10, notAfter: AT + DAY }, 'not-yet-valid'],
  ['a manager', { ...old, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriManager] }, 'wrong-purpose'],
  ['a user', { ...old, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriUser] }, 'wrong-purpose'],
  ['a CA', { ...old, ca: { pathLength: null }, keyUsage: ['keyCertSign'] }, 'not-a-leaf'],
];

for (const [what, wishes, reason] of ROWS) {
  test(`[P4] purpose renewal: ${what} is refused: ${reason}`, () => {
    assert.equal(reasonOf([device(middle, 'router-1', wishes), middle]), reason);
  });
}

test('[P4] purpose renewal: the period of every CA counts, of the anchor too', () => {
  const ended = ca(anchor, 'Ended CA', old);
  assert.equal(reasonOf([device(ended, 'router-1', old), ended]), 'expired');
  const top = root('Ended root', old);
  assert.equal(reasonOf([device(top, 'router-1', old)], { anchors: [top.certificate] }), 'expired');
});

test('[P4] purpose renewal: what is revoked stays revoked, and what nobody knows of is not good', () => {
  const leaf = device(middle, 'router-1', old);
  const known = { revocation: crlSet([crlOf(middle, []), crlOf(anchor, [])]) };
  const revoked = { revocation: crlSet([crlOf(middle, [leaf]), crlOf(anchor, [])]) };
  const unknown = { revocation: crlSet([crlOf(anchor, [])]) };
  assert.equal(reasonOf([leaf, middle], known), 'good');
  assert.equal(reasonOf([leaf, middle], revoked), 'revoked');
  assert.equal(reasonOf([leaf, middle], unknown), 'revocation-unknown');
});

test('[P4] purpose renewal: the end of who signs revocation lists is not overlooked', () => {
  const signing: Wishes = { keyUsage: ['cRLSign', 'digitalSignature'], extendedKeyUsage: [EXTENDED_KEY_USAGE.any] };
  const answerUnder = (period: Wishes): string => {
    const signer = device(anchor, 'Test CA', { ...signing, ...period });
    const leaf = device(middle, 'router-1', old);
    // a list of the CA's name by another key of that name
    const list = crlOf(signer, []);
    return reasonOf([leaf, middle], { revocation: crlSet([list, crlOf(anchor, [])], [signer.certificate]) });
  };
  assert.equal(answerUnder({}), 'good');
  assert.equal(answerUnder(old), 'revocation-unknown');
});

test('[P4] a good finding on a leaf that ran out holds as long as its CAs do, not to an end in the past', () => {
  const finding = validatePath({
    crypto,
    revocation: null,
    at: EpochSeconds(AT),
    purpose: 'renewal',
    chain: [device(middle, 'router-1', old), middle].map(({ certificate }) => certificate),
    anchors: [anchor.certificate],
  });
  assert.ok(finding.ok && finding.validUntil > AT);
});

test('[5.6 wrong-purpose verdict] a verdict for renewal never counts as one for a device, nor the other way round', () => {
  const leafSha256 = new Uint8Array(32).fill(7);
  const verifier = device(anchor, 'verifier');
  const verdict = (purpose: Purpose) =>
    signVerdict(verifier.key.key, {
      purpose,
      leaf: leafSha256,
      issuerAndSerial: Uint8Array.of(0),
      reason: 'good',
      time: AT,
      maxAge: 60,
      nonce: undefined,
      policy: 1,
    });
  const verifierKeys = [crypto.publicKey(verifier.certificate.spki)!];
  const check = (said: Purpose, purpose: Purpose) =>
    checkVerdict(crypto, verdict(said), { verifierKeys, purpose, leafSha256, nonce: null, now: AT, maxClockSkew: 60 });
  assert.throws(() => check('renewal', 'device'), /wrong purpose/);
  assert.throws(() => check('device', 'renewal'), /wrong purpose/);
  assert.equal(check('renewal', 'renewal').reason, 'good');
});
