/**
 * The manager's settings: what may stand in its YAML file, with the defaults. Unknown keys are refused.
 */
import { z } from 'zod';
import { BROKER_URL, BROKER_URL_FORM } from '../platform/broker-url.ts';
import { DEFAULT_PACE } from './admission.ts';

const file = z.string().min(1);
const pattern = z.string().min(1).max(128);
const seconds = (min: number, max: number, byDefault: number) => z.number().min(min).max(max).default(byDefault);

export const managerConfig = z.strictObject({
  /** First segment of every topic. */
  root: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,32}$/, 'letters, digits, - and _ only')
    .default('km1'),
  /** Manager name: stands in its certificate, and devices expect it. */
  name: z.string().min(1).max(128),
  /** Registry, its key and the control socket; made with mode 0700. */
  dataDirectory: file,
  /** Outside of it, on another disk at best: holds the number of the last commit, so that an older copy is refused. */
  witnessFile: file.optional(),
  broker: z.union([
    z.strictObject({
      /** `mqtt://host:port` or `mqtts://host:port`; `ws://host:port/path` or `wss://…` over WebSocket. */
      url: z.string().regex(BROKER_URL, BROKER_URL_FORM),
      /** Anchors of the broker's TLS certificate; PEM. The system's when absent. */
      anchorsFile: file.optional(),
      /** `outside`: not a Kagimori broker; its access list stands for the manager's orders. */
      kind: z.enum(['kagimori', 'outside']).default('kagimori'),
      /** One line: the token, or at an outside broker the password, by which the broker knows the manager. */
      tokenFile: file,
    }),
    z.strictObject({
      /** A broker's configuration: it runs inside the manager's process. */
      embeddedConfigFile: file,
    }),
  ]),
  /** The manager's chain, leaf first, and its key; PEM. */
  certificateFile: file,
  keyFile: file,
  /** Certificates of the other key type (P-256 beside Ed25519), for a fleet that has both. */
  otherCertificates: z
    .array(z.strictObject({ certificateFile: file, keyFile: file }))
    .max(4)
    .default([]),
  /** The verifier's certificate, pinned: only verdicts signed by its key count. */
  verifierCertificateFile: file,
  /** `certified`: every device with a good certificate; `listed`: only those under `devices`. */
  admit: z.enum(['certified', 'listed']).default('certified'),
  /** Two machines with one certificate: the later one is kept out, the earlier one is put out, or both until released. */
  duplicates: z.enum(['refuse', 'replace', 'quarantine']).default('refuse'),
  /** What the operator says of devices; steers the policy, never taken from a device's own word. */
  devices: z
    .record(
      z.string().min(1).max(64),
      z.strictObject({
        class: z.string().min(1).max(64).nullable().default(null),
        groups: z.array(z.string().min(1).max(64)).max(64).default([]),
        /** Whose device it is, for rules. */
        user: z.string().min(1).max(255).nullable().default(null),
      }),
    )
    .default({}),
  /** Who may ask for whom; the first rule that matches decides. */
  connect: z
    .strictObject({
      rules: z
        .array(z.strictObject({ from: pattern, to: pattern, allow: z.boolean() }))
        .max(10_000)
        .default([]),
      otherwise: z.enum(['allow', 'deny']).default('allow'),
    })
    .prefault({}),
  /** Rules for the choice of suites: `kagimori rules check` reads it, a change is taken up at once. */
  rulesFile: file.optional(),
  /** Without rules: whose priorities decide when several suites match. */
  precedence: z.enum(['callee', 'caller']).default('callee'),
  /** Whether a device may choose a channel that authenticates and does not encrypt. */
  authenticateOnly: z.boolean().default(false),
  /** New devices: who certifies them, and what they are told. Absent: this manager certifies nobody. */
  enrolment: z
    .strictObject({
      /** Of `kagimori ca init`, on this machine; the manager writes there. */
      caDirectory: file,
      /** The broker as new devices reach it; stands in invitations. */
      brokerUrl: z.string().max(255).regex(BROKER_URL, BROKER_URL_FORM),
      /** What new devices are to trust; the manager's own certificate stands under one of them. */
      trustAnchorFiles: z.array(file).min(1).max(4),
      /** How long a certificate is good. */
      days: z.int().min(1).max(36_600).default(365),
      /** `operator`: every new device waits for `kagimori enrolment allow`. */
      approval: z.enum(['automatic', 'operator']).default('automatic'),
      /** For so many days after its end a certificate that is not revoked is renewed; 0: not at all. */
      renewExpiredDays: z.int().min(0).max(36_600).default(0),
    })
    .optional(),
  sessions: z
    .strictObject({
      lifetimeSeconds: seconds(1, 86_400, 3600),
      maxLifetimeSeconds: seconds(1, 86_400, 86_400),
      askTimeoutSeconds: seconds(1, 600, 45),
      openTimeoutSeconds: seconds(1, 60, 10),
      endTimeoutSeconds: seconds(1, 60, 5),
      /** How long the sessions of a device without a link are kept. */
      linkGraceSeconds: seconds(1, 86_400, 120),
    })
    .prefault({}),
  users: z
    .strictObject({
      /** Which device of a user who is at several is asked: the last one, all at once, or the one that the caller names. */
      several: z.enum(['most-recent', 'all', 'ask']).default('most-recent'),
      /** Sessions made to a user who leaves: `end`, or `follow` to where the user comes next. */
      onLeave: z.enum(['end', 'follow']).default('end'),
    })
    .prefault({}),
  limits: z
    .strictObject({
      halfOpen: z.int().min(1).default(1024),
      /** Devices let in in a second: those that resume, and those that log in anew. Others are told when to come again. */
      resumptionsPerSecond: z.int().min(1).max(100_000).default(DEFAULT_PACE.resumptionsPerSecond),
      loginsPerSecond: z.int().min(1).max(100_000).default(DEFAULT_PACE.loginsPerSecond),
      exchangeTimeoutSeconds: seconds(1, 60, 10),
      questionTimeoutSeconds: seconds(1, 60, 5),
      sessionsPerDevice: z.int().min(1).default(4096),
      pendingPerDevice: z.int().min(1).default(64),
    })
    .prefault({}),
});

export type ManagerConfig = z.output<typeof managerConfig>;
