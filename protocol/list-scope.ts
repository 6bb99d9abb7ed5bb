/**
 * What a revocation list says something about: which certificates, for which reasons. @spec RFC 5280 §5.2.5, §6.3.3 (b), (d)
 */
import {
  type DistinguishedName,
  type DistributionPoint,
  type DistributionPointName,
  nameKey,
  type ParsedCertificate,
  type ParsedCrl,
  sameName,
} from './certificate.ts';

/** Bits of ReasonFlags; the first one stands for nothing. @spec RFC 5280 §4.2.1.13 */
export const ALL_REASONS = 0x1fe;

/** Of a crafted certificate more would only cost. */
const MAX_POINTS = 16;

/** @returns the reasons for which the list would name the certificate, as bits of ReasonFlags; 0: it is about others */
export function reasonsCovered(certificate: ParsedCertificate, crl: ParsedCrl): number {
  const kind = certificate.extensions.basicConstraints?.ca === true ? 'ca' : 'user';
  if (crl.scope !== null && crl.scope.only !== null && crl.scope.only !== kind) return 0;
  let covered = 0;
  for (const point of pointsOf(certificate)) {
    if (isFrom(crl, point, certificate) && isAt(crl, point, certificate)) covered |= point.reasons ?? ALL_REASONS;
  }
  return covered & (crl.scope?.reasons ?? ALL_REASONS) & ALL_REASONS;
}

/** Those that the certificate names, and lists of its issuer wherever they are. [RFC 5280 §6.3.3, last paragraph] */
function pointsOf({ extensions, issuer }: ParsedCertificate): DistributionPoint[] {
  const anywhere = { name: { directories: [issuer], others: [] }, reasons: null, crlIssuer: null };
  return [...(extensions.distributionPoints ?? []).slice(0, MAX_POINTS), anywhere];
}

/** (b) (1) */
function isFrom(crl: ParsedCrl, { crlIssuer }: DistributionPoint, { issuer }: ParsedCertificate): boolean {
  if (crlIssuer === null) return sameName(crl.issuer, issuer);
  return crl.scope?.indirect === true && crlIssuer.some((name) => sameName(name, crl.issuer));
}

/** (b) (2) (i) */
function isAt(crl: ParsedCrl, point: DistributionPoint, { issuer }: ParsedCertificate): boolean {
  const place = crl.scope?.name ?? null;
  if (place === null) return true;
  const wanted = point.name ?? { directories: point.crlIssuer ?? [], others: [] };
  const given = new Set(spell(place, crl.issuer));
  return spell(wanted, point.crlIssuer?.[0] ?? issuer).some((name) => given.has(name));
}

function spell(name: DistributionPointName, base: DistinguishedName): string[] {
  if ('relative' in name) return [`directory ${[...base.rdns, name.relative].join()}`];
  return [...name.directories.map((directory) => `directory ${nameKey(directory)}`), ...name.others];
}
