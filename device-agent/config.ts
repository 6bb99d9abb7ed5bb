/**
 * The agent's settings: what may stand in its YAML file, with the defaults. Unknown keys are refused.
 */
import { z } from 'zod';
import { BROKER_URL, BROKER_URL_FORM } from '../platform/broker-url.ts';
import { faultOf, offersOf, proposalOf } from '../protocol/proposal.ts';
import { CIPHER_ORDER, HASH_ORDER } from '../protocol/selection.ts';
import { CIPHERS } from '../protocol/suites.ts';
import { DAYS } from '../protocol/time-window.ts';
import { HOURS } from './approval-policy.ts';

const file = z.string().min(1);
const absolute = z.string().startsWith('/', 'an absolute path').max(1024);
const device = z.string().min(1).max(64);
const cipher = z.enum(CIPHER_ORDER);
const hash = z.enum(HASH_ORDER);
const keyBits = z.int().min(64).max(4096);
const decision = z.enum(['allow', 'refuse', 'ask']);

const proposal = z
  .strictObject({
    /** `hmac` authenticates and does not encrypt; used only with callers who ask for that too. */
    cipher,
    /** One length, a list of them, or a range: `{ min: 128 }`, `{ min: 128, max: 192 }`. */
    keyBits: z.union([
      keyBits,
      z.array(keyBits).min(1).max(16),
      z.strictObject({ min: keyBits.optional(), max: keyBits.optional() }),
    ]),
    /** One, or those that will do with the preferred one first: of the key derivation, for `hmac` of the MAC. */
    hash: z.union([hash, z.array(hash).min(1).max(8)]).default('sha-256'),
    /** Absent: the cipher's longest. */
    tagBits: z.int().min(64).max(256).optional(),
    /** `seed`: both devices derive the keys; `key`: they come as they are. */
    keyMode: z.enum(['key', 'seed']).default('seed'),
    /** 1 is the first choice; without one it ranks after all that have one. */
    priority: z.int().min(1).max(1000).optional(),
  })
  .superRefine((given, context) => {
    const wanted = proposalOf(given);
    const fault = faultOf(wanted);
    const [empty] = offersOf([wanted]).passedOver;
    const { keyBits: keys, tagBits: tags } = CIPHERS[given.cipher];
    if (fault !== null) context.addIssue({ code: 'custom', path: ['keyBits'], message: fault });
    else if (empty?.at === 'keyBits') {
      context.addIssue({
        code: 'custom',
        path: ['keyBits'],
        message: `${given.cipher} has none of these, allowed: ${keys.join(', ')}`,
      });
    } else if (empty?.at === 'tagBits') {
      context.addIssue({
        code: 'custom',
        path: ['tagBits'],
        message: `${given.cipher} has no such tag, allowed: ${tags.join(', ')}`,
      });
    }
  });

const hours = {
  /** `22:00-06:00` by this device's clock; the end does not belong to it. */
  hours: z.string().regex(HOURS, 'two times of day, such as 22:00-06:00').optional(),
  /** On which they begin. */
  days: z.array(z.enum(DAYS)).min(1).max(7).optional(),
};
const pattern = (longest: number) => z.string().min(1).max(longest).optional();

export const approvalConfig = z.strictObject({
  /** Everything that a rule names must hold; `*` stands for any run of characters. */
  rules: z
    .array(
      z.strictObject({
        from: pattern(64),
        class: pattern(64),
        group: pattern(64),
        /** At the caller. */
        user: pattern(255),
        /** What the caller says it calls for. */
        purpose: pattern(64),
        /** The name that was asked for: `user:anna` for a user at this device. */
        callee: pattern(255),
        ...hours,
        decision,
      }),
    )
    .max(1000)
    .default([]),
  otherwise: decision.default('allow'),
  askTimeoutSeconds: z.int().min(1).max(600).default(30),
  busy: z.boolean().default(false),
  /** When nobody is asked: what would be is refused with `busy`. */
  doNotDisturb: z.array(z.strictObject(hours)).max(64).default([]),
  /** A program that is asked as well; what it reads and answers: docs/approval.md. */
  hook: z
    .strictObject({
      command: z.string().regex(/^\//, 'an absolute path').max(4096),
      args: z.array(z.string().max(4096)).max(64).default([]),
      timeoutSeconds: z.number().min(0.1).max(600).default(10),
      atOnce: z.int().min(1).max(16).default(2),
    })
    .optional(),
});

export const agentConfig = z
  .strictObject({
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
      /** `outside`: not a Kagimori broker; it knows this device by a password or a client certificate. */
      kind: z.enum(['kagimori', 'outside']).default('kagimori'),
      /** One line: this device's password at an outside broker; its user name is its id as topics spell it. */
      passwordFile: file.optional(),
      /** Chain, leaf first, and key that are shown to a broker which asks for a client certificate; PEM. */
      certificateFile: file.optional(),
      keyFile: file.optional(),
    }),
    /** Manager name: what must stand in the manager's certificate. */
    manager: z.string().min(1).max(128),
    /** What survives this process, and the control socket; made with mode 0700. */
    stateDirectory: file,
    /** This device's chain, leaf first, and its key; PEM. The subject's common name is the device's id. */
    certificateFile: file,
    keyFile: file,
    /** An invitation of the operator: without a certificate the agent enrols with it at its start, and erases it then. */
    invitationFile: file.optional(),
    /** Under these the manager's certificate must stand; PEM. */
    trustAnchorFiles: z.array(file).min(1).max(64),
    /** The verifier's certificate, for verdicts on the manager. */
    verifierCertificateFile: file.optional(),
    /**
     * Verdict of the verifier on the manager: `none`, `cached` (any that is young enough), `fresh` (bound to this login:
     * for devices without a trusted clock).
     */
    managerVerdict: z.enum(['none', 'cached', 'fresh']).default('none'),
    /** URIs under which peers may reach this device, or `auto`: the relay and this machine's addresses, followed as they change. */
    addresses: z.union([z.literal('auto'), z.array(z.string().min(1).max(255)).max(16)]).default('auto'),
    /** The suites this device can run. */
    proposals: z
      .array(proposal)
      .min(1)
      .max(64)
      .default([
        { cipher: 'aes-gcm', keyBits: { min: 128 }, hash: 'sha-256', keyMode: 'seed', priority: 1 },
        { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', keyMode: 'seed', priority: 2 },
      ]),
    /**
     * Measure what each proposal costs this machine, in at most 100 ms of CPU at the first start and after a change of
     * processor or Node, and register it; false: the manager goes by its table.
     */
    measureCosts: z.boolean().default(true),
    /** `automatic`: at two thirds of its life the manager is asked for another certificate over the same key; `off`: nobody is. */
    renewal: z.enum(['automatic', 'off']).default('automatic'),
    /** Who may open sessions with this device; the first rule that matches decides. */
    approval: approvalConfig.optional(),
    /** The same in a file of its own, which is followed when it changes; instead of `approval`. */
    approvalFile: file.optional(),
    /** People and programs outside of the fleet who may answer by MQTT topic (docs/approval-topics.md). */
    approvers: z
      .array(
        z.strictObject({
          name: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'letters, digits and . _ - only'),
          /** One line: the key under which its answers are; mode 0600. */
          keyFile: file,
        }),
      )
      .max(16)
      .default([]),
    /** Callers approved beforehand: their grant comes with the question. */
    standing: z
      .array(z.strictObject({ caller: device, lifetimeSeconds: z.int().min(1).max(86_400) }))
      .max(64)
      .default([]),
    channel: z
      .strictObject({
        /** Close the channel after so many seconds without a message; the manager opens it when this device is wanted. */
        closeWhenIdleSeconds: z.number().min(0.1).max(86_400).optional(),
        /** Authenticate and do not encrypt: registration only, no sessions. The manager must allow it. */
        authenticateOnly: z.boolean().default(false),
      })
      .prefault({}),
    /** Users who come with a removable medium; absent: none do, and nothing is watched. */
    users: z
      .strictObject({
        /** Directories that stand for media, for trying it out. */
        media: z.array(absolute).max(16).default([]),
        /** Mount points of removable media, `*` for a whole name; true: the usual ones of desktops; false: none. */
        mounts: z.union([z.boolean(), z.array(absolute).min(1).max(16)]).default(true),
        /** So long after the insertion the PIN has to come; the medium must be taken out after that. */
        pinTimeoutSeconds: z.int().min(5).max(3600).default(300),
      })
      .optional(),
    maxSessions: z.int().min(1).max(4096).default(1024),
  })
  .refine(({ approval, approvalFile }) => approval === undefined || approvalFile === undefined, {
    path: ['approvalFile'],
    message: 'give approval or approvalFile, not both',
  });

export type AgentConfig = z.output<typeof agentConfig>;
export type UserMediaConfig = NonNullable<AgentConfig['users']>;
