/**
 * What a device that enrols believes: the manager by the anchor whose hash is in the invitation, and what the manager then
 * hands out. Nothing is stored before all of it is proven.
 *
 * The clock: a new device may not know the time, and no key of a verifier is known to it yet. Where nothing but the
 * period of the manager's certificate is wrong, the exchange goes on if a verdict bound to this exchange lies beside it;
 * message_4 then has to bring the verifier's certificate under that same anchor, and the verdict is checked before
 * anything is stored. Whoever has the key of a manager whose certificate ran out can so learn the token, as could
 * whoever sets the clock of a device that goes by it; he can not make the device his own.
 */
import { equal } from '../protocol/bytes.ts';
import { type CertificateReader, deviceNames, type ParsedCertificate, sameName } from '../protocol/certificate.ts';
import type { Role } from '../protocol/certificate-role.ts';
import { ProtocolError } from '../protocol/errors.ts';
import type { LoginChoiceRead, PeerLeaf } from '../protocol/login.ts';
import { MAX_CHAIN } from '../protocol/message-values.ts';
import type { LoginAnswer } from '../protocol/messages.ts';
import { type PathFinding, validatePath } from '../protocol/path-validation.ts';
import { type DeviceId, EpochSeconds } from '../protocol/units.ts';
import { checkVerdict } from '../protocol/verdict.ts';
import type { World } from '../protocol/world.ts';

/** What the invitation says, and what was asked for. */
export interface EnrolmentWish {
  /** Name of the manager. */
  readonly manager: string;
  /** SHA-256 of the anchor under which it stands. */
  readonly anchorHash: Uint8Array;
  /** The key that is to be certified: SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** null: whichever the manager gives. */
  readonly name: DeviceId | null;
}

/** The manager of the invitation, as far as its certificate can prove it. */
export interface BelievedManager {
  readonly peer: PeerLeaf;
  readonly chain: readonly ParsedCertificate[];
  readonly anchor: ParsedCertificate;
  /** As stapled; null when the verifier was away. */
  readonly verdict: Uint8Array | null;
  /** Nothing but its period, by this device's clock, speaks against it. */
  readonly clockInDoubt: boolean;
}

/** What an enrolled device holds, all of it DER. */
export interface Enrolled {
  readonly id: DeviceId;
  /** Leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly anchors: readonly Uint8Array[];
  /** Their certificates, and those of CAs that lead to them. */
  readonly verifiers: readonly Uint8Array[];
  /** The verifier's time, just now; null when it was away. */
  readonly time: EpochSeconds | null;
  /** This device's clock is wrong beyond the periods of certificates. */
  readonly clockInDoubt: boolean;
}

const untrusted = (detail: string): ProtocolError => new ProtocolError('badCertificate', detail);

/**
 * Between reading message_2 and proving its signature.
 * @throws ProtocolError badCertificate: it is not the manager of the invitation, and why
 */
export function believeManager(
  reader: CertificateReader,
  wish: EnrolmentWish,
  { choice, peer }: Pick<LoginChoiceRead, 'choice' | 'peer'>,
  world: World,
): BelievedManager {
  const { crypto, wall } = world;
  const anchorDer = choice.anchors?.find((der) => equal(crypto.hash('sha-256', der), wish.anchorHash));
  const anchor = anchorDer === undefined ? null : reader.readCertificate(anchorDer.slice());
  if (anchor === null) throw untrusted('it does not show the trust anchor whose fingerprint is in the invitation');
  if (peer.kind !== 'x5chain') throw untrusted('it shows no certificate');
  const chain = parseAll(reader, peer.certificates, "the manager's certificate");
  const [leaf] = chain;
  const judge = (at: EpochSeconds): PathFinding =>
    validatePath({ crypto, chain, anchors: [anchor], revocation: null, at, purpose: 'manager', name: wish.manager });
  const found = judge(wall);
  const verdict = choice.verdict?.slice() ?? null;
  const inDoubt = !found.ok && isPeriod(found.reason);
  const finding = inDoubt ? judge(nearest([...chain, anchor], wall)) : found;
  if (!finding.ok) throw untrusted(`its certificate: ${finding.reason}: ${finding.detail}`);
  if (inDoubt && verdict === null) {
    throw untrusted(
      `its certificate is not valid by the clock of this device, which says ${dateOf(wall)} UTC, and no verifier says otherwise: set the clock, or start the verifier`,
    );
  }
  const publicKey = crypto.publicKey(leaf.spki);
  if (publicKey === null) throw untrusted('its key is of no known kind');
  return { peer: { der: leaf.der, publicKey }, chain, anchor, verdict, clockInDoubt: inDoubt };
}

/**
 * Everything that message_4 brings, before any of it is stored.
 * @param nonce  SHA-256(G_X) of this exchange
 * @throws ProtocolError badCertificate | badVerdict
 */
export function acceptIssued(
  reader: CertificateReader,
  wish: EnrolmentWish,
  manager: BelievedManager,
  answer: Pick<LoginAnswer, 'issued' | 'anchors' | 'verifiers'>,
  nonce: Uint8Array,
  world: World,
): Enrolled {
  const { crypto, wall } = world;
  const chain = parseAll(reader, answer.issued ?? [], 'the certificate that was issued');
  const anchors = parseAll(reader, answer.anchors ?? [], 'a trust anchor');
  const verifiers =
    answer.verifiers === undefined ? [] : parseAll(reader, answer.verifiers, "a verifier's certificate");
  if (!anchors.some(({ der }) => equal(der, manager.anchor.der))) {
    throw untrusted('its trust anchors leave out the one of the invitation');
  }
  const heaps = [verifiers, manager.chain, chain].map((all) => all.filter(isCa));
  const paths = verifiers.filter((one) => !isCa(one)).map((leaf) => heaps.map((heap) => pathOf(leaf, heap)));
  const under = (
    trusted: readonly ParsedCertificate[],
    path: readonly ParsedCertificate[],
    role: Role,
    at: EpochSeconds,
  ) => validatePath({ crypto, chain: path, anchors: trusted, revocation: null, at, purpose: role });
  const time = verifiedTime(wish, manager, paths, nonce, world);
  if (time === null && manager.clockInDoubt) {
    throw untrusted(
      `no verifier under the anchor of the invitation vouches for it, and the clock of this device, which says ${dateOf(wall)} UTC, does not fit: set the clock`,
    );
  }
  const at = manager.clockInDoubt && time !== null ? time : wall;
  for (const ways of paths) {
    const [finding] = ways
      .map((path) => under(anchors, path, 'verifier', at))
      .sort((a, b) => Number(b.ok) - Number(a.ok));
    if (finding?.ok === false) throw untrusted(`its verifier's certificate: ${finding.reason}: ${finding.detail}`);
  }
  const [leaf] = chain;
  if (!equal(leaf.spki, wish.spki)) throw untrusted("it certified another key than this device's");
  const id = deviceNames(leaf)?.id;
  if (id === undefined) throw untrusted('the certificate that it issued has no common name that can be a device id');
  if (wish.name !== null && id !== wish.name)
    throw untrusted(`it certified the name ${id}, asked for was ${wish.name}`);
  const finding = under(anchors, chain, 'device', at);
  if (!finding.ok) throw untrusted(`the certificate that it issued: ${finding.reason}: ${finding.detail}`);
  const ders = (all: readonly ParsedCertificate[]): Uint8Array[] => all.map(({ der }) => der);
  const { clockInDoubt } = manager;
  return { id, chain: ders(chain), anchors: ders(anchors), verifiers: ders(verifiers), time, clockInDoubt };
}

const NEVER: EpochSeconds = EpochSeconds(0);

/**
 * The verdict on the manager, by a verifier under the anchor of the invitation alone.
 * @param paths  for each verifier the ways that may lead to an anchor
 * @returns its time; null without a verdict or without such a verifier
 */
function verifiedTime(
  wish: EnrolmentWish,
  { anchor, chain, verdict, clockInDoubt }: BelievedManager,
  paths: readonly (readonly (readonly ParsedCertificate[])[])[],
  nonce: Uint8Array,
  { crypto, wall }: World,
): EpochSeconds | null {
  if (verdict === null) return null;
  const judge = (path: readonly ParsedCertificate[], at: EpochSeconds): boolean =>
    validatePath({ crypto, chain: path, anchors: [anchor], revocation: null, at, purpose: 'verifier' }).ok;
  const when = (path: readonly ParsedCertificate[]): EpochSeconds =>
    clockInDoubt ? nearest([...path, anchor], wall) : wall;
  const trusted = paths.filter((ways) => ways.some((path) => judge(path, when(path))));
  const verifierKeys = trusted.flatMap(([way]) => crypto.publicKey(way?.[0]?.spki ?? new Uint8Array(0)) ?? []);
  if (verifierKeys.length === 0) return null;
  const [leaf] = chain;
  const leafSha256 = crypto.hash('sha-256', leaf?.der ?? new Uint8Array(0));
  const expected = { verifierKeys, purpose: 'manager', leafSha256, nonce, now: null, maxClockSkew: 0 } as const;
  const { reason, time } = checkVerdict(crypto, verdict, expected);
  if (reason !== 'good') throw untrusted(`its verifier says of it: ${reason}`);
  const at = EpochSeconds(time);
  const stands =
    trusted.some((ways) => ways.some((path) => judge(path, at))) &&
    validatePath({ crypto, chain, anchors: [anchor], revocation: null, at, purpose: 'manager', name: wish.manager }).ok;
  if (!stands) throw untrusted("at the verifier's time its own certificate or the verifier's is not valid");
  return at > NEVER ? at : null;
}

const isPeriod = (reason: string): boolean => reason === 'expired' || reason === 'not-yet-valid';

/** The time nearest to ours at which all of them are valid; without one any that does. */
function nearest(certificates: readonly ParsedCertificate[], at: EpochSeconds): EpochSeconds {
  const from = Math.max(...certificates.map(({ notBefore }) => notBefore));
  const until = Math.min(...certificates.map(({ notAfter }) => notAfter));
  return EpochSeconds(Math.min(Math.max(at, from), until));
}

/** The leaf and who stands above it in this heap, by name; nothing is searched. */
function pathOf(leaf: ParsedCertificate, heap: readonly ParsedCertificate[]): readonly ParsedCertificate[] {
  const path = [leaf];
  for (let above: ParsedCertificate | undefined = leaf; above !== undefined && path.length < MAX_CHAIN; ) {
    const { issuer }: ParsedCertificate = above;
    above = heap.find((one) => sameName(one.subject, issuer) && !path.includes(one));
    if (above !== undefined) path.push(above);
  }
  return path;
}

const isCa = ({ extensions }: ParsedCertificate): boolean => extensions.basicConstraints?.ca === true;

function parseAll(
  reader: CertificateReader,
  ders: readonly Uint8Array[],
  what: string,
): readonly [ParsedCertificate, ...ParsedCertificate[]] {
  const parsed = ders.map((der) => reader.readCertificate(der.slice()));
  const [first, ...rest] = parsed.filter((one) => one !== null);
  if (first === undefined || rest.length + 1 !== parsed.length) throw untrusted(`${what} is missing or does not parse`);
  return [first, ...rest];
}

const dateOf = (time: EpochSeconds): string => new Date(time * 1000).toISOString().slice(0, 16).replace('T', ' ');
