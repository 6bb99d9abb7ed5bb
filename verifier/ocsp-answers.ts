/**
 * OCSP as a source of revocation data for a machine that does not wait: it answers from what was fetched before, and notes
 * what has to be fetched. The service fetches and hands the answer in; then the machine is asked again.
 */
import { equal } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { Crypto, PublicKey } from '../protocol/crypto.ts';
import type { OcspCodec } from '../protocol/ocsp.ts';
import { checkOcspAnswer } from '../protocol/ocsp-check.ts';
import type { Revocation, RevocationSource } from '../protocol/revocation.ts';
import { certificateMark } from '../protocol/revocation-mark.ts';
import type { EpochSeconds } from '../protocol/units.ts';

export interface OcspSourceSettings {
  readonly crypto: Crypto;
  readonly codec: Pick<OcspCodec, 'issuerHashes' | 'readAnswer'>;
  /** Whether there is a responder for this CA's certificates, and whether its answers need our nonce. */
  readonly responderOf: (issuer: ParsedCertificate) => { readonly nonceRequired: boolean } | null;
  /** Whether the signer of an answer is revoked by what is known besides. */
  readonly isDistrusted?: (signer: ParsedCertificate) => boolean;
}

/** What the service has to ask a responder about. */
export interface OcspWanted {
  /** Of the certificate; names it in `settle`. */
  readonly mark: string;
  readonly certificate: ParsedCertificate;
  readonly issuer: ParsedCertificate;
  readonly issuerKey: PublicKey;
}

/** What came of it: bytes of an answer and the nonce that was sent, or why there are none. */
export type OcspFetched = { readonly der: Uint8Array; readonly nonce: Uint8Array | null } | { readonly fault: string };

export interface OcspSource extends RevocationSource {
  /** Answers held. */
  readonly size: number;
  /** Whatever was asked about since and is not under way; each goes out once and comes back by `settle`. */
  takeWanted(): OcspWanted[];
  /** @returns what is known of that certificate now */
  settle(wanted: OcspWanted, fetched: OcspFetched, at: EpochSeconds): Revocation;
  /** Every answer counts on, and another is wanted when its certificate is next asked about. */
  refreshHeld(): void;
  /** Drops the answers of signers that are distrusted by now. */
  dropDistrusted(): void;
}

/** Implementation limits; what was not asked about for longest goes first. */
const MAX_HELD = 10_000;
const MAX_WANTED = 1000;
const MAX_REVOKED = 100_000;
/** After a failure nobody is asked again for so long, however often the certificate comes. */
const RETRY_SECONDS = 10;
/** What is revoked hardly ever comes back (from hold). */
const REVOKED_SECONDS = 300;

interface Held {
  /** The issuer's key under which the answer was checked: another CA may bear the same name. */
  readonly spki: Uint8Array;
  readonly answer: Revocation;
  /** Delegates that the check of the answer looked at. */
  readonly delegates: readonly ParsedCertificate[];
  /** A new answer is wanted from then on. */
  readonly refreshAt: number;
}

export function ocspSource(settings: OcspSourceSettings): OcspSource {
  const { crypto, codec, responderOf, isDistrusted } = settings;
  const held = new Map<string, Held>();
  /** By mark, when the newest answer was made that called it revoked: an older one that is sent again takes nothing back. */
  const revokedAt = new Map<string, EpochSeconds>();
  const wanted = new Map<string, OcspWanted>();
  const underWay = new Set<string>();

  const want = (one: OcspWanted): void => {
    if (!underWay.has(one.mark) && wanted.size < MAX_WANTED) wanted.set(one.mark, one);
  };
  const put = (mark: string, entry: Held): void => {
    held.delete(mark); // to the end of the order of use
    held.set(mark, entry);
    if (held.size > MAX_HELD) held.delete(held.keys().next().value!);
  };

  return {
    get size() {
      return held.size;
    },
    status({ certificate, issuer, issuerKey, at }) {
      if (responderOf(issuer) === null) return { status: 'unknown', detail: 'no OCSP responder of its issuer' };
      const mark = certificateMark(crypto, certificate.issuer, certificate.serial);
      const entry = held.get(mark);
      if (entry === undefined || !equal(entry.spki, issuerKey.spki)) {
        want({ mark, certificate, issuer, issuerKey });
        return { status: 'unknown', detail: 'its OCSP responder was not asked yet' };
      }
      put(mark, entry);
      if (at >= entry.refreshAt) want({ mark, certificate, issuer, issuerKey });
      return ageTo(entry.answer, at);
    },
    takeWanted() {
      const taken = [...wanted.values()];
      wanted.clear();
      for (const { mark } of taken) underWay.add(mark);
      return taken;
    },
    settle(one, fetched, at) {
      underWay.delete(one.mark);
      const before = held.get(one.mark);
      const same = before !== undefined && equal(before.spki, one.issuerKey.spki) ? ageTo(before.answer, at) : null;
      const delegates: ParsedCertificate[] = [];
      const fresh = check(one, fetched, at, delegates);
      const refreshAt = refreshOf(fresh, at);
      // Whoever only hinders an answer does not undo the one that is held.
      if (before !== undefined && same !== null && fresh.status === 'unknown' && holds(same)) {
        put(one.mark, { ...before, answer: same, refreshAt });
        return same;
      }
      put(one.mark, { spki: one.issuerKey.spki, answer: fresh, delegates, refreshAt });
      return fresh;
    },
    refreshHeld() {
      for (const [mark, entry] of held) held.set(mark, { ...entry, refreshAt: 0 });
    },
    dropDistrusted() {
      if (isDistrusted === undefined) return;
      for (const [mark, { delegates }] of held) if (delegates.some(isDistrusted)) held.delete(mark);
    },
  };

  /** @param delegates  those that are looked at are put in here */
  function check(one: OcspWanted, fetched: OcspFetched, at: EpochSeconds, delegates: ParsedCertificate[]): Revocation {
    if ('fault' in fetched) return { status: 'unknown', detail: fetched.fault };
    const { certificate, issuer, issuerKey, mark } = one;
    const answer = codec.readAnswer(fetched.der);
    const found = checkOcspAnswer({
      crypto,
      codec,
      certificate,
      issuer,
      issuerKey,
      at,
      answer,
      nonce: fetched.nonce,
      nonceRequired: responderOf(issuer)?.nonceRequired ?? true,
      isDistrusted(delegate) {
        delegates.push(delegate);
        return isDistrusted?.(delegate) === true;
      },
    });
    const made = answer?.status === 'successful' ? answer.producedAt : at;
    const before = revokedAt.get(mark);
    if (found.status === 'revoked') {
      revokedAt.delete(mark);
      revokedAt.set(mark, Math.max(before ?? 0, Math.min(made, at)) as EpochSeconds);
      if (revokedAt.size > MAX_REVOKED) revokedAt.delete(revokedAt.keys().next().value!);
    }
    if (found.status !== 'good' || before === undefined || made > before) return found;
    return { status: 'unknown', detail: 'the OCSP answer is older than the one that called it revoked' };
  }
}

/** Good, revoked, or good and merely old. */
function holds(answer: Revocation): boolean {
  return answer.status !== 'unknown' || answer.staleSince !== undefined;
}

function ageTo(answer: Revocation, at: EpochSeconds): Revocation {
  if (answer.status !== 'good' || at <= answer.until) return answer;
  return { status: 'unknown', detail: 'the OCSP answer is out of date', staleSince: answer.until };
}

/** At half of its time, so that a certificate in use is asked about before its answer runs out. */
function refreshOf(fresh: Revocation, at: EpochSeconds): number {
  if (fresh.status === 'revoked') return at + REVOKED_SECONDS;
  return at + Math.max(RETRY_SECONDS, fresh.status === 'good' ? (fresh.until - at) / 2 : 0);
}
