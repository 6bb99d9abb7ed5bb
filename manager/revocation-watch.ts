/**
 * What the manager knows of revocation between two verdicts: which verifiers it hears, whose certificates and keys bear
 * which marks, and which devices and users were judged before something that it did not hear.
 */
import { concat, EMPTY, equal, fromHex, toHex } from '../protocol/bytes.ts';
import type { CertificateReader } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { Reason } from '../protocol/message-values.ts';
import { SILENCE } from '../protocol/revocation-event.ts';
import { certificateMark, keyMark, MARK_BYTES } from '../protocol/revocation-mark.ts';
import { type EpochSeconds, later, type Millis } from '../protocol/units.ts';
import type { World } from '../protocol/world.ts';
import type { Bearer } from './bearer.ts';
import type { EventDelay } from './event-delay.ts';
import type { DeviceRecord } from './registry.ts';

/** One process of a verifier, as its last event in order left it. */
export interface EventSource {
  number: number;
  /** What does not come after it is a repetition. */
  beat: number;
  /** Hex; null while a change of several events is being told. */
  state: string | null;
  heardAt: Millis;
  delay: EventDelay;
}

export interface RevocationWatch {
  /** By hex instance. */
  readonly sources: Map<string, EventSource>;
  /** When any of them was heard last, less what that event was late. */
  heardAt: Millis | null;
  /** Said to the log, and not taken back. */
  silent: boolean;
  /** When an event that is not believed was last told to the log. */
  refusedSaidAt: Millis | null;
  /** Who bears a mark. */
  readonly bearers: Map<string, Set<Bearer>>;
  /** Marks of CA certificates, by SHA-256 of the certificate in hex. */
  readonly ofAuthorities: Map<string, Uint8Array>;
  /** Marks that were told lately: a verifier that has not heard of them yet may still say good. */
  readonly fresh: Map<string, Millis>;
  /** To be evicted, and for what: that takes turns, and a disk that keeps it. */
  readonly condemned: Map<Bearer, Reason>;
  /** Evictions that are not on disk yet. */
  evicting: number;
  /** Judged before a revocation that may not have been heard: judged anew before anything else. */
  readonly doubtful: Set<Bearer>;
  /** Hex state that everybody was judged in; as on disk. */
  settled: string | null;
  /** By sid, sessions that ended for it and that a peer may still hold until then. */
  readonly endedAsRevoked: Map<string, EpochSeconds>;
}

export const newRevocationWatch = (
  settled: string | null,
  endedAsRevoked: Map<string, EpochSeconds> = new Map(),
): RevocationWatch => ({
  sources: new Map(),
  heardAt: null,
  silent: false,
  refusedSaidAt: null,
  bearers: new Map(),
  ofAuthorities: new Map(),
  fresh: new Map(),
  condemned: new Map(),
  evicting: 0,
  doubtful: new Set(),
  settled,
  endedAsRevoked,
});

/** Whether a verifier was heard lately: without one, nobody knows that he would hear of a revocation. */
export const hearsVerifier = ({ heardAt }: RevocationWatch, now: Millis): boolean =>
  heardAt !== null && now < later(heardAt, SILENCE);

const MAX_AUTHORITIES = 256;

/**
 * Of every certificate of a chain: its own mark and that of its key.
 * @returns 64 bytes a certificate, leaf first; empty when one cannot be read, and the verifier would not call it good
 */
export function marksOfChain(
  watch: RevocationWatch,
  reader: CertificateReader,
  crypto: Crypto,
  chain: readonly Uint8Array[],
): Uint8Array {
  const marks = chain.map((der, index) => {
    const hash = index === 0 ? '' : toHex(crypto.hash('sha-256', der));
    const known = index === 0 ? undefined : watch.ofAuthorities.get(hash);
    if (known !== undefined) return known;
    const certificate = reader.readCertificate(der);
    if (certificate === null) return null;
    const { issuer, serial, spki } = certificate;
    const found = concat(fromHex(certificateMark(crypto, issuer, serial)), fromHex(keyMark(crypto, spki)));
    if (index > 0) {
      watch.ofAuthorities.set(hash, found);
      if (watch.ofAuthorities.size > MAX_AUTHORITIES)
        watch.ofAuthorities.delete(watch.ofAuthorities.keys().next().value!);
    }
    return found;
  });
  return marks.every((one) => one !== null) ? concat(...marks) : EMPTY;
}

/** As the index knows a mark: half of its bytes tell all marks apart. */
export const markKey = (mark: Uint8Array): string => toHex(mark.subarray(0, MARK_BYTES / 2));

export function* markKeys(marks: Uint8Array): Iterable<string> {
  for (let at = 0; at < marks.length; at += MARK_BYTES) yield markKey(marks.subarray(at, at + MARK_BYTES));
}

/** The record of a device, or of a user who is at one. */
type Marked = Pick<DeviceRecord, 'marks'>;

export function noteBearer(watch: RevocationWatch, id: Bearer, { marks }: Marked): void {
  for (const key of markKeys(marks ?? EMPTY)) {
    const bearers = watch.bearers.get(key);
    if (bearers === undefined) watch.bearers.set(key, new Set([id]));
    else bearers.add(id);
  }
}

export function forgetBearer(watch: RevocationWatch, id: Bearer, { marks }: Marked): void {
  for (const key of markKeys(marks ?? EMPTY)) {
    const bearers = watch.bearers.get(key);
    bearers?.delete(id);
    if (bearers?.size === 0) watch.bearers.delete(key);
  }
}

/** Told revoked lately: whatever a verifier says that has not heard of it. */
export function bearsFreshMark(
  watch: RevocationWatch,
  reader: CertificateReader,
  chain: readonly Uint8Array[],
  { crypto }: Pick<World, 'crypto'>,
): boolean {
  if (watch.fresh.size === 0) return false;
  for (const key of markKeys(marksOfChain(watch, reader, crypto, chain))) if (watch.fresh.has(key)) return true;
  return false;
}

/** Whether the verdict on this very chain is the one that is held. */
export const sameChain = (a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean =>
  a.length === b.length && a.every((der, i) => equal(der, b[i]!));
