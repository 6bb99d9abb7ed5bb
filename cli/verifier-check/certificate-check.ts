/**
 * `kagimori verifier check`: one certificate under given anchors, its path searched among given certificates.
 */
import { toHex } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import type { Role } from '../../protocol/certificate-role.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import { readAnchors, readIntermediates, readLeaf, readLists } from './certificate-heap.ts';
import { nameText, timeText } from './certificate-text.ts';
import { CHECK_REASONS, type CheckReason } from './check-reasons.ts';
import { type Judgement, judge, readWantedName } from './judgement.ts';

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
  const { at, purpose, names, maxDepth } = question;
  const wanted = names.map(readWantedName);
  const { certificate: leaf, chain } = readLeaf(question.leaf);
  const anchors = readAnchors(question.anchors);
  const heap = readIntermediates(question.intermediates);
  const lists = question.crls === null ? null : readLists(question.crls);
  const intermediates = [...heap.items, ...chain];
  const revocation = lists === null ? null : crlSet(lists.items);
  const { fault, path, anchor, until } =
    leaf === null
      ? UNREADABLE
      : judge({ leaf, anchors: anchors.items, intermediates, revocation, at, purpose, names: wanted, maxDepth });
  return {
    valid: fault === null,
    reason: fault?.reason ?? null,
    detail: fault?.detail ?? null,
    remedy: fault === null ? null : CHECK_REASONS[fault.reason],
    index: fault?.index ?? null,
    at: timeText(at),
    purpose,
    names,
    path: entriesOf(path, anchor),
    until: until === null ? null : timeText(until),
    revocation: lists === null ? 'not-checked' : 'checked',
    remarks: [...anchors.remarks, ...heap.remarks, ...(lists?.remarks ?? [])],
  };
}

/** A leaf that is there, and none. */
const UNREADABLE: Judgement = {
  fault: { reason: 'malformed', detail: 'not a certificate in the form that RFC 5280 asks for', index: 0 },
  path: [],
  anchor: null,
  until: null,
};

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
