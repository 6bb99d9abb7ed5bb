/**
 * What the lists in force say of a serial number, for askers who have no certificate to show (OCSP). Good is said where a
 * current list about all certificates of that CA is silent; a list about a part of them can only say revoked.
 */
import { equal, toHex } from '../protocol/bytes.ts';
import { type ParsedCertificate, type ParsedCrl, type RevocationReason, sameName } from '../protocol/certificate.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import type { ListKeeping, ProvenList } from './list-keeping.ts';
import type { OcspKnowledge } from './ocsp-responder.ts';

/** CRLReason. @spec RFC 5280 §5.3.1 */
const CODES: Readonly<Record<RevocationReason, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  cACompromise: 2,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  certificateHold: 6,
  removeFromCRL: 8,
  privilegeWithdrawn: 9,
  aACompromise: 10,
};

/** The time of revocation is not kept of each entry: told is that of the list, when it was so at the latest. */
export function lookUpSerial(
  keeping: Pick<ListKeeping, 'proven' | 'marks'>,
  markOf: (issuer: ParsedCertificate, serial: Uint8Array) => string,
  issuer: ParsedCertificate,
  serial: Uint8Array,
  at: EpochSeconds,
): OcspKnowledge {
  const lists = keeping.proven().filter((list) => speaksFor(list, issuer));
  const current = lists.filter(({ crl }) => crl.nextUpdate !== null && crl.nextUpdate >= at && crl.thisUpdate <= at);
  const hex = toHex(serial);
  if (keeping.marks().has(markOf(issuer, serial))) {
    const naming = lists.find((list) => reasonIn(list, issuer, hex) !== null);
    if (naming === undefined) return { status: 'unknown' };
    const { thisUpdate, nextUpdate } = naming.crl;
    const reason = CODES[reasonIn(naming, issuer, hex) ?? 'unspecified'];
    const until = nextUpdate === null || nextUpdate < at ? at : nextUpdate;
    return { status: 'revoked', revokedAt: thisUpdate, reason, thisUpdate, nextUpdate: until };
  }
  const whole = current.find(({ crl, signer }) => isWhole(crl) && equal(signer.spki, issuer.spki));
  if (whole === undefined) return { status: 'unknown' };
  return { status: 'good', thisUpdate: whole.crl.thisUpdate, nextUpdate: whole.crl.nextUpdate ?? at };
}

function speaksFor({ crl }: ProvenList, { subject }: ParsedCertificate): boolean {
  return crl.revoked.some(({ issuer }) => sameName(issuer, subject));
}

function isWhole({ scope, deltaBase, unknownCritical }: ParsedCrl): boolean {
  return scope === null && deltaBase === null && unknownCritical.length === 0;
}

function reasonIn({ crl }: ProvenList, { subject }: ParsedCertificate, serial: string): RevocationReason | null {
  const group = crl.revoked.find(({ issuer }) => sameName(issuer, subject));
  return group?.entries.get(serial) ?? null;
}
