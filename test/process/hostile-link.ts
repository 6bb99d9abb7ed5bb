/**
 * Connections of an attacker to the broker: MQTT made of bytes, from any address of this machine, without manners.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { generate, type Packet, parser } from 'mqtt-packet';
import { readConfigFile } from '../../cli/config-file.ts';
import { agentConfig } from '../../device-agent/config.ts';
import { startAgent } from '../../device-agent/service.ts';
import { openKeyStore } from '../../hardware/key-store.ts';
import { systemClock } from '../../platform/clock.ts';
import type { ControlHandler } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { makePrivateDirectory } from '../../platform/files.ts';
import { createLog } from '../../platform/log.ts';
import { type DeviceId, LinkId, type Topic } from '../../protocol/units.ts';

export interface HostileLink {
  readonly socket: Socket;
  readonly link: string;
  /** Whether the broker has let it in; false once it is closed. */
  readonly up: () => boolean;
}

/** The broker closes a link that says more before its login. */
export const MESSAGES_OF_A_LINK = 32;

export const packet = (fields: object): Buffer => generate(fields as Packet);

export const publication = (topic: string, payload: Uint8Array, qos: 0 | 1 | 2 = 0, messageId = 1): Buffer =>
  packet({ cmd: 'publish', topic, payload: Buffer.from(payload), qos, dup: false, retain: false, messageId });

/** @param received  every packet that comes */
export function openHostile(
  port: number,
  localAddress: string,
  ended: () => void,
  received: (packet: Packet) => void = () => {},
): HostileLink {
  const link = randomBytes(18).toString('base64url');
  const socket = connect({ port, host: '127.0.0.1', localAddress, noDelay: true });
  let up = false;
  const reader = parser();
  reader.on('packet', (one) => {
    if (one.cmd === 'connack') up = one.returnCode === 0;
    received(one);
  });
  socket.on('data', (chunk) => reader.parse(chunk));
  socket.on('error', () => {});
  socket.on('close', () => {
    up = false;
    ended();
  });
  socket.write(
    packet({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 60, clientId: link }),
  );
  return { socket, link, up: () => up };
}

/** A device with a good certificate that has turned: logged in and registered as it should, with its socket at hand. */
export interface HostileDevice {
  readonly id: DeviceId;
  readonly control: Readonly<Record<string, ControlHandler>>;
  /** Of now: when it is closed the device comes back by itself. */
  readonly socket: () => Socket;
  /** Whether its link is up as this device. */
  readonly ready: () => Promise<boolean>;
}

const AGAIN_MS = 200;

export async function hostileDevice(configFile: string, port: number, localAddress: string): Promise<HostileDevice> {
  const config = readConfigFile(configFile, agentConfig);
  const crypto = nodeCrypto();
  makePrivateDirectory(config.stateDirectory);
  let current: HostileLink | null = null;
  const agent = startAgent(config, {
    crypto,
    clock: systemClock(),
    log: createLog({ name: 'hostile', level: 'silent', json: true }),
    keyStore: openKeyStore(config.keyFile, crypto.counter),
    watchNetwork: () => ({ addresses: () => [], stop: () => {} }),
    openTransport({ subscriptions, observer }) {
      const begin = (): void => {
        let up = false;
        const opened = openHostile(
          port,
          localAddress,
          () => {
            setTimeout(begin, AGAIN_MS);
            if (up) observer.down('closed');
          },
          (one) => {
            if (one.cmd === 'connack') {
              const topics = subscriptions(LinkId(opened.link)).map((topic) => ({ topic, qos: 1 }));
              opened.socket.write(packet({ cmd: 'subscribe', messageId: 1, subscriptions: topics }));
            } else if (one.cmd === 'suback') {
              up = true;
              observer.up(LinkId(opened.link));
            } else if (one.cmd === 'publish') {
              if (one.qos > 0) opened.socket.write(packet({ cmd: 'puback', messageId: one.messageId }));
              observer.received(one.topic as Topic, new Uint8Array(one.payload as Buffer));
            }
          },
        );
        current = opened;
      };
      begin();
      return {
        traffic: { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 },
        publish: (topic, payload, qos) => void current?.socket.write(publication(topic, payload, qos)),
        settle: () => {},
        rest: () => {},
        close: async () => void current?.socket.destroy(),
      };
    },
  });
  const ready = async (): Promise<boolean> => {
    const { link, channel, registration } = (await agent.control.status!({}, () => {}, signal)) as {
      link: string;
      channel: unknown;
      registration: { version: number | null };
    };
    return link === 'up' && channel !== null && registration.version !== null;
  };
  while (!(await ready())) await new Promise((resolve) => setTimeout(resolve, 20));
  return { id: agent.id, control: agent.control, socket: () => current!.socket, ready };
}

const { signal } = new AbortController();
