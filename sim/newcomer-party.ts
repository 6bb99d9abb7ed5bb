/**
 * A device that has no certificate yet, while it enrols: the real machine over a line of its own. What cli/enrolment/ is to
 * it in production; the device that comes of it is switched on by whoever drives the world.
 */
import { createEnrolment, type EnrolmentEvent, type EnrolmentNews, stepEnrolment } from '../device-agent/enrolment.ts';
import { issueRequest } from '../platform/certificate-request-issuing.ts';
import type { OwnSigningKey } from '../platform/crypto-node.ts';
import type { CertificateReader } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { noDeadlines } from '../protocol/deadlines.ts';
import { readInvitation } from '../protocol/invitation.ts';
import type { LoginIdentity } from '../protocol/login.ts';
import { type DeviceId, EpochSeconds, Millis } from '../protocol/units.ts';
import { alarm } from './alarm.ts';
import { MICROS_PER_MS } from './event-queue.ts';
import type { LineOwner, PartyName } from './party.ts';
import type { PartyContext } from './party-context.ts';

export interface NewcomerParts {
  readonly id: DeviceId;
  readonly crypto: Crypto;
  readonly reader: CertificateReader;
  readonly signingKey: OwnSigningKey;
  /** With a certificate that it signed itself. */
  readonly identity: LoginIdentity;
  /** Keeps the chain on the device's disk. */
  readonly enrolled: (chain: readonly Uint8Array[]) => void;
}

export interface NewcomerParty {
  /** What came of it since it was switched on. */
  readonly news: readonly EnrolmentNews[];
  readonly running: boolean;
  readonly owner: LineOwner;
  /** The string that somebody types in, before it is switched on. */
  invitation: string | null;
  boot(): void;
  kill(): void;
}

export function newcomerParty(name: PartyName, parts: NewcomerParts, context: PartyContext): NewcomerParty {
  const { queue, now, topics } = context;
  const { crypto } = parts;
  const news: EnrolmentNews[] = [];
  let state: ReturnType<typeof createEnrolment> | null = null;

  const feed = (event: EnrolmentEvent): void => {
    if (state === null) return;
    const world = { now: Millis(now() / MICROS_PER_MS), wall: EpochSeconds(context.wall()), crypto };
    for (const effect of stepEnrolment(state, event, world)) {
      if (effect.type === 'publish')
        context.publish(name, effect.topic, effect.payload, { type: 'enrolment', about: [] });
      else if (effect.type === 'rest') context.rest(name, effect.forMs);
      else hear(effect.news);
    }
    wake.set();
  };
  const hear = (one: EnrolmentNews): void => {
    news.push(one);
    if (one.news === 'enrolled') parts.enrolled(one.enrolled.chain);
  };
  const begin = (written: string) => {
    const { manager, anchor, token = null } = readInvitation(crypto, written);
    return createEnrolment({
      manager,
      anchorHash: anchor,
      spki: parts.signingKey.publicSpki,
      name: parts.id,
      topics,
      reader: parts.reader,
      token,
      identity: parts.identity,
      certificateRequest: issueRequest(parts.signingKey, { name: parts.id }),
    });
  };
  const wake = alarm(
    queue,
    now,
    () => state?.deadlines ?? noDeadlines(),
    () => feed({ type: 'time' }),
  );
  const self: NewcomerParty = {
    news,
    get running() {
      return state !== null;
    },
    owner: {
      up: (link) => feed({ type: 'linked', link }),
      down: () => feed({ type: 'unlinked' }),
      received: (topic, payload) => feed({ type: 'received', topic, payload }),
    },
    invitation: null,
    boot() {
      if (self.invitation === null) throw new RangeError(`${name} has no invitation`);
      news.length = 0;
      state = begin(self.invitation);
      wake.set();
    },
    kill() {
      state = null;
      wake.off();
    },
  };
  return self;
}
