/**
 * What `suites match` answers: two device files and perhaps a rules file in, the suite and the reasons out.
 */
import { BUILT_IN_RULES, type Rules } from '../../manager/rules.ts';
import { nodeCrypto } from '../../platform/crypto-node.ts';
import type { Setting } from '../../protocol/matching.ts';
import type { KeyMode, Suite } from '../../protocol/suites.ts';
import { EpochSeconds } from '../../protocol/units.ts';
import { type Device, readDeviceFile } from './device-file.ts';
import { matchDevices } from './device-match.ts';
import { readRules, requirePassed } from './loaded-rules.ts';

export interface DeviceFilesMatch {
  readonly matched: boolean;
  readonly suite: Suite | null;
  readonly keyMode: KeyMode | null;
  readonly rule: string;
  /** The setting that keeps the closest two proposals apart. */
  readonly failedOn?: Setting;
  readonly because: readonly string[];
  /** What was passed over, and what in the rules file is hardly meant. */
  readonly warnings: readonly string[];
}

export interface MatchOptions {
  /** Path of a rules file. */
  readonly rules?: string;
  /** Seconds since 1970. */
  readonly at: number;
  readonly messageBytes?: number;
}

/** @throws Failure, FileFault for a file that cannot be used */
export function matchDeviceFiles(callerPath: string, calleePath: string, options: MatchOptions): DeviceFilesMatch {
  const caller = readDeviceFile(callerPath);
  const callee = readDeviceFile(calleePath);
  const loaded = options.rules === undefined ? null : requirePassed(readRules(options.rules, nodeCrypto()));
  const found = matchOf(caller, callee, loaded?.rules ?? BUILT_IN_RULES, options);
  return { ...found, warnings: [...found.warnings, ...(loaded?.warnings ?? [])] };
}

/** The order of the proposals shows nowhere. */
export function matchOf(
  caller: Device,
  callee: Device,
  rules: Rules,
  { at, messageBytes = null }: { readonly at: number; readonly messageBytes?: number | null },
): DeviceFilesMatch {
  const wishes = { allowUnencrypted: true, messageBytes };
  const { match, because } = matchDevices(caller, callee, rules, EpochSeconds(at), wishes);
  const warnings = [...new Set([...caller.remarks, ...callee.remarks])];
  const { matched, rule } = match;
  return match.matched
    ? { matched, suite: match.suite, keyMode: match.keyMode, rule, because, warnings }
    : { matched, suite: null, keyMode: null, rule, failedOn: match.failedOn, because, warnings };
}
