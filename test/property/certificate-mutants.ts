/**
 * Chains with one bent certificate, and what is found about them.
 */
import { certificateReader } from '../../platform/certificates.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { ParsedCertificate } from '../../protocol/certificate.ts';
import { MAX_CHAIN, VerdictReason } from '../../protocol/message-values.ts';
import { type PathQuestion, validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { AT } from '../test-authority.ts';
import { der, oid, sequence, TAG } from '../test-der.ts';
import { chainObjection } from './certificate-oracle.ts';
import { bend, mutateDer, pick } from './der-mutations.ts';
import { become, bytesOf, copyOf, type DerNode, leafNode, nodeAt, treeOf } from './der-tree.ts';
import {
  crypto,
  DONORS,
  intermediateCrlDer,
  intermediateDer,
  keys,
  LEAF_NAME,
  leafDer,
  rootCrlDer,
  rootDer,
  SERIALS,
  sealedAgain,
  WEAK_KEYS,
} from './mutation-house.ts';
import type { Mutant, Structure } from './mutations.ts';

const reader = certificateReader();
const lists = [rootCrlDer, intermediateCrlDer].map((bytes) => reader.readCrl(bytes)!);

/** What a planted fault may replace. */
export interface CertificateJudge {
  readonly readCertificate: (bytes: Uint8Array) => ParsedCertificate | null;
  readonly validate: typeof validatePath;
  readonly question: Omit<PathQuestion, 'chain'>;
}

export const honestJudge: CertificateJudge = {
  readCertificate: reader.readCertificate,
  validate: validatePath,
  question: {
    crypto,
    anchors: [reader.readCertificate(rootDer)!],
    revocation: crlSet(lists),
    revokedKeys: new Set([toHex(crypto.hash('sha-256', keys.revoked.publicSpki))]),
    at: AT,
    purpose: 'device',
    name: LEAF_NAME,
  },
};

export const HONEST = [leafDer, intermediateDer];

export function certificateStructure({ readCertificate, validate, question }: CertificateJudge): Structure {
  return {
    name: 'certificate',
    isSigned: true,
    mutate: certificateMutant,
    judge({ bytes }) {
      const chain = bytes.map(readCertificate);
      if (chain.some((one) => one === null)) return 'malformed';
      const finding = validate({ ...question, chain: chain as ParsedCertificate[] });
      return finding.ok ? 'good' : finding.reason;
    },
    // The limit is for paths that are searched; a chain as it was sent is short.
    findings: VerdictReason.words.filter((word) => word !== 'work-limit'),
    proven: ['good'],
    objection: ({ bytes }) => chainObjection(bytes, rootDer),
    honest: [HONEST],
    signatureChecks: () => crypto.counter.verify,
    mostChecks: 2 * 2,
  };
}

/** Members of the signed part. */
const [SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, SPKI, EXTENSIONS] = [1, 2, 3, 4, 5, 6, 7] as const;

/** Replaces an extension, or adds it. */
function setExtension(tbs: DerNode, id: string, critical: boolean, value: Uint8Array): void {
  const flag = critical ? [der(0x01, Uint8Array.of(0xff))] : [];
  const extension = treeOf(sequence(oid(id), ...flag, der(0x04, value)));
  const list = nodeAt(tbs, EXTENSIONS, 0).children!;
  const found = list.find(
    ({ children }) => children?.[0] !== undefined && Buffer.compare(bytesOf(children[0]), oid(id)) === 0,
  );
  if (found === undefined) list.push(extension);
  else become(found, extension);
}

const utcTime = (text: string): DerNode => leafNode(TAG.utcTime, Buffer.from(text));
const pieces = (...path: readonly number[]): DerNode[] =>
  DONORS.filter((_, i) => i !== 3 && i !== 4).map((donor) => nodeAt(donor, 0, ...path));
const algorithm = (id: string, ...parameters: readonly Uint8Array[]): DerNode =>
  treeOf(sequence(oid(id), ...parameters));
const ALGORITHMS = [
  algorithm('1.2.840.10045.4.1'),
  algorithm('1.2.840.113549.1.1.5', der(TAG.null)),
  algorithm('1.2.840.10045.4.3.3'),
  algorithm('1.2.840.113549.1.1.11', der(TAG.null)),
  algorithm('1.3.101.112'),
  algorithm('1.2.840.10045.4.3.2', der(TAG.null)),
];
const BITS = [[0x05, 0x20], [0x02, 0x04], [0x01, 0x02], [0x01, 0x06], [0x07, 0x80], [0x00, 0x84], [0x00, 0xff], [0x00]];
const CONSTRAINTS = [
  [],
  [0x01, 0x01, 0xff],
  [0x01, 0x01, 0xff, 0x02, 0x01, 0x00],
  [0x01, 0x01, 0xff, 0x02, 0x01, 0x7f],
  [0x02, 0x01, 0x00],
  [0x01, 0x01, 0x00],
];
const PURPOSES = ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2', '2.5.29.37.0', '1.3.6.1.5.5.7.3.9'];
const HOSTS = [
  'tv.home.example',
  'home.example',
  'bank.example',
  '.home.example',
  'xhome.example',
  '*.home.example',
  '',
];

/** Bends that reach a certain check, each as often as the others. */
const AIMS: Readonly<Record<string, (tbs: DerNode, random: SeededRandom) => void>> = {
  'a revoked serial number': (tbs) => become(nodeAt(tbs, SERIAL), leafNode(TAG.integer, SERIALS.revoked)),
  'another key': (tbs, random) => {
    const others = [...WEAK_KEYS, ...WEAK_KEYS, treeOf(keys.revoked.publicSpki), ...pieces(SPKI)];
    become(nodeAt(tbs, SPKI), pick(random, others));
  },
  'another algorithm': (tbs, random) => become(nodeAt(tbs, ALGORITHM), pick(random, ALGORITHMS)),
  'another issuer': (tbs, random) => become(nodeAt(tbs, ISSUER), pick(random, pieces(SUBJECT))),
  'another subject': (tbs, random) => become(nodeAt(tbs, SUBJECT), pick(random, pieces(SUBJECT))),
  'another period': (tbs, random) => {
    const ends = ['260101000000Z', '270115075959Z', '270115080000Z', '270115080001Z', '280101000000Z'];
    become(nodeAt(tbs, VALIDITY, random.below(2)), utcTime(pick(random, ends)));
  },
  'another key usage': (tbs, random) =>
    setExtension(tbs, '2.5.29.15', random.below(2) === 0, der(TAG.bitString, Uint8Array.from(pick(random, BITS)))),
  'no right to sign lists': (tbs) => setExtension(tbs, '2.5.29.15', true, der(TAG.bitString, Uint8Array.of(2, 4))),
  'other constraints': (tbs, random) =>
    setExtension(tbs, '2.5.29.19', random.below(2) === 0, sequence(Uint8Array.from(pick(random, CONSTRAINTS)))),
  'another purpose': (tbs, random) => {
    const oids = [pick(random, PURPOSES), pick(random, PURPOSES)].map(oid);
    setExtension(tbs, '2.5.29.37', random.below(2) === 0, sequence(...oids.slice(random.below(2))));
  },
  'an extension of somebody else': (tbs, random) =>
    become(
      pick(random, nodeAt(tbs, EXTENSIONS, 0).children!),
      pick(
        random,
        pieces(EXTENSIONS, 0).flatMap(({ children }) => children!),
      ),
    ),
  'another alternative name': (tbs, random) =>
    setExtension(tbs, '2.5.29.17', false, sequence(der(0x82, Buffer.from(pick(random, HOSTS))))),
  'name constraints': (tbs, random) => {
    const subtrees = sequence(der(0x82, Buffer.from(pick(random, HOSTS))));
    setExtension(tbs, '2.5.29.30', true, sequence(der(random.below(2) === 0 ? 0xa0 : 0xa1, subtrees)));
  },
  'an unknown extension': (tbs, random) =>
    setExtension(
      tbs,
      pick(random, ['1.2.3.4', '2.5.29.36', '2.5.29.54', '2.5.29.33', '2.5.29.32']),
      random.below(2) === 0,
      sequence(),
    ),
};
const AIMED = Object.keys(AIMS);

function certificateMutant(random: SeededRandom): Mutant {
  const isLeaf = random.below(3) > 0;
  const original = isLeaf ? leafDer : intermediateDer;
  const inChain = (bytes: Uint8Array): Uint8Array[] => (isLeaf ? [bytes, intermediateDer] : [leafDer, bytes]);
  const way = random.below(20);
  if (way === 0) return { what: 'chain', signedAnew: false, bytes: bentChain(random) };
  if (way < 8) {
    const { what, bytes } = bend(original, random, DONORS);
    return { what, signedAnew: false, bytes: inChain(bytes) };
  }
  const tbs = copyOf(nodeAt(treeOf(original), 0));
  const what: string[] = [];
  if (way < 14) {
    const aim = pick(random, AIMED);
    AIMS[aim]!(tbs, random);
    what.push(aim);
  }
  if (way >= 14 || random.below(8) === 0) what.push(mutateDer(tbs, random, DONORS));
  const isForeign = random.below(24) === 0;
  const key = isForeign ? keys.stranger : isLeaf ? keys.intermediate : keys.root;
  return { what: what.join(', '), signedAnew: !isForeign, bytes: inChain(sealedAgain(tbs, ALGORITHM, key)) };
}

/** Whole certificates missing, doubled, or in another order; never a chain that is good. */
function bentChain(random: SeededRandom): Uint8Array[] {
  return pick(random, [
    [leafDer],
    [intermediateDer, leafDer],
    [leafDer, leafDer, intermediateDer],
    [leafDer, intermediateDer, intermediateDer],
    [intermediateDer],
    [rootDer],
    [leafDer, rootDer],
    [leafDer, ...new Array<Uint8Array>(MAX_CHAIN).fill(intermediateDer)],
  ]);
}
