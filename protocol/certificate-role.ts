/**
 * What a leaf is good for: device, manager, user or verifier, by its extended key usage and its name (design §5.2, §5.7).
 * Whoever may be a manager or a verifier is no device, so that no device of the same CA can pose as either.
 */
import { EXTENDED_KEY_USAGE as EKU, type ParsedCertificate } from './certificate.ts';
import type { Purpose, VerdictReason } from './messages.ts';

/** `any` asks for the path alone: whether it is a leaf, and of what kind, is not looked at. */
export type Role = Purpose | 'verifier' | 'any';

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
  namesOf(leaf: ParsedCertificate): readonly (string | null)[];
}

const dnsOf = (leaf: ParsedCertificate): readonly string[] =>
  (leaf.extensions.subjectAltName?.dns ?? []).map((name) => name.toLowerCase());
const emailOf = (leaf: ParsedCertificate): readonly string[] => leaf.extensions.subjectAltName?.email ?? [];

const ROLES: Readonly<Record<Exclude<Role, 'any'>, RoleRow>> = {
  device: {
    accepted: [EKU.kagimoriDevice, EKU.clientAuth],
    forbidden: [EKU.kagimoriManager, EKU.kagimoriVerifier, EKU.kagimoriUser],
    unmarked: true,
    namesOf: (leaf) => [leaf.subject.commonName],
  },
  manager: {
    accepted: [EKU.kagimoriManager],
    forbidden: [EKU.kagimoriDevice, EKU.kagimoriVerifier, EKU.kagimoriUser],
    unmarked: false,
    namesOf: (leaf) => [leaf.subject.commonName, ...dnsOf(leaf)],
  },
  user: {
    accepted: [EKU.kagimoriUser],
    forbidden: [EKU.kagimoriManager, EKU.kagimoriVerifier, EKU.kagimoriDevice],
    unmarked: false,
    namesOf: (leaf) => [leaf.subject.commonName, ...emailOf(leaf)],
  },
  verifier: {
    accepted: [EKU.kagimoriVerifier],
    forbidden: [EKU.kagimoriManager, EKU.kagimoriDevice, EKU.kagimoriUser],
    unmarked: false,
    namesOf: (leaf) => [leaf.subject.commonName, ...dnsOf(leaf)],
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
  const { basicConstraints, keyUsage, extendedKeyUsage } = leaf.extensions;
  if (basicConstraints?.ca === true || keyUsage?.has('keyCertSign') === true) {
    return { reason: 'not-a-leaf', detail: 'a CA certificate stands for nobody', index: 0 };
  }
  const wrong = (detail: string, index = 0): RoleFault => ({ reason: 'wrong-purpose', detail, index });
  if (keyUsage !== null && !keyUsage.has('digitalSignature')) return wrong('its key may not sign');
  const row = ROLES[role];
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
  if (name !== undefined && !row.namesOf(leaf).some((held) => held === name)) {
    return { reason: 'wrong-name', detail: `it is not the certificate of ${name}`, index: 0 };
  }
  return null;
}
