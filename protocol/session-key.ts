/**
 * From a grant to the record context of a session: the transcript T that both devices fill in for themselves, and the
 * keys, delivered or derived (design §5.4, patent 2134–2142).
 */
import { concat } from './bytes.ts';
import { encode } from './cbor.ts';
import type { Crypto } from './crypto.ts';
import { ProtocolError } from './errors.ts';
import { deriveContext, givenKeys, keyModeSecretBytes } from './key-schedule.ts';
import { FIRST_ID, makeRecordContext, type RecordContext, SECOND_ID } from './record.ts';
import { type KeyMode, resolveSuite, type Suite, SuiteSchema } from './suites.ts';
import type { DeviceId } from './units.ts';

const LABEL = 'kagimori session 1';
const SEED_BYTES = 32;

/** One of the two devices as the transcript names it. */
export interface Identity {
  readonly id: DeviceId;
  /** SHA-256 of the leaf certificate. */
  readonly leaf: Uint8Array;
  /** SHA-256 of what it registered. */
  readonly registration: Uint8Array;
}

/**
 * What both devices must hold the same of a session. Each fills in its own identity and what it asked for or approved;
 * only the rest comes from the grant.
 */
export interface Agreement {
  readonly sid: Uint8Array;
  readonly epoch: number;
  readonly caller: Identity;
  readonly callee: Identity;
  /** The name by which the caller asked. */
  readonly name: string;
  /** SHA-256 of the certificate by which the user who was asked for is at the callee; null: a device was asked for. */
  readonly user: Uint8Array | null;
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  readonly nonceA: Uint8Array;
  readonly nonceB: Uint8Array;
  readonly lifetimeSeconds: number;
}

/** Bytes of a grant's secret. @throws RangeError for a suite outside the registry */
export function sessionSecretBytes(suite: Suite, keyMode: KeyMode): number {
  const algorithm = resolveSuite(suite);
  if (algorithm === null) throw new RangeError('a suite outside the registry');
  return keyMode === 'seed' ? SEED_BYTES : keyModeSecretBytes(algorithm);
}

/**
 * T = SHA-256( [label, mode, sid, epoch, [idA, leaf A, registration A], [idB, …], name, user, suite, nonceA, nonceB,
 * lifetime] )
 */
export function sessionTranscript(crypto: Crypto, agreement: Agreement): Uint8Array {
  const { sid, epoch, caller, callee, name, user, suite, keyMode, nonceA, nonceB, lifetimeSeconds } = agreement;
  const item = [
    LABEL,
    keyMode,
    sid,
    epoch,
    [caller.id, caller.leaf, caller.registration],
    [callee.id, callee.leaf, callee.registration],
    name,
    user,
    SuiteSchema.type.toItem(suite),
    nonceA,
    nonceB,
    lifetimeSeconds,
  ];
  return crypto.hash('sha-256', encode(item));
}

/**
 * Makes one side's record context.
 * @param secret  as it stood in the grant; the caller wipes it afterwards
 * @param route   null for the first session of a pair
 * @throws ProtocolError malformed when suite and secret do not fit
 */
export function sessionContext(
  crypto: Crypto,
  agreement: Agreement,
  secret: Uint8Array,
  role: 'caller' | 'callee',
  route: number | null,
): RecordContext {
  const algorithm = resolveSuite(agreement.suite);
  if (algorithm === null) throw new ProtocolError('malformed', 'the suite of the grant is not in the registry');
  const transcript = sessionTranscript(crypto, agreement);
  const [senderId, recipientId] = role === 'caller' ? [FIRST_ID, SECOND_ID] : [SECOND_ID, FIRST_ID];
  const masterSalt = concat(agreement.nonceA, agreement.nonceB);
  if (agreement.keyMode === 'seed' && secret.length !== SEED_BYTES) {
    throw new ProtocolError('malformed', `a seed of ${secret.length} bytes`);
  }
  const keys =
    agreement.keyMode === 'key'
      ? givenKeys(algorithm, secret, role)
      : deriveContext(crypto, {
          algorithm,
          masterSecret: secret,
          masterSalt,
          idContext: transcript,
          senderId,
          recipientId,
        });
  const epochBit = (agreement.epoch & 1) as 0 | 1;
  return makeRecordContext({ algorithm, keys, senderId, recipientId, epochBit, route, transcript });
}
