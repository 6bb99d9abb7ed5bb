/**
 * The verifier as an OCSP responder: a request and what the verifier knows now make a signed answer. Pure; good is said
 * only where the verifier's data decides. @spec RFC 6960 §2, §4.2.2; RFC 5019 §2, §6
 */
import { equal } from '../protocol/bytes.ts';
import type { ParsedCertificate } from '../protocol/certificate.ts';
import type { SigningKey } from '../protocol/crypto.ts';
import {
  CERT_ID_HASHES,
  type CertId,
  type CertIdHash,
  type OcspCodec,
  type OcspErrorStatus,
  type OcspStatus,
} from '../protocol/ocsp.ts';
import type { EpochSeconds } from '../protocol/units.ts';

/** What the verifier knows of a certificate. `unknown`: no data that is current decides. */
export type OcspKnowledge =
  | (Exclude<OcspStatus, { readonly status: 'unknown' }> & {
      /** When the data was right for the last time that is known, and until when it holds. */
      readonly thisUpdate: EpochSeconds;
      readonly nextUpdate: EpochSeconds;
    })
  | { readonly status: 'unknown' };

/** @param serial  content of the INTEGER */
export type OcspLookup = (issuer: ParsedCertificate, serial: Uint8Array, at: EpochSeconds) => OcspKnowledge;

/** Who answers for one CA: the CA itself, or a delegate that it issued. */
export interface OcspSigner {
  readonly issuer: ParsedCertificate;
  readonly certificate: ParsedCertificate;
  readonly key: SigningKey;
}

export interface OcspResponderSettings {
  readonly codec: OcspCodec;
  /** At most one per issuer counts: the first. */
  readonly signers: readonly OcspSigner[];
  /** How long an answer holds at most; 0: each is made anew. */
  readonly maxAgeSeconds: number;
}

export interface OcspReply {
  /** OCSPResponse, DER. */
  readonly der: Uint8Array;
  readonly outcome: 'good' | 'revoked' | 'unknown' | OcspErrorStatus;
  /** Of an answer that others may keep: without nonce. */
  readonly kept: { readonly producedAt: EpochSeconds; readonly until: EpochSeconds } | null;
}

export interface OcspResponder {
  /** @param der  OCSPRequest */
  answer(der: Uint8Array, at: EpochSeconds): OcspReply;
  /** Drops every answer that is kept signed: what the verifier knows has changed. */
  dropHeld(): void;
}

/** Implementation limits. */
const MAX_HELD = 10_000;
const MAX_HELD_KEY_BYTES = 512;
/** How soon an asker may come again about a certificate of which nothing is known. */
const UNKNOWN_SECONDS = 30;

export function createOcspResponder(settings: OcspResponderSettings, lookup: OcspLookup): OcspResponder {
  const { codec, maxAgeSeconds } = settings;
  const signers = settings.signers.map((signer) => nameSigner(codec, signer));
  const held = new Map<string, OcspReply>();

  const refuse = (outcome: OcspErrorStatus): OcspReply => ({ der: codec.writeError(outcome), outcome, kept: null });

  const make = (signer: NamedSigner, certIds: readonly CertId[], nonce: Uint8Array | null, at: EpochSeconds) => {
    const singles = certIds.map((certId) => {
      // One signature speaks for one CA: another's certificate is unknown to it.
      const known = isOf(certId, signer) ? current(lookup(signer.issuer, certId.serial, at), at) : UNKNOWN;
      return { ...known, certId: certId.der, ...periodOf(known, at, maxAgeSeconds) };
    });
    const { certificate, issuer, key } = signer;
    const content = {
      signerKeyHash: signer.ownKeyHash,
      producedAt: at,
      singles,
      nonce,
      certificates: equal(certificate.der, issuer.der) ? [] : [certificate.der],
    };
    const until = singles.reduce((first, { nextUpdate }) => Math.min(first, nextUpdate), Number.POSITIVE_INFINITY);
    const kept = nonce === null ? { producedAt: at, until: until as EpochSeconds } : null;
    return { der: codec.writeAnswer(content, key), outcome: outcomeOf(singles), kept } satisfies OcspReply;
  };

  return {
    answer(der, at) {
      const request = codec.readRequest(der);
      if (request === null || request.critical.length > 0) return refuse('malformedRequest');
      const { certIds, nonce } = request;
      const signer = signers.find((one) => certIds.some((certId) => isOf(certId, one)));
      if (signer === undefined) return refuse('unauthorized');
      const key = nonce === null ? heldKey(certIds) : null;
      const kept = key === null ? undefined : held.get(key);
      if (key !== null && kept !== undefined && isFresh(kept, at)) return kept;
      const reply = make(signer, certIds, nonce, at);
      if (key !== null && maxAgeSeconds > 0) {
        held.delete(key);
        held.set(key, reply);
        if (held.size > MAX_HELD) held.delete(held.keys().next().value!);
      }
      return reply;
    },
    dropHeld: () => held.clear(),
  };
}

type IssuerHashes = NonNullable<ReturnType<OcspCodec['issuerHashes']>>;

interface NamedSigner extends OcspSigner {
  readonly ownKeyHash: Uint8Array;
  readonly names: ReadonlyMap<CertIdHash, IssuerHashes>;
}

/** @throws RangeError when the signer's certificate has no key: the caller's bug, who has the private one */
function nameSigner(codec: OcspCodec, signer: OcspSigner): NamedSigner {
  const { subject, spki } = signer.issuer;
  const names = new Map<CertIdHash, IssuerHashes>();
  for (const hash of CERT_ID_HASHES) {
    const own = codec.issuerHashes(hash, subject.der, spki);
    if (own !== null) names.set(hash, own);
  }
  const { subject: ownName, spki: ownKey } = signer.certificate;
  const own = codec.issuerHashes('sha-1', ownName.der, ownKey);
  if (own === null) throw new RangeError('a signer of OCSP answers without a key');
  return { ...signer, names, ownKeyHash: own.key };
}

function isOf({ hash, issuerNameHash, issuerKeyHash }: CertId, { names }: NamedSigner): boolean {
  const own = hash === null ? undefined : names.get(hash);
  return own !== undefined && equal(issuerKeyHash, own.key) && equal(issuerNameHash, own.name);
}

const UNKNOWN: OcspKnowledge = { status: 'unknown' };

/** What was good until a while ago is not good. */
function current(known: OcspKnowledge, at: EpochSeconds): OcspKnowledge {
  return known.status === 'good' && known.nextUpdate < at ? UNKNOWN : known;
}

interface Period {
  readonly thisUpdate: EpochSeconds;
  readonly nextUpdate: EpochSeconds;
}

/** From now, or from when the data came, and no longer than an answer may hold. */
function periodOf(known: OcspKnowledge, at: EpochSeconds, maxAgeSeconds: number): Period {
  if (known.status === 'unknown') {
    return { thisUpdate: at, nextUpdate: (at + Math.min(maxAgeSeconds, UNKNOWN_SECONDS)) as EpochSeconds };
  }
  const until = Math.min(known.nextUpdate, at + maxAgeSeconds);
  return {
    thisUpdate: Math.min(known.thisUpdate, at) as EpochSeconds,
    nextUpdate: Math.max(until, at) as EpochSeconds,
  };
}

function outcomeOf(singles: readonly OcspKnowledge[]): OcspReply['outcome'] {
  const has = (status: OcspKnowledge['status']): boolean => singles.some((one) => one.status === status);
  return has('revoked') ? 'revoked' : has('unknown') ? 'unknown' : 'good';
}

/** In the first half of its time: whoever gets it then has some of it left. */
function isFresh({ kept }: OcspReply, at: EpochSeconds): boolean {
  return kept !== null && at >= kept.producedAt && at < kept.producedAt + (kept.until - kept.producedAt) / 2;
}

/** @returns null when it would be too long to hold */
function heldKey(certIds: readonly CertId[]): string | null {
  const bytes = certIds.reduce((sum, { der }) => sum + der.length, 0);
  return bytes > MAX_HELD_KEY_BYTES ? null : certIds.map(({ der }) => String.fromCharCode(...der)).join('');
}
