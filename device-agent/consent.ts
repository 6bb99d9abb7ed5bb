/**
 * A device's consent to a session, written so that this device alone knows it again after a restart. The manager keeps it
 * and gives it back with a Renew: no approval is asked for twice, and none that this device did not give counts.
 */
import { equalInConstantTime } from '../protocol/bytes.ts';
import { encode } from '../protocol/cbor.ts';
import type { Crypto } from '../protocol/crypto.ts';
import { ProtocolError } from '../protocol/errors.ts';
import { bool, bytes, message, optional, required, uint } from '../protocol/schema.ts';
import type { DeviceId, EpochSeconds } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';

const LABEL = 'kagimori consent 1';
const MAC_BYTES = 16;
export const CONSENT_KEY_BYTES = 32;

const Consent = message('Consent', null, 'what a device consented to', {
  until: required(1, uint(0, 0xffff_ffff), 'end of it, seconds since 1970'),
  lifetime: required(2, uint(1, 86_400), 'longest lifetime of a grant, seconds'),
  allowUnencrypted: optional(3, bool, 'true: integrity-only suites count too'),
  mac: required(4, bytes(MAC_BYTES), 'HMAC-SHA-256 over the fields above and the subject, cut'),
});

/** To what: as the caller to what one Connect brings, whose sid is not known yet; as the callee to one session. */
export type ConsentSubject =
  | { readonly role: 'caller'; readonly name: string; readonly call: Uint8Array }
  | { readonly role: 'callee'; readonly from: DeviceId; readonly sid: Uint8Array };

export interface ConsentTerms {
  /** Seconds. */
  readonly lifetime: number;
  readonly allowUnencrypted: boolean;
}

/** @param key  32 bytes that never leave this device */
export function writeConsent(key: Uint8Array, subject: ConsentSubject, terms: ConsentTerms, world: World): Uint8Array {
  const until = Math.min(world.wall + terms.lifetime, 0xffff_ffff) as EpochSeconds;
  const mac = macOf(world.crypto, key, subject, terms, until);
  return Consent.encode({ until, ...terms, allowUnencrypted: terms.allowUnencrypted ? true : undefined, mac });
}

/** @returns the terms, or null when this device never gave this consent, or it has run out */
export function readConsent(
  key: Uint8Array,
  subject: ConsentSubject,
  consent: Uint8Array,
  world: World,
): ConsentTerms | null {
  try {
    const { until, lifetime, allowUnencrypted, mac } = Consent.decode(consent);
    const terms = { lifetime, allowUnencrypted: allowUnencrypted === true };
    const genuine = equalInConstantTime(mac, macOf(world.crypto, key, subject, terms, until as EpochSeconds));
    return genuine && world.wall < until ? terms : null;
  } catch (error) {
    if (error instanceof ProtocolError) return null;
    throw error;
  }
}

function macOf(
  crypto: Crypto,
  key: Uint8Array,
  subject: ConsentSubject,
  { lifetime, allowUnencrypted }: ConsentTerms,
  until: EpochSeconds,
): Uint8Array {
  const { role } = subject;
  const whom = role === 'caller' ? [subject.name, subject.call] : [subject.from, subject.sid];
  const item = [LABEL, role, whom, until, lifetime, allowUnencrypted];
  return crypto.hmac('sha-256', key, encode(item)).subarray(0, MAC_BYTES);
}
