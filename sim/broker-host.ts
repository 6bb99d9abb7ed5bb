/**
 * The broker of a world: the policy of broker/policy.ts over lines in place of sockets, and the place where an adversary
 * sits. It opens nothing; names and contents in the trace come from the senders.
 */
import {
  arriving,
  type BrokerState,
  brokerState,
  connecting,
  controlRequest,
  disconnected,
  type Effect,
  forwarding,
  leaving,
  publishing,
  type Service,
  subscribing,
} from '../broker/policy.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { brokerReports, brokerRequests } from '../protocol/messages.ts';
import { MANAGER as MANAGER_ASKER, type Topics } from '../protocol/topics.ts';
import { type LinkId, Millis, Topic } from '../protocol/units.ts';
import type { Adversary } from './adversary.ts';
import { type EventQueue, MICROS_PER_MS, type Micros } from './event-queue.ts';
import type { Connection, Line } from './line.ts';
import { BROKER, HOSTILE, MANAGER, type Parcel, type PartyName, VERIFIER } from './party.ts';
import type { Outcome } from './trace.ts';

export interface BrokerContext {
  readonly queue: EventQueue;
  now(): Micros;
  readonly topics: Topics;
  readonly limits: Partial<BrokerState['limits']>;
  adversary(): Adversary | null;
  lineOf(party: PartyName): Line | null;
  /** A message of the broker's own, with its number. */
  parcel(topic: Topic, payload: Uint8Array, type: string): Parcel;
  trace(parcel: Parcel, receiver: PartyName, outcome: Outcome): void;
}

export interface BrokerHost {
  /** null while it is down. */
  state(): BrokerState | null;
  connecting(connection: Connection): string | null;
  closed(connection: Connection): void;
  /** A party published; the parcel has reached the broker. */
  arrived(connection: Connection, parcel: Parcel): void;
  /** A hostile broker sends what it likes to whom it likes. */
  inject(to: PartyName, topic: Topic, payload: Uint8Array, type: string): void;
  /** For whom a topic is. */
  addressee(topic: Topic): PartyName;
  crash(): void;
  restart(): void;
}

const NOBODY = 'nobody';

export function brokerHost(context: BrokerContext): BrokerHost {
  const { queue, now, topics, trace } = context;
  const readers = new Map<string, Set<Connection>>();
  const connections = new Map<LinkId, Connection>();
  const wide = [`${topics.root}/m/`, `${topics.root}/v/q/`].map((before) => ({ before, name: `${before}+` }));
  const peers = `${topics.root}/p/`;
  let state: BrokerState | null = null;

  const millis = (): Millis => Millis(now() / MICROS_PER_MS);

  const subscribe = (connection: Connection, filter: string): void => {
    const those = readers.get(filter);
    if (those === undefined) readers.set(filter, new Set([connection]));
    else those.add(connection);
  };

  /** What every party subscribes to when its link comes up. */
  const firstFilters = (party: PartyName, link: LinkId): readonly Topic[] => {
    if (party === MANAGER) {
      return [
        Topic(`${topics.root}/m/+`),
        topics.verifierAnswer(MANAGER_ASKER),
        topics.verifierEvents,
        topics.controlReports,
      ];
    }
    return party === VERIFIER ? [Topic(`${topics.root}/v/q/+`)] : [topics.toDevice({ kind: 'link', link })];
  };

  const admit = (current: BrokerState, connection: Connection): string | null => {
    const { link, line } = connection;
    const service: Service | null = line.party === MANAGER ? 'manager' : line.party === VERIFIER ? 'verifier' : null;
    const address = service === null ? line.party : null;
    if (address !== null) {
      const admission = arriving(current, address, millis());
      if (admission.verdict === 'refuse') return admission.reason;
    }
    const attempt = { clientId: link, username: service, passwordSha256: null, clean: true, will: false, address };
    const admission = connecting(current, attempt, millis());
    if (admission.verdict === 'accept') return null;
    if (address !== null) leaving(current, address);
    return admission.reason;
  };

  /** The manager and the verifier read a whole kind of topic; so does a device what its peers send it. */
  const filterOf = (topic: Topic): string => {
    for (const filter of wide) if (topic.startsWith(filter.before)) return filter.name;
    return topic.startsWith(peers) ? `${topic.slice(0, topic.indexOf('/', peers.length))}/+` : topic;
  };

  /** @returns who reads the topic and still may */
  const readersOf = (current: BrokerState, topic: Topic): readonly Connection[] => {
    const found: Connection[] = [];
    for (const one of readers.get(filterOf(topic)) ?? []) if (forwarding(current, one.link, topic)) found.push(one);
    return found;
  };

  const deliver = (connection: Connection, parcel: Parcel): void => {
    const { line } = connection;
    line.transmit(connection, 'client', (arrived) => {
      const heard = arrived && connection.open.client;
      trace(parcel, line.party, heard ? 'delivered' : 'lost');
      if (heard) line.owner.received(parcel.topic, parcel.payload.slice());
    });
  };

  const publish = (current: BrokerState, parcel: Parcel): void => {
    const found = readersOf(current, parcel.topic);
    if (found.length === 0) trace(parcel, host.addressee(parcel.topic), 'unread');
    for (const one of found) deliver(one, parcel);
  };

  const perform = (current: BrokerState, effects: readonly Effect[]): void => {
    for (const effect of effects) {
      if (effect.kind === 'report') {
        const { report } = effect;
        publish(current, context.parcel(topics.controlReports, brokerReports.encode(report), report.kind));
      } else if (effect.kind === 'subscribe') {
        const connection = connections.get(effect.link);
        if (connection !== undefined) for (const filter of effect.filters) subscribe(connection, filter);
      } else if (effect.kind === 'close') {
        const connection = connections.get(effect.link);
        if (connection !== undefined) connection.line.close(connection, 'broker', `the broker: ${effect.reason}`);
      }
    }
  };

  /** As an honest broker does. */
  const route = (connection: Connection, parcel: Parcel): void => {
    const { topic, payload } = parcel;
    if (state === null || !connection.open.broker) return trace(parcel, host.addressee(topic), 'lost');
    const decision = publishing(state, connection.link, topic, payload.length, false, 1);
    if (decision.verdict !== 'allow') {
      trace(parcel, host.addressee(topic), decision.reason);
      if (decision.verdict === 'close') connection.line.close(connection, 'broker', `the broker: ${decision.reason}`);
      return;
    }
    if (topic !== topics.controlRequests) return publish(state, parcel);
    trace(parcel, BROKER, 'delivered');
    try {
      perform(state, controlRequest(state, brokerRequests.decode(payload)));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error; // what a hostile network made of the manager's words
    }
  };

  const after = (ms: number | undefined, act: () => void): void => {
    if (ms === undefined || ms <= 0) act();
    else queue.push(now() + Math.round(ms * MICROS_PER_MS), act);
  };

  const forge = (to: PartyName, topic: Topic, payload: Uint8Array, type: string): void => {
    const parcel = { ...context.parcel(topic, payload, type), sender: HOSTILE };
    const connection = context.lineOf(to)?.connection ?? null;
    if (connection === null) trace(parcel, to, 'lost');
    else deliver(connection, parcel);
  };

  const host: BrokerHost = {
    state: () => state,
    addressee(topic) {
      const place = topics.parse(topic);
      if (place === null) return NOBODY;
      switch (place.kind) {
        case 'to-manager':
          return MANAGER;
        case 'to-device':
          return place.to.kind === 'device' ? place.to.id : (connections.get(place.to.link)?.line.party ?? NOBODY);
        case 'peer':
          return place.to;
        case 'verifier-question':
          return VERIFIER;
        case 'verifier-answer':
          return place.asker === MANAGER_ASKER ? MANAGER : place.asker;
        case 'verifier-event':
        case 'control-report':
          return MANAGER;
        case 'control-request':
          return BROKER;
        default:
          return place satisfies never;
      }
    },
    connecting(connection) {
      const { link, line } = connection;
      if (state === null) return 'connection refused: is the broker running?';
      const current = state;
      const refusal = admit(current, connection);
      if (refusal !== null) return refusal;
      connections.set(link, connection);
      for (const filter of firstFilters(line.party, link)) {
        if (subscribing(current, link, filter).verdict === 'allow') subscribe(connection, filter);
      }
      queue.push(now() + current.limits.loginTimeoutMs * MICROS_PER_MS, () => {
        const found = state?.links.get(link);
        if (found === undefined || found.service !== null || found.device !== null) return;
        line.close(connection, 'broker', 'the broker: no login in time');
      });
      return null;
    },
    closed(connection) {
      connections.delete(connection.link);
      if (state === null) return;
      const known = state.links.get(connection.link);
      const filters = new Set<string>([
        ...firstFilters(connection.line.party, connection.link),
        ...(known?.filters ?? []),
      ]);
      forget(readers, connection, filters, known?.device ?? null, topics);
      perform(state, disconnected(state, connection.link));
    },
    arrived(connection, parcel) {
      const adversary = context.adversary();
      if (adversary === null) return route(connection, parcel);
      const { topic, payload, sender, type, about } = parcel;
      const to = host.addressee(topic);
      const actions = adversary.onPacket({ at: now(), from: sender, to, topic, payload: payload.slice(), type, about });
      if (actions.length === 0) trace(parcel, to, 'swallowed');
      for (const action of actions) {
        after(action.afterMs, () => {
          if (action.do === 'forward') route(connection, { ...parcel, payload: action.payload ?? payload });
          else forge(action.to, action.topic, action.payload, type);
        });
      }
    },
    inject: forge,
    crash() {
      state = null;
      readers.clear();
      for (const one of [...connections.values()]) one.line.close(one, 'broker', 'the broker closed the connection');
      connections.clear();
    },
    restart() {
      const tokens = { manager: null, verifier: null };
      const { limits } = brokerState(topics, tokens);
      state ??= brokerState(topics, tokens, { ...limits, ...context.limits });
    },
  };
  return host;
}

/** The link reads nothing any more. An ended link has no filters left in the policy; those of its device are known. */
function forget(
  readers: Map<string, Set<Connection>>,
  connection: Connection,
  filters: Set<string>,
  device: string | null,
  topics: Topics,
): void {
  if (device !== null) {
    const party = { kind: 'device', id: device } as Parameters<Topics['toDevice']>[0] & { kind: 'device' };
    filters.add(topics.toDevice(party));
    filters.add(`${topics.peer(party.id, party.id).split('/').slice(0, -1).join('/')}/+`);
    filters.add(topics.verifierAnswer(party.id));
  }
  for (const filter of filters) {
    const those = readers.get(filter);
    those?.delete(connection);
    if (those?.size === 0) readers.delete(filter);
  }
}
