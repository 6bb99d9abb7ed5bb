/**
 * Path validation without certificate policies: the chain in the order it was sent, never searched. Pure; one pass, cheap
 * checks before signatures. @spec RFC 5280 §6.1, profile of design §5.7
 */
import { equal, toHex } from './bytes.ts';
import { type GeneralNames, type ParsedCertificate, sameName } from './certificate.ts';
import { conformanceFault } from './certificate-conformance.ts';
import { goesByCommonName, type Role, roleFault } from './certificate-role.ts';
import type { Crypto, PublicKey } from './crypto.ts';
import { mayBeSigner, maySignLists } from './list-signer.ts';
import { MAX_CHAIN } from './message-values.ts';
import { constraintFault } from './name-constraints.ts';
import { certificateFault, fault, issuerFault, type PathFault } from './path-fault.ts';
import { walk } from './path-search.ts';
import { type PathWork, pathWork } from './path-work.ts';
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
  /** How long data that says "not revoked" still counts when it is out of date, in seconds; absent: not at all. */
  readonly staleSeconds?: (anchor: ParsedCertificate) => number;
  readonly at: EpochSeconds;
  readonly purpose: Role;
  /** true: purpose `any` asks for the duties, too, that RFC 5280 lays on issuers; `server` does so always. */
  readonly strict?: boolean;
  /** Whose certificate it has to be: device id, manager name, user. */
  readonly name?: string;
}

export type PathFinding =
  | {
      readonly ok: true;
      readonly anchor: ParsedCertificate;
      /** Last second at which the same question has the same answer: the earliest end of a period or of a list. */
      readonly validUntil: EpochSeconds;
      /** Set when revocation data was out of date and let pass: of which certificate of the chain, since when. */
      readonly stale?: { readonly index: number; readonly since: EpochSeconds };
    }
  | PathFault;

/** What the paths of one question share. */
export interface PathGround {
  readonly question: Omit<PathQuestion, 'chain'>;
  readonly work: PathWork;
  /** Among these, too, signers of lists are looked for. */
  readonly heap: readonly ParsedCertificate[];
  /** Signers of lists whose proof has begun and not ended. */
  readonly proving: readonly ParsedCertificate[];
}

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
  const ground = { question, work: pathWork(question.crypto), heap: [], proving: [] };
  let finding: PathFinding = fault('unknown-issuer', 'no trust anchor of that name', path.length - 1);
  for (const anchor of candidates.slice(0, MAX_ANCHORS_TRIED)) {
    const found = judgePath(ground, path, anchor);
    if (found.ok || found.reason === 'work-limit') return found;
    if (finding.ok || finding.reason === 'unknown-issuer' || finding.reason === 'bad-signature') finding = found;
  }
  return finding;
}

/** One path whose names chain, under one anchor: everything that can be wrong with it. */
export function judgePath(
  ground: PathGround,
  path: readonly ParsedCertificate[],
  anchor: ParsedCertificate,
): PathFinding {
  const { purpose, name, strict } = ground.question;
  const all = [...path, anchor];
  const found = structureFault(ground, path, anchor, goesByCommonName(purpose));
  if (found !== null) return found;
  const role = roleFault(path[0]!, all.slice(1), purpose, name);
  if (role !== null) return fault(role.reason, role.detail, role.index);
  const broken = strict === true && purpose === 'any' ? conformanceFault(all, false) : null;
  if (broken !== null) return fault('malformed', broken.detail, broken.index);
  const proven = provePath(ground, all);
  return ground.work.exhausted === null ? proven : fault('work-limit', ground.work.exhausted, 0);
}

function structureFault(
  { question, work }: PathGround,
  path: readonly ParsedCertificate[],
  anchor: ParsedCertificate,
  countCommonName: boolean,
): PathFault | null {
  const all = [...path, anchor];
  for (const [index, certificate] of all.entries()) {
    const found = certificateFault(certificate, question.at, index, isOverlooked(question, index));
    if (found !== null) return found;
  }
  for (let index = 1; index < all.length; index++) {
    const found = issuerFault(all, index);
    if (found !== null) return found;
  }
  if (!work.compare(count(path, namesIn), count(all, subtreesIn))) return fault('work-limit', work.exhausted ?? '', 0);
  const constraint = constraintFault(path, anchor, countCommonName);
  return constraint === null ? null : fault(constraint.reason, constraint.detail, constraint.index);
}

/** A device that asks for its renewal may have slept through the end of its certificate; no CA may. */
const isOverlooked = ({ purpose }: Pick<PathQuestion, 'purpose'>, index: number): boolean =>
  purpose === 'renewal' && index === 0;

const sizeOf = ({ dns, email, uri, ip, directory }: GeneralNames): number =>
  dns.length + email.length + uri.length + ip.length + directory.length;
const namesIn = ({ extensions: { subjectAltName } }: ParsedCertificate): number =>
  2 + (subjectAltName === null ? 0 : sizeOf(subjectAltName));
const subtreesIn = ({ extensions: { nameConstraints } }: ParsedCertificate): number =>
  nameConstraints === null ? 0 : sizeOf(nameConstraints.permitted) + sizeOf(nameConstraints.excluded);
const count = (path: readonly ParsedCertificate[], of: (one: ParsedCertificate) => number): number =>
  path.reduce((sum, one) => sum + of(one), 0);

/** Signatures and revocation, from the anchor down: nothing is looked up with a key that is not proven. */
function provePath(ground: PathGround, all: readonly ParsedCertificate[]): PathFinding {
  const { crypto } = ground.work;
  const { question } = ground;
  const { revokedKeys } = question;
  let validUntil = all
    .filter((_, index) => !isOverlooked(question, index))
    .reduce((earliest, { notAfter }) => Math.min(earliest, notAfter), Number.POSITIVE_INFINITY);
  let stale: { readonly index: number; readonly since: EpochSeconds } | null = null;
  let issuerKey: PublicKey | null = null;
  for (let index = all.length - 1; index >= 0; index--) {
    const certificate = all[index]!;
    const algorithm = certificate.signatureAlgorithm;
    if (issuerKey !== null) {
      if (algorithm === null) return fault('weak-signature', 'a signature algorithm outside the profile', index);
      if (!crypto.verify(algorithm, issuerKey, certificate.signature, certificate.tbs, 'der')) {
        return fault('bad-signature', 'not signed by its issuer', index);
      }
      const standing = standingOf(ground, all.slice(index), issuerKey);
      if ('ok' in standing) return { ...standing, index };
      validUntil = Math.min(validUntil, standing.until);
      if (standing.staleSince !== null && (stale === null || standing.staleSince < stale.since)) {
        stale = { index, since: standing.staleSince };
      }
    }
    if (revokedKeys?.has(toHex(crypto.hash('sha-256', certificate.spki))) === true) {
      return fault('revoked', 'its public key is revoked', index);
    }
    const key = crypto.publicKey(certificate.spki);
    if (key === null) return fault('weak-key', 'a key of a type or size outside the profile', index);
    issuerKey = key;
  }
  const good = { ok: true, anchor: all.at(-1)!, validUntil: validUntil as EpochSeconds } as const;
  return stale === null ? good : { ...good, stale };
}

/** Not revoked, and until when that is known. */
interface Standing {
  readonly until: number;
  readonly staleSince: EpochSeconds | null;
}

/** @param line  the certificate, its issuer and so on up to the anchor, proven but for the certificate's own standing */
function standingOf(
  ground: PathGround,
  line: readonly ParsedCertificate[],
  issuerKey: PublicKey,
): Standing | PathFault {
  const { revocation, at, staleSeconds } = ground.question;
  if (revocation === null) return { until: Number.POSITIVE_INFINITY, staleSince: null };
  const [certificate, issuer] = line as [ParsedCertificate, ParsedCertificate];
  let until = Number.POSITIVE_INFINITY;
  let staleSince: EpochSeconds | null = null;
  const candidates = [...line, ...ground.heap];
  const status = revocation.status({
    crypto: ground.work.crypto,
    certificate,
    issuer,
    issuerKey,
    at,
    candidates,
    proveListSigner: (signer, among) => {
      const proof = proveListSigner({ ...ground, heap: [...candidates, ...among] }, line, signer);
      if (proof === null) return null;
      until = Math.min(until, proof.until);
      staleSince = proof.staleSince ?? staleSince;
      return proof.key;
    },
  });
  switch (status.status) {
    case 'good':
      return { until: Math.min(until, status.until), staleSince };
    case 'revoked':
      return fault('revoked', 'its issuer revoked it', 0);
    case 'unknown': {
      const allowed = staleSeconds?.(line.at(-1)!) ?? 0;
      const since = status.staleSince;
      if (since === undefined || at - since > allowed) return fault('revocation-unknown', status.detail, 0);
      return { until: Math.min(until, since + allowed), staleSince: since };
    }
    default:
      return status satisfies never;
  }
}

/** Whether the last one may stand above the others, in a search. The signature is checked with a key that nothing proves yet: what is not signed by it leads nowhere. */
export function admissionFault(work: PathWork, all: readonly ParsedCertificate[], at: EpochSeconds): PathFault | null {
  const index = all.length - 1;
  const [below, next] = [all[index - 1]!, all[index]!];
  const found = certificateFault(next, at, index) ?? issuerFault(all, index);
  if (found !== null) return found;
  const key = work.crypto.publicKey(next.spki);
  if (key === null) return fault('weak-key', 'a key of a type or size outside the profile', index);
  if (below.signatureAlgorithm === null)
    return fault('weak-signature', 'a signature algorithm outside the profile', index - 1);
  if (work.crypto.verify(below.signatureAlgorithm, key, below.signature, below.tbs, 'der')) return null;
  return fault('bad-signature', 'not signed by its issuer', index - 1);
}

// ── signers of lists ────────────────────────────────────────────────────────────────────────────────────────────────

/** Signers of lists that are proven by lists that others sign, and so on. */
const MAX_NESTING = 3;
/** Paths to one signer that are tried. */
const MAX_SIGNER_PATHS = 4;

/** Under the anchor of the line, and certified by one of the line: see list-signer.ts. */
function proveListSigner(
  ground: PathGround,
  line: readonly ParsedCertificate[],
  signer: ParsedCertificate,
): (Standing & { readonly key: PublicKey }) | null {
  const { work, question } = ground;
  const anchor = line.at(-1)!;
  const is = (other: ParsedCertificate): boolean => equal(other.der, signer.der);
  const proven = (standing: Standing): (Standing & { readonly key: PublicKey }) | null => {
    const key = work.crypto.publicKey(signer.spki);
    return key === null ? null : { ...standing, key };
  };
  if (!maySignLists(signer)) return null;
  const nothingNew: Standing = { until: Number.POSITIVE_INFINITY, staleSince: null };
  if (line.slice(1).some(is)) return proven(nothingNew);
  // A signer's own standing may be told by its own list only where its issuer says so; it is proven but for that.
  if (is(line[0]!))
    return signer.extensions.distributionPoints?.some(designates(signer)) === true ? proven(nothingNew) : null;
  if (ground.proving.length >= MAX_NESTING || ground.proving.some(is)) return null;
  // nothing of a signer is overlooked, whatever the question is about
  const within = {
    ...ground,
    question: { ...question, purpose: 'any' as const },
    proving: [...ground.proving, signer],
  };
  const admits = (path: readonly ParsedCertificate[], next: ParsedCertificate): boolean =>
    work.step() && admissionFault(work, [...path, next], question.at) === null;
  const issuersOf = ({ issuer }: ParsedCertificate): ParsedCertificate[] =>
    ground.heap.filter(({ subject }) => sameName(subject, issuer));
  let tried = 0;
  for (const step of walk([signer], { issuersOf, anchors: [anchor], maxDepth: MAX_CHAIN - 1, admits })) {
    if (step.kind === 'end' || !mayBeSigner([...step.path, anchor], line)) continue;
    if (++tried > MAX_SIGNER_PATHS || work.exhausted !== null) break;
    if (structureFault(within, step.path, anchor, false) !== null) continue;
    const found = provePath(within, [...step.path, anchor]);
    if (found.ok) return proven({ until: found.validUntil, staleSince: found.stale?.since ?? null });
  }
  return null;
}

const designates =
  (signer: ParsedCertificate) =>
  ({ crlIssuer }: { readonly crlIssuer: readonly ParsedCertificate['subject'][] | null }): boolean =>
    crlIssuer?.some((name) => sameName(name, signer.subject)) === true;
