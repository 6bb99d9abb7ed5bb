/**
 * Chains whose revocation list is bent, and what is found about them.
 */
import { issueCrl } from '../../platform/certificate-issuing.ts';
import { certificateReader } from '../../platform/certificates.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { ParsedCrl } from '../../protocol/certificate.ts';
import { validatePath } from '../../protocol/path-validation.ts';
import { crlSet } from '../../protocol/revocation-list.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { AT, DAY } from '../test-authority.ts';
import { der, oid, sequence, TAG } from '../test-der.ts';
import { dotted, isSignedBy, nameText, secondsOf, signedTree } from './certificate-oracle.ts';
import { bend, mutateDer, pick } from './der-mutations.ts';
import { become, bytesOf, contentOf, copyOf, type DerNode, leafNode, nodeAt, treeOf } from './der-tree.ts';
import {
  crypto,
  DONORS,
  intermediateCrlDer,
  intermediateDer,
  issuerOf,
  keys,
  leafDer,
  rootCrlDer,
  rootDer,
  SERIALS,
  sealedAgain,
} from './mutation-house.ts';
import type { Mutant, Structure } from './mutations.ts';

const reader = certificateReader();
const chain = [leafDer, intermediateDer].map((bytes) => reader.readCertificate(bytes)!);
const anchors = [reader.readCertificate(rootDer)!];
const rootList = reader.readCrl(rootCrlDer)!;

const truth = (tag: number): Uint8Array => der(tag, Uint8Array.of(0xff));
/** IssuingDistributionPoint: for users only. */
const SCOPE = { oid: '2.5.29.28', critical: true, value: sequence(truth(0x81)) };
const scopedCrlDer = issueCrl(crypto, issuerOf('Test CA', keys.intermediate), {
  number: 9,
  thisUpdate: AT - 100,
  nextUpdate: AT + DAY,
  revoked: [{ serial: SERIALS.revoked, at: AT - 200 }],
  extra: [SCOPE],
});

/** For all, and for users only. */
export const HONEST = [intermediateCrlDer, scopedCrlDer];

export interface ListJudge {
  readonly readCrl: (bytes: Uint8Array) => ParsedCrl | null;
  readonly verify: typeof crypto.verify;
  readonly at: typeof AT;
}

export const honestListJudge: ListJudge = { readCrl: reader.readCrl, verify: crypto.verify, at: AT };

const DETAILS = {
  'other issuer': /^no revocation list of its issuer/,
  'other scope': /^no revocation list that is about it/,
  'bad signature': /^the revocation list is not signed/,
  'critical extension': /^the revocation list has a critical extension/,
  'from the future': /^the revocation list is from the future/,
  'no end': /^the revocation list does not say how long/,
  'out of date': /^the revocation list is out of date/,
  'delta alone': /^a delta without the list/,
  'not every reason': /^its revocation lists do not speak about every reason/,
} as const;

export function listStructure({ readCrl, verify, at }: ListJudge): Structure {
  return {
    name: 'revocation list',
    isSigned: true,
    mutate: listMutant,
    judge({ bytes }) {
      const list = readCrl(bytes[0]!);
      if (list === null) return 'malformed';
      const revocation = crlSet([rootList, list]);
      const finding = validatePath({
        crypto: { ...crypto, verify },
        chain,
        anchors,
        revocation,
        at,
        purpose: 'device',
      });
      if (finding.ok) return 'good';
      if (finding.reason === 'revoked') return 'revoked';
      const [name] = Object.entries(DETAILS).find(([, detail]) => detail.test(finding.detail)) ?? [];
      return name ?? `${finding.reason}: ${finding.detail}`;
    },
    findings: ['good', 'revoked', 'malformed', ...Object.keys(DETAILS)],
    proven: [
      'good',
      'revoked',
      'critical extension',
      'from the future',
      'no end',
      'out of date',
      'delta alone',
      'not every reason',
    ],
    objection: ({ bytes }, finding) => listObjection(bytes[0]!, finding),
    honest: HONEST.map((bytes) => [bytes]),
    signatureChecks: () => crypto.counter.verify,
    // two certificates, two lists, and the bent one with a second key
    mostChecks: 2 + 2 + 1,
  };
}

/** Members of the signed part. */
const [ALGORITHM, ISSUER, THIS_UPDATE, NEXT_UPDATE, ENTRIES, EXTENSIONS] = [1, 2, 3, 4, 5, 6] as const;

const utcTime = (text: string): DerNode => leafNode(TAG.utcTime, Buffer.from(text));
const extension = (id: string, critical: boolean, value: Uint8Array): DerNode =>
  treeOf(sequence(oid(id), ...(critical ? [truth(0x01)] : []), der(0x04, value)));
const SCOPES = [
  [truth(0x81)],
  [truth(0x82)],
  [truth(0x85)],
  [der(0x83, Uint8Array.of(6, 0x40))],
  [der(0x83, Uint8Array.of(1, 0x7e))],
  [der(0x83, Uint8Array.of(5, 0x20))],
  [der(0x83, Uint8Array.of(7, 0x7f, 0x80))],
  [truth(0x84)],
  [der(0xa0, der(0xa0, der(0x86, Buffer.from('http://elsewhere/list'))))],
  [],
].map((members) => sequence(...members));

const AIMS: Readonly<Record<string, (tbs: DerNode, random: SeededRandom) => void>> = {
  'the device named': (tbs) => become(nodeAt(tbs, ENTRIES, 0, 0), leafNode(TAG.integer, SERIALS.leaf)),
  'the device named with a reason': (tbs, random) => {
    const entry = nodeAt(tbs, ENTRIES, 0);
    become(nodeAt(entry, 0), leafNode(TAG.integer, SERIALS.leaf));
    const reason = extension('2.5.29.21', random.below(3) === 0, der(0x0a, Uint8Array.of(random.below(12))));
    entry.children!.push({ ...leafNode(TAG.sequence, new Uint8Array(0)), children: [reason] });
  },
  'an entry of somebody else': (tbs) => {
    const issuer = extension('2.5.29.29', true, sequence(der(0xa4, bytesOf(nodeAt(treeOf(rootDer), 0, 3)))));
    nodeAt(tbs, ENTRIES, 0).children!.push({ ...leafNode(TAG.sequence, new Uint8Array(0)), children: [issuer] });
  },
  'another time': (tbs, random) => {
    const times = ['260101000000Z', '270115080000Z', '270115080001Z', '280101000000Z', '270115075959Z'];
    become(nodeAt(tbs, THIS_UPDATE + random.below(2)), utcTime(pick(random, times)));
  },
  'no end': (tbs) => {
    tbs.children!.splice(NEXT_UPDATE, 1);
  },
  'another issuer': (tbs, random) => become(nodeAt(tbs, ISSUER), nodeAt(pick(random, DONORS.slice(0, 3)), 0, 3)),
  'another algorithm': (tbs) => become(nodeAt(tbs, ALGORITHM), treeOf(sequence(oid('1.2.840.10045.4.1')))),
  'another scope': (tbs, random) => {
    nodeAt(tbs, EXTENSIONS, 0).children!.splice(2, 1, extension('2.5.29.28', true, pick(random, SCOPES)));
  },
  'a delta': (tbs, random) => {
    nodeAt(tbs, EXTENSIONS, 0).children!.push(
      extension('2.5.29.27', true, der(TAG.integer, Uint8Array.of(random.below(12)))),
    );
  },
  'an unknown extension': (tbs, random) => {
    nodeAt(tbs, EXTENSIONS, 0).children!.push(
      extension(pick(random, ['1.2.3.4', '2.5.29.46']), random.below(2) === 0, sequence()),
    );
  },
};
const AIMED = Object.keys(AIMS);

function listMutant(random: SeededRandom): Mutant {
  const original = random.below(3) > 0 ? intermediateCrlDer : scopedCrlDer;
  const way = random.below(20);
  if (way < 8) {
    const { what, bytes } = bend(original, random, DONORS);
    return { what, signedAnew: false, bytes: [bytes] };
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
  const key = isForeign ? keys.stranger : keys.intermediate;
  return { what: what.join(', '), signedAnew: !isForeign, bytes: [sealedAgain(tbs, ALGORITHM, key)] };
}

// ── the second judge ────────────────────────────────────────────────────────────────────────────────────────────────

interface ReadList {
  readonly issuer: string;
  readonly times: readonly number[];
  readonly serials: readonly string[];
  /** Critical ones, of the list and of its entries. */
  readonly critical: readonly string[];
  readonly extensions: readonly string[];
  /** By its scope: to CAs, to some reasons, to a place. */
  readonly narrowed: boolean;
}

function listObjection(bytes: Uint8Array, finding: string): string | null {
  try {
    const signed = signedTree(bytes);
    if (!isSignedBy(keys.intermediate.publicSpki, signed)) return 'not signed by the CA';
    const { issuer, times, serials, critical, extensions, narrowed } = readList(signed.tbs);
    if (!/^2\.5\.4\.3=\s*test ca\s*$/i.test(issuer)) return `issued by ${issuer}`;
    const names = serials.includes(toHex(SERIALS.leaf));
    if (finding === 'revoked') return names ? null : 'it does not name the device';
    if (finding !== 'good') return null;
    const [thisUpdate, nextUpdate] = times;
    if (thisUpdate === undefined || thisUpdate > AT) return 'from the future';
    if (nextUpdate === undefined || nextUpdate < AT) return 'out of date';
    if (extensions.includes('2.5.29.27')) return 'a delta clears nobody';
    const unknown = critical.find(
      (id) => id !== '2.5.29.28' && id !== '2.5.29.29' && id !== '2.5.29.20' && id !== '2.5.29.21',
    );
    if (unknown !== undefined) return `critical ${unknown}`;
    if (narrowed) return 'about others, or not about everything';
    return names && !critical.includes('2.5.29.29') ? 'it names the device' : null;
  } catch (error) {
    return String(error);
  }
}

function readList(tbs: DerNode): ReadList {
  const members = [...(tbs.children ?? [])];
  if (members[0]?.tag === TAG.integer) members.shift();
  const [, issuer, ...rest] = members as [DerNode, DerNode, ...DerNode[]];
  const times = rest.filter(({ tag }) => tag === TAG.utcTime || tag === TAG.generalizedTime).map(secondsOf);
  const entries = rest.find(({ tag }) => tag === TAG.sequence)?.children ?? [];
  const own = rest.find(({ tag }) => tag === 0xa0)?.children?.[0]?.children ?? [];
  const all = [...own, ...entries.flatMap(({ children }) => children?.[2]?.children ?? [])];
  const idOf = ({ children }: DerNode): string => dotted(children![0]!);
  const scope = own.find((one) => idOf(one) === '2.5.29.28')?.children?.at(-1)?.children?.[0]?.children ?? [];
  return {
    issuer: nameText(issuer),
    times,
    serials: entries.map(({ children }) => toHex(contentOf(children![0]!))),
    critical: all.filter(({ children }) => children!.length === 3).map(idOf),
    extensions: own.map(idOf),
    narrowed: scope.some(isNarrowing),
  };
}

function isNarrowing(member: DerNode): boolean {
  if (member.tag === 0x83) return toHex(contentOf(member)) !== '077f80';
  return member.tag === 0x82 || member.tag === 0x85 || member.tag === 0xa0;
}
