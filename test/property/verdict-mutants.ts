/**
 * Verdicts and revocation events, bent, and what is found about them.
 */
import { createPublicKey, verify } from 'node:crypto';
import { concat, encodeUtf8, equal } from '../../protocol/bytes.ts';
import { ProtocolError } from '../../protocol/errors.ts';
import { checkEvent, signEvent } from '../../protocol/revocation-event.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { checkVerdict, signVerdict } from '../../protocol/verdict.ts';
import type { RevocationEvent, Verdict } from '../../protocol/verifier-messages.ts';
import type { SeededRandom } from '../../sim/seeded-random.ts';
import { AT } from '../test-authority.ts';
import { mutateCbor } from './cbor-mutations.ts';
import {
  BYTES,
  type CborNode,
  cborBytes,
  cborContent,
  cborTree,
  copyOfItem,
  headOf,
  item,
  MAP,
  NUMBER,
  TEXT,
  valueAt,
} from './cbor-tree.ts';
import { pick } from './der-mutations.ts';
import { crypto, type HouseKey, keyNamed, keys } from './mutation-house.ts';
import type { Mutant, Structure } from './mutations.ts';

const signer = keyNamed('verifier');
/** Two are pinned, as while a key is rolled over. */
const verifierKeys = [keyNamed('verifier to come'), signer].map(({ publicSpki }) => crypto.publicKey(publicSpki)!);
const nonce = new Uint8Array(16).fill(7);
const leafSha256 = new Uint8Array(32).fill(3);
const NOW = EpochSeconds(AT + 10);
const SKEW = 60;

const verdict: Verdict = {
  purpose: 'device',
  leaf: leafSha256,
  issuerAndSerial: Uint8Array.of(0x30, 0x00, 0x02, 0x01, 0x05),
  reason: 'good',
  time: AT,
  maxAge: 3600,
  nonce,
  policy: 1,
};
const event: RevocationEvent = {
  instance: new Uint8Array(8).fill(9),
  beat: 12,
  number: 5,
  time: AT,
  state: new Uint8Array(32).fill(1),
  marks: [new Uint8Array(32).fill(4), new Uint8Array(32).fill(5)],
};
const verdictBytes = signVerdict(signer.slow, verdict);
const eventBytes = signEvent(signer.slow, event);
const DONORS = [verdictBytes, eventBytes].map(cborTree);
const LABELS = { verdict: encodeUtf8('kagimori verdict'), event: encodeUtf8('kagimori revocation event') };
type Kind = keyof typeof LABELS;

/** What a planted fault may replace. */
export interface VerdictJudge {
  readonly checkVerdict: typeof checkVerdict;
  readonly checkEvent: typeof checkEvent;
}
export const honestVerdictJudge: VerdictJudge = { checkVerdict, checkEvent };

const EXPECTED = { verifierKeys, now: NOW, maxClockSkew: SKEW };

/** Beginnings of what is said of a bad verdict. */
const FAULTS = [
  'unsigned',
  'malformed',
  'wrong signer',
  'wrong purpose',
  'swapped',
  'wrong nonce',
  'from the future',
  'stale',
];

export function verdictStructure(judge: VerdictJudge): Structure {
  return {
    ...common('verdict', verdictBytes),
    judge({ bytes }) {
      return foundBy(
        () => {
          judge.checkVerdict(crypto, bytes[0]!, { ...EXPECTED, purpose: 'device', leafSha256, nonce });
        },
        ({ message }) => FAULTS.find((fault) => message.startsWith(fault)) ?? message,
      );
    },
    findings: ['accepted', ...FAULTS],
    proven: ['accepted', ...FAULTS.slice(3)],
  };
}

export function eventStructure(judge: VerdictJudge): Structure {
  return {
    ...common('event', eventBytes),
    judge({ bytes }) {
      return foundBy(
        () => judge.checkEvent(crypto, bytes[0]!, EXPECTED),
        ({ code }) => code,
      );
    },
    findings: ['accepted', 'malformed', 'tooLarge', 'badSignature', 'badVerdict'],
    proven: ['accepted', 'badVerdict'],
  };
}

function foundBy(check: () => void, faultOf: (error: ProtocolError) => string): string {
  try {
    check();
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return faultOf(error);
  }
}

function common(kind: Kind, honest: Uint8Array): Omit<Structure, 'judge' | 'findings' | 'proven'> {
  return {
    name: kind,
    isSigned: true,
    mutate: (random) => coseMutant(kind, honest, random),
    objection: ({ bytes }, finding) => (finding === 'accepted' ? coseObjection(kind, bytes[0]!) : null),
    honest: [[honest]],
    signatureChecks: () => crypto.counter.verify,
    mostChecks: verifierKeys.length,
  };
}

// ── bending ─────────────────────────────────────────────────────────────────────────────────────────────────────────

const number = (value: number): CborNode => item(NUMBER, BigInt(value));
const bytesItem = (value: Uint8Array): CborNode => item(BYTES, 0n, value);

/** Replaces a value of the payload, or takes key and value away. */
function setValue(payload: CborNode, key: number, value: CborNode | null): void {
  const list = payload.children!;
  const at = list.findIndex((one, i) => i % 2 === 0 && one.argument === BigInt(key));
  if (at >= 0) list.splice(at, 2, ...(value === null ? [] : [number(key), value]));
}

const TIMES = [AT, AT + 70, AT + 71, AT - 3650, AT - 3651, 0, 0xffff_ffff, AT + 86_400, AT - 50, AT - 51];
type Aim = (payload: CborNode, random: SeededRandom) => void;
const TIMED: Readonly<Record<Kind, readonly [time: number, ...Aim[]]>> = {
  verdict: [
    5,
    (payload, random) => setValue(payload, 1, number(pick(random, [1, 2, 3]))),
    (payload, random) => setValue(payload, 2, bytesItem(random.bytes(32))),
    (payload, random) =>
      setValue(payload, 7, pick(random, [null, bytesItem(random.bytes(16)), bytesItem(new Uint8Array(17).fill(7))])),
    (payload, random) => setValue(payload, 6, number(pick(random, [0, 1, 604_800, 604_801, 9]))),
    (payload, random) => setValue(payload, 4, number(random.below(30))),
  ],
  event: [
    3,
    (payload, random) => setValue(payload, 5, bytesItem(new Uint8Array(3000 + random.below(3000)))),
    (payload, random) => setValue(payload, 2, number(random.below(9))),
    (payload, random) => setValue(payload, 1, bytesItem(random.bytes(8))),
  ],
};

function coseMutant(kind: Kind, honest: Uint8Array, random: SeededRandom): Mutant {
  const tree = cborTree(honest);
  const way = random.below(20);
  if (way < 8) return { ...bendWhole(tree, honest, random), signedAnew: false };
  const what: string[] = [];
  if (way < 13) {
    const [time, ...aims] = TIMED[kind];
    const chosen = random.below(aims.length + 1);
    const payload = tree.children![2]!.children![0]!;
    if (chosen === aims.length) setValue(payload, time, number(pick(random, TIMES)));
    else aims[chosen]!(payload, random);
    what.push(`aim ${chosen}`);
  } else what.push(mutateCbor(way < 18 ? tree.children![2]! : tree, random, DONORS));
  const isForeign = random.below(24) === 0;
  const isOther = random.below(24) === 0;
  if (isForeign) what.push('by somebody else');
  if (isOther) what.push('under another label');
  const label = LABELS[isOther === (kind === 'verdict') ? 'event' : 'verdict'];
  return {
    what: what.join(', '),
    signedAnew: !isForeign && !isOther,
    bytes: [signedAgain(tree, label, isForeign ? keys.stranger : signer)],
  };
}

function bendWhole(tree: CborNode, honest: Uint8Array, random: SeededRandom): { what: string; bytes: Uint8Array[] } {
  const at = random.below(honest.length);
  switch (random.below(8)) {
    case 0:
      return { what: 'cut off', bytes: [honest.subarray(0, at)] };
    case 1:
      return { what: 'something behind', bytes: [concat(honest, random.bytes(1 + random.below(8)))] };
    case 2: {
      const flipped = honest.slice();
      flipped[at]! ^= 1 << random.below(8);
      return { what: 'a bit flipped', bytes: [flipped] };
    }
    case 3:
      return { what: 'noise', bytes: [random.bytes(random.below(5000))] };
    default: {
      const what = mutateCbor(tree, random, DONORS);
      return { what, bytes: [cborBytes(tree)] };
    }
  }
}

/** Signature1, the header, the label and the payload as they stand, in whatever shape. @spec RFC 9052 §4.4 */
function toBeSigned(header: CborNode, label: Uint8Array, payload: CborNode): Uint8Array {
  const parts = [item(TEXT, 0n, encodeUtf8('Signature1')), header, bytesItem(label), payload];
  return concat(headOf(4, 4n), ...parts.map(cborBytes));
}

function signedAgain(tree: CborNode, label: Uint8Array, key: HouseKey): Uint8Array {
  const [header, , payload, signature] = tree.children ?? [];
  if (header !== undefined && payload !== undefined && signature !== undefined) {
    Object.assign(signature, bytesItem(key.fast.sign('ecdsa-sha256', toBeSigned(header, label, payload))));
  }
  return cborBytes(tree);
}

// ── the second judge ────────────────────────────────────────────────────────────────────────────────────────────────

function coseObjection(kind: Kind, bytes: Uint8Array): string | null {
  try {
    const tree = cborTree(bytes);
    if (!equal(cborBytes(tree), bytes)) return 'bytes of another spelling';
    const [header, unprotected, payload, signature, ...more] = tree.children!;
    if (more.length > 0 || unprotected!.major !== MAP || unprotected!.children!.length > 0) return 'another frame';
    if (Buffer.from(cborContent(header!)).toString('hex') !== 'a10126') return 'another header';
    const key = createPublicKey({ key: Buffer.from(signer.publicSpki), format: 'der', type: 'spki' });
    const signed = toBeSigned(copyOfItem(header!), LABELS[kind], payload!);
    if (!verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, cborContent(signature!))) return 'not signed';
    const content = cborTree(cborContent(payload!));
    const time = Number(valueAt(content, kind === 'verdict' ? 5 : 3)?.argument ?? -1n);
    if (kind === 'event') return Math.abs(NOW - time) <= SKEW ? null : `made at ${time}`;
    const maxAge = Number(valueAt(content, 6)?.argument ?? -1n);
    if (time > NOW + SKEW || NOW - time > maxAge + SKEW) return `made at ${time} for ${maxAge} s`;
    if (valueAt(content, 1)?.argument !== 0n) return 'for another purpose';
    if (!equal(valueAt(content, 2)?.content ?? nonce, leafSha256)) return 'about another leaf';
    return equal(valueAt(content, 7)?.content ?? leafSha256, nonce) ? null : 'without our nonce';
  } catch (error) {
    return String(error);
  }
}
