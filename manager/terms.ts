/**
 * The terms of a session: who, what suite, for how long. They do not change in its life.
 */
import type { KeyMode, Suite } from '../protocol/suites.ts';
import type { DeviceId } from '../protocol/units.ts';

/** A device as it stands when the session is made. */
export interface Party {
  readonly id: DeviceId;
  readonly leaf: Uint8Array;
  /** SHA-256 of what it registered, and which registration that was. */
  readonly registration: Uint8Array;
  readonly version: number;
  readonly addresses: readonly string[];
}

/** What does not change in a session's life. */
export interface Terms {
  readonly sid: Uint8Array;
  readonly caller: Party;
  readonly callee: Party;
  /** The name by which the caller asked. */
  readonly name: string;
  readonly nonceA: Uint8Array;
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  readonly rule: string;
  readonly lifetimeSeconds: number;
  readonly route: number;
}
