/**
 * What an OCSP answer says of one certificate, and whether it may: who signed it, whom it names, when, and to whom.
 * Malformed, foreign, old or replayed answers decide nothing. @spec RFC 6960 §3.2, §4.2.2
 */
import { equal } from './bytes.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate, sameName } from './certificate.ts';
import type { Crypto, PublicKey } from './crypto.ts';
import type { BasicOcspAnswer, CertId, OcspAnswer, OcspCodec, OcspSingle } from './ocsp.ts';
import type { Revocation } from './revocation.ts';
import type { EpochSeconds } from './units.ts';

export interface OcspQuestion {
  readonly crypto: Crypto;
  readonly codec: Pick<OcspCodec, 'issuerHashes'>;
  readonly certificate: ParsedCertificate;
  readonly issuer: ParsedCertificate;
  /** The key with which `issuer` issued it, proven up to the anchor. */
  readonly issuerKey: PublicKey;
  readonly at: EpochSeconds;
  /** null: it could not be read. */
  readonly answer: OcspAnswer | null;
  /** What was sent with the request; null: nothing. */
  readonly nonce: Uint8Array | null;
  /** Whether an answer without it counts: responders that answer from a store give none. */
  readonly nonceRequired: boolean;
  /** Whether the signer's certificate or key is revoked by what is known besides; `nocheck` says nothing of that. */
  readonly isDistrusted?: (signer: ParsedCertificate) => boolean;
}

/** How far the responder's clock may be ahead. */
const CLOCK_SKEW_SECONDS = 60;
/** An answer without nextUpdate says that newer data is there at any time. */
const UNDATED_SECONDS = 300;
/** Each costs up to two signature checks. */
const MAX_SIGNERS_TRIED = 2;

export function checkOcspAnswer(question: OcspQuestion): Revocation {
  const { answer, at } = question;
  if (answer === null) return unknown('the OCSP answer cannot be read');
  if (answer.status !== 'successful') return unknown(`the OCSP responder says ${answer.status}`);
  // Whose it is first: no signature is checked for an answer about somebody else.
  const singles = answer.singles.filter(({ certId }) => names(certId, question));
  if (singles.length === 0) return unknown('the OCSP answer is about another certificate');
  const signer = signerFault(question, answer);
  if (signer !== null) return unknown(signer);
  const critical = answer.critical[0] ?? singles.flatMap((single) => single.critical)[0];
  if (critical !== undefined) return unknown(`the OCSP answer has a critical extension ${critical}`);
  // Once said it stands, in an old answer too.
  if (singles.some(({ status }) => status === 'revoked')) return { status: 'revoked' };
  const nonce = nonceFault(question, answer);
  if (nonce !== null) return unknown(nonce);
  if (answer.producedAt > at + CLOCK_SKEW_SECONDS) return unknown('the OCSP answer is from the future');
  return newest(singles.map((single) => readSingle(single, at)));
}

function unknown(detail: string, staleSince?: EpochSeconds): Revocation {
  return { status: 'unknown', detail, ...(staleSince !== undefined && { staleSince }) };
}

function names({ hash, issuerNameHash, issuerKeyHash, serial }: CertId, question: OcspQuestion): boolean {
  const { codec, certificate, issuerKey } = question;
  if (hash === null || !equal(serial, certificate.serial)) return false;
  const hashes = codec.issuerHashes(hash, certificate.issuer.der, issuerKey.spki);
  return hashes !== null && equal(issuerNameHash, hashes.name) && equal(issuerKeyHash, hashes.key);
}

function nonceFault({ nonce, nonceRequired }: OcspQuestion, answer: BasicOcspAnswer): string | null {
  if (answer.nonce === null) return nonceRequired ? 'the OCSP answer has no nonce' : null;
  if (nonce === null) return nonceRequired ? 'the OCSP answer has a nonce that nobody sent' : null;
  return equal(nonce, answer.nonce) ? null : 'the OCSP answer has the nonce of another request';
}

function readSingle(single: OcspSingle, at: EpochSeconds): Revocation {
  const { status, thisUpdate, nextUpdate } = single;
  if (status !== 'good') return unknown('the OCSP responder does not know the certificate');
  if (thisUpdate > at + CLOCK_SKEW_SECONDS) return unknown('the OCSP answer is from the future');
  const until = nextUpdate ?? ((thisUpdate + UNDATED_SECONDS) as EpochSeconds);
  if (until < thisUpdate) return unknown('the OCSP answer ends before it begins');
  return until < at ? unknown('the OCSP answer is out of date', until) : { status: 'good', until };
}

/** The good one that holds longest; else the one that did so last; else whatever there is. */
function newest(found: readonly Revocation[]): Revocation {
  const end = (one: Revocation): number => {
    if (one.status === 'good') return one.until;
    return one.status === 'unknown' ? (one.staleSince ?? 0) : 0;
  };
  // What is good ends now or later, what is merely old ended before.
  return found.reduce((best, one) => (end(one) > end(best) ? one : best));
}

// ── who signed ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** @returns null when the issuer itself signed, or a delegate of its own */
function signerFault(question: OcspQuestion, answer: BasicOcspAnswer): string | null {
  const { crypto, issuer, issuerKey } = question;
  if (answer.signatureAlgorithm === null) return 'the OCSP answer is signed with an algorithm outside the profile';
  if (isResponder(question, answer, issuer)) {
    return signs(crypto, answer, issuerKey) ? null : 'the OCSP answer is not signed by its issuer';
  }
  const delegates = answer.certificates.filter((certificate) => isResponder(question, answer, certificate));
  let fault = 'the OCSP answer is signed by somebody whose certificate it lacks';
  for (const delegate of delegates.slice(0, MAX_SIGNERS_TRIED)) {
    const found = delegateFault(question, delegate) ?? signatureFault(crypto, answer, delegate);
    if (found === null) return null;
    fault = found;
  }
  return fault;
}

function isResponder({ codec }: OcspQuestion, { responder }: BasicOcspAnswer, who: ParsedCertificate): boolean {
  if (responder.by === 'name') return sameName(responder.name, who.subject);
  const own = codec.issuerHashes('sha-1', who.subject.der, who.spki);
  return own !== null && equal(responder.keyHash, own.key);
}

function signs(crypto: Crypto, { signatureAlgorithm, signature, tbs }: BasicOcspAnswer, key: PublicKey): boolean {
  return signatureAlgorithm !== null && crypto.verify(signatureAlgorithm, key, signature, tbs, 'der');
}

function signatureFault(crypto: Crypto, answer: BasicOcspAnswer, delegate: ParsedCertificate): string | null {
  const key = crypto.publicKey(delegate.spki);
  if (key === null) return 'the OCSP signer has a key of a type or size outside the profile';
  return signs(crypto, answer, key) ? null : 'the OCSP answer is not signed by the signer that it names';
}

/** A delegate is issued by the very CA, for this and nothing implied. [RFC 6960 §4.2.2.2] */
function delegateFault(question: OcspQuestion, delegate: ParsedCertificate): string | null {
  const { crypto, issuer, issuerKey, at, isDistrusted } = question;
  const { extensions, signatureAlgorithm: algorithm } = delegate;
  if (!sameName(delegate.issuer, issuer.subject)) return 'the OCSP signer is certified by another CA';
  if (extensions.extendedKeyUsage?.includes(EXTENDED_KEY_USAGE.ocspSigning) !== true)
    return 'the OCSP signer may not sign answers';
  if (extensions.keyUsage?.has('digitalSignature') === false) return 'the OCSP signer has a key that may not sign';
  if (at < delegate.notBefore || at > delegate.notAfter) return 'the certificate of the OCSP signer is not valid now';
  const [critical] = extensions.unknownCritical;
  if (critical !== undefined) return `the certificate of the OCSP signer has a critical extension ${critical}`;
  // Who would say whether it is revoked? The one who asks to be believed. [RFC 6960 §4.2.2.2.1]
  if (!extensions.ocspNoCheck) return 'the certificate of the OCSP signer would itself have to be checked (no nocheck)';
  if (isDistrusted?.(delegate) === true) return 'the certificate of the OCSP signer is revoked';
  if (algorithm === null) return 'the certificate of the OCSP signer is signed outside the profile';
  if (crypto.verify(algorithm, issuerKey, delegate.signature, delegate.tbs, 'der')) return null;
  return 'the certificate of the OCSP signer is not signed by the issuer';
}
