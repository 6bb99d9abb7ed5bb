/**
 * The small CA's book: every certificate it issued and what became of it. One JSON file, replaced atomically.
 */
import { z } from 'zod';
import { FileFault, readBounded, writeAtomically } from '../../platform/files.ts';
import { decodeUtf8, encodeUtf8 } from '../../protocol/bytes.ts';
import { CaError } from './ca-error.ts';

const entry = z.strictObject({
  /** Hex of the INTEGER's content. */
  serial: z.string().regex(/^[0-9a-f]{2,40}$/),
  name: z.string(),
  kind: z.enum(['authority', 'device', 'manager', 'verifier', 'server', 'user', 'ocsp']),
  /** Which of our CAs signed it. */
  issuer: z.enum(['root', 'intermediate']),
  /** Seconds since 1970. */
  notBefore: z.int(),
  notAfter: z.int(),
  /** Hex SHA-256 of its SubjectPublicKeyInfo. */
  publicKey: z.string(),
  revokedAt: z.int().nullable(),
  /** The certificate in hex and when it was made, for a while: who repeats his wish gets it again. */
  answer: z.strictObject({ der: z.string().regex(/^[0-9a-f]+$/), at: z.int() }).optional(),
});

const index = z.strictObject({
  version: z.literal(1),
  name: z.string(),
  /** The next revocation list gets this number. */
  crlNumber: z.int().min(1),
  certificates: z.array(entry),
});

export type CertificateEntry = z.output<typeof entry>;
export type CertificateIndex = z.output<typeof index>;

const MAX_INDEX_BYTES = 64 * 1024 * 1024;

/** @throws CaError no-authority, broken-index */
export function readIndex(path: string): CertificateIndex {
  let bytes: Uint8Array;
  try {
    bytes = readBounded(path, MAX_INDEX_BYTES);
  } catch (error) {
    if (!(error instanceof FileFault) || error.fault !== 'missing') throw error;
    throw new CaError('no-authority', `${path} is missing: make a CA there first (kagimori ca init)`);
  }
  try {
    return index.parse(JSON.parse(decodeUtf8(bytes)));
  } catch {
    throw new CaError('broken-index', `${path} is no index of this CA: restore it from a backup`);
  }
}

/** @throws FileFault */
export function writeIndex(path: string, value: CertificateIndex): void {
  writeAtomically(path, encodeUtf8(`${JSON.stringify(value, null, 2)}\n`), 0o600);
}

export function isLive({ revokedAt, notAfter }: CertificateEntry, now: number): boolean {
  return revokedAt === null && notAfter >= now;
}
