/**
 * The broker of a town: the real policy over the in-memory hub. @see test/town.ts
 */
import {
  type BrokerState,
  brokerState,
  connecting,
  controlRequest,
  disconnected,
  type Effect,
  forwarding,
  publishing,
  subscribing,
} from '../broker/policy.ts';
import type { memoryClock } from '../platform/clock.ts';
import type { HubAuthority, memoryHub } from '../platform/transport-memory.ts';
import { brokerReports, brokerRequests } from '../protocol/messages.ts';
import type { Topics } from '../protocol/topics.ts';

export interface TownBroker {
  readonly state: BrokerState;
  readonly authority: HubAuthority;
  /** As after a restart: it knows nobody. */
  forget(): void;
}

export function townBroker(
  topics: Topics,
  clock: ReturnType<typeof memoryClock>,
  hub: () => ReturnType<typeof memoryHub>,
): TownBroker {
  const newState = () => brokerState(topics, { manager: null, verifier: null });
  const broker = { state: newState() };
  const run = (effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'report') hub().send(topics.controlReports, brokerReports.encode(effect.report));
      if (effect.kind === 'subscribe') hub().subscribe(effect.link, effect.filters);
      if (effect.kind === 'close') hub().cut(effect.link, effect.reason);
    }
  };
  return {
    get state() {
      return broker.state;
    },
    authority: {
      connecting(clientId, username) {
        const attempt = { clientId, username, passwordSha256: null, clean: true, will: false, address: null };
        const admission = connecting(broker.state, attempt, clock.now());
        return admission.verdict === 'accept' ? null : admission.reason;
      },
      publishing(link, topic, payload, qos) {
        const { verdict } = publishing(broker.state, link, topic, payload.length, false, qos);
        if (verdict !== 'allow' || topic !== topics.controlRequests) return verdict;
        run(controlRequest(broker.state, brokerRequests.decode(payload)));
        return 'drop';
      },
      subscribing: (link, filter) => subscribing(broker.state, link, filter).verdict === 'allow',
      forwarding: (link, topic) => forwarding(broker.state, link, topic),
      disconnected: (link) => run(disconnected(broker.state, link)),
    },
    forget() {
      broker.state = newState();
    },
  };
}
