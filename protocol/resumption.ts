/**
 * Resumption: a channel goes on without public-key work under a chain of secrets that both sides hold (design §5.2).
 * secret(n+1) depends on secret(n) alone, so neither a lost answer nor a replay can set the two sides apart; what is
 * fresh comes from the two nonces. See docs/decisions/0006-resumption-chain.md.
 */
import { concat, encodeUtf8, equalInConstantTime } from './bytes.ts';
import { type CborItem, encode } from './cbor.ts';
import type { Crypto } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import { NONCE_BYTES } from './message-values.ts';
import { ResumeAnswer, ResumeRequest } from './messages.ts';
import type { DeviceId, EpochSeconds } from './units.ts';

export const SECRET_BYTES = 32;
/** Resumptions after which a full login is due. */
export const MAX_GENERATION = 64;
/** Seconds after a full login at which the chain ends. */
export const MAX_AGE_SECONDS = 7 * 24 * 3600;
const MAC_BYTES = 16;

/** One secret of the chain with what it is bound to; plain data, stored sealed or 0600. */
export interface ResumptionSecret {
  readonly generation: number;
  readonly secret: Uint8Array;
  readonly device: DeviceId;
  readonly manager: string;
  /** Number in the channel suite table. */
  readonly suite: number;
  readonly authenticateOnly: boolean;
  /** End of the chain: certificates, 7 days. */
  readonly until: EpochSeconds;
}

/** Which side sent the D1. */
export type Starter = 'device' | 'manager';

const derive = (crypto: Crypto, secret: Uint8Array, label: string, context: readonly CborItem[], length: number) =>
  crypto.hkdfExpand('sha-256', secret, encode([`kagimori ${label}`, ...context]), length);

/** @returns the next secret of the chain, or null at its end */
export function nextSecret(crypto: Crypto, current: ResumptionSecret): ResumptionSecret | null {
  const generation = current.generation + 1;
  if (generation >= MAX_GENERATION) return null; // secrets 0 to 63: 64 resumptions
  return { ...current, generation, secret: derive(crypto, current.secret, 'next secret', [generation], SECRET_BYTES) };
}

/**
 * The secret of a later generation. One HKDF for each step, so the chain's length bounds the work.
 * @param reach  how many generations it may be ahead
 * @returns      null when it lies behind, too far ahead, or beyond the end of the chain
 */
function secretOf(crypto: Crypto, held: ResumptionSecret, generation: number, reach: number): ResumptionSecret | null {
  const ahead = generation - held.generation;
  if (ahead < 0 || ahead > reach || generation >= MAX_GENERATION) return null;
  let at: ResumptionSecret | null = held;
  while (at !== null && at.generation < generation) {
    const next = nextSecret(crypto, at);
    if (at !== held) at.secret.fill(0);
    at = next;
  }
  return at;
}

/** D1 under way: what its sender keeps until the D2. */
export interface AwaitingResumed {
  readonly secret: ResumptionSecret;
  readonly starter: Starter;
  readonly request: Uint8Array;
}

/** @returns the body of the D1 frame and what to keep */
export function requestResumption(
  crypto: Crypto,
  secret: ResumptionSecret,
  starter: Starter,
  instance: Uint8Array,
): AwaitingResumed {
  const fields = { device: secret.device, generation: secret.generation, nonce: crypto.random(NONCE_BYTES), instance };
  const mac = requestMac(crypto, secret, starter, fields);
  return { secret, starter, request: ResumeRequest.encode({ ...fields, mac }) };
}

/** What both sides hold once the answer is out: the keys' source and the next secret. */
export interface Resumed {
  /** 32 bytes; the key schedule of the records starts from it. */
  readonly masterSecret: Uint8Array;
  readonly masterSalt: Uint8Array;
  /** Process of the peer. */
  readonly peerInstance: Uint8Array | null;
  /** The secret that was used; the responder keeps it until the first record of the initiator opens. */
  readonly used: ResumptionSecret;
}

/**
 * Checks a D1 and answers it. `held` is the secret in the store; the next one of the chain is tried too, because the
 * peer may have moved on without our having seen it.
 * @param reach  how many generations ahead of `held` the request may be; more than 1 only where our own memory may be old
 * @returns null when the request is under none of them: the peer needs a hint
 * @throws ProtocolError malformed
 */
export function answerResumption(
  crypto: Crypto,
  held: ResumptionSecret,
  starter: Starter,
  body: Uint8Array,
  instance: Uint8Array,
  reach = 1,
): { readonly answer: Uint8Array; readonly resumed: Resumed } | null {
  const request = ResumeRequest.decode(body);
  if (request.device !== held.device) return null;
  const used = secretOf(crypto, held, request.generation, reach);
  if (used === null) return null;
  if (!equalInConstantTime(request.mac, requestMac(crypto, used, starter, request))) {
    if (used !== held) used.secret.fill(0);
    return null;
  }
  const fields = { nonce: crypto.random(NONCE_BYTES), instance };
  const answer = ResumeAnswer.encode({ ...fields, mac: answerMac(crypto, used, body, fields) });
  return { answer, resumed: resume(crypto, used, body, request.nonce, fields.nonce, request.instance ?? null) };
}

/** Checks the D2. @throws ProtocolError malformed | badMac */
export function readResumed(crypto: Crypto, awaiting: AwaitingResumed, body: Uint8Array): Resumed {
  const { secret, request } = awaiting;
  const answer = ResumeAnswer.decode(body);
  if (!equalInConstantTime(answer.mac, answerMac(crypto, secret, request, answer))) {
    throw new ProtocolError('badMac', 'the MAC of a resumption answer is wrong');
  }
  const { nonce } = ResumeRequest.decode(request);
  return resume(crypto, secret, request, nonce, answer.nonce, answer.instance ?? null);
}

function resume(
  crypto: Crypto,
  used: ResumptionSecret,
  request: Uint8Array,
  nonceI: Uint8Array,
  nonceR: Uint8Array,
  peerInstance: Uint8Array | null,
): Resumed {
  const masterSecret = derive(crypto, used.secret, 'channel', [crypto.hash('sha-256', request), nonceR], SECRET_BYTES);
  return { masterSecret, masterSalt: concat(nonceI, nonceR), peerInstance, used };
}

interface RequestFields {
  readonly generation: number;
  readonly nonce: Uint8Array;
  readonly instance?: Uint8Array | undefined;
}

/** HMAC(K_mac, [label, starter, device, manager, suite, mode, generation, nonce, instance]) */
function requestMac(crypto: Crypto, secret: ResumptionSecret, starter: Starter, fields: RequestFields): Uint8Array {
  const { device, manager, suite, authenticateOnly } = secret;
  const bound = encode([
    'D1',
    starter,
    device,
    manager,
    suite,
    authenticateOnly,
    fields.generation,
    fields.nonce,
    fields.instance ?? null,
  ]);
  return crypto.hmac('sha-256', macKey(crypto, secret), bound).subarray(0, MAC_BYTES);
}

/** HMAC(K_mac, [label, request, nonce, instance]); the request carries all the rest */
function answerMac(
  crypto: Crypto,
  secret: ResumptionSecret,
  request: Uint8Array,
  fields: { readonly nonce: Uint8Array; readonly instance?: Uint8Array | undefined },
): Uint8Array {
  const bound = encode(['D2', request, fields.nonce, fields.instance ?? null]);
  return crypto.hmac('sha-256', macKey(crypto, secret), bound).subarray(0, MAC_BYTES);
}

const macKey = (crypto: Crypto, secret: ResumptionSecret): Uint8Array =>
  derive(crypto, secret.secret, 'resumption mac', [], SECRET_BYTES);

/** Context string for the exporter that gives the first secret of a chain. */
export const FIRST_SECRET_CONTEXT = encodeUtf8('kagimori resumption');
