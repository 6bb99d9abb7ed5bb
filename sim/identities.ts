/**
 * Who lives in a simulation: a root, an issuing CA, and certificates with their keys, all from a seed. Real and model
 * certificates have the same size; `real` ones stand before OpenSSL.
 */
import {
  type CertificateRequest,
  commonName,
  type Issuer,
  issueCertificate,
  issueCrl,
} from '../platform/certificate-issuing.ts';
import { certificateReader } from '../platform/certificates.ts';
import { newPublicKeyCounter, nodeCrypto, type OwnSigningKey, signingKey } from '../platform/crypto-node.ts';
import { type FixedKeyAlgorithm, writePkcs8 } from '../platform/key-encoding.ts';
import { equal, wipe } from '../protocol/bytes.ts';
import {
  type CertificateReader,
  EXTENDED_KEY_USAGE as EKU,
  type ParsedCertificate,
  type ParsedCrl,
} from '../protocol/certificate.ts';
import type { PublicKeyCounter } from '../protocol/crypto.ts';
import { certificateMould, type Mould } from './certificate-mould.ts';
import { modelSigningKey } from './model-crypto.ts';
import { secretScalar } from './seeded-crypto.ts';
import type { SeededRandom } from './seeded-random.ts';

export type SimPurpose = 'device' | 'manager' | 'verifier' | 'user';

export interface SimRole {
  readonly purpose: SimPurpose;
  readonly algorithm: 'p256' | 'ed25519';
  /** Every signature adds one to `sign`. */
  readonly counter?: PublicKeyCounter;
  /** Of its certificate; a quarter of a century when absent. */
  readonly period?: Period;
}

/** Seconds since 1970. */
export interface Period {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface SimIdentity {
  /** Leaf, then the issuing CA; the anchor stays outside. */
  readonly chain: readonly Uint8Array[];
  readonly certificate: ParsedCertificate;
  readonly signingKey: OwnSigningKey;
}

export interface SimAuthority {
  readonly anchor: ParsedCertificate;
  /** @param name  common name: device id, or the name of the manager, verifier or user; at most 64 bytes */
  issue(name: string, role: SimRole): SimIdentity;
  /** A device's certificate over a key that somebody else made. @param number  of it, for another serial number each time */
  certify(name: string, spki: Uint8Array, period: Period, number: number): ParsedCertificate;
  /** A certificate that proves nothing but the possession of its key; DER. */
  signItself(name: string, key: OwnSigningKey, at: number): Uint8Array;
  /** Of the issuing CA: what stands behind the leaf in every chain. */
  readonly issuer: ParsedCertificate;
  /** Reads any certificate; those of this authority out of memory, for one costs the real reader a quarter of a ms. */
  readonly reader: CertificateReader;
  /** The lists of both CAs with these certificates on that of the issuing one. @param number  of the lists, ascending */
  revocationLists(revoked: readonly ParsedCertificate[], number: number, at: number): readonly ParsedCrl[];
}

const PURPOSES: Readonly<Record<SimPurpose, readonly string[]>> = {
  device: [EKU.kagimoriDevice, EKU.clientAuth],
  manager: [EKU.kagimoriManager],
  verifier: [EKU.kagimoriVerifier],
  user: [EKU.kagimoriUser],
};

/** 2025-01-01 to 2049-12-31, UTC: whatever a simulation's clock shows, and one form of time (UTCTime). */
const PERIOD = { notBefore: 1_735_689_600, notAfter: 2_524_607_999 } as const;
const LIST_LIFETIME_SECONDS = 30 * 86_400;
/** As `kagimori ca` gives serial numbers: 16 bytes. */
const SERIAL_BYTES = 16;

/** The node half hashes the key identifiers in both kinds: they are no part of what the model stands in for. */
const hashing = nodeCrypto();

export function simAuthority(random: SeededRandom, kind: 'real' | 'model'): SimAuthority {
  const read = certificateReader();
  const known = new Map<string, ParsedCertificate>();
  const remember = (certificate: ParsedCertificate): ParsedCertificate => {
    known.set(mark(certificate.der), certificate);
    return certificate;
  };
  const newKey = (algorithm: FixedKeyAlgorithm, from: SeededRandom, counter = newPublicKeyCounter()) => {
    const secret = secretScalar(from);
    if (kind === 'model') return modelSigningKey(algorithm, secret, counter);
    const pkcs8 = writePkcs8(algorithm, secret);
    const key = signingKey(pkcs8, counter);
    wipe(pkcs8, secret);
    return key;
  };
  const certify = (
    issuer: Issuer,
    request: Omit<CertificateRequest, keyof Period> & Partial<Period>,
  ): ParsedCertificate => {
    const certificate = read.readCertificate(issueCertificate(hashing, issuer, { ...PERIOD, ...request }));
    if (certificate === null) throw new RangeError(`no certificate can be made for the name ${request.name}`);
    return remember(certificate);
  };
  const authority = (name: string, issuer: Issuer | null, pathLength: number | null) => {
    const from = random.fork(`authority ${name}`);
    const key = newKey('ed25519', from);
    const own: Issuer = { name: commonName(name), spki: key.publicSpki, key };
    const keyUsage = ['keyCertSign', 'cRLSign'] as const;
    const request = { name, spki: own.spki, serial: serialFrom(from), ca: { pathLength }, keyUsage };
    return { issuer: own, certificate: certify(issuer ?? own, request) };
  };
  const root = authority('Simulated root', null, null);
  const ca = authority('Simulated root intermediate', root.issuer, 0);
  const moulds = new Map<string, Mould>();
  /** One for each purpose, kind of key and length of name: they alone decide where in the bytes everything stands. */
  const mouldFor = (name: string, { purpose, algorithm }: SimRole, spki: Uint8Array): Mould => {
    const { length } = commonName(name);
    const label = `${purpose} ${algorithm} ${length}`;
    const kept = moulds.get(label);
    if (kept !== undefined) return kept;
    const serial = serialFrom(random.fork('mould'));
    const extensions = { keyUsage: ['digitalSignature'], extendedKeyUsage: PURPOSES[purpose] } as const;
    const mould = certificateMould(hashing, ca.issuer.key, certify(ca.issuer, { name, spki, serial, ...extensions }));
    moulds.set(label, mould);
    return mould;
  };
  const leafOf = (name: string, purpose: SimPurpose, spki: Uint8Array, serial: Uint8Array, period: Period) =>
    certify(ca.issuer, {
      name,
      spki,
      serial,
      keyUsage: ['digitalSignature'],
      extendedKeyUsage: PURPOSES[purpose],
      ...period,
    });
  const listOf = (issuer: Issuer, revoked: readonly ParsedCertificate[], number: number, at: number): ParsedCrl => {
    const entries = revoked.map(({ serial }) => ({ serial, at }));
    const request = { number, thisUpdate: at, nextUpdate: at + LIST_LIFETIME_SECONDS, revoked: entries };
    const list = read.readCrl(issueCrl(hashing, issuer, request));
    if (list === null) throw new RangeError(`no revocation list can be made for the second ${at}`);
    return list;
  };
  return {
    anchor: root.certificate,
    issuer: ca.certificate,
    signItself(name, key, at) {
      const issuer: Issuer = { name: commonName(name), spki: key.publicSpki, key };
      const serial = serialFrom(random.fork(`itself ${name}`));
      const wishes = { name, spki: key.publicSpki, serial, notBefore: at - 86_400, notAfter: at + 86_400 };
      return issueCertificate(hashing, issuer, { ...wishes, extendedKeyUsage: PURPOSES.device });
    },
    certify: (name, spki, period, number) =>
      leafOf(name, 'device', spki, serialFrom(random.fork(`certified ${name} ${number}`)), period),
    issue(name, role) {
      const from = random.fork(`${role.purpose} ${name}`);
      const key = newKey(role.algorithm, from, role.counter);
      const spki = key.publicSpki;
      const serial = serialFrom(from);
      const certificate =
        role.period === undefined
          ? remember(mouldFor(name, role, spki)(name, spki, serial))
          : leafOf(name, role.purpose, spki, serial, role.period);
      return { chain: [certificate.der, ca.certificate.der], certificate, signingKey: key };
    },
    reader: {
      readCertificate(der) {
        const found = known.get(mark(der));
        return found !== undefined && equal(found.der, der) ? found : read.readCertificate(der);
      },
      readCrl: read.readCrl,
    },
    revocationLists: (revoked, number, at) => [
      listOf(ca.issuer, revoked, number, at),
      listOf(root.issuer, [], number, at),
    ],
  };
}

/** A positive INTEGER of 16 bytes without a leading zero: the first bit clear, the second set. */
function serialFrom(random: SeededRandom): Uint8Array {
  const serial = random.bytes(SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial;
}

/** The last bytes of a certificate are of its signature: enough to find it by, not to know it by. */
function mark(der: Uint8Array): string {
  return String.fromCharCode(...der.subarray(-16));
}
