/**
 * A process of its own: the broker with a manager attached to it, the real one or the null manager, whose CPU is asked for
 * from outside.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brokerConfig } from '../broker/config.ts';
import { type Broker, startBroker } from '../broker/service.ts';
import { managerConfig } from '../manager/config.ts';
import { startManager } from '../manager/service.ts';
import { writePem } from '../platform/certificates.ts';
import { systemClock } from '../platform/clock.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import { createLog } from '../platform/log.ts';
import { memoryStore, type Store } from '../platform/store.ts';
import { openLmdbStore } from '../platform/store-lmdb.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import { EVENT_EVERY } from '../protocol/revocation-event.ts';
import type { DeviceId, LinkId, Topic } from '../protocol/units.ts';
import {
  AT,
  ca,
  certify,
  DEVICE_WISHES,
  device,
  type Holder,
  MANAGER_WISHES,
  reader,
  root,
} from '../test/test-authority.ts';
import { createVerifier } from '../verifier/verifier.ts';
import { nullManager, type Sizes } from './null-manager.ts';

export type Kind = 'memory' | 'lmdb' | 'null';

export interface Credentials {
  readonly name: DeviceId;
  readonly chain: readonly Uint8Array[];
  readonly privatePkcs8Pem: Uint8Array;
}

export type ToHost =
  | { readonly type: 'start'; readonly kind: Kind; readonly devices: readonly DeviceId[] }
  /** For the null manager: who is on which link, who calls whom. */
  | {
      readonly type: 'bind';
      readonly links: readonly (readonly [LinkId, DeviceId])[];
      readonly couples: readonly (readonly [DeviceId, DeviceId])[];
      readonly sizes: Sizes;
    }
  | { readonly type: 'cpu' }
  | { readonly type: 'close' };

export type FromHost =
  | {
      readonly type: 'started';
      readonly url: string;
      readonly anchor: Uint8Array;
      readonly devices: readonly Credentials[];
    }
  | { readonly type: 'bound' }
  /** CPU of the whole process so far, threads of the collector and of LMDB included, µs. */
  | { readonly type: 'cpu'; readonly micros: number };

const tell = (message: FromHost): void => void process.send!(message);
const crypto = nodeCrypto();
const system = systemClock();
const clock = { ...system, wall: () => AT };
const closers: (() => Promise<void> | void)[] = [];
let bind: ReturnType<typeof nullManager> | null = null;

process.on('message', (message: ToHost) => void obey(message));
process.on('disconnect', () => process.exit(1));

async function obey(message: ToHost): Promise<void> {
  switch (message.type) {
    case 'start':
      return start(message.kind, message.devices);
    case 'bind':
      bind?.(message.links, message.couples, message.sizes);
      return tell({ type: 'bound' });
    case 'cpu': {
      const { user, system: kernel } = process.cpuUsage();
      return tell({ type: 'cpu', micros: user + kernel });
    }
    case 'close':
      for (const close of closers.reverse()) await close();
      process.disconnect();
      return;
    default:
      message satisfies never;
  }
}

async function start(kind: Kind, names: readonly DeviceId[]): Promise<void> {
  const config = brokerConfig.parse({
    listen: [{ kind: 'tcp', port: 0 }],
    // few devices stand for many: the rates of one are out of the way
    limits: {
      newPerAddress: 4096,
      newPerSecondPerAddress: 4096,
      newPerSecond: 4096,
      loginMessagesPerSecond: 1_000_000,
      messagesPerSecond: 1_000_000,
      toManagerPerSecond: 1_000_000,
      bytesPerSecond: 1_000_000_000,
    },
  });
  const broker = await startBroker(config, { crypto });
  closers.push(() => broker.close());
  const anchor = root('Bench root');
  const issuer = ca(anchor, 'Bench CA');
  const devices: Credentials[] = [];
  if (kind === 'null') bind = nullManager(broker);
  else {
    await realManager(broker, kind, anchor, issuer);
    for (const name of names) {
      const { certificate, key } = device(issuer, name);
      devices.push({
        name,
        chain: [certificate.der, issuer.certificate.der],
        privatePkcs8Pem: new Uint8Array(key.privatePkcs8Pem),
      });
    }
  }
  const { port } = broker.listeners[0]!;
  tell({ type: 'started', url: `mqtt://127.0.0.1:${port}`, anchor: anchor.certificate.der, devices });
}

async function realManager(broker: Broker, kind: 'memory' | 'lmdb', anchor: Holder, issuer: Holder): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'kagimori-bench-'));
  closers.push(() => rmSync(directory, { recursive: true, force: true }));
  const own = certify('home-manager', MANAGER_WISHES, issuer);
  const verifierWishes = { ...DEVICE_WISHES, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriVerifier] };
  const verifier = certify('verifier', verifierWishes, issuer);
  attachVerifier(broker, verifier, anchor);
  const write = (name: string, ...chain: readonly Holder[]): string => {
    const path = join(directory, name);
    writeFileSync(path, chain.map(pem).join(''));
    return path;
  };
  const store: Store =
    kind === 'memory'
      ? memoryStore()
      : await openLmdbStore({ directory: join(directory, 'store'), key: crypto.random(32), crypto });
  closers.push(() => store.close());
  const config = managerConfig.parse({
    name: 'home-manager',
    dataDirectory: directory,
    broker: { url: 'mqtt://127.0.0.1:1883', tokenFile: join(directory, 'unused') },
    certificateFile: write('manager.pem', own, issuer),
    keyFile: join(directory, 'unused'),
    verifierCertificateFile: write('verifier.pem', verifier),
  });
  const manager = startManager(config, {
    crypto,
    clock,
    log: createLog({ name: 'manager', level: 'warn', json: true }),
    store,
    openKey: () => own.key.key,
    sealingKey: crypto.random(32),
    openTransport: (options) => broker.attach({ service: 'manager', ...options }),
  });
  closers.push(() => manager.close());
}

function attachVerifier(broker: Broker, own: Holder, anchor: Holder): void {
  const { topics } = broker;
  const verifier = createVerifier(
    {
      reader,
      signingKey: own.key.key,
      maxAgeSeconds: 3600,
      questionsPerSecond: { device: 10_000, manager: 10_000 },
    },
    { anchors: [anchor.certificate], revocation: null, revokedKeys: new Set(), revokedMarks: new Set(), version: 1 },
  );
  const speak = (): void => {
    const world = { now: clock.now(), wall: AT, crypto };
    for (const event of verifier.events(world)) link.publish(topics.verifierEvents, event, 1);
  };
  setInterval(speak, EVENT_EVERY).unref();
  const link = broker.attach({
    service: 'verifier',
    subscriptions: () => [`${topics.root}/v/q/+` as Topic],
    observer: {
      up: () => speak(),
      down: () => {},
      received(topic, payload) {
        const place = topics.parse(topic);
        if (place?.kind !== 'verifier-question') return;
        const answer = verifier.answer(place.asker, payload, { now: clock.now(), wall: AT, crypto });
        if (answer.kind !== 'judged') return;
        link.publish(topics.verifierAnswer(place.asker), answer.payload, 1);
        if (answer.purpose === 'manager') speak(); // it has just come
      },
    },
  });
}

const pem = ({ certificate }: Holder): string => writePem('CERTIFICATE', certificate.der);
