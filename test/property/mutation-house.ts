/**
 * The honest house whose papers are bent: root, intermediate, device, lists; the same keys and bytes on every run.
 */
import {
  type CertificateRequest,
  commonName,
  ecdsaDer,
  type Issuer,
  issueCertificate,
  issueCrl,
} from '../../platform/certificate-issuing.ts';
import { nodeCrypto, type OwnSigningKey, signingKey } from '../../platform/crypto-node.ts';
import { newPortableSigningKey, type PortableSigningKey } from '../../platform/crypto-portable-keys.ts';
import { concat, fromHex } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE as EKU } from '../../protocol/certificate.ts';
import { seededRandom } from '../../sim/seeded-random.ts';
import { AT, DAY } from '../test-authority.ts';
import { bitString, der, oid, sequence, TAG } from '../test-der.ts';
import { bytesOf, type DerNode, treeOf } from './der-tree.ts';

const random = seededRandom('mutation house');
export const crypto = nodeCrypto();

export interface HouseKey {
  /** Signs the same bytes with the same signature: what is honest is the same on every run. */
  readonly slow: PortableSigningKey;
  /** The same key at OpenSSL: for the thousands of signatures over what is bent. */
  readonly fast: OwnSigningKey;
  readonly publicSpki: Uint8Array;
}

export function keyNamed(name: string, algorithm: 'p256' | 'ed25519' = 'p256'): HouseKey {
  const draw = (length: number): Uint8Array => random.fork(name).bytes(length);
  const { key, pkcs8 } = newPortableSigningKey(algorithm, crypto.counter, draw);
  return { slow: key, fast: signingKey(pkcs8, crypto.counter), publicSpki: key.publicSpki };
}

export const issuerOf = (name: string, key: HouseKey): Issuer => ({
  name: commonName(name),
  spki: key.publicSpki,
  key: key.slow,
});

export const keys = {
  root: keyNamed('root'),
  intermediate: keyNamed('intermediate'),
  leaf: keyNamed('leaf'),
  stranger: keyNamed('stranger'),
  revoked: keyNamed('revoked'),
};
const root = issuerOf('Test root', keys.root);
const intermediate = issuerOf('Test CA', keys.intermediate);

const serial = (last: number): Uint8Array => Uint8Array.from([0x41, ...new Array<number>(14).fill(0x11), last]);
export const SERIALS = { root: serial(1), intermediate: serial(2), leaf: serial(3), revoked: serial(4) };

const issue = (by: Issuer, name: string, spki: Uint8Array, rest: Partial<CertificateRequest>): Uint8Array =>
  issueCertificate(crypto, by, {
    name,
    spki,
    serial: serial(9),
    notBefore: AT - DAY,
    notAfter: AT + 365 * DAY,
    ...rest,
  });

const CA_USE = { keyUsage: ['keyCertSign', 'cRLSign'] } as const;
/** Below the intermediate. */
export const issueBelow = (name: string, spki: Uint8Array, rest: Partial<CertificateRequest>): Uint8Array =>
  issue(intermediate, name, spki, rest);

export const LEAF_NAME = 'router-1';
const LEAF: Partial<CertificateRequest> = {
  serial: SERIALS.leaf,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [EKU.kagimoriDevice, EKU.clientAuth],
  alternativeNames: [
    { type: 'dns', value: 'router.home.example' },
    { type: 'ip', value: '192.0.2.7' },
    { type: 'mac', value: '00:11:22:33:44:55' },
  ],
};
export const rootDer = issue(root, 'Test root', keys.root.publicSpki, {
  ...CA_USE,
  serial: SERIALS.root,
  ca: { pathLength: null },
});
export const intermediateDer = issue(root, 'Test CA', keys.intermediate.publicSpki, {
  ...CA_USE,
  serial: SERIALS.intermediate,
  ca: { pathLength: 0 },
  nameConstraints: { permitted: [{ type: 'dns', value: 'home.example' }] },
});
export const leafDer = issue(intermediate, LEAF_NAME, keys.leaf.publicSpki, LEAF);

const period = { thisUpdate: AT - 100, nextUpdate: AT + DAY };
const revoked = [
  { serial: SERIALS.revoked, at: AT - 200 },
  { serial: serial(5), at: AT - 300 },
];
export const rootCrlDer = issueCrl(crypto, root, { number: 7, revoked, ...period });
export const intermediateCrlDer = issueCrl(crypto, intermediate, { number: 8, revoked, ...period });

/** Signed part, algorithm, signature. */
export function sealed(tbs: Uint8Array, algorithm: Uint8Array, key: HouseKey): Uint8Array {
  return sequence(tbs, algorithm, signatureOver(tbs, key));
}

/** BIT STRING. */
export function signatureOver(tbs: Uint8Array, key: HouseKey): Uint8Array {
  return bitString(ecdsaDer(key.fast.sign('ecdsa-sha256', tbs)));
}

export const ECDSA_SHA256 = sequence(oid('1.2.840.10045.4.3.2'));

/** The bent part signed again, its own idea of the algorithm repeated outside, so that the two agree. */
export function sealedAgain(tbs: DerNode, algorithmAt: number | null, key: HouseKey): Uint8Array {
  const inside = algorithmAt === null ? undefined : tbs.children?.[algorithmAt];
  return sealed(bytesOf(tbs), inside === undefined ? ECDSA_SHA256 : bytesOf(inside), key);
}

const ecKey = (curve: string, point: Uint8Array): Uint8Array =>
  sequence(sequence(oid('1.2.840.10045.2.1'), oid(curve)), bitString(point));
const P256 = '1.2.840.10045.3.1.7';
const point = keys.leaf.publicSpki.subarray(-64);
const modulus = concat(Uint8Array.of(0, 0xc1), random.fork('modulus').bytes(126), Uint8Array.of(1));
const rsa1024 = sequence(der(TAG.integer, modulus), der(TAG.integer, Uint8Array.of(1, 0, 1)));
/** Keys that nobody may have: too small, of another curve, no point, spelled otherwise. */
export const WEAK_KEYS: readonly DerNode[] = [
  sequence(sequence(oid('1.2.840.113549.1.1.1'), der(TAG.null)), bitString(rsa1024)),
  ecKey(
    '1.3.132.0.10',
    fromHex(
      '0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8',
    ),
  ),
  ecKey(P256, concat(Uint8Array.of(4), random.fork('no point').bytes(64))),
  ecKey(P256, concat(Uint8Array.of(2 + (point[63]! & 1)), point.subarray(0, 32))),
  ecKey(P256, new Uint8Array(1)),
].map(treeOf);

/** Where pieces to graft come from: other kinds of papers among them. */
export const DONORS: readonly DerNode[] = [
  rootDer,
  intermediateDer,
  leafDer,
  rootCrlDer,
  intermediateCrlDer,
  issue(intermediate, 'manager', keys.stranger.publicSpki, { ...LEAF, extendedKeyUsage: [EKU.kagimoriManager] }),
  issue(issuerOf('Elsewhere', keys.stranger), 'tv', keyNamed('tv', 'ed25519').publicSpki, { ca: { pathLength: 3 } }),
].map(treeOf);

/** Good keys of others. */
export const HONEST_KEYS: readonly DerNode[] = [keys.revoked, keys.intermediate, keyNamed('tv', 'ed25519')].map(
  ({ publicSpki }) => treeOf(publicSpki),
);
