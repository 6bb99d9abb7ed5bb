/**
 * The walk through a heap of certificates from one of them up to the anchors, by names; key identifiers only say where to
 * look first. @spec RFC 4158 §2, §3.5
 */
import { equal } from './bytes.ts';
import { type ParsedCertificate, sameName } from './certificate.ts';
import { MAX_CHAIN } from './message-values.ts';

export interface Walk {
  /** Who of the heap may bear the name of its issuer; others are passed over. */
  readonly issuersOf: (certificate: ParsedCertificate) => readonly ParsedCertificate[];
  readonly anchors: readonly ParsedCertificate[];
  /** Most certificates between the first one and the anchor, those aside that only roll over a key. [RFC 5280 §6.1.4 (l)] */
  readonly maxDepth: number;
  /** Whether `next`, whose name fits, may stand above the path; asked before anything above it is looked at. */
  readonly admits: (path: readonly ParsedCertificate[], next: ParsedCertificate) => boolean;
}

export type Step =
  | { readonly kind: 'path'; readonly path: readonly ParsedCertificate[]; readonly anchor: ParsedCertificate }
  /** Nobody above: no issuer at hand, or the path is as long as it may be. */
  | { readonly kind: 'end'; readonly path: readonly ParsedCertificate[]; readonly isTooLong: boolean };

/** Every path that could be one, the likeliest first. No certificate stands twice in one, by name and key. */
export function* walk(path: readonly ParsedCertificate[], given: Walk): Generator<Step> {
  const top = path.at(-1)!;
  const above = given.anchors.filter(({ subject }) => sameName(subject, top.issuer));
  for (const anchor of likeliestFirst(top, above)) yield { kind: 'path', path, anchor };
  const issuers = given
    .issuersOf(top)
    .filter(
      (one) =>
        sameName(one.subject, top.issuer) &&
        !path.some((below) => isTwin(below, one)) &&
        !above.some((anchor) => equal(anchor.der, one.der)),
    );
  const depth = path.slice(1).filter((one) => !isSelfIssued(one)).length;
  const fitting = issuers.filter((one) => path.length < MAX_CHAIN && (depth < given.maxDepth || isSelfIssued(one)));
  if (fitting.length === 0) {
    if (above.length === 0) yield { kind: 'end', path, isTooLong: issuers.length > 0 };
    return;
  }
  for (const next of likeliestFirst(top, fitting)) {
    if (given.admits(path, next)) yield* walk([...path, next], given);
  }
}

function isSelfIssued({ issuer, subject }: ParsedCertificate): boolean {
  return sameName(issuer, subject);
}

/** The same CA with the same key: what one has issued, so has the other. */
function isTwin(a: ParsedCertificate, b: ParsedCertificate): boolean {
  return equal(a.spki, b.spki) && sameName(a.subject, b.subject);
}

/** 0: the key identifiers name each other, 1: they do not say, 2: they name somebody else. */
export function distance({ extensions: { authorityKeyId } }: ParsedCertificate, issuer: ParsedCertificate): 0 | 1 | 2 {
  const { subjectKeyId } = issuer.extensions;
  if (authorityKeyId === null || subjectKeyId === null) return 1;
  return equal(authorityKeyId, subjectKeyId) ? 0 : 2;
}

function likeliestFirst(below: ParsedCertificate, issuers: readonly ParsedCertificate[]): ParsedCertificate[] {
  return issuers.toSorted((a, b) => distance(below, a) - distance(below, b));
}
