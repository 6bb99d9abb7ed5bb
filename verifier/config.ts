/**
 * The verifier's settings: what may stand in its YAML file, with the defaults. Unknown keys are refused.
 */
import { z } from 'zod';
import { BROKER_URL, BROKER_URL_FORM } from '../platform/broker-url.ts';

const file = z.string().min(1);
const fetched = {
  /** Anchors of the server's TLS certificate, PEM; the system's when absent. */
  anchorsFile: file.optional(),
  /** Whether it may lie at a private or local address; otherwise such an address is not asked. */
  inside: z.boolean().default(false),
};
const httpUrl = z
  .string()
  .regex(/^https?:\/\/[^\s/?#@]+(?:[/?][^\s]*)?$/, 'http://host/… or https://host/…, without a password');
/** How long data of this anchor's CAs that is out of date goes on to count: 0 is closed. */
const staleSeconds = z.int().min(0).max(604_800).default(0);

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
  trustAnchorFiles: z
    .array(z.union([file, z.strictObject({ file, staleSeconds })]))
    .min(1)
    .max(64),
  /** CA certificates below the anchors, known from the start: their lists can be proven before the first question; PEM. */
  intermediateFiles: z.array(file).max(64).default([]),
  /** What is to outlive the process: lists fetched, list numbers seen; the control socket too. */
  dataDirectory: file.optional(),
  /** Revocation lists, PEM or DER, followed as they change. Without any, revocation is not looked at. */
  crlFiles: z.array(file).max(256).default([]),
  /** Revocation lists that are fetched. These URLs and no others: never one that stands in a certificate. */
  crlUrls: z
    .array(z.strictObject({ url: httpUrl, everySeconds: z.int().min(5).max(604_800).default(900), ...fetched }))
    .max(64)
    .default([]),
  /** Responders that are asked about the certificates of one CA (OCSP). */
  ocsp: z
    .array(
      z.strictObject({
        /** The CA's certificate, PEM. */
        issuerFile: file,
        url: httpUrl,
        /** `required`: an answer without our nonce does not count. */
        nonce: z.enum(['required', 'optional']).default('required'),
        ...fetched,
      }),
    )
    .max(64)
    .default([]),
  /** Answers over HTTP: OCSP at every path, `/metrics` for Prometheus. */
  responder: z
    .strictObject({
      host: z.string().min(1).default('127.0.0.1'),
      /** 0: any free port. */
      port: z.int().min(0).max(65_535).default(8888),
      /** One for each CA that is answered for (`kagimori ca issue --kind ocsp`), or the CA's own. */
      signers: z
        .array(z.strictObject({ certificateFile: file, keyFile: file }))
        .min(1)
        .max(16),
      /** How long an answer holds at most. */
      maxAgeSeconds: z.int().min(0).max(604_800).default(300),
    })
    .optional(),
  /** Public keys that are out whoever certifies them: hex SHA-256 of the SubjectPublicKeyInfo, one on a line. */
  revokedKeysFile: file.optional(),
  /** How long a verdict holds at most. */
  verdictMaxAgeSeconds: z.int().min(10).max(604_800).default(3600),
  /** Questions that one asker may ask; a burst may hold those of 4 s. */
  questionsPerSecond: z
    .strictObject({ device: z.number().min(0.1).default(5), manager: z.number().min(1).default(4000) })
    .prefault({}),
});

export type VerifierConfig = z.output<typeof verifierConfig>;
