/**
 * `kagimori device invite`: one string that lets a device in.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { JsonValue } from '../../platform/control-socket.ts';
import { writeAtomically, writeFault } from '../../platform/files.ts';
import { encodeUtf8 } from '../../protocol/bytes.ts';
import { type CommonOptions, collect, numberBetween, verb } from '../command.ts';
import { ask } from '../control-client.ts';
import { Failure } from '../failure.ts';
import { cell, createOutput } from '../output.ts';
import { timeSpan } from '../time-span.ts';
import { type ManagerOptions, managerOptions, ofManager } from './manager-options.ts';

interface Options extends CommonOptions, ManagerOptions {
  readonly name?: string;
  readonly class?: string;
  readonly group?: readonly string[];
  readonly uses: number;
  readonly ttl: number;
  readonly certificate?: boolean;
  readonly qr?: boolean;
  readonly out?: string;
}

const HOUR = 3600;
const YEAR = 366 * 86_400;

export function inviteVerb(): Command {
  const example = 'kagimori device invite --name boiler --class appliance --ttl 1h';
  return managerOptions(
    verb('invite', 'make an invitation: one string with which a device gets its certificate', example),
  )
    .option('--name <name>', 'name of the device; with one * a pattern, for several devices')
    .option('--class <class>', 'class of every device that it lets in')
    .option('--group <group>', 'a group of every device that it lets in; may be repeated', collect)
    .option('--uses <number>', 'how many devices it lets in', numberBetween(1, 100_000), 1)
    .addOption(
      new Option('--ttl <time>', 'for how long, such as 30m, 1h or 7d')
        .argParser(timeSpan(1, YEAR))
        .default(HOUR, '1h'),
    )
    .option('--certificate', 'for devices that show a good certificate of another CA: no name, no token, no secret')
    .option('--qr', 'with a QR code, also where no terminal is')
    .option('--out <file>', 'write it to a file that only its owner can read, and not here')
    .action(invite);
}

async function invite(options: Options): Promise<void> {
  const { out } = options;
  const wish = wishOf(options);
  if (out !== undefined) checkPlace(out);
  const made = await ask('manager', ...wish, ofManager(options));
  const written = cell(made, 'invitation');
  const output = createOutput(options.json === true);
  if (out !== undefined) {
    writeAtomically(out, encodeUtf8(`${written}\n`), 0o600);
    const shown = { ...(made as object), invitation: null, file: out };
    output.result(shown, [`written to ${out}`, ...meaningOf(made)].join('\n'));
  } else {
    const code = output.json ? null : await codeOf(written, options.qr === true);
    const lines = [written, ...(code === null ? [] : [code])];
    // in a pipe nothing but the invitation, for `kagimori agent enrol -` at its end
    if (output.json || process.stdout.isTTY) output.result(made, [...lines, ...meaningOf(made)].join('\n'));
    else {
      output.result(made, lines.join('\n'));
      process.stderr.write(`${meaningOf(made).join('\n')}\n`);
    }
  }
  if (options.certificate !== true) output.remark('Whoever has it can use it: on the device, kagimori agent enrol -');
}

/** Before anything is made: an invitation that nobody can read would stay open. @throws Failure; FileFault */
function checkPlace(out: string): void {
  if (existsSync(out)) {
    throw new Failure('usage', 'exists', `${out}: exists, and is not overwritten: remove it, or name another file`);
  }
  try {
    accessSync(dirname(resolve(out)), constants.W_OK);
  } catch (error) {
    throw writeFault(out, error);
  }
}

/** @returns null where it would be of no use: no terminal, or one that is too narrow */
async function codeOf(written: string, isWished: boolean): Promise<string | null> {
  if (!isWished && !process.stdout.isTTY) return null;
  const { qrCode, qrWidth } = await import('../qr-code.ts');
  const width = qrWidth(written);
  const columns = process.stdout.columns ?? Number.POSITIVE_INFINITY;
  return isWished || width <= columns ? qrCode(written) : `(the QR code needs a terminal of ${width} columns)`;
}

/** @throws Failure for options that say nothing together */
function wishOf({ certificate, name, class: className, group, uses, ttl }: Options): [string, JsonValue] {
  if (certificate === true) {
    if (name === undefined && className === undefined && group === undefined) return ['invitation.address', {}];
    const why = 'the certificate says the name, and the configuration of the manager class and groups';
    throw new Failure('usage', 'usage', `--certificate goes without --name, --class and --group: ${why}`);
  }
  if (name === undefined) {
    throw new Failure(
      'usage',
      'no-name',
      '--name: whom is it for? Give a name, or --certificate for devices that have one',
    );
  }
  return ['invitation.make', { name, class: className ?? null, groups: group ?? [], uses, ttlSeconds: ttl }];
}

/** What it allows, and until when. */
function meaningOf(made: JsonValue): string[] {
  const { id, name, until } = { id: cell(made, 'id'), name: cell(made, 'name'), until: cell(made, 'until') };
  const anchor = `manager     ${cell(made, 'manager')} at ${cell(made, 'broker')}, under ${cell(made, 'anchor')}`;
  if (id === '–') return ['lets in     devices that show a certificate that the verifier finds good', anchor];
  return [
    `invitation  ${id}`,
    `lets in     ${cell(made, 'uses')} × ${name}, class ${cell(made, 'class')}, groups ${cell(made, 'groups')}`,
    `until       ${until}`,
    anchor,
    ...(cell(made, 'approval') === 'operator' ? ['then        it waits for kagimori enrolment allow'] : []),
  ];
}
