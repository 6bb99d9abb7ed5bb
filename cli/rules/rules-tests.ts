/**
 * The tests that stand in a rules file: given these two devices, this suite is expected.
 */
import type { Rules } from '../../manager/rules.ts';
import type { CallerWishes } from '../../manager/selection.ts';
import { type Match, match } from '../../protocol/matching.ts';
import type { Selection } from '../../protocol/selection.ts';
import type { KeyMode, Suite } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { type Device, deviceOf } from './device-file.ts';
import { decide, matchDevices, wishesOf } from './device-match.ts';
import type { WrittenRules, WrittenTest } from './rules-file.ts';

export interface TestOutcome {
  readonly name: string;
  readonly passed: boolean;
  readonly expected: string;
  readonly got: string;
  /** Why it came out so; of the first few that fail. */
  readonly because: readonly string[];
  /** What it depends on without saying so. */
  readonly remarks: readonly string[];
}

/** To explain a match takes a hundred times as long as to make it; whoever mends these runs the tests again. */
const MAX_EXPLAINED = 5;
/** Of rules that a test passes over. */
const MAX_NAMED = 3;

/** In the order of the file. */
export function runTests({ devices, tests }: WrittenRules, rules: Rules): readonly TestOutcome[] {
  const named = new Map(Object.entries(devices).map(([name, written]) => [name, deviceOf(written, name)]));
  const deviceFor = (written: WrittenTest['caller']): Device =>
    typeof written === 'string' ? named.get(written)! : deviceOf(written, '');
  const found = new Map<string, Match>();
  let explained = 0;
  return tests.map((test) => {
    const { name, caller, callee, expect } = test;
    const devicesOf: Pair = [deviceFor(caller), deviceFor(callee)];
    const moment = test.at === undefined ? null : EpochSeconds(Math.floor(Date.parse(test.at) / 1000));
    const { selection, passedByTime } = decide(rules, ...devicesOf, moment);
    const made = (): Match => matchOnce(devicesOf, selection, wishesOfTest(test));
    const isNamed = typeof caller === 'string' && typeof callee === 'string';
    const result = isNamed ? onceFor(found, keyOf(test, selection), made) : made();
    const got: Got = result.matched
      ? { ...result.suite, keyMode: result.keyMode, rule: result.rule }
      : { none: result.failedOn, rule: result.rule };
    const passed = fits(expect, got);
    const because =
      passed || explained++ >= MAX_EXPLAINED
        ? []
        : matchDevices(...devicesOf, rules, moment, wishesOfTest(test)).because;
    const remarks = remarksOn(passedByTime);
    return { name, passed, expected: spellExpected(expect), got: spell(got), because, remarks };
  });
}

type Pair = readonly [caller: Device, callee: Device];

const wishesOfTest = ({ allowUnencrypted, messageBytes }: WrittenTest): CallerWishes => ({
  allowUnencrypted,
  messageBytes: messageBytes ?? null,
});

const matchOnce = ([caller, callee]: Pair, selection: Selection, wishes: CallerWishes): Match =>
  match(caller.offers, callee.offers, selection, wishesOf(wishes));

/** All on which a match depends; rules have names of their own. */
const keyOf = ({ caller, callee, allowUnencrypted, messageBytes }: WrittenTest, { name }: Selection): string =>
  JSON.stringify([caller, callee, allowUnencrypted, messageBytes, name]);

/** Tests of the same two devices at other times come to the same match where the same rule decides. */
function onceFor(found: Map<string, Match>, key: string, make: () => Match): Match {
  const known = found.get(key) ?? make();
  found.set(key, known);
  return known;
}

function remarksOn(passedByTime: readonly string[]): readonly string[] {
  const remark = (rules: string): string => `it says no \`at\`: ${rules} at times only, was passed over`;
  const left = passedByTime.length - MAX_NAMED;
  const told = passedByTime.slice(0, MAX_NAMED).map((rule) => remark(`rule ${rule}, which holds`));
  return left > 0 ? [...told, remark(`each of ${left} more rules, which holds`)] : told;
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
