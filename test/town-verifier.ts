/**
 * A verifier of a town: the real one on a link of its own, what an operator does to it, and what becomes of its events on
 * their way. @see test/town.ts
 */
import type { memoryClock } from '../platform/clock.ts';
import type { Transport } from '../platform/transport.ts';
import type { memoryHub } from '../platform/transport-memory.ts';
import { toHex } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { EVENT_EVERY } from '../protocol/revocation-event.ts';
import { crlSet } from '../protocol/revocation-list.ts';
import { certificateMark, keyMark } from '../protocol/revocation-mark.ts';
import type { Topics } from '../protocol/topics.ts';
import { later, type Millis, Topic } from '../protocol/units.ts';
import { createVerifier, type Verifier, type VerifierPolicy } from '../verifier/verifier.ts';
import { crlOf, type Holder, reader } from './test-authority.ts';

export interface VerifierParts {
  readonly name: string;
  readonly hub: ReturnType<typeof memoryHub>;
  readonly topics: Topics;
  readonly clock: ReturnType<typeof memoryClock>;
  readonly holder: Holder;
  /** Whose lists it has. */
  readonly authorities: readonly Holder[];
  readonly crypto: Crypto;
  readonly maxAgeSeconds: number;
  readonly say: (from: string, through: Transport, topic: Topic, payload: Uint8Array) => void;
}

export interface TownVerifier {
  readonly holder: Holder;
  /** Neither answers nor speaks. */
  away: boolean;
  /** What becomes of an event on its way; null: nothing happens to it. */
  bent: ((event: Uint8Array) => readonly Uint8Array[]) | null;
  /** Questions that reached it. */
  asked: number;
  /** When its sign of life is waited for: only while somebody bends what it says. */
  readonly speaksAt: Millis | null;
  readonly speaksFreely: boolean;
  /** Its sign of life when it is due. */
  speak(): void;
  /** Its news, or a sign of life, now. */
  speakAtOnce(): void;
  /** The next event, which goes nowhere. */
  events(): Uint8Array[];
  revoke(...holders: readonly Holder[]): void;
  revokeKeys(...holders: readonly Holder[]): void;
  /** By their marks, whoever may have them. */
  revokeMarks(...marks: readonly string[]): void;
  /** No longer on hold. */
  release(...holders: readonly Holder[]): void;
  distrust(anchor: Holder): void;
  /** A new process; what was revoked meanwhile it has known from the start. */
  restart(...revokedMeanwhile: readonly Holder[]): void;
}

export function townVerifier(parts: VerifierParts): TownVerifier {
  const { hub, topics, clock, holder, authorities, crypto, maxAgeSeconds, say } = parts;
  const revoked = new Set<Holder>();
  const revokedKeys = new Set<string>();
  const others = new Set<string>();
  const distrusted = new Set<ParsedCertificate>();
  let version = 1;
  let spokeAt: Millis | null = null;
  const world = () => ({ now: clock.now(), wall: clock.wall(), crypto });

  const policy = (): VerifierPolicy => ({
    anchors: [authorities[0]!.certificate].filter((anchor) => !distrusted.has(anchor)),
    revocation:
      revoked.size === 0
        ? null
        : crlSet(
            authorities.map((by) =>
              crlOf(
                by,
                [...revoked].filter((one) => isIssuedBy(one, by)),
              ),
            ),
          ),
    revokedKeys: new Set(revokedKeys),
    revokedMarks: new Set([
      ...[...revoked].map(({ certificate }) => certificateMark(crypto, certificate.issuer, certificate.serial)),
      ...others,
    ]),
    version: version++,
  });
  const start = (): Verifier =>
    createVerifier(
      {
        reader,
        signingKey: holder.key.key,
        maxAgeSeconds,
        questionsPerSecond: { device: 1000, manager: 10_000 },
      },
      policy(),
    );
  const link: Transport = hub.transport({
    service: 'verifier',
    subscriptions: () => [Topic(`${topics.root}/v/q/+`)],
    observer: {
      up: () => {},
      down: () => {},
      received(topic, payload) {
        const place = topics.parse(topic);
        if (place?.kind !== 'verifier-question' || self.away) return;
        self.asked++;
        const answer = verifier.answer(place.asker, payload, world());
        if (answer.kind === 'judged') say(parts.name, link, topics.verifierAnswer(place.asker), answer.payload);
      },
    },
  });
  const adopt = (): void => {
    verifier.adopt(policy());
    self.speakAtOnce();
  };

  const self: TownVerifier = {
    holder,
    away: false,
    bent: null,
    asked: 0,
    get speaksFreely() {
      return !self.away && self.bent === null;
    },
    get speaksAt() {
      if (self.away || self.bent === null) return null;
      return spokeAt === null ? clock.now() : later(spokeAt, EVENT_EVERY);
    },
    speak() {
      if (spokeAt === null || clock.now() - spokeAt >= EVENT_EVERY) self.speakAtOnce();
    },
    speakAtOnce() {
      if (self.away) return;
      spokeAt = clock.now();
      for (const event of verifier.events(world()))
        for (const one of self.bent === null ? [event] : self.bent(event)) link.publish(topics.verifierEvents, one, 1);
      hub.flush();
    },
    events: () => verifier.events(world()),
    revoke(...holders) {
      for (const one of holders) revoked.add(one);
      adopt();
    },
    revokeKeys(...holders) {
      for (const { certificate } of holders) revokedKeys.add(keyMark(crypto, certificate.spki));
      adopt();
    },
    revokeMarks(...marks) {
      for (const mark of marks) others.add(mark);
      adopt();
    },
    release(...holders) {
      for (const one of holders) revoked.delete(one);
      adopt();
    },
    distrust(anchor) {
      distrusted.add(anchor.certificate);
      adopt();
    },
    restart(...revokedMeanwhile) {
      for (const one of revokedMeanwhile) revoked.add(one);
      verifier = start();
      spokeAt = null;
    },
  };
  let verifier = start();
  return self;
}

const isIssuedBy = ({ certificate }: Holder, by: Holder): boolean => {
  const name = JSON.stringify(certificate.issuer.rdns);
  return name === JSON.stringify(by.certificate.subject.rdns) && toHex(by.issuer.spki) !== toHex(certificate.spki);
};
