/**
 * What `kagimori verifier check` finds, in memory: the path by protocol/path-building.ts, then the names of the leaf.
 */
import { domainToASCII } from 'node:url';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { equal } from '../../protocol/bytes.ts';
import { type ParsedCertificate, sameName } from '../../protocol/certificate.ts';
import { goesByCommonName, type Role } from '../../protocol/certificate-role.ts';
import { DEFAULT_MAX_DEPTH, findPath, type SearchFinding } from '../../protocol/path-building.ts';
import type { PathFault } from '../../protocol/path-fault.ts';
import type { RevocationSource } from '../../protocol/revocation.ts';
import { holdsName, type ReferenceName, readReferenceName } from '../../protocol/subject-name.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { Failure } from '../failure.ts';
import { printable } from '../output.ts';
import { timeText } from './certificate-text.ts';

export interface WantedName {
  /** As it was given. */
  readonly text: string;
  readonly name: ReferenceName;
}

export interface JudgeQuestion {
  readonly leaf: ParsedCertificate;
  readonly anchors: readonly ParsedCertificate[];
  readonly intermediates: readonly ParsedCertificate[];
  readonly revocation: RevocationSource | null;
  /** Seconds since 1970. */
  readonly at: number;
  readonly purpose: Role;
  readonly names: readonly WantedName[];
  /** Most intermediates in the path, self-issued ones aside; the profile's 4 hold beside it. null: these alone. */
  readonly maxDepth: number | null;
}

export interface Judgement {
  readonly fault: Pick<PathFault, 'reason' | 'detail' | 'index'> | null;
  /** Leaf first, without the anchor: the path found, or the one at fault. */
  readonly path: readonly ParsedCertificate[];
  /** null when none was reached. */
  readonly anchor: ParsedCertificate | null;
  /** Seconds since 1970; null with a fault. */
  readonly until: number | null;
}

export function judge(question: JudgeQuestion): Judgement {
  const { leaf, anchors, purpose } = question;
  const crypto = nodeCrypto();
  const found = findPath({
    strict: true,
    ...question,
    crypto,
    at: EpochSeconds(question.at),
    maxDepth: Math.min(question.maxDepth ?? DEFAULT_MAX_DEPTH, DEFAULT_MAX_DEPTH),
  });
  const [path, anchor] = pathUnder(leaf, found, anchors);
  if (!found.ok) {
    const { reason, index } = found;
    const culprit = index < path.length ? path[index]! : anchor;
    return { fault: { reason, detail: detailOf(found, culprit), index }, path, anchor, until: null };
  }
  if (purpose === 'server') {
    const index = [...path, found.anchor].findIndex(({ spki }) => (crypto.publicKey(spki)?.bits ?? 0) % 8 !== 0);
    // [Baseline Requirements §6.1.5]
    const detail = 'an RSA key whose modulus is no whole number of bytes';
    if (index >= 0) return { fault: { reason: 'weak-key', detail, index }, path, anchor, until: null };
  }
  const missing = question.names.find((one) => !isHeld(leaf, one, purpose));
  if (missing !== undefined) {
    const detail = `it does not hold ${printable(missing.text)}`;
    return { fault: { reason: 'wrong-name', detail, index: 0 }, path, anchor, until: null };
  }
  return { fault: null, path, anchor, until: found.validUntil };
}

/** @param text  `dns:…`, `ip:…`, `email:…`, `uri:…`; hosts may be in any script @throws Failure */
export function readWantedName(text: string): WantedName {
  const ascii = text.replace(/(?<=^dns:|^email:.*@)[^@]*[^ -~][^@]*$/u, (host) => domainToASCII(host));
  // A line break would be dropped on the way to an A-label
  const name = /\p{Cc}/u.test(text) ? null : readReferenceName(ascii);
  if (name !== null) return { text, name };
  const forms = 'dns:host, ip:address, email:mailbox or uri:URI';
  throw new Failure('usage', 'bad-name', `--name ${printable(text)}: no name of the form ${forms}`);
}

/** A device, manager or user goes by its common name too; where that counts, wildcards do not. */
function isHeld(leaf: ParsedCertificate, { text, name }: WantedName, purpose: Role): boolean {
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
  leaf: ParsedCertificate,
  found: SearchFinding,
  anchors: readonly ParsedCertificate[],
): readonly [readonly ParsedCertificate[], ParsedCertificate | null] {
  const top = found.path.at(-1);
  if (top === undefined) return [[leaf], null];
  const itself = found.path.length > 1 ? anchors.find((one) => equal(one.der, top.der)) : undefined;
  if (itself !== undefined) return [found.path.slice(0, -1), itself];
  if (found.ok) return [found.path, found.anchor];
  return [found.path, anchors.find((one) => sameName(one.subject, top.issuer)) ?? null];
}

function detailOf({ reason, detail }: PathFault, culprit: ParsedCertificate | null): string {
  if (culprit === null) return detail;
  if (reason === 'expired') return `its period ended at ${timeText(culprit.notAfter)}`;
  if (reason === 'not-yet-valid') return `its period begins at ${timeText(culprit.notBefore)}`;
  return detail;
}
