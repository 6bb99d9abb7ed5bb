/**
 * The verifier's settings: what may stand in its YAML file, with the defaults. Unknown keys are refused.
 */
import { z } from 'zod';
import { BROKER_URL, BROKER_URL_FORM } from '../platform/broker-url.ts';

const file = z.string().min(1);

export const verifierConfig = z.strictObject({
  /** First segment of every topic. */
  root: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'letters, digits, - and _ only')
    .default('km1'),
  broker: z.strictObject({
    /** `mqtt://host:port` or `mqtts://host:port`; `ws://host:port/path` or `wss://…` over WebSocket. */
    url: z.string().regex(BROKER_URL, BROKER_URL_FORM),
    /** Anchors of the broker's TLS certificate; PEM. The system's when absent. */
    anchorsFile: file.optional(),
    /** One line: the token by which the broker knows the verifier. */
    tokenFile: file.optional(),
  }),
  /** The verifier's own chain, leaf first, and its key; PEM. Managers and devices pin the leaf's key. */
  certificateFile: file,
  keyFile: file,
  /** Under these, and nobody else, certificates are good; PEM. */
  trustAnchorFiles: z.array(file).min(1).max(64),
  /** Revocation lists, PEM or DER, followed as they change. Without any, revocation is not looked at. */
  crlFiles: z.array(file).max(256).default([]),
  /** Public keys that are out whoever certifies them: hex SHA-256 of the SubjectPublicKeyInfo, one on a line. */
  revokedKeysFile: file.optional(),
  /** How long a verdict holds at most. */
  verdictMaxAgeSeconds: z.int().min(10).max(604_800).default(3600),
  /** Questions that one asker may ask; a burst may hold those of 4 s. */
  questionsPerSecond: z
    .strictObject({ device: z.number().min(0.1).default(5), manager: z.number().min(1).default(1000) })
    .prefault({}),
});

export type VerifierConfig = z.output<typeof verifierConfig>;
