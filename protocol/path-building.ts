/**
 * Path building: the path from a leaf to an anchor is searched among a heap of certificates. For the command alone: on
 * the wire the chain comes in order and is taken as sent. @spec RFC 5280 §6.1, RFC 4158 §2, design §5.7
 */
import { equal, toHex } from './bytes.ts';
import { nameKey, type ParsedCertificate } from './certificate.ts';
import { MAX_CHAIN, type VerdictReason } from './message-values.ts';
import { fault, type PathFault } from './path-fault.ts';
import { distance, walk } from './path-search.ts';
import { admissionFault, judgePath, type PathFinding, type PathQuestion } from './path-validation.ts';
import { pathWork } from './path-work.ts';

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

/** @returns the first good path, or the fault that tells most */
export function findPath(search: PathSearch): SearchFinding {
  const { leaf, intermediates, maxDepth = DEFAULT_MAX_DEPTH, ...question } = search;
  const work = pathWork(search.crypto);
  const { heap, byName } = sorted(intermediates);
  const ground = { question, work, heap, proving: [] };
  if (search.anchors.some(({ der }) => equal(der, leaf.der))) {
    return { ...fault('not-a-leaf', 'a trust anchor stands for nobody', 0), path: [] };
  }
  let telling: SearchFinding | null = null;
  const note = (found: PathFault, path: readonly ParsedCertificate[]): void => {
    if (telling === null || telling.ok || rankOf(found) > rankOf(telling)) telling = { ...found, path };
  };
  const admits = (path: readonly ParsedCertificate[], next: ParsedCertificate): boolean => {
    if (!work.step()) return false;
    const all = [...path, next];
    const found = admissionFault(work, all, search.at);
    // A namesake that nobody pointed at tells nothing.
    const isNamesake = found?.reason === 'bad-signature' && distance(path.at(-1)!, next) === 2;
    if (found !== null && !isNamesake) note(found, all);
    return found === null;
  };
  const issuersOf = ({ issuer }: ParsedCertificate) => byName.get(nameKey(issuer)) ?? [];
  const bounds = { issuersOf, anchors: search.anchors, maxDepth, admits };
  for (const step of walk([leaf], bounds)) {
    const { path } = step;
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
    if (!work.step()) break;
  }
  if (work.exhausted !== null) return { ...fault('work-limit', work.exhausted, 0), path: [leaf] };
  return telling ?? { ...fault('unknown-issuer', 'nobody of its issuer’s name', 0), path: [leaf] };
}

/** Without doubles, and by subject. */
function sorted(intermediates: readonly ParsedCertificate[]) {
  const known = new Map<string, ParsedCertificate[]>();
  const byName = new Map<string, ParsedCertificate[]>();
  for (const one of intermediates) {
    const key = toHex(one.signature);
    const alike = known.get(key) ?? [];
    if (alike.some(({ der }) => equal(der, one.der))) continue;
    known.set(key, [...alike, one]);
    const name = nameKey(one.subject);
    const group = byName.get(name);
    if (group === undefined) byName.set(name, [one]);
    else group.push(one);
  }
  return { heap: [...byName.values()].flat(), byName };
}

const tooLong = (maxDepth: number): PathFault =>
  fault('chain-too-long', `more than ${Math.min(maxDepth, MAX_CHAIN - 1)} intermediates`, 0);

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
