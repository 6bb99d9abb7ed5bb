/**
 * A rules file taken as a whole: its rules, when nothing in it is wrong and each of its own tests passes; otherwise nothing.
 */
import type { Rules } from '../../manager/rules.ts';
import { readGuarded } from '../../platform/files.ts';
import { toHex } from '../../protocol/bytes.ts';
import type { Crypto } from '../../protocol/crypto.ts';
import { MAX_CONFIG_BYTES, parseConfig, placesIn, textOf } from '../config-file.ts';
import { Failure } from '../failure.ts';
import { deviceOf } from './device-file.ts';
import { rulesOf, rulesSchema, type WrittenRules } from './rules-file.ts';
import { runTests, type TestOutcome } from './rules-tests.ts';
import { type Warning, warningsOf } from './rules-warnings.ts';

/** With where it stands in the file. */
export interface PlacedOutcome extends TestOutcome {
  readonly place: string;
}

export interface LoadedRules {
  readonly path: string;
  readonly rules: Rules;
  /** Of what they were made: plain data. */
  readonly written: Pick<WrittenRules, 'rules' | 'default'>;
  /** All of them, failed ones too. */
  readonly tests: readonly PlacedOutcome[];
  /** A line each. */
  readonly warnings: readonly string[];
  /** Adds the place in the file. */
  readonly placed: (warning: Warning) => string;
}

/** @throws Failure `config`, a line for each problem; FileFault. Failed tests are none here: `requirePassed` */
export function readRules(path: string, crypto: Pick<Crypto, 'hash'>): LoadedRules {
  const { bytes, anyone } = readGuarded(path, MAX_CONFIG_BYTES);
  const loaded = parseRules(bytes, path, crypto);
  if (!anyone) return loaded;
  const open = `${path}: every user of this machine may change these rules: chmod o-w ${path}`;
  return { ...loaded, warnings: [open, ...loaded.warnings] };
}

export function parseRules(bytes: Uint8Array, path: string, crypto: Pick<Crypto, 'hash'>): LoadedRules {
  const text = textOf(bytes, path);
  const written = parseConfig(text, path, rulesSchema);
  const rules = rulesOf(written, toHex(crypto.hash('sha-256', bytes)));
  const placeOf = placesIn(text, path);
  const tests = runTests(written, rules).map((one, at) => ({ ...one, place: placeOf(['tests', at]) }));
  const placed = ({ key, text: what }: Warning): string => `${placeOf(key)}: ${what}`;
  const remarks = tests.flatMap(({ name, place, remarks: own }) => own.map((one) => `${place}: test ${name}: ${one}`));
  const ofDevices = Object.entries(written.devices).flatMap(([name, device]) =>
    deviceOf(device, name).remarks.map((one) => `${placeOf(['devices', name])}: ${one}`),
  );
  const { rules: list, default: otherwise } = written;
  return {
    path,
    rules,
    written: { rules: list, default: otherwise },
    tests,
    warnings: [...warningsOf(rules).map(placed), ...ofDevices, ...remarks],
    placed,
  };
}

/** @throws Failure `tests-failed`, a line for each of the first tests that fail */
export function requirePassed(loaded: LoadedRules): LoadedRules {
  const failed = loaded.tests.filter(({ passed }) => !passed);
  if (failed.length === 0) return loaded;
  const left = failed.length - MAX_TOLD;
  const told = failed.slice(0, MAX_TOLD).map(failureLine);
  throw new Failure('usage', 'tests-failed', left > 0 ? [...told, `and ${left} more tests fail`] : told);
}

/** As many as problems of a file; `rules test` shows all. */
const MAX_TOLD = 10;

/** Of the reasons, for one line: what came out, and the rule that decided. `rules test` shows all. */
const TOLD = 2;

function failureLine({ place, name, expected, got, because }: PlacedOutcome): string {
  const line = `${place}: test ${name}: expected ${expected}; it came to ${got}`;
  return because.length === 0 ? line : `${line}: ${because.slice(0, TOLD).join(' ')}`;
}
