/**
 * What a verdict costs the verifier without a transport, in a process of its own that stays on one core: each line on stdin
 * asks for one round, whose costs come back as one line of JSON. `node bench/verdict-costs.ts`
 */
import { createInterface } from 'node:readline';
import { certificateReader } from '../platform/certificates.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { certificateMark } from '../protocol/revocation-mark.ts';
import { MANAGER } from '../protocol/topics.ts';
import { EpochSeconds, Millis } from '../protocol/units.ts';
import { MAX_MARKS, Question } from '../protocol/verifier-messages.ts';
import { crypto } from '../test/test-authority.ts';
import { createVerifier, type Verifier, type VerifierPolicy } from '../verifier/verifier.ts';
import { spreadOf } from './figures.ts';
import { verifierPapers } from './verifier-papers.ts';

/** Entries of the CA's list; null: no list. */
export const LISTS = [null, 10, 1000, 100_000] as const;
export type Situation = 'nothing known' | 'known CA, new leaf' | 'known chain, nonce' | 'known chain, no nonce';
export const SITUATIONS: readonly Situation[] = [
  'nothing known',
  'known CA, new leaf',
  'known chain, nonce',
  'known chain, no nonce',
];

export interface VerdictRound {
  /** µs of CPU. */
  readonly sign: number;
  readonly verify: number;
  readonly readLeaf: number;
  /** As LISTS. */
  readonly verdicts: readonly Readonly<Record<Situation, number>>[];
  /** Milliseconds of CPU from a policy with MARKS marks more until its events are signed; and with one more. */
  readonly adoptionMs: { readonly all: number; readonly one: number };
}

export const MARKS = 100_000;
const CHAINS = 100;
const PASSES = 5;

if (import.meta.main) {
  const round = prepare();
  process.stdout.write('ready\n');
  for await (const _ of createInterface({ input: process.stdin })) process.stdout.write(`${JSON.stringify(round())}\n`);
}

function prepare(): () => VerdictRound {
  const papers = verifierPapers();
  const chains = papers.devices(CHAINS);
  const { certificate: leaf, key } = { ...papers.verifier, key: papers.verifier.key.key };
  const reader = certificateReader();
  const at = EpochSeconds(Math.floor(Date.now() / 1000));
  const world = { crypto, now: Millis(0), wall: at };
  const policies = LISTS.map((entries): VerifierPolicy => {
    const revocation = entries === null ? null : crlSet(papers.lists(entries));
    const nothing = { revokedKeys: new Set<string>(), revokedMarks: new Set<string>() };
    return { anchors: [papers.anchor.certificate], revocation, ...nothing, version: 1 };
  });
  const questions = (nonce: boolean): Uint8Array[] =>
    chains.map((chain) =>
      Question.encode({
        requestId: crypto.random(16),
        purpose: 'device',
        chain,
        ...(nonce && { nonce: crypto.random(32) }),
      }),
    );
  const asked = { nonce: questions(true), bare: questions(false) };
  const start = (policy: VerifierPolicy): Verifier => {
    const questionsPerSecond = { device: 1e9, manager: 1e9 };
    return createVerifier({ reader, signingKey: key, maxAgeSeconds: 3600, questionsPerSecond }, policy);
  };
  const answer = (verifier: Verifier, question: Uint8Array): void => {
    const given = verifier.answer(MANAGER, question, world);
    if (given.kind !== 'judged' || given.reason !== 'good') throw new Error(`not good: ${JSON.stringify(given)}`);
  };
  const each = (act: (i: number) => void): void => {
    for (let i = 0; i < CHAINS; i++) act(i);
  };
  const verdicts = (policy: VerifierPolicy): Record<Situation, number> => {
    const verifier = start(policy);
    const all = (list: readonly Uint8Array[]) => () => each((i) => answer(verifier, list[i]!));
    const forget = (): void => verifier.adopt(policy);
    return {
      'nothing known': micros(() => each((i) => answer(start(policy), asked.nonce[i]!))),
      'known CA, new leaf': micros(all(asked.nonce), forget),
      'known chain, nonce': micros(all(asked.nonce)),
      'known chain, no nonce': micros(all(asked.bare)),
    };
  };
  const issuerKey = crypto.publicKey(papers.issuer.certificate.spki)!;
  const issuer = papers.issuer.certificate.subject;
  const marks = new Set(
    Array.from({ length: MARKS }, (_, i) => certificateMark(crypto, issuer, Uint8Array.of(1, i >> 16, i >> 8, i))),
  );
  return () => ({
    sign: micros(() => each(() => key.sign('ecdsa-sha256', leaf.tbs))),
    verify: micros(() => each(() => crypto.verify('ecdsa-sha256', issuerKey, leaf.signature, leaf.tbs, 'der'))),
    readLeaf: micros(() => each((i) => reader.readCertificate(chains[i]![0]!))),
    verdicts: policies.map(verdicts),
    adoptionMs: adoptions(start(policies[0]!), policies[0]!),
  });

  function adoptions(verifier: Verifier, policy: VerifierPolicy): VerdictRound['adoptionMs'] {
    const adoption = (revokedMarks: ReadonlySet<string>, events: number): number => {
      const began = process.cpuUsage();
      verifier.adopt({ ...policy, revokedMarks });
      if (verifier.events(world).length !== events) throw new Error('not every mark was told, or one twice');
      const { user, system } = process.cpuUsage(began);
      return (user + system) / 1000;
    };
    verifier.events(world);
    const more = new Set([...marks, certificateMark(crypto, issuer, Uint8Array.of(2))]);
    return { all: adoption(marks, MARKS / MAX_MARKS), one: adoption(more, 1) };
  }
}

/** The median pass: a burst of other work falls into few of them. @returns µs of CPU for each of CHAINS */
function micros(act: () => void, before: () => void = () => {}): number {
  const passes = Array.from({ length: PASSES }, () => {
    before();
    const began = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(began);
    return (user + system) / CHAINS;
  });
  return spreadOf(passes).median;
}
