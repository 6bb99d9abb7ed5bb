/**
 * What an agent keeps over a restart: the resumption secret, the manager's leaf, whether the manager holds ours, the key of
 * its consents. One small file of mode 0600, written when it changes and never otherwise.
 */
import { MAX_CERTIFICATE_BYTES, MAX_CHAIN, sha256 } from '../protocol/message-values.ts';
import { MAX_GENERATION, type ResumptionSecret, SECRET_BYTES } from '../protocol/resumption.ts';
import { array, bool, bytes, message, optional, required, text, uint } from '../protocol/schema.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import { CONSENT_KEY_BYTES } from './consent.ts';

const Secret = message('Secret', null, 'n of the resumption chain', {
  generation: required(1, uint(0, MAX_GENERATION), 'place in the chain'),
  secret: required(2, bytes(SECRET_BYTES), 'the secret'),
  device: required(3, text<DeviceId>(1, 64), 'bound to'),
  manager: required(4, text(1, 255), 'bound to'),
  suite: required(5, uint(0, 23), 'channel suite'),
  authenticateOnly: required(6, bool, 'mode'),
  until: required(7, uint(0, 0xffff_ffff), 'end of the chain'),
});

const Memory = message('Memory', null, 'what survives the process', {
  secret: optional(1, Secret.type, 'n; absent: a full login is due'),
  managerChain: optional(2, array(bytes(1, MAX_CERTIFICATE_BYTES), 1, MAX_CHAIN), "the manager's chain as judged good"),
  chainHeld: required(3, bool, 'the manager holds our leaf'),
  consentKey: optional(4, bytes(CONSENT_KEY_BYTES), 'by which this device knows its own consents again'),
  time: optional(5, uint(0, 0xffff_ffff), 'of the last verdict: the present is not before it'),
  leaf: optional(6, sha256, 'of our leaf as the manager has it; another one is shown anew'),
});

export interface AgentMemory {
  readonly secret: ResumptionSecret | null;
  readonly managerChain: readonly Uint8Array[] | null;
  readonly chainHeld: boolean;
  readonly consentKey: Uint8Array | null;
  /** Seconds since 1970; no present moment lies before it. */
  readonly time: number;
  /** SHA-256 of the leaf that the manager has. */
  readonly leaf: Uint8Array | null;
}

export const NO_MEMORY: AgentMemory = {
  secret: null,
  managerChain: null,
  chainHeld: false,
  consentKey: null,
  time: 0,
  leaf: null,
};

export function encodeMemory({ secret, managerChain, chainHeld, consentKey, time, leaf }: AgentMemory): Uint8Array {
  return Memory.encode({
    secret: secret ?? undefined,
    managerChain: managerChain ?? undefined,
    chainHeld,
    consentKey: consentKey ?? undefined,
    time,
    leaf: leaf ?? undefined,
  });
}

/** @throws ProtocolError malformed; a full login makes a new one */
export function decodeMemory(content: Uint8Array): AgentMemory {
  const { secret, managerChain, chainHeld, consentKey, time, leaf } = Memory.decode(content);
  return {
    secret:
      secret === undefined ? null : { ...secret, secret: secret.secret.slice(), until: EpochSeconds(secret.until) },
    managerChain: managerChain?.map((certificate) => certificate.slice()) ?? null,
    chainHeld,
    consentKey: consentKey?.slice() ?? null,
    time: time ?? 0,
    leaf: leaf?.slice() ?? null,
  };
}
