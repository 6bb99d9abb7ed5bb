/**
 * Certificates and lists for `bench verifier`: one root, one CA below it, as many devices as wanted, a list of any length.
 */
import type { ParsedCrl } from '../protocol/certificate.ts';
import { EXTENDED_KEY_USAGE } from '../protocol/certificate.ts';
import {
  ca,
  certify,
  crlOf,
  DAY,
  DEVICE_WISHES,
  device,
  type Holder,
  root,
  type Wishes,
} from '../test/test-authority.ts';

export interface VerifierPapers {
  readonly anchor: Holder;
  readonly issuer: Holder;
  readonly verifier: Holder;
  /** Chains of so many new devices. */
  devices(count: number): readonly (readonly Uint8Array[])[];
  /** Of the root and of the CA; the latter names so many certificates. */
  lists(entries: number): readonly ParsedCrl[];
}

export function verifierPapers(): VerifierPapers {
  const now = Math.floor(Date.now() / 1000);
  const period = { notBefore: now - 3600, notAfter: now + DAY };
  const anchor = root('Bench root', period);
  const issuer = ca(anchor, 'Bench CA', period);
  const wishes: Wishes = { ...DEVICE_WISHES, ...period, extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriVerifier] };
  let made = 0;
  const list = { thisUpdate: now - 60, nextUpdate: now + DAY };
  return {
    anchor,
    issuer,
    verifier: certify('verifier', wishes, issuer),
    devices: (count) =>
      Array.from({ length: count }, () => {
        const { certificate } = device(issuer, `router-${made++}`, period);
        return [certificate.der, issuer.certificate.der];
      }),
    lists: (entries) => [
      crlOf(anchor, [], list),
      crlOf(issuer, [], {
        ...list,
        revoked: Array.from({ length: entries }, (_, i) => ({ serial: serial(i), at: now - 60 })),
      }),
    ],
  };
}

/** 16 bytes, as the CA's own are. */
function serial(number: number): Uint8Array {
  const bytes = new Uint8Array(16).fill(0x5a);
  new DataView(bytes.buffer).setUint32(12, number);
  return bytes;
}
