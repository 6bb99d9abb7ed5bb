/**
 * `kagimori verifier check`: one certificate under given anchors, its path searched among given certificates.
 */
import { domainToASCII } from 'node:url';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { equal, toHex } from '../../protocol/bytes.ts';
import { type ParsedCertificate, sameName } from '../../protocol/certificate.ts';
import { goesByCommonName, type Role } from '../../protocol/certificate-role.ts';
import { DEFAULT_MAX_DEPTH, findPath, type SearchFinding } from '../../protocol/path-building.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { holdsName, type ReferenceName, readReferenceName } from '../../protocol/subject-name.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { Failure } from '../failure.ts';
import { printable } from '../output.ts';
import { readCertificates, readLeaf, readLists } from './certificate-heap.ts';
import { nameText, timeText } from './certificate-text.ts';
import { CHECK_REASONS, type CheckReason } from './check-reasons.ts';

/** Files, PEM or DER. */
export interface CheckQuestion {
  readonly leaf: string;
  readonly anchors: readonly string[];
  readonly intermediates: readonly string[];
  /** null: revocation is not asked. */
  readonly crls: readonly string[] | null;
  /** Seconds since 1970. */
  readonly at: number;
  readonly purpose: Exclude<Role, 'verifier'>;
  /** `dns:…`, `ip:…`, `email:…`, `uri:…`: all of them have to be the certificate's. */
  readonly names: readonly string[];
  /** Most intermediates in the path, self-issued ones aside; the profile's 4 hold beside it. null: these alone. */
  readonly maxDepth: number | null;
}

export interface PathEntry {
  readonly subject: string;
  readonly issuer: string;
  /** Hex. */
  readonly serial: string;
  readonly from: string;
  readonly until: string;
  readonly anchor: boolean;
}

/** Its keys are stable: programs read them. Times as in RFC 3339. */
export interface CheckResult {
  readonly valid: boolean;
  /** null when it is valid. */
  readonly reason: CheckReason | null;
  readonly detail: string | null;
  readonly remedy: string | null;
  /** Which certificate of `path` is at fault. */
  readonly index: number | null;
  readonly at: string;
  readonly purpose: CheckQuestion['purpose'];
  readonly names: readonly string[];
  /** Leaf first. Without an anchor when none was reached; empty when the leaf cannot be read. */
  readonly path: readonly PathEntry[];
  /** Until when the same question has the same answer. */
  readonly until: string | null;
  readonly revocation: 'checked' | 'not-checked';
  /** What was passed over. */
  readonly remarks: readonly string[];
}

/** @throws Failure, FileFault for input that cannot be used */
export function checkCertificate(question: CheckQuestion): CheckResult {
  const { at, purpose, names } = question;
  const wanted = names.map((text) => ({ text, name: readName(text) }));
  const leaf = readLeaf(question.leaf);
  const anchors = readCertificates(question.anchors);
  const intermediates = readCertificates(question.intermediates);
  const lists = question.crls === null ? null : readLists(question.crls);
  const head = { at: timeText(at), purpose, names };
  const tail = {
    revocation: lists === null ? 'not-checked' : 'checked',
    remarks: [...anchors.remarks, ...intermediates.remarks, ...(lists?.remarks ?? [])],
  } as const;
  const notValid = (
    reason: CheckReason,
    detail: string,
    index: number,
    path: readonly ParsedCertificate[],
    anchor: ParsedCertificate | null,
  ): CheckResult => {
    const verdict = { valid: false, reason, detail, remedy: CHECK_REASONS[reason], index };
    return { ...verdict, ...head, path: entriesOf(path, anchor), until: null, ...tail };
  };
  const { certificate } = leaf;
  if (certificate === null) {
    return notValid('malformed', 'not a certificate in the form that RFC 5280 asks for', 0, [], null);
  }
  const found = findPath({
    crypto: nodeCrypto(),
    leaf: certificate,
    intermediates: [...intermediates.items, ...leaf.chain],
    anchors: anchors.items,
    revocation: lists === null ? null : crlSet(lists.items),
    at: EpochSeconds(at),
    purpose,
    maxDepth: Math.min(question.maxDepth ?? DEFAULT_MAX_DEPTH, DEFAULT_MAX_DEPTH),
  });
  const [path, anchor] = pathUnder(found, anchors.items);
  if (!found.ok)
    return notValid(
      found.reason,
      detailOf(found, anchor === null ? path : [...path, anchor]),
      found.index,
      path,
      anchor,
    );
  const missing = wanted.find(({ text, name }) => !isHeld(certificate, text, name, purpose));
  if (missing !== undefined) {
    return notValid('wrong-name', `it does not hold ${printable(missing.text)}`, 0, path, anchor);
  }
  const verdict = { valid: true, reason: null, detail: null, remedy: null, index: null };
  return { ...verdict, ...head, path: entriesOf(path, anchor), until: timeText(found.validUntil), ...tail };
}

/** @throws Failure */
function readName(text: string): ReferenceName {
  const ascii = text.replace(/(?<=^dns:|^email:.*@)[^@]*[^\0-\x7f][^@]*$/u, (host) => domainToASCII(host));
  const name = readReferenceName(ascii);
  if (name !== null) return name;
  const forms = 'dns:host, ip:address, email:mailbox or uri:URI';
  throw new Failure('usage', 'bad-name', `--name ${printable(text)}: no name of the form ${forms}`);
}

/** A device, manager or user goes by its common name too; where that counts, wildcards do not. */
function isHeld(leaf: ParsedCertificate, text: string, name: ReferenceName, purpose: Role): boolean {
  const byCommonName = goesByCommonName(purpose);
  if (holdsName(leaf.extensions.subjectAltName, name, !byCommonName)) return true;
  const { commonName } = leaf.subject;
  if (!byCommonName || commonName === null) return false;
  return name.form === 'dns'
    ? commonName.toLowerCase() === name.host
    : commonName === text.slice(text.indexOf(':') + 1);
}

/** @returns the path without its anchor, and the anchor: the one that holds, or one that could */
function pathUnder(
  found: SearchFinding,
  anchors: readonly ParsedCertificate[],
): readonly [readonly ParsedCertificate[], ParsedCertificate | null] {
  const top = found.path.at(-1);
  const itself = anchors.find((one) => top !== undefined && found.path.length > 1 && equal(one.der, top.der));
  if (itself !== undefined) return [found.path.slice(0, -1), itself];
  if (found.ok) return [found.path, found.anchor];
  return [found.path, anchors.find((one) => top !== undefined && sameName(one.subject, top.issuer)) ?? null];
}

function detailOf(
  { reason, detail, index }: Extract<SearchFinding, { ok: false }>,
  path: readonly ParsedCertificate[],
) {
  const culprit = path[index];
  if (reason === 'expired' && culprit !== undefined) return `its period ended at ${timeText(culprit.notAfter)}`;
  if (reason === 'not-yet-valid' && culprit !== undefined) return `its period begins at ${timeText(culprit.notBefore)}`;
  return detail;
}

function entriesOf(path: readonly ParsedCertificate[], anchor: ParsedCertificate | null): readonly PathEntry[] {
  const entry = (one: ParsedCertificate): PathEntry => ({
    subject: nameText(one.subject),
    issuer: nameText(one.issuer),
    serial: toHex(one.serial),
    from: timeText(one.notBefore),
    until: timeText(one.notAfter),
    anchor: one === anchor,
  });
  return [...path, ...(anchor === null ? [] : [anchor])].map(entry);
}
