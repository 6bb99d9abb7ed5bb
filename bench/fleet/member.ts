/**
 * One device of a fleet: the real agent machine on the real MQTT transport. Its memory is not written to a disk: ten
 * thousand devices have ten thousand disks, and here there is one.
 */
import { type AgentEvent, createAgent, stepAgent } from '../../device-agent/agent.ts';
import { startCall } from '../../device-agent/calling.ts';
import type { Effect, News } from '../../device-agent/effects.ts';
import { NO_MEMORY } from '../../device-agent/memory.ts';
import { sendData } from '../../device-agent/sessions.ts';
import type { AgentSettings, AgentState } from '../../device-agent/state.ts';
import { certificateReader } from '../../platform/certificates.ts';
import { systemClock } from '../../platform/clock.ts';
import type { nodeCrypto } from '../../platform/crypto-node.ts';
import { signingKey } from '../../platform/crypto-node.ts';
import { drive } from '../../platform/driver.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import { nextDeadline } from '../../protocol/deadlines.ts';
import { suitesFor } from '../../protocol/login.ts';
import { CHANNEL_SUITES } from '../../protocol/suites.ts';
import { topicsUnder } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import type { World } from '../../protocol/world.ts';
import { type DevicePapers, MANAGER_NAME } from './papers.ts';

export interface MemberEvents {
  linked(): void;
  unlinked?(): void;
  /** A frame to the manager, by its first byte. */
  sent(firstByte: number): void;
  heard(firstByte: number): void;
  news(member: Member, news: News): void;
}

export interface Member {
  readonly id: DeviceId;
  readonly state: AgentState;
  call(callee: string): void;
  /** A wish of a program on the device. */
  wish(act: (state: AgentState, world: World) => void): void;
  /** @returns whether it went out */
  say(text: string): boolean;
  /** From now on it hears nobody, and says on what it said: somebody who was told to stop and does not want to. */
  deafen(): void;
  close(): Promise<void>;
}

const topics = topicsUnder();
const system = systemClock();
const reader = certificateReader();
const PROPOSALS = [
  { cipher: 'aes-gcm', keyBits: [128], hashes: ['sha-256'], tagBits: 128, keyMode: 'seed', priority: 1 },
] as const;
const CALL_SECONDS = 60;

/** Settings that all members share. */
export const fleetSettings = (anchor: ParsedCertificate): AgentSettings => ({
  topics,
  manager: MANAGER_NAME,
  anchors: [anchor],
  reader,
  verifierKeys: [],
  managerVerdict: 'none',
  authenticateOnly: false,
  closeWhenIdle: null,
  approval: { rules: [], otherwise: 'allow', askTimeoutSeconds: 30, busy: false },
  standing: [],
  maxSessions: 100,
});

export function fleetMember(
  url: string,
  settings: AgentSettings,
  papers: DevicePapers,
  crypto: ReturnType<typeof nodeCrypto>,
  events: MemberEvents,
): Member {
  const world = () => ({ now: system.now(), wall: system.wall(), crypto });
  const key = signingKey(Buffer.from(papers.key, 'base64'), crypto.counter);
  const der = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, 'base64'));
  const leaf = der(papers.certificate);
  const identity = {
    chain: [leaf, ...(papers.issuers ?? []).map(der)],
    signingKey: key,
    cipherSuites: suitesFor(key),
    channelSuites: CHANNEL_SUITES.map((_, number) => number),
  };
  const own = { identity, id: papers.name as DeviceId, leafHash: crypto.hash('sha-256', leaf) };
  const wanted = { addresses: ['mqtt:km1'], proposals: PROPOSALS };
  const state = createAgent(settings, own, wanted, NO_MEMORY, world());
  const loop = drive<AgentEvent, Effect>({
    now: system.now,
    step: (event) => stepAgent(state, event, world()),
    perform(effect, feed) {
      switch (effect.type) {
        case 'publish':
          events.sent(effect.payload[0]!);
          return transport.publish(effect.topic, effect.payload, effect.qos);
        case 'tell':
          if (effect.news.news === 'channelOpened') transport.settle();
          return events.news(member, effect.news);
        case 'rest':
          return transport.rest(effect.forMs);
        case 'save':
          return feed({ type: 'saved', number: effect.number });
        case 'log':
        case 'signAsUser':
        case 'storeCertificate':
        case 'keep':
          return;
        default:
          effect satisfies never;
      }
    },
    nextDeadline: () => nextDeadline(state.deadlines),
    time: { type: 'time' },
  });
  let deaf = false;
  const transport = mqttTransport({
    url,
    crypto,
    subscriptions: (link) => [topics.toDevice({ kind: 'link', link })],
    observer: {
      up(link) {
        events.linked();
        loop.feed({ type: 'linked', link });
      },
      down() {
        events.unlinked?.();
        loop.feed({ type: 'unlinked' });
      },
      received(topic, payload) {
        if (deaf) return;
        events.heard(payload[0] ?? 0);
        loop.feed({ type: 'received', topic, payload });
      },
    },
  });
  const wish = (act: (state: AgentState, world: World) => void): void =>
    loop.run(() => {
      state.out = [];
      state.charged = null;
      act(state, world());
      return state.out;
    });
  const member: Member = {
    id: own.id,
    state,
    wish,
    call: (callee) =>
      wish(() => {
        const call = { callee, lifetimeSeconds: 86_400, allowUnencrypted: false, timeoutSeconds: CALL_SECONDS };
        startCall(state, call, world());
      }),
    say(text) {
      let went = false;
      wish(() => {
        for (const sid of state.sessions.keys()) went = sendData(state, sid, encodeUtf8(text), world()) === null;
      });
      return went;
    },
    deafen() {
      deaf = true;
    },
    close() {
      loop.close();
      return transport.close();
    },
  };
  return member;
}
