/**
 * Honest OCSP answers whose signer comes with a bent certificate: nothing in it is proven when it is looked at first.
 */
import { ocspCodec } from '../../platform/ocsp-codec.ts';
import { equal, toHex } from '../../protocol/bytes.ts';
import { EXTENDED_KEY_USAGE, type ParsedCertificate } from '../../protocol/certificate.ts';
import type { checkOcspAnswer } from '../../protocol/ocsp-check.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { AT, parse } from '../test-authority.ts';
import { bitString, der, oid, sequence, TAG } from '../test-der.ts';
import { dotted, isSignedBy, secondsOf, signedTree } from './certificate-oracle.ts';
import { mutateDer, pick } from './der-mutations.ts';
import { become, bytesOf, contentOf, copyOf, type DerNode, leafNode, nodeAt, placesIn, treeOf } from './der-tree.ts';
import {
  crypto,
  DONORS,
  ECDSA_SHA256,
  intermediateDer,
  keyNamed,
  keys,
  leafDer,
  SERIALS,
  sealed,
  sealedAgain,
  WEAK_KEYS,
} from './mutation-house.ts';
import type { Mutant, Structure } from './mutations.ts';
import { HONEST } from './ocsp-mutants.ts';

const answer = HONEST[0]!;
const BASIC = [1, 0, 1, 0] as const;
const CERTIFICATE = [...BASIC, 3, 0, 0] as const;
/** Of the answer's signed part. */
const RESPONDER_HASH = [...BASIC, 0, 0, 0] as const;
const signerDer = bytesOf(nodeAt(treeOf(answer), ...CERTIFICATE));
const signerKey = keyNamed('ocsp');
const [leaf, issuer] = [parse(leafDer), parse(intermediateDer)];
const read = ocspCodec.readAnswer(answer);
const nonce = read?.status === 'successful' ? read.nonce : null;

export type SignerJudge = typeof checkOcspAnswer;

const DETAILS = {
  malformed: /cannot be read/,
  'lacks its signer': /by somebody whose certificate it lacks/,
  'another CA': /is certified by another CA/,
  'without purpose': /may not sign answers/,
  'without key usage': /has a key that may not sign/,
  'not valid now': /is not valid now/,
  'critical extension': /of the OCSP signer has a critical/,
  'to be checked itself': /would itself have to be checked/,
  revoked: /certificate of the OCSP signer is revoked/,
  'signed weakly': /certificate of the OCSP signer is signed outside/,
  'not signed by the CA': /certificate of the OCSP signer is not signed/,
  'weak key': /has a key of a type or size/,
  'not the key that signed': /not signed by the signer that it names/,
} as const;

export function signerStructure(check: SignerJudge): Structure {
  return {
    name: 'OCSP signer',
    isSigned: true,
    mutate: signerMutant,
    judge({ bytes }) {
      const found = check({
        crypto,
        codec: ocspCodec,
        certificate: leaf,
        issuer,
        issuerKey: crypto.publicKey(issuer.spki)!,
        at: AT,
        answer: ocspCodec.readAnswer(bytes[0]!),
        nonce,
        nonceRequired: true,
        isDistrusted: ({ serial }: ParsedCertificate) => equal(serial, SERIALS.revoked),
      });
      if (found.status !== 'unknown') return found.status;
      return Object.entries(DETAILS).find(([, detail]) => detail.test(found.detail))?.[0] ?? found.detail;
    },
    findings: ['good', ...Object.keys(DETAILS)],
    proven: ['good'],
    objection: ({ bytes }) => signerObjection(bytes[0]!),
    honest: [[answer]],
    signatureChecks: () => crypto.counter.verify,
    mostChecks: 2,
  };
}

/** Members of the certificate's signed part. */
const [SERIAL, ALGORITHM, ISSUER, VALIDITY, SPKI, EXTENSIONS] = [1, 2, 3, 4, 6, 7] as const;

function setExtension(tbs: DerNode, id: string, ...others: readonly DerNode[]): void {
  const list = nodeAt(tbs, EXTENSIONS, 0).children!;
  const at = list.findIndex(({ children }) => dotted(children![0]!) === id);
  list.splice(at < 0 ? list.length : at, at < 0 ? 0 : 1, ...others);
}
const extension = (id: string, isCritical: boolean, value: Uint8Array): DerNode =>
  treeOf(sequence(oid(id), ...(isCritical ? [der(0x01, Uint8Array.of(0xff))] : []), der(0x04, value)));

const AIMS: Readonly<Record<string, (tbs: DerNode, random: SeededRandom) => void>> = {
  'without purpose': (tbs) => setExtension(tbs, '2.5.29.37'),
  'without nocheck': (tbs) => setExtension(tbs, '1.3.6.1.5.5.7.48.1.5'),
  'another issuer': (tbs) => become(nodeAt(tbs, ISSUER), nodeAt(treeOf(leafDer), 0, 5)),
  'another key usage': (tbs) =>
    setExtension(tbs, '2.5.29.15', extension('2.5.29.15', true, der(TAG.bitString, Uint8Array.of(2, 4)))),
  'another period': (tbs, random) => {
    const time = pick(random, ['260101000000Z', '280101000000Z']);
    become(nodeAt(tbs, VALIDITY, random.below(2)), leafNode(TAG.utcTime, Buffer.from(time)));
  },
  'an unknown extension': (tbs) => setExtension(tbs, '1.2.3.4', extension('1.2.3.4', true, sequence())),
  'another algorithm': (tbs) => become(nodeAt(tbs, ALGORITHM), treeOf(sequence(oid('1.2.840.10045.4.1')))),
  'another key': (tbs, random) =>
    become(nodeAt(tbs, SPKI), pick(random, [...WEAK_KEYS, treeOf(keys.stranger.publicSpki)])),
  'a revoked one': (tbs) => become(nodeAt(tbs, SERIAL), leafNode(TAG.integer, SERIALS.revoked)),
};
const AIMED = Object.keys(AIMS);

function signerMutant(random: SeededRandom): Mutant {
  const tree = treeOf(answer);
  const tbs = copyOf(nodeAt(treeOf(signerDer), 0));
  const way = random.below(10);
  const isForeign = random.below(12) === 0;
  let what: string;
  let isSignedAnew = !isForeign;
  if (way < 3) {
    const certificate = nodeAt(tree, ...CERTIFICATE);
    what = `unsigned: ${mutateDer(certificate, random, DONORS)}`;
    isSignedAnew = false;
  } else {
    what = way < 6 ? pick(random, AIMED) : mutateDer(tbs, random, DONORS);
    if (way < 6) AIMS[what]!(tbs, random);
    const certificate = sealedAgain(tbs, ALGORITHM, isForeign ? keys.stranger : keys.intermediate);
    become(nodeAt(tree, ...CERTIFICATE), { ...leafNode(TAG.sequence, certificate), raw: certificate });
    nameSigner(tree, tbs);
  }
  return { what, signedAnew: isSignedAnew, bytes: [bytesOf(tree)] };
}

/** The answer names the key that now stands in the certificate, so that it is looked at; it is signed by the old one. */
function nameSigner(tree: DerNode, tbs: DerNode): void {
  const bits = tbs.children?.[SPKI]?.children?.[1];
  if (bits?.tag !== TAG.bitString) return;
  const spki = sequence(ECDSA_SHA256, bitString(contentOf(bits).subarray(1)));
  const hash = ocspCodec.issuerHashes('sha-1', issuer.subject.der, spki)!.key;
  become(nodeAt(tree, ...RESPONDER_HASH), leafNode(0x04, hash));
  const basic = nodeAt(tree, ...BASIC);
  become(nodeAt(basic, 2), nodeAt(treeOf(sealed(bytesOf(nodeAt(basic, 0)), ECDSA_SHA256, signerKey)), 2));
}

/** The second judge: whose certificate it is, what for, and that its key signed the answer. */
function signerObjection(bytes: Uint8Array): string | null {
  try {
    const basic = nodeAt(treeOf(bytes), ...BASIC);
    const signed = { tbs: nodeAt(basic, 0), algorithm: nodeAt(basic, 1), signature: nodeAt(basic, 2) };
    const signer = signedTree(bytesOf(nodeAt(basic, 3, 0, 0)));
    if (!isSignedBy(keys.intermediate.publicSpki, signer)) return 'not certified by the CA';
    if (!isSignedBy(bytesOf(nodeAt(signer.tbs, SPKI)), signed)) return 'not signed by the signer';
    const [notBefore, notAfter] = nodeAt(signer.tbs, VALIDITY).children!.map(secondsOf) as [number, number];
    if (AT < notBefore || AT > notAfter) return 'not valid now';
    if (toHex(contentOf(nodeAt(signer.tbs, SERIAL))) === toHex(SERIALS.revoked)) return 'revoked';
    const ids = placesIn(signer.tbs).flatMap(({ node }) => (node.tag === 0x06 ? [dotted(node)] : []));
    const needed = [EXTENDED_KEY_USAGE.ocspSigning, '1.3.6.1.5.5.7.48.1.5'];
    return needed.every((id) => ids.includes(id)) ? null : 'without purpose or nocheck';
  } catch (error) {
    return String(error);
  }
}
