/**
 * Revocation by lists (CRLs): complete ones, deltas on them, lists that are partitioned by place or reason, and lists that
 * somebody else signs. A list that cannot be judged clears nobody, and whom a list names is not cleared by another one.
 * @spec RFC 5280 §5, §6.3
 */
import { equal, toHex } from './bytes.ts';
import { nameKey, type ParsedCertificate, type ParsedCrl, type RevocationReason, sameName } from './certificate.ts';
import type { Crypto, PublicKey } from './crypto.ts';
import { ALL_REASONS, type ListScope, reasonsCovered, scopeOf, searchOf } from './list-scope.ts';
import { maySignLists } from './list-signer.ts';
import type { Revocation, RevocationQuestion, RevocationSource } from './revocation.ts';
import type { EpochSeconds } from './units.ts';

/** Lists found by their issuer; a signature that held is not checked again for the same key. */
export interface CrlSet extends RevocationSource {
  readonly size: number;
}

/** A list, and what it says about one certificate. */
interface Heard {
  readonly crl: ParsedCrl;
  /** Reasons that it speaks about, as bits. */
  readonly covers: number;
  /** null: it does not name the certificate. */
  readonly entry: RevocationReason | null;
}

/** Keys that are tried on one list. */
const MAX_SIGNERS_TRIED = 8;
/** Lists about one certificate that are weighed against each other. */
const MAX_HEARD = 100;

/**
 * @param signers  who else may have signed one of the lists, in any order: other keys of their issuers, delegated signers,
 *                 and the CAs above those
 */
export function crlSet(crls: readonly ParsedCrl[], signers: readonly ParsedCertificate[] = []): CrlSet {
  const byIssuer = new Map<string, Listed[]>();
  for (const crl of crls) {
    const name = nameKey(crl.issuer);
    const entriesOf = new Map(crl.revoked.map(({ issuer, entries }) => [nameKey(issuer), entries]));
    const listed = { crl, scope: scopeOf(crl), entriesOf };
    const before = byIssuer.get(name);
    if (before === undefined) byIssuer.set(name, [listed]);
    else before.push(listed);
  }
  const signedBy = new Map<ParsedCrl, Uint8Array>();

  const isSignedBy = (crypto: Crypto, crl: ParsedCrl, key: PublicKey): boolean => {
    const known = signedBy.get(crl);
    if (known !== undefined && equal(known, key.spki)) return true;
    if (crl.signatureAlgorithm === null) return false;
    return crypto.verify(crl.signatureAlgorithm, key, crl.signature, crl.tbs, 'der');
  };
  /** @returns what is wrong with who signed it, or null */
  const signerFault = (question: RevocationQuestion, crl: ParsedCrl): string | null => {
    const { crypto, issuer, issuerKey, candidates } = question;
    if (sameName(issuer.subject, crl.issuer) && isSignedBy(crypto, crl, issuerKey)) {
      if (!maySignLists(issuer)) return 'its issuer may not sign revocation lists';
      signedBy.set(crl, issuerKey.spki);
      return null;
    }
    const others = [...candidates, ...signers].filter(({ subject }) => sameName(subject, crl.issuer));
    for (const signer of likeliestFirst(crl, others).slice(0, MAX_SIGNERS_TRIED)) {
      const key = crypto.publicKey(signer.spki);
      if (key === null || !isSignedBy(crypto, crl, key) || question.proveListSigner(signer, signers) === null) continue;
      signedBy.set(crl, key.spki);
      return null;
    }
    return 'the revocation list is not signed by its issuer, nor by whom its issuer lets sign it';
  };

  return {
    size: crls.length,
    status(question) {
      const { certificate, at } = question;
      const serial = toHex(certificate.serial);
      const search = searchOf(certificate);
      const owner = search.issuer;
      let detail = 'no revocation list of its issuer';
      const heard: Heard[] = [];
      for (const name of search.issuers) {
        for (const { crl, scope, entriesOf } of byIssuer.get(name) ?? []) {
          const covers = reasonsCovered(search, scope);
          const entry = entriesOf.get(owner)?.get(serial) ?? null;
          if (covers === 0) detail = 'no revocation list that is about it';
          // What its own issuer says of it counts wherever it stands; what others say, where they are told to say it.
          if (covers === 0 && (entry === null || name !== owner)) continue;
          const fault = signerFault(question, crl);
          if (fault === null) heard.push({ crl, covers, entry });
          else detail = fault;
        }
      }
      if (heard.length > MAX_HEARD) return { status: 'unknown', detail: `more than ${MAX_HEARD} lists are about it` };
      if (heard.some((one) => isOut(one, heard, at))) return { status: 'revoked' };
      return standing(heard, at, detail);
    },
  };
}

interface Listed {
  readonly crl: ParsedCrl;
  readonly scope: ListScope;
  /** By `nameKey` of the issuer of certificates, then by serial. */
  readonly entriesOf: ReadonlyMap<string, ReadonlyMap<string, RevocationReason>>;
}

function likeliestFirst(crl: ParsedCrl, signers: readonly ParsedCertificate[]): ParsedCertificate[] {
  const wanted = crl.authorityKeyId;
  const rank = ({ extensions: { subjectKeyId } }: ParsedCertificate): number =>
    wanted === null || subjectKeyId === null ? 1 : equal(wanted, subjectKeyId) ? 0 : 2;
  return signers.toSorted((a, b) => rank(a) - rank(b));
}

// ── what the lists say together ─────────────────────────────────────────────────────────────────────────────────────

/** An entry means what it says, in an old list too, unless it is lifted: a hold that ended. [RFC 5280 §5.3.1] */
function isOut(one: Heard, all: readonly Heard[], at: EpochSeconds): boolean {
  if (one.entry === null || (one.entry === 'removeFromCRL' && one.crl.deltaBase !== null)) return false;
  return !all.some((other) => lifts(other, one, at));
}

function lifts(other: Heard, one: Heard, at: EpochSeconds): boolean {
  if (!isCurrent(other.crl, at) || !isUsable(other) || !isSameScope(other.crl, one.crl)) return false;
  if (other.crl.deltaBase === null) {
    return one.entry === 'certificateHold' && other.entry === null && isNewer(other.crl, one.crl);
  }
  if (other.entry !== 'removeFromCRL') return false;
  return one.crl.deltaBase === null ? extendsBase(other.crl, one.crl) : isNewer(other.crl, one.crl);
}

function standing(heard: readonly Heard[], at: EpochSeconds, otherwise: string): Revocation {
  let detail = otherwise;
  const told: { readonly covers: number; readonly until: EpochSeconds }[] = [];
  for (const one of heard) {
    const { crl, covers } = one;
    if (crl.unknownCritical.length > 0)
      detail = `the revocation list has a critical extension ${crl.unknownCritical[0]}`;
    else if (crl.thisUpdate > at) detail = 'the revocation list is from the future';
    else if (crl.nextUpdate === null) detail = 'the revocation list does not say how long it holds';
    else if (crl.deltaBase !== null) detail = 'a delta without the list that it changes';
    else if (covers !== 0) told.push({ covers, until: untilOf(crl, crl.nextUpdate, heard, at) });
  }
  if (told.length === 0) return { status: 'unknown', detail };
  let covered = 0;
  for (const { covers, until } of told.toSorted((a, b) => b.until - a.until)) {
    covered |= covers;
    if (covered !== ALL_REASONS) continue;
    if (until >= at) return { status: 'good', until };
    return { status: 'unknown', detail: 'the revocation list is out of date', staleSince: until };
  }
  return { status: 'unknown', detail: 'its revocation lists do not speak about every reason' };
}

/** A delta in force says how long; without one the list itself. [RFC 5280 §6.3.3 (a)] */
function untilOf(crl: ParsedCrl, next: EpochSeconds, heard: readonly Heard[], at: EpochSeconds): EpochSeconds {
  const ends = heard
    .filter((one) => isUsable(one) && one.crl.thisUpdate <= at && extendsBase(one.crl, crl))
    .map((one) => one.crl.nextUpdate ?? next);
  if (ends.length === 0) return next;
  const latest = Math.max(...ends) as EpochSeconds;
  return latest >= at ? latest : (Math.max(latest, next) as EpochSeconds);
}

function isUsable({ crl, covers }: Heard): boolean {
  return crl.unknownCritical.length === 0 && covers !== 0;
}

function isCurrent({ thisUpdate, nextUpdate }: ParsedCrl, at: EpochSeconds): boolean {
  return thisUpdate <= at && nextUpdate !== null && nextUpdate >= at;
}

/** Whether a delta may be applied to a list. [RFC 5280 §5.2.4, §6.3.3 (c)] */
function extendsBase(delta: ParsedCrl, base: ParsedCrl): boolean {
  if (delta.deltaBase === null || delta.number === null || base.deltaBase !== null || base.number === null)
    return false;
  if (!isSameScope(delta, base) || !isSameOrNone(delta.authorityKeyId, base.authorityKeyId)) return false;
  return base.number >= delta.deltaBase && base.number < delta.number;
}

function isSameScope(a: ParsedCrl, b: ParsedCrl): boolean {
  return sameName(a.issuer, b.issuer) && isSameOrNone(a.scope?.der ?? null, b.scope?.der ?? null);
}

function isSameOrNone(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : equal(a, b);
}

/** By number; where one has none, by date. */
function isNewer(a: ParsedCrl, than: ParsedCrl): boolean {
  if (a.number !== null && than.number !== null) return a.number > than.number;
  return a.thisUpdate > than.thisUpdate;
}
