/**
 * The transport seam over MQTT 3.1.1, on TCP or TLS, with WebSocket or without: a fresh random client id and clean session
 * per connection, full jitter between attempts. @spec platform/transport.ts, design §5.1
 */
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { MqttClient } from 'mqtt';
import type { Crypto } from '../protocol/crypto.ts';
import { LinkId, type Topic } from '../protocol/units.ts';
import { brokerFault } from './broker-fault.ts';
import { BROKER_URL_FORM, type BrokerAddress, brokerAddress } from './broker-url.ts';
import { type ClientTrust, clientTls } from './client-tls.ts';
import type { DeviceTransport, Qos, TransportObserver } from './transport.ts';
import { connectWebSocket } from './web-socket.ts';

export interface MqttTransportOptions extends ClientTrust {
  /** As platform/broker-url.ts has it. */
  readonly url: string;
  /** Services have them, and devices at an outside broker; at ours a device is known by its channel. */
  readonly service?: { readonly username: string; readonly token: string };
  /** What the broker publishes when the link breaks; our own takes none. */
  readonly will?: { readonly topic: Topic; readonly payload: Uint8Array };
  /** What to read, for the link that was just made; `up` waits for their acknowledgement. */
  readonly subscriptions: (link: LinkId) => readonly Topic[];
  /** QoS of the subscriptions; 1 when absent. */
  readonly qos?: Qos;
  /**
   * Waiting time before attempt n is drawn from 0 to min(maxMs, minMs · 2^n), and never longer than the broker has been
   * away so far: after a short absence everybody is back soon.
   */
  readonly reconnect?: { readonly minMs: number; readonly maxMs: number };
  /** A link that is silent for one and a half of it is dead; 30 when absent. */
  readonly keepAliveSeconds?: number;
  /** For an answer to the first packet; 10,000 when absent. */
  readonly connectTimeoutMs?: number;
  readonly crypto: Pick<Crypto, 'random'>;
  readonly observer: TransportObserver;
}

const CONNECT_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_S = 30;
const DEFAULT_RECONNECT = { minMs: 500, maxMs: 30_000 };
/**
 * A link that lived so long was a good one, and the next attempt comes soon again. It is more than the broker gives a link
 * to log in (10 s): while the manager is away, nobody shall come back every ten seconds for ever.
 */
const STEADY_MS = 15_000;
/** A wait may be as long as this, however short the absence. */
const SHORT_WAIT_MS = 4_000;
/** More than this waiting for the socket, and messages are dropped. */
const MAX_BACKLOG_BYTES = 1024 * 1024;
const MAX_EARLY = 1000;
const FAREWELL_MS = 1000;
const LONGEST_REST_MS = 60_000;

/** @throws RangeError when the URL is none that platform/broker-url.ts knows */
export function mqttTransport(options: MqttTransportOptions): DeviceTransport {
  const { crypto, observer } = options;
  const { minMs, maxMs } = options.reconnect ?? DEFAULT_RECONNECT;
  const endpoint = parseEndpoint(options.url);
  const traffic = { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 };
  let current: Attempt | null = null;
  let timer: NodeJS.Timeout | null = null;
  let failures = 0;
  /** The present link got its device in. */
  let settled = false;
  let goodUntil = performance.now();
  let closed = false;
  /** Set while a link is given back: how long until the next. */
  let restMs: number | null = null;

  const connect = () => {
    timer = null;
    restMs = null;
    settled = false;
    const began = performance.now();
    current = startAttempt(endpoint, options, {
      up: (link) => observer.up(link),
      received(topic, payload) {
        traffic.receivedMessages++;
        traffic.receivedBytes += payload.length;
        observer.received(topic, payload);
      },
      down(reason) {
        current = null;
        if (closed) return;
        const now = performance.now();
        const good = settled || now - began > STEADY_MS;
        if (good) goodUntil = now;
        failures = good ? 1 : Math.min(failures + 1, 16);
        const longest = Math.max(SHORT_WAIT_MS, now - goodUntil);
        const spread = fraction(crypto) * Math.min(maxMs, longest, minMs * 2 ** failures);
        timer = setTimeout(connect, restMs === null ? spread : restMs + fraction(crypto) * minMs);
        observer.down(reason);
      },
    });
  };
  connect();

  return {
    traffic,
    publish(topic, payload, qos) {
      if (closed || current?.publish(topic, payload, qos) !== true) return;
      traffic.sentMessages++;
      traffic.sentBytes += payload.length;
    },
    settle() {
      settled = current !== null;
    },
    rest(forMs) {
      if (closed || current === null) return;
      restMs = Math.min(forMs, LONGEST_REST_MS);
      current.leave(`resting for ${Math.round(restMs / 1000)} s, as the manager asked`);
    },
    async close() {
      closed = true;
      if (timer !== null) clearTimeout(timer);
      await current?.close();
    },
  };
}

interface Endpoint extends BrokerAddress {
  readonly name: string;
}

function parseEndpoint(url: string): Endpoint {
  const address = brokerAddress(url);
  if (address === null) throw new RangeError(`${url}: want ${BROKER_URL_FORM}`);
  return { ...address, name: `${new URL(url).hostname}:${address.port}` };
}

/** @returns 0 up to 1 */
function fraction(crypto: Pick<Crypto, 'random'>): number {
  const [a = 0, b = 0, c = 0] = crypto.random(3);
  return (a * 65_536 + b * 256 + c) / 2 ** 24;
}

interface Attempt {
  /** @returns false when it was dropped */
  publish(topic: Topic, payload: Uint8Array, qos: Qos): boolean;
  /** Ends it; `down` comes with this reason. */
  leave(reason: string): void;
  close(): Promise<void>;
}

/** One connection, from the first packet to `down`, which comes exactly once. */
function startAttempt(endpoint: Endpoint, options: MqttTransportOptions, observer: TransportObserver): Attempt {
  const link = LinkId(Buffer.from(options.crypto.random(18)).toString('base64url'));
  const topics = options.subscriptions(link);
  const socket = openSocket(endpoint, options);
  const { service, will } = options;
  let state: 'connecting' | 'up' | 'over' = 'connecting';
  /** What came between the broker's acknowledgement and `up`. */
  const early: [Topic, Uint8Array][] = [];
  let reason = `the broker at ${endpoint.name} closed the connection`;

  const client = new MqttClient(() => socket, {
    clientId: link,
    protocolVersion: 4,
    clean: true,
    keepalive: options.keepAliveSeconds ?? KEEP_ALIVE_S,
    connectTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    // A client id lives for one connection: mqtt.js would come back with the same.
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
    ...(service === undefined ? {} : { username: service.username, password: service.token }),
    ...(will === undefined ? {} : { will: { ...will, payload: Buffer.from(will.payload), qos: 1, retain: false } }),
  });
  socket.on('error', (error) => {
    reason = brokerFault(error, endpoint.name);
  });
  client.on('error', (error) => {
    reason = brokerFault(error, endpoint.name);
    client.end(true);
  });
  client.on('connect', () => {
    if (topics.length === 0) return rise();
    client.subscribe([...topics], { qos: options.qos ?? 1 }, (error, _filters, suback) => {
      if (error === null) return rise();
      const refused = suback?.granted.findIndex((code) => typeof code === 'number' && code > 1) ?? -1;
      if (refused >= 0) reason = `the broker at ${endpoint.name} refused the subscription to ${topics[refused]}`;
      client.end(true);
    });
  });
  client.on('message', (topic, payload, { retain }) => {
    // A retained message on the wire is nobody's that we know. [5.6 retained messages]
    if (state === 'over' || retain) return;
    const bytes = new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
    if (state === 'up') observer.received(topic as Topic, bytes);
    else if (early.length < MAX_EARLY) early.push([topic as Topic, bytes]);
  });
  socket.once('close', () => {
    if (state === 'over') return;
    state = 'over';
    client.end(true);
    observer.down(reason);
  });

  function rise(): void {
    if (state !== 'connecting') return;
    state = 'up';
    observer.up(link);
    for (const [topic, payload] of early.splice(0)) observer.received(topic, payload);
  }

  return {
    publish(topic, payload, qos) {
      if (state !== 'up' || !client.connected || socket.writableLength > MAX_BACKLOG_BYTES) return false;
      client.publish(topic, Buffer.from(payload), { qos, retain: false }, () => {});
      return true;
    },
    leave(why) {
      if (state === 'over') return;
      reason = why;
      client.end(false); // with a DISCONNECT: the broker need not wait for the keep-alive
      setTimeout(() => socket.destroy(), FAREWELL_MS).unref();
    },
    close() {
      state = 'over';
      return new Promise((resolve) => {
        if (socket.destroyed) return resolve();
        const force = setTimeout(() => socket.destroy(), FAREWELL_MS);
        socket.once('close', () => {
          clearTimeout(force);
          resolve();
        });
        if (client.connected) client.end(false);
        else socket.destroy();
      });
    },
  };
}

function openSocket({ host, port, tls, webSocket }: Endpoint, options: MqttTransportOptions): Duplex {
  const settings = clientTls(host, options);
  if (webSocket !== null) return connectWebSocket(webSocket, CONNECT_TIMEOUT_MS, tls ? settings : {});
  const socket = tls ? connectTls({ host, port, ...settings }) : connectTcp({ host, port });
  // Without it small packets wait for the acknowledgement of the one before: 40 ms.
  socket.setNoDelay(true);
  return socket;
}
