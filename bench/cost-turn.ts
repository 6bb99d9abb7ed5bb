/**
 * What agents find out about this machine at their start, with its AES instructions and without: processes of their own that
 * measure with hardware/suite-cost.ts, and what the match makes of it.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { MEASURE_BUDGET_MS } from '../hardware/suite-cost.ts';
import { match } from '../protocol/matching.ts';
import type { Cost, Proposal } from '../protocol/messages.ts';
import { offersOf } from '../protocol/proposal.ts';
import { DEFAULT_SELECTION, NO_WISHES } from '../protocol/selection.ts';
import { COST_TIE, costOf } from '../protocol/suite-cost.ts';
import type { Suite } from '../protocol/suites.ts';
import type { CostAnswer } from './cost-child.ts';
import { figure, type Ledger, type Report } from './figures.ts';

const SIZE = 16_384;
const LONG_BUDGET_MS = 2000;
const GCM: Suite = { cipher: 'aes-gcm', keyBits: 128, hash: 'sha-256', tagBits: 128 };
const CHACHA: Suite = { cipher: 'chacha20-poly1305', keyBits: 256, hash: 'sha-256', tagBits: 128 };

/**
 * AES-NI (bit 57 of leaf 1), PCLMULQDQ (33); SHA (29 of leaf 7), VAES (41), VPCLMULQDQ (42): with VAES left, OpenSSL 3.5
 * enciphers GCM by it.
 * @spec OPENSSL_ia32cap(3)
 */
const MASK = '~0x200000200000000:~0x60020000000';

function measureApart(suites: readonly Suite[], budgetMs: number, mask: string | null): CostAnswer {
  const { OPENSSL_ia32cap: _, ...environment } = process.env;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, 'cost-child.ts'), JSON.stringify({ suites, budgetMs })],
    { encoding: 'utf8', env: mask === null ? environment : { ...environment, OPENSSL_ia32cap: mask } },
  );
  if (status !== 0) throw new Error(`bench/cost-child.ts ended with ${status}: ${stderr}`);
  return JSON.parse(stdout) as CostAnswer;
}

/** What an agent would register after its short look, beside a long one. */
export function agentLedger(suites: readonly Suite[]): Ledger {
  const [short, long] = [MEASURE_BUDGET_MS, LONG_BUDGET_MS].map((budget) => measureApart(suites, budget, null)) as [
    CostAnswer,
    CostAnswer,
  ];
  const cells = (cost: Cost | null | undefined): string[] =>
    cost === null || cost === undefined ? ['–', '–'] : [cost.picosPerOp / 1000, cost.picosPerByte / 1000].map(String);
  return {
    title: 'What an agent finds out at its start: ns for a record, ns for each byte of it',
    columns: ['', 'ns/record', 'ns/byte', 'long look: ns/record', 'ns/byte'],
    rows: suites.map(({ cipher, keyBits, hash }, i) => [
      `${cipher}-${keyBits} ${hash}`,
      ...cells(short.costs[i]),
      ...cells(long.costs[i]),
    ]),
    notes: [
      `In ${short.spentMs.toFixed(0)} ms of CPU, and in ${long.spentMs.toFixed(0)} ms, each in a fresh process: compiler and collector included.`,
    ],
  };
}

/** The ranking of AES-GCM and ChaCha20-Poly1305 at 16 KiB, with AES instructions and without. */
export function turnOf(quick: boolean, at: (part: number) => void): Report {
  if (process.arch !== 'x64') {
    const title = 'The turn of the ranking: skipped, the AES instructions can be masked on x64 alone';
    return { sections: [], ledgers: [{ title, columns: ['this machine'], rows: [[process.arch]], notes: [] }] };
  }
  const rounds = quick ? 3 : 9;
  const suites = [GCM, CHACHA];
  const found = { with: [] as Cost[][], without: [] as Cost[][] };
  for (let round = 0; round < rounds; round++) {
    at(round / rounds);
    found.with.push(knownCosts(measureApart(suites, 200, null)));
    found.without.push(knownCosts(measureApart(suites, 200, MASK)));
  }
  const micros = (costs: readonly Cost[][], suite: number): number[] =>
    costs.map((round) => costOf(round[suite]!, SIZE) / 1e6);
  const [gcm, chacha] = [micros(found.with, 0), micros(found.with, 1)];
  const [gcmMasked, chachaMasked] = [micros(found.without, 0), micros(found.without, 1)];
  const apart = { mostRatio: 1 / COST_TIE };
  const machines = { with: proposalsOf(found.with), without: proposalsOf(found.without) };
  const row = (name: string, caller: readonly Proposal[], callee: readonly Proposal[], ranked: string) => {
    return [name, ranked, chosen(caller, callee)];
  };
  return {
    sections: [
      {
        title: `µs for a record of ${SIZE} B, measured by hardware/suite-cost.ts, with AES instructions and without`,
        how: [
          `Processes of their own, in turns; without: OPENSSL_ia32cap=${MASK}`,
          'masks AES, PCLMULQDQ, SHA, VAES and VPCLMULQDQ. The aims: the lighter is lighter by more than a tie.',
        ],
        figures: [
          figure('with: ChaCha20-Poly1305', 'µs', chacha),
          figure('  AES-128-GCM', 'µs', gcm, { name: 'ChaCha20-Poly1305', rounds: chacha }, apart),
          figure('without: AES-128-GCM', 'µs', gcmMasked),
          figure('  ChaCha20-Poly1305', 'µs', chachaMasked, { name: 'AES-128-GCM', rounds: gcmMasked }, apart),
        ],
      },
    ],
    ledgers: [
      {
        title: `The ranking turns: by cost at ${SIZE} B`,
        columns: ['caller, callee', 'the lighter first', 'the match takes'],
        rows: [
          row('both with', machines.with, machines.with, ranking(machines.with, machines.with)),
          row('both without', machines.without, machines.without, ranking(machines.without, machines.without)),
          row('with, without', machines.with, machines.without, ranking(machines.with, machines.without)),
        ],
        notes: [
          'Each machine as its median round found it; the slower side counts, and less than a tenth apart is a tie.',
        ],
      },
    ],
  };
}

function knownCosts({ costs }: CostAnswer): Cost[] {
  return costs.map((cost) => {
    if (cost === null) throw new Error('200 ms were not enough to measure two suites: is the machine busy?');
    return cost;
  });
}

/** One machine's proposals; of its rounds the one in the middle by its cost of AES-GCM. */
function proposalsOf(rounds: readonly (readonly Cost[])[]): Proposal[] {
  const sorted = rounds.toSorted((a, b) => costOf(a[0]!, SIZE) - costOf(b[0]!, SIZE));
  const median = sorted[sorted.length >> 1]!;
  return [GCM, CHACHA].map(({ cipher, keyBits, hash, tagBits }, i) => {
    return { cipher, keyBits: [keyBits], hashes: [hash], tagBits, keyMode: 'seed', cost: median[i]! };
  });
}

function ranking(caller: readonly Proposal[], callee: readonly Proposal[]): string {
  const slower = (i: number): number => Math.max(...[caller, callee].map((side) => costOf(side[i]!.cost!, SIZE)));
  const rows = caller.map(({ cipher }, i) => ({ cipher: String(cipher), micros: slower(i) / 1e6 }));
  rows.sort((a, b) => a.micros - b.micros);
  return rows.map(({ cipher, micros }) => `${cipher} ${micros.toFixed(1)} µs`).join(', ');
}

function chosen(caller: readonly Proposal[], callee: readonly Proposal[]): string {
  const byCost = { ...DEFAULT_SELECTION, prefer: ['cost'] as const, messageBytes: SIZE };
  const found = match(offersOf(caller), offersOf(callee), byCost, NO_WISHES);
  return found.matched ? found.suite.cipher : 'nothing';
}
