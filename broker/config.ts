/**
 * The broker's settings: what may stand in its YAML file, with the defaults. Unknown keys are refused.
 */
import { z } from 'zod';
import { DEFAULT_LIMITS, type Limits, MAX_PAYLOAD_BYTES } from './limits.ts';

const port = z.int().min(0).max(65_535);
const file = z.string().min(1);

const webPath = z.string().regex(/^\/[A-Za-z0-9/._~-]{0,127}$/, '/ and then letters, digits and / . _ ~ - only');
const webOrigin = z.string().regex(/^https?:\/\/[^\s/]+$/, 'https://host, without a path');

const listener = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('tcp'),
    host: z.string().min(1).default('127.0.0.1'),
    /** 0: any free port. */
    port: port.default(1883),
  }),
  z.strictObject({
    kind: z.literal('tls'),
    host: z.string().min(1).default('127.0.0.1'),
    port: port.default(8883),
    /** Chain, leaf first, and its key; PEM. */
    certificateFile: file,
    keyFile: file,
    /** Only clients with a certificate under these anchors may connect; PEM. */
    clientAnchorsFile: file.optional(),
  }),
  z.strictObject({
    kind: z.literal('ws'),
    host: z.string().min(1).default('127.0.0.1'),
    port: port.default(8083),
    path: webPath.default('/mqtt'),
    /** Web pages that may connect, as browsers name them; programs that are no browser need not stand here. */
    origins: z.array(webOrigin).max(64).default([]),
  }),
  z.strictObject({
    kind: z.literal('wss'),
    host: z.string().min(1).default('127.0.0.1'),
    port: port.default(8084),
    path: webPath.default('/mqtt'),
    origins: z.array(webOrigin).max(64).default([]),
    certificateFile: file,
    keyFile: file,
    clientAnchorsFile: file.optional(),
  }),
]);

type Counted = Exclude<keyof Limits, 'newPerSecondPerAddress' | 'offlineQueue'>;
const count = (key: Counted, least = 1) => z.int().min(least).default(DEFAULT_LIMITS[key]);
const payload = (key: Counted, most: number) => z.int().min(256).max(most).default(DEFAULT_LIMITS[key]);

/** What each is for: broker/limits.ts and docs/broker-limits.md. */
const limits = z
  .strictObject({
    loginTimeoutMs: z.int().min(100).max(600_000).default(DEFAULT_LIMITS.loginTimeoutMs),
    connectBytes: count('connectBytes', 256),
    newPerAddress: count('newPerAddress'),
    newAltogether: count('newAltogether'),
    newPerSecondPerAddress: z.int().min(1).nullable().default(DEFAULT_LIMITS.newPerSecondPerAddress),
    newPerSecond: count('newPerSecond'),
    linksPerAddress: count('linksPerAddress'),
    linksAltogether: count('linksAltogether'),
    messagesBeforeLogin: count('messagesBeforeLogin'),
    loginMessagesPerSecond: count('loginMessagesPerSecond'),
    managerBehind: count('managerBehind'),
    newLinkBytes: payload('newLinkBytes', MAX_PAYLOAD_BYTES.newLink),
    toManagerBytes: payload('toManagerBytes', MAX_PAYLOAD_BYTES.toManager),
    peerBytes: payload('peerBytes', MAX_PAYLOAD_BYTES.peer),
    otherPacketBytes: count('otherPacketBytes', 256),
    subscriptions: count('subscriptions'),
    inFlight: count('inFlight'),
    messagesPerSecond: count('messagesPerSecond'),
    toManagerPerSecond: count('toManagerPerSecond'),
    bytesPerSecond: count('bytesPerSecond', 1024),
    offlineQueue: z.literal(0, 'the broker keeps no messages for absent devices: 0').default(0),
    backlogBytes: count('backlogBytes', 1024),
    serviceBacklogBytes: count('serviceBacklogBytes', 1024),
    drainTimeoutMs: count('drainTimeoutMs', 100),
    keepAliveSeconds: z.int().min(5).max(65_535).default(DEFAULT_LIMITS.keepAliveSeconds),
    concurrency: count('concurrency'),
  })
  .prefault({});

export const brokerConfig = z.strictObject({
  /** First segment of every topic. */
  root: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'letters, digits, - and _ only')
    .default('km1'),
  listen: z.array(listener).default([{ kind: 'tcp', host: '127.0.0.1', port: 1883 }]),
  /** Files with the tokens of services that come over the network, one line each; without one nobody can. */
  tokens: z.strictObject({ managerFile: file.optional(), verifierFile: file.optional() }).default({}),
  /** Programs outside of the fleet that see what devices ask and may answer (docs/approval-topics.md). */
  integrators: z
    .array(
      z.strictObject({
        /** User name. */
        name: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'letters, digits and . _ - only'),
        /** One line: its password. */
        tokenFile: file,
        /** Ids of the devices that are its own, with `*`. */
        devices: z.array(z.string().min(1).max(64)).min(1).max(1000),
      }),
    )
    .max(64)
    .default([]),
  limits,
});

export type BrokerConfig = z.output<typeof brokerConfig>;
export type ListenerConfig = z.output<typeof listener>;
