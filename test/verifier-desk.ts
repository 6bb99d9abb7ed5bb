/**
 * A verifier as a machine and who asks it, for tests: one CA under one root, a router, a manager.
 */
import assert from 'node:assert/strict';
import { certificateReader } from '../platform/certificates.ts';
import { generateSigningKey } from '../platform/crypto-node.ts';
import type { Purpose, VerdictReason } from '../protocol/message-values.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { type Asker, MANAGER } from '../protocol/topics.ts';
import { EpochSeconds, Millis } from '../protocol/units.ts';
import { checkVerdict } from '../protocol/verdict.ts';
import { Judgement, Question, type Verdict } from '../protocol/verifier-messages.ts';
import { createVerifier, type Verifier, type VerifierPolicy } from '../verifier/verifier.ts';
import { AT, ca, certify, crlOf, crypto, device, type Holder, MANAGER_WISHES, root } from './test-authority.ts';

export const anchor = root();
export const middle = ca(anchor);
export const router = device(middle);
export const manager = certify('manager.example', MANAGER_WISHES, middle);
export const own = generateSigningKey('p256');
const verifierKeys = [crypto.publicKey(own.publicSpki)!];
export const requestId = new Uint8Array(16).fill(9);

export function policy(revoked: readonly Holder[] = [], wishes: Partial<VerifierPolicy> = {}): VerifierPolicy {
  const crls = crlSet([crlOf(anchor, []), crlOf(middle, revoked)]);
  return {
    anchors: [anchor.certificate],
    revocation: crls,
    revokedKeys: new Set(),
    revokedMarks: new Set(),
    version: 1,
    ...wishes,
  };
}

export function start(initial = policy(), maxAgeSeconds = 3600): Verifier {
  const questionsPerSecond = { device: 5, manager: 50 };
  return createVerifier(
    { reader: certificateReader(), signingKey: own.key, maxAgeSeconds, questionsPerSecond },
    initial,
  );
}

export const world = (seconds = 0) => ({ crypto, now: Millis(seconds * 1000), wall: EpochSeconds(AT + seconds) });
export const ders = (chain: readonly Holder[]): Uint8Array[] => chain.map(({ certificate }) => certificate.der);

interface Wishes {
  readonly chain?: readonly Uint8Array[];
  readonly purpose?: Purpose;
  readonly nonce?: Uint8Array;
  readonly seconds?: number;
  readonly asker?: Asker;
}

/** Asks, and checks the verdict as a manager would. @returns null when nothing was answered */
export function ask(verifier: Verifier, wishes: Wishes = {}): { verdict: Verdict; bytes: Uint8Array } | null {
  const { chain = ders([router, middle]), purpose = 'device', nonce, seconds = 0, asker = MANAGER } = wishes;
  const answer = verifier.answer(asker, Question.encode({ requestId, purpose, chain, nonce }), world(seconds));
  if (answer.kind === 'ignored') return null;
  const judgement = Judgement.decode(answer.payload);
  assert.deepEqual(judgement.requestId, requestId);
  const leafSha256 = crypto.hash('sha-256', chain[0]!);
  const expected = {
    verifierKeys,
    purpose,
    leafSha256,
    nonce: nonce ?? null,
    now: EpochSeconds(AT + seconds),
    maxClockSkew: 0,
  };
  return { verdict: checkVerdict(crypto, judgement.verdict, expected), bytes: judgement.verdict };
}

export const reasonOf = (verifier: Verifier, wishes?: Wishes): VerdictReason | null =>
  ask(verifier, wishes)?.verdict.reason ?? null;
