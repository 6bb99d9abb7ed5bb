/**
 * A hostile party in a process of its own: attacks a broker in one way until it is told to stop, then says how much it
 * did. Started by test/process/broker-walls.test.ts with `fork`; speaks over its channel.
 */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { JsonValue } from '../../platform/control-socket.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { encodeFrame } from '../../protocol/frame.ts';
import { type LoginIdentity, startLogin, suitesFor } from '../../protocol/login.ts';
import { encodeId } from '../../protocol/topics.ts';
import type { DeviceId } from '../../protocol/units.ts';
import {
  type HostileLink,
  hostileDevice,
  MESSAGES_OF_A_LINK,
  openHostile,
  packet,
  publication,
} from './hostile-link.ts';

export const ATTACKS = [
  'frozen',
  'flood',
  'qos2',
  'connect-200-mib',
  'idle-sockets',
  'message-1',
  'device-flood-own',
  'device-flood-peer',
  'device-flood-manager',
] as const;
export type AttackName = (typeof ATTACKS)[number];

export interface Orders {
  readonly attack: AttackName;
  readonly port: number;
  /** Configuration files of devices that have turned. */
  readonly turned: readonly string[];
  /** An honest device. */
  readonly victim: string;
  /** Of idle sockets, or of message_1 in a second. */
  readonly count: number;
}

/** What it did, by name. */
export type Deeds = Record<string, number>;

export type Word = { readonly began: true } | { readonly deeds: Deeds };

const FLOOD_BACKLOG_BYTES = 4 * 1024 * 1024;
const ADDRESSES = 8;
const BURST_MS = 10;
const LINKS_OF_AN_ADDRESS = 64;

const deeds: Deeds = {};
const did = (what: string, times = 1): void => {
  deeds[what] = (deeds[what] ?? 0) + times;
};
const address = (number: number): string => `127.0.0.${2 + number}`;
const { signal } = new AbortController();

const attacks: Readonly<Record<AttackName, (orders: Orders) => Promise<void> | void>> = {
  /** Two devices that have turned: one sends to the other as fast as it can, who has stopped reading. */
  async frozen({ port, turned: [senderFile, frozenFile] }) {
    const frozen = await hostileDevice(frozenFile!, port, address(1));
    const sender = await hostileDevice(senderFile!, port, address(0));
    await sender.control.connect!({ callee: frozen.id }, () => {}, signal);
    const freeze = setInterval(async () => {
      if (frozen.socket().isPaused() || !(await frozen.ready())) return;
      frozen.socket().pause();
      did('frozen');
    }, 50);
    freeze.ref();
    pour(sender.socket, publication(`km1/p/${encodeId(frozen.id)}/${encodeId(sender.id)}`, randomBytes(16 * 1024)));
  },

  /** New links that say what they may, and what they may not, as fast as they can. */
  flood({ port }) {
    keepOpen(port, 16, (link) => {
      const own = publication(`km1/m/~${link.link}`, randomBytes(64));
      const ping = packet({ cmd: 'pingreq' });
      const all = Buffer.concat([
        ...Array.from({ length: 20 }, () => own),
        ...Array.from({ length: 4000 }, () => ping),
      ]);
      const timer = setInterval(() => {
        if (!link.up() || link.socket.writableLength > FLOOD_BACKLOG_BYTES) return;
        link.socket.write(all);
        did('packets', 4020);
      }, BURST_MS);
      link.socket.on('close', () => clearInterval(timer));
    });
  },

  /** Messages of QoS 2 that are never released, as a device and before login. */
  async qos2({ port, turned: [file] }) {
    const device = await hostileDevice(file!, port, address(0));
    const payload = randomBytes(8000);
    const hoard = (topic: string) =>
      Buffer.concat(Array.from({ length: 100 }, (_, id) => publication(topic, payload, 2, id + 1)));
    const byDevice = hoard(`km1/m/${encodeId(device.id)}`);
    setInterval(() => {
      if (device.socket().writableLength > FLOOD_BACKLOG_BYTES) return;
      device.socket().write(byDevice);
      did('messages', 100);
    }, BURST_MS);
    keepOpen(port, 16, (link) => {
      link.socket.write(hoard(`km1/m/~${link.link}`));
      did('messages', 100);
    });
  },

  /** CONNECT packets of 200 MiB, all of it sent if it is taken. */
  'connect-200-mib'({ port }) {
    const length = 200 * 1024 * 1024;
    const head = Buffer.from([0x10, 0x80, 0x80, 0x80, 0x64]);
    const start = packet({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 60,
      clientId: randomBytes(18).toString('base64url'),
    }).subarray(2);
    const block = Buffer.alloc(64 * 1024, 0x61);
    for (let i = 0; i < 2; i++) {
      keepRaw(port, address(i), (socket) => {
        did('connects');
        socket.write(Buffer.concat([head, start]));
        let sent = start.length;
        const more = (): void => {
          for (let go = true; go && sent < length && !socket.destroyed; sent += block.length) {
            go = socket.write(block);
            did('bytes', block.length);
          }
        };
        socket.on('drain', more);
        more();
      });
    }
  },

  'idle-sockets'({ port, count }) {
    for (let i = 0; i < count; i++) {
      keepRaw(port, '127.0.0.1', () => did('connections'));
    }
  },

  /** Each link says as much as it may; half of it is no EDHOC at all, half is as good as any message_1. */
  'message-1'({ port, count }) {
    const crypto = nodeCrypto();
    const identity: LoginIdentity = {
      chain: [],
      signingKey: { algorithm: 'p256' } as LoginIdentity['signingKey'],
      cipherSuites: suitesFor({ algorithm: 'p256' }),
      channelSuites: [0],
    };
    const offer = { suites: [0], sendChain: true, verdict: undefined, authenticateOnly: undefined } as const;
    const { message1 } = startLogin(crypto, identity, offer, identity.cipherSuites[0]!);
    const open = new Map<HostileLink, number>();
    for (let i = 0; i < ADDRESSES; i++) {
      keepOpen(
        port,
        LINKS_OF_AN_ADDRESS - 4,
        (link) => open.set(link, 0),
        address(i),
        (link) => open.delete(link),
      );
    }
    const began = performance.now();
    let wanted = 0;
    setInterval(() => {
      const due = ((performance.now() - began) * count) / 1000;
      for (const [link, said] of open) {
        if (wanted >= due) return;
        if (!link.up() || said >= MESSAGES_OF_A_LINK) continue;
        const some = Math.min(8, MESSAGES_OF_A_LINK - said);
        for (let i = 0; i < some; i++) {
          const body = i % 2 === 0 ? message1 : randomBytes(message1.length);
          link.socket.write(publication(`km1/m/~${link.link}`, encodeFrame('message1', randomBytes(8), body)));
        }
        did('messages', some);
        wanted += some;
        open.delete(link); // the next one is another's turn
        if (said + some < MESSAGES_OF_A_LINK) open.set(link, said + some);
        else setTimeout(() => link.socket.destroy(), 500);
      }
      wanted = Math.max(wanted, due - count / 10); // what could not be said is not said later
    }, BURST_MS);
  },

  async 'device-flood-own'({ port, turned: [file] }) {
    const device = await hostileDevice(file!, port, address(0));
    pour(device.socket, publication(`km1/m/${encodeId(device.id)}`, randomBytes(100)));
  },

  async 'device-flood-peer'({ port, turned: [file], victim }) {
    const device = await hostileDevice(file!, port, address(0));
    await device.control.connect!({ callee: victim }, () => {}, signal);
    pour(device.socket, publication(`km1/p/${encodeId(victim as DeviceId)}/${encodeId(device.id)}`, randomBytes(200)));
  },

  /** Messages that the manager opens and obeys: registrations, connects to who is there and to who is not. */
  async 'device-flood-manager'({ port, turned: [file], victim }) {
    const device = await hostileDevice(file!, port, address(0));
    const ask = (command: string, args: JsonValue): void => {
      did(command);
      device.control[command]!(args, () => {}, signal).catch(() => did(`${command} refused`));
    };
    setInterval(() => {
      for (let i = 0; i < 10; i++) {
        ask('register', {});
        ask('connect', { callee: victim, timeoutSeconds: 1 });
        ask('connect', { callee: `nobody-${i}`, timeoutSeconds: 1 });
      }
    }, BURST_MS);
  },
};

/** Writes the same message for ever, to the socket of now. */
function pour(socket: () => Socket, message: Buffer): void {
  const many = Math.max(1, Math.floor((256 * 1024) / message.length));
  const block = Buffer.concat(Array.from({ length: many }, () => message));
  setInterval(() => {
    if (socket().destroyed || socket().writableLength > FLOOD_BACKLOG_BYTES) return;
    socket().write(block);
    did('messages', many);
  }, BURST_MS);
}

/** So many links of MQTT, each opened again when it is closed. */
function keepOpen(
  port: number,
  count: number,
  act: (link: HostileLink) => void,
  from: string = address(0),
  over: (link: HostileLink) => void = () => {},
): void {
  const begin = (): void => {
    let letIn = false;
    const link = openHostile(
      port,
      from,
      () => {
        over(link);
        if (!letIn) did('refused links');
        setTimeout(begin, 100 + Math.random() * 400);
      },
      (one) => {
        if (one.cmd !== 'connack' || !link.up()) return;
        letIn = true;
        act(link);
      },
    );
  };
  for (let i = 0; i < count; i++) begin();
}

/** The same for a bare socket. */
function keepRaw(port: number, from: string, act: (socket: Socket) => void): void {
  const begin = (): void => {
    const socket = connect({ port, host: '127.0.0.1', localAddress: from, noDelay: true }, () => act(socket));
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.on('close', () => setTimeout(begin, 200 + Math.random() * 800));
  };
  begin();
}

process.on('message', (orders: Orders | 'stop') => {
  if (orders === 'stop') {
    process.send!({ deeds } satisfies Word, () => process.exit());
    return;
  }
  void (async () => {
    await attacks[orders.attack](orders);
    await pause(200);
    process.send!({ began: true } satisfies Word);
  })();
});
process.on('disconnect', () => process.exit());
