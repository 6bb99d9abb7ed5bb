/**
 * Aedes under the policy of broker/policy.ts: every packet is asked about, nothing is kept, nobody waits for a slow
 * reader. @spec MQTT 3.1.1, design §5.1
 */
import type { Socket } from 'node:net';
import { Aedes, type Client, type PublishPacket } from 'aedes';
import { EMPTY } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { brokerReports, brokerRequests } from '../protocol/messages.ts';
import type { DeviceId, LinkId, Millis, Topic } from '../protocol/units.ts';
import { blankPersistence } from './blank-persistence.ts';
import type { BrokerConfig } from './config.ts';
import { attemptOf, bytesOf, keepAliveOf, refusalError } from './connect-packet.ts';
import type { Door } from './listeners.ts';
import { type PacketLimits, type PacketMeter, packetMeter } from './packet-limit.ts';
import {
  type Attempt,
  arriving,
  type BrokerState,
  connecting,
  controlRequest,
  type Decision,
  disconnected,
  type Effect,
  forwarding,
  leaving,
  PAYLOAD_LIMITS,
  publishing,
  type Refusal,
  type Service,
  subscribing,
} from './policy.ts';
import { type GuardFault, guard } from './socket-guard.ts';

export type HostRefusal = Refusal | GuardFault | 'login-timeout' | 'malformed-control';

/** For the log; `address` is where a connection came from. */
export type BrokerEvent =
  | {
      readonly kind: 'refused';
      readonly reason: HostRefusal;
      readonly link: LinkId | null;
      readonly address: string | null;
    }
  | { readonly kind: 'promoted'; readonly link: LinkId; readonly device: DeviceId }
  | { readonly kind: 'ended'; readonly link: LinkId; readonly device: DeviceId | null };

export interface BrokerCounters {
  /** Living now. */
  links: number;
  promoted: number;
  /** Since the start. */
  readonly refused: Partial<Record<HostRefusal, number>>;
  receivedMessages: number;
  receivedBytes: number;
  forwardedMessages: number;
  forwardedBytes: number;
}

/** A service inside this process, as the host sees it. */
export interface Resident {
  publish(topic: Topic, payload: Uint8Array, qos: 0 | 1): void;
  leave(): void;
}

export interface Host extends Door {
  readonly counters: BrokerCounters;
  /** @returns the refusal when the policy does not let it in */
  admit(
    service: Service,
    link: LinkId,
    filters: readonly Topic[],
    received: (topic: Topic, payload: Uint8Array) => void,
    closed: () => void,
  ): Resident | Refusal;
  close(): Promise<void>;
}

export interface HostParts {
  readonly state: BrokerState;
  readonly config: BrokerConfig;
  readonly crypto: Crypto;
  readonly now: () => Millis;
  readonly observe: (event: BrokerEvent) => void;
}

/** Remaining length of a packet: topic names and headers add to the payload. */
const TOPIC_ROOM = 512;
const NEW_LINK: PacketLimits = { connect: 4096, publish: PAYLOAD_LIMITS.newLink + TOPIC_ROOM, rest: 1024 };
const LOGGED_IN: PacketLimits = { connect: 0, publish: PAYLOAD_LIMITS.peer + TOPIC_ROOM, rest: 4096 };
/** Nobody can subscribe to it: where Aedes puts what the policy leaves out. */
const NOWHERE = '$nowhere';
/** One connection from its first byte to its end. */
interface Connection {
  readonly origin: Socket;
  readonly address: string;
  readonly loginTimer: NodeJS.Timeout;
  meter: PacketMeter | null;
  socket: Socket | null;
  /** Whether it still holds a place among the new ones that the policy does not count under a link. */
  waiting: boolean;
  attempt: Attempt | null;
  client: Client | null;
}

export async function aedesHost({ state, config, crypto, now, observe }: HostParts): Promise<Host> {
  const { topics, limits } = state;
  const connections = new Map<Socket, Connection>();
  const bySocket = new WeakMap<object, Connection>();
  const byLink = new Map<LinkId, Connection>();
  const residents = new Set<() => void>();
  const counters: BrokerCounters = {
    links: 0,
    promoted: 0,
    refused: {},
    receivedMessages: 0,
    receivedBytes: 0,
    forwardedMessages: 0,
    forwardedBytes: 0,
  };
  const refused = (reason: HostRefusal, link: string | null, address: string | null) => {
    counters.refused[reason] = (counters.refused[reason] ?? 0) + 1;
    if (reason !== 'no-session') observe({ kind: 'refused', reason, link: link as LinkId | null, address });
  };

  const aedes = new Aedes({
    concurrency: 10_000,
    drainTimeout: config.limits.stallTimeoutMs,
    connectTimeout: limits.loginTimeoutMs,
    heartbeatInterval: 60_000,
    maxInflightInbound: 1,
    maxTopicLevels: 8,
    maxClientsIdLength: 32,
    persistence: blankPersistence(),
    preConnect(client, packet, callback) {
      const connection = bySocket.get(client.conn);
      if (connection === undefined) return callback(new Error('the connection is gone'), false);
      connection.attempt = attemptOf(packet, connection.address, crypto);
      packet.keepalive = keepAliveOf(packet);
      callback(null, true);
    },
    authenticate(client, _username, _password, callback) {
      const connection = bySocket.get(client.conn);
      const attempt = connection?.attempt ?? null;
      if (connection === undefined || attempt === null || client.closed) return callback(null, false);
      const admission = connecting(state, attempt, now());
      if (admission.verdict === 'refuse') {
        refused(admission.reason, attempt.clientId, connection.address);
        return callback(refusalError(admission.reason), false);
      }
      connection.waiting = false;
      connection.client = client;
      byLink.set(attempt.clientId as LinkId, connection);
      if (attempt.username !== null) loggedIn(connection);
      callback(null, true);
    },
    authorizePublish(client, packet, callback) {
      if (client === null) return callback(new Error('a will'));
      const link = client.id as LinkId;
      const decision = judge(link, packet);
      if (decision.verdict === 'close') return callback(new Error(decision.reason));
      if (decision.verdict === 'drop') leaveOut(packet);
      else if (packet.topic === topics.controlRequests) {
        control(link, bytesOf(packet.payload));
        leaveOut(packet);
      }
      callback(null);
    },
    authorizeSubscribe(client, subscription, callback) {
      const link = client.id as LinkId;
      const decision = subscribing(state, link, subscription.topic);
      if (decision.verdict === 'allow' && subscription.qos <= 1) return callback(null, subscription);
      const reason = decision.verdict === 'allow' ? 'qos' : decision.reason;
      refused(reason, link, addressOf(link));
      callback(decision.verdict === 'close' ? new Error(reason) : null, null);
    },
    authorizeForward(client, packet) {
      if (!forwarding(state, client.id as LinkId, packet.topic)) return null;
      // One that cannot keep up loses messages rather than its link, up to the point where the guard closes it.
      if (client.conn.writableLength > config.limits.backlogBytes) {
        refused('slow-reader', client.id, addressOf(client.id as LinkId));
        return null;
      }
      counters.forwardedMessages++;
      counters.forwardedBytes += packet.payload.length;
      return packet;
    },
  });
  aedes.on('clientDisconnect', (client) => {
    const link = client.id as LinkId;
    if (byLink.get(link)?.client !== client) return;
    byLink.delete(link);
    ended(link);
  });
  await aedes.listen();

  const addressOf = (link: LinkId): string | null => state.links.get(link)?.address ?? null;

  function judge(link: LinkId, { topic, payload, retain, qos }: PublishPacket): Decision {
    counters.receivedMessages++;
    counters.receivedBytes += payload.length;
    const decision = publishing(state, link, topic, payload.length, retain, qos);
    if (decision.verdict !== 'allow') refused(decision.reason, link, addressOf(link));
    return decision;
  }

  /** It holds its place no longer, and its packets may be as long as records. */
  function loggedIn(connection: Connection): void {
    clearTimeout(connection.loginTimer);
    if (connection.meter !== null) connection.meter.limits = LOGGED_IN;
  }

  function control(link: LinkId, payload: Uint8Array): void {
    try {
      run(controlRequest(state, brokerRequests.decode(payload)));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      refused('malformed-control', link, addressOf(link));
    }
  }

  function run(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'report':
          if (state.manager !== null) send(topics.controlReports, brokerReports.encode(effect.report), 1);
          break;
        case 'subscribe':
          byLink.get(effect.link)?.client?.subscribe(
            effect.filters.map((topic) => ({ topic, qos: 1 })),
            () => {},
          );
          break;
        case 'promoted': {
          const connection = byLink.get(effect.link);
          if (connection !== undefined) loggedIn(connection);
          observe(effect);
          break;
        }
        case 'close':
          byLink.get(effect.link)?.client?.close();
          break;
        default:
          effect satisfies never;
      }
    }
  }

  function ended(link: LinkId): void {
    const device = state.links.get(link)?.device ?? null;
    run(disconnected(state, link));
    observe({ kind: 'ended', link, device });
  }

  /** Aedes writes later: what it is given must not change. */
  function send(topic: Topic, payload: Uint8Array, qos: 0 | 1): void {
    const packet: PublishPacket = {
      cmd: 'publish',
      topic,
      payload: Buffer.from(payload),
      qos,
      dup: false,
      retain: false,
    };
    aedes.publish(packet, () => {});
  }

  return {
    get counters() {
      counters.links = state.links.size;
      counters.promoted = state.devices.size;
      return counters;
    },
    arrived(origin, address) {
      const admission = arriving(state, address);
      if (admission.verdict === 'refuse') {
        refused(admission.reason, null, address);
        return false;
      }
      const expire = () => {
        refused('login-timeout', connection.attempt?.clientId ?? null, address);
        origin.destroy();
      };
      const connection: Connection = {
        origin,
        address,
        loginTimer: setTimeout(expire, limits.loginTimeoutMs),
        meter: null,
        socket: null,
        waiting: true,
        attempt: null,
        client: null,
      };
      connections.set(origin, connection);
      origin.once('close', () => {
        clearTimeout(connection.loginTimer);
        connections.delete(origin);
        connection.socket?.destroy();
        if (connection.waiting) leaving(state, address);
      });
      return true;
    },
    opened(socket, origin) {
      const connection = connections.get(origin);
      if (connection === undefined) {
        socket.destroy();
        return;
      }
      connection.socket = socket;
      connection.meter = packetMeter(NEW_LINK);
      bySocket.set(socket, connection);
      const backlog = { bytes: config.limits.backlogBytes, stallTimeoutMs: config.limits.stallTimeoutMs };
      guard(socket, connection.meter, backlog, (fault) =>
        refused(fault, connection.attempt?.clientId ?? null, connection.address),
      );
      aedes.handle(socket);
    },
    admit(service, link, filters, received, closed) {
      const attempt = {
        clientId: link,
        username: service,
        passwordSha256: null,
        clean: true,
        will: false,
        address: null,
      };
      const admission = connecting(state, attempt, now());
      if (admission.verdict === 'refuse') return admission.reason;
      const deliver = (packet: PublishPacket, done: () => void) => {
        if (forwarding(state, link, packet.topic)) received(packet.topic as Topic, bytesOf(packet.payload));
        done();
      };
      for (const filter of filters) {
        const decision = subscribing(state, link, filter);
        if (decision.verdict !== 'allow') throw new RangeError(`the ${service} may not subscribe to ${filter}`);
        aedes.subscribe(filter, deliver, () => {});
      }
      let present = true;
      residents.add(closed);
      return {
        publish(topic, payload, qos) {
          if (!present) return;
          const packet: PublishPacket = {
            cmd: 'publish',
            topic,
            payload: payload as Buffer,
            qos,
            dup: false,
            retain: false,
          };
          if (judge(link, packet).verdict !== 'allow') return;
          if (topic === topics.controlRequests) control(link, payload);
          else send(topic, payload, qos);
        },
        leave() {
          if (!present) return;
          present = false;
          residents.delete(closed);
          for (const filter of filters) aedes.unsubscribe(filter, deliver, () => {});
          ended(link);
        },
      };
    },
    close() {
      return new Promise((resolve) => {
        for (const closed of residents) closed();
        aedes.close(resolve);
        for (const { origin, socket } of connections.values()) {
          socket?.destroy();
          origin.destroy();
        }
      });
    },
  };
}

function leaveOut(packet: PublishPacket): void {
  packet.topic = NOWHERE;
  packet.payload = Buffer.from(EMPTY);
}
