/**
 * What the manager has in hand of renewals.
 */
import type { DeviceId, Millis } from '../protocol/units.ts';

export interface RenewingDesk {
  /** What the CA was asked for last, by device; the oldest first. */
  readonly asked: Map<DeviceId, AskedRenewal>;
  /** By how many days before the end of which certificate somebody was warned. */
  readonly warned: Map<DeviceId, { readonly notAfter: number; readonly days: number }>;
}

export interface AskedRenewal {
  readonly spki: Uint8Array;
  readonly at: Millis;
  /** null: the CA has not answered, or has refused. */
  chain: readonly Uint8Array[] | null;
}

export const newRenewingDesk = (): RenewingDesk => ({ asked: new Map(), warned: new Map() });
