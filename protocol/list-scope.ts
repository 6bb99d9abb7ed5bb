/**
 * What a revocation list says something about: which certificates, for which reasons. @spec RFC 5280 §5.2.5, §6.3.3 (b), (d)
 */
import {
  type DistinguishedName,
  type DistributionPointName,
  nameKey,
  type ParsedCertificate,
  type ParsedCrl,
} from './certificate.ts';

/** Bits of ReasonFlags; the first one stands for nothing. @spec RFC 5280 §4.2.1.13 */
export const ALL_REASONS = 0x1fe;

/** Of a crafted certificate more would only cost. */
const MAX_POINTS = 16;

/** Names are spelled for comparison once, by `nameKey`. */
export interface ListScope {
  readonly issuer: string;
  readonly only: 'user' | 'ca' | 'attribute' | null;
  readonly isIndirect: boolean;
  /** null: wherever. */
  readonly places: ReadonlySet<string> | null;
  readonly reasons: number;
}

/** Where lists about a certificate are to be found. */
export interface ListSearch {
  readonly kind: 'user' | 'ca';
  readonly points: readonly {
    readonly places: readonly string[];
    readonly reasons: number;
    /** null: the issuer of the certificate. */
    readonly issuers: readonly string[] | null;
  }[];
  readonly issuer: string;
  /** Everybody who may issue one. */
  readonly issuers: readonly string[];
}

export function scopeOf({ issuer, scope }: ParsedCrl): ListScope {
  return {
    issuer: nameKey(issuer),
    only: scope?.only ?? null,
    isIndirect: scope?.indirect === true,
    places: scope === null || scope.name === null ? null : new Set(spell(scope.name, issuer)),
    reasons: (scope?.reasons ?? ALL_REASONS) & ALL_REASONS,
  };
}

/** The points that the certificate names, and lists of its issuer wherever they are. [RFC 5280 §6.3.3, last paragraph] */
export function searchOf({ issuer, extensions }: ParsedCertificate): ListSearch {
  const named = (extensions.distributionPoints ?? []).slice(0, MAX_POINTS).map(({ name, reasons, crlIssuer }) => ({
    // (b) (2) (i): a point without a name is where its issuer is.
    places: spell(name ?? { directories: crlIssuer ?? [], others: [] }, crlIssuer?.[0] ?? issuer),
    reasons: reasons ?? ALL_REASONS,
    issuers: crlIssuer?.map(nameKey) ?? null,
  }));
  const anywhere = {
    places: spell({ directories: [issuer], others: [] }, issuer),
    reasons: ALL_REASONS,
    issuers: null,
  };
  const own = nameKey(issuer);
  return {
    kind: extensions.basicConstraints?.ca === true ? 'ca' : 'user',
    points: [...named, anywhere],
    issuer: own,
    issuers: [...new Set([own, ...named.flatMap(({ issuers }) => issuers ?? [])])],
  };
}

/** @returns the reasons for which the list would name the certificate, as bits of ReasonFlags; 0: it is about others */
export function reasonsCovered({ kind, points, issuer }: ListSearch, scope: ListScope): number {
  if (scope.only !== null && scope.only !== kind) return 0;
  let covered = 0;
  for (const point of points) {
    // (b) (1)
    const isFrom =
      point.issuers === null ? scope.issuer === issuer : scope.isIndirect && point.issuers.includes(scope.issuer);
    // (b) (2) (i)
    const isAt = scope.places === null || point.places.some((place) => scope.places?.has(place));
    if (isFrom && isAt) covered |= point.reasons;
  }
  return covered & scope.reasons;
}

function spell(name: DistributionPointName, base: DistinguishedName): string[] {
  if ('relative' in name) return [`directory ${[...base.rdns, name.relative].join()}`];
  return [...name.directories.map((directory) => `directory ${nameKey(directory)}`), ...name.others];
}
