/**
 * Runs mutations of one structure past whoever judges it, and past a second judge that shares nothing with the first:
 * counts the findings, and every case that should not have come out as it did.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { toHex } from '../../protocol/bytes.ts';
import { type SeededRandom, seededRandom } from '../../sim/seeded-random.ts';

export interface Mutant {
  /** What was done to it. */
  readonly what: string;
  /** Signed again after it was bent, by a key that may: what stands behind the signature is reached. */
  readonly signedAnew: boolean;
  /** All that is handed over, in order: the chain, the list … */
  readonly bytes: readonly Uint8Array[];
}

export interface Structure {
  readonly name: string;
  /** false: nobody signs such papers, so each finding is put to the second judge. */
  readonly isSigned: boolean;
  mutate(random: SeededRandom): Mutant;
  /** @returns one of `findings` @throws when it is broken */
  judge(mutant: Mutant): string;
  /** Every finding that there is; each has to come up. */
  readonly findings: readonly string[];
  /** Those among them that only a signature can bring about. */
  readonly proven: readonly string[];
  /** The second judge, asked about proven findings. @returns why the finding is wrong; null: nothing against it */
  objection(mutant: Mutant, finding: string): string | null;
  /** Bytes to which nothing was done. */
  readonly honest: readonly (readonly Uint8Array[])[];
  /** Signature checks so far, and how many one case may take. */
  signatureChecks(): number;
  readonly mostChecks: number;
}

export type Offence =
  | 'threw'
  | 'unknown finding'
  | 'believed without signature'
  | 'second judge objects'
  | 'too much work';

export interface Caught {
  readonly offence: Offence;
  readonly detail: string;
  readonly number: number;
  readonly mutant: Mutant;
}

export interface MutationReport {
  readonly name: string;
  readonly isSigned: boolean;
  readonly seed: string;
  readonly cases: number;
  readonly signedAnew: number;
  readonly findings: ReadonlyMap<string, number>;
  readonly caught: readonly Caught[];
  /** Proven findings of mutants signed anew. */
  readonly believed: readonly { readonly mutant: Mutant; readonly finding: string; readonly number: number }[];
  readonly mostChecks: number;
  /** CPU of the dearest case. */
  readonly slowestMs: number;
}

/** @param seed  with the number of a case it makes that case again, whatever the others were */
export function runMutations(structure: Structure, seed: string, cases: number): MutationReport {
  const stream = seededRandom(seed);
  const findings = new Map(structure.findings.map((finding) => [finding, 0]));
  const caught: Caught[] = [];
  const believed: { mutant: Mutant; finding: string; number: number }[] = [];
  let [signedAnew, mostChecks, slowestMs] = [0, 0, 0];
  for (let number = 0; number < cases; number++) {
    const mutant = mutantOf(structure, stream.fork(String(number)));
    const blame = (offence: Offence, detail: string): number => caught.push({ offence, detail, number, mutant });
    if (mutant.signedAnew) signedAnew++;
    const [checksBefore, cpuBefore] = [structure.signatureChecks(), process.threadCpuUsage()];
    let finding: string;
    try {
      finding = structure.judge(mutant);
    } catch (error) {
      blame('threw', String(error));
      continue;
    }
    const { user, system } = process.threadCpuUsage(cpuBefore);
    const checks = structure.signatureChecks() - checksBefore;
    const ms = (user + system) / 1000;
    if (ms > slowestMs) slowestMs = Math.max(slowestMs, Math.min(ms, leastMs(structure, mutant)));
    mostChecks = Math.max(mostChecks, checks);
    if (checks > structure.mostChecks) blame('too much work', `${checks} signature checks`);
    const count = findings.get(finding);
    if (count === undefined) blame('unknown finding', finding);
    else findings.set(finding, count + 1);
    if (!structure.proven.includes(finding)) continue;
    if (structure.isSigned && !mutant.signedAnew) blame('believed without signature', finding);
    else {
      believed.push({ mutant, finding, number });
      const objection = structure.objection(mutant, finding);
      if (objection !== null) blame('second judge objects', `${finding}: ${objection}`);
    }
  }
  const { name, isSigned } = structure;
  return { name, isSigned, seed, cases, signedAnew, findings, caught, believed, mostChecks, slowestMs };
}

/** Of a few more times: a pause of the whole process is not what the case costs. */
function leastMs({ judge }: Structure, mutant: Mutant): number {
  const times = [1, 2, 3].map(() => {
    const before = process.threadCpuUsage();
    judge(mutant);
    const { user, system } = process.threadCpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

/** What changed nothing is done again. */
function mutantOf({ mutate, honest }: Structure, random: SeededRandom): Mutant {
  for (;;) {
    const mutant = mutate(random);
    if (!honest.some((papers) => isSame(papers, mutant.bytes))) return mutant;
  }
}

function isSame(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((one, i) => Buffer.compare(one, b[i]!) === 0);
}

/** A case as it is written down, to be made again. */
export function describeCase(seed: string, { offence, detail, number, mutant }: Caught): string {
  const bytes = mutant.bytes.map(toHex).join(' ');
  return `${offence}: ${detail}\n  seed ${seed}, case ${number}, ${mutant.what}${mutant.signedAnew ? ', signed anew' : ''}\n  ${bytes}`;
}

/** Prints the cases by finding, and fails for whatever was caught, a finding that never came, or too few signed anew. */
export function assertSound(t: TestContext, report: MutationReport): void {
  const { name, isSigned, seed, cases, signedAnew, findings, caught, mostChecks, slowestMs } = report;
  const share = Math.round((100 * signedAnew) / cases);
  t.diagnostic(
    `${name}: ${cases} cases, ${isSigned ? `${share} %` : 'none'} signed anew, at most ${mostChecks} signature checks and ${slowestMs.toFixed(1)} ms`,
  );
  for (const [finding, count] of findings) t.diagnostic(`${name} | ${finding} | ${count}`);
  assert.equal(
    caught.length,
    0,
    caught
      .slice(0, 3)
      .map((one) => describeCase(seed, one))
      .join('\n'),
  );
  assert.deepEqual(
    [...findings].filter(([, count]) => count === 0).map(([finding]) => finding),
    [],
    'findings that never came',
  );
  assert.ok(!isSigned || signedAnew * 3 >= cases, `${signedAnew} of ${cases} were signed anew, less than a third`);
}

/** `npm test` runs a sample. */
export const isLong = process.env.KAGIMORI_LONG === '1';
/** Tens of thousands of cases on a busy machine. */
export const LONG = { timeout: 900_000 };
