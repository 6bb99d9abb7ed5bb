/**
 * Requests for certificates (PKCS#10), bent, and what is found about them.
 */
import { readRequest } from '../../platform/certificate-request.ts';
import { issueRequest } from '../../platform/certificate-request-issuing.ts';
import { equal } from '../../protocol/bytes.ts';
import { checkRequest, type ParsedRequest } from '../../protocol/certificate-request.ts';
import { deviceId } from '../../protocol/topics.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { der, oid, sequence, TAG } from '../test-der.ts';
import { isSignedBy, signedTree } from './certificate-oracle.ts';
import { bend, mutateDer, pick } from './der-mutations.ts';
import { become, bytesOf, contentOf, copyOf, type DerNode, nodeAt, treeOf } from './der-tree.ts';
import { crypto, DONORS, ECDSA_SHA256, HONEST_KEYS, keys, sealed, WEAK_KEYS } from './mutation-house.ts';
import type { Mutant, Structure } from './mutations.ts';

const [bare, wishing] = [
  issueRequest(keys.leaf.slow, { name: 'router-1' }),
  issueRequest(keys.leaf.slow, {
    name: 'router-1',
    keyUsage: ['digitalSignature'],
    extendedKeyUsage: ['1.3.6.1.5.5.7.3.2'],
    alternativeNames: [
      { type: 'dns', value: 'router.home.example' },
      { type: 'ip', value: '192.0.2.7' },
    ],
  }),
];
export const HONEST = [bare, wishing];

export interface RequestJudge {
  readonly read: (bytes: Uint8Array) => ParsedRequest | null;
  readonly check: typeof checkRequest;
}

export const honestRequestJudge: RequestJudge = { read: readRequest, check: checkRequest };

export function requestStructure({ read, check }: RequestJudge): Structure {
  return {
    name: 'request',
    isSigned: true,
    mutate: requestMutant,
    judge({ bytes }) {
      const request = read(bytes[0]!);
      if (request === null) return 'malformed';
      const finding = check(crypto, request);
      if (!finding.ok) return finding.reason;
      const { commonName } = request.subject;
      return commonName === null || deviceId(commonName) === null ? 'proven, without a name' : 'proven';
    },
    findings: ['proven', 'proven, without a name', 'malformed', 'weak-key', 'weak-signature', 'bad-signature'],
    proven: ['proven', 'proven, without a name'],
    objection: ({ bytes }) => requestObjection(bytes[0]!),
    honest: HONEST.map((bytes) => [bytes]),
    signatureChecks: () => crypto.counter.verify,
    mostChecks: 1,
  };
}

/** Members of the signed part. */
const [SUBJECT, SPKI, ATTRIBUTES] = [1, 2, 3] as const;

const attribute = (id: string, ...values: readonly Uint8Array[]): DerNode =>
  treeOf(sequence(oid(id), der(0x31, ...values)));
const extensions = (...list: readonly Uint8Array[]): DerNode => attribute('1.2.840.113549.1.9.14', sequence(...list));
const ATTRIBUTES_TO_ADD = [
  attribute('1.2.840.113549.1.9.7', der(TAG.utf8, Buffer.from('secret'))),
  attribute('1.2.840.113549.1.9.7'),
  attribute('1.3.6.1.4.1.311.13.2.3', der(0x16, Buffer.from('10.0'))),
  extensions(),
  extensions(
    sequence(oid('2.5.29.19'), der(0x01, Uint8Array.of(0xff)), der(0x04, sequence(der(0x01, Uint8Array.of(0xff))))),
  ),
  extensions(sequence(oid('1.2.3.4'), der(0x01, Uint8Array.of(0xff)), der(0x04))),
];

const AIMS: Readonly<Record<string, (tbs: DerNode, random: SeededRandom) => void>> = {
  'another key': (tbs, random) => become(nodeAt(tbs, SPKI), pick(random, [...WEAK_KEYS, ...HONEST_KEYS])),
  'another subject': (tbs, random) => become(nodeAt(tbs, SUBJECT), pick(random, SUBJECTS)),
  'another attribute': (tbs, random) => {
    nodeAt(tbs, ATTRIBUTES).children!.push(copyOf(pick(random, ATTRIBUTES_TO_ADD)));
  },
  'an attribute before': (tbs, random) => {
    nodeAt(tbs, ATTRIBUTES).children!.unshift(copyOf(pick(random, ATTRIBUTES_TO_ADD)));
  },
  'no attributes': (tbs) => {
    tbs.children!.splice(ATTRIBUTES, 1);
  },
};
const AIMED = Object.keys(AIMS);

const rdn = (...names: readonly string[]): Uint8Array =>
  der(0x31, ...names.map((name) => sequence(oid('2.5.4.3'), der(TAG.utf8, Buffer.from(name)))));
const SUBJECTS = [
  sequence(),
  sequence(rdn('a'), rdn('b')),
  sequence(rdn('~manager')),
  sequence(rdn('router-2')),
  sequence(rdn('a\0b')),
  sequence(rdn('a', 'b')),
].map(treeOf);

const ALGORITHMS = [
  sequence(oid('1.2.840.10045.4.1')),
  sequence(oid('1.2.840.10045.4.3.3')),
  sequence(oid('1.2.840.113549.1.1.11'), der(TAG.null)),
  sequence(oid('1.3.101.112')),
];

function requestMutant(random: SeededRandom): Mutant {
  const original = pick(random, HONEST);
  const way = random.below(20);
  if (way < 8) return { ...unsigned(bend(original, random, [...DONORS, ...OWN])), signedAnew: false };
  const tbs = copyOf(nodeAt(treeOf(original), 0));
  const what: string[] = [];
  if (way < 13) {
    const aim = pick(random, AIMED);
    AIMS[aim]!(tbs, random);
    what.push(aim);
  }
  if (way >= 13 || random.below(8) === 0) what.push(mutateDer(tbs, random, [...DONORS, ...OWN]));
  const isForeign = random.below(12) === 0;
  const isOther = random.below(16) === 0;
  if (isForeign) what.push('by somebody else');
  if (isOther) what.push('another algorithm');
  const algorithm = isOther ? pick(random, ALGORITHMS) : ECDSA_SHA256;
  const bytes = sealed(bytesOf(tbs), algorithm, isForeign ? keys.stranger : keys.leaf);
  return { what: what.join(', '), signedAnew: !isForeign, bytes: [bytes] };
}

const OWN = HONEST.map(treeOf);
const unsigned = ({ what, bytes }: { what: string; bytes: Uint8Array }) => ({ what, bytes: [bytes] });

/** Whose key it asks to be certified: nobody's but the signer's. */
function requestObjection(bytes: Uint8Array): string | null {
  try {
    const signed = signedTree(bytes);
    const [version, , spki, attributes, ...more] = signed.tbs.children ?? [];
    if (version === undefined || spki === undefined || attributes?.tag !== 0xa0 || more.length > 0)
      return 'another form';
    if (!equal(contentOf(version), Uint8Array.of(0))) return 'another version';
    if (!equal(bytesOf(spki), keys.leaf.publicSpki)) return 'the key of somebody else';
    return isSignedBy(bytesOf(spki), signed) ? null : 'not signed by its key';
  } catch (error) {
    return String(error);
  }
}
