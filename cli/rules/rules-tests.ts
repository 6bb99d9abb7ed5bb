/**
 * The tests that stand in a rules file: given these two devices, this suite is expected.
 */
import type { Rules } from '../../manager/rules.ts';
import type { KeyMode, Suite } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { type Device, deviceOf } from './device-file.ts';
import { matchDevices } from './device-match.ts';
import type { WrittenRules, WrittenTest } from './rules-file.ts';

export interface TestOutcome {
  readonly name: string;
  readonly passed: boolean;
  readonly expected: string;
  readonly got: string;
  /** Why it came out so. */
  readonly because: readonly string[];
  /** What it depends on without saying so. */
  readonly remarks: readonly string[];
}

/** In the order of the file. */
export function runTests({ devices, tests }: WrittenRules, rules: Rules): readonly TestOutcome[] {
  const named = new Map(Object.entries(devices).map(([name, written]) => [name, deviceOf(written, name)]));
  const deviceFor = (written: WrittenTest['caller']): Device =>
    typeof written === 'string' ? named.get(written)! : deviceOf(written, '');
  return tests.map((one) => runTest(one, deviceFor(one.caller), deviceFor(one.callee), rules));
}

function runTest(test: WrittenTest, caller: Device, callee: Device, rules: Rules): TestOutcome {
  const { name, at, allowUnencrypted, messageBytes = null, expect } = test;
  const moment = at === undefined ? null : EpochSeconds(Math.floor(Date.parse(at) / 1000));
  const { match, because, passedByTime } = matchDevices(caller, callee, rules, moment, {
    allowUnencrypted,
    messageBytes,
  });
  const got: Got = match.matched
    ? { ...match.suite, keyMode: match.keyMode, rule: match.rule }
    : { none: match.failedOn, rule: match.rule };
  const remarks = passedByTime.map(
    (rule) => `it says no \`at\`: rule ${rule}, which holds at times only, was passed over`,
  );
  const passed = fits(expect, got);
  return { name, passed, expected: spellExpected(expect), got: spell(got), because, remarks };
}

type Got =
  | (Suite & { readonly keyMode: KeyMode; readonly rule: string })
  | { readonly none: string; readonly rule: string };

function fits(expect: WrittenTest['expect'], got: Got): boolean {
  if (expect === 'none') return 'none' in got;
  const found: Readonly<Record<string, unknown>> = got;
  return Object.entries(expect).every(([key, wanted]) => wanted === undefined || found[key] === wanted);
}

const spellExpected = (expect: WrittenTest['expect']): string => (expect === 'none' ? 'none' : spell(expect));

/** `cipher aes-gcm, keyBits 128, rule cameras` */
const spell = (settings: object): string =>
  Object.entries(settings)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');
