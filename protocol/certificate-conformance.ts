/**
 * Whether certificates are made as public authorities have to make them: duties of the issuer that the path itself does
 * not depend on. Never asked at a login: the certificates of home-made CAs break many of them and harm nobody.
 * @spec RFC 5280 §4.1, §4.2; CA/Browser Forum Baseline Requirements §7.1.2
 */
import { equal } from './bytes.ts';
import { type ParsedCertificate, sameName } from './certificate.ts';
import { readHost } from './host-name.ts';

export interface ConformanceFault {
  /** What is wrong, without an ending full stop. */
  readonly detail: string;
  /** Place in the path, leaf = 0. */
  readonly index: number;
}

interface Place {
  readonly isLeaf: boolean;
  readonly isAnchor: boolean;
  readonly isSelfIssued: boolean;
}

interface Duty {
  readonly detail: string;
  /** Laid on issuers of web servers alone; absent: RFC 5280 lays it on all. */
  readonly web?: true;
  isBroken(certificate: ParsedCertificate, place: Place): boolean;
}

const isCa = ({ extensions }: ParsedCertificate): boolean => extensions.basicConstraints?.ca === true;
const lacks = (
  { extensions: { form } }: ParsedCertificate,
  name: 'basicConstraints' | 'nameConstraints' | 'subjectAltName',
): boolean => !form.critical.has(name);

/** The number 0, or a negative one. Old anchors have such, and are trusted for themselves. */
const isPositive = ({ serial }: ParsedCertificate): boolean => serial[0]! < 0x80 && serial.some((byte) => byte !== 0);

const DUTIES: readonly Duty[] = [
  {
    detail: 'its serial number is not positive (RFC 5280 §4.1.2.2)',
    isBroken: (one, { isAnchor }) => !isAnchor && !isPositive(one),
  },
  {
    detail: 'a CA without a name (RFC 5280 §4.1.2.6)',
    isBroken: (one) => isCa(one) && one.subject.rdns.length === 0,
  },
  {
    detail: 'it does not say which key signed it (authorityKeyIdentifier, RFC 5280 §4.2.1.1)',
    isBroken: ({ version, extensions }, { isAnchor, isSelfIssued }) =>
      version === 3 && extensions.authorityKeyId === null && !(isAnchor && isSelfIssued),
  },
  {
    detail: 'its authorityKeyIdentifier holds more than the key, or not the key (BR §7.1.2.1.3)',
    web: true,
    isBroken: ({ extensions }, { isAnchor, isSelfIssued }) =>
      isAnchor && isSelfIssued && extensions.form.authority === 'other',
  },
  {
    detail: 'its authorityKeyIdentifier is not its own key (BR §7.1.2.1.3)',
    isBroken: ({ extensions: { authorityKeyId, subjectKeyId } }, { isAnchor, isSelfIssued }) =>
      isAnchor &&
      isSelfIssued &&
      authorityKeyId !== null &&
      subjectKeyId !== null &&
      !equal(authorityKeyId, subjectKeyId),
  },
  {
    detail: 'a CA without subjectKeyIdentifier (RFC 5280 §4.2.1.2)',
    isBroken: (one) => isCa(one) && one.extensions.subjectKeyId === null,
  },
  {
    detail: 'basicConstraints of an anchor are not critical (RFC 5280 §4.2.1.9)',
    isBroken: (one, { isAnchor }) => isAnchor && isCa(one) && lacks(one, 'basicConstraints'),
  },
  {
    // a path may hold such CAs [NIST PKITS 4.6.4]
    detail: 'its basicConstraints are not critical (RFC 5280 §4.2.1.9)',
    web: true,
    isBroken: (one) => isCa(one) && lacks(one, 'basicConstraints'),
  },
  {
    detail: 'its name constraints are not critical (RFC 5280 §4.2.1.10)',
    isBroken: (one) => one.extensions.nameConstraints !== null && lacks(one, 'nameConstraints'),
  },
  {
    detail: 'its policy constraints are not critical (RFC 5280 §4.2.1.11)',
    isBroken: ({ extensions }) => extensions.form.laxPolicyConstraints,
  },
  {
    detail: 'an empty subject asks for a critical subjectAltName (RFC 5280 §4.2.1.6)',
    isBroken: (one) => !isCa(one) && one.subject.rdns.length === 0 && lacks(one, 'subjectAltName'),
  },
  {
    detail: 'its subjectAltName is critical though it has a subject (BR §7.1.2.7.12)',
    web: true,
    isBroken: (one, { isLeaf }) => isLeaf && one.subject.rdns.length > 0 && !lacks(one, 'subjectAltName'),
  },
  {
    detail: 'a DNS name in it is none (RFC 5280 §4.2.1.6)',
    isBroken: ({ extensions }, { isLeaf }) => isLeaf && extensions.subjectAltName?.dns.every(isPreferred) === false,
  },
  {
    detail: 'its extended key usage is critical (BR §7.1.2.7.6)',
    web: true,
    isBroken: ({ extensions }, { isLeaf }) => isLeaf && extensions.form.critical.has('extendedKeyUsage'),
  },
  {
    detail: 'a root with an extended key usage (BR §7.1.2.1.2)',
    web: true,
    isBroken: ({ extensions }, { isAnchor, isSelfIssued }) =>
      isAnchor && isSelfIssued && extensions.extendedKeyUsage !== null,
  },
  {
    detail: 'its authorityInfoAccess is none (RFC 5280 §4.2.2.1)',
    isBroken: ({ extensions }) => extensions.form.badInformationAccess,
  },
];

/** Letters, digits and hyphens alone, after a wildcard perhaps. */
function isPreferred(name: string): boolean {
  return readHost(name) !== null && !name.includes('_');
}

/**
 * @param path   leaf first, the anchor last; two at least
 * @param onWeb  whether the duties of those count too who certify web servers
 */
export function conformanceFault(path: readonly ParsedCertificate[], onWeb: boolean): ConformanceFault | null {
  const duties = onWeb ? DUTIES : DUTIES.filter(({ web }) => web !== true);
  for (const [index, certificate] of path.entries()) {
    const place = {
      isLeaf: index === 0,
      isAnchor: index === path.length - 1,
      isSelfIssued: sameName(certificate.issuer, certificate.subject),
    };
    const broken = duties.find((duty) => duty.isBroken(certificate, place));
    if (broken !== undefined) return { detail: broken.detail, index };
  }
  return null;
}
