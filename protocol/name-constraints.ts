/**
 * Name constraints: which names a CA may certify, in the forms directoryName, DNS, mail, URI and IP.
 * A name that cannot be judged under a constraint of its form is outside of it. @spec RFC 5280 §4.2.1.10
 */
import { type GeneralNames, isBelow, type ParsedCertificate, sameName } from './certificate.ts';

export interface ConstraintFault {
  /** Place in the path of the certificate that bears the name, leaf = 0. */
  readonly index: number;
  readonly reason: 'constraint-violated' | 'work-limit';
  readonly detail: string;
}

/** Implementation limit: names × subtrees in one path; certificates crafted to cost more are refused. */
const MAX_COMPARISONS = 20_000;

/**
 * @param path  leaf first, without the anchor; signed in this order
 * @returns     null when every name is where its issuers may put one
 */
export function constraintFault(path: readonly ParsedCertificate[], anchor: ParsedCertificate): ConstraintFault | null {
  let comparisons = 0;
  const issuers = [...path.slice(1), anchor];
  for (const [j, issuer] of issuers.entries()) {
    const constraints = issuer.extensions.nameConstraints;
    if (constraints === null) continue;
    const subtrees = size(constraints.permitted) + size(constraints.excluded);
    for (let index = 0; index <= j; index++) {
      const certificate = path[index]!;
      // A CA that rolls over its own key is not under its own constraints. [RFC 5280 §6.1.3 (b)]
      if (index > 0 && sameName(certificate.issuer, certificate.subject)) continue;
      const names = namesOf(certificate, index === 0);
      comparisons += size(names) * subtrees;
      if (comparisons > MAX_COMPARISONS)
        return { index, reason: 'work-limit', detail: 'more names and subtrees than are compared' };
      const detail = judge(names, constraints.permitted, constraints.excluded);
      if (detail !== null) return { index, reason: 'constraint-violated', detail };
    }
  }
  return null;
}

function size(names: GeneralNames): number {
  return names.dns.length + names.email.length + names.uri.length + names.ip.length + names.directory.length;
}

const HOST_LABEL = '[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?';
const HOST = new RegExp(`^(?:\\*\\.)?${HOST_LABEL}(?:\\.${HOST_LABEL})*$`);

/** The subject's own attributes count as names too: a mail address there, and a CN of a leaf that reads as a host. */
function namesOf({ subject, extensions }: ParsedCertificate, isLeaf: boolean): GeneralNames {
  const san = extensions.subjectAltName;
  const commonName = subject.commonName?.toLowerCase() ?? '';
  const hostInCommonName = isLeaf && commonName.includes('.') && HOST.test(commonName);
  return {
    dns: [...(san?.dns ?? []), ...(hostInCommonName ? [commonName] : [])],
    email: [...(san?.email ?? []), ...subject.emails],
    uri: san?.uri ?? [],
    ip: san?.ip ?? [],
    directory: [...(subject.rdns.length > 0 ? [subject] : []), ...(san?.directory ?? [])],
    other: san?.other ?? [],
  };
}

function judge(names: GeneralNames, permitted: GeneralNames, excluded: GeneralNames): string | null {
  const form = <Name, Base>(
    label: string,
    given: readonly Name[],
    may: readonly Base[],
    mayNot: readonly Base[],
    within: (name: Name, base: Base, excluding: boolean) => boolean | null,
  ): string | null => {
    for (const name of given) {
      for (const base of mayNot) {
        if (within(name, base, true) !== false) return `a ${label} lies in an excluded subtree, or is none`;
      }
      if (may.length > 0 && !may.some((base) => within(name, base, false) === true)) {
        return `a ${label} lies outside the permitted subtrees`;
      }
    }
    return null;
  };
  const unknown = names.other.some((tag) => permitted.other.includes(tag) || excluded.other.includes(tag));
  if (unknown) return 'a name of a constrained form that is not supported';
  return (
    form('directory name', names.directory, permitted.directory, excluded.directory, isBelow) ??
    form('DNS name', names.dns, permitted.dns, excluded.dns, dnsWithin) ??
    form('mail address', names.email, permitted.email, excluded.email, emailWithin) ??
    form('URI', names.uri, permitted.uri, excluded.uri, uriWithin) ??
    form('IP address', names.ip, permitted.ip, excluded.ip, ipWithin)
  );
}

/** @returns null when the name cannot be judged; so below */
function dnsWithin(name: string, base: string, excluding: boolean): boolean | null {
  const lower = name.toLowerCase();
  if (!HOST.test(lower)) return null;
  const below = base.toLowerCase();
  if (hostBelow(lower, below, excluding)) return true;
  // A wildcard covers what lies under it, the excluded too.
  return excluding && lower.startsWith('*.') && hostBelow(below, lower.slice(2), true);
}

/** A leading dot, unknown to the specification for DNS, excludes more and permits less. */
function hostBelow(host: string, base: string, excluding: boolean): boolean {
  if (base.startsWith('.')) return host.endsWith(base) || (excluding && host === base.slice(1));
  return base === '' || host === base || host.endsWith(`.${base}`);
}

/** A subtree is one mailbox, all mailboxes of one host, or (leading dot) of all hosts below a domain. */
function emailWithin(name: string, base: string): boolean | null {
  const at = name.lastIndexOf('@');
  const host = name.slice(at + 1).toLowerCase();
  if (at < 1 || !HOST.test(host)) return null;
  const baseAt = base.lastIndexOf('@');
  if (baseAt >= 0) return name.slice(0, at) === base.slice(0, baseAt) && host === base.slice(baseAt + 1).toLowerCase();
  return hostIs(host, base);
}

function hostIs(host: string, base: string): boolean {
  const lower = base.toLowerCase();
  return lower.startsWith('.') ? host.endsWith(lower) : host === lower;
}

/** Only a URI with an authority that names a host can be judged; sip: and urn: have none. */
function uriWithin(name: string, base: string): boolean | null {
  const host = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?([^/?#:@]+)(?::\d*)?(?:[/?#]|$)/i.exec(name)?.[1]?.toLowerCase();
  if (host === undefined || !HOST.test(host) || /^[\d.]+$/.test(host)) return null;
  return hostIs(host, base);
}

function ipWithin(address: Uint8Array, base: Uint8Array): boolean {
  if (base.length !== 2 * address.length) return false;
  return address.every((byte, i) => ((byte ^ base[i]!) & base[address.length + i]!) === 0);
}
