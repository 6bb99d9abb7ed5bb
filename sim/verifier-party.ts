/**
 * The verifier of a world. It keeps nothing: whoever was revoked stays so because the operator says it again.
 */
import type { CertificateReader, ParsedCertificate, ParsedCrl } from '../protocol/certificate.ts';
import { type Crypto, publicKeyOperations, type SigningKey } from '../protocol/crypto.ts';
import { EVENT_EVERY } from '../protocol/revocation-event.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { certificateMark } from '../protocol/revocation-mark.ts';
import { EpochSeconds, Millis } from '../protocol/units.ts';
import { createVerifier, type Verifier, type VerifierCounters, type VerifierPolicy } from '../verifier/verifier.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import { type LineOwner, VERIFIER } from './party.ts';
import type { PartyContext } from './party-context.ts';

export interface VerifierParts {
  readonly anchor: ParsedCertificate;
  readonly reader: CertificateReader;
  readonly signingKey: SigningKey;
  readonly crypto: Crypto;
  readonly maxAgeSeconds: number;
  readonly questionsPerSecond: number;
  readonly skewSeconds: number;
  readonly listsOf: (revoked: readonly ParsedCertificate[], number: number, at: number) => readonly ParsedCrl[];
}

export interface VerifierParty {
  readonly running: boolean;
  /** Since it was started last. */
  readonly counters: VerifierCounters;
  skewSeconds: number;
  readonly owner: LineOwner;
  operations(): number;
  /** A new revocation list comes out, and the verifier takes it in. */
  revoke(certificate: ParsedCertificate): void;
  boot(): void;
  kill(): void;
}

export function verifierParty(parts: VerifierParts, context: PartyContext): VerifierParty {
  const { topics, now } = context;
  const { anchor, reader, signingKey, crypto, maxAgeSeconds, questionsPerSecond } = parts;
  const revoked: ParsedCertificate[] = [];
  let running = false;

  const wall = (): EpochSeconds => EpochSeconds(context.wall() + self.skewSeconds);
  const policy = (): VerifierPolicy => ({
    anchors: [anchor],
    // without anybody revoked no list is made: making one costs more than all the rest of a small world
    revocation: revoked.length === 0 ? null : crlSet(parts.listsOf(revoked, revoked.length, context.wall())),
    revokedKeys: new Set(),
    revokedMarks: new Set(revoked.map(({ issuer, serial }) => certificateMark(crypto, issuer, serial))),
    version: revoked.length + 1,
  });
  const create = (): Verifier =>
    createVerifier(
      { reader, signingKey, maxAgeSeconds, questionsPerSecond: { device: 5, manager: questionsPerSecond } },
      policy(),
    );

  const world = () => ({ now: Millis(now() / MICROS_PER_MS), wall: wall(), crypto });
  const speak = (): void => {
    if (!running) return;
    for (const event of verifier.events(world())) {
      context.publish(VERIFIER, topics.verifierEvents, event, { type: 'revocationEvent', about: [] });
    }
  };
  const speakEachSecond = (whose: Verifier): void => {
    if (!running || verifier !== whose) return;
    speak();
    context.queue.push(now() + EVENT_EVERY * MICROS_PER_MS, () => speakEachSecond(whose));
  };

  const self: VerifierParty = {
    get running() {
      return running;
    },
    get counters() {
      return verifier.counters;
    },
    skewSeconds: parts.skewSeconds,
    owner: {
      up: () => speak(),
      down: () => {},
      received(topic, payload) {
        const place = topics.parse(topic);
        if (!running || place?.kind !== 'verifier-question') return;
        const answer = verifier.answer(place.asker, payload, world());
        if (answer.kind === 'ignored') {
          context.logged(VERIFIER, {
            level: 'warn',
            event: `question.${answer.why}`,
            fields: { detail: answer.detail },
          });
          return;
        }
        const reply = topics.verifierAnswer(place.asker);
        context.publish(VERIFIER, reply, answer.payload, { type: 'judgement', about: [] });
      },
    },
    operations: () => publicKeyOperations(crypto.counter),
    revoke(certificate) {
      revoked.push(certificate);
      verifier.adopt(policy());
      speak();
    },
    boot() {
      running = true;
      verifier = create();
      speakEachSecond(verifier);
    },
    kill() {
      running = false;
    },
  };
  let verifier = create();
  return self;
}
