/**
 * A broker on free ports with what its tests need: tokens, raw sockets that speak MQTT byte by byte, waiting.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join as joinPath } from 'node:path';
import type { TestContext } from 'node:test';
import { generate, type Packet, parser } from 'mqtt-packet';
import type { BrokerEvent } from '../../broker/broker-events.ts';
import { brokerConfig } from '../../broker/config.ts';
import { type Broker, startBroker } from '../../broker/service.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import type { Transport, TransportObserver } from '../../platform/transport.ts';
import { mqttTransport } from '../../platform/transport-mqtt.ts';
import { type BrokerReport, type BrokerRequest, brokerReports, brokerRequests } from '../../protocol/messages.ts';
import type { DeviceId, LinkId, Topic } from '../../protocol/units.ts';

export const crypto = nodeCrypto();
export const TOKENS = { manager: 'manager-token-for-tests', verifier: 'verifier-token-for-tests' };

export interface Rig {
  readonly broker: Broker;
  readonly port: number;
  readonly url: string;
  readonly folder: string;
  readonly events: BrokerEvent[];
}

/** @param limits  what differs from the defaults */
export async function startRig(t: TestContext, limits: object = {}, listen: object[] = []): Promise<Rig> {
  const folder = mkdtempSync(joinPath(tmpdir(), 'kagimori-broker-'));
  const managerFile = joinPath(folder, 'manager.token');
  const verifierFile = joinPath(folder, 'verifier.token');
  writeFileSync(managerFile, `${TOKENS.manager}\n`);
  writeFileSync(verifierFile, `${TOKENS.verifier}\n`);
  const events: BrokerEvent[] = [];
  const config = brokerConfig.parse({
    listen: [{ kind: 'tcp', port: 0 }, ...listen],
    tokens: { managerFile, verifierFile },
    limits,
  });
  const broker = await startBroker(config, { crypto, observe: (event) => events.push(event) });
  t.after(async () => {
    await broker.close();
    rmSync(folder, { recursive: true });
  });
  const { port, url } = broker.listeners[0]!;
  return { broker, port, url, folder, events };
}

/** Looks again at every turn of the event loop. @throws Error when it does not become true in 5 s */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited 5 s in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (payload: Uint8Array): string => new TextDecoder().decode(payload);

/** What an observer saw. */
export interface Seen extends TransportObserver {
  readonly links: LinkId[];
  readonly downs: string[];
  readonly got: { topic: Topic; payload: Uint8Array }[];
}

export function watcher(): Seen {
  const seen: Seen = {
    links: [],
    downs: [],
    got: [],
    up: (link) => seen.links.push(link),
    down: (reason) => seen.downs.push(reason),
    received: (topic, payload) => seen.got.push({ topic, payload }),
  };
  return seen;
}

export interface Party extends Seen {
  readonly transport: Transport;
  readonly link: LinkId;
}

export async function join(rig: Rig, t: TestContext, service?: keyof typeof TOKENS, filters?: Topic[]): Promise<Party> {
  const seen = watcher();
  const { topics } = rig.broker;
  const transport = mqttTransport({
    url: rig.url,
    crypto,
    observer: seen,
    reconnect: { minMs: 20, maxMs: 50 },
    subscriptions: (link) => filters ?? [topics.toDevice({ kind: 'link', link })],
    ...(service === undefined ? {} : { service: { username: service, token: TOKENS[service] } }),
  });
  t.after(() => transport.close());
  await until(() => seen.links.length > 0, `${service ?? 'a link'} up: ${seen.downs}`);
  return Object.assign(seen, { transport, link: seen.links[0]! });
}

export interface ManagerParty extends Party {
  order(request: BrokerRequest): void;
  readonly reports: () => BrokerReport[];
}

export async function joinManager(rig: Rig, t: TestContext): Promise<ManagerParty> {
  const { topics } = rig.broker;
  const party = await join(rig, t, 'manager', managerFilters(rig));
  return Object.assign(party, {
    order: (request: BrokerRequest) =>
      party.transport.publish(topics.controlRequests, brokerRequests.encode(request), 1),
    reports: () =>
      party.got
        .filter(({ topic }) => topic === topics.controlReports)
        .map(({ payload }) => brokerReports.decode(payload)),
  });
}

export function managerFilters({ broker: { topics } }: Pick<Rig, 'broker'>): Topic[] {
  return [
    `${topics.root}/m/+` as Topic,
    topics.verifierAnswer('~manager'),
    topics.verifierEvents,
    topics.controlReports,
  ];
}

/** A device that is logged in, as far as the broker knows. */
export async function joinDevice(rig: Rig, t: TestContext, manager: ManagerParty, id: string): Promise<Party> {
  const party = await join(rig, t);
  const device = id as DeviceId;
  const before = rig.broker.counters.promoted;
  manager.order({ kind: 'Promote', link: party.link, device });
  await until(() => rig.broker.counters.promoted > before, `${id} promoted`);
  return party;
}

/** A client made of bytes. */
export interface RawClient {
  readonly socket: Socket;
  readonly packets: Packet[];
  readonly closed: () => boolean;
  send(packet: Packet): void;
}

export function rawClient(port: number, t: TestContext): RawClient {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const packets: Packet[] = [];
  const reader = parser();
  reader.on('packet', (packet) => packets.push(packet));
  socket.on('data', (chunk) => reader.parse(chunk));
  socket.on('error', () => {});
  let closed = false;
  socket.on('close', () => {
    closed = true;
  });
  t.after(() => socket.destroy());
  return { socket, packets, closed: () => closed, send: (packet) => socket.write(generate(packet)) };
}

export const newClientId = (): string => Buffer.from(crypto.random(18)).toString('base64url');

export function connectPacket(clientId: string = newClientId(), more: object = {}): Packet {
  return { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 30, clientId, ...more };
}

/** Connects raw and waits for the CONNACK. */
export async function rawLink(port: number, t: TestContext): Promise<RawClient & { link: string }> {
  const raw = rawClient(port, t);
  const link = newClientId();
  raw.send(connectPacket(link));
  await until(() => raw.packets.length > 0, 'CONNACK');
  return { ...raw, link };
}
