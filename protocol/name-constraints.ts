/**
 * Name constraints: which names a CA may certify, in the forms directoryName, DNS, mail, URI and IP.
 * A name that cannot be judged under a constraint of its form is outside of it. @spec RFC 5280 §4.2.1.10
 */
import { concat, equal } from './bytes.ts';
import { type GeneralNames, isBelow, type ParsedCertificate, SMTP_UTF8_MAILBOX, sameName } from './certificate.ts';
import { isHostBelow, readHost, readMailbox, readUriHost } from './host-name.ts';

export interface ConstraintFault {
  /** Place in the path of the certificate that bears the name, leaf = 0. */
  readonly index: number;
  readonly reason: 'constraint-violated' | 'work-limit';
  readonly detail: string;
}

/** Implementation limit: names × subtrees in one path; certificates crafted to cost more are refused. */
const MAX_COMPARISONS = 20_000;

/**
 * @param path             leaf first, without the anchor; signed in this order
 * @param countCommonName  whether the leaf's CN is a name that somebody goes by: where it reads as a host, it counts as one
 * @returns                null when every name is where its issuers may put one
 */
export function constraintFault(
  path: readonly ParsedCertificate[],
  anchor: ParsedCertificate,
  countCommonName: boolean,
): ConstraintFault | null {
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
      const names = namesOf(certificate, index === 0 && countCommonName);
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

/** The subject's own attributes count as names too: a mail address there, and a CN that reads as a host where asked. */
function namesOf({ subject, extensions }: ParsedCertificate, countCommonName: boolean): GeneralNames {
  const san = extensions.subjectAltName;
  const commonName = subject.commonName?.toLowerCase() ?? '';
  const hostInCommonName = countCommonName && commonName.includes('.') && readHost(commonName) !== null;
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
    within: Within<Name, Base>,
  ): string | null => {
    for (const name of given) {
      for (const base of mayNot) {
        if (within(name, base, true) !== false) return `${label} lies in an excluded subtree, or is none`;
      }
      if (may.length > 0 && !may.some((base) => within(name, base, false) === true)) {
        return `${label} lies outside the permitted subtrees`;
      }
    }
    return null;
  };
  const isConstrained = (tag: number): boolean => permitted.other.includes(tag) || excluded.other.includes(tag);
  const mailboxes = permitted.email.length + excluded.email.length;
  const unknown = names.other.some((tag) =>
    tag === SMTP_UTF8_MAILBOX ? mailboxes > 0 || isConstrained(0) || isConstrained(tag) : isConstrained(tag),
  );
  if (unknown) return 'a name of a constrained form that is not supported';
  return (
    form('a directory name', names.directory, permitted.directory, excluded.directory, isBelow) ??
    form('a DNS name', names.dns, permitted.dns, excluded.dns, dnsWithin) ??
    form('a mail address', names.email, permitted.email, excluded.email, emailWithin) ??
    form('a URI', names.uri, permitted.uri, excluded.uri, uriWithin) ??
    form('an IP address', names.ip, permitted.ip, excluded.ip, ipWithin)
  );
}

/** A judge of one form. @returns null when the name or the subtree cannot be read, and so nothing is known */
type Within<Name, Base> = (name: Name, base: Base, excluding: boolean) => boolean | null;

/**
 * A subtree with a dot in front, unknown to the specification for DNS, or with a wildcard excludes what lies below it
 * and permits nothing.
 */
const dnsWithin: Within<string, string> = (name, base, excluding) => {
  const host = readHost(name);
  if (host === null) return null;
  const below = base.toLowerCase();
  if (below === '') return true;
  const subtree = readHost(excluding ? below.replace(/^\*?\./, '') : below);
  if (subtree === null || subtree.wildcard) return null;
  if (isHostBelow(host.text, subtree.text)) return true;
  // A wildcard stands for each name with one label more, the excluded among them.
  return excluding && host.wildcard && parentOf(subtree.text) === host.text;
};

const parentOf = (host: string): string => host.slice(host.indexOf('.') + 1);

/** A subtree is one mailbox, all mailboxes of one host, or (leading dot) of all hosts below a domain. */
const emailWithin: Within<string, string> = (name, base) => {
  const mailbox = readMailbox(name);
  if (mailbox === null) return null;
  if (!base.includes('@')) return hostIs(mailbox.host, base);
  const one = readMailbox(base);
  return one === null ? null : mailbox.local === one.local && mailbox.host === one.host;
};

function hostIs(host: string, base: string): boolean | null {
  const dotted = base.startsWith('.');
  const subtree = readHost(dotted ? base.slice(1) : base);
  if (subtree === null || subtree.wildcard) return null;
  return dotted ? host !== subtree.text && isHostBelow(host, subtree.text) : host === subtree.text;
}

/** Only a URI with an authority that names a host can be judged; sip: and urn: have none. */
const uriWithin: Within<string, string> = (name, base) => {
  const host = readUriHost(name);
  return host === null ? null : hostIs(host, base);
};

/** An IPv4 address in IPv6's clothes (RFC 4291 §2.5.5.2) is excluded with the other, and not permitted with it. */
const ipWithin: Within<Uint8Array, Uint8Array> = (address, base, excluding) => {
  const mask = base.subarray(base.length / 2);
  if (!isNetworkMask(mask)) return null;
  const net = base.subarray(0, base.length / 2);
  if (net.length === address.length) return covers(net, mask, address);
  if (!excluding) return false;
  const short = address.length === 4 ? address : unmapped(address);
  if (short === null) return false;
  if (net.length === 4) return covers(net, mask, short);
  return covers(net, mask, concat(MAPPED, short));
};

const MAPPED = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

function unmapped(address: Uint8Array): Uint8Array | null {
  return equal(address.subarray(0, MAPPED.length), MAPPED) ? address.subarray(MAPPED.length) : null;
}

function covers(net: Uint8Array, mask: Uint8Array, address: Uint8Array): boolean {
  return address.every((byte, i) => ((byte ^ net[i]!) & mask[i]!) === 0);
}

/** Ones, then zeroes. [RFC 4632 §3.1] */
function isNetworkMask(mask: Uint8Array): boolean {
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits);
}
