/**
 * Path validation without certificate policies: the chain in the order it was sent, never searched. Pure; one pass, cheap
 * checks before signatures. @spec RFC 5280 §6.1, profile of design §5.7
 */
import { equal, toHex } from './bytes.ts';
import { type ParsedCertificate, sameName } from './certificate.ts';
import { goesByCommonName, type Role, roleFault } from './certificate-role.ts';
import type { Crypto, PublicKey } from './crypto.ts';
import { MAX_CHAIN, type VerdictReason } from './messages.ts';
import { constraintFault } from './name-constraints.ts';
import type { RevocationSource } from './revocation.ts';
import type { EpochSeconds } from './units.ts';

export interface PathQuestion {
  readonly crypto: Crypto;
  /** Leaf first, each issued by the next; the last one by an anchor, or it is the anchor. */
  readonly chain: readonly ParsedCertificate[];
  readonly anchors: readonly ParsedCertificate[];
  /** null: revocation is somebody else's business. With a source, a certificate that it does not decide is refused. */
  readonly revocation: RevocationSource | null;
  /** Hex SHA-256 of SubjectPublicKeyInfos that are out whoever certifies them. */
  readonly revokedKeys?: ReadonlySet<string>;
  readonly at: EpochSeconds;
  readonly purpose: Role;
  /** Whose certificate it has to be: device id, manager name, user. */
  readonly name?: string;
}

export interface PathFault {
  readonly ok: false;
  readonly reason: Exclude<VerdictReason, 'good'>;
  /** For the log, without an ending full stop. */
  readonly detail: string;
  /** Place of the culprit in the chain, leaf = 0; chain.length = the anchor. */
  readonly index: number;
}

export type PathFinding =
  | {
      readonly ok: true;
      readonly anchor: ParsedCertificate;
      /** Last second at which the same question has the same answer: the earliest end of a period or of a list. */
      readonly validUntil: EpochSeconds;
    }
  | PathFault;

/** Anchors of one name (a root that was renewed) that are tried. */
const MAX_ANCHORS_TRIED = 4;

export function validatePath(question: PathQuestion): PathFinding {
  const { chain, anchors } = question;
  if (chain.length > MAX_CHAIN) return fault('chain-too-long', `${chain.length} certificates, at most ${MAX_CHAIN}`, 0);
  const last = chain.at(-1);
  if (last === undefined) return fault('malformed', 'no certificate', 0);
  const itself = anchors.find((anchor) => equal(anchor.der, last.der));
  const path = itself === undefined ? chain : chain.slice(0, -1);
  const top = path.at(-1);
  if (top === undefined) return fault('not-a-leaf', 'a trust anchor stands for nobody', 0);
  for (let i = 0; i + 1 < path.length; i++) {
    if (!sameName(path[i]!.issuer, path[i + 1]!.subject)) {
      return fault('unknown-issuer', 'the next certificate of the chain is not its issuer', i);
    }
  }
  const candidates = (itself === undefined ? anchors : [itself]).filter((anchor) =>
    sameName(anchor.subject, top.issuer),
  );
  let finding: PathFinding = fault('unknown-issuer', 'no trust anchor of that name', path.length - 1);
  for (const anchor of candidates.slice(0, MAX_ANCHORS_TRIED)) {
    const found = validateUnder(question, path, anchor);
    if (found.ok) return found;
    if (finding.ok || finding.reason === 'unknown-issuer' || finding.reason === 'bad-signature') finding = found;
  }
  return finding;
}

function fault(reason: VerdictReason, detail: string, index: number): PathFault {
  return { ok: false, reason: reason as PathFault['reason'], detail, index };
}

function validateUnder(
  question: PathQuestion,
  path: readonly ParsedCertificate[],
  anchor: ParsedCertificate,
): PathFinding {
  const all = [...path, anchor];
  for (const [index, certificate] of all.entries()) {
    const found = periodFault(certificate, question.at, index) ?? contentFault(certificate, index);
    if (found !== null) return found;
  }
  for (let index = 1; index < all.length; index++) {
    const found = issuerFault(all, index);
    if (found !== null) return found;
  }
  const constraint = constraintFault(path, anchor, goesByCommonName(question.purpose));
  if (constraint !== null) return fault(constraint.reason, constraint.detail, constraint.index);
  const role = roleFault(path[0]!, all.slice(1), question.purpose, question.name);
  if (role !== null) return fault(role.reason, role.detail, role.index);
  return proveUnder(question, path, all);
}

/** The period includes both of its ends. */
function periodFault(certificate: ParsedCertificate, at: EpochSeconds, index: number): PathFault | null {
  if (at < certificate.notBefore) return fault('not-yet-valid', `its period begins at ${certificate.notBefore}`, index);
  if (at > certificate.notAfter) return fault('expired', `its period ended at ${certificate.notAfter}`, index);
  return null;
}

function contentFault({ extensions }: ParsedCertificate, index: number): PathFault | null {
  const [unknown] = extensions.unknownCritical;
  if (unknown !== undefined) return fault('unknown-critical-extension', `a critical extension ${unknown}`, index);
  if (index === 0 && extensions.nameConstraints !== null && extensions.basicConstraints?.ca !== true) {
    return fault('constraint-violated', 'name constraints in a certificate that is no CA', index);
  }
  return null;
}

function issuerFault(all: readonly ParsedCertificate[], index: number): PathFault | null {
  const { basicConstraints, keyUsage } = all[index]!.extensions;
  if (basicConstraints?.ca !== true) return fault('constraint-violated', 'an issuer that is no CA', index);
  if (keyUsage !== null && !keyUsage.has('keyCertSign')) {
    return fault('constraint-violated', 'an issuer whose key may not sign certificates', index);
  }
  if (basicConstraints.pathLength === null) return null;
  // Intermediates below, those aside that only roll over a key. [RFC 5280 §4.2.1.9]
  const below = all.slice(1, index).filter(({ issuer, subject }) => !sameName(issuer, subject)).length;
  if (below <= basicConstraints.pathLength) return null;
  return fault('constraint-violated', `${below} CAs below it, at most ${basicConstraints.pathLength}`, index);
}

/** Signatures and revocation, from the anchor down: nothing is looked up with a key that is not proven. */
function proveUnder(
  { crypto, revocation, revokedKeys, at }: PathQuestion,
  path: readonly ParsedCertificate[],
  all: readonly ParsedCertificate[],
): PathFinding {
  let validUntil = all.reduce((earliest, { notAfter }) => Math.min(earliest, notAfter), Number.POSITIVE_INFINITY);
  let issuerKey: PublicKey | null = null;
  for (let index = all.length - 1; index >= 0; index--) {
    const certificate = all[index]!;
    const algorithm = certificate.signatureAlgorithm;
    if (issuerKey !== null) {
      if (algorithm === null) return fault('weak-signature', 'a signature algorithm outside the profile', index);
      if (!crypto.verify(algorithm, issuerKey, certificate.signature, certificate.tbs, 'der')) {
        return fault('bad-signature', 'not signed by its issuer', index);
      }
      const issuer = all[index + 1]!;
      const status =
        revocation?.status({ crypto, certificate, issuer, issuerKey, at, proveListSigner: () => null }) ?? null;
      if (status?.status === 'revoked') return fault('revoked', 'its issuer revoked it', index);
      if (status?.status === 'unknown') return fault('revocation-unknown', status.detail, index);
      if (status !== null) validUntil = Math.min(validUntil, status.until);
    }
    if (revokedKeys?.has(toHex(crypto.hash('sha-256', certificate.spki))) === true) {
      return fault('revoked', 'its public key is revoked', index);
    }
    const key = crypto.publicKey(certificate.spki);
    if (key === null) return fault('weak-key', 'a key of a type or size outside the profile', index);
    issuerKey = key;
  }
  return { ok: true, anchor: all[path.length]!, validUntil: validUntil as EpochSeconds };
}
