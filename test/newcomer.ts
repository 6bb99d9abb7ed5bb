/**
 * A device that enrols in a town: the machine of the device on a link of its own. @see test/town.ts
 */
import { createEnrolment, type EnrolmentNews, stepEnrolment } from '../device-agent/enrolment.ts';
import { commonName, freshSerial, issueCertificate } from '../platform/certificate-issuing.ts';
import { issueRequest } from '../platform/certificate-request-issuing.ts';
import { type GeneratedSigningKey, generateSigningKey } from '../platform/crypto-node.ts';
import { readInvitation } from '../protocol/invitation.ts';
import { type LoginIdentity, suitesFor } from '../protocol/login.ts';
import { topicsUnder } from '../protocol/topics.ts';
import type { DeviceId } from '../protocol/units.ts';
import { AT, crypto, reader } from './test-authority.ts';
import type { Stranger, Town } from './town-plan.ts';

export interface NewcomerWish {
  readonly key?: GeneratedSigningKey;
  /** The request is over this one instead. */
  readonly requestKey?: GeneratedSigningKey;
  /** What it calls itself. */
  readonly name?: string;
  /** Its own, which speaks for it in place of the token. */
  readonly identity?: LoginIdentity;
}

export interface Newcomer {
  readonly key: GeneratedSigningKey;
  readonly news: EnrolmentNews[];
  readonly stranger: Stranger;
  /** Sends message_1 on a new link; goes no further by itself. */
  begin(): void;
  /** Takes what has come. @returns whether there was anything */
  take(): boolean;
  /** As far as it goes: one exchange. */
  run(): Newcomer;
  last(): EnrolmentNews | undefined;
}

export function newcomer(town: Town, invitation: string, wish: NewcomerWish = {}): Newcomer {
  const { key = generateSigningKey('p256'), name = 'newcomer' } = wish;
  const { manager, anchor, token } = readInvitation(crypto, invitation);
  const topics = topicsUnder();
  const own = { name: commonName(name), spki: key.publicSpki, key: key.key };
  const period = { notBefore: AT - 3600, notAfter: AT + 3600 };
  const selfSigned = () =>
    issueCertificate(crypto, own, { name, spki: key.publicSpki, serial: freshSerial(crypto), ...period });
  const requestKey = wish.requestKey ?? key;
  const news: EnrolmentNews[] = [];
  let stranger = town.stranger();
  const create = () =>
    createEnrolment({
      topics,
      reader,
      manager,
      anchorHash: anchor,
      spki: requestKey.publicSpki,
      name: null,
      token: wish.identity === undefined ? (token ?? null) : null,
      identity: wish.identity ?? {
        chain: [selfSigned()],
        signingKey: key.key,
        cipherSuites: suitesFor(key.key),
        channelSuites: [0, 1],
      },
      certificateRequest: issueRequest({ ...requestKey.key, publicSpki: requestKey.publicSpki }, { name }),
    });
  let state = create();
  const step = (event: Parameters<typeof stepEnrolment>[1]): void => {
    for (const effect of stepEnrolment(state, event, { ...town.world(), crypto })) {
      if (effect.type === 'publish') stranger.publish(effect.payload);
      if (effect.type === 'tell') news.push(effect.news);
    }
  };
  const self: Newcomer = {
    key,
    news,
    get stranger() {
      return stranger;
    },
    begin() {
      state = create();
      stranger = town.stranger();
      step({ type: 'linked', link: stranger.link! });
    },
    take() {
      const packets = stranger.received.splice(0);
      for (const { topic, payload } of packets) step({ type: 'received', topic, payload });
      return packets.length > 0;
    },
    run() {
      self.begin();
      do town.flush();
      while (self.take());
      return self;
    },
    last: () => news.at(-1),
  };
  return self;
}

/** The device as the town knows it afterwards. */
export const idOf = (name: string): DeviceId => name as DeviceId;
