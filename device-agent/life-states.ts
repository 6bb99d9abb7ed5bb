/**
 * What a device knows of the time and of its own certificate: device-time.ts and certificate-life.ts go by it.
 */
import type { EpochSeconds, Millis } from '../protocol/units.ts';

export interface DeviceTime {
  /** The present does not lie before: the time of the last verdict, or where the own certificate begins. */
  bound: EpochSeconds;
  /** What a verdict said, and when it was heard; null: the system's clock is believed. */
  heard: { readonly time: EpochSeconds; readonly at: Millis } | null;
  /** Why the system's clock is not believed, and how far it was ahead of the other one; until the time is heard. */
  doubt: { readonly why: string; readonly ahead: number } | null;
}

/** A certificate that this device may show. */
export interface OwnCertificate {
  readonly chain: readonly Uint8Array[];
  /** SHA-256 of the leaf. */
  readonly hash: Uint8Array;
  readonly spki: Uint8Array;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface CertificateLife {
  /** What the next login shows; the manager may still have another one (AgentState.leafHash). */
  current: OwnCertificate;
  /** From here on each full login asks for a renewal. */
  renewAt: EpochSeconds;
  /** It is on its way to the disk. */
  storing: { readonly number: number; readonly certificate: OwnCertificate } | null;
  /** It stands on the disk, and is shown as soon as no exchange is under way. */
  stored: OwnCertificate | null;
  /** The login under way has asked. */
  asked: boolean;
  failures: number;
  notBefore: Millis;
  /** The last warning: days before the end. */
  warnedAt: number;
  /** Why the last attempt brought nothing. */
  fault: string | null;
}
