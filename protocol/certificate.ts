/**
 * Certificates and revocation lists as the protocol sees them: plain data, read by a platform half that arrives as an
 * argument. Who a certificate speaks for is decided here. @spec RFC 5280 §4, §5
 */
import { concat } from './bytes.ts';
import type { SignatureAlgorithm } from './crypto.ts';
import { certifiedNames, idName, type Name } from './names.ts';
import { deviceId } from './topics.ts';
import type { DeviceId, EpochSeconds } from './units.ts';

export interface DistinguishedName {
  /** Name, DER, as it stands. */
  readonly der: Uint8Array;
  /** One text per RDN, folded for comparison (case, white space, NFKC). @spec RFC 5280 §7.1 */
  readonly rdns: readonly string[];
  /** As it stands, whatever its normal form; null when there is none or more than one. */
  readonly commonName: string | null;
  /** Values of emailAddress attributes. */
  readonly emails: readonly string[];
}

/** What `other` of GeneralNames holds for a mail address beyond ASCII, an otherName of its own. @spec RFC 9598 §3 */
export const SMTP_UTF8_MAILBOX = 0x100;

/** Names of the forms that the profile knows; `other` holds the context tags of those that it does not. */
export interface GeneralNames {
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly uri: readonly string[];
  /** 4 or 16 bytes; in a subtree 8 or 32: address ‖ mask. */
  readonly ip: readonly Uint8Array[];
  readonly directory: readonly DistinguishedName[];
  readonly other: readonly number[];
}

export type KeyUsage =
  | 'digitalSignature'
  | 'nonRepudiation'
  | 'keyEncipherment'
  | 'dataEncipherment'
  | 'keyAgreement'
  | 'keyCertSign'
  | 'cRLSign'
  | 'encipherOnly'
  | 'decipherOnly';

/** How its issuer wrote a certificate, where no path depends on it. @see certificate-conformance.ts */
export interface ExtensionForm {
  /** Of these extensions, the ones that stand there and are marked critical. */
  readonly critical: ReadonlySet<'basicConstraints' | 'extendedKeyUsage' | 'nameConstraints' | 'subjectAltName'>;
  /** What authorityKeyIdentifier holds: the key alone, or anything else. */
  readonly authority: 'absent' | 'key' | 'other';
  /** An authorityInfoAccess that is none. */
  readonly badInformationAccess: boolean;
  /** policyConstraints that are not critical. */
  readonly laxPolicyConstraints: boolean;
}

export interface CertificateExtensions {
  /** pathLength counts the intermediates allowed below; null = no limit. */
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | null } | null;
  readonly keyUsage: ReadonlySet<KeyUsage> | null;
  /** OIDs in dotted decimal. */
  readonly extendedKeyUsage: readonly string[] | null;
  readonly subjectAltName: GeneralNames | null;
  readonly nameConstraints: { readonly permitted: GeneralNames; readonly excluded: GeneralNames } | null;
  readonly authorityKeyId: Uint8Array | null;
  readonly subjectKeyId: Uint8Array | null;
  /** Where the lists are that speak about this certificate; null: not said. */
  readonly distributionPoints: readonly DistributionPoint[] | null;
  /** Of a signer of OCSP answers: it counts without asking whether it is revoked. @spec RFC 6960 §4.2.2.2.1 */
  readonly ocspNoCheck: boolean;
  /** OIDs of critical extensions that nobody here can obey. */
  readonly unknownCritical: readonly string[];
  readonly form: ExtensionForm;
}

/** The name of a place where a list is kept. @spec RFC 5280 §4.2.1.13 */
export type DistributionPointName =
  /** General names: directories, and any other as hex of its DER; compared, never followed. */
  | { readonly directories: readonly DistinguishedName[]; readonly others: readonly string[] }
  /** One RDN, below the name of the list's issuer. */
  | { readonly relative: string };

export interface DistributionPoint {
  readonly name: DistributionPointName | null;
  /** Bits of ReasonFlags; null: all. */
  readonly reasons: number | null;
  /** Who issues the list, when the certificate's own issuer does not; null: it does. */
  readonly crlIssuer: readonly DistinguishedName[] | null;
}

export interface ParsedCertificate {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content of the INTEGER, 1 to 20 bytes. */
  readonly serial: Uint8Array;
  readonly issuer: DistinguishedName;
  readonly subject: DistinguishedName;
  readonly notBefore: EpochSeconds;
  readonly notAfter: EpochSeconds;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** null: an algorithm outside the profile, SHA-1 and MD5 among them. */
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  /** ECDSA as DER, as in the certificate. */
  readonly signature: Uint8Array;
  readonly extensions: CertificateExtensions;
}

/** Why a certificate is out; a code that nobody assigned reads as `unspecified`. @spec RFC 5280 §5.3.1 */
export type RevocationReason =
  | 'unspecified'
  | 'keyCompromise'
  | 'cACompromise'
  | 'affiliationChanged'
  | 'superseded'
  | 'cessationOfOperation'
  | 'certificateHold'
  | 'removeFromCRL'
  | 'privilegeWithdrawn'
  | 'aACompromise';

/** What a list speaks about. @spec RFC 5280 §5.2.5 */
export interface IssuingDistributionPoint {
  /** DER: two lists have the same scope when it is the same. */
  readonly der: Uint8Array;
  readonly name: DistributionPointName | null;
  readonly only: 'user' | 'ca' | 'attribute' | null;
  /** Bits of ReasonFlags; null: all. */
  readonly reasons: number | null;
  readonly indirect: boolean;
}

/** What a list says about the certificates of one issuer. */
export interface RevokedCertificates {
  readonly issuer: DistinguishedName;
  /** By serial: hex of the INTEGER's content. */
  readonly entries: ReadonlyMap<string, RevocationReason>;
}

export interface ParsedCrl {
  readonly der: Uint8Array;
  readonly tbs: Uint8Array;
  readonly issuer: DistinguishedName;
  readonly thisUpdate: EpochSeconds;
  readonly nextUpdate: EpochSeconds | null;
  readonly number: bigint | null;
  readonly authorityKeyId: Uint8Array | null;
  /** null: everything that the issuer certifies. */
  readonly scope: IssuingDistributionPoint | null;
  /** Of a delta: number of the list that it is applied to, at least. */
  readonly deltaBase: bigint | null;
  readonly signatureAlgorithm: SignatureAlgorithm | null;
  readonly signature: Uint8Array;
  /** One for each issuer of certificates: the list's own, in an indirect list others too. */
  readonly revoked: readonly RevokedCertificates[];
  /** OIDs of critical extensions, of the list or of an entry, that are not obeyed: the list clears nobody. */
  readonly unknownCritical: readonly string[];
}

/** The seam to the parser: null for anything that is not exactly one well-formed object; never throws. */
export interface CertificateReader {
  readCertificate(der: Uint8Array): ParsedCertificate | null;
  readCrl(der: Uint8Array): ParsedCrl | null;
}

/**
 * Object identifiers of our own, below a random UUID (d926ba4e-1bed-4e67-a71b-8d1802faabd4): nobody assigns them and
 * nobody else has them. @spec ITU-T X.667 §7
 */
const ARC = '2.25.288643561082577004134394137983871265748';

export const EXTENDED_KEY_USAGE = {
  kagimoriManager: `${ARC}.1`,
  kagimoriDevice: `${ARC}.2`,
  kagimoriVerifier: `${ARC}.3`,
  kagimoriUser: `${ARC}.4`,
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  any: '2.5.29.37.0',
} as const;

export function sameName(a: DistinguishedName, b: DistinguishedName): boolean {
  return a.rdns.length === b.rdns.length && a.rdns.every((rdn, i) => rdn === b.rdns[i]);
}

/** The same for names that are the same: for look-ups. */
export function nameKey(name: DistinguishedName): string {
  return name.rdns.join();
}

/** Whether `name` lies below `base` or is it. */
export function isBelow(name: DistinguishedName, base: DistinguishedName): boolean {
  return base.rdns.length <= name.rdns.length && base.rdns.every((rdn, i) => rdn === name.rdns[i]);
}

/**
 * What identifies a certificate: DER issuer Name ‖ DER serialNumber. Its hash does not: a signature that is malleated,
 * made again, or wrapped in other unsigned bytes gives the same certificate another hash.
 */
export function issuerAndSerial(certificate: ParsedCertificate): Uint8Array {
  return concat(certificate.issuer.der, Uint8Array.of(0x02, certificate.serial.length), certificate.serial);
}

export interface DeviceNames {
  readonly id: DeviceId;
  /** Every name that the leaf proves, the id among them. */
  readonly names: readonly Name[];
}

/** @returns null when the subject CN is missing, doubled, or no device id (design §5.7) */
export function deviceNames(leaf: ParsedCertificate): DeviceNames | null {
  const id = leaf.subject.commonName === null ? null : deviceId(leaf.subject.commonName);
  if (id === null) return null;
  const san = leaf.extensions.subjectAltName;
  return { id, names: [idName(id), ...(san === null ? [] : certifiedNames(san))] };
}
