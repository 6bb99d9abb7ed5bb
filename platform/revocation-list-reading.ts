/**
 * Revocation lists out of DER. The entries, up to 200,000, are cut by the spans of the scan and never become objects of the
 * library. @spec RFC 5280 §5
 */
import { equal, toHex } from '../protocol/bytes.ts';
import type {
  DistinguishedName,
  IssuingDistributionPoint,
  ParsedCrl,
  RevocationReason,
  RevokedCertificates,
} from '../protocol/certificate.ts';
import { type Element, expect, Members, oidText, onlyMember, parseDer, parsed, smallInteger } from './asn1.ts';
import { EXTENSION, readExtensionList, readKeyId } from './certificate-extensions.ts';
import { readName } from './certificate-names.ts';
import { DerFault, explicit, type Span, spansOf, TAG } from './der.ts';
import { readIssuingDistributionPoint } from './distribution-points.ts';
import { readSignatureAlgorithm } from './signature-algorithms.ts';
import { readSerial, readSigned, readTime } from './signed-object.ts';

/** Ten for each of 200,000 entries with reason and date; who sends 8 MiB of empty elements, unsigned, buys half a second less. */
const MAX_CRL_ELEMENTS = 2 * 1024 * 1024;
/** Issuers that one indirect list may speak about: each costs the library's reading of a name. */
const MAX_CERTIFICATE_ISSUERS = 1000;
const MAX_NUMBER_BYTES = 20;
/** One is enough to refuse a list; more are told, not all of 200,000. */
const MAX_UNKNOWN = 16;

/** @throws DerFault */
export function readRevocationList(der: Uint8Array): ParsedCrl {
  const { tbs, members, algorithm, signature } = readSigned(der, MAX_CRL_ELEMENTS);
  const version = members.takeIf(TAG.integer);
  if (version !== null && smallInteger(parsed(version)) !== 1) throw new DerFault('an unknown version');
  if (!equal(members.take(TAG.sequence).raw, algorithm)) throw new DerFault('two signature algorithms');
  const issuer = readName(members.takeAny());
  const thisUpdate = readTime(parsed(members.takeAny()));
  const next = members.takeIf(TAG.utcTime, TAG.generalizedTime);
  const listed = members.takeIf(TAG.sequence);
  const extensions = members.takeIf(explicit(0));
  members.end();
  if (extensions !== null && version === null) throw new DerFault('extensions before version 2');
  const unknownCritical = new Set<string>();
  const said =
    extensions === null ? NOTHING : readListExtensions(onlyMember(parsed(extensions), TAG.sequence), unknownCritical);
  const indirect = said.scope?.indirect === true;
  const revoked = readEntries(listed === null ? [] : spansOf(listed.content), issuer, indirect, unknownCritical);
  return {
    der,
    tbs,
    issuer,
    thisUpdate,
    nextUpdate: next === null ? null : readTime(parsed(next)),
    ...said,
    signatureAlgorithm: readSignatureAlgorithm(algorithm),
    signature,
    revoked,
    unknownCritical: [...unknownCritical],
  };
}

interface ListExtensions {
  number: bigint | null;
  authorityKeyId: Uint8Array | null;
  scope: IssuingDistributionPoint | null;
  deltaBase: bigint | null;
}

const NOTHING: Readonly<ListExtensions> = { number: null, authorityKeyId: null, scope: null, deltaBase: null };

/** Scope and delta are obeyed whether they are critical, as they have to be, or not. */
function readListExtensions(list: Element, unknownCritical: Set<string>): ListExtensions {
  const said: ListExtensions = { ...NOTHING };
  for (const { oid, critical, value } of readExtensionList(list)) {
    if (oid === EXTENSION.issuingDistributionPoint) said.scope = readIssuingDistributionPoint(value);
    else if (oid === EXTENSION.deltaCrlIndicator) said.deltaBase = readNumber(value);
    else if (critical) unknownCritical.add(oid);
    else if (oid === EXTENSION.crlNumber) said.number = readNumber(value);
    else if (oid === EXTENSION.authorityKeyId) said.authorityKeyId = readKeyId(value);
  }
  return said;
}

/** @throws DerFault for a negative number, or one of more than 20 bytes [RFC 5280 §5.2.3] */
function readNumber(value: Uint8Array): bigint {
  const { integer } = parseDer(value, TAG.integer);
  if (integer < 0n || integer >= 2n ** BigInt(8 * MAX_NUMBER_BYTES)) throw new DerFault('no number of a list');
  return integer;
}

// ── entries ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** Codes of CRLReason; 7 is not assigned. */
const REASONS: readonly RevocationReason[] = [
  'unspecified',
  'keyCompromise',
  'cACompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'certificateHold',
  'unspecified',
  'removeFromCRL',
  'privilegeWithdrawn',
  'aACompromise',
];

/** Of two entries for one certificate the one counts that can less be taken back. */
function weightOf(reason: RevocationReason): number {
  return reason === 'removeFromCRL' ? 0 : reason === 'certificateHold' ? 1 : 2;
}

interface EntryExtensions {
  readonly reason: RevocationReason;
  /** GeneralNames, DER, of an entry that says whose certificate it names; null: the same issuer as before it. */
  readonly issuer: Uint8Array | null;
}

const PLAIN: EntryExtensions = { reason: 'unspecified', issuer: null };

function readEntries(
  entries: readonly Span[],
  issuer: DistinguishedName,
  indirect: boolean,
  unknownCritical: Set<string>,
): RevokedCertificates[] {
  const groups = new Map<
    string,
    { readonly issuer: DistinguishedName; readonly entries: Map<string, RevocationReason> }
  >();
  const groupOf = (name: DistinguishedName) => {
    const key = name.rdns.join();
    const group = groups.get(key) ?? { issuer: name, entries: new Map<string, RevocationReason>() };
    groups.set(key, group);
    return group;
  };
  const issuers = new Map<string, ReturnType<typeof groupOf>>();
  let group = groupOf(issuer);
  for (const entry of entries) {
    const members = new Members(spansOf(expect(entry, TAG.sequence).content));
    const serial = toHex(readSerial(members.take(TAG.integer)));
    members.take(TAG.utcTime, TAG.generalizedTime);
    const extensions = members.takeIf(TAG.sequence);
    members.end();
    const said = extensions === null ? PLAIN : readEntryExtensions(extensions, unknownCritical);
    if (said.issuer !== null) {
      // In a list that is not indirect nobody may name another issuer. [RFC 5280 §5.3.3]
      if (!indirect) unknownCritical.add(EXTENSION.certificateIssuer);
      const spelling = toHex(said.issuer);
      group = issuers.get(spelling) ?? groupOf(readCertificateIssuer(said.issuer));
      issuers.set(spelling, group);
      if (issuers.size > MAX_CERTIFICATE_ISSUERS) throw new DerFault('too many issuers in one list');
    }
    const before = group.entries.get(serial);
    if (before === undefined || weightOf(said.reason) > weightOf(before)) group.entries.set(serial, said.reason);
  }
  return [...groups.values()];
}

/** Of each spelling but those with dates there are few; the spans cost less than remembering them. */
function readEntryExtensions(list: Span, unknownCritical: Set<string>): EntryExtensions {
  let { reason, issuer } = PLAIN;
  const seen = new Set<string>();
  for (const extension of spansOf(list.content)) {
    const members = new Members(spansOf(expect(extension, TAG.sequence).content));
    const oid = oidOf(members.take(TAG.oid).content);
    const flag = members.takeIf(TAG.boolean);
    if (flag?.content[0] === 0) throw new DerFault('a default that is spelled out');
    const { content } = members.take(TAG.octetString);
    members.end();
    if (seen.has(oid)) throw new DerFault('an extension that stands twice');
    seen.add(oid);
    if (oid === EXTENSION.reasonCode) reason = readReason(content);
    else if (oid === EXTENSION.certificateIssuer) issuer = content;
    else if (oid !== EXTENSION.invalidityDate && flag !== null && unknownCritical.size < MAX_UNKNOWN)
      unknownCritical.add(oid);
  }
  if (seen.size === 0) throw new DerFault('no extension');
  return { reason, issuer };
}

/** The three that occur have no need of the slow spelling in decimal. */
function oidOf(content: Uint8Array): string {
  const [first, second, third] = content;
  if (content.length === 3 && first === 0x55 && second === 0x1d && third! < 0x80) return `2.5.29.${third}`;
  return oidText({ content });
}

function readReason(value: Uint8Array): RevocationReason {
  if (value.length !== 3 || value[0] !== TAG.enumerated || value[1] !== 1) throw new DerFault('no reason code');
  return REASONS[value[2]!] ?? 'unspecified';
}

/** GeneralNames with the one name of a directory. */
function readCertificateIssuer(value: Uint8Array): DistinguishedName {
  const { members } = parseDer(value, TAG.sequence);
  const [directory, ...more] = members.filter(({ tag }) => tag === explicit(4));
  if (directory === undefined || more.length > 0) throw new DerFault('no single issuer of a certificate');
  return readName(onlyMember(directory, TAG.sequence));
}
