/**
 * Lists and OCSP answers as one source: either may say revoked, one of the two has to say good. Notes meanwhile what was
 * missing and what was out of date, for the service. @spec RFC 5280 §6.3; RFC 6960 §3.2
 */
import { type DistinguishedName, nameKey } from '../protocol/certificate.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { Revocation, RevocationQuestion, RevocationSource } from '../protocol/revocation.ts';
import { certificateMark } from '../protocol/revocation-mark.ts';
import type { EpochSeconds } from '../protocol/units.ts';

/** What came up while questions were judged. */
export interface RevocationNotes {
  /** Marks of certificates about which a responder has said nothing that holds. */
  readonly missing: readonly string[];
  /** Issuers whose data is out of date, and since when. */
  readonly stale: readonly { readonly issuer: DistinguishedName; readonly since: EpochSeconds }[];
}

export interface MixedRevocation extends RevocationSource {
  /** @returns what came up since the last call */
  takeNotes(): RevocationNotes;
}

/**
 * @param lists  null: none are configured
 * @param ocsp   null: no responder is configured
 */
export function mixedRevocation(
  crypto: Crypto,
  lists: RevocationSource | null,
  ocsp: RevocationSource | null,
): MixedRevocation {
  let missing: string[] = [];
  let stale = new Map<string, RevocationNotes['stale'][number]>();
  const ask = (source: RevocationSource | null, question: RevocationQuestion): Revocation =>
    source?.status(question) ?? { status: 'unknown', detail: 'no source about certificates of its issuer' };
  return {
    status(question) {
      const listed = ask(lists, question);
      if (listed.status === 'revoked') return listed;
      const answered = ask(ocsp, question);
      if (answered.status === 'unknown' && ocsp !== null) {
        missing.push(certificateMark(crypto, question.certificate.issuer, question.certificate.serial));
      }
      const found = ocsp === null ? listed : lists === null ? answered : better(listed, answered);
      if (found.status === 'unknown' && found.staleSince !== undefined) {
        const { issuer } = question.certificate;
        stale.set(nameKey(issuer), { issuer, since: found.staleSince });
      }
      return found;
    },
    takeNotes() {
      const notes = { missing, stale: [...stale.values()] };
      missing = [];
      stale = new Map();
      return notes;
    },
  };
}

/** Of what two sources say about one certificate. */
export function better(a: Revocation, b: Revocation): Revocation {
  if (a.status === 'revoked' || b.status === 'revoked') return { status: 'revoked' };
  if (a.status === 'good' && b.status === 'good') return a.until >= b.until ? a : b;
  if (a.status === 'good') return a;
  if (b.status === 'good') return b;
  const staleSince = newer(a.staleSince, b.staleSince);
  return { status: 'unknown', detail: `${a.detail}; ${b.detail}`, ...(staleSince === undefined ? {} : { staleSince }) };
}

function newer(a: EpochSeconds | undefined, b: EpochSeconds | undefined): EpochSeconds | undefined {
  return a === undefined || b === undefined ? (a ?? b) : a > b ? a : b;
}
