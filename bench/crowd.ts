/**
 * Devices over real MQTT, in this process: agents for the real manager, or clients that send the same sizes for the null
 * one. All couples make one session each, at once.
 */
import { createAgent, stepAgent } from '../device-agent/agent.ts';
import { startCall } from '../device-agent/calling.ts';
import type { Effect, News } from '../device-agent/effects.ts';
import { NO_MEMORY } from '../device-agent/memory.ts';
import { endSession } from '../device-agent/sessions.ts';
import type { AgentSettings, AgentState } from '../device-agent/state.ts';
import { systemClock } from '../platform/clock.ts';
import { nodeCrypto, signingKey } from '../platform/crypto-node.ts';
import { drive } from '../platform/driver.ts';
import type { Transport } from '../platform/transport.ts';
import { mqttTransport } from '../platform/transport-mqtt.ts';
import { nextDeadline } from '../protocol/deadlines.ts';
import { suitesFor } from '../protocol/login.ts';
import { CHANNEL_SUITES } from '../protocol/suites.ts';
import { topicsUnder } from '../protocol/topics.ts';
import type { DeviceId, LinkId } from '../protocol/units.ts';
import { AT, reader } from '../test/test-authority.ts';
import { proposal } from '../test/town.ts';
import type { Credentials } from './broker-host.ts';
import { recordOf, type Sizes } from './null-manager.ts';

export type Couple = readonly [caller: DeviceId, callee: DeviceId];

export interface Crowd {
  /** One session for each couple, all at once; done when all are open on both sides. */
  open(): Promise<void>;
  end(): Promise<void>;
  close(): Promise<void>;
}

const crypto = nodeCrypto();
const system = systemClock();
const topics = topicsUnder();
const world = () => ({ now: system.now(), wall: AT, crypto });
const PATIENCE_MS = 20_000;

/** Counts down to an event that has to happen `times` times. */
function countdown() {
  let left = 0;
  let resolve = (): void => {};
  return {
    expect(times: number, what: string): Promise<void> {
      left = times;
      return new Promise((done, fail) => {
        const timer = setTimeout(() => fail(new Error(`${left} times still missing: ${what}`)), PATIENCE_MS);
        resolve = () => {
          clearTimeout(timer);
          done();
        };
      });
    },
    happened(): void {
      if (--left === 0) resolve();
    },
  };
}

export async function agents(
  url: string,
  anchor: Uint8Array,
  credentials: readonly Credentials[],
  couples: readonly Couple[],
): Promise<Crowd> {
  const [registered, opened, closed] = [countdown(), countdown(), countdown()];
  const heard = ({ news }: News): void => {
    if (news === 'registered') registered.happened();
    if (news === 'sessionOpened') opened.happened();
    if (news === 'sessionClosed') closed.happened();
  };
  const settings: AgentSettings = {
    topics,
    manager: 'home-manager',
    anchors: [reader.readCertificate(anchor)!],
    reader,
    verifierKeys: [],
    managerVerdict: 'none',
    authenticateOnly: false,
    closeWhenIdle: null,
    approval: { rules: [], otherwise: 'allow', askTimeoutSeconds: 30, busy: false },
    standing: [],
    maxSessions: 100,
  };
  const up = registered.expect(credentials.length, 'registrations');
  const crowd = new Map(credentials.map((one) => [one.name, agent(url, settings, one, heard)]));
  await up;
  const callers = couples.map(([caller, callee]) => ({ own: crowd.get(caller)!, callee }));
  return {
    async open() {
      const done = opened.expect(2 * couples.length, 'sessions open');
      for (const { own, callee } of callers) own.call(callee);
      await done;
    },
    async end() {
      const done = closed.expect(2 * couples.length, 'sessions closed');
      for (const { own } of callers) own.endAll();
      await done;
    },
    close: async () => void (await Promise.all([...crowd.values()].map((one) => one.close()))),
  };
}

function agent(url: string, settings: AgentSettings, own: Credentials, heard: (news: News) => void) {
  const key = signingKey(own.privatePkcs8Pem, crypto.counter);
  const identity = {
    chain: own.chain,
    signingKey: key,
    cipherSuites: suitesFor(key),
    channelSuites: CHANNEL_SUITES.map((_, number) => number),
  };
  const wanted = { addresses: ['mqtt:km1'], proposals: [proposal('aes-gcm', 128, { priority: 1 })] };
  const leafHash = crypto.hash('sha-256', own.chain[0]!);
  const state: AgentState = createAgent(settings, { identity, id: own.name, leafHash }, wanted, NO_MEMORY, world());
  const loop = drive<Parameters<typeof stepAgent>[1], Effect>({
    now: system.now,
    step: (event) => stepAgent(state, event, world()),
    perform(effect, feed) {
      if (effect.type === 'publish') transport.publish(effect.topic, effect.payload, effect.qos);
      if (effect.type === 'tell') heard(effect.news);
      if (effect.type === 'save') feed({ type: 'saved', number: effect.number });
    },
    nextDeadline: () => nextDeadline(state.deadlines),
    time: { type: 'time' },
  });
  const transport: Transport = mqttTransport({
    url,
    crypto,
    subscriptions: (link) => [topics.toDevice({ kind: 'link', link })],
    observer: {
      up: (link) => loop.feed({ type: 'linked', link }),
      down: () => loop.feed({ type: 'unlinked' }),
      received: (topic, payload) => loop.feed({ type: 'received', topic, payload }),
    },
  });
  const wish = (act: () => void): void =>
    loop.run(() => {
      state.out = [];
      state.charged = null;
      act();
      return state.out;
    });
  return {
    call: (callee: DeviceId) =>
      wish(() =>
        startCall(state, { callee, lifetimeSeconds: null, allowUnencrypted: false, timeoutSeconds: 60 }, world()),
      ),
    endAll: () => wish(() => [...state.sessions.keys()].map((sid) => endSession(state, sid, 'done', world()))),
    close() {
      loop.close();
      return transport.close();
    },
  };
}

/** @param bind  tells the null manager who is where */
export async function dummies(
  url: string,
  couples: readonly Couple[],
  sizes: Sizes,
  bind: (links: readonly (readonly [LinkId, DeviceId])[]) => Promise<void>,
): Promise<Crowd> {
  const [linked, opened] = [countdown(), countdown()];
  const links: [LinkId, DeviceId][] = [];
  const [connect, answer, hello] = [recordOf(sizes.connect), recordOf(sizes.answer), recordOf(sizes.hello)];
  const dummy = (own: DeviceId, peer: DeviceId, role: 'caller' | 'callee'): Transport => {
    const toManager = topics.toManager({ kind: 'device', id: own });
    const inbox = topics.toDevice({ kind: 'device', id: own });
    const toPeer = topics.peer(peer, own);
    const transport = mqttTransport({
      url,
      crypto,
      subscriptions: (link) => [topics.toDevice({ kind: 'link', link })],
      observer: {
        up(link) {
          links.push([link, own]);
          linked.happened();
        },
        down: () => {},
        received(topic, payload) {
          if (topic !== inbox) {
            if (role === 'callee') transport.publish(toPeer, hello, 1);
            return opened.happened();
          }
          if (payload.length === sizes.ask) transport.publish(toManager, answer, 1);
          else if (role === 'caller') transport.publish(toPeer, hello, 1);
        },
      },
    });
    return transport;
  };
  const up = linked.expect(2 * couples.length, 'links');
  const callers = couples.map(([caller, callee]) => dummy(caller, callee, 'caller'));
  const callees = couples.map(([caller, callee]) => dummy(callee, caller, 'callee'));
  await up;
  await bind(links);
  return {
    async open() {
      const done = opened.expect(2 * couples.length, 'sessions open');
      couples.forEach(([caller], i) => {
        callers[i]!.publish(topics.toManager({ kind: 'device', id: caller }), connect, 1);
      });
      await done;
    },
    end: async () => {},
    close: async () => void (await Promise.all([...callers, ...callees].map((one) => one.close()))),
  };
}
