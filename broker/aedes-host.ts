/**
 * Aedes under the policy of broker/policy.ts: every packet is asked about, nothing is kept, nobody waits for a slow
 * reader. @spec MQTT 3.1.1, design §5.1
 */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Aedes, type Client, type PublishPacket } from 'aedes';
import { EMPTY } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { isAnswer } from '../protocol/frame.ts';
import { brokerReports, brokerRequests } from '../protocol/messages.ts';
import type { LinkId, Millis, Topic } from '../protocol/units.ts';
import { blankPersistence } from './blank-persistence.ts';
import {
  atLimit,
  type BrokerCounters,
  type BrokerEvent,
  type HostRefusal,
  limitOf,
  type Whom,
} from './broker-events.ts';
import { attemptOf, bytesOf, isVersion311, keepAliveOf, refusalError } from './connect-packet.ts';
import { type Limits, MAX_PAYLOAD_BYTES } from './limits.ts';
import { allowed, deviceFlow, type LinkFlow, newFlow, SERVICE_FLOW, took, tookToManager } from './link-flow.ts';
import type { Door } from './listeners.ts';
import { loginTurns } from './login-turns.ts';
import { type Allowance, type PacketLimits, type PacketMeter, packetMeter } from './packet-limit.ts';
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
  publishing,
  type Refusal,
  type Service,
  subscribing,
} from './policy.ts';
import { type Backlog, type Guard, guard } from './socket-guard.ts';

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
  readonly crypto: Crypto;
  readonly now: () => Millis;
  readonly observe: (event: BrokerEvent) => void;
}

/** Remaining length of a packet: topic names and headers add to the payload. */
const TOPIC_ROOM = 512;
/** A link that is held back is told of once in this time. */
const TELL_SLOWED_MS = 10_000;
/** Nobody can subscribe to it: where Aedes puts what the policy leaves out. */
const NOWHERE = '$nowhere';
/** One connection from its first byte to its end. */
interface Connection {
  readonly origin: Socket;
  readonly address: string;
  readonly loginTimer: NodeJS.Timeout;
  readonly meter: PacketMeter;
  readonly backlog: Backlog;
  guard: Guard | null;
  flow: LinkFlow;
  /** When it was last told of as held back. */
  slowedAt: Millis | null;
  socket: Duplex | null;
  /** Whether it still holds a place among the new ones that the policy does not count under a link. */
  waiting: boolean;
  attempt: Attempt | null;
  client: Client | null;
}

export async function aedesHost({ state, crypto, now, observe }: HostParts): Promise<Host> {
  const { topics, limits } = state;
  const longest = Math.max(limits.toManagerBytes, limits.peerBytes);
  const newLinkPackets: PacketLimits = {
    connect: limits.connectBytes,
    publish: limits.newLinkBytes + TOPIC_ROOM,
    rest: limits.otherPacketBytes,
  };
  const connections = new Map<Socket, Connection>();
  const bySocket = new WeakMap<object, Connection>();
  const byLink = new Map<LinkId, Connection>();
  const residents = new Set<() => void>();
  const counters: BrokerCounters = {
    links: 0,
    promoted: 0,
    refused: {},
    slowed: {},
    receivedMessages: 0,
    receivedBytes: 0,
    forwardedMessages: 0,
    forwardedBytes: 0,
  };
  const turns = loginTurns<Connection>({
    limits,
    now,
    later(act, ms) {
      const timer = setTimeout(act, ms);
      return () => clearTimeout(timer);
    },
    // a manager in this process is never behind
    unacknowledged: () => (state.manager === null ? 0 : (byLink.get(state.manager)?.meter.owed ?? 0)),
    come(connection) {
      if (connection.flow.kind === 'new') connection.flow.turn = 'come';
      connection.guard?.wake();
    },
  });

  const refused = (reason: HostRefusal, whom: Whom, limit?: keyof Limits) => {
    counters.refused[reason] = (counters.refused[reason] ?? 0) + 1;
    if (reason !== 'no-session')
      observe({ kind: 'refused', reason, ...whom, ...atLimit(limits, limit ?? limitOf(reason)) });
  };

  const aedes = new Aedes({
    concurrency: limits.concurrency,
    drainTimeout: limits.drainTimeoutMs,
    queueLimit: limits.inFlight,
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
      packet.keepalive = keepAliveOf(packet, limits.keepAliveSeconds);
      // Aedes would also speak 3.1, and the dialect of bridges: level 5 it answers with return code 1
      if (!isVersion311(packet)) packet.protocolVersion = 5;
      callback(null, true);
    },
    authenticate(client, _username, _password, callback) {
      const connection = bySocket.get(client.conn);
      const attempt = connection?.attempt ?? null;
      if (connection === undefined || attempt === null || client.closed) return callback(null, false);
      const admission = connecting(state, attempt, now());
      if (admission.verdict === 'refuse') {
        refused(admission.reason, whomOf(connection), admission.limit);
        return callback(refusalError(admission.reason), false);
      }
      connection.waiting = false;
      connection.client = client;
      byLink.set(attempt.clientId as LinkId, connection);
      if (attempt.username !== null) {
        const isService = state.links.get(attempt.clientId as LinkId)?.service !== null;
        loggedIn(connection, isService ? SERVICE_FLOW : deviceFlow(limits, now()));
      }
      callback(null, true);
    },
    authorizePublish(client, packet, callback) {
      if (client === null) return callback(new Error('a will'));
      const link = client.id as LinkId;
      const decision = judge(link, packet);
      if (decision.verdict === 'close') return callback(new Error(decision.reason));
      if (toManager(packet.topic)) tookToManager(byLink.get(link)?.flow ?? SERVICE_FLOW);
      if (decision.verdict === 'drop') leaveOut(packet);
      else if (packet.topic === topics.controlRequests) {
        control(link, bytesOf(packet.payload));
        leaveOut(packet);
      } else if (packet.qos === 0 && byLink.get(link)?.flow.kind === 'new') {
        // Acknowledged by the manager, it shows how far that is.
        send(packet.topic as Topic, bytesOf(packet.payload), 1);
        leaveOut(packet);
      }
      callback(null);
    },
    authorizeSubscribe(client, subscription, callback) {
      const link = client.id as LinkId;
      const decision = subscribing(state, link, subscription.topic);
      if (decision.verdict === 'allow' && subscription.qos <= 1) return callback(null, subscription);
      const reason = decision.verdict === 'allow' ? 'qos' : decision.reason;
      refused(reason, whomIs(link), decision.verdict === 'allow' ? undefined : decision.limit);
      callback(decision.verdict === 'close' ? new Error(reason) : null, null);
    },
    authorizeForward(client, packet) {
      if (!forwarding(state, client.id as LinkId, packet.topic)) return null;
      // One that cannot keep up loses messages rather than its link, up to the point where the guard closes it.
      const connection = byLink.get(client.id as LinkId);
      if (connection === undefined) return null;
      if (client.conn.writableLength > connection.backlog.bytes) {
        refused('slow-reader', whomOf(connection), backlogKey(connection));
        return null;
      }
      if (packet.qos > 0) connection.meter.owed++;
      if (connection.flow.kind === 'new' && isAnswer(bytesOf(packet.payload))) itsTurn(connection);
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

  const whomIs = (link: LinkId): Whom => {
    const { address = null, device = null } = state.links.get(link) ?? {};
    return { link, device, address };
  };
  const whomOf = ({ attempt, address }: Connection): Whom => {
    const link = (attempt?.clientId ?? null) as LinkId | null;
    return { link, device: link === null ? null : (state.links.get(link)?.device ?? null), address };
  };
  const limitOfFault = (connection: Connection, fault: HostRefusal): keyof Limits | undefined => {
    if (fault === 'slow-reader') return backlogKey(connection);
    if (fault !== 'too-large') return undefined;
    const { last } = connection.meter;
    if (last === 'publish') return connection.flow.kind === 'new' ? 'newLinkBytes' : 'peerBytes';
    return last === 'connect' ? 'connectBytes' : 'otherPacketBytes';
  };
  const backlogKey = ({ flow }: Connection): keyof Limits =>
    flow.kind === 'service' ? 'serviceBacklogBytes' : 'backlogBytes';

  function judge(link: LinkId, { topic, payload, retain, qos }: PublishPacket): Decision {
    counters.receivedMessages++;
    counters.receivedBytes += payload.length;
    const decision = publishing(state, link, topic, payload.length, retain, qos);
    if (decision.verdict !== 'allow') refused(decision.reason, whomIs(link), decision.limit);
    return decision;
  }

  /** What a connection may say now, for the guard of its socket. */
  function mayPass(connection: Connection): Allowance | number {
    const at = now();
    const answer = allowed(connection.flow, limits, at);
    if (!('waitMs' in answer)) return answer;
    const { limit, waitMs } = answer;
    counters.slowed[limit] = (counters.slowed[limit] ?? 0) + 1;
    if (connection.slowedAt === null || at - connection.slowedAt > TELL_SLOWED_MS) {
      connection.slowedAt = at;
      observe({ kind: 'slowed', ...whomOf(connection), ...atLimit(limits, limit) });
    }
    return waitMs;
  }

  function hasPassed(connection: Connection): void {
    const { flow, meter, address } = connection;
    const wantsTurn = took(flow, meter.passed);
    if (flow.kind === 'service') turns.acknowledged();
    if (wantsTurn && flow.kind === 'new') flow.turn = turns.ask(connection, address) ? 'come' : 'waiting';
  }

  /**
   * The manager has let it in: what it says next does not wait again behind all who have said nothing yet. With two waits
   * instead of one a crowd would run out of its time to log in, and begin anew. As many pass so as the manager answers.
   */
  function itsTurn(connection: Connection): void {
    turns.leave(connection, connection.address);
    if (connection.flow.kind === 'new') connection.flow.turn = 'come';
    connection.guard?.wake();
  }

  /** It holds its place no longer, its packets may be as long as records, and as many as a device's. */
  function loggedIn(connection: Connection, flow: LinkFlow): void {
    clearTimeout(connection.loginTimer);
    turns.leave(connection, connection.address);
    connection.flow = flow;
    const publish = (flow.kind === 'service' ? MAX_PAYLOAD_BYTES.service : longest) + TOPIC_ROOM;
    connection.meter.limits = { connect: 0, publish, rest: limits.otherPacketBytes };
    if (flow.kind === 'service') connection.backlog.bytes = limits.serviceBacklogBytes;
    connection.guard?.wake();
  }

  function control(link: LinkId, payload: Uint8Array): void {
    try {
      run(controlRequest(state, brokerRequests.decode(payload)));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      refused('malformed-control', whomIs(link));
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
          if (connection !== undefined) loggedIn(connection, deviceFlow(limits, now()));
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
      const admission = arriving(state, address, now());
      if (admission.verdict === 'refuse') {
        refused(admission.reason, { link: null, device: null, address }, admission.limit);
        return false;
      }
      const expire = () => {
        refused('login-timeout', whomOf(connection));
        origin.destroy();
      };
      const connection: Connection = {
        origin,
        address,
        loginTimer: setTimeout(expire, limits.loginTimeoutMs),
        meter: packetMeter(newLinkPackets),
        backlog: { bytes: limits.backlogBytes, drainTimeoutMs: limits.drainTimeoutMs },
        guard: null,
        flow: newFlow(limits, now()),
        slowedAt: null,
        socket: null,
        waiting: true,
        attempt: null,
        client: null,
      };
      connections.set(origin, connection);
      origin.once('close', () => {
        clearTimeout(connection.loginTimer);
        connections.delete(origin);
        turns.leave(connection, address);
        connection.socket?.destroy();
        if (connection.waiting) leaving(state, address);
      });
      return true;
    },
    opened(socket, origin) {
      const connection = connections.get(origin);
      if (connection === undefined) {
        socket.destroy();
        return null;
      }
      connection.socket = socket;
      bySocket.set(socket, connection);
      const flow = { allow: () => mayPass(connection), took: () => hasPassed(connection) };
      connection.guard = guard(socket, connection.meter, flow, connection.backlog, (fault) => {
        refused(fault, whomOf(connection), limitOfFault(connection, fault));
      });
      aedes.handle(socket);
      return connection.meter;
    },
    misused(fault, origin) {
      const connection = connections.get(origin);
      if (connection !== undefined) refused(fault, whomOf(connection));
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
      turns.close();
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

/** `m` and `v/q`; the root has one segment. */
const toManager = (topic: string): boolean => /^[^/]+\/(?:m|v)\//.test(topic);

function leaveOut(packet: PublishPacket): void {
  packet.topic = NOWHERE;
  packet.payload = Buffer.from(EMPTY);
}
