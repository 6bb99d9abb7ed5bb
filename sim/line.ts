/**
 * One party's line to the broker: attempts, connections one after the other, packets in order as TCP has it. A packet on
 * an open connection arrives, be it late; it is lost only with the connection. Waiting times are those of
 * platform/transport-mqtt.ts and of MQTT's keep-alive.
 */
import { LinkId } from '../protocol/units.ts';
import { type EventQueue, MICROS_PER_MS, MICROS_PER_SECOND, type Micros } from './event-queue.ts';
import { type LinkProfile, timeToBreak, type Wire, wire } from './link-profile.ts';
import type { LineOwner, PartyName } from './party.ts';
import type { SeededRandom } from './seeded-random.ts';

export type End = 'client' | 'broker';

/** One TCP connection; its two ends learn of its end at different times. */
export interface Connection {
  readonly link: LinkId;
  readonly line: Line;
  readonly open: Record<End, boolean>;
  /** Nothing arrives any more. */
  broken: boolean;
  /** When the packet before arrives at that end: none overtakes it. */
  readonly lastArrival: Record<End, Micros>;
}

/** What the broker does for lines. */
export interface BrokerEnd {
  /** CONNECT and SUBSCRIBE. @returns null when the link stands, or the refusal */
  connecting(connection: Connection): string | null;
  /** The connection ended, as seen by the broker. */
  closed(connection: Connection): void;
}

export interface LineContext {
  readonly queue: EventQueue;
  now(): Micros;
  readonly broker: BrokerEnd;
  /** For the trace. */
  changed(party: PartyName, outcome: 'up' | 'down'): void;
}

export interface Line {
  readonly party: PartyName;
  readonly owner: LineOwner;
  readonly profile: LinkProfile;
  /** The party's own view: null without a connection. */
  connection: Connection | null;
  /** Since when nothing passes; null: it does. */
  cutSince: Micros | null;
  /** Begins to connect, and connects again until it is stopped. */
  start(): void;
  /** The process ends: its socket closes, the owner hears nothing any more. */
  stop(): void;
  /** @param arrive  called when it is certain, with whether it arrived */
  transmit(connection: Connection, to: End, arrive: (arrived: boolean) => void): void;
  /** One end closes; the other hears of it. */
  close(connection: Connection, by: End, reason: string): void;
  /** The connection breaks, and what is on the way with it. */
  breakConnection(reason: string): void;
  /** This link got its device in: a good one. */
  settle(): void;
  /** The party leaves, and comes again after about so long. */
  rest(forMs: number): void;
  cut(): void;
  heal(): void;
}

/** How patient a party is with its link. */
export interface Waits {
  readonly connectTimeoutMs: number;
  readonly reconnect: { readonly minMs: number; readonly maxMs: number };
  readonly keepAliveMs: number;
}

/** As platform/transport-mqtt.ts has it by itself, and for the services (cli/daemons/broker-link.ts). */
export const DEVICE_WAITS: Waits = {
  connectTimeoutMs: 10_000,
  reconnect: { minMs: 500, maxMs: 30_000 },
  keepAliveMs: 30_000,
};
export const SERVICE_WAITS: Waits = {
  connectTimeoutMs: 2000,
  reconnect: { minMs: 250, maxMs: 1000 },
  keepAliveMs: 2000,
};
/** A link that lived so long, or on which the device got in, was a good one. */
const STEADY = 15 * MICROS_PER_SECOND;
/** A wait may be as long as this, however short the absence. */
const SHORT_WAIT_MS = 4000;
const LONGEST_REST_MS = 60_000;
/** MQTT: who is silent for one and a half keep-alives is gone. */
const SILENCE = 1.5;
/** TCP's handshake, CONNECT with its answer, SUBSCRIBE: packets until the broker has taken the link in. */
const PACKETS_TO_CONNECT = 5;
/** TCP tries again after ever longer times, of which this is the longest that is waited for after a partition. */
const LONGEST_RETRANSMISSION = 30 * MICROS_PER_SECOND;

export function createLine(
  party: PartyName,
  { profile, waits }: { readonly profile: LinkProfile; readonly waits: Waits },
  owner: LineOwner,
  random: SeededRandom,
  context: LineContext,
): Line {
  const { queue, now, broker } = context;
  const wires: Record<End, Wire> = {
    broker: wire(profile, random.fork('up')),
    client: wire(profile, random.fork('down')),
  };
  const draws = random.fork('life');
  const held: { connection: Connection; to: End; arrive: (arrived: boolean) => void }[] = [];
  let running = false;
  let attempt = 0;
  let failures = 0;
  let begunAt: Micros = 0;
  let settled = false;
  let goodUntil: Micros = 0;
  /** What the owner asked for when it left. */
  let pauseMs: number | null = null;

  const after = (wait: Micros, act: () => void): void => queue.push(now() + Math.max(0, Math.round(wait)), act);

  const begin = (): void => {
    if (!running || line.connection !== null) return;
    const mine = ++attempt;
    begunAt = now();
    settled = false;
    const current = (): boolean => running && attempt === mine;
    const connection: Connection = {
      link: LinkId(Buffer.from(draws.bytes(18)).toString('base64url')),
      line,
      open: { client: false, broker: false },
      broken: false,
      lastArrival: { client: 0, broker: 0 },
    };
    let handshake = 0;
    for (let n = 0; n < PACKETS_TO_CONNECT; n++) handshake += wires[n % 2 === 0 ? 'broker' : 'client'].packet();
    after(waits.connectTimeoutMs * MICROS_PER_MS, () => {
      if (current() && line.connection === null) retry('no answer from the broker');
    });
    after(handshake, () => {
      if (!current() || line.cutSince !== null) return; // nothing arrives: the attempt times out
      const refusal = broker.connecting(connection);
      connection.open.broker = refusal === null;
      line.transmit(connection, 'client', () => {
        if (!current()) return line.close(connection, 'client', 'nobody is there any more');
        if (refusal !== null) return retry(refusal);
        rise(connection);
      });
    });
  };

  const rise = (connection: Connection): void => {
    connection.open.client = true;
    line.connection = connection;
    const breaksAfter = timeToBreak(profile, draws);
    if (breaksAfter !== null) {
      after(breaksAfter, () => {
        if (line.connection === connection) line.breakConnection('the connection broke');
      });
    }
    context.changed(party, 'up');
    owner.up(connection.link);
  };

  const retry = (reason: string): void => {
    attempt++;
    const good = settled || now() - begunAt > STEADY;
    if (good) goodUntil = now();
    failures = good ? 1 : Math.min(failures + 1, 16);
    line.connection = null;
    const { minMs, maxMs } = waits.reconnect;
    const longestMs = Math.max(SHORT_WAIT_MS, (now() - goodUntil) / MICROS_PER_MS);
    const share = draws.fraction();
    const spreadMs = share * Math.min(maxMs, longestMs, minMs * 2 ** failures);
    const waitMs = pauseMs === null ? spreadMs : pauseMs + share * minMs;
    pauseMs = null;
    after(waitMs * MICROS_PER_MS, begin);
    owner.down(reason);
  };

  /** That end learns that the connection is over. */
  const end = (connection: Connection, which: End, reason: string): void => {
    if (!connection.open[which]) return;
    connection.open[which] = false;
    if (which === 'broker') return broker.closed(connection);
    if (line.connection !== connection) return;
    context.changed(party, 'down');
    retry(reason);
  };

  const send = (connection: Connection, to: End, wait: Micros, arrive: (arrived: boolean) => void): void => {
    const at = Math.max(connection.lastArrival[to], now() + wait);
    connection.lastArrival[to] = at;
    queue.push(at, () => arrive(!connection.broken));
  };

  const line: Line = {
    party,
    owner,
    profile,
    connection: null,
    cutSince: null,
    start() {
      running = true;
      failures = 0;
      goodUntil = now();
      begin();
    },
    stop() {
      running = false;
      attempt++;
      const { connection } = line;
      line.connection = null;
      if (connection === null) return;
      connection.open.client = false;
      context.changed(party, 'down');
      line.transmit(connection, 'broker', () => end(connection, 'broker', 'closed'));
    },
    transmit(connection, to, arrive) {
      if (line.cutSince !== null) held.push({ connection, to, arrive });
      else send(connection, to, wires[to].packet(), arrive);
    },
    close(connection, by, reason) {
      const other = by === 'client' ? 'broker' : 'client';
      end(connection, by, reason);
      line.transmit(connection, other, () => end(connection, other, reason));
    },
    breakConnection(reason) {
      const { connection } = line;
      if (connection === null) return;
      connection.broken = true;
      for (const which of ['client', 'broker'] as const)
        after(wires[which].packet(), () => end(connection, which, reason));
    },
    settle() {
      settled = line.connection !== null;
    },
    rest(forMs) {
      const { connection } = line;
      if (connection === null) return;
      pauseMs = Math.min(forMs, LONGEST_REST_MS);
      line.close(connection, 'client', 'resting');
    },
    cut() {
      if (line.cutSince !== null) return;
      line.cutSince = now();
      const since = now();
      const { connection } = line;
      if (connection === null) return;
      const silent = (): boolean => line.cutSince === since;
      const keepAlive = waits.keepAliveMs * MICROS_PER_MS;
      const clientGivesUp = keepAlive * (1 + (SILENCE - 1) * draws.fraction());
      after(keepAlive * SILENCE, () => silent() && line.close(connection, 'broker', 'the client fell silent'));
      after(clientGivesUp, () => silent() && line.close(connection, 'client', 'the broker fell silent'));
    },
    heal() {
      if (line.cutSince === null) return;
      const wait = Math.min(now() - line.cutSince, LONGEST_RETRANSMISSION) * draws.fraction();
      line.cutSince = null;
      for (const { connection, to, arrive } of held.splice(0)) {
        send(connection, to, Math.round(wait) + wires[to].packet(), arrive);
      }
    },
  };
  return line;
}
