/**
 * The thread of `rules-loading.ts`: one file, one answer.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import { shownFailure } from '../failure.ts';
import { readRules, requirePassed } from './loaded-rules.ts';
import type { LoadingAnswer, LoadingTask } from './rules-loading.ts';
import { strangersOf } from './rules-warnings.ts';

parentPort?.postMessage(answerTo(workerData as LoadingTask));

function answerTo({ path, listings, maxWarnings }: LoadingTask): LoadingAnswer {
  try {
    const { rules, written, tests, warnings, placed } = requirePassed(readRules(path, nodeCrypto()));
    const strangers = listings === null ? [] : strangersOf(rules, listings).map(placed);
    const all = [...warnings, ...strangers];
    return {
      written,
      digest: rules.digest ?? '',
      tests: tests.length,
      warnings: all.slice(0, maxWarnings),
      moreWarnings: Math.max(0, all.length - maxWarnings),
    };
  } catch (error) {
    const { exitCode, code, lines, bug } = shownFailure(error);
    if (bug) throw error;
    return { failure: { exitCode, code, lines } };
  }
}
