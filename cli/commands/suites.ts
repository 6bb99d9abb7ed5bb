/**
 * `kagimori suites …`: suites and their match, without any server.
 */

import type { Command } from 'commander';
import { MAX_MESSAGE_BYTES } from '../../protocol/units.ts';
import { type CommonOptions, noun, numberBetween, verb } from '../command.ts';
import { OWN_EXIT_CODES } from '../exit-codes.ts';
import { momentOf } from '../moment.ts';
import { createOutput, printable } from '../output.ts';
import type { DeviceFilesMatch } from '../rules/device-files-match.ts';
import { suitesListVerb } from './suites-list.ts';

interface MatchOptions extends CommonOptions {
  readonly rules?: string;
  readonly at?: number;
  readonly messageBytes?: number;
}

const { noMatch } = OWN_EXIT_CODES['kagimori suites match'];

export function suitesCommand(): Command {
  return noun('suites', 'suites, and which of them two devices have in common', [suitesListVerb(), matchVerb()]);
}

function matchVerb(): Command {
  return verb(
    'match <caller> <callee>',
    'tell which suite two devices get, from two files, and why; no server is asked',
    'kagimori suites match caller.json callee.json --rules kagimori-rules.yaml',
  )
    .option('--rules <file>', 'the rules that decide (default: the priorities of the callee, then of the caller)')
    .option('--at <time>', 'at which moment, such as 2026-01-05T23:00:00Z (default: now)', momentOf)
    .option(
      '--message-bytes <n>',
      'size of the messages to come, for which costs are compared',
      numberBetween(1, MAX_MESSAGE_BYTES),
    )
    .addHelpText('after', HELP)
    .action(async (caller: string, callee: string, { json, ...options }: MatchOptions) => {
      const { matchDeviceFiles } = await import('../rules/device-files-match.ts');
      const at = options.at ?? Math.floor(Date.now() / 1000);
      const found = matchDeviceFiles(caller, callee, { ...options, at });
      createOutput(json === true).result(found, forPeople(found));
      if (!found.matched) process.exitCode = noMatch.code;
    });
}

const HELP = `
A device file, in JSON, or in YAML when its name ends in .yaml:
  { "id": "cam", "class": "camera", "groups": [], "proposals": [
    { "cipher": "aes-gcm", "keyBits": { "min": 128 }, "hash": ["sha-256", "sha-384"], "tagBits": 128,
      "priority": 1, "cost": { "nsPerOp": 4000, "nsPerByte": 1.2 } } ] }
  cipher    aes-gcm, aes-ccm, chacha20-poly1305, aes-ctr-hmac, hmac (does not encrypt); unknown ones are passed over
  keyBits   a number, a list, or { min, max };  hash  one, or a list with the preferred one first
  class, groups, user, tagBits (the longest), keyMode (seed), priority (last) and cost may be absent.
When both files list hmac, suites that do not encrypt count: both sides ask for them. Between running devices the caller
says so with each connect.

Exit codes: 0 a suite, ${noMatch.code} none in common, 2 a file that cannot be used.`;

function forPeople({ suite, keyMode, rule, failedOn, because, warnings }: DeviceFilesMatch): string {
  const head =
    suite === null
      ? `no common suite: ${failedOn}`
      : `${suite.cipher} key ${suite.keyBits} bits, ${suite.hash}, tag ${suite.tagBits} bits, ${keyMode}`;
  // what is passed over stands among the reasons already
  const more = warnings.filter((one) => !one.endsWith('passed over'));
  const lines = [`rule ${rule}`, ...because, ...more.map((one) => `! ${one}`)];
  return [head, ...lines.map((line) => `  ${printable(line)}`)].join('\n');
}
