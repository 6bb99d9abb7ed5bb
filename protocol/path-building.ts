/**
 * Path building: the path from a leaf to an anchor is searched among a heap of certificates. For the command alone: on
 * the wire the chain comes in order and is taken as sent. @spec RFC 5280 §6.1, RFC 4158 §2, design §5.7
 */
import { equal } from './bytes.ts';
import { type ParsedCertificate, sameName } from './certificate.ts';
import type { VerdictReason } from './messages.ts';
import { type PathFinding, type PathQuestion, validatePath } from './path-validation.ts';
import { signatureWork } from './signature-work.ts';

export interface PathSearch extends Omit<PathQuestion, 'chain'> {
  readonly leaf: ParsedCertificate;
  /** A heap in any order: CAs, list signers, doubles, strangers. */
  readonly intermediates: readonly ParsedCertificate[];
  /** Most intermediates in the path. */
  readonly maxDepth?: number;
}

export type SearchFinding = PathFinding & {
  /** Leaf first, without the anchor: the path found, or the one whose fault is told. */
  readonly path: readonly ParsedCertificate[];
};

/** The profile's, as on the wire. */
export const DEFAULT_MAX_DEPTH = 4;

/** @returns the first good path, or the fault that tells most: the one of the path that came furthest */
export function findPath(search: PathSearch): SearchFinding {
  const { leaf, maxDepth = DEFAULT_MAX_DEPTH, intermediates, ...question } = search;
  const work = signatureWork(search.crypto);
  let telling: SearchFinding | null = null;
  for (const path of paths([leaf], search, maxDepth)) {
    const found = { ...validatePath({ ...question, crypto: work.crypto, chain: path }), path };
    if (work.exhausted) {
      return {
        ok: false,
        reason: 'work-limit',
        detail: 'more signature checks than one question may cost',
        index: 0,
        path,
      };
    }
    if (found.ok) return found;
    if (telling === null || rankOf(found) > rankOf(telling)) telling = found;
  }
  return telling ?? { ...validatePath({ ...question, chain: [leaf] }), path: [leaf] };
}

/** From the least telling on. */
const RANKS: readonly VerdictReason[] = ['unknown-issuer', 'chain-too-long', 'bad-signature'];

function rankOf(finding: PathFinding): number {
  return finding.ok
    ? Number.POSITIVE_INFINITY
    : (RANKS.indexOf(finding.reason) + RANKS.length + 1) % (RANKS.length + 1);
}

/** Each path that could be one by its names, the likeliest first. */
function* paths(
  path: readonly ParsedCertificate[],
  search: PathSearch,
  left: number,
): Generator<readonly ParsedCertificate[]> {
  const top = path.at(-1)!;
  if (search.anchors.some((anchor) => sameName(anchor.subject, top.issuer) || equal(anchor.der, top.der))) yield path;
  if (left === 0) return;
  const wanted = top.extensions.authorityKeyId;
  const candidates = search.intermediates.filter(
    (one) =>
      sameName(one.subject, top.issuer) &&
      !path.some((above) => equal(above.spki, one.spki) && sameName(above.subject, one.subject)),
  );
  const likely = (one: ParsedCertificate): number => {
    const given = one.extensions.subjectKeyId;
    return wanted !== null && given !== null && equal(wanted, given) ? 0 : 1;
  };
  for (const next of candidates.toSorted((a, b) => likely(a) - likely(b)))
    yield* paths([...path, next], search, left - 1);
}
