/**
 * What a leaf is good for: device, manager, user or verifier, by its extended key usage and its name (design §5.2, §5.7).
 * Whoever may be a manager or a verifier is no device, so that no device of the same CA can pose as either.
 */
import { EXTENDED_KEY_USAGE as EKU, type KeyUsage, type ParsedCertificate } from './certificate.ts';
import { conformanceFault } from './certificate-conformance.ts';
import type { Purpose, VerdictReason } from './message-values.ts';

/**
 * `any` asks for the path alone: whether it is a leaf, and of what kind, is not looked at. `server` asks what a careful
 * client asks of a TLS server on the web; both go by subjectAltName alone, the others by the common name too.
 */
export type Role = Purpose | 'verifier' | 'any' | 'server';

/** Whether a common name is a name in this role. */
export function goesByCommonName(role: Role): boolean {
  return role !== 'any' && role !== 'server';
}

export interface RoleFault {
  readonly reason: VerdictReason;
  readonly detail: string;
  /** Place in the path, leaf = 0. */
  readonly index: number;
}

interface RoleRow {
  /** One of them is needed. */
  readonly accepted: readonly string[];
  /** None of them may stand beside it. */
  readonly forbidden: readonly string[];
  /** Whether a leaf without the extension will do. */
  readonly unmarked: boolean;
  /** Whether a CA may be a leaf, when it is one through and through. */
  readonly mayBeCa: boolean;
  /** One of them is needed where a key usage stands. */
  readonly keyUsages: readonly KeyUsage[];
  namesOf(leaf: ParsedCertificate): readonly (string | null)[];
}

const dnsOf = (leaf: ParsedCertificate): readonly string[] =>
  (leaf.extensions.subjectAltName?.dns ?? []).map((name) => name.toLowerCase());
const emailOf = (leaf: ParsedCertificate): readonly string[] => leaf.extensions.subjectAltName?.email ?? [];

const LEAF = { mayBeCa: false, keyUsages: ['digitalSignature'] } as const;

/** Purposes that no web server has beside its own. @spec CA/Browser Forum Baseline Requirements §7.1.2.7.10 */
const NO_SERVER = [
  EKU.any,
  '1.3.6.1.5.5.7.3.3', // codeSigning
  '1.3.6.1.5.5.7.3.4', // emailProtection
  '1.3.6.1.5.5.7.3.8', // timeStamping
  EKU.ocspSigning,
  '1.3.6.1.4.1.11129.2.4.4', // a precertificate's signer [RFC 6962 §3.1]
];

const DEVICE: RoleRow = {
  accepted: [EKU.kagimoriDevice, EKU.clientAuth],
  forbidden: [EKU.kagimoriManager, EKU.kagimoriVerifier, EKU.kagimoriUser],
  unmarked: true,
  ...LEAF,
  namesOf: (leaf) => [leaf.subject.commonName],
};

const ROLES: Readonly<Record<Exclude<Role, 'any'>, RoleRow>> = {
  device: DEVICE,
  renewal: DEVICE,
  manager: {
    accepted: [EKU.kagimoriManager],
    forbidden: [EKU.kagimoriDevice, EKU.kagimoriVerifier, EKU.kagimoriUser],
    unmarked: false,
    ...LEAF,
    namesOf: (leaf) => [leaf.subject.commonName, ...dnsOf(leaf)],
  },
  user: {
    accepted: [EKU.kagimoriUser],
    forbidden: [EKU.kagimoriManager, EKU.kagimoriVerifier, EKU.kagimoriDevice],
    unmarked: false,
    ...LEAF,
    namesOf: (leaf) => [leaf.subject.commonName, ...emailOf(leaf)],
  },
  verifier: {
    accepted: [EKU.kagimoriVerifier],
    forbidden: [EKU.kagimoriManager, EKU.kagimoriDevice, EKU.kagimoriUser],
    unmarked: false,
    ...LEAF,
    namesOf: (leaf) => [leaf.subject.commonName, ...dnsOf(leaf)],
  },
  server: {
    accepted: [EKU.serverAuth],
    forbidden: NO_SERVER,
    unmarked: false,
    mayBeCa: true, // [RFC 5280 §4.2.1.9, note]
    keyUsages: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
    namesOf: dnsOf,
  },
};

/**
 * @param issuers  from the leaf's own issuer up to the anchor; an extended key usage there limits what lies below
 * @param name     whose certificate it has to be (a DNS name in lower case), or undefined when anybody's will do
 */
export function roleFault(
  leaf: ParsedCertificate,
  issuers: readonly ParsedCertificate[],
  role: Role,
  name: string | undefined,
): RoleFault | null {
  if (role === 'any') return null;
  const row = ROLES[role];
  const { keyUsage, extendedKeyUsage } = leaf.extensions;
  const asCa = isCa(leaf);
  if (asCa !== false && !(row.mayBeCa && asCa === 'wholly')) {
    return { reason: 'not-a-leaf', detail: 'a CA certificate stands for nobody', index: 0 };
  }
  const wrong = (detail: string, index = 0): RoleFault => ({ reason: 'wrong-purpose', detail, index });
  if (asCa === false && keyUsage !== null && !row.keyUsages.some((usage) => keyUsage.has(usage))) {
    return wrong(`its key may not be used for ${row.keyUsages.join(', ')}`);
  }
  if (extendedKeyUsage === null && !row.unmarked) return wrong(`it has no extended key usage, ${role} is needed`);
  if (extendedKeyUsage?.some((oid) => row.forbidden.includes(oid)) === true) {
    return wrong(`its extended key usage is another than ${role}`);
  }
  const used = extendedKeyUsage === null ? row.accepted : row.accepted.filter((oid) => extendedKeyUsage.includes(oid));
  if (used.length === 0) return wrong(`its extended key usage does not hold ${role}`);
  for (const [i, issuer] of issuers.entries()) {
    const allowed = issuer.extensions.extendedKeyUsage;
    if (allowed === null || allowed.includes(EKU.any) || used.some((oid) => allowed.includes(oid))) continue;
    return wrong(`its issuer may not issue for ${role}`, i + 1);
  }
  const nonconformance = role === 'server' ? conformanceFault([leaf, ...issuers], true) : null;
  if (nonconformance !== null) return { reason: 'malformed', ...nonconformance };
  if (name !== undefined && !row.namesOf(leaf).some((held) => held === name)) {
    return { reason: 'wrong-name', detail: `it is not the certificate of ${name}`, index: 0 };
  }
  return null;
}

/** `half`: one of its two marks says that it is a CA, the other that it is none. */
function isCa({ extensions: { basicConstraints, keyUsage } }: ParsedCertificate): 'wholly' | 'half' | false {
  const mayBe = basicConstraints?.ca === true;
  const maySign = keyUsage === null ? mayBe : keyUsage.has('keyCertSign');
  if (mayBe && maySign) return 'wholly';
  return mayBe || maySign ? 'half' : false;
}
