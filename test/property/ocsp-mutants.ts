/**
 * OCSP answers, bent, and what is found about them.
 */
import {
  type CertificateRequest,
  commonName,
  issueCertificate,
  OCSP_NO_CHECK,
} from '../../platform/certificate-issuing.ts';
import { ocspCodec } from '../../platform/ocsp-codec.ts';
import { EMPTY, equal, toHex } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE } from '../../protocol/certificate.ts';
import type { OcspAnswer } from '../../protocol/ocsp.ts';
import { checkOcspAnswer } from '../../protocol/ocsp-check.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { certId, type Extension, forgeAnswer, type SingleWishes, sealAnswer } from '../ocsp-forge.ts';
import { AT, DAY, type Holder, parse } from '../test-authority.ts';
import { bend, mutateDer, pick } from './der-mutations.ts';
import { bytesOf, contentOf, copyOf, type DerNode, nodeAt, treeOf } from './der-tree.ts';
import {
  crypto,
  DONORS,
  type HouseKey,
  intermediateDer,
  issuerOf,
  keyNamed,
  keys,
  leafDer,
  SERIALS,
} from './mutation-house.ts';
import type { Mutant, Structure } from './mutations.ts';

const issuerKey = keys.intermediate;
const issuer = issuerOf('Test CA', issuerKey);
const holder = (der: Uint8Array, key: HouseKey): Holder => ({
  certificate: parse(der),
  key: { privatePkcs8Pem: EMPTY, publicSpki: key.publicSpki, key: key.slow },
  issuer: { name: commonName('ocsp'), spki: key.publicSpki, key: key.slow },
});

const delegateKey = keyNamed('ocsp');
const DELEGATE: CertificateRequest = {
  name: 'ocsp',
  spki: delegateKey.publicSpki,
  serial: Uint8Array.of(0x51),
  notBefore: AT - DAY,
  notAfter: AT + DAY,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: [EXTENDED_KEY_USAGE.ocspSigning],
  extra: [OCSP_NO_CHECK],
};
const delegateOf = (wishes: Partial<CertificateRequest>, by = issuer): Uint8Array =>
  issueCertificate(crypto, by, { ...DELEGATE, ...wishes });

const home = holder(intermediateDer, issuerKey);
const leaf = parse(leafDer);
const delegate = holder(delegateOf({}), delegateKey);
const nonce = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

const ofLeaf: SingleWishes = { certId: certId(home, SERIALS.leaf) };
const answerOf = (single: Partial<SingleWishes>, wishes: Partial<Parameters<typeof forgeAnswer>[0]> = {}): Uint8Array =>
  forgeAnswer({ singles: [{ ...ofLeaf, ...single }], signer: delegate, nonce, ...wishes });
export const HONEST: readonly Uint8Array[] = [answerOf({}), answerOf({ status: 'revoked' })];

const unknownExtension: Extension = { oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) };
const stranger = issuerOf('Test CA', keys.stranger);
/** Delegates that may not, all with the same key. */
const POOR: readonly Uint8Array[] = [
  delegateOf({}, issuerOf('Another CA', issuerKey)),
  delegateOf({}, stranger),
  delegateOf({ extendedKeyUsage: [EXTENDED_KEY_USAGE.kagimoriDevice] }),
  delegateOf({ keyUsage: ['keyAgreement'] }),
  delegateOf({ notAfter: AT - 1 }),
  delegateOf({ notBefore: AT + 1 }),
  delegateOf({ extra: [] }),
  delegateOf({ extra: [OCSP_NO_CHECK, unknownExtension as typeof unknownExtension & { critical: boolean }] }),
];
/** Answers that are signed and say something else. */
const AIMED: readonly Uint8Array[] = [
  answerOf({ status: 'unknown' }),
  answerOf({ certId: certId(home, SERIALS.revoked) }),
  answerOf({ nextUpdate: AT - 1 }),
  answerOf({ thisUpdate: AT + DAY, nextUpdate: AT + 2 * DAY }),
  answerOf({}, { producedAt: AT + DAY }),
  answerOf({ thisUpdate: AT + 20, nextUpdate: AT + 10 }),
  answerOf({ extensions: [unknownExtension] }),
  answerOf({}, { extensions: [unknownExtension] }),
  answerOf({}, { nonce: nonce.map((byte) => byte ^ 1) }),
  forgeAnswer({ singles: [ofLeaf], signer: delegate }),
  answerOf({}, { certificates: [] }),
  answerOf({}, { by: 'name' }),
  answerOf({}, { signer: home, certificates: [] }),
];

/** What a planted fault may replace. */
export interface AnswerJudge {
  readonly read: (bytes: Uint8Array) => OcspAnswer | null;
  readonly check: typeof checkOcspAnswer;
}

export const honestAnswerJudge: AnswerJudge = { read: ocspCodec.readAnswer, check: checkOcspAnswer };

const FINDINGS = [
  'good',
  'revoked',
  'the OCSP answer cannot be read',
  'the OCSP responder says …',
  'the OCSP answer is about another certificate',
  'the OCSP answer is signed with an algorithm outside the profile',
  'the OCSP answer is signed by somebody whose certificate it lacks',
  'the OCSP answer is not signed by its issuer',
  'the OCSP answer is not signed by the signer that it names',
  'the OCSP signer is certified by another CA',
  'the OCSP signer may not sign answers',
  'the OCSP signer has a key that may not sign',
  'the certificate of the OCSP signer is not valid now',
  'the certificate of the OCSP signer has a critical extension …',
  'the certificate of the OCSP signer would itself have to be checked (no nocheck)',
  'the certificate of the OCSP signer is not signed by the issuer',
  'the OCSP answer has a critical extension …',
  'the OCSP answer has no nonce',
  'the OCSP answer has the nonce of another request',
  'the OCSP answer is from the future',
  'the OCSP answer ends before it begins',
  'the OCSP answer is out of date',
  'the OCSP responder does not know the certificate',
];

export function answerStructure({ read, check }: AnswerJudge): Structure {
  return {
    name: 'OCSP answer',
    isSigned: true,
    mutate: answerMutant,
    judge({ bytes }) {
      const found = check({
        crypto,
        codec: ocspCodec,
        certificate: leaf,
        issuer: home.certificate,
        issuerKey: crypto.publicKey(issuerKey.publicSpki)!,
        at: AT,
        answer: read(bytes[0]!),
        nonce,
        nonceRequired: true,
      });
      return found.status === 'unknown' ? found.detail.replace(/(?<=extension |says ).*$/, '…') : found.status;
    },
    findings: FINDINGS,
    proven: ['good', 'revoked'],
    objection: ({ bytes }, finding) => answerObjection(bytes[0]!, finding),
    honest: HONEST.map((bytes) => [bytes]),
    signatureChecks: () => crypto.counter.verify,
    mostChecks: 4,
  };
}

const basicOf = (answer: DerNode): DerNode => nodeAt(answer, 1, 0, 1, 0);
const OWN = HONEST.map(treeOf);
const ERRORS = [1, 2, 3, 5, 6].map((number) => Uint8Array.of(0x30, 3, 0x0a, 1, number));

function answerMutant(random: SeededRandom): Mutant {
  const original = pick(random, HONEST);
  const way = random.below(20);
  if (way === 0) return { what: 'an error', signedAnew: false, bytes: [pick(random, ERRORS)] };
  if (way < 8) {
    const { what, bytes } = bend(original, random, [...DONORS, ...OWN]);
    return { what, signedAnew: isStillSigned(bytes), bytes: [bytes] };
  }
  if (way < 10) return { what: 'another answer', signedAnew: true, bytes: [pick(random, AIMED)] };
  const tbs = copyOf(nodeAt(basicOf(treeOf(way < 12 ? pick(random, AIMED) : original)), 0));
  const certificate = way < 14 ? pick(random, POOR) : delegate.certificate.der;
  const what = way < 14 && random.below(2) === 0 ? 'a poor delegate' : mutateDer(tbs, random, [...DONORS, ...OWN]);
  const isForeign = random.below(12) === 0;
  const key = isForeign ? keys.stranger : random.below(8) === 0 ? issuerKey : delegateKey;
  const signer = { ...delegate, key: { ...delegate.key, key: key.fast } };
  return { what, signedAnew: !isForeign, bytes: [sealAnswer(bytesOf(tbs), signer, [certificate])] };
}

/** What is bent may be the frame or the list of certificates, which nobody signs. */
function isStillSigned(bytes: Uint8Array): boolean {
  const answer = ocspCodec.readAnswer(bytes);
  if (answer?.status !== 'successful') return false;
  return HONEST.some((one) => equal(bytesOf(nodeAt(basicOf(treeOf(one)), 0)), answer.tbs));
}

const OWN_IDS = (['sha-1', 'sha-256', 'sha-384', 'sha-512'] as const).map((hash) => certId(home, SERIALS.leaf, hash));
const STATUS_TAGS: Readonly<Record<string, number>> = { good: 0x80, revoked: 0xa1 };

/** Reads nothing but the tree: whether an own CertID stands before that status, and good beside our nonce. */
function answerObjection(bytes: Uint8Array, finding: string): string | null {
  const tbs = nodeAt(basicOf(treeOf(bytes)), 0);
  const singles = (tbs.children ?? []).find(({ tag }) => tag === 0x30)?.children ?? [];
  const own = singles.filter(({ children }) => OWN_IDS.some((id) => sameId(id, bytesOf(children![0]!))));
  if (!own.some(({ children }) => children![1]!.tag === STATUS_TAGS[finding])) return 'says nothing of the kind';
  if (finding === 'revoked') return null;
  if (own.some(({ children }) => children![1]!.tag === STATUS_TAGS.revoked)) return 'says revoked too';
  return toHex(bytesOf(tbs)).includes(`0410${toHex(nonce)}`) ? null : 'lacks the nonce';
}

/** The parameters of the hash may be absent. */
function sameId(a: Uint8Array, b: Uint8Array): boolean {
  const parts = (id: Uint8Array): string =>
    treeOf(id)
      .children!.map((part, i) => toHex(i === 0 ? bytesOf(part.children![0]!) : contentOf(part)))
      .join();
  return parts(a) === parts(b);
}
