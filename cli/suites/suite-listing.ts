/**
 * The registry of suites with what each is worth and costs here.
 */
import { runsOn } from '../../hardware/suite-cost.ts';
import { PROFILES, type ProfileName } from '../../manager/rule-profiles.ts';
import type { Crypto, HashName } from '../../protocol/crypto.ts';
import type { Cost } from '../../protocol/messages.ts';
import { HASH_ORDER, type Requirement } from '../../protocol/selection.ts';
import { costOf } from '../../protocol/suite-cost.ts';
import {
  CIPHERS,
  type Cipher,
  type RecordAlgorithm,
  resolveSuite,
  type Suite,
  strengthBits,
} from '../../protocol/suites.ts';
import { table } from '../output.ts';

export const LISTED_BYTES = 16_384;

/** One suite; those that differ in a hash which no record sees are one. */
export interface ListedSuite {
  readonly cipher: Cipher;
  readonly keyBits: number;
  readonly hashes: readonly HashName[];
  readonly tagBits: number;
  readonly strengthBits: number;
  readonly encrypts: boolean;
  /** All key bytes of one direction. */
  readonly keyBytes: number;
  readonly tagBytes: number;
  /** What it adds to each of the first 256 records of a session. */
  readonly overheadBytes: number;
  /** Crypto halves that offer it. */
  readonly halves: readonly string[];
  /** Named requirements of rules that it meets, and with which of its hashes. */
  readonly profiles: readonly { readonly name: ProfileName; readonly hashes: readonly HashName[] }[];
  /** Of the first half; null: not measured. */
  readonly cost: {
    readonly nsPerOp: number;
    readonly nsPerByte: number;
    /** 10⁶ bytes, in records of `LISTED_BYTES`. */
    readonly megabytesPerSecond: number;
  } | null;
}

/** Every suite, in the order of the registry; hashes apart where records see them. */
export function everySuite(): Suite[] {
  return (Object.keys(CIPHERS) as Cipher[]).flatMap((cipher) =>
    CIPHERS[cipher].keyBits.flatMap((keyBits) =>
      HASH_ORDER.slice(0, hashesMatter(cipher) ? HASH_ORDER.length : 1).flatMap((hash) =>
        CIPHERS[cipher].tagBits.map((tagBits) => ({ cipher, keyBits, hash, tagBits })),
      ),
    ),
  );
}

const hashesMatter = (cipher: Cipher): boolean => cipher === 'aes-ctr-hmac' || cipher === 'hmac';

/** @param costOfSuite  as measured, or null */
export function listSuites(halves: readonly Crypto[], costOfSuite: (suite: Suite) => Cost | null): ListedSuite[] {
  return everySuite().map((suite) => {
    const { cipher, keyBits, hash, tagBits } = suite;
    const algorithm = resolveSuite(suite)!;
    const hashes = hashesMatter(cipher) ? [hash] : HASH_ORDER;
    return {
      cipher,
      keyBits,
      hashes,
      tagBits,
      strengthBits: strengthBits(suite),
      encrypts: CIPHERS[cipher].encrypts,
      keyBytes: algorithm.keyBytes,
      tagBytes: algorithm.tagBytes,
      overheadBytes: overheadBytes(algorithm),
      halves: halves.filter((half) => runsOn(half, algorithm)).map(({ name }) => name),
      profiles: profilesOf(suite, hashes),
      cost: shownCost(costOfSuite(suite)),
    };
  });
}

/** flags, 1 B ‖ partial IV, 1 B below 256 ‖ … ‖ tag */
const overheadBytes = ({ tagBytes }: RecordAlgorithm): number => 2 + tagBytes;

function profilesOf(suite: Suite, hashes: readonly HashName[]): ListedSuite['profiles'] {
  return (Object.keys(PROFILES) as ProfileName[])
    .map((name) => ({ name, hashes: hashes.filter((hash) => meets({ ...suite, hash }, PROFILES[name])) }))
    .filter((profile) => profile.hashes.length > 0);
}

const meets = (suite: Suite, { minStrengthBits, minTagBits, ciphers, hashes }: Requirement): boolean =>
  strengthBits(suite) >= minStrengthBits &&
  suite.tagBits >= minTagBits &&
  ciphers.includes(suite.cipher) &&
  hashes.includes(suite.hash);

function shownCost(cost: Cost | null): ListedSuite['cost'] {
  if (cost === null) return null;
  const nsPerRecord = costOf(cost, LISTED_BYTES) / 1000;
  return {
    nsPerOp: cost.picosPerOp / 1000,
    nsPerByte: cost.picosPerByte / 1000,
    megabytesPerSecond: Math.round((1000 * LISTED_BYTES) / nsPerRecord),
  };
}

// ── For people ──────────────────────────────────────────────────────────────────────────────────────────────────────

const HEAD = [
  'cipher',
  'hash',
  'strength',
  'key B',
  'tag B',
  'adds B',
  'halves',
  'profiles',
  'ns/record',
  'ns/byte',
  'MB/s',
] as const;

/** Suites that differ in their tag alone share a line: a tag is cut from what was made anyway. */
export function suiteTable(suites: readonly ListedSuite[]): string {
  const lines = new Map<string, ListedSuite[]>();
  for (const suite of suites) {
    const { cipher, keyBits, hashes, halves } = suite;
    const key = [cipher, keyBits, hashes, halves, profileText(suite)].join('|');
    lines.set(key, [...(lines.get(key) ?? []), suite]);
  }
  return table(HEAD, [...lines.values()].map(rowOf));
}

function rowOf(suites: readonly ListedSuite[]): string[] {
  const [{ cipher, keyBits, hashes, strengthBits: strength, keyBytes, halves, cost }] = suites as [ListedSuite];
  const each = (pick: (suite: ListedSuite) => number): string => suites.map(pick).join(', ');
  return [
    `${cipher}-${keyBits}`,
    hashes.length === HASH_ORDER.length ? 'any' : hashes.join(', '),
    String(strength),
    String(keyBytes),
    each(({ tagBytes }) => tagBytes),
    each((suite) => suite.overheadBytes),
    halves.length === 2 ? 'both' : halves.join(', '),
    profileText(suites[0]!),
    ...(cost === null ? ['–', '–', '–'] : [cost.nsPerOp, cost.nsPerByte, cost.megabytesPerSecond].map(String)),
  ];
}

const profileText = ({ profiles, hashes: all }: ListedSuite): string =>
  profiles.map(({ name, hashes }) => (hashes.length === all.length ? name : `${name}*`)).join(', ');

/** What stands below the table. */
export function legend(instructions: readonly string[] | null, mask: string, spentMs: number): string {
  const masked = mask === '' ? '' : `; OpenSSL does not use all of them: ${mask}`;
  return [
    `Processor: ${instructions === null ? 'its instructions are not known' : instructions.join(' ')}${masked}`,
    `Cost of sealing one record: ns/record + bytes × ns/byte, measured here by the node half in ${Math.round(spentMs)} ms;`,
    `MB/s in records of ${LISTED_BYTES} B. Strength in bits; hmac does not encrypt. A line's tags cost the same.`,
    'Profiles are requirements that rules can name; * with some of the hashes only.',
  ].join('\n');
}
