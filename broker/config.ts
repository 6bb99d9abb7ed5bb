/**
 * The broker's settings: what may stand in its YAML file, with the defaults. Unknown keys are refused.
 */
import { z } from 'zod';
import { DEFAULT_LIMITS } from './policy.ts';

const port = z.int().min(0).max(65_535);
const file = z.string().min(1);

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
]);

export const brokerConfig = z.strictObject({
  /** First segment of every topic. */
  root: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'letters, digits, - and _ only')
    .default('km1'),
  listen: z.array(listener).default([{ kind: 'tcp', host: '127.0.0.1', port: 1883 }]),
  /** Files with the tokens of services that come over the network, one line each; without one nobody can. */
  tokens: z.strictObject({ managerFile: file.optional(), verifierFile: file.optional() }).default({}),
  limits: z
    .strictObject({
      loginTimeoutMs: z.int().min(100).max(600_000).default(DEFAULT_LIMITS.loginTimeoutMs),
      newPerAddress: z.int().min(1).default(DEFAULT_LIMITS.newPerAddress),
      newAltogether: z.int().min(1).default(DEFAULT_LIMITS.newAltogether),
      messagesBeforeLogin: z.int().min(1).default(DEFAULT_LIMITS.messagesBeforeLogin),
      /** Bytes that may wait for one slow reader before messages to it are left out, and before it is closed. */
      backlogBytes: z
        .int()
        .min(1024)
        .default(256 * 1024),
      /** A reader whose socket takes nothing for so long is closed. */
      stallTimeoutMs: z.int().min(100).default(2000),
    })
    .prefault({}),
});

export type BrokerConfig = z.output<typeof brokerConfig>;
export type ListenerConfig = z.output<typeof listener>;
