/**
 * What the manager wishes done; the service does it.
 */
import type { Change } from '../platform/store.ts';
import type { DeviceId, Topic } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';

export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

/** What the CA is asked for: a certificate for the device over a key whose possession was proven. */
export interface CertificateWish {
  readonly device: DeviceId;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** true: the CA has certified this very key under this name before; false: nobody else may live under the name. */
  readonly renews: boolean;
  /** At a renewal: what the certificate before proves beside the common name. */
  readonly alternativeNames?: readonly { readonly type: 'dns' | 'email' | 'uri'; readonly value: string }[];
}

/** Chain, leaf first, or why the CA refuses, for the log. */
export type Certified = { readonly chain: readonly Uint8Array[] } | { readonly refused: string };

/** What follows when the CA has answered. */
export type OnCertified = (certified: Certified, world: World) => void;

export type Effect =
  | { readonly type: 'publish'; readonly topic: Topic; readonly payload: Uint8Array }
  /** Answered by the event `committed` or `commitFailed` with the same number. */
  | { readonly type: 'commit'; readonly number: number; readonly changes: readonly Change[] }
  /** A key is to be certified. Answered by the event `certified` with the same number. */
  | { readonly type: 'certify'; readonly number: number; readonly wish: CertificateWish }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly event: string;
      readonly fields: LogFields;
    };
