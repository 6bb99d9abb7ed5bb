/**
 * The verifier: a question about a certificate in, a signed verdict out, good or bad alike; nothing for garbage and for
 * who asks too much. Deterministic: time and cryptography arrive with each question. [patent 1100-1112]
 */
import { type CertificateReader, issuerAndSerial, type ParsedCertificate } from '../protocol/certificate.ts';
import { SigningFault, type SigningKey } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { Purpose, VerdictReason } from '../protocol/message-values.ts';
import { validatePath } from '../protocol/path-validation.ts';
import type { RevocationSource } from '../protocol/revocation.ts';
import { signEvent } from '../protocol/revocation-event.ts';
import { type Asker, MANAGER } from '../protocol/topics.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import { signVerdict } from '../protocol/verdict.ts';
import { Judgement, Question } from '../protocol/verifier-messages.ts';
import type { World } from '../protocol/world.ts';
import { type EventStream, eventStream } from './event-stream.ts';
import { chainKey, type GoodChain, type GoodChains, goodChains } from './good-chains.ts';
import { type KnownAuthorities, knownAuthorities } from './known-authorities.ts';
import { type QuestionBudget, questionBudget } from './question-budget.ts';

export interface VerifierPolicy {
  readonly anchors: readonly ParsedCertificate[];
  /** null: no source is configured, nothing is looked up. */
  readonly revocation: RevocationSource | null;
  /** How long data of this anchor's CAs that is out of date goes on to count; none when absent. */
  readonly staleSeconds?: (anchor: ParsedCertificate) => number;
  /** Hex SHA-256 of SubjectPublicKeyInfos. */
  readonly revokedKeys: ReadonlySet<string>;
  /** Hex marks (protocol/revocation-mark.ts) of the certificates that proven data calls revoked; told to managers. */
  readonly revokedMarks: ReadonlySet<string>;
  /** Grows with every change; stands in each verdict. */
  readonly version: number;
}

export interface VerifierSettings {
  readonly reader: CertificateReader;
  readonly signingKey: SigningKey;
  /** Seconds for which a verdict holds at most. */
  readonly maxAgeSeconds: number;
  readonly questionsPerSecond: { readonly device: number; readonly manager: number };
  /** Told the chain of each good verdict that was found anew, leaf first: its CAs are proven. */
  readonly onGood?: (chain: readonly ParsedCertificate[]) => void;
}

export interface VerifierCounters {
  good: number;
  bad: number;
  /** Of the good ones: answered without a signature being made. */
  cached: number;
  /** Of the good ones: signed anew, about a chain that was found good before. */
  known: number;
  /** Not answered: the asker asked too much. */
  limited: number;
  /** Not answered: no question. */
  garbage: number;
  /** Not answered: a fault of ours that the question brought out. */
  bugs: number;
}

/** What became of a question, for the log. */
export type Answer =
  | {
      readonly kind: 'judged';
      readonly payload: Uint8Array;
      readonly reason: VerdictReason;
      readonly purpose: Purpose;
      readonly detail: string;
      /** Subject CN of the leaf as it stands, for the log; null when unreadable. */
      readonly subject: string | null;
    }
  | { readonly kind: 'ignored'; readonly why: 'limited' | 'garbage' | 'key-store' | 'bug'; readonly detail: string };

export interface Verifier {
  readonly counters: VerifierCounters;
  /** @param again  it was answered before, and what was missing has come: it costs the asker nothing, and counts once */
  answer(asker: Asker, question: Uint8Array, world: World, again?: boolean): Answer;
  /** Takes effect with the next question; everything judged before is forgotten. */
  adopt(policy: VerifierPolicy): void;
  /** Signed, to be published each second and after each adoption: what is newly revoked, or a sign of life. */
  events(world: World): Uint8Array[];
}

interface Judged {
  readonly verdict: Uint8Array;
  readonly reason: VerdictReason;
  readonly detail: string;
  readonly subject: string | null;
}

export function createVerifier(settings: VerifierSettings, initial: VerifierPolicy): Verifier {
  const counters: VerifierCounters = { good: 0, bad: 0, cached: 0, known: 0, limited: 0, garbage: 0, bugs: 0 };
  const budget: QuestionBudget = questionBudget();
  const known: GoodChains = goodChains();
  const authorities: KnownAuthorities = knownAuthorities();
  authorities.anchor(initial.anchors);
  const events: EventStream = eventStream(initial);
  let policy = initial;

  const sign = (question: Question, finding: Finding, leafSha256: Uint8Array, { wall: time }: World): Uint8Array =>
    signVerdict(settings.signingKey, {
      purpose: question.purpose,
      leaf: leafSha256,
      issuerAndSerial: finding.issuerAndSerial,
      reason: finding.reason,
      time,
      maxAge: maxAgeOf(settings, finding, time),
      nonce: question.nonce,
      policy: policy.version,
    });

  const again = (question: Question, chain: GoodChain, world: World): Judged => {
    const finding = { ...chain, reason: 'good', detail: 'found before' } as const;
    if (question.nonce !== undefined) {
      counters.known++;
      return { ...finding, verdict: sign(question, finding, chain.leafSha256, world) };
    }
    counters[chain.verdict === null ? 'known' : 'cached']++;
    chain.verdict ??= sign(question, finding, chain.leafSha256, world);
    return { ...finding, verdict: chain.verdict };
  };

  const judge = (question: Question, world: World): Judged => {
    const { crypto, wall } = world;
    const key = chainKey(crypto, question.purpose, question.chain);
    const found = known.find(key, wall);
    if (found !== null) return again(question, found, world);
    const finding = examine(settings, authorities, policy, question, world);
    const leafSha256 = crypto.hash('sha-256', question.chain[0]!);
    const verdict = sign(question, finding, leafSha256, world);
    if (finding.validUntil !== null && !finding.isStale) {
      // The second half of its life is left to whoever gets a verdict; and a source is asked again before its data ends.
      const half = wall + Math.floor(maxAgeOf(settings, finding, wall) / 2);
      const { subject, issuerAndSerial, validUntil } = finding;
      const kept = question.nonce === undefined ? verdict : null;
      known.keep(key, { subject, issuerAndSerial, leafSha256, validUntil, verdict: kept }, wall, half as EpochSeconds);
    }
    return { verdict, reason: finding.reason, detail: finding.detail, subject: finding.subject };
  };

  return {
    counters,
    adopt(next) {
      policy = next;
      known.clear();
      authorities.anchor(next.anchors);
      events.adopt(next);
    },
    events: (world) => events.next(world).map((event) => signEvent(settings.signingKey, event)),
    answer(asker, bytes, world, isAgain = false) {
      const rate = settings.questionsPerSecond[asker === MANAGER ? 'manager' : 'device'];
      if (!isAgain && !budget.take(asker, rate, world.now)) {
        counters.limited++;
        return { kind: 'ignored', why: 'limited', detail: `more than ${rate} questions a second` };
      }
      let question: Question;
      try {
        question = Question.decode(bytes);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        counters.garbage++;
        return { kind: 'ignored', why: 'garbage', detail: error.message };
      }
      let judged: Judged;
      try {
        judged = judge(question, world);
      } catch (error) {
        // it may cost that asker its answer, never everybody the verifier
        if (!(error instanceof Error)) throw error;
        if (error instanceof SigningFault) return { kind: 'ignored', why: 'key-store', detail: error.message };
        counters.bugs++;
        return { kind: 'ignored', why: 'bug', detail: error.message };
      }
      const { verdict, ...found } = judged;
      if (isAgain) counters.bad--;
      counters[found.reason === 'good' ? 'good' : 'bad']++;
      const payload = Judgement.encode({ requestId: question.requestId, verdict });
      return { kind: 'judged', payload, purpose: question.purpose, ...found };
    },
  };
}

interface Finding {
  readonly reason: VerdictReason;
  readonly detail: string;
  readonly subject: string | null;
  readonly issuerAndSerial: Uint8Array;
  /** Set for a good one. */
  readonly validUntil: EpochSeconds | null;
  /** Good, although revocation data was out of date: told each time, so found each time. */
  readonly isStale?: boolean;
}

/** Stands for issuer and serial of a leaf that cannot be read. */
const UNREADABLE = Uint8Array.of(0);
const MAX_ISSUER_AND_SERIAL = 512;

function examine(
  { reader, onGood }: VerifierSettings,
  authorities: KnownAuthorities,
  { anchors, revocation, revokedKeys, staleSeconds }: VerifierPolicy,
  { chain: encoded, purpose }: Question,
  { crypto: given, wall: at }: World,
): Finding {
  const crypto = authorities.over(given);
  const chain: ParsedCertificate[] = [];
  const leaf = reader.readCertificate(encoded[0]!);
  const identity = leaf === null ? UNREADABLE : issuerAndSerial(leaf);
  const readable = identity.length <= MAX_ISSUER_AND_SERIAL;
  const about = { subject: leaf?.subject.commonName ?? null, issuerAndSerial: readable ? identity : UNREADABLE };
  const readIssuer = (der: Uint8Array) => authorities.find(crypto, der) ?? reader.readCertificate(der);
  for (const [index, der] of encoded.entries()) {
    const certificate = index === 0 ? (readable ? leaf : null) : readIssuer(der);
    if (certificate === null) {
      return { ...about, reason: 'malformed', detail: `certificate ${index} cannot be read`, validUntil: null };
    }
    chain.push(certificate);
  }
  const found = validatePath({
    crypto,
    chain,
    anchors,
    revocation,
    revokedKeys,
    at,
    purpose,
    ...(staleSeconds === undefined ? {} : { staleSeconds }),
  });
  if (found.ok) {
    authorities.learn(crypto, chain, found.anchor);
    onGood?.(chain);
    const isStale = found.stale !== undefined;
    return { ...about, reason: 'good', detail: '', validUntil: found.validUntil, isStale };
  }
  return { ...about, reason: found.reason, detail: `certificate ${found.index}: ${found.detail}`, validUntil: null };
}

/** A verdict never outlives what it was found from: a period's or a list's end. */
function maxAgeOf(
  { maxAgeSeconds }: VerifierSettings,
  { validUntil }: Pick<Finding, 'validUntil'>,
  now: EpochSeconds,
): number {
  return validUntil === null ? maxAgeSeconds : Math.max(1, Math.min(maxAgeSeconds, validUntil - now));
}
