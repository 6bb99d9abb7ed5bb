/**
 * The terms of a session: who, what suite, for how long. Who, name and suite stay for its life; the rest is as of its last
 * grant.
 */
import type { Selection } from '../protocol/selection.ts';
import type { KeyMode, Suite } from '../protocol/suites.ts';
import type { DeviceId, EpochSeconds } from '../protocol/units.ts';

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

/** On what the choice of the suite was made, so that it can be explained later. */
export interface Decision {
  readonly at: EpochSeconds;
  /** SHA-256 of the rules file, in hex; null: the built-in rule. */
  readonly rules: string | null;
  /** What the deciding rule said then. */
  readonly selection: Selection;
  readonly allowUnencrypted: boolean;
  readonly messageBytes: number | null;
  /** SHA-256 of what either side had registered. */
  readonly callerRegistration: Uint8Array;
  readonly calleeRegistration: Uint8Array;
}

/** What the callee's policy may go by, beside who asks: as the registry says, and the caller. */
export interface About {
  readonly class: string | null;
  readonly groups: readonly string[];
  /** At the caller. */
  readonly user: string | null;
  readonly purpose: string | null;
}

export interface UserTerms {
  readonly id: string;
  /** SHA-256 of the certificate by which the user is there. */
  readonly leaf: Uint8Array;
}

export interface Terms {
  readonly sid: Uint8Array;
  readonly caller: Party;
  readonly callee: Party;
  /** The name by which the caller asked. */
  readonly name: string;
  /** Who was asked for, where it was a user: the callee is the device where that user is. */
  readonly user: UserTerms | null;
  readonly about: About;
  /** The nonce of the Connect that it began with; empty for a session that was stored without. */
  readonly call: Uint8Array;
  /** Of the last grant. */
  readonly nonceA: Uint8Array;
  readonly suite: Suite;
  readonly keyMode: KeyMode;
  readonly rule: string;
  /** Why this suite; null: stored before that was kept. */
  readonly decision: Decision | null;
  readonly lifetimeSeconds: number;
  readonly route: number;
}
