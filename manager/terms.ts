/**
 * The terms of a session: who, what suite, for how long. Who, name and suite stay for its life; the rest is as of its last
 * grant.
 */
import type { KeyMode, Suite } from '../protocol/suites.ts';
import type { DeviceId } from '../protocol/units.ts';

/** A device as it stands when the session is granted. */
export interface Party {
  readonly id: DeviceId;
  readonly leaf: Uint8Array;
  /** SHA-256 of what it registered, and which registration that was. */
  readonly registration: Uint8Array;
  readonly version: number;
  readonly addresses: readonly string[];
  /** The process that holds the keys. */
  readonly instance: Uint8Array | null;
  /** Given back to the device when its keys are gone: by it the device knows what it agreed to. */
  readonly consent: Uint8Array | null;
}

export interface Terms {
  readonly sid: Uint8Array;
  readonly caller: Party;
  readonly callee: Party;
  /** The name by which the caller asked. */
  readonly name: string;
  /** The nonce of the Connect that it began with; empty for a session that was stored without. */
  readonly call: Uint8Array;
  /** Of the last grant. */
  readonly nonceA: Uint8Array;
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  readonly rule: string;
  readonly lifetimeSeconds: number;
  readonly route: number;
}
