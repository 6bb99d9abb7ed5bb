/**
 * The second judge of certificates: what has to be true of a chain that was accepted, read from its tree by other means.
 * It knows necessary conditions only. @spec RFC 5280 §6.1
 */
import { createPublicKey, verify } from 'node:crypto';
import { equal, toHex } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE as EKU } from '../../protocol/certificate.ts';
import { AT } from '../test-authority.ts';
import { bytesOf, contentOf, type DerNode, treeOf } from './der-tree.ts';
import { ECDSA_SHA256, LEAF_NAME, SERIALS } from './mutation-house.ts';

export interface SignedTree {
  readonly tbs: DerNode;
  readonly algorithm: DerNode;
  readonly signature: DerNode;
}

/** @throws Error for another frame, or for lengths that are not the shortest */
export function signedTree(bytes: Uint8Array): SignedTree {
  const tree = treeOf(bytes);
  const [tbs, algorithm, signature, ...more] = tree.children ?? [];
  if (tbs === undefined || algorithm === undefined || signature === undefined || more.length > 0)
    throw new Error('no frame');
  if (!equal(bytesOf(tree), bytes)) throw new Error('bytes of another spelling');
  return { tbs, algorithm, signature };
}

/** By node:crypto, past our seam. */
export function isSignedBy(spki: Uint8Array, { tbs, algorithm, signature }: SignedTree): boolean {
  if (!equal(bytesOf(algorithm), ECDSA_SHA256)) return false;
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  return verify('sha256', bytesOf(tbs), { key, dsaEncoding: 'der' }, contentOf(signature).subarray(1));
}

interface Read {
  readonly serial: string;
  readonly issuer: string;
  readonly subject: string;
  readonly spki: Uint8Array;
  readonly extensions: ReadonlyMap<string, { readonly critical: boolean; readonly value: DerNode }>;
}

const KNOWN_CRITICAL = new Set([
  '2.5.29.15',
  '2.5.29.17',
  '2.5.29.19',
  '2.5.29.30',
  '2.5.29.31',
  '2.5.29.32',
  '2.5.29.37',
  '1.3.6.1.5.5.7.48.1.5',
]);

/** @returns why this chain must not be accepted; null: nothing found */
export function chainObjection(chain: readonly Uint8Array[], rootDer: Uint8Array): string | null {
  try {
    const trees = [...chain, rootDer].map(signedTree);
    const read = trees.map(readCertificate);
    for (const [i, certificate] of read.slice(0, -1).entries()) {
      const issuer = read[i + 1]!;
      if (folded(certificate.issuer) !== folded(issuer.subject)) return 'issued by somebody else';
      if (!isSignedBy(issuer.spki, trees[i]!)) return 'not signed by its issuer';
      if (certificate.serial === toHex(SERIALS.revoked)) return 'revoked';
      for (const [oid, { critical }] of certificate.extensions) {
        if (critical && !KNOWN_CRITICAL.has(oid)) return `critical ${oid}`;
      }
      const found = i === 0 ? leafObjection(certificate) : issuerObjection(certificate);
      if (found !== null) return found;
    }
    return null;
  } catch (error) {
    return String(error);
  }
}

function readCertificate({ tbs, algorithm }: SignedTree): Read {
  const members = tbs.children ?? [];
  const from = members[0]?.tag === 0xa0 ? 1 : 0;
  const [serial, inside, issuer, validity, subject, spki, ...rest] = members.slice(from) as [
    DerNode,
    DerNode,
    DerNode,
    DerNode,
    DerNode,
    DerNode,
    ...DerNode[],
  ];
  if (!equal(bytesOf(inside), bytesOf(algorithm))) throw new Error('two algorithms');
  const [notBefore, notAfter] = (validity.children ?? []).map(secondsOf) as [number, number];
  if (!(notBefore <= AT && AT <= notAfter)) throw new Error(`valid from ${notBefore} to ${notAfter}`);
  const list = rest.find(({ tag }) => tag === 0xa3)?.children?.[0]?.children ?? [];
  const extensions = list.map((extension) => {
    const [oid, ...values] = extension.children ?? [];
    const value = values.at(-1);
    if (oid === undefined || value === undefined || values.length > 2) throw new Error('no extension');
    return [dotted(oid), { critical: values.length === 2, value }] as const;
  });
  if (new Set(extensions.map(([oid]) => oid)).size < extensions.length) throw new Error('an extension twice');
  return {
    serial: toHex(contentOf(serial)),
    issuer: nameText(issuer),
    subject: nameText(subject),
    spki: bytesOf(spki),
    extensions: new Map(extensions),
  };
}

/** Case and white space do not tell names of CAs apart. [RFC 5280 §7.1] */
const folded = (name: string): string => name.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();

function leafObjection({ subject, extensions }: Read): string | null {
  if (subject !== `2.5.4.3=${LEAF_NAME}`) return `its name is ${subject}`;
  if (bitsOf(extensions.get('2.5.29.15')?.value)?.[0] === false) return 'its key may not sign';
  if (bitsOf(extensions.get('2.5.29.15')?.value)?.[5] === true) return 'its key signs certificates';
  if (isCa(extensions.get('2.5.29.19')?.value)) return 'a CA';
  const purposes = extensions.get('2.5.29.37')?.value;
  if (purposes === undefined) return null;
  const oids = (purposes.children?.[0]?.children ?? []).map(dotted);
  if ([EKU.kagimoriManager, EKU.kagimoriVerifier, EKU.kagimoriUser].some((oid) => oids.includes(oid)))
    return 'no device';
  return oids.includes(EKU.kagimoriDevice) || oids.includes(EKU.clientAuth) ? null : `for ${oids}`;
}

function issuerObjection({ extensions }: Read): string | null {
  if (!isCa(extensions.get('2.5.29.19')?.value)) return 'no CA';
  const bits = bitsOf(extensions.get('2.5.29.15')?.value);
  return bits !== null && (bits[5] !== true || bits[6] !== true) ? 'a CA that may not sign' : null;
}

function isCa(value: DerNode | undefined): boolean {
  const flag = value?.children?.[0]?.children?.[0];
  return flag?.tag === 0x01 && contentOf(flag)[0] === 0xff;
}

function bitsOf(value: DerNode | undefined): boolean[] | null {
  if (value === undefined) return null;
  const inside = treeOf(contentOf(value));
  return Array.from({ length: 9 }, (_, i) => ((contentOf(inside)[1 + (i >> 3)] ?? 0) & (0x80 >> (i & 7))) !== 0);
}

export function secondsOf(node: DerNode): number {
  const digits = Buffer.from(contentOf(node)).toString('latin1');
  const full = node.tag === 0x18 ? digits : `${Number(digits.slice(0, 2)) < 50 ? '20' : '19'}${digits}`;
  const [, year, month, day, hour, minute, second] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/.exec(full) ?? [];
  const seconds = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`) / 1000;
  if (Number.isNaN(seconds)) throw new Error(`no time: ${digits}`);
  return seconds;
}

export function dotted(node: DerNode): string {
  if (node.tag !== 0x06) throw new Error('no identifier');
  const arcs: bigint[] = [];
  let arc = 0n;
  for (const byte of contentOf(node)) {
    arc = arc * 128n + BigInt(byte & 0x7f);
    if (byte < 0x80) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const first = arcs[0] ?? 0n;
  const top = first < 80n ? first / 40n : 2n;
  return [top, first - top * 40n, ...arcs.slice(1)].join('.');
}

/** Attributes in order, each value as text, however it is encoded. */
export function nameText(name: DerNode): string {
  const attributes = (name.children ?? []).flatMap((rdn) => rdn.children ?? []);
  return attributes
    .map(({ children }) => {
      const [type, value] = children ?? [];
      if (type === undefined || value === undefined) throw new Error('no attribute');
      return `${dotted(type)}=${textOf(value)}`;
    })
    .join();
}

function textOf(node: DerNode): string {
  const bytes = Buffer.from(contentOf(node));
  if (node.tag === 0x1e) return Buffer.from(bytes).swap16().toString('utf16le');
  if (node.tag === 0x1c)
    return Array.from({ length: bytes.length / 4 }, (_, i) => String.fromCodePoint(bytes.readUInt32BE(4 * i))).join('');
  return bytes.toString(node.tag === 0x0c ? 'utf8' : 'latin1');
}
