/**
 * The extensions of a certificate out of DER. What is critical and not obeyed is named, never skipped. @spec RFC 5280 §4.2
 */
import type { CertificateExtensions, ExtensionForm, GeneralNames, KeyUsage } from '../protocol/certificate.ts';
import { type Element, expect, Members, membersOf, namedBits, oidText, parseDer, smallInteger } from './asn1.ts';
import { addGeneralName, noNames } from './certificate-names.ts';
import { DerFault, explicit, implicit, type Span, spansOf, TAG } from './der.ts';
import { readDistributionPoints } from './distribution-points.ts';

export const EXTENSION = {
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  reasonCode: '2.5.29.21',
  invalidityDate: '2.5.29.24',
  certificateIssuer: '2.5.29.29',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  policyConstraints: '2.5.29.36',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  authorityKeyId: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  ocspNoCheck: '1.3.6.1.5.5.7.48.1.5',
} as const;

/** In the order of the bits. */
export const KEY_USAGES: readonly KeyUsage[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
];

export interface Extension {
  readonly oid: string;
  readonly critical: boolean;
  readonly value: Uint8Array;
}

/**
 * Cut by the spans of the scan, as the frame of the signed object is (signed-object.ts): five elements less of each extension.
 * @param list SEQUENCE OF Extension @throws DerFault, also when one stands twice
 */
export function readExtensionList(list: Pick<Span, 'tag' | 'content'>): Extension[] {
  const extensions = spansOf(expect(list, TAG.sequence).content).map((span) => {
    const members = new Members(spansOf(expect(span, TAG.sequence).content));
    const oid = oidText(members.take(TAG.oid));
    const flag = members.takeIf(TAG.boolean);
    // FALSE is the default and has to be left out. [X.690 §11.5]
    if (flag?.content[0] === 0) throw new DerFault('a default that is spelled out');
    const value = members.take(TAG.octetString).content;
    members.end();
    return { oid, critical: flag !== null, value };
  });
  if (extensions.length === 0 || new Set(extensions.map(({ oid }) => oid)).size !== extensions.length) {
    throw new DerFault('no extension, or one that stands twice');
  }
  return extensions;
}

export const NO_EXTENSIONS: CertificateExtensions = {
  basicConstraints: null,
  keyUsage: null,
  extendedKeyUsage: null,
  subjectAltName: null,
  nameConstraints: null,
  authorityKeyId: null,
  subjectKeyId: null,
  distributionPoints: null,
  ocspNoCheck: false,
  unknownCritical: [],
  form: { critical: new Set(), authority: 'absent', badInformationAccess: false, laxPolicyConstraints: false },
};

type Read = { -readonly [K in keyof CertificateExtensions]: CertificateExtensions[K] };

/** @throws DerFault */
export function readCertificateExtensions(list: Pick<Span, 'tag' | 'content'>): CertificateExtensions {
  const read: Read = { ...NO_EXTENSIONS };
  const unknownCritical: string[] = [];
  const extensions = readExtensionList(list);
  for (const { oid, critical, value } of extensions) {
    const sequence = (): Element => parseDer(value, TAG.sequence);
    switch (oid) {
      case EXTENSION.basicConstraints:
        read.basicConstraints = readBasicConstraints(sequence());
        break;
      case EXTENSION.keyUsage:
        read.keyUsage = readKeyUsage(parseDer(value, TAG.bitString));
        break;
      case EXTENSION.extendedKeyUsage:
        read.extendedKeyUsage = sequence().members.map((element) => oidText(expect(element, TAG.oid)));
        if (read.extendedKeyUsage.length === 0) throw new DerFault('an empty extended key usage');
        break;
      case EXTENSION.subjectAltName:
        read.subjectAltName = readGeneralNames(sequence());
        break;
      case EXTENSION.nameConstraints:
        read.nameConstraints = readNameConstraints(sequence());
        break;
      case EXTENSION.subjectKeyId:
        read.subjectKeyId = parseDer(value, TAG.octetString).content;
        if (critical) unknownCritical.push(oid); // never critical [RFC 5280 §4.2.1.2]
        break;
      case EXTENSION.authorityKeyId:
        read.authorityKeyId = readKeyId(value);
        if (critical) unknownCritical.push(oid); // never critical [RFC 5280 §4.2.1.1]
        break;
      case EXTENSION.crlDistributionPoints:
        read.distributionPoints = readDistributionPoints(sequence());
        break;
      case EXTENSION.ocspNoCheck:
        parseDer(value, TAG.null);
        read.ocspNoCheck = true;
        break;
      case EXTENSION.certificatePolicies:
        // Obeyed by doing nothing: without a required policy any set of policies is as good as any other. Extensions
        // that require or map policies are unknown here, and so refused when critical.
        break;
      default:
        if (critical) unknownCritical.push(oid);
    }
  }
  return { ...read, unknownCritical, form: readForm(extensions) };
}

const MARKABLE = ['basicConstraints', 'extendedKeyUsage', 'nameConstraints', 'subjectAltName'] as const;

/** @throws DerFault */
function readForm(extensions: readonly Extension[]): ExtensionForm {
  const find = (wanted: string): Extension | undefined => extensions.find(({ oid }) => oid === wanted);
  const access = find(EXTENSION.authorityInfoAccess);
  const authority = find(EXTENSION.authorityKeyId);
  return {
    critical: new Set(MARKABLE.filter((name) => find(EXTENSION[name])?.critical === true)),
    authority: authority === undefined ? 'absent' : isKeyAlone(authority) ? 'key' : 'other',
    badInformationAccess: access !== undefined && !isInformationAccess(access),
    laxPolicyConstraints: find(EXTENSION.policyConstraints)?.critical === false,
  };
}

/** Of a value that was read before. */
function isKeyAlone({ value }: Extension): boolean {
  const members = spansOf(spansOf(value)[0]!.content);
  return members.length === 1 && members[0]!.tag === implicit(0);
}

/** At least one method with a general name. Where it leads is nobody's business here. [RFC 5280 §4.2.2.1] */
function isInformationAccess({ value }: Extension): boolean {
  try {
    const descriptions = parseDer(value, TAG.sequence).members;
    for (const description of descriptions) {
      const members = membersOf(description);
      members.take(TAG.oid);
      addGeneralName(noNames(), members.takeAny(), false);
      members.end();
    }
    return descriptions.length > 0;
  } catch (error) {
    if (error instanceof DerFault) return false;
    throw error;
  }
}

/** keyIdentifier of an authority key identifier; null without. @throws DerFault */
export function readKeyId(value: Uint8Array): Uint8Array | null {
  const members = membersOf(parseDer(value, TAG.sequence));
  const keyId = members.takeIf(implicit(0));
  const issuer = members.takeIf(explicit(1));
  const serial = members.takeIf(implicit(2));
  members.end();
  // Both or neither. [X.509 §9.2.2.1]
  if ((issuer === null) !== (serial === null)) throw new DerFault('half a name of an issuer');
  return keyId?.content ?? null;
}

function readBasicConstraints(element: Element): { ca: boolean; pathLength: number | null } {
  const members = membersOf(element);
  const ca = members.takeIf(TAG.boolean)?.content[0] === 0xff;
  const length = members.takeIf(TAG.integer);
  members.end();
  if (length !== null && !ca) throw new DerFault('a path length without a CA');
  return { ca, pathLength: length === null ? null : smallInteger(length) };
}

function readKeyUsage(element: Element): ReadonlySet<KeyUsage> {
  const bits = namedBits(element);
  if (bits.length > KEY_USAGES.length) throw new DerFault('an unknown key usage');
  return new Set(KEY_USAGES.filter((_, i) => bits[i] === true));
}

function readGeneralNames(element: Element): GeneralNames {
  const names = noNames();
  const { members } = element;
  if (members.length === 0) throw new DerFault('no general name');
  for (const one of members) addGeneralName(names, one, false);
  return names;
}

function readNameConstraints(element: Element): NonNullable<CertificateExtensions['nameConstraints']> {
  const members = membersOf(element);
  const permitted = members.takeIf(explicit(0));
  const excluded = members.takeIf(explicit(1));
  members.end();
  if (permitted === null && excluded === null) throw new DerFault('name constraints without any');
  return { permitted: readSubtrees(permitted), excluded: readSubtrees(excluded) };
}

function readSubtrees(element: Element | null): GeneralNames {
  const names = noNames();
  if (element === null) return names;
  const subtrees = element.members;
  if (subtrees.length === 0) throw new DerFault('no subtree');
  for (const subtree of subtrees) {
    const members = membersOf(subtree);
    addGeneralName(names, members.takeAny(), true);
    members.end(); // minimum is 0 and left out, maximum is absent [RFC 5280 §4.2.1.10]
  }
  return names;
}
