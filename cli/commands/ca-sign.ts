/**
 * `kagimori ca sign`: certifies the key of a request (PKCS#10).
 */
import type { Command } from 'commander';
import { type CommonOptions, verb } from '../command.ts';
import { createOutput, date, table } from '../output.ts';
import { inDirectory, openAuthority, type SubjectOptions, subjectOf, withSubject } from './ca-options.ts';

type Options = CommonOptions & SubjectOptions & { dir: string; name?: string; namesOfRequest?: boolean };

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
      const { dir, kind, name = null, namesOfRequest = false } = options;
      const wish = { file, name, namesOfRequest, ...subjectOf(options) };
      const { namesLeftOut, names, ...signed } = signRequest(dir, wish, world);
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
