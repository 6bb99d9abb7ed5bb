/**
 * Path building: the path from a leaf to an anchor is searched among a heap of certificates. For the command alone: on
 * the wire the chain comes in order and is taken as sent. @spec RFC 5280 §6.1, RFC 4158 §2, design §5.7
 */
import { equal } from './bytes.ts';
import type { ParsedCertificate } from './certificate.ts';
import type { VerdictReason } from './messages.ts';
import { certificateFault, fault, issuerFault, type PathFault } from './path-fault.ts';
import { walk } from './path-search.ts';
import { judgePath, type PathFinding, type PathQuestion } from './path-validation.ts';
import { type SignatureWork, signatureWork } from './signature-work.ts';

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
/** Implementation limit: places that the search comes to. Without it crafted cross certificates make it endless. */
const MAX_STEPS = 500;

/** @returns the first good path, or the fault that tells most */
export function findPath(search: PathSearch): SearchFinding {
  const { leaf, intermediates, maxDepth = DEFAULT_MAX_DEPTH, ...question } = search;
  const work = signatureWork(search.crypto);
  const heap = intermediates.filter((one, i) => intermediates.findIndex(({ der }) => equal(der, one.der)) === i);
  const ground = { question, work, heap, proving: [] };
  if (search.anchors.some(({ der }) => equal(der, leaf.der))) {
    return { ...fault('not-a-leaf', 'a trust anchor stands for nobody', 0), path: [] };
  }
  let telling: SearchFinding | null = null;
  let steps = 0;
  const note = (found: PathFault, path: readonly ParsedCertificate[]): void => {
    if (telling === null || telling.ok || rankOf(found) > rankOf(telling)) telling = { ...found, path };
  };
  const admits = (path: readonly ParsedCertificate[], next: ParsedCertificate): boolean => {
    steps++;
    const all = [...path, next];
    const found = admissionFault(work, all, search);
    if (found !== null) note(found, all);
    return found === null;
  };
  const bounds = { heap, anchors: search.anchors, maxDepth, admits };
  for (const step of walk([leaf], bounds)) {
    const { path } = step;
    steps++;
    if (step.kind === 'end')
      note(
        step.isTooLong ? tooLong(maxDepth) : fault('unknown-issuer', 'nobody of its issuer’s name', path.length - 1),
        path,
      );
    else {
      const found = judgePath(ground, path, step.anchor);
      if (found.ok) return { ...found, path };
      note(found, path);
    }
    if (work.exhausted) return { ...fault('work-limit', 'more signature checks than one question may cost', 0), path };
    if (steps > MAX_STEPS) return { ...fault('work-limit', 'more paths than are tried', 0), path };
  }
  return telling ?? { ...fault('unknown-issuer', 'nobody of its issuer’s name', 0), path: [leaf] };
}

const tooLong = (maxDepth: number): PathFault => fault('chain-too-long', `more than ${maxDepth} intermediates`, 0);

/** The signature is checked with a key that nothing proves yet: what is not signed by it leads nowhere. */
function admissionFault(work: SignatureWork, all: readonly ParsedCertificate[], { at }: PathSearch): PathFault | null {
  const index = all.length - 1;
  const [below, next] = [all[index - 1]!, all[index]!];
  const found = certificateFault(next, at, index) ?? issuerFault(all, index);
  if (found !== null) return found;
  const key = work.crypto.publicKey(next.spki);
  if (key === null) return fault('weak-key', 'a key of a type or size outside the profile', index);
  if (below.signatureAlgorithm === null)
    return fault('weak-signature', 'a signature algorithm outside the profile', index - 1);
  if (work.crypto.verify(below.signatureAlgorithm, key, below.signature, below.tbs, 'der')) return null;
  return fault('bad-signature', 'not signed by its issuer', index - 1);
}

/** From the least telling on; what is not here tells more, what is in the last row most. */
const RANKS: readonly (readonly VerdictReason[])[] = [
  ['unknown-issuer'],
  ['chain-too-long'],
  ['bad-signature'],
  [],
  ['revoked'],
];
const UNRANKED = 3;

function rankOf(finding: PathFinding): number {
  if (finding.ok) return Number.POSITIVE_INFINITY;
  const rank = RANKS.findIndex((row) => row.includes(finding.reason));
  return rank < 0 ? UNRANKED : rank;
}
