/**
 * `kagimori ca sign`: certifies the key of a request (PKCS#10).
 */
import type { Command } from 'commander';
import type { IssuedKind } from '../ca/authority.ts';
import { type CommonOptions, verb } from '../command.ts';
import { createOutput, date, table } from '../output.ts';
import {
  type AlternativeNameOptions,
  alternativeNames,
  inDirectory,
  openAuthority,
  withSubject,
} from './ca-options.ts';

type Options = CommonOptions &
  AlternativeNameOptions & {
    dir: string;
    kind: IssuedKind;
    name?: string;
    namesOfRequest?: boolean;
    days: number;
    out: string;
    second?: boolean;
  };

export function caSign(): Command {
  const command = verb(
    'sign <request>',
    'certify the key of a request (PKCS#10, PEM or DER)',
    'kagimori ca sign thermostat.csr.pem --kind device --out keys',
  );
  return withSubject(inDirectory(command), 'where the chain is put')
    .option('--name <name>', 'whose certificate it becomes; without it: the common name of the request')
    .option('--names-of-request', 'take the alternative names that the request asks for; without it none of them')
    .action(async (file: string, options: Options) => {
      const { world } = await openAuthority();
      const { signRequest } = await import('../ca/request-signing.ts');
      const { dir, kind, days, out: outDir } = options;
      const { namesLeftOut, names, ...signed } = signRequest(
        dir,
        {
          file,
          kind,
          name: options.name ?? null,
          sans: alternativeNames(options),
          namesOfRequest: options.namesOfRequest === true,
          days,
          outDir,
          allowSecond: options.second === true,
        },
        world,
      );
      const rows = [
        ['serial', signed.serial],
        ['chain', signed.chainFile],
        ['until', `${date(signed.notAfter)} UTC`],
        ...names.map(({ type, value }) => [type, value]),
      ];
      const output = createOutput(options.json === true);
      output.result({ kind, ...signed, names, namesLeftOut }, table([kind, signed.name], rows));
      if (namesLeftOut > 0) {
        output.remark(
          `The request asks for ${namesLeftOut} alternative names; none was taken: give those that you know (--dns …), or --names-of-request.`,
        );
      }
    });
}
