/**
 * What suites cost this machine: measured once, then kept in a file until something changes on which it depends.
 */
import { FileFault, readPrivate, writeAtomically } from '../platform/files.ts';
import { decodeUtf8, encodeUtf8 } from '../protocol/bytes.ts';
import type { Crypto } from '../protocol/crypto.ts';
import type { Cost } from '../protocol/messages.ts';
import type { Suite } from '../protocol/suites.ts';
import { EpochSeconds } from '../protocol/units.ts';
import type { CpuFeatures } from './cpu-features.ts';
import { costKey, measureSuites } from './suite-cost.ts';

/** On what a cost depends; another value of one of them is another cost. */
export interface CostConditions {
  /** Model and instructions. */
  readonly processor: string;
  /** Versions of Node and OpenSSL, architecture. */
  readonly runtime: string;
  readonly cryptoHalf: string;
  /** Instructions that OpenSSL was told not to use; empty: none. */
  readonly openSslMask: string;
}

/** @param openSslMask  as the environment has it, `OPENSSL_ia32cap=…`; empty when it is not set */
export function costConditions(cpu: CpuFeatures, { name }: Crypto, openSslMask: string): CostConditions {
  const { node, openssl } = process.versions;
  return {
    processor: `${cpu.model ?? 'unknown'}: ${cpu.instructions?.join(' ') ?? 'unknown'}`,
    runtime: `node ${node}, openssl ${openssl}, ${process.arch}`,
    cryptoHalf: name,
    openSslMask,
  };
}

export interface CostFile {
  readonly path: string;
  readonly conditions: CostConditions;
  readonly crypto: Crypto;
  /** The wall clock. */
  readonly wall: () => EpochSeconds;
  readonly budgetMs: number;
}

export interface SuiteCosts {
  /** Suite for suite as asked; null: not offered here, or the budget was not enough. */
  readonly costs: readonly (Cost | null)[];
  readonly measuredAt: EpochSeconds;
  /** Null: nothing was measured, all was kept. */
  readonly measured: {
    /** What made it necessary. */
    readonly because: string;
    readonly spentMs: number;
    /** Why it could not be kept, or null. */
    readonly fault: string | null;
  } | null;
}

/** All suites are measured together or none: costs are compared, and two measurements differ by more than two suites do. */
export function suiteCosts(file: CostFile, suites: readonly Suite[]): SuiteCosts {
  const kept = readKept(file);
  if (typeof kept === 'string') return measureNow(file, suites, kept, null);
  const missing = suites.find((suite) => !kept.costs.has(costKey(suite)));
  if (missing === undefined) return answer(kept, suites, null);
  return measureNow(file, suites, `${costKey(missing)} was not measured yet`, kept);
}

function measureNow(file: CostFile, suites: readonly Suite[], because: string, kept: Kept | null): SuiteCosts {
  const { costs, spentMs } = measureSuites(file.crypto, suites, file.budgetMs);
  const fresh: Kept = { conditions: file.conditions, measuredAt: file.wall(), costs };
  const known = (one: Kept): number => suites.filter((suite) => one.costs.has(costKey(suite))).length;
  // a budget that is too small for all would else give other suites a cost at each start
  if (kept !== null && known(kept) >= known(fresh)) return answer(kept, suites, { because, spentMs, fault: null });
  return answer(fresh, suites, { because, spentMs, fault: keep(file.path, fresh) });
}

const answer = (
  { costs, measuredAt }: Kept,
  suites: readonly Suite[],
  measured: SuiteCosts['measured'],
): SuiteCosts => ({
  costs: suites.map((suite) => costs.get(costKey(suite)) ?? null),
  measuredAt,
  measured,
});

const CHANGED: Readonly<Record<keyof CostConditions, string>> = {
  processor: 'another processor',
  runtime: 'another Node, OpenSSL or architecture',
  cryptoHalf: 'another crypto half',
  openSslMask: 'OpenSSL was told to use other instructions',
};

/** @returns what is no longer as it was, or null */
function changedIn({ conditions }: Kept, now: CostConditions): string | null {
  const names = Object.keys(CHANGED) as (keyof CostConditions)[];
  const changed = names.find((name) => conditions[name] !== now[name]);
  return changed === undefined ? null : CHANGED[changed];
}

// ── The file ────────────────────────────────────────────────────────────────────────────────────────────────────────

interface Kept {
  readonly conditions: CostConditions;
  readonly measuredAt: EpochSeconds;
  /** By `costKey`; null: not offered. */
  readonly costs: ReadonlyMap<string, Cost | null>;
}

const FORMAT = 1;
const MAX_FILE_BYTES = 16 * 1024;
/** As much as a registration may say. */
const MAX_PICOS = 1e15;
/** The year 2106: what has a date. */
const MAX_SECONDS = 2 ** 32 - 1;

/** @returns what was measured under the same conditions, or why there is none: never more than a reason to measure */
function readKept({ path, conditions }: CostFile): Kept | string {
  try {
    const kept = parse(JSON.parse(decodeUtf8(readPrivate(path, MAX_FILE_BYTES))));
    return kept === null ? DAMAGED : (changedIn(kept, conditions) ?? kept);
  } catch (error) {
    if (error instanceof FileFault) return error.fault === 'missing' ? 'first start' : error.message;
    if (error instanceof SyntaxError || error instanceof TypeError) return DAMAGED;
    throw error;
  }
}

const DAMAGED = 'the file is damaged, or of another version';

/** @returns null for anything but what `keep` writes */
function parse(value: unknown): Kept | null {
  if (!isRecord(value) || value.format !== FORMAT || !isRecord(value.conditions) || !isRecord(value.costs)) return null;
  const { processor, runtime, cryptoHalf, openSslMask } = value.conditions;
  if (!isText(processor) || !isText(runtime) || !isText(cryptoHalf) || !isText(openSslMask)) return null;
  if (!isWhole(value.measuredAt, MAX_SECONDS)) return null;
  const costs = new Map<string, Cost | null>();
  for (const [key, cost] of Object.entries(value.costs)) {
    const known = cost === null ? null : costOf(cost);
    if (known === undefined) return null;
    costs.set(key, known);
  }
  const conditions = { processor, runtime, cryptoHalf, openSslMask };
  return { conditions, measuredAt: EpochSeconds(value.measuredAt), costs };
}

function costOf(value: unknown): Cost | undefined {
  if (!isRecord(value)) return undefined;
  const { picosPerOp, picosPerByte } = value;
  if (!isWhole(picosPerOp, MAX_PICOS) || !isWhole(picosPerByte, MAX_PICOS)) return undefined;
  return { picosPerOp, picosPerByte };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === 'string';
const isWhole = (value: unknown, most: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;

/** @returns why it could not be written, or null */
function keep(path: string, { conditions, measuredAt, costs }: Kept): string | null {
  const text = JSON.stringify({ format: FORMAT, conditions, measuredAt, costs: Object.fromEntries(costs) }, null, 2);
  try {
    writeAtomically(path, encodeUtf8(`${text}\n`), 0o600);
    return null;
  } catch (error) {
    if (error instanceof FileFault) return error.message;
    throw error;
  }
}
