/**
 * OCSP answers for tests, written without the writer that is tested; wrong ones just as readily, signed all the same.
 */

import { ecdsaDer } from '../platform/certificate-issuing.ts';
import { ocspCodec } from '../platform/ocsp-codec.ts';
import { writeSignatureAlgorithm } from '../platform/signature-algorithms.ts';
import { encodeUtf8 } from '../protocol/bytes.ts';
import type { SignatureAlgorithm } from '../protocol/crypto.ts';
import type { CertIdHash } from '../protocol/ocsp.ts';
import { AT, crypto, DAY, type Holder } from './test-authority.ts';
import { bitString, der, oid, sequence, TAG } from './test-der.ts';

const OCTETS = 0x04;
const ENUMERATED = 0x0a;
const context = (number: number, ...contents: readonly Uint8Array[]): Uint8Array => der(0xa0 | number, ...contents);
const time = (at: number): Uint8Array =>
  der(TAG.generalizedTime, encodeUtf8(`${new Date(at * 1000).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`));

export interface Extension {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

const NONCE_OID = '1.3.6.1.5.5.7.48.1.2';
export const nonceExtension = (nonce: Uint8Array): Extension => ({ oid: NONCE_OID, value: der(OCTETS, nonce) });

function extensions(list: readonly Extension[]): Uint8Array[] {
  if (list.length === 0) return [];
  const one = ({ oid: name, critical, value }: Extension): Uint8Array =>
    sequence(oid(name), ...(critical === true ? [Uint8Array.of(1, 1, 0xff)] : []), der(OCTETS, value));
  return [context(1, sequence(...list.map(one)))];
}

const HASHES: Readonly<Record<CertIdHash, string>> = {
  'sha-1': '1.3.14.3.2.26',
  'sha-256': '2.16.840.1.101.3.4.2.1',
  'sha-384': '2.16.840.1.101.3.4.2.2',
  'sha-512': '2.16.840.1.101.3.4.2.3',
};

/** The CertID of a certificate of `issuer`. */
export function certId(issuer: Holder, serial: Uint8Array, hash: CertIdHash = 'sha-256'): Uint8Array {
  const { name, key } = ocspCodec.issuerHashes(hash, issuer.certificate.subject.der, issuer.certificate.spki)!;
  const algorithm = sequence(oid(HASHES[hash]), der(TAG.null));
  return sequence(algorithm, der(OCTETS, name), der(OCTETS, key), der(TAG.integer, serial));
}

export interface SingleWishes {
  readonly certId: Uint8Array;
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate?: number;
  /** null: none. */
  readonly nextUpdate?: number | null;
  readonly extensions?: readonly Extension[];
}

const STATUS = { good: der(0x80), revoked: context(1, time(AT - DAY)), unknown: der(0x82) };

function single(wishes: SingleWishes): Uint8Array {
  const { status = 'good', thisUpdate = AT - 10, nextUpdate = AT + 600 } = wishes;
  return sequence(
    wishes.certId,
    STATUS[status],
    time(thisUpdate),
    ...(nextUpdate === null ? [] : [context(0, time(nextUpdate))]),
    ...extensions(wishes.extensions ?? []),
  );
}

export interface AnswerWishes {
  readonly singles: readonly SingleWishes[];
  /** Who signs. */
  readonly signer: Holder;
  /** Who is said to have signed; the signer by default. */
  readonly named?: Holder;
  readonly by?: 'name' | 'key';
  readonly producedAt?: number;
  readonly nonce?: Uint8Array;
  readonly extensions?: readonly Extension[];
  /** The signer's own by default. */
  readonly certificates?: readonly Holder[];
}

const SIGNATURE_OF = {
  p256: 'ecdsa-sha256',
  p384: 'ecdsa-sha384',
  ed25519: 'ed25519',
  rsa: 'rsa-pkcs1-sha256',
} as const;

/** @returns OCSPResponse, DER */
export function forgeAnswer(wishes: AnswerWishes): Uint8Array {
  const { signer, named = signer, by = 'key', nonce, certificates = [signer] } = wishes;
  const { subject, spki } = named.certificate;
  const responder =
    by === 'name'
      ? context(1, subject.der)
      : context(2, der(OCTETS, ocspCodec.issuerHashes('sha-1', subject.der, spki)!.key));
  const list = [...(nonce === undefined ? [] : [nonceExtension(nonce)]), ...(wishes.extensions ?? [])];
  const tbs = sequence(
    responder,
    time(wishes.producedAt ?? AT - 5),
    sequence(...wishes.singles.map(single)),
    ...extensions(list),
  );
  return sealAnswer(
    tbs,
    signer,
    certificates.map(({ certificate }) => certificate.der),
  );
}

/** Signs whatever is given as ResponseData. @param certificates  DER */
export function sealAnswer(tbs: Uint8Array, signer: Holder, certificates: readonly Uint8Array[]): Uint8Array {
  const algorithm: SignatureAlgorithm = SIGNATURE_OF[signer.key.key.algorithm];
  const raw = signer.key.key.sign(algorithm, tbs);
  const signature = bitString(algorithm.startsWith('ecdsa') ? ecdsaDer(raw) : raw);
  const basic = sequence(
    tbs,
    writeSignatureAlgorithm(algorithm),
    signature,
    ...(certificates.length === 0 ? [] : [context(0, sequence(...certificates))]),
  );
  const bytes = sequence(oid('1.3.6.1.5.5.7.48.1.1'), der(OCTETS, basic));
  return sequence(der(ENUMERATED, Uint8Array.of(0)), context(0, bytes));
}

/** 16 fresh bytes. */
export const freshNonce = (): Uint8Array => crypto.random(16);
