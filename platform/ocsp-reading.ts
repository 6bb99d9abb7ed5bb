/**
 * OCSP requests and answers out of bytes: the strict scan, then the shapes of RFC 6960. Most of it is cut by spans: a
 * responder reads a request for every answer, and an element of the library costs 5 µs. @spec RFC 6960 §4.1.1, §4.2.1
 */
import { equal } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type {
  BasicOcspAnswer,
  CertId,
  CertIdHash,
  OcspAnswer,
  OcspErrorStatus,
  OcspRequest,
  OcspSingle,
  OcspStatus,
  ResponderId,
} from '../protocol/ocsp.ts';
import type { EpochSeconds } from '../protocol/units.ts';
import { expect, Members, oidText, parsed } from './asn1.ts';
import { readName } from './certificate-names.ts';
import { certificateReader } from './certificates.ts';
import { DerFault, explicit, implicit, type Span, scanDer, spansOf, TAG } from './der.ts';
import { derTree, sequenceTree, writeDer, writeOid } from './der-writing.ts';
import { BASIC_OID, HASH_OIDS, NONCE_OID, STATUS_NUMBERS } from './ocsp-writing.ts';
import { readSignatureAlgorithm } from './signature-algorithms.ts';

export const MAX_REQUEST_BYTES = 4096;
export const MAX_CERT_IDS = 16;
export const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_REQUEST_ELEMENTS = 400;
const MAX_ANSWER_ELEMENTS = 4000;
const MAX_SINGLES = 256;
const MAX_CERTIFICATES = 8;
const MAX_SERIAL_BYTES = 20;
const MAX_NONCE_BYTES = 128;
const MAX_EXTENSIONS = 16;

/** Obeyed by doing nothing: they say more than is asked. Archive cutoff, CRL references, service locator, revoked ones. */
const HARMLESS: ReadonlySet<string> = new Set(['.3', '.6', '.7', '.9'].map((end) => `1.3.6.1.5.5.7.48.1${end}`));

/** @returns null for anything but exactly one OCSPRequest of 1 to 16 certificates */
export function readRequest(der: Uint8Array): OcspRequest | null {
  return der.length > MAX_REQUEST_BYTES ? null : orNull(() => requestOf(der));
}

/** @returns null for anything but exactly one OCSPResponse with a basic answer, or with an error and nothing else */
export function readAnswer(der: Uint8Array): OcspAnswer | null {
  return der.length > MAX_ANSWER_BYTES ? null : orNull(() => answerOf(der));
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (error instanceof DerFault) return null;
    throw error; // our bug, as in certificates.ts
  }
}

function membersOf(span: Span | undefined): Members<Span> {
  return new Members(spansOf(expect(span, TAG.sequence).content));
}

/** The one element within an explicit tag. */
function within({ content }: Span): Span {
  const [only, ...more] = spansOf(content);
  if (only === undefined || more.length > 0) throw new DerFault('no single member under an explicit tag');
  return only;
}

const timeOf = (span: Span): EpochSeconds => parsed(expect(span, TAG.generalizedTime)).time as EpochSeconds;

// ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────

function requestOf(der: Uint8Array): OcspRequest {
  const outer = membersOf(scanDer(der, MAX_REQUEST_ELEMENTS));
  const tbs = membersOf(outer.take(TAG.sequence));
  // Who signs a request is of no interest here: everybody may ask.
  const signature = outer.takeIf(explicit(0));
  if (signature !== null) expect(within(signature), TAG.sequence);
  outer.end();
  takeVersion(tbs);
  const requestor = tbs.takeIf(explicit(1));
  if (requestor !== null) within(requestor);
  const list = spansOf(tbs.take(TAG.sequence).content);
  const extensions = tbs.takeIf(explicit(2));
  tbs.end();
  if (list.length === 0 || list.length > MAX_CERT_IDS) throw new DerFault('no certificate is asked about, or too many');
  const critical: string[] = [];
  const certIds = list.map((one) => {
    const members = membersOf(one);
    const certId = readCertId(members.take(TAG.sequence));
    const own = members.takeIf(explicit(0));
    members.end();
    critical.push(...readExtensions(own).critical);
    return certId;
  });
  const { nonce, critical: ofRequest } = readExtensions(extensions);
  return { certIds, nonce, critical: [...critical, ...ofRequest] };
}

/** Version 1 is the default and the only one: it may not be spelled out. [X.690 §11.5] */
function takeVersion(members: Members<Span>): void {
  if (members.takeIf(explicit(0)) !== null) throw new DerFault('an unknown version, or a default that is spelled out');
}

/** AlgorithmIdentifiers of hashes, parameters absent or NULL: most are recognised by their bytes. */
const HASH_IDENTIFIERS: readonly (readonly [CertIdHash, Uint8Array])[] = Object.entries(HASH_OIDS).flatMap(
  ([name, oid]) => [
    [name as CertIdHash, writeDer(sequenceTree(writeOid(oid), derTree(TAG.null)))] as const,
    [name as CertIdHash, writeDer(sequenceTree(writeOid(oid)))] as const,
  ],
);

function readCertId(span: Span): CertId {
  const members = membersOf(span);
  const identifier = members.take(TAG.sequence);
  const issuerNameHash = members.take(TAG.octetString).content;
  const issuerKeyHash = members.take(TAG.octetString).content;
  const serial = members.take(TAG.integer).content;
  members.end();
  if (serial.length > MAX_SERIAL_BYTES) throw new DerFault('a serial number too long');
  const hash = HASH_IDENTIFIERS.find(([, bytes]) => equal(bytes, identifier.raw))?.[0] ?? null;
  if (hash === null) expect(spansOf(identifier.content)[0], TAG.oid);
  return { hash, issuerNameHash, issuerKeyHash, serial, der: span.raw };
}

interface Extensions {
  readonly nonce: Uint8Array | null;
  readonly critical: readonly string[];
}

/** @param tagged  Extensions under their explicit tag */
function readExtensions(tagged: Span | null): Extensions {
  let nonce: Uint8Array | null = null;
  const critical: string[] = [];
  if (tagged === null) return { nonce, critical };
  const list = spansOf(expect(within(tagged), TAG.sequence).content);
  const seen = new Set<string>();
  for (const one of list) {
    const members = membersOf(one);
    const oid = oidText(members.take(TAG.oid));
    const flag = members.takeIf(TAG.boolean);
    if (flag?.content[0] === 0) throw new DerFault('a default that is spelled out');
    const value = members.take(TAG.octetString).content;
    members.end();
    seen.add(oid);
    if (oid === NONCE_OID) nonce = readNonce(value);
    else if (flag !== null && !HARMLESS.has(oid)) critical.push(oid);
  }
  if (list.length === 0 || list.length > MAX_EXTENSIONS || seen.size !== list.length) {
    throw new DerFault('no extension, too many, or one that stands twice');
  }
  return { nonce, critical };
}

/** [RFC 9654 §2.1] */
function readNonce(value: Uint8Array): Uint8Array {
  const { content } = expect(scanDer(value, 1), TAG.octetString);
  if (content.length === 0 || content.length > MAX_NONCE_BYTES) throw new DerFault('a nonce of a wrong length');
  return content;
}

// ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const STATUSES = new Map(Object.entries(STATUS_NUMBERS).map(([name, number]) => [number, name]));

function answerOf(der: Uint8Array): OcspAnswer {
  const outer = membersOf(scanDer(der, MAX_ANSWER_ELEMENTS));
  const { content } = outer.take(TAG.enumerated);
  const status = content.length === 1 ? STATUSES.get(content[0]!) : undefined;
  if (status === undefined) throw new DerFault('an unknown status of an answer');
  const bytes = outer.takeIf(explicit(0));
  outer.end();
  if (status !== 'successful') {
    if (bytes !== null) throw new DerFault('an error with an answer');
    return { status: status as OcspErrorStatus };
  }
  if (bytes === null) throw new DerFault('a success without an answer');
  const members = membersOf(within(bytes));
  if (oidText(members.take(TAG.oid)) !== BASIC_OID) throw new DerFault('an answer of an unknown type');
  const basic = members.take(TAG.octetString).content;
  members.end();
  return basicOf(basic);
}

function basicOf(der: Uint8Array): BasicOcspAnswer {
  const outer = membersOf(scanDer(der, MAX_ANSWER_ELEMENTS));
  const tbs = outer.take(TAG.sequence);
  const algorithm = outer.take(TAG.sequence).raw;
  const bits = outer.take(TAG.bitString).content;
  const certificates = outer.takeIf(explicit(0));
  outer.end();
  if (bits[0] !== 0) throw new DerFault('a bit string that is no whole number of bytes');
  const members = membersOf(tbs);
  takeVersion(members);
  const responder = readResponder(members.take(explicit(1), explicit(2)));
  const producedAt = timeOf(members.takeAny());
  const singles = spansOf(members.take(TAG.sequence).content);
  const extensions = members.takeIf(explicit(1));
  members.end();
  if (singles.length > MAX_SINGLES) throw new DerFault('an answer about too many certificates');
  return {
    status: 'successful',
    tbs: tbs.raw,
    responder,
    producedAt,
    singles: singles.map(readSingle),
    ...readExtensions(extensions),
    signatureAlgorithm: readSignatureAlgorithm(algorithm),
    signature: bits.subarray(1),
    certificates: certificates === null ? [] : readCertificates(within(certificates)),
  };
}

function readResponder(tagged: Span): ResponderId {
  const inner = within(tagged);
  if (tagged.tag === explicit(1)) return { by: 'name', name: readName(parsed(inner)) };
  return { by: 'key', keyHash: expect(inner, TAG.octetString).content };
}

/** Those that cannot be read are passed over: a signature of theirs is not checked either. */
function readCertificates(list: Span): ParsedCertificate[] {
  const spans = spansOf(expect(list, TAG.sequence).content);
  if (spans.length > MAX_CERTIFICATES) throw new DerFault('too many certificates in an answer');
  const reader = certificateReader();
  return spans.flatMap(({ raw }) => reader.readCertificate(raw) ?? []);
}

function readSingle(span: Span): OcspSingle {
  const members = membersOf(span);
  const certId = readCertId(members.take(TAG.sequence));
  const status = readStatus(members.take(implicit(0), explicit(1), implicit(2)));
  const thisUpdate = timeOf(members.takeAny());
  const next = members.takeIf(explicit(0));
  const { critical } = readExtensions(members.takeIf(explicit(1)));
  members.end();
  return { certId, ...status, thisUpdate, nextUpdate: next === null ? null : timeOf(within(next)), critical };
}

function readStatus({ tag, content }: Span): OcspStatus {
  if (tag !== explicit(1)) {
    if (content.length > 0) throw new DerFault('no null');
    return { status: tag === implicit(0) ? 'good' : 'unknown' };
  }
  const members = new Members(spansOf(content));
  const revokedAt = timeOf(members.takeAny());
  const tagged = members.takeIf(explicit(0));
  members.end();
  if (tagged === null) return { status: 'revoked', revokedAt, reason: null };
  const reason = expect(within(tagged), TAG.enumerated).content;
  if (reason.length !== 1 || reason[0]! > 10 || reason[0] === 7) throw new DerFault('an unknown reason');
  return { status: 'revoked', revokedAt, reason: reason[0]! };
}
