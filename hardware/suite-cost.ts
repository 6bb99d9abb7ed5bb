/**
 * What a record costs on this machine with a suite, measured: so much for every record, so much for every byte of it.
 *
 * Batches of calls of `protect`; all suites take turns, so that code which grows warm is as good for one as for another. A
 * thread's own CPU clock advances only with the scheduler's tick. So of each batch the lesser counts of two bounds that lie
 * above it: the process's CPU time, with compiler and collector in it, and the time by the clock, with other processes in it.
 * And of each suite the best batch counts: whatever else happens makes one dearer, never cheaper.
 */
import type { Crypto } from '../protocol/crypto.ts';
import type { Cost } from '../protocol/messages.ts';
import { protect } from '../protocol/protection.ts';
import { type RecordAlgorithm, resolveSuite, type Suite } from '../protocol/suites.ts';

/** Of all suites together; what is under way when it ends still ends below 100 ms. */
export const MEASURE_BUDGET_MS = 70;
export const SHORT_BYTES = 64;
export const LONG_BYTES = 16_384;

export interface Measurement {
  /** By `costKey`. Null: this crypto half has no such suite. Absent: the budget was not enough to say what it costs. */
  readonly costs: ReadonlyMap<string, Cost | null>;
  /** CPU time that it took, ms. */
  readonly spentMs: number;
}

/**
 * Suites of one key cost the same: no record sees the KDF hash of an AEAD; a tag is cut from what was made anyway; HMAC
 * fills its key up to a block.
 */
export function costKey({ cipher, keyBits, hash }: Suite): string {
  switch (cipher) {
    case 'hmac':
      return `hmac ${hash}`;
    case 'aes-ctr-hmac':
      return `${cipher}-${keyBits} ${hash}`;
    default:
      return `${cipher}-${keyBits}`;
  }
}

/** CPU time of this process so far, user and system, in µs. */
export function processCpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/**
 * @param suites    where the budget is not enough for all, the first ones are measured
 * @param budgetMs  CPU time that it may take; warming up counts
 */
export function measureSuites(crypto: Crypto, suites: readonly Suite[], budgetMs = MEASURE_BUDGET_MS): Measurement {
  const began = processCpuMicros();
  const leftMicros = (): number => began + 1000 * budgetMs - processCpuMicros();
  const costs = new Map<string, Cost | null>();
  const tracks: Track[] = [];
  const leftToClimb = (): number => leftMicros() - 1000 * budgetMs * (1 - CLIMB_PART);
  for (const suite of new Map(suites.map((one) => [costKey(one), one])).values()) {
    if (leftToClimb() <= 0) break;
    const algorithm = resolveSuite(suite);
    if (algorithm === null || !runsOn(crypto, algorithm)) {
      costs.set(costKey(suite), null);
      continue;
    }
    const track = trackOf(crypto, algorithm);
    if (climb(track, leftToClimb)) tracks.push(track);
  }
  const half = leftMicros() / 2;
  const batches = takeTurns(tracks, () => leftMicros() - half);
  takeTurns(affordable(tracks, leftMicros(), (2 * half - leftMicros()) / batches), leftMicros);
  for (const track of tracks) {
    const cost = costFrom(track);
    if (cost !== null) costs.set(costKey(track.suite), cost);
  }
  return { costs, spentMs: (processCpuMicros() - began) / 1000 };
}

/** Tried out: an OpenSSL with the FIPS provider alone has no ChaCha20. */
export function runsOn(crypto: Crypto, algorithm: RecordAlgorithm): boolean {
  try {
    return sealing(crypto, algorithm, SHORT_BYTES)().length === SHORT_BYTES + algorithm.tagBytes;
  } catch {
    return false;
  }
}

/** As long as the authenticated data of a session's record. */
const AAD = new Uint8Array(59).fill(3);

/** Every byte of the key, under which nothing else is sealed: who watches over nonces knows it by that. */
export const MEASURING_KEY_BYTE = 5;

function sealing(crypto: Crypto, algorithm: RecordAlgorithm, sizeBytes: number): () => Uint8Array {
  const key = new Uint8Array(algorithm.keyBytes).fill(MEASURING_KEY_BYTE);
  const nonce = new Uint8Array(algorithm.nonceBytes).fill(7);
  const payload = new Uint8Array(sizeBytes).fill(9);
  return () => protect(crypto, algorithm, key, nonce, AAD, payload);
}

// ── Batches ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** One suite at one size. */
interface Lane {
  readonly seal: () => Uint8Array;
  /** Of one call, in the quickest batch of any length; what the next is expected to take. */
  leastMicros: number;
  calls: number;
  /** Of one call, in the best batch that was long enough to be measured. */
  bestMicros: number;
}

interface Track {
  readonly suite: Suite;
  readonly short: Lane;
  /** Tells what the long one will take before that is tried. */
  readonly middle: Lane;
  readonly long: Lane;
  rounds: number;
}

const MIDDLE_BYTES = 1024;
/** From 64 B to 1 KiB, and from there to 16 KiB: no cipher grows faster than the length. */
const STEP = 16;
/** Of the budget, for first calls. */
const CLIMB_PART = 0.4;
const MOST_ROUNDS = 16;
/** With fewer there is no figure: what cold code costs is worse than none. */
const LEAST_ROUNDS = 4;
/** The CPU clock counts whole µs, and reading it takes one. */
const LEAST_BATCH_MICROS = 40;
/** The least that is aimed at. */
const ROUGH_BATCH_MICROS = 1.5 * LEAST_BATCH_MICROS;
const MOST_BATCH_MICROS = 400;

function trackOf(crypto: Crypto, algorithm: RecordAlgorithm): Track {
  const lane = (sizeBytes: number): Lane => ({
    seal: sealing(crypto, algorithm, sizeBytes),
    leastMicros: Number.POSITIVE_INFINITY,
    calls: 1,
    bestMicros: Number.POSITIVE_INFINITY,
  });
  const [short, middle, long] = [lane(SHORT_BYTES), lane(MIDDLE_BYTES), lane(LONG_BYTES)];
  return { suite: algorithm.suite, short, middle, long, rounds: 0 };
}

/**
 * First calls of each length, none that could not end in time: a cold long one of a slow machine takes tens of ms.
 * @returns whether it came to the top
 */
function climb({ short, middle, long }: Track, leftMicros: () => number): boolean {
  // the first may load a library, any may be interrupted
  for (let i = 0; i < 4; i++) runBatch(short);
  if (STEP * short.leastMicros > leftMicros()) return false;
  for (let i = 0; i < 2; i++) runBatch(middle);
  if (STEP * middle.leastMicros > leftMicros()) return false;
  runBatch(long);
  return true;
}

/** Until the time or the rounds are used up. @returns how many batches it came to */
function takeTurns(tracks: readonly Track[], leftMicros: () => number): number {
  const share = leftMicros() / (2 * tracks.length * MOST_ROUNDS);
  const batchMicros = Math.min(MOST_BATCH_MICROS, Math.max(ROUGH_BATCH_MICROS, share));
  let batches = 0;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    for (const track of tracks) {
      for (const lane of [track.short, track.long]) {
        lane.calls = Math.max(1, Math.round(batchMicros / lane.leastMicros));
        if ((RUN_UP + lane.calls) * lane.leastMicros > leftMicros()) return batches;
        // the cipher before has left its own code and tables in the caches: for a long record that is little
        if (lane === track.short) for (let i = 0; i < RUN_UP; i++) lane.seal();
        runBatch(lane);
        batches++;
      }
      track.rounds++;
    }
  }
  return batches;
}

const RUN_UP = 3;

/** Once code is warm: the first of them, as many as there is time for. @param batchMicros  what a batch took so far */
function affordable(tracks: readonly Track[], leftMicros: number, batchMicros: number): readonly Track[] {
  let sum = 0;
  const last = tracks.findIndex(({ rounds }) => {
    sum += 2 * batchMicros * Math.max(1, LEAST_ROUNDS - rounds);
    return sum > leftMicros;
  });
  return last < 0 ? tracks : tracks.slice(0, last);
}

function runBatch(lane: Lane): void {
  const { seal, calls } = lane;
  const [clockBegan, cpuBegan] = [performance.now(), processCpuMicros()];
  for (let i = 0; i < calls; i++) seal();
  const cpuMicros = processCpuMicros() - cpuBegan;
  const took = Math.min(cpuMicros, 1000 * (performance.now() - clockBegan));
  const micros = took / calls;
  // no suite seals in less than a microsecond: a clock that stood still has nothing to say
  lane.leastMicros = Math.min(lane.leastMicros, Math.max(1, micros));
  if (took >= LEAST_BATCH_MICROS) lane.bestMicros = Math.min(lane.bestMicros, micros);
}

// ── The cost ────────────────────────────────────────────────────────────────────────────────────────────────────────

/** The line through both lengths: cost = picosPerOp + picosPerByte × length. */
function costFrom({ short, long, rounds }: Track): Cost | null {
  if (rounds < LEAST_ROUNDS) return null;
  const [few, many] = [short.bestMicros * 1e6, long.bestMicros * 1e6];
  if (!Number.isFinite(few) || !Number.isFinite(many)) return null;
  const picosPerByte = Math.max(0, (many - few) / (LONG_BYTES - SHORT_BYTES));
  const picosPerOp = Math.max(0, few - SHORT_BYTES * picosPerByte);
  return { picosPerOp: rounded(picosPerOp), picosPerByte: rounded(picosPerByte) };
}

/** To two digits: more would be another registration after each measurement. */
const rounded = (picos: number): number => Math.round(Number(picos.toPrecision(2)));
