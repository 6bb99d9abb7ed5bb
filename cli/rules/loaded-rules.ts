/**
 * A rules file taken as a whole: its rules, when nothing in it is wrong and each of its own tests passes; otherwise nothing.
 */
import type { Rules } from '../../manager/rules.ts';
import { readBounded } from '../../platform/files.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { MAX_CONFIG_BYTES, parseConfig, placesIn, textOf } from '../config-file.ts';
import { Failure } from '../failure.ts';
import { rulesOf, rulesSchema } from './rules-file.ts';
import { runTests, type TestOutcome } from './rules-tests.ts';
import { type Warning, warningsOf } from './rules-warnings.ts';

/** With where it stands in the file. */
export interface PlacedOutcome extends TestOutcome {
  readonly place: string;
}

export interface LoadedRules {
  readonly path: string;
  readonly rules: Rules;
  /** All of them, failed ones too. */
  readonly tests: readonly PlacedOutcome[];
  /** A line each. */
  readonly warnings: readonly string[];
  /** Adds the place in the file. */
  readonly placed: (warning: Warning) => string;
}

/** @throws Failure `config`, a line for each problem; FileFault. Failed tests are none here: `requirePassed` */
export function readRules(path: string, crypto: Pick<Crypto, 'hash'>): LoadedRules {
  return parseRules(readBounded(path, MAX_CONFIG_BYTES), path, crypto);
}

export function parseRules(bytes: Uint8Array, path: string, crypto: Pick<Crypto, 'hash'>): LoadedRules {
  const text = textOf(bytes, path);
  const written = parseConfig(text, path, rulesSchema);
  const rules = rulesOf(written, toHex(crypto.hash('sha-256', bytes)));
  const placeOf = placesIn(text, path);
  const tests = runTests(written, rules).map((one, at) => ({ ...one, place: placeOf(['tests', at]) }));
  const placed = ({ key, text: what }: Warning): string => `${placeOf(key)}: ${what}`;
  const remarks = tests.flatMap(({ name, place, remarks: own }) => own.map((one) => `${place}: test ${name}: ${one}`));
  return { path, rules, tests, warnings: [...warningsOf(rules).map(placed), ...remarks], placed };
}

/** @throws Failure `tests-failed`, a line for each test that fails */
export function requirePassed(loaded: LoadedRules): LoadedRules {
  const failed = loaded.tests.filter(({ passed }) => !passed);
  if (failed.length > 0) throw new Failure('usage', 'tests-failed', failed.map(failureLine));
  return loaded;
}

/** Of the reasons, for one line: what came out, and the rule that decided. `rules test` shows all. */
const TOLD = 2;

export const failureLine = ({ place, name, expected, got, because }: PlacedOutcome): string =>
  `${place}: test ${name}: expected ${expected}; it came to ${got}: ${because.slice(0, TOLD).join(' ')}`;
