/**
 * Measures suites as an agent does, in a process of its own, whose environment says what OpenSSL may use: prints one JSON
 * value. `node bench/cost-child.ts '{"suites":[…],"budgetMs":70}'`
 */
import { costKey, measureSuites } from '../hardware/suite-cost.ts';
import { nodeCrypto } from '../platform/crypto-node.ts';
import type { Cost } from '../protocol/messages.ts';
import type { Suite } from '../protocol/suites.ts';

export interface CostWish {
  readonly suites: readonly Suite[];
  readonly budgetMs: number;
}

export interface CostAnswer {
  readonly spentMs: number;
  /** Suite for suite as asked. */
  readonly costs: readonly (Cost | null)[];
}

const { suites, budgetMs } = JSON.parse(process.argv[2] ?? '') as CostWish;
const { costs, spentMs } = measureSuites(nodeCrypto(), suites, budgetMs);
const answer: CostAnswer = { spentMs, costs: suites.map((suite) => costs.get(costKey(suite)) ?? null) };
process.stdout.write(`${JSON.stringify(answer)}\n`);
